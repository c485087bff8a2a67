"""What partners tell a node: taken once and whole, from partners only, and nothing is told back."""

import asyncio
import hashlib
import threading
from collections.abc import Callable
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcca_node.ledger.node import Node
from bcca_node.network.client import Answer, Fetcher
from bcca_node.partners import event as events
from bcca_node.partners import inlet
from bcca_node.partners.event import (
    Accepted,
    AuditorEvent,
    Event,
    RequestEvent,
    StatementEvent,
    Wanted,
)
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import grants, inbox, leaving, news, partners
from bcca_node.storage.dealings import PartnerRow, ReceivedRow
from bcca_node.storage.grants import Appointment
from bcca_protocol import period
from bcca_protocol.errors import RefusedError, UnavailableError
from bcca_protocol.inventory import Interval
from bcca_protocol.keys import Role

Served = Callable[..., Node]


def now(node: Node) -> str:
    return period.text_at(node.clock())


def corrected(node: Node, **other: Any) -> StatementEvent:
    told = {"id": events.new_id(), "kind": "corrected", "commitment": "ab" * 32}
    told |= {"issuer": node.origin, "product": "urn:x-test:p"}
    return StatementEvent(at=now(node), **{**told, **other})


def appointed(node: Node, who: Node, **other: Any) -> AuditorEvent:
    key = who.keystore.record(Role.REQUEST).key.encode()
    told = {"kind": "appointed", "auditor": who.origin, "request_key": key}
    return AuditorEvent(id=events.new_id(), at=now(node), **{**told, **other})


def asked(node: Node, request: str | None = None, **other: Any) -> RequestEvent:
    name = request or events.new_id()
    return RequestEvent(
        id=events.new_id(), at=now(node), request=name, **{"kind": "created", **other}
    )


