"""Unsigned footprints in a roll-up: before an expired statement, counted apart, repeated."""

from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, footprint, shares
from bcca_protocol.choices import Flagged, Missing
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import Components
from bcca_protocol.graph import Substituted
from bcca_protocol.inventory import Interval
from bcca_protocol.quantity import number, plain
from bcca_protocol.results import Resolved, Substitute
from bcca_protocol.rules import NEUTRAL, RuleSet, cut_off_at, neutral, parse
from bcca_protocol.statement import FootprintRollUp, Site
from bcca_protocol.substituted import is_unsigned_footprint, over

ID = "8f0f2d0e-6d0c-5d3d-9f3e-0c7c3f0a9b11"
SOURCE = "PACT 3.0.3, Ore AG (urn:lei:5493001KJTIIGC8Y1R12)"
WHY = "unsigned PACT footprint of pact:ore"
VALUES = Components(fossil="6.5", land_use_change="1.0", biogenic_uptake="-0.25")


def ruled(*lines: str, name: str = "ours", **changed: str) -> RuleSet:
    """The neutral rules with other lines, and some more."""
    text = NEUTRAL.replace('name = "neutral"', f'name = "{name}"')
    for key, value in changed.items():
        old = next(each for each in text.splitlines() if each.startswith(f"{key} ="))
        text = text.replace(old, f"{key} = {value}")
    return parse("\n".join([text.rstrip("\n"), *lines, ""]))


@pytest.fixture
def pact(per: Any) -> Any:
    """What a partner sent of ore, 7.5 kg CO2e per kg."""

    def made(reason: str = WHY, **more: Any) -> Substitute:
        told = {
            "kind": "supplierSpecific", "source": SOURCE, "dataset": ID, "gwp": "AR6",
            "values": VALUES, **more,
        }  # fmt: skip
        return Substitute(factor=per("0", **told), reason=reason)

    return made


@pytest.fixture
def chain_of(chain: Any, pact: Any) -> Any:
    """A cell of 2 kg of ore; nobody signs for the ore, and a footprint came of it."""
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "2"))
    chain.stand_ins = lambda *_: pact()
    return chain


def sealed(chain: Any, rolled: FootprintRollUp, **more: Any) -> audit.Report:
    return audit.audit(chain.sealed(*chain.evidence(rolled, **more)), chain.policy)


def test_it_is_neither_signed_nor_default_and_a_verifier_repeats_that(chain_of: Any) -> None:
    rolled = chain_of.rolled_up("cell")
    report = sealed(chain_of, rolled)
    weights = rolled.weights

    assert (weights.absolute, weights.signed, weights.default) == ("16", "1", "0")
    assert plain(shares.unsigned(weights)) == "15"
    assert plain(shares.shares(weights).unsigned) == "93.75"
    assert plain(report.total) == "16"
    assert not report.incomplete
    told = [each for each in report.unverified if each.startswith("not signed")]
    assert f"a footprint that nobody signed instead ({ID} of {SOURCE})" in told[0]
    assert told[1] == (
        "not signed: unsigned footprints give 15 of 16 kg CO2e gross (93.8 %), beside 0 that "
        "defaults give"
    )


def test_its_components_go_where_they_belong(chain_of: Any) -> None:
    found = footprint.decode(chain_of.rolled_up("cell").footprint)

    assert {f"{cell.stage}.{cell.component}": plain(kg) for cell, kg in found.items() if kg} == {
        "production.fossil": "1",
        "rawMaterial.fossil": "13",
        "rawMaterial.landUseChange": "2",
        "rawMaterial.biogenicUptake": "-0.5",
    }


def test_attack_what_stood_in_cannot_be_called_signed_or_default(chain_of: Any) -> None:
    truth = chain_of.rolled_up("cell")
    for name, kg in (("signed", "16"), ("default", "15"), ("primary_factor", "15")):
        weights = msgspec.structs.replace(truth.weights, **{name: kg})
        lie = msgspec.structs.replace(truth, weights=weights)
        with pytest.raises(StatementError, match="weights"):
            sealed(chain_of, lie, truth=truth)


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "secondary"}, {"gwp": None}, {"source": "Pact 3"}, {"dataset": "ore"},
        {"dataset": ID.upper()}, {"reason": over(["ab" * 32], "ours")},
    ],
)  # fmt: skip
def test_attack_a_value_that_only_looks_like_one_counts_as_default(
    pact: Any, other: dict[str, Any]
) -> None:
    assert is_unsigned_footprint(pact())
    assert not is_unsigned_footprint(pact(**other))


