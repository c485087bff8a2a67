"""Values that stand in for a statement: stated, unsigned, counted apart, repeated in an audit."""

from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, footprint, wire
from bcca_protocol.errors import RefusedError, StatementError
from bcca_protocol.footprint import Cell, Components
from bcca_protocol.results import Resolved, Substitute
from bcca_protocol.rules import NEUTRAL_1, RuleSet, neutral, parse
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.substituted import NOBODY, substituted

WHY = "ore.example did not answer"


@pytest.fixture
def ore(per: Any) -> Substitute:
    """Three components of a secondary value for ore, per tonne."""
    values = Components(fossil="7000", land_use_change="50", biogenic_uptake="-20")
    return Substitute(factor=per("0", "t", values=values, source="Ember"), reason=WHY)


@pytest.fixture
def filled(chain: Any, ore: Substitute) -> Any:
    """A cell of foil of ore; the ore's maker keeps silent, and a value stands in for it."""
    chain.maker("ore")
    chain.sells("foil", "2", chain.buys("ore", "3", yield_="0.75"))
    chain.sells("cell", "1", chain.buys("foil", "0.5"), chain.buys("ore", "2", stages="production"))
    chain.stand_ins = lambda _, bought: ore if bought.product == "urn:test:ore" else None
    return chain


def audited(chain: Any, rolled: FootprintRollUp, truth: FootprintRollUp | None = None) -> Any:
    return audit.audit(chain.sealed(*chain.evidence(rolled, truth=truth)), chain.policy)


def test_a_substitute_counts_in_raw_material_unless_the_line_names_a_stage(filled: Any) -> None:
    found = footprint.decode(filled.rolled_up("cell").footprint)

    assert {cell: str(kg) for cell, kg in found.items() if kg} == {
        Cell("rawMaterial", "fossil"): "14",
        Cell("rawMaterial", "landUseChange"): "0.1",
        Cell("rawMaterial", "biogenicUptake"): "-0.04",
        Cell("production", "fossil"): "16",
        Cell("production", "landUseChange"): "0.1",
        Cell("production", "biogenicUptake"): "-0.04",
    }


def test_what_stands_in_is_not_signed_and_counts_as_default_filled(filled: Any) -> None:
    weights = filled.rolled_up("cell", "10").weights

    assert (weights.absolute, weights.signed, weights.default) == ("302", "20", "282")
    assert (weights.primary, weights.primary_factor, weights.quality.covered) == ("0", "0", "0")


def test_the_edge_says_the_factor_the_reason_and_the_amount_in_the_factors_unit(
    filled: Any, ore: Substitute
) -> None:
    edges = {edge.line: edge for edge in filled.rolled_up("cell").manifest if edge.line == "ore"}

    assert edges["ore"].resolved == Resolved(substitute=ore)
    assert [e.amount for e in filled.rolled_up("cell").manifest if e.line == "ore"] == [
        "0.002", "0.002"
    ]  # fmt: skip


def test_a_roll_up_with_substitutes_is_complete_and_is_repeated(filled: Any) -> None:
    rolled = filled.rolled_up("cell", "10")
    report = audited(filled, rolled)

    assert not report.incomplete
    assert not rolled.incomplete
    (first, second) = (each for each in report.unverified if each.startswith("not signed"))
    assert first != second
    assert WHY in first
    assert "0.02 t of urn:test:ore of ore.example" in first
    assert "a secondary value instead (test of Ember)" in first


def test_one_value_for_two_lines_is_one_part_that_nobody_issued(filled: Any) -> None:
    graph = filled.graph()
    made = [part for part in graph.parts if part.issuer == NOBODY]

    assert [(part.product, part.producer, part.unit) for part in made] == [
        ("urn:test:ore", "Ember", "t")
    ]


def test_what_stands_in_spreads_as_its_factor_says(chain: Any, per: Any) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "2"))
    chain.stand_ins = lambda *_: Substitute(per("3", gsd="1.5"), WHY)
    (made,) = (part for part in chain.graph().parts if part.issuer == NOBODY)

    assert [(each.dataset, str(each.gsd), str(each.kg)) for each in made.spreads] == [
        ("test; test; ; GLO", "1.5", "3")
    ]


def test_the_validity_is_that_of_the_signed_ones(filled: Any) -> None:
    assert filled.rolled_up("cell").validity.end == "2029-01-01T00:00:00Z"


def test_a_substitute_may_be_part_of_a_loop(chain: Any, ore: Substitute) -> None:
    chain.maker("ore")
    chain.sells("foil", "1", chain.buys("cell", "0.5"), chain.buys("ore", "1"))
    chain.sells("cell", "1", chain.buys("foil", "0.5"))
    chain.stand_ins = lambda *_: ore
    rolled = chain.rolled_up("cell")

    # cell = 1 + foil / 2, foil = 1 + 7.05 + cell / 2
    assert abs(float(rolled.weights.absolute) - 5.025 / 0.75) < 1e-12
    assert audited(chain, rolled).total == footprint.total(footprint.decode(rolled.footprint))


@pytest.mark.parametrize(
    ("factor", "why"),
    [
        ({"gas": "co2"}, "a CO2-only factor, where the footprint is in CO2e"),
        ({"gwp": "AR5"}, "factor in AR5, urn:test:cell in AR6"),
        ({"values": Components(biogenic_uptake="1")}, "is above zero"),
    ],
)
def test_what_cannot_be_added_up_stands_in_for_nothing(
    chain: Any, per: Any, factor: Any, why: str
) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "1"))
    (cell,) = (each.fact for each in chain.facts())

    with pytest.raises(StatementError, match=why):
        substituted(Substitute(per("1", **factor), WHY), cell.bought[0], cell)


