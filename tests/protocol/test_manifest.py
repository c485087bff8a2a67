import random
from decimal import Decimal
from itertools import permutations
from typing import Any

import msgspec
import pytest

from bcca_protocol import manifest, rollup, statement, wire
from bcca_protocol.aggregate import aggregate
from bcca_protocol.demand import demand
from bcca_protocol.errors import StatementError
from bcca_protocol.graph import connect
from bcca_protocol.inventory import Amount, Electricity, Exclusion, Interval, Quality
from bcca_protocol.issue import UNSET_NONCE
from bcca_protocol.period import Span
from bcca_protocol.results import Edge, Gap, Resolved, Substitute
from bcca_protocol.rules import neutral
from bcca_protocol.stated import Stated
from bcca_protocol.statement import FootprintRollUp, Site

SPAN = Span("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")


def edges_of(rolled: FootprintRollUp) -> list[tuple[str, str, str]]:
    """Return consumer, line, amount of every edge."""
    return [(edge.consumer, edge.line, edge.amount) for edge in rolled.manifest or ()]


def encoded(rolled: FootprintRollUp) -> bytes:
    return wire.encode(statement.of(rolled))


def sold_in_any_order(chain: Any) -> dict[str, str]:
    """Let four companies sell what they make; return commitments by short name."""
    return {
        "ore": chain.sells("ore", "2"),
        "tin": chain.sells("tin", "3", chain.buys("ore", "0.7")),
        "foil": chain.sells("foil", "1", chain.buys("tin", "0.3"), chain.buys("ore", "1.1")),
        "cell": chain.sells("cell", "1", chain.buys("foil", "2"), chain.buys("tin", "0.9")),
    }


def test_a_roll_up_says_what_it_is_about_and_what_it_follows(chain: Any) -> None:
    chain.sells("cell", "1.5", mass_kg="1", site=Site(id="A"))
    rolled = chain.rolled_up("cell", "4")

    assert (rolled.issuer, rolled.product.id, rolled.site) == (
        "cell.example", "urn:test:cell", Site(id="A")
    )  # fmt: skip
    assert rolled.nonce == UNSET_NONCE
    assert rolled.declared_unit == Amount(amount="4", unit="kg")
    assert rolled.mass_kg == "4"
    assert rolled.footprint.production is not None
    assert rolled.footprint.production.fossil == "6"
    assert rolled.rules == neutral().named()
    assert rolled.manifest == ()
    assert (rolled.manifest_digest, rolled.incomplete, rolled.location_footprint) == (
        None, False, None
    )  # fmt: skip


def test_what_it_states_keeps_the_rules_of_a_roll_up(chain: Any) -> None:
    sold_in_any_order(chain)

    rollup.reduce(chain.rolled_up("cell", "0.333"), "ab" * 32)


def test_the_same_statements_give_the_same_bytes_in_whatever_order_they_come(chain: Any) -> None:
    sold_in_any_order(chain)
    made_of = chain.rolled_up("cell", "3")
    frame = chain.frame(made_of, [tree.origin for tree in made_of.logs])
    facts = chain.facts()
    told = set()
    for order in permutations(facts):
        added = chain.added("cell", graph=chain.graph(order))
        told.add(encoded(manifest.state(added.totals, added.needed("cell", "3"), frame)))

    assert told == {encoded(made_of)}


def test_what_is_not_upstream_changes_no_byte(chain: Any) -> None:
    sold_in_any_order(chain)
    before = chain.rolled_up("cell")
    chain.sells("pack", "1", chain.buys("cell", "1"))
    chain.sells("glue", "1", by="else.example")

    assert encoded(chain.rolled_up("cell")) == encoded(before)


def test_edges_stand_by_part_in_their_order_then_by_line_as_written(chain: Any) -> None:
    name = sold_in_any_order(chain)

    assert edges_of(chain.rolled_up("cell", "10")) == [
        (name["cell"], "foil", "20"),
        (name["cell"], "tin", "9"),
        (name["foil"], "tin", "6"),
        (name["foil"], "ore", "22"),
        (name["tin"], "ore", "10.5"),
    ]


def test_an_edge_names_the_statement_that_fed_it(chain: Any) -> None:
    name = sold_in_any_order(chain)

    fed = [edge.resolved for edge in chain.rolled_up("cell").manifest]

    assert fed == [Resolved(commitment=name[n]) for n in ("foil", "tin", "tin", "ore", "ore")]


