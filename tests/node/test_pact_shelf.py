"""Footprints over HTTP: a list and its filters, one by its id, and that none ever changes."""

import dataclasses
from collections.abc import Callable

import msgspec
import pytest
from tests.node.pactshop import NONE, NOW, URN, Counter, Shop, buys, names, open_counter, rolled

from bcca_node.cli import main
from bcca_node.ledger.node import Node
from bcca_node.pact import extension, model, rendering, shelf
from bcca_node.pact.criteria import Criteria
from bcca_node.partners import parts
from bcca_node.storage import grants, pactshelf
from bcca_node.storage.grants import Scope
from bcca_protocol import statement
from bcca_protocol.envelope import Envelope, verify_envelope
from bcca_protocol.errors import MalformedError, UnavailableError
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.keys import Role
from bcca_protocol.proof import TlogProof

ONE = Stages(production=Components(fossil="1"))


@pytest.fixture
def shop(new_node: Callable[..., Node]) -> Shop:
    """A shop with three public products, one for the buyer alone, and one for nobody."""
    shop = Shop(new_node("shop.example", url="https://shop.example", clock=lambda: NOW))
    shop.sells("a", "b", "c")
    shop.sells("granted", "closed", sharing="direct")
    shop.meet("buyer", (Scope.PRODUCT, f"{URN}granted"))
    shop.meet("rival")
    shop.meet("friend", (Scope.ALL, ""))
    return shop


@pytest.fixture
def counter(shop: Shop) -> Counter:
    return open_counter(shop)


def test_each_partner_is_listed_what_it_may_see(counter: Counter) -> None:
    assert counter.products("rival") == ["a", "b", "c"]
    assert counter.products("buyer") == ["a", "b", "c", "granted"]
    assert counter.products("friend") == ["a", "b", "c", "closed", "granted"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_pages_of_every_size_are_the_whole_list_once(counter: Counter, limit: int) -> None:
    for who in ("rival", "buyer", "friend"):
        whole = names(counter.listed(who))

        assert names(counter.listed(who, f"?limit={limit}")) == whole
        assert len(set(whole)) == len(whole)
        first = counter.ask(who, f"/3/footprints?limit={limit}").json()["data"]
        assert len(first) == min(limit, len(whole))


def test_a_part_number_of_a_partner_is_understood_in_its_lists_and_in_no_others(
    shop: Shop, counter: Counter
) -> None:
    assert counter.products("buyer", "?productId=Cell-77") == []
    pairs = {"buyer": [("Cell-77", "granted"), ("x", "b"), ("Shut", "closed")], "rival": []}
    pairs["rival"] = [("r", "c"), ("s", "granted")]
    for who, known in pairs.items():
        parts.note(shop.node, shop.partners[who], [(name, URN + ours) for name, ours in known])
    assert counter.products("buyer", "?productId=Cell-77") == []  # noted, and confirmed by nobody
    for who in pairs:
        parts.confirm(shop.node, shop.partners[who])

    assert counter.products("buyer", "?productId=Cell-77") == ["granted"]
    assert counter.products("buyer", "?productId=cELL-77&status=active") == ["granted"]
    both = f"?productId=cell-77&productId={URN}a&productId=X&limit=1"
    assert counter.products("buyer", both) == ["a", "b", "granted"]
    assert counter.products("buyer", f"?productId={URN}a") == ["a"]
    for theirs in ("r", "s", "shut"):
        assert counter.products("buyer", f"?productId={theirs}") == []
    assert counter.products("rival", "?productId=s") == []
    assert counter.products("rival", "?productId=r") == ["c"]
    assert counter.products("rival", "?productId=cell-77") == []
    assert counter.products("friend", "?productId=cell-77") == []


def test_a_statement_granted_by_name_is_listed_last_and_once(shop: Shop, counter: Counter) -> None:
    closed, open_ = shop.sells("late", sharing="direct"), shop.sells("open")
    partner = shop.partners["buyer"]
    for commitment in (*closed, *open_):
        shop.grant(partner, Scope.STATEMENT, commitment)

    for limit in (1, 2, 5, 100):
        found = counter.products("buyer", f"?limit={limit}")
        assert found == ["a", "b", "c", "granted", "late", "open"]


def test_a_filter_is_kept_across_pages(counter: Counter) -> None:
    query = f"?productId={URN}A&productId=urn:none&productId={URN}granted&limit=1"

    assert counter.products("buyer", query) == ["a", "granted"]
    assert counter.products("rival", query) == ["a"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?geography=&classification=", 3),
        ("?status=Active", 3),
        ("?status=active&productId=" + URN + "b", 1),
        ("?status=Bogus", 0),
        ("?limit=0", 0),
        ("?limit=99999999999999999999999", 3),
        ("?validOn=2027-01-01T00:00:00Z", 3),
        ("?validBefore=1900-01-01T00:00:00Z", 0),
        ("?validAfter=2099-12-31T23:59:59Z&companyId=bogus", 0),
        ("?companyId=urn:pact:shop.example:company-id:SHOP.example", 3),
    ],
)
def test_a_list_answers_what_was_asked(counter: Counter, query: str, found: int) -> None:
    assert len(counter.listed("rival", query)) == found