def wanted(**other: Any) -> Wanted:
    year = Interval("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
    return Wanted(period=year, purpose="pack 7", **other)


def post(node: Node, to: Node, told: Event | bytes) -> Answer:
    """Send an event signed by `node`."""
    body = told if isinstance(told, bytes) else events.encode(told)

    async def run() -> Answer:
        hosts, signer = {"127.0.0.1"}, node.keys.signer(Role.REQUEST)
        async with Fetcher(hosts, signer=signer, clock=node.clock) as fetcher:
            url, json = f"{to.settings.url}/events", "application/json"
            return await fetcher.post(url, body, content_type=json, limit=4096, audience=to.origin)

    return asyncio.run(run())


def all_news(node: Node) -> list[news.News]:
    with node.database.read() as session:
        return news.every(session)


def test_an_event_is_taken_and_then_known(us: Node, them: Node) -> None:
    event = corrected(them)
    answers = [post(them, us, event) for _ in range(3)]

    assert [each.status for each in answers] == [200, 200, 200]
    assert [httpx.Response(200, content=a.body).json() for a in answers] == [
        {"id": event.id, "result": "taken"},
        {"id": event.id, "result": "known"},
        {"id": event.id, "result": "known"},
    ]
    (told,) = all_news(us)
    assert (told.partner, told.issuer, told.kind) == (them.origin, them.origin, "corrected")


def test_attack_one_name_for_two_events_is_refused(us: Node, them: Node) -> None:
    event = corrected(them)
    post(them, us, event)
    other = post(them, us, corrected(them, id=event.id, kind="revoked"))

    assert other.status == 409
    assert len(all_news(us)) == 1


def test_two_partners_may_use_one_name(
    us: Node, them: Node, new_node: Served, acquaint: Any
) -> None:
    other = new_node("other.example")
    acquaint(us, them, other)
    name = events.new_id()
    answers = [post(each, us, corrected(each, id=name)) for each in (them, other)]

    assert [each.status for each in answers] == [200, 200]
    assert {each.partner for each in all_news(us)} == {them.origin, other.origin}


def test_attack_nobody_tells_anything_without_a_signature(
    us: Node, them: Node, ask: Callable[..., httpx.Response]
) -> None:
    answer = ask(us, "/events", body=events.encode(corrected(them)))

    assert answer.status_code == 401
    assert all_news(us) == []


def test_attack_a_stranger_is_told_the_same_whatever_it_sends(
    us: Node, them: Node, new_node: Served
) -> None:
    stranger = new_node("stranger.example")
    sent: list[Event | bytes] = [b"", b"{}", b"[" * 9000, b"\xff", corrected(stranger)]
    answers = [post(stranger, us, each) for each in sent]

    assert {each.status for each in answers} == {403}
    assert len({each.body for each in answers}) == 1


def test_attack_who_was_a_partner_once_tells_nothing_any_more(us: Node, them: Node) -> None:
    with us.database.write() as session:
        leaving.forget(session, them.origin)

    assert post(them, us, corrected(them)).status == 403
    assert all_news(us) == []


def test_attack_a_partner_whose_keys_are_refused_tells_nothing(us: Node, them: Node) -> None:
    with us.database.write() as session:
        row = session.get(PartnerRow, them.origin)
        assert row is not None
        row.refused = "its log says otherwise"
        session.add(row)

    assert post(them, us, corrected(them)).status == 403


def test_attack_an_acceptance_in_the_name_of_another_key_is_refused(
    us: Node, them: Node, new_node: Served
) -> None:
    thief = new_node("thief.example")
    keys = them.keystore
    event = Accepted(
        id=events.new_id(),
        at=now(thief),
        invitation=events.new_id(),
        origin=them.origin,
        name="Pack",
        url="https://thief.example",
        log_key=them.log_key.encode(),
        request_key=keys.record(Role.REQUEST).key.encode(),
        seal_key=keys.record(Role.SEAL).key.encode(),
    )

    assert post(thief, us, event).status == 403


def test_attack_an_invitation_is_not_guessed(us: Node, them: Node, new_node: Served) -> None:
    guest = new_node("guest.example")
    keys = guest.keystore
    event = Accepted(
        id=events.new_id(),
        at=now(guest),
        invitation=events.new_id(),
        origin=guest.origin,
        name="Guest",
        url="https://guest.example",
        log_key=guest.log_key.encode(),
        request_key=keys.record(Role.REQUEST).key.encode(),
        seal_key=keys.record(Role.SEAL).key.encode(),
    )
    answers = [post(guest, us, event) for _ in range(2)]

    assert [each.status for each in answers] == [400, 400]
    assert answers[0].body == answers[1].body
    with us.database.read() as session:
        assert partners.get(session, guest.origin) is None
        assert inbox.digest(session, guest.origin, event.id) is None


def test_attack_an_answer_does_not_tell_whether_a_request_or_product_is_known(
    us: Node, them: Node, new_node: Served, acquaint: Any
) -> None:
    other = new_node("other.example")
    acquaint(us, them, other)
    theirs, others = events.new_id(), events.new_id()
    post(them, us, asked(them, theirs, wanted=wanted(product="urn:x-test:known")))
    post(other, us, asked(other, others, wanted=wanted(product="urn:x-test:known")))
    names = [theirs, others, events.new_id()]
    said = [asked(them, name, kind="comment", comment="please") for name in names]
    said += [asked(them, wanted=wanted(product=f"urn:x-test:{p}")) for p in ("known", "unknown")]
    answers = [post(them, us, each) for each in said]

    assert {each.status for each in answers} == {200}
    bodies = {a.body.replace(e.id.encode(), b"") for a, e in zip(answers, said, strict=True)}
    assert len(bodies) == 1
    assert len({(each.content_type) for each in answers}) == 1


def test_an_event_over_the_limit_is_refused(us: Node, them: Node) -> None:
    assert post(them, us, b" " * (events.MAX_EVENT_BYTES + 1)).status == 413


def test_attack_an_event_in_another_form_is_refused(us: Node, them: Node) -> None:
    body = events.encode(corrected(them))
    spaced = body.replace(b":", b": ", 1)
    doubled = body[:-1] + b',"type":"statement"}'

    assert [post(them, us, each).status for each in (spaced, doubled, body)] == [400, 400, 200]


def test_a_partner_appoints_an_auditor_for_itself_and_dismisses_it(
    us: Node, them: Node, new_node: Served
) -> None:
    auditor = new_node("auditor.example")
    post(them, us, appointed(them, auditor, product="urn:x-test:p"))
    with us.database.read() as session:
        (known,) = grants.appointments(session)
    post(them, us, appointed(them, auditor, kind="dismissed"))

    assert (known.recipient, known.auditor) == (them.origin, auditor.origin)
    with us.database.read() as session:
        assert grants.appointments(session) == []


def test_attack_an_auditor_is_not_appointed_under_the_name_of_another(
    us: Node, them: Node, new_node: Served
) -> None:
    auditor = new_node("auditor.example")
    answer = post(them, us, appointed(them, auditor, auditor="known.example"))

    assert answer.status == 400
    with us.database.read() as session:
        assert grants.appointments(session) == []


def test_a_partner_has_room_for_so_many_auditors(us: Node, them: Node, new_node: Served) -> None:
    auditor = new_node("auditor.example")
    with us.database.write() as session:
        for number in range(inlet.MAX_APPOINTMENTS):
            one = Appointment(
                recipient=them.origin, auditor=f"a{number}", product="", request_key="", given=0
            )
            grants.appoint(session, one)

    assert post(them, us, appointed(them, auditor)).status == 429


def test_a_partner_tells_so_much_in_a_day_and_more_on_the_next(us: Node, them: Node) -> None:
    digest = hashlib.sha256(b"").digest()
    with us.database.write() as session:
        for number in range(inlet.MAX_A_DAY):
            session.add(
                ReceivedRow(partner=them.origin, event=str(number), digest=digest, at=us.clock())
            )
    today = post(them, us, corrected(them))
    with us.database.write() as session:
        inbox.prune(session, us.clock() + 1)

    assert today.status == 429
    assert post(them, us, corrected(them)).status == 200


def test_an_event_that_is_refused_leaves_nothing_behind(us: Node, them: Node) -> None:
    empty = asked(them)  # a request that does not say what is wanted
    refused = [post(them, us, empty).status for _ in range(2)]

    assert refused == [400, 400]
    with us.database.read() as session:
        assert inbox.digest(session, them.origin, empty.id) is None


def test_of_two_that_bring_one_event_at_the_same_time_one_is_taken(us: Node, them: Node) -> None:
    body, key = events.encode(corrected(them)), them.keystore.record(Role.REQUEST).key
    caller = Caller(kind=Kind.PARTNER, key=key, origin=them.origin)
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(inlet.take(us, caller, body).result))
        for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(results) == ["known"] * 7 + ["taken"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_attack_hostile_bodies_are_refused_and_break_nothing(
    us: Node, them: Node, data: st.DataObject
) -> None:
    key = them.keystore.record(Role.REQUEST).key
    caller = Caller(kind=Kind.PARTNER, key=key, origin=them.origin)
    kinds: list[Event] = [corrected(them), asked(them, kind="comment", comment="x")]
    told = data.draw(st.sampled_from(kinds))
    body = events.encode(told)
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))
    junk = data.draw(st.binary(max_size=12) | JSON.map(lambda each: repr(each).encode()))
    hostile = body[:start] + junk + body[end:]
    try:
        taken = inlet.take(us, caller, hostile)
    except (RefusedError, UnavailableError) as error:
        assert str(error)
    else:
        assert events.encode(events.decode(hostile)) == hostile
        assert taken.result in {"taken", "known"}