def test_attack_one_in_another_gwp_is_refused(chain_of: Any, pact: Any) -> None:
    chain_of.stand_ins = lambda *_: pact(gwp="AR5")

    with pytest.raises(StatementError, match="factor in AR5, urn:test:cell in AR6"):
        chain_of.rolled_up("cell")


# Its place on the ladder.


def year(of: int) -> Interval:
    return Interval(start=f"{of}-01-01T00:00:00Z", end=f"{of + 1}-01-01T00:00:00Z")


def choice(chain: Any, line: int = 0) -> Any:
    """Return what feeds a line of the cell."""
    offers = [*chain.facts(), *chain.leaves()]
    (cell,) = (each.fact for each in offers if each.fact.name == "cell" and each.fact.bought)
    return chain.rule(offers)(cell, cell.bought[line])


@pytest.fixture
def aged(chain: Any) -> Any:
    """A cell of foil and ore; what the ore's maker signed is too old for the cell alone."""
    june, august = "2025-06-01T00:00:00Z", "2025-08-01T00:00:00Z"
    until = Interval(start="2024-01-01T00:00:00Z", end=june)
    late = Interval(start=august, end="2025-09-01T00:00:00Z")
    chain.sells("ore", "3", period=year(2024), validity=until)
    chain.sells("foil", "0", chain.buys("ore", "1"))
    chain.sells("cell", "1", chain.buys("ore", "2", acquired=late), chain.buys("foil", "1"))
    return chain


def test_it_goes_before_an_expired_statement_and_a_verifier_who_has_that_agrees(
    aged: Any, pact: Any
) -> None:
    without = aged.rolled_up("cell")
    assert choice(aged).why.code == "expired"
    aged.stand_ins = lambda *_: pact()
    rolled = aged.rolled_up("cell")

    assert isinstance(choice(aged), Substituted)
    assert (plain(sealed(aged, rolled).total), without.weights.absolute) == ("19", "10")


def test_attack_a_default_does_not_go_before_an_expired_statement(aged: Any, pact: Any) -> None:
    aged.stand_ins = lambda *_: pact()
    rolled = aged.rolled_up("cell")
    edges = tuple(
        each
        if each.resolved.substitute is None
        else msgspec.structs.replace(each, resolved=Resolved(substitute=pact(kind="secondary")))
        for each in rolled.manifest
    )
    lie = msgspec.structs.replace(rolled, manifest=edges)

    with pytest.raises(StatementError, match=r"a substitute, where .* \(expired\) of what is here"):
        sealed(aged, lie, truth=rolled)
    aged.stand_ins = lambda *_: pact(kind="secondary")
    assert isinstance(choice(aged), Flagged)


@pytest.mark.parametrize("site", ["A", "B"])
def test_attack_it_goes_before_no_current_statement_and_no_siblings(
    chain: Any, pact: Any, site: str
) -> None:
    signed = chain.sells("ore", "3", site=Site(id=site))
    chain.sells("cell", "1", chain.buys("ore", "2", site="A"))
    chain.stand_ins = lambda *_: pact()
    edge = chain.rolled_up("cell").manifest[0]

    assert edge.resolved == Resolved(commitment=signed)
    truth = chain.rolled_up("cell")
    lie = msgspec.structs.replace(
        truth, manifest=(msgspec.structs.replace(edge, resolved=Resolved(substitute=pact())),)
    )
    with pytest.raises(StatementError, match="a substitute, where the rules choose statement"):
        sealed(chain, lie, truth=truth)


def test_where_its_unit_does_not_fit_what_expired_feeds_all_the_same(aged: Any, pact: Any) -> None:
    aged.stand_ins = lambda *_: pact(unit="kWh")

    assert choice(aged).why.code == "expired"


def test_it_fills_no_input_of_amount_zero_and_decides_between_no_two_statements(
    chain: Any, pact: Any
) -> None:
    for kg in ("2", "3"):
        chain.sells("ore", kg)
    chain.maker("tin")
    chain.sells("cell", "1", chain.buys("ore", "1"), chain.buys("tin", "0"))
    chain.stand_ins = lambda *_: pact()

    assert choice(chain).is_settled
    assert isinstance(choice(chain, 1), Missing)


