"""Grants and appointments hold until their time, and go with the partner."""

from collections.abc import Callable
from contextlib import closing

from bcca_node.storage import feed, grants, listed, seen, statements
from bcca_node.storage.database import Database
from bcca_node.storage.grants import Appointment, Grant, Scope
from bcca_node.storage.seen import FetchedStatement
from bcca_node.storage.statements import OwnStatement


def grant(partner: str, scope: Scope, about: str, until: int | None = None) -> Grant:
    return Grant(partner=partner, scope=scope, about=about, given=1, until=until, why="asked for")


def appointment(recipient: str, product: str = "", until: int | None = None) -> Appointment:
    return Appointment(
        recipient=recipient,
        auditor="audit.example",
        product=product,
        request_key="audit.example+key",
        given=1,
        until=until,
    )


def test_a_grant_holds_until_its_time_and_the_later_word_counts(
    new_url: Callable[[], str],
) -> None:
    first, last = (grant("a.example", Scope.ALL, "", until) for until in (10, 20))
    other = grant("a.example", Scope.PRODUCT, "urn:x:y")
    with closing(Database(new_url())) as database, database.write() as session:
        for each in (first, last, other, grant("b.example", Scope.ALL, "")):
            grants.put(session, each)

        assert grants.of(session, "a.example") == [last, other]
        assert sorted(grants.live(session, "a.example", 19)) == [
            (Scope.ALL, ""),
            (Scope.PRODUCT, "urn:x:y"),
        ]
        assert grants.live(session, "a.example", 20) == [(Scope.PRODUCT, "urn:x:y")]
        assert grants.drop(session, "a.example", Scope.PRODUCT, "urn:x:y", at=0)
        assert not grants.drop(session, "a.example", Scope.PRODUCT, "urn:x:y", at=0)
        assert grants.of(session, "a.example") == [last]
        assert grants.of(session, "b.example") == [grant("b.example", Scope.ALL, "")]


def test_an_appointment_holds_until_its_time_or_its_recipient_goes(
    new_url: Callable[[], str],
) -> None:
    made = [appointment("a.example", "urn:x:y", 10), appointment("b.example")]
    with closing(Database(new_url())) as database, database.write() as session:
        for each in (*made, appointment("a.example")):
            grants.appoint(session, each)
        grants.put(session, grant("b.example", Scope.ALL, ""))

        assert len(grants.appointed(session, "audit.example+key", 9)) == 3
        assert len(grants.appointed(session, "audit.example+key", 10)) == 2
        assert grants.appointed(session, "other.example+key", 9) == []
        assert grants.dismiss(session, "a.example", "audit.example", "")
        assert grants.appointments(session) == made
        assert grants.dismiss(session, "a.example", "audit.example")
        assert not grants.dismiss(session, "a.example", "audit.example")
        grants.forget(session, "b.example")
        assert grants.appointments(session) == []
        assert grants.of(session, "b.example") == []


def test_statements_are_listed_without_what_they_say(new_url: Callable[[], str]) -> None:
    own = [
        OwnStatement(
            commitment=f"{index:02x}",
            index=index * 2,
            kind="k",
            product="p" if index % 2 else "q",
            site=None,
            batch=None,
            period_start="a",
            period_end="b",
            sharing="direct",
            envelope=bytes([index % 256]),
            ended=9 if index == 3 else None,
        )
        for index in range(listed.PAGE + 2)
    ]
    other = FetchedStatement(
        commitment="ff00",
        vkey="mine.example+key",
        origin="mine.example",
        index=7,
        product="p",
        sharing="public",
        envelope=b"other",
    )
    with closing(Database(new_url())) as database, database.write() as session:
        statements.add(session, own)
        feed.put_named(session, [("01", {"a.example", "b.example"}), ("03", ["a.example"])])

        page = listed.page(session, 0, 10_000)
        assert [each.index for each in page] == [each.index for each in own[: listed.PAGE]]
        assert [e.index for e in listed.page(session, 510, 10_000)] == [510, 512, 514]
        assert [e.commitment for e in listed.current(session, ["p"], 9)] == ["01", "03"]
        assert [e.commitment for e in listed.current(session, ["p"], 11)] == ["01", "05"]
        assert [e.commitment for e in listed.find(session, ["05", "no", "01"])] == ["01", "05"]
        assert listed.envelopes(session, ["05", "no"]) == {"05": b"\x05"}
        assert listed.envelopes_between(session, 2, 5) == [("01", 2, b"\x01"), ("02", 4, b"\x02")]
        assert [e.commitment for e in feed.own_naming(session, "a.example", 11)] == ["01"]
        seen.put_statements(session, [other])
        feed.put_named(session, [("ff00", ["a.example"])])
        [kept] = feed.kept_naming(session, "a.example")
        assert kept == listed.kept(session, "ff00")
        assert listed.kept_of(session, "mine.example+key", "p") == [kept]
        assert listed.kept_envelope(session, kept) == b"other"
        assert listed.kept(session, "no") is None