def test_one_input_on_two_lines_is_two_edges(chain: Any) -> None:
    chain.sells("ore", "2")
    cell = chain.sells("cell", "0", chain.buys("ore", "1"), chain.buys("ore", "3", line="more"))

    assert edges_of(chain.rolled_up("cell")) == [(cell, "ore", "1"), (cell, "more", "3")]


def test_a_gap_is_an_edge_in_the_lines_own_unit_with_its_reason(chain: Any) -> None:
    chain.maker("tin")
    foil = chain.sells(
        "foil", "1", chain.buys("tin", "3", unit="t", yield_="0.75"), output=Amount("2", "kg")
    )
    chain.sells("cell", "1", chain.buys("foil", "10"))
    rolled = chain.rolled_up("cell")

    assert rolled.manifest[1] == Edge(
        consumer=foil,
        line="tin",
        amount="20",
        resolved=Resolved(gap=Gap(reason="no statement for urn:test:tin of tin.example")),
    )
    assert rolled.incomplete
    assert rolled.weights.gap_bound == "0"
    rollup.reduce(rolled, "ab" * 32)


def test_an_input_of_amount_zero_that_nobody_feeds_is_no_edge(chain: Any) -> None:
    chain.maker("tin")
    chain.sells("cell", "1", chain.buys("tin", "0"))
    rolled = chain.rolled_up("cell")

    assert rolled.manifest == ()
    assert not rolled.incomplete


def test_a_roll_up_is_valid_no_longer_than_the_earliest_of_its_inputs(chain: Any) -> None:
    old = Interval(start="2023-01-01T00:00:00Z", end="2024-01-01T00:00:00Z")
    chain.sells("ore", "2", validity=Interval(start=old.start, end="2028-03-04T05:06:07Z"))
    chain.sells("tin", "2", chain.buys("ore", "1"), period=old)
    chain.sells("cell", "1", chain.buys("tin", "1"))
    chain.sells("pack", "1", chain.buys("ore", "1"))
    chain.sells("foil", "1")

    ends = [chain.rolled_up(name).validity.end for name in ("cell", "pack", "foil")]

    assert ends == ["2027-01-01T00:00:00Z", "2028-03-04T05:06:07Z", "2029-01-01T00:00:00Z"]


def test_the_exempted_percent_is_of_the_gross_whole_excluded_included(
    chain: Any, line: Any
) -> None:
    glue = Exclusion(name="glue", reason="small", estimate="2.6")
    lines = [line("in", "1", "90"), line("back", "1", "-7.4", kind="credit")]
    chain.sells("cell", activities=lines, exclusions=(glue,))

    assert chain.rolled_up("cell").exempted_percent == "2.6"
    assert chain.rolled_up("cell", "1000").exempted_percent == "2.6"


def test_the_exempted_percent_of_nothing_is_zero(chain: Any) -> None:
    chain.sells("cell", "0")

    assert chain.rolled_up("cell").exempted_percent == "0"


def test_weights_are_the_sums_of_all_tiers_scaled_to_the_amount(
    chain: Any, line: Any, per: Any
) -> None:
    good = Quality(technological="1", geographical="2", temporal="3")
    lines = [
        line("a", "1", "2", amount_kind="measured", quality=good),
        line("b", "1", "4", factor=per("4", kind="supplierSpecific")),
        line(
            "c",
            "1",
            "-8",
            amount_kind="measured",
            factor=per("-8", kind="supplierSpecific"),
            quality=good,
        ),
    ]
    chain.sells("ore", activities=lines)
    chain.sells("cell", "1", chain.buys("ore", "10"))
    weights = chain.rolled_up("cell", "0.5").weights

    assert msgspec.to_builtins(weights) == {
        "absolute": "70.5", "primary": "40", "primaryAmount": "50", "primaryFactor": "60",
        "signed": "70.5", "introduced": "0", "limited": "0", "reasonable": "0", "default": "0",
        "gapBound": "0", "quality": {
            "covered": "50", "technological": "50", "geographical": "100", "temporal": "150"
        },
    }  # fmt: skip


def test_an_amount_other_than_the_declared_one_scales_everything(chain: Any) -> None:
    chain.sells("ore", "3")
    box = {"declared_unit": Amount("20", "piece"), "output": Amount("40", "piece")}
    cell = chain.sells("cell", "4", chain.buys("ore", "8"), mass_kg="5", **box)

    for amount, kg, mass in (("20", "14", "5"), ("1", "0.7", "0.25"), ("60", "42", "15")):
        rolled = chain.rolled_up("cell", amount)
        assert rolled.footprint.production.fossil == kg
        assert rolled.mass_kg == mass
        assert rolled.declared_unit == Amount(amount=amount, unit="piece")
        assert edges_of(rolled) == [(cell, "ore", str(Decimal(amount) / 5).removesuffix(".0"))]


