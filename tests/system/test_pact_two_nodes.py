"""Two of our nodes that talk PACT only: exchange, decline and correct, while both are killed.

Neither is a partner of the other by anything else, and what the supplier states is for whom it was
granted alone: whatever the buyer holds of it came as PACT.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from tests.conftest import footprint_of
from tests.system.pact_ground import Ground, Side, urn

from bcca_node.storage import foreign, pactevents
from bcca_node.storage.foreign import Foreign, Trust
from bcca_node.storage.pactevents import Answer, Wanted
from bcca_protocol.inventory import Input, Supplier

SUPPLIER, BUYER = "pact:supplier", "pact:buyer"
GRANTED = ("cell", "fixed", "gone", "bought", "news")


@dataclass(frozen=True, kw_only=True)
class Trade:
    """A buyer that asks, and a supplier that answers."""

    buyer: Side
    supplier: Side
    made: Mapping[str, str]

    def held(self, product: str) -> list[Foreign]:
        """Return what the buyer holds of a product, the latest last."""
        with self.buyer.node.database.read() as session:
            found = foreign.of_products(session, [urn(product).lower()])
        return sorted(found, key=lambda each: each.number)

    def asked(self, event: str) -> Wanted:
        with self.buyer.node.database.read() as session:
            found = pactevents.wanted(session, event)
        assert found is not None
        return found

    def ask(self, product: str) -> str:
        """Ask for a product by the command; return the event that asks."""
        before = self._all()
        self.buyer.bcca("pact", "ask", "supplier", "--product", urn(product), status=None)
        [event] = self._all() - before
        return event

    def _all(self) -> set[str]:
        with self.buyer.node.database.read() as session:
            return {each.event for each in pactevents.all_wanted(session)}

    def settle(self, event: str, state: Answer) -> Wanted:
        """Return a request of the buyer once it is answered so."""
        self.buyer.ground.wait(
            lambda: self.asked(event).state is state,
            lambda: f"{self.asked(event)}\n{self.supplier.said}\n{self.buyer.said}",
        )
        return self.asked(event)

    def wait(self, product: str, count: int = 1, *, signed: bool = False) -> list[Foreign]:
        """Return what the buyer holds of a product, once it is so much."""

        def is_there() -> bool:
            found = self.held(product)
            return len(found) >= count and (not signed or all(map(is_signed, found)))

        self.buyer.ground.wait(is_there, lambda: f"{self.held(product)}\n{self.buyer.said}")
        return self.held(product)


def said(footprint: Foreign) -> Any:
    return json.loads(footprint.content)


def is_signed(footprint: Foreign) -> bool:
    return footprint.trust is Trust.SIGNED


@pytest.fixture(scope="module")
def trade(pact: Ground) -> Iterator[Trade]:
    buyer, supplier = pact.side("pact-buyer"), pact.side("pact-supplier")
    told = supplier.bcca("partners", "add", "--pact", "buyer", "--url", buyer.base, "--json").json
    issued = buyer.bcca(
        *("partners", "add", "--pact", "supplier", "--url", supplier.base, "--json"),
        *("--client-id", told["clientId"]),
        *("--client-secret-file", pact.secret(told["clientSecret"])),
    ).json
    supplier.bcca(
        *("partners", "update", "buyer", "--client-id", issued["clientId"]),
        *("--client-secret-file", pact.secret(issued["clientSecret"])),
    )
    for product in GRANTED:
        supplier.bcca("partners", "grant", BUYER, "--product", urn(product))
    for each in (buyer, supplier):
        each.start()
    parts = {name: supplier.made(name, kg=4, sharing="direct") for name in (*GRANTED, "unseen")}
    del parts["news"]  # that comes later
    made = supplier.publish(*parts.values())
    buyer.bcca("pact", "pull", "supplier")
    yield Trade(buyer=buyer, supplier=supplier, made=dict(zip(parts, made, strict=True)))
    for each in (buyer, supplier):
        if each.pid is not None:
            assert each.stop() == 0
        assert "a mistake in bcca" not in each.said


def test_what_was_granted_is_pulled_verified_and_counts_as_signed(trade: Trade) -> None:
    [found] = trade.wait("cell", signed=True)

    assert found.statement == trade.made["cell"]
    assert found.problems == ()
    assert said(found)["pcf"]["pcfExcludingBiogenicUptake"] == "12"
    assert trade.held("unseen") == []
    assert found.id in trade.buyer.bcca("pact", "foreign", "--json").out
    assert "signed" in trade.buyer.bcca("pact", "show", found.id).out


def test_pulled_again_nothing_is_kept_twice(trade: Trade) -> None:
    before = {name: len(trade.held(name)) for name in GRANTED}
    trade.buyer.bcca("pact", "pull", "supplier")

    assert {name: len(trade.held(name)) for name in GRANTED} == before


def test_news_come_by_themselves_and_are_fetched(trade: Trade) -> None:
    trade.supplier.sell("news", sharing="direct")

    trade.wait("news", signed=True)


def test_what_is_asked_for_is_accepted_published_and_here(trade: Trade) -> None:
    event = trade.ask("asked")
    request = trade.supplier.waiting("asked")
    trade.supplier.bcca("inbox", "accept", request, "--product", urn("asked"), status=None)
    trade.supplier.sell("asked", kg=5, sharing="direct")
    told = trade.settle(event, Answer.FULFILLED)
    [found] = trade.wait("asked", signed=True)

    assert told.footprints == (found.id,)
    assert said(found)["pcf"]["pcfExcludingBiogenicUptake"] == "15"


def test_what_is_declined_is_told_with_the_reason(trade: Trade) -> None:
    event = trade.ask("declined")
    request = trade.supplier.waiting("declined")
    trade.supplier.bcca("inbox", "decline", request, "--reason", "noData", status=None)
    told = trade.settle(event, Answer.REJECTED)

    assert told.code
    assert told.message
    assert told.footprints == ()


def test_a_correction_arrives_and_what_it_corrects_counts_no_more(trade: Trade) -> None:
    trade.wait("fixed", signed=True)
    trade.supplier.correct(
        trade.made["fixed"], trade.supplier.made("fixed", kg=3, sharing="direct")
    )
    trade.buyer.ground.wait(lambda: len(live(trade, "fixed")) == 1 and len(ids(trade, "fixed")) > 1)
    [now] = live(trade, "fixed")

    assert said(now)["pcf"]["pcfExcludingBiogenicUptake"] == "9"
    assert said(now)["precedingPfIds"][0] in ids(trade, "fixed")


def test_a_revocation_arrives(trade: Trade) -> None:
    trade.wait("gone", signed=True)
    trade.supplier.revoke(trade.made["gone"])

    trade.buyer.ground.wait(lambda: live(trade, "gone") == [])


def ids(trade: Trade, product: str) -> set[str]:
    return {each.id for each in trade.held(product)}


def live(trade: Trade, product: str) -> list[Foreign]:
    return [each for each in trade.held(product) if not each.is_deprecated]


def test_nothing_is_lost_or_answered_twice_while_both_are_killed(trade: Trade) -> None:
    """The buyer dies before it is answered, the supplier before it answers, and so on."""
    buyer, supplier = trade.buyer, trade.supplier
    buyer.kill()
    wanted, unwanted = trade.ask("killed"), trade.ask("not-killed")
    buyer.start()
    requests = {name: trade.supplier.waiting(name) for name in ("killed", "not-killed")}
    supplier.kill()
    supplier.bcca("inbox", "accept", requests["killed"], "--product", urn("killed"), status=None)
    supplier.bcca("inbox", "decline", requests["not-killed"], "--reason", "noData", status=None)
    buyer.kill()
    supplier.start()
    made = supplier.sell("killed", kg=2, sharing="direct")
    supplier.kill()
    buyer.start()
    supplier.start()
    told, _ = trade.settle(wanted, Answer.FULFILLED), trade.settle(unwanted, Answer.REJECTED)
    supplier.correct(made, supplier.made("killed", kg=3, sharing="direct"))
    supplier.kill()
    buyer.kill()
    supplier.start()
    buyer.start()
    buyer.ground.wait(lambda: len(live(trade, "killed")) == 1 and len(ids(trade, "killed")) > 1)

    [now] = live(trade, "killed")
    assert told.footprints[0] in ids(trade, "killed") - {now.id}
    assert said(now)["pcf"]["pcfExcludingBiogenicUptake"] == "9"


def test_what_came_as_pact_alone_fills_a_run_as_a_signed_statement(trade: Trade) -> None:
    trade.wait("bought", signed=True)
    log_key = trade.supplier.log_line.split()[1]
    line = Input(
        id="bought",
        product=urn("bought"),
        supplier=Supplier(origin=trade.supplier.origin, key=log_key),
        amount="2",
        unit="kg",
        stages="keep",
    )
    trade.buyer.publish(footprint_of(trade.buyer.origin, "pack", buys=(line,)))
    ran = trade.buyer.bcca("aggregate", urn("pack"), "--json", status=None)

    assert ran.status == 0, ran
    total = Decimal(str(ran.json["total"]))
    assert total == 2 * 12 + 6
