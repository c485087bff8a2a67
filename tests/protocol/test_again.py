"""Networks changed step by step: connected and added up again, they are as from scratch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from bcca_protocol.aggregate import Totals, aggregate
from bcca_protocol.choices import Choice, Source, Why
from bcca_protocol.components import components, is_same_shape
from bcca_protocol.cones import Known
from bcca_protocol.demand import Demand, demand
from bcca_protocol.errors import UnproductiveError
from bcca_protocol.graph import Flagged, Graph, Leaf, Missing, connect, reconnect
from bcca_protocol.inventory import Allocation, Amount, CoProduct, Electricity
from bcca_protocol.partial import Bought, Part
from bcca_protocol.results import Substitute
from bcca_protocol.statement import Site
from bcca_protocol.substituted import Substituted, substituted

NETWORKS, STEPS = 120, 6
PRODUCTS, VERSIONS = 5, 3
HALF = Allocation(
    basis="mass", joint_process="mill", weight="1",
    co_products=(CoProduct(name="dust", amount="1", unit="kg", weight="1"),),
)  # fmt: skip


@dataclass(kw_only=True)
class Shop:
    """What may feed whom, and who does now: a `Chooser` that a test changes as it likes."""

    pool: Sequence[Source]
    random: Random
    offers: list[Any] = field(default_factory=list)
    fed: dict[tuple[str, str], Choice] = field(default_factory=dict)

    def __call__(self, consumer: Part, bought: Bought) -> Choice:
        """Return what feeds an input: what was drawn for it before."""
        return self.fed.setdefault((consumer.commitment, bought.line), self.draw())

    def draw(self) -> Choice:
        """Return what is offered, or may feed though it is not, or nothing."""
        source: Source = self.random.choice([*self.offers, self.random.choice(self.pool)])
        kind = self.random.random()
        if kind < 0.15:
            return Missing("nobody", bound=self.random.choice([None, Decimal(2)]))
        if kind < 0.25 and not isinstance(source, Substituted):
            return Flagged(source, Why(self.random.choice(["expired", "lagged"]), "old"))
        return source

    def edit(self) -> set[str]:
        """Change one thing; return the commitments of what may be fed otherwise."""
        source = self.random.choice(self.pool)
        if self.random.random() < 0.4 and self.fed:
            key = self.random.choice(sorted(self.fed))
            self.fed[key] = self.draw()
            return {key[0]}
        if source in self.offers:
            self.offers.remove(source)
        elif not isinstance(source, Substituted):
            self.offers.insert(self.random.randint(0, len(self.offers)), source)
        return {source.fact.commitment}


@pytest.fixture
def pool(chain: Any, line: Any, per: Any) -> list[Source]:
    """Signed statements of every kind of line, roll-ups of some, and a value that nobody signed."""
    random = Random(9)  # noqa: S311 - statements to compare, the same in each run
    power = Electricity(supply="contract", location_factor=per("6", "kWh"))
    for product in range(PRODUCTS):
        for version in range(VERSIONS):
            inputs = [
                chain.buys(
                    f"p{random.randrange(PRODUCTS)}", random.choice(["0.05", "0.0123", "0"]),
                    line=f"line{n}", unit=random.choice(["kg", "g"]), joint=version == 1,
                    stages=random.choice(["keep", "keep", "use", "endOfLife"]),
                    yield_=random.choice([None, "0.9"]),
                )
                for n in range(random.randrange(4))
            ]  # fmt: skip
            lines = [line("own", "1", f"{random.randint(1, 99)}.7", stage="production")]
            if product == version:
                lines += [line("kwh", "2", "1", "kWh", kind="energy", electricity=power)]
            chain.sells(
                f"p{product}", "0", *inputs, activities=lines[version == 2 :],
                site=Site(id="A") if version else None,
                allocation=HALF if version == 1 else None,
                declared_unit=Amount(random.choice(["1", "10"]), "kg"),
                output=Amount(random.choice(["1", "3"]), "kg"),
            )  # fmt: skip
    facts = chain.facts()
    chain.sells("whole", "3")
    chain.sells("partly", "3", chain.buys("nowhere", "1"))
    for name in ("whole", "partly"):
        chain.publish(chain.rolled_up(name))
    inputs = [(part.fact, bought) for part in facts for bought in part.fact.bought]
    unsigned = substituted(Substitute(factor=per("4"), reason="none"), inputs[0][1], inputs[0][0])
    found = chain.introduced()[:2]
    seen = {each.fact.commitment for each in found}
    return [*found, *(f for f in facts if f.fact.commitment not in seen), *chain.leaves(), unsigned]


def wired(graph: Graph) -> object:
    """Return a graph as what can be compared: substitutes are made anew each time."""
    facts = [each.fact for each in graph.sources]
    signed = [None if isinstance(each, Substituted) else each for each in graph.sources]
    index, bounds = list(graph.index.items()), dict(graph.bounds)
    return graph.parts, facts, signed, graph.terms, graph.missing, index, bounds


def digits(totals: Totals) -> object:
    """Return all that a sum says, in its order, every digit of it."""
    vectors = [(part, list(map(str, kg))) for part, kg in totals.vectors.items()]
    table = totals.table.columns, totals.table.has_location
    return vectors, totals.order, table, totals.incomplete, totals.expired


def asked(needed: Demand) -> object:
    """Return all that a demand says, every digit of it."""
    amounts = [(part, str(amount)) for part, amount in needed.amounts.items()]
    edges = {key: str(amount) for key, amount in needed.edges.items()}
    return amounts, edges, {key: str(amount) for key, amount in needed.seen.items()}


def steps(shop: Shop) -> Iterator[Graph]:
    """Yield the graph after each of some edits, connected again; it is that from scratch."""
    last = connect(shop.offers, shop)
    for _ in range(STEPS):
        changed = set[str]().union(*(shop.edit() for _ in range(shop.random.randint(0, 2))))
        offered = {each.fact.commitment for each in shop.offers}
        for (consumer, line), choice in list(shop.fed.items()):
            gone = not isinstance(choice, Missing) and choice.fact.commitment not in offered
            if gone and shop.random.random() < 0.5:  # whom it fed is mostly fed otherwise then
                shop.fed[consumer, line] = shop.draw()
                changed.add(consumer)
        changed |= offered - {each.fact.commitment for each in last.sources}
        changed |= {source.fact.commitment for source, terms in _unfed(last) if not terms}
        again = reconnect(last, shop.offers, shop, changed)

        assert wired(again) == wired(connect(shop.offers, shop))
        last = again
        yield again


def _unfed(graph: Graph) -> Iterator[tuple[Source, object]]:
    """Yield each source with what feeds it: one that nothing feeds may not have been offered."""
    return zip(graph.sources, graph.terms, strict=True)


@pytest.mark.parametrize("quarter", range(4))
def test_whatever_changes_the_graph_the_sum_and_the_demand_are_those_from_scratch(
    pool: list[Source], quarter: int
) -> None:
    reused = computed = 0
    for seed in range(quarter, NETWORKS, 4):
        random = Random(seed)  # noqa: S311 - networks to compare, the same in each run
        offered = [each for each in pool if not isinstance(each, Substituted)]
        shop = Shop(pool=pool, random=random, offers=random.sample(offered, 9))
        known = Known()
        for graph in steps(shop):
            roots = random.choice([None, [0], [0], [len(graph.parts) - 1]])
            for one in variations(graph, random):
                scratch, again = aggregate(one, roots), aggregate(one, roots, known)
                root, amount = scratch.order[-1][0], random.choice([Decimal(3), Decimal("3.0")])

                assert digits(again) == digits(scratch)
                assert asked(demand(again, root, amount, known)) == asked(
                    demand(scratch, root, amount)
                )
                assert known.computed + known.reused == len(again.vectors)
                computed, reused = computed + known.computed, reused + known.reused

    assert computed > 0
    assert reused > computed  # or this test would be about nothing


def variations(graph: Graph, random: Random) -> list[Graph]:
    """Return a graph; sometimes also with a part cut off, or as if it was read anew."""
    if random.random() < 0.6:
        return [graph]
    parts, at = list(graph.parts), random.randrange(len(graph.parts))
    parts[at] = msgspec.structs.replace(parts[at], own=dict(list(parts[at].own.items())[1:]))
    copies = tuple(tuple(map(msgspec.structs.replace, each)) for each in graph.terms)
    return [graph, replaced(graph, parts=tuple(parts)), replaced(graph, terms=copies), graph]


def test_of_whom_nothing_changed_nobody_is_asked_and_the_terms_are_the_same_objects(
    chain: Any,
) -> None:
    chain.sells("ore", "2")
    chain.sells("foil", "1", chain.buys("ore", "3"))
    chain.sells("pack", "1", chain.buys("foil", "1"))
    facts = chain.facts()
    graph = chain.graph(facts)

    again = reconnect(graph, facts, lambda *_: pytest.fail("asked"), set())

    assert wired(again) == wired(graph)
    assert all(here is there for here, there in zip(again.terms, graph.terms, strict=True))


def test_a_roll_up_that_feeds_nobody_any_more_goes_and_its_gap_comes(chain: Any) -> None:
    chain.sells("ore", "2")
    rolled = chain.rolled_up("ore")
    chain.companies.clear()
    chain.publish(rolled)
    chain.sells("foil", "1", chain.buys("ore", "3"))
    facts = [*chain.facts(), *chain.leaves()]
    graph = chain.graph(facts)
    (foil,) = (each for each in facts if not isinstance(each, Leaf))

    again = reconnect(graph, facts, lambda *_: Missing("gone"), {foil.fact.commitment})

    assert len(graph.parts) == 2
    assert [part.name for part in again.parts] == ["foil"]
    assert again.missing == ({"ore": "gone"},)


def test_the_order_found_last_stands_only_where_the_same_numbers_feed_the_same(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("tin", "2")
    chain.sells("foil", "1", chain.buys("ore", "3"), chain.buys("tin", "3"))
    graph, known = chain.graph(), Known()
    first = aggregate(graph, known=known).order
    turned = replaced(graph, terms=tuple(each[::-1] for each in graph.terms))
    again = aggregate(turned, known=known).order

    assert is_same_shape(graph, chain.graph())
    assert not is_same_shape(graph, turned)
    assert aggregate(turned, known=known).order is again
    assert again == tuple(components(turned, range(3)))
    assert first == tuple(components(graph, range(3)))


def test_a_sum_that_cannot_be_made_leaves_what_is_known_as_it_was(chain: Any) -> None:
    chain.sells("a", "1", chain.buys("b", "0.5"))
    chain.sells("b", "1", chain.buys("a", "1"))
    graph, known = chain.graph(), Known()
    before = digits(aggregate(graph, known=known))
    parts = tuple(msgspec.structs.replace(each, output=Decimal("0.1")) for each in graph.parts)

    with pytest.raises(UnproductiveError):
        aggregate(replaced(graph, parts=parts), known=known)

    assert digits(aggregate(graph, known=known)) == before
    assert (known.computed, known.reused) == (0, 2)


def test_what_is_asked_again_asks_only_upstream_of_a_change(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("foil", "1", chain.buys("ore", "3"))
    chain.sells("pack", "1", chain.buys("foil", "0.3"))
    graph, known = chain.graph(), Known()
    (root,) = (i for i, part in enumerate(graph.parts) if part.name == "pack")
    first = demand(aggregate(graph, [root], known), root, Decimal(2), known)
    again = demand(aggregate(graph, [root], known), root, Decimal(2), known)
    other = demand(aggregate(graph, [root], known), root, Decimal(5), known)

    assert asked(again) == asked(first)
    assert all(again.edges[key] is first.edges[key] for key in first.edges)
    assert other.amounts[root] == 5


def test_a_line_that_nothing_feeds_any_more_is_no_edge_though_its_supplier_feeds_another(
    chain: Any,
) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "3", line="one"), chain.buys("ore", "4", line="two"))
    graph, known = chain.graph(), Known()
    (cell,) = (i for i, part in enumerate(graph.parts) if part.name == "cell")
    found = []
    for line in (0, 1):
        terms = list(graph.terms)
        terms[cell] = (terms[cell][line],)
        totals = aggregate(replaced(graph, terms=tuple(terms)), [cell], known)
        found.append(demand(totals, cell, Decimal(1), known).edges)

    assert found == [{(cell, 0): 3}, {(cell, 1): 4}]


def test_whose_log_a_customer_introduced_is_looked_at_again(chain: Any) -> None:
    for name in ("ore", "tin"):
        chain.sells(name, "2")
    known, graph = Known(), chain.graph()
    introduced = chain.graph(chain.introduced()).sources
    found = []
    for which in (0, 1):
        sources = list(graph.sources)
        sources[which] = introduced[which]
        totals = aggregate(replaced(graph, sources=tuple(sources)), known=known)
        found.append([totals.tally(part)["introduced"] for part in (0, 1)])

    assert found == [[2, 0], [0, 2]]


def test_what_lacks_something_now_makes_those_downstream_incomplete(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("foil", "1", chain.buys("ore", "3"))
    graph, known = chain.graph(), Known()
    (ore,) = (i for i, part in enumerate(graph.parts) if part.name == "ore")
    found = []
    for reasons in ({}, {"salt": "nobody"}, {}):
        missing = list(graph.missing)
        missing[ore] = reasons
        again = replaced(graph, missing=tuple(missing))
        found.append(len(aggregate(again, known=known).incomplete))

    assert found == [0, 2, 0]