def test_the_location_result_is_stated_where_anybody_upstream_gives_one(
    chain: Any, line: Any, per: Any
) -> None:
    green = Electricity(supply="contract", location_factor=per("6", "kWh"))
    chain.sells("ore", activities=[line("own", "1", "1", "kWh", kind="energy", electricity=green)])
    chain.sells("cell", "1", chain.buys("ore", "1"))
    rolled = chain.rolled_up("cell", "2")

    assert rolled.footprint.production.fossil == "4"
    assert rolled.location_footprint.production.fossil == "14"


def test_numbers_are_written_plain(chain: Any) -> None:
    chain.sells("ore", "0.0000000001")
    chain.sells("cell", "100000000.0", chain.buys("ore", "0.0000000100"))
    rolled = chain.rolled_up("cell", "10.00")

    assert rolled.declared_unit.amount == "10"
    assert rolled.footprint.production.fossil == "1000000000.00000000000000001"
    assert [amount for _, _, amount in edges_of(rolled)] == ["0.0000001"]


# Following a manifest: what a lying maker could write into it.

INSTEAD = "fed by {}, where the rules choose {} of what is here"


def network(chain: Any) -> tuple[str, str]:
    """Sell ore in many ways; return a cell that pins one plant's, and the right commitment."""
    right = chain.sells("ore", "20", site=Site(id="A"))
    chain.sells("ore", "2", site=Site(id="B"))
    chain.sells("ore", "3", site=Site(id="A"))
    chain.sells("tin", "2", by="ore.example")
    chain.sells("ore", "2", site=Site(id="A"), by="cheap.example")
    named = {"site": "A", "statement": right}
    return chain.sells("cell", "1", chain.buys("ore", "1", **named)), right


def followed(chain: Any, *edges: Edge) -> Any:
    """Return the graph that a manifest of these edges gives."""
    facts = chain.facts()
    return connect(facts, Stated(edges, facts, SPAN, chain.rules))


def fed(consumer: str, commitment: str, line: str = "ore") -> Edge:
    return Edge(consumer=consumer, line=line, amount="1", resolved=Resolved(commitment=commitment))


def lost(consumer: str, line: str = "ore") -> Edge:
    gap = Resolved(gap=Gap(reason="lost"))
    return Edge(consumer=consumer, line=line, amount="1", resolved=gap)


def commitments(chain: Any, **wanted: object) -> list[str]:
    parts = [each.fact for each in chain.facts()]
    return [p.commitment for p in parts if all(getattr(p, k) == v for k, v in wanted.items())]


def require_refused(chain: Any, *edges: Edge, why: str) -> None:
    with pytest.raises(StatementError) as refused:
        followed(chain, *edges)

    assert why in str(refused.value)
    assert str(refused.value).startswith(f"manifest: line ore of {edges[0].consumer}: ")


def test_the_truth_is_followed(chain: Any) -> None:
    cell, right = network(chain)
    graph = followed(chain, fed(cell, right))

    ((term,),) = [terms for terms in graph.terms if terms]

    assert graph.parts[term.supplier].commitment == right


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"product": "urn:test:tin"}, id="another product of the same supplier"),
        pytest.param({"issuer": "cheap.example"}, id="the same product of another supplier"),
        pytest.param({"site": "B"}, id="another plant than the line names"),
        pytest.param({"product": "urn:test:cell"}, id="the consumer itself"),
    ],
)
def test_another_statement_than_the_line_asks_for_is_refused(
    chain: Any, wanted: dict[str, str]
) -> None:
    cell, right = network(chain)
    (other,) = commitments(chain, **wanted)

    require_refused(chain, fed(cell, other), why=INSTEAD.format(other, right))


def test_another_statement_than_the_one_pinned_is_refused(chain: Any) -> None:
    cell, right = network(chain)
    (other,) = set(commitments(chain, site="A", issuer="ore.example")) - {right}

    require_refused(chain, fed(cell, other), why=INSTEAD.format(other, right))


def test_a_worse_fitting_period_is_refused(chain: Any) -> None:
    best = chain.sells("ore", "20")
    cheap = chain.sells("ore", "2", period=Interval("2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z"))
    cell = chain.sells("cell", "1", chain.buys("ore", "1"))

    require_refused(chain, fed(cell, cheap), why=INSTEAD.format(cheap, best))