@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=x", "limit=1.5", "limit=1&limit=2", "validOn=now", "after=zz", "after=5b"],
)
def test_what_cannot_be_read_is_a_bad_request(counter: Counter, query: str) -> None:
    answer = counter.ask("rival", f"/3/footprints?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")


def test_the_link_is_at_the_host_and_in_the_scheme_that_was_asked(shop: Shop) -> None:
    url = "https://shop.example/node"
    node = shop.node
    moved = Shop(
        # The proxy in front takes away /node.
        dataclasses.replace(node, settings=msgspec.structs.replace(node.settings, url=url)),
        shop.partners,
        shop.tokens,
    )
    counter = open_counter(moved)

    answer = counter.ask("rival", "/3/footprints?limit=1&geography=", host="other.example:8443")

    link = answer.headers["link"]
    assert link.startswith(
        "<https://other.example:8443/node/3/footprints?limit=1&geography=&after="
    )
    bad = counter.ask("rival", "/3/footprints?limit=1", host='a">.example')
    assert bad.status_code == 400


def test_one_footprint_is_what_the_list_has(counter: Counter) -> None:
    (listed, *_) = counter.listed("buyer")

    answer = counter.ask("buyer", f"/3/footprints/{listed['id'].upper()}")

    assert answer.json() == {"data": listed}
    assert answer.headers["cache-control"] == "private, no-store"


