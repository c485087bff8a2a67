"""`bcca request` and `bcca inbox`: asking, answering and publishing from two desks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bcca_node.demo.sharing import partner_of
from bcca_node.ledger.node import Node
from bcca_node.storage import news, partners, seen
from bcca_node.storage.news import News
from bcca_node.storage.partners import PartnerRole

URN = "urn:bcca:case:t:C1"
KG = "6"


def know(node: Node, of: Node, role: PartnerRole) -> None:
    """Make `of` a partner of `node`, as an accepted invitation does."""
    with node.database.write() as session:
        partners.put(session, partner_of(of, [role]))


@pytest.fixture
def pair(chain: Any) -> Any:
    """A pack maker and its supplier, partners of each other."""
    know(chain.pack, chain.supplier, PartnerRole.SUPPLIER)
    know(chain.supplier, chain.pack, PartnerRole.CUSTOMER)
    return chain


@pytest.fixture
def asked(desk: Any, pair: Any) -> Callable[..., str]:
    """Ask the supplier, and return the id that both sides know."""

    def ask(*more: str) -> str:
        named = more or ("--part", "PK-7")
        ran = desk.bcca(
            "request", pair.supplier.origin, *named, "--period", "2025", "--json", data=pair.pack
        )
        assert ran.status == 0, ran.err
        assert ran.json["delivered"] is True, ran.err
        return str(ran.json["id"])

    return ask


def test_a_request_is_asked_accepted_published_and_fulfilled(
    desk: Any, pair: Any, asked: Callable[..., str]
) -> None:
    name = asked("--part", "PK-7", "--purpose", "model year 2027", "--due", "2999-12-31")
    waiting = desk.bcca("inbox", data=pair.supplier)
    accepted = desk.bcca("inbox", "accept", name[:6], "--product", URN, data=pair.supplier)
    desk.bcca("import", desk.written(desk.part("x", "C1"), sharing="direct"), data=pair.supplier)
    published = desk.bcca("publish", data=pair.supplier)
    [shown] = desk.bcca("request", "list", "--json", data=pair.pack).json

    for words in ("new", pair.pack.settings.name, "PK-7", "2025", "2999-12-31", "model year 2027"):
        assert words in waiting.out
    assert accepted.status == 0, accepted.err
    assert "is accepted" in accepted.out
    assert published.status == 0, published.err
    assert f"answers 1 request of {pair.pack.origin}" in published.err
    assert (shown["state"], shown["product"]) == ("fulfilled", URN)
    assert shown["commitment"] in published.out


def test_the_answer_is_fetched_verified_and_shown(
    desk: Any, pair: Any, asked: Callable[..., str]
) -> None:
    name = asked("--product", URN)
    early = desk.bcca("request", "read", name[:6], data=pair.pack)
    desk.bcca("inbox", "accept", name[:6], data=pair.supplier)
    desk.bcca("import", desk.written(desk.part("x", "C1"), sharing="direct"), data=pair.supplier)
    desk.bcca("publish", data=pair.supplier)
    [asked_for] = desk.bcca("request", "list", "--json", data=pair.pack).json
    read = desk.bcca("request", "read", name[:6], data=pair.pack)
    told = desk.bcca("request", "read", name[:6], "--json", data=pair.pack).json

    assert (early.status, "no answer" in early.refusal) == (2, True)
    assert read.status == 0, read.err
    assert "Verified and recomputed" in read.out
    assert told["statement"] == asked_for["commitment"]
    assert (told["product"], told["issuer"]) == (URN, pair.supplier.origin)
    assert (told["standing"], told["kgCO2e"]) == ("current", KG)
    with pair.pack.database.read() as session:
        assert [*seen.some(session, [told["statement"]])]
    assert desk.bcca("partners", "log", data=pair.supplier).out.count(told["statement"][:8]) > 0


def test_a_question_is_asked_back_and_answered(
    desk: Any, pair: Any, asked: Callable[..., str]
) -> None:
    name = asked()
    question = desk.bcca("inbox", "ask", name, "from which site?", data=pair.supplier)
    at_customer = desk.bcca("request", "show", name, data=pair.pack)
    desk.bcca("request", "comment", name, "the one in Kotka", data=pair.pack)
    told = desk.bcca("inbox", "show", name, "--json", data=pair.supplier).json

    assert "is question" in question.out
    assert "from which site?" in at_customer.out
    assert told["state"] == "new"
    assert [each["comment"] for each in told["events"]] == ["from which site?", "the one in Kotka"]


def test_who_declines_gives_a_reason_and_the_customer_reads_it(
    desk: Any, pair: Any, asked: Callable[..., str]
) -> None:
    name = asked()
    nothing = desk.bcca("inbox", "decline", name, "--reason", "because", data=pair.supplier)
    desk.bcca(
        "inbox", "decline", name, "--reason", "notOurProduct", "--comment", "ask the mill",
        data=pair.supplier,
    )  # fmt: skip
    shown = desk.bcca("request", "show", name, "--json", data=pair.pack).json
    listed = desk.bcca("inbox", "--json", data=pair.supplier).json

    assert "notOurProduct" in nothing.refusal
    assert (shown["state"], shown["reason"]) == ("declined", "notOurProduct")
    assert shown["events"][0]["comment"] == "ask the mill"
    assert listed["requests"] == []


def test_a_customer_reminds_and_withdraws(desk: Any, pair: Any, asked: Callable[..., str]) -> None:
    name = asked()
    reminded = desk.bcca("request", "remind", name, data=pair.pack)
    again = desk.bcca("request", "remind", name, data=pair.pack)
    withdrawn = desk.bcca("request", "withdraw", name, data=pair.pack)
    late = desk.bcca("inbox", "accept", name, data=pair.supplier)

    assert reminded.status == 0, reminded.err
    assert "once a day is enough" in again.refusal
    assert "is withdrawn" in withdrawn.out
    assert "it is withdrawn, so it cannot be accepted" in late.refusal


def test_an_event_that_cannot_be_delivered_is_kept_and_said(
    desk: Any, pair: Any, new_node: Callable[..., Node]
) -> None:
    nobody = new_node("nobody.example", url="http://127.0.0.1:9")
    know(pair.pack, nobody, PartnerRole.SUPPLIER)
    ran = desk.bcca("request", "nobody.example", "--part", "X", "--period", "2025", data=pair.pack)

    assert ran.status == 3
    assert "not delivered to nobody.example" in ran.err
    assert "new" in desk.bcca("request", data=pair.pack).out


def test_what_cannot_be_asked_is_refused_in_one_sentence(desk: Any, pair: Any) -> None:
    def refused(*arguments: str) -> str:
        return str(desk.bcca("request", *arguments, data=pair.pack).refusal)

    to = pair.supplier.origin
    assert "is no partner" in refused("x.example", "--part", "X", "--period", "2025")
    assert "--period 25" in refused(to, "--part", "X", "--period", "25")
    assert "say what: --part" in refused(to, "--period", "2025")
    assert "write a day" in refused(to, "--part", "X", "--period", "2025", "--due", "2026-02-30")
    assert "past" in refused(to, "--part", "X", "--period", "2025", "--due", "2020-02-03")
    assert "no request is called" in refused("show", "abcd")


def test_the_inbox_shows_news_until_it_is_read(desk: Any, pair: Any) -> None:
    told = News(
        id="1" * 32,
        partner=pair.supplier.origin,
        at=1_790_000_000,
        kind="corrected",
        issuer=pair.supplier.origin,
        commitment="ab" * 32,
        successor="cd" * 32,
        product=URN,
    )
    with pair.pack.database.write() as session:
        news.put(session, told)

    [read] = desk.bcca("inbox", "--json", data=pair.pack).json["news"]
    first = desk.bcca("inbox", data=pair.pack)
    second = desk.bcca("inbox", "--seen", data=pair.pack)
    third = desk.bcca("inbox", data=pair.pack)

    assert (read["kind"], read["successor"]) == ("corrected", "cd" * 32)
    assert "corrected" in first.out
    assert "corrected" in second.out
    assert "corrected" not in third.out


def test_what_a_terminal_would_obey_is_not_sent(desk: Any, pair: Any) -> None:
    """Attack: a part number with terminal codes."""
    ran = desk.bcca(
        "request", pair.supplier.origin, "--part", "\x1b[2JX", "--period", "2025", data=pair.pack
    )

    assert "\x1b" not in ran.out + ran.err
    assert "control characters" in ran.refusal


def test_a_customer_without_a_server_fetches_what_became_of_its_requests(
    desk: Any, pair: Any, asked: Callable[..., str]
) -> None:
    name = asked()
    with pair.supplier.database.write() as session:
        partner = partners.get(session, pair.pack.origin)
        assert partner is not None
        partners.put(session, replace(partner, url="http://127.0.0.1:9"))
    kept = desk.bcca("inbox", "ask", name, "which site?", data=pair.supplier)
    before = desk.bcca("request", "list", "--json", data=pair.pack).json
    after = desk.bcca("request", "list", "--fetch", "--json", data=pair.pack).json

    assert "not delivered" in kept.err
    assert [each["state"] for each in (*before, *after)] == ["new", "question"]