# What rules say of it.


def test_rules_that_do_not_know_it_treat_it_as_any_source_and_keep_their_digest() -> None:
    assert neutral().digest == "6d7485cb242f41b9dfb755b6133b98833c32b8cca7d0727b35e39f8598c23538"
    assert neutral().unsigned is None
    assert ruled("unsigned = true").unsigned is True
    assert ruled("unsigned = false").unsigned is False


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (ruled(), True),
        (ruled(secondary="[]"), False),
        (ruled(secondary=f'["{SOURCE}"]'), True),
        (ruled("unsigned = true", secondary="[]"), True),
        (ruled("unsigned = false"), False),
        (ruled("unsigned = true", mandatory='["urn:test:o*"]'), False),
    ],
)
def test_rules_allow_it_or_not_and_a_verifier_refuses_what_they_do_not(
    chain_of: Any, pact: Any, rules: RuleSet, allowed: bool
) -> None:
    chain_of.rules = ruled("unsigned = true")
    truth = chain_of.rolled_up("cell")
    chain_of.rules = rules

    assert isinstance(choice(chain_of), Substituted) is allowed
    if allowed:
        assert sealed(chain_of, chain_of.rolled_up("cell")).total == 16
        return
    lie = msgspec.structs.replace(truth, rules=rules.named())
    with pytest.raises(StatementError, match="a substitute, where the rules"):
        sealed(chain_of, lie)


def test_where_rules_forbid_it_what_expired_feeds(aged: Any, pact: Any) -> None:
    aged.stand_ins = lambda *_: pact()
    aged.rules = ruled("unsigned = false")

    assert choice(aged).why.code == "expired"


@pytest.mark.parametrize(
    ("rules", "codes"),
    [
        (ruled("unsigned = true", blocks='["unsigned"]'), {"unsigned"}),
        (ruled("unsigned = true", blocks='["default"]'), set()),
        (ruled("unsigned = true", blocks='["default", "gap"]'), set()),
        (ruled(blocks='["default"]'), {"default"}),  # as before anybody knew of it
        (ruled(blocks='["unsigned", "default"]'), {"unsigned", "default"}),
        (ruled(), set()),
    ],
)
def test_rules_keep_what_rests_on_it_from_being_declared(
    chain_of: Any, rules: RuleSet, codes: set[str]
) -> None:
    chain_of.rules = rules
    report = sealed(chain_of, chain_of.rolled_up("cell"))

    assert report.verdict is not None
    assert {each.code for each in report.verdict.blocks} == codes
    assert report.verdict.is_ready is not bool(codes)


def test_a_supplier_whose_cumulative_footprint_rests_on_one_blocks_as_well(
    chain_of: Any,
) -> None:
    chain_of.publish(chain_of.rolled_up("cell"))
    company = chain_of.maker("cell")
    company.envelopes[:] = company.envelopes[1:]
    chain_of.sells("pack", "1", chain_of.buys("cell", "2"))
    chain_of.rules = ruled("unsigned = true", blocks='["unsigned", "default"]')
    rolled = chain_of.rolled_up("pack")
    report = sealed(chain_of, rolled)

    assert (rolled.weights.signed, rolled.weights.default) == ("3", "0")
    assert plain(shares.unsigned(rolled.weights)) == "30"
    assert report.verdict is not None
    assert [each.code for each in report.verdict.blocks] == ["unsigned"]
    assert "15 kg CO2e of it are of unsigned footprints" in report.verdict.blocks[0].words


def test_another_cut_off_keeps_what_rules_say_of_it() -> None:
    changed = cut_off_at(ruled("unsigned = false"), "3")

    assert changed.unsigned is False
    assert "proxies = true\nunsigned = false\nmandatory" in changed.text
    assert "unsigned" not in cut_off_at(neutral(), "3").text.replace("unconfirmed", "")


def test_what_rounding_leaves_of_a_difference_is_no_unsigned_footprint(chain_of: Any) -> None:
    weights = chain_of.rolled_up("cell").weights
    rounded = msgspec.structs.replace(
        weights, absolute="3", signed="1", default="1.99999999999999999999"
    )

    assert shares.unsigned(rounded) == 0
    assert number(weights.default) == 0