def test_hidden_and_absent_are_answered_alike(counter: Counter) -> None:
    hidden = next(e["id"] for e in counter.listed("friend") if e["productIds"] == [URN + "closed"])

    answers = [counter.ask("buyer", f"/3/footprints/{name}") for name in (hidden, NONE)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert answers[0].json()["code"] == "NotFound"
    told = [[each for each in answer.headers.items() if each[0] != "date"] for answer in answers]
    assert told[0] == told[1]
    assert counter.ask("buyer", "/3/footprints/{x}").status_code == 400


def test_a_footprint_never_changes_but_to_deprecated(shop: Shop, counter: Counter) -> None:
    old = next(e for e in counter.listed("rival") if e["productIds"] == [f"{URN}a"])
    commitment = old["extensions"][0]["data"]["commitment"]
    before = counter.ask("rival", f"/3/footprints/{old['id']}").content
    (later,) = shop.publish(shop.part("a", kg=5, corrects=commitment))

    after = counter.ask("rival", f"/3/footprints/{old['id']}").content
    new = counter.ask("rival", f"/3/footprints/{model.id_of(later)}").json()["data"]
    shop.revoke(later)
    revoked = counter.ask("rival", f"/3/footprints/{new['id']}").json()["data"]

    assert after == before.replace(b'"status":"Active"', b'"status":"Deprecated"')
    assert (new["status"], new["precedingPfIds"]) == ("Active", [old["id"]])
    assert revoked == {**new, "status": "Deprecated"}
    assert counter.ask("rival", f"/3/footprints/{old['id']}").content == after
    assert counter.products("rival", "?status=active") == ["b", "c"]
    assert counter.products("rival", "?status=deprecated") == ["a", "a"]


def test_a_follower_leaves_the_earlier_period_active(shop: Shop, counter: Counter) -> None:
    old = next(e for e in counter.listed("rival") if e["productIds"] == [f"{URN}a"])
    shop.sells("a", year=2026, follows=old["extensions"][0]["data"]["commitment"])

    found = [e for e in counter.listed("rival") if e["productIds"] == [f"{URN}a"]]

    assert [each["status"] for each in found] == ["Active", "Active"]
    assert not any("precedingPfIds" in each for each in found)


def test_what_is_not_whole_or_not_published_is_not_served(shop: Shop, counter: Counter) -> None:
    part = shop.part("cell", inputs=(buys("ore"),))
    (bought,) = shop.publish(part)
    (gap,) = shop.publish(rolled(part, ONE, incomplete=True))
    (whole,) = shop.publish(rolled(part, ONE, corrects=gap))

    (found,) = [e for e in counter.listed("rival") if e["productIds"] == [f"{URN}cell"]]

    assert found["id"] == model.id_of(whole)
    assert "precedingPfIds" not in found  # the incomplete one was never served
    with shop.node.database.read() as session:
        assert pactshelf.known(session, bought) is None


def test_the_extension_carries_a_statement_that_verifies(shop: Shop, counter: Counter) -> None:
    content = msgspec.json.encode(counter.listed("rival")[0])

    footprint = msgspec.json.decode(content, type=model.ProductFootprint)
    (carried,) = footprint.extensions or ()
    signed = extension.read(carried)

    envelope = Envelope.parse(bytes(signed.envelope))
    key = shop.node.keystore.record(Role.STATEMENT).key
    verify_envelope(envelope, (key,))
    stated = statement.decode(envelope.payload)
    assert stated.subject[0].name == footprint.product_ids[0]
    proof = TlogProof.parse(signed.proof)
    assert (signed.origin, int(signed.index)) == ("shop.example", proof.index)
    page = counter.ask("", "/pact/extension/1.0.0")
    assert "PACT Technical Specifications 3.0.3 (WBCSD)" in page.text
    schema = counter.ask("", "/pact/extension/1.0.0/schema.json").json()
    (data,) = (each["data"] for each in msgspec.json.decode(content)["extensions"])
    assert sorted(data) == sorted(schema["required"])


def test_who_was_shown_what_is_kept(shop: Shop, counter: Counter) -> None:
    counter.listed("buyer", "?limit=2")

    kept = shop.node.calls.fetched(now=NOW, origin="pact:buyer")

    assert {each.product for each in kept} == {f"{URN}{p}" for p in ("a", "b", "c", "granted")}
    assert {each.how for each in kept} == {shelf.HOW}


def test_a_page_that_is_at_hand_is_counted_each_time_and_gone_with_the_grant(
    shop: Shop, counter: Counter
) -> None:
    for _ in range(3):
        assert counter.products("buyer") == ["a", "b", "c", "granted"]

    kept = shop.node.calls.fetched(now=NOW, origin="pact:buyer")
    assert [each.times for each in kept] == [3, 3, 3, 3]
    with shop.node.database.write() as session:
        grants.drop(session, "pact:buyer", Scope.PRODUCT, f"{URN}granted", at=NOW)
    assert counter.products("buyer") == ["a", "b", "c"]
    shop.sells("new")
    assert counter.products("buyer") == ["a", "b", "c", "new"]


def test_nothing_is_shown_that_is_not_kept_as_shown(shop: Shop, counter: Counter) -> None:
    partner = shop.partners["rival"]
    rows = shelf.find(shop.node, partner, Criteria(), None, 1)

    assert len(rows.cards) == 1
    assert len(shop.node.calls.fetched(now=NOW, origin="pact:rival")) == 1
    with pytest.raises(MalformedError):
        shelf.find(shop.node, partner, Criteria(), "no cursor", 1)


def test_footprints_still_to_be_made_are_asked_for_later(shop: Shop) -> None:
    with pytest.raises(UnavailableError, match="ask again"):
        shelf.refresh(shop.node, 1)

    shelf.refresh(shop.node)
    shelf.refresh(shop.node, 1)
    with shop.node.database.read() as session:
        assert rendering.is_fresh(session)


def test_what_changed_is_told_in_the_order_of_the_log(shop: Shop) -> None:
    shelf.refresh(shop.node)
    with shop.node.database.read() as session:
        before, start = shelf.changed(session, 0, 100), pactshelf.mark(session)
    shop.revoke(before[0].commitment)
    shelf.refresh(shop.node)

    with shop.node.database.read() as session:
        after = shelf.changed(session, start, 100)

    assert [each.place for each in before] == sorted(each.place for each in before)
    assert [(each.id, each.deprecated) for each in after] == [(before[0].id, True)]


def test_the_operator_is_told_what_is_served_and_why_not(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    (bought,) = shop.publish(shop.part("cell", inputs=(buys("ore"),)))

    assert main(["pact", "list", "--data", str(shop.node.settings.data), "--json"]) == 0
    rows = {each["product"]: each for each in msgspec.json.decode(capsys.readouterr().out)}

    assert rows[f"{URN}a"]["status"] == "Active"
    assert rows[f"{URN}a"]["id"] == model.id_of(rows[f"{URN}a"]["commitment"])
    assert (rows[f"{URN}cell"]["commitment"], rows[f"{URN}cell"]["id"]) == (bought, "")
    assert "it buys 1 products" in rows[f"{URN}cell"]["why"]
