"""A run again in the same process: what changed is looked at, and the result is that of a new run.

A walk leads where one from the roots would lead, or is not taken: each test compares the very bytes
that would be signed with those of a run that knows nothing.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest

from bcca_node.ledger import status
from bcca_node.packmaker import adding, collect, run
from bcca_node.packmaker.collect import Collected
from bcca_node.packmaker.last import Last
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.walk import Walk
from bcca_node.storage import statements
from bcca_protocol import wire
from bcca_protocol.entry import Status
from bcca_protocol.period import Span
from bcca_protocol.rules import NEUTRAL_1, parse

CHECKPOINT = "/log/checkpoint"
HEAD, HONEST, LIAR, FOIL, MINE = "pack", "cell", "cathode", "foil", "mine"
SUPPLIERS = (HONEST, LIAR, FOIL, MINE)


class Company:
    """A pack maker with one product, that runs again and again in one process."""

    def __init__(self, market: Any, lies: Any) -> None:
        self.market, self.lies = market, lies
        self.node = market.member(HEAD).node
        self.ore = market.sold("5", by=MINE)
        self.foil = market.sold("2", by=FOIL, inputs=[market.bought(MINE, self.ore, "0.3")])
        self.inputs = [market.bought(MINE, self.ore, "0.5"), market.bought(FOIL, self.foil, "0.2")]
        self.sold = market.sold("7", inputs=self.inputs)
        self.product = market.pack(
            market.bought(LIAR, self.sold, "0.7"), market.bought(FOIL, self.foil, "0.1")
        )
        self.last = Last()
        self.run()

    def run(self) -> Collected:
        """Run again, and anew, both to the same bytes; return what was collected again."""
        again, made = self._stated(self.last)
        _, anew = self._stated(None)
        assert made == anew
        return again

    def _stated(self, last: Last | None) -> tuple[Collected, bytes]:
        node = self.node
        order = Order(product=self.product, amount=None, at=node.clock(), last=last)
        root = run._root(node, order)  # noqa: SLF001  # the run itself would enter the result
        plan = Plan(period=root.part.period, at=order.at, rules=order.rules)
        found = self.market.ask(lambda it: collect.collect(node, it, [root], plan, last))
        added = adding.add_up(node, found, root, order)
        return found, wire.encode(run.state(node, added, at=order.at))

    def walk(self) -> Walk:
        """Return the walk that the last run left."""
        assert self.last.walk is not None
        return self.last.walk

    def is_anew(self) -> bool:
        """Say whether that began from the roots."""
        return self.walk().changed is None

    def current(self, name: str, product: str) -> str:
        """Return the commitment of what stands for a product."""
        node = self.market.member(name).node
        with node.database.read() as session:
            [found] = statements.current(session, [product], 10**9)
        return str(found.commitment)

    def corrects(self, kg: str, *, by: str = LIAR, **more: Any) -> None:
        """Let a supplier correct what it says of its product."""
        product, inputs = self._about(by)
        made = self.market.part(by, product, kg, more.pop("inputs", inputs), **more)
        old = self.current(by, product)
        self.market.publish(by, status.replacing(made, old, Status.CORRECTED))

    def _about(self, name: str) -> tuple[str, list[Any]]:
        of_foil = [self.market.bought(MINE, self.ore, "0.3")]
        return {
            LIAR: (self.sold, self.inputs),
            FOIL: (self.foil, of_foil),
            MINE: (self.ore, []),
        }[name]

    def names(self, found: Collected) -> set[str]:
        """Return the products that were looked at again."""
        assert found.since is not None
        return {found.reached[name].part.product for name in found.since.changed}


@pytest.fixture
def company(market: Any, lies: Any) -> Company:
    return Company(market, lies)


def test_where_nothing_has_changed_suppliers_are_asked_for_their_heads_and_no_more(
    company: Company,
) -> None:
    mouths = company.market.mouths
    for name in SUPPLIERS:
        mouths[name].asked.clear()
    again, _ = company._stated(company.last)  # noqa: SLF001

    assert {path for name in SUPPLIERS for path in mouths[name].asked} == {CHECKPOINT}
    assert company.names(again) == set()
    assert company.run().since is not None


def test_after_a_correction_its_buyers_alone_are_looked_at_again(company: Company) -> None:
    company.corrects("2.5", by=FOIL)

    assert company.names(company.run()) == {company.foil, company.sold, company.product}

    company.corrects("6.5")

    assert company.names(company.run()) == {company.sold, company.product}


def test_what_a_supplier_says_of_other_products_changes_nothing(company: Company) -> None:
    company.market.sold("8", by=MINE)

    assert company.names(company.run()) == set()


def _buys_something_new(company: Company) -> None:
    more = company.market.bought(MINE, company.market.sold("1.1", by=MINE), "0.4")
    company.corrects("7", inputs=[*company.inputs, more])


def _buys_no_more(company: Company) -> None:
    company.corrects("7", inputs=company.inputs[:1])


def _revokes(company: Company) -> None:
    node = company.market.member(FOIL).node
    with node.database.read() as session:
        [old] = statements.current(session, [company.foil], 10**9)
    status.revoke(node, old.commitment)
    company.market.cosigned(FOIL)


def _says_two_things(company: Company) -> None:
    market = company.market
    made = market.signed(market.payload(market.part(MINE, company.ore, "5.5"), by=MINE), by=MINE)
    market.enter(made, company.ore, by=MINE)


def _is_down(company: Company) -> None:
    company.market.lies(CHECKPOINT, company.lies.answers(b"", 503), by=LIAR)


def _shows_garbage(company: Company) -> None:
    company.market.lies(CHECKPOINT, company.lies.answers(b"nothing signed"), by=FOIL)


def _ships_another_pack(company: Company) -> None:
    made = company.market.part(
        HEAD, company.product, "3", [company.market.bought(LIAR, company.sold, "0.9")]
    )
    old = company.current(HEAD, company.product)
    company.market.publish(HEAD, status.replacing(made, old, Status.CORRECTED))


@pytest.mark.parametrize(
    "changes",
    [
        _buys_something_new,
        _buys_no_more,
        _revokes,
        _says_two_things,
        _is_down,
        _shows_garbage,
        _ships_another_pack,
    ],
)
def test_what_leads_elsewhere_is_walked_anew(
    company: Company, changes: Callable[[Company], None]
) -> None:
    changes(company)

    assert company.run().since is None

    company.market.mouths[LIAR].lies.clear()
    company.market.mouths[FOIL].lies.clear()
    company.run()
    company.run()


@pytest.mark.parametrize(
    "told",
    [
        {"is_offline": True},
        {"rules": parse(NEUTRAL_1)},
        {"period": Span("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z")},
    ],
)
def test_offline_by_other_rules_or_for_another_period_it_is_walked_anew(
    company: Company, told: dict[str, Any]
) -> None:
    company.run()
    roots = company.walk().roots
    assert not company.is_anew()
    plan = Plan(**{"period": roots[0].part.period, "at": company.node.clock(), **told})
    company.market.ask(lambda it: collect.collect(company.node, it, roots, plan, company.last))

    assert company.is_anew()

    company.run()
    assert company.is_anew()
    assert company.run().since is not None


@pytest.mark.parametrize("seed", range(2))
def test_any_row_of_corrections_comes_to_what_a_new_run_comes_to(
    company: Company, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    for _ in range(4):
        for name in rng.sample([LIAR, FOIL, MINE], rng.randint(1, 3)):
            company.corrects(f"{rng.randint(1, 99)}.{rng.randint(1, 99)}", by=name)
        assert company.run().since is not None