@pytest.mark.parametrize("chosen", [0, 1])
def test_either_of_two_current_statements_that_overlap_is_refused_showing_both(
    chain: Any, chosen: int
) -> None:
    both = sorted(chain.sells("ore", kg) for kg in ("2", "3"))
    cell = chain.sells("cell", "1", chain.buys("ore", "1"))

    require_refused(chain, fed(cell, both[chosen]), why=INSTEAD.format(both[chosen], "nothing"))
    require_refused(chain, fed(cell, both[chosen]), why=f"in one period: {both[0]} and {both[1]}")


def test_a_log_that_the_line_does_not_name_by_its_key_is_refused(chain: Any) -> None:
    ore = chain.sells("ore", "2")
    cell = chain.sells("cell", "1", chain.buys("ore", "1", supplier=chain.impostor("ore")))

    require_refused(chain, fed(cell, ore), why="which is not that log's")


def test_a_statement_that_is_not_here_is_refused(chain: Any) -> None:
    cell, _ = network(chain)

    require_refused(chain, fed(cell, "ab" * 32), why=f"fed by {'ab' * 32}, which is not here")


def test_a_roll_up_that_feeds_an_input_is_refused_as_no_part(chain: Any) -> None:
    chain.sells("ore", "20")
    cell = chain.sells("cell", "1", chain.buys("ore", "1"))
    rolled = chain.publish(chain.rolled_up("cell"))

    require_refused(chain, fed(cell, rolled), why="which is not here")


def test_an_input_that_stands_twice_is_refused(chain: Any) -> None:
    cell, right = network(chain)

    with pytest.raises(StatementError, match="manifest: an input stands twice"):
        followed(chain, fed(cell, right), fed(cell, right))


def test_a_substitute_where_a_signed_statement_is_here_is_refused(chain: Any, per: Any) -> None:
    cell, right = network(chain)
    instead = Resolved(substitute=Substitute(factor=per("0.1"), reason="cheaper"))
    edge = Edge(consumer=cell, line="ore", amount="1", resolved=instead)

    require_refused(chain, edge, why=f"a substitute, where the rules choose statement {right}")


def test_a_unit_that_does_not_fit_is_refused_where_the_manifest_feeds_it(chain: Any) -> None:
    ore = chain.sells("ore", "2")
    cell = chain.sells("cell", "1", chain.buys("ore", "1", unit="kWh"))

    require_refused(chain, fed(cell, ore), why="1 kWh (energy) is not an amount in kg (mass)")


def test_a_gap_where_somebody_answers_is_refused(chain: Any) -> None:
    cell, right = network(chain)

    require_refused(chain, lost(cell), why=INSTEAD.format("nothing", right))


def test_an_input_left_out_where_somebody_answers_is_refused(chain: Any) -> None:
    _, right = network(chain)

    with pytest.raises(StatementError, match=INSTEAD.format("nothing", right)):
        followed(chain)


def test_a_gap_where_nobody_answers_keeps_the_makers_reason(chain: Any) -> None:
    chain.maker("ore")
    cell = chain.sells("cell", "1", chain.buys("ore", "1"))
    graph = followed(chain, lost(cell))

    assert graph.missing[graph.index[cell]] == {"ore": "lost"}


def test_an_input_of_amount_zero_that_nobody_answers_may_be_left_out(chain: Any) -> None:
    chain.maker("ore")
    cell = chain.sells("cell", "1", chain.buys("ore", "0"))
    graph = followed(chain)

    assert graph.missing[graph.index[cell]] == {}


def test_following_a_manifest_gives_the_same_roll_up_byte_for_byte(chain: Any) -> None:
    sold_in_any_order(chain)
    chain.maker("glue")
    chain.sells("pack", "1", chain.buys("cell", "1"), chain.buys("glue", "0.2"))
    rolled = chain.rolled_up("pack", "7")
    shuffled = list(rolled.manifest)
    random.Random(1).shuffle(shuffled)  # noqa: S311 - no secret
    graph = followed(chain, *shuffled)
    (root,) = (i for i, part in enumerate(graph.parts) if part.product == "urn:test:pack")
    totals = aggregate(graph, [root])
    frame = chain.frame(rolled, [tree.origin for tree in rolled.logs])

    again = manifest.state(totals, demand(totals, root, Decimal(7)), frame)

    assert encoded(again) == encoded(rolled)