def test_a_substitute_in_another_dimension_is_a_gap(chain: Any, per: Any) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "1"))
    chain.stand_ins = lambda *_: Substitute(per("1", "kWh"), WHY)

    assert "1 kg (mass) is not an amount in kWh" in chain.added("cell").missing("cell")["ore"]


# Attacks: a maker that prefers a number of its own.


def change(rolled: FootprintRollUp, **fields: Any) -> FootprintRollUp:
    """Return the roll-up with other factors in the substitutes of its manifest."""

    def changed(resolved: Resolved) -> Resolved:
        if resolved.substitute is None:
            return resolved
        factor = msgspec.structs.replace(resolved.substitute.factor, **fields)
        return Resolved(substitute=Substitute(factor, resolved.substitute.reason))

    stated = rolled.manifest or ()
    edges = tuple(msgspec.structs.replace(edge, resolved=changed(edge.resolved)) for edge in stated)
    return msgspec.structs.replace(rolled, manifest=edges)


def parsed(changed: dict[str, str]) -> RuleSet:
    """Return the neutral rules with other lines, under a name of their own."""
    lines = []
    for line in neutral().text.split("\n"):
        key = line.partition(" = ")[0]
        lines.append(f"{key} = {changed[key]}" if key in changed else line)
    return parse("\n".join(lines).replace('"neutral"', '"strict"'))


def test_a_factor_that_is_not_the_one_added_up_is_refused(filled: Any) -> None:
    lie = change(filled.rolled_up("cell"), values=Components(fossil="1"))

    with pytest.raises(StatementError, match="recomputed as"):
        audited(filled, lie)


def test_an_amount_in_another_unit_of_the_factor_is_refused(filled: Any) -> None:
    lie = change(filled.rolled_up("cell"), unit="kg")

    with pytest.raises(StatementError, match="recomputed as"):
        audited(filled, lie)


def test_a_substitute_counted_as_signed_is_refused(filled: Any) -> None:
    truth = filled.rolled_up("cell")
    weights = msgspec.structs.replace(truth.weights, signed=truth.weights.absolute, default="0")

    with pytest.raises(StatementError, match=r"weights\.default is stated as 0|weights\.signed"):
        audited(filled, msgspec.structs.replace(truth, weights=weights))


def test_a_substitute_where_a_current_signed_statement_is_here_is_refused(
    chain: Any, per: Any
) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "1"))
    chain.stand_ins = lambda *_: Substitute(per("0.1"), WHY)
    lie = chain.rolled_up("cell")
    ore = chain.sells("ore", "9")
    truth = chain.rolled_up("cell")
    cheaper = msgspec.structs.replace(lie, logs=truth.logs)

    with pytest.raises(StatementError, match=f"where the rules choose statement {ore}"):
        audited(chain, cheaper, truth)


def test_a_substitute_where_two_current_statements_are_here_is_refused(
    chain: Any, per: Any
) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "1"))
    chain.stand_ins = lambda *_: Substitute(per("0.1"), WHY)
    lie = chain.rolled_up("cell")
    for kg in ("8", "9"):
        chain.sells("ore", kg)
    pins = [each.fact.commitment for each in chain.facts() if each.fact.name == "ore"]
    edges = tuple(
        msgspec.structs.replace(lie.manifest[0], resolved=Resolved(commitment=pin)) for pin in pins
    )
    at_hand = msgspec.structs.replace(lie, manifest=edges)
    frame_logs = chain.frame(lie, ["cell.example", "ore.example"]).logs

    with pytest.raises(StatementError, match="where a statement is here: two current"):
        audited(chain, msgspec.structs.replace(lie, logs=frame_logs), at_hand)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"secondary": '["somebody else"]'}, "the rules do not allow factors of Ember"),
        ({"mandatory": '["urn:test:ore"]'}, "the rules want a signed statement"),
    ],
)
def test_a_substitute_that_the_rules_named_do_not_allow_is_refused(
    filled: Any, line: dict[str, str], why: str
) -> None:
    lie = filled.rolled_up("cell")
    filled.rules = parsed(line)
    named = msgspec.structs.replace(lie, rules=filled.rules.named())

    with pytest.raises(StatementError, match=f"a substitute, where {why}"):
        audited(filled, named)


def test_a_proxy_where_the_rules_allow_none_is_refused(filled: Any) -> None:
    lie = change(filled.rolled_up("cell"), kind="proxy")
    filled.rules = parsed({"proxies": "false"})
    named = msgspec.structs.replace(lie, rules=filled.rules.named())

    with pytest.raises(StatementError, match="a substitute, where the rules allow no proxy"):
        audited(filled, named)


def test_a_substitute_is_refused_by_the_neutral_rules_of_old(filled: Any) -> None:
    lie = filled.rolled_up("cell")
    filled.rules = parse(NEUTRAL_1)
    named = msgspec.structs.replace(lie, rules=filled.rules.named())

    with pytest.raises(StatementError, match="the rules do not allow factors of Ember"):
        audited(filled, named)


def test_a_gap_whose_bound_is_left_out_of_the_weights_is_refused(chain: Any) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "1"))
    truth = chain.rolled_up("cell")
    (edge,) = truth.manifest
    gap = msgspec.structs.replace(edge.resolved.gap, bound="5")
    bounded = msgspec.structs.replace(edge, resolved=Resolved(gap=gap))

    with pytest.raises(RefusedError, match=r"weights\.gapBound is stated as 0, recomputed as 5"):
        audited(chain, msgspec.structs.replace(truth, manifest=(bounded,)))


def test_the_same_silence_gives_the_same_bytes(filled: Any) -> None:
    first = wire.encode(filled.rolled_up("cell"))
    filled.companies = dict(reversed(filled.companies.items()))

    assert wire.encode(filled.rolled_up("cell")) == first
