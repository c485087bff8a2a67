"""What feeds an input for want of a current statement: the rungs of SPEC 9.1, in their order."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, manifest
from bcca_protocol.choices import Flagged, Missing
from bcca_protocol.choosing import CURRENT_ALONE
from bcca_protocol.entry import Status
from bcca_protocol.errors import StatementError
from bcca_protocol.graph import Leaf, Substituted
from bcca_protocol.inventory import Interval, Quality
from bcca_protocol.results import Edge, Gap, Resolved, Substitute
from bcca_protocol.rules import neutral
from bcca_protocol.statement import Site


def year(of: int) -> Interval:
    return Interval(start=f"{of}-01-01T00:00:00Z", end=f"{of + 1}-01-01T00:00:00Z")


def instead(per: Any, kg: str = "7", **more: Any) -> Any:
    """Return who states the same substitute for everything."""
    stated = Substitute(factor=per(kg, **more), reason="nothing was said")
    return lambda *_: stated


def choice(chain: Any, line: int = 0, of: str = "cell") -> Any:
    """Return what feeds a line of a product."""
    offers = [*chain.facts(), *chain.leaves()]
    (part,) = (each.fact for each in offers if each.fact.name == of and each.fact.bought)
    return chain.rule(offers)(part, part.bought[line])


def publish_alone(chain: Any, name: str, **more: Any) -> str:
    """Publish a roll-up of a product whose partial footprint nobody else gets to see."""
    chain.sells(name, "5", **more)
    commitment = chain.publish(chain.rolled_up(name))
    company = chain.maker(name)
    company.envelopes[:] = company.envelopes[1:]
    return str(commitment)


def test_another_plants_statement_feeds_where_the_named_one_has_none_and_says_so(
    chain: Any,
) -> None:
    other = chain.sells("ore", "2", site=Site(id="B"))
    chain.sells("cell", "0", chain.buys("ore", "3", site="A"))

    found = choice(chain)

    assert isinstance(found, Flagged)
    assert (found.fact.commitment, found.why.code) == (other, "sibling")
    assert found.why.words == "urn:test:ore of ore.example: of site B, where A is named"
    assert chain.total("cell") == "6"


def test_the_named_plants_own_statement_feeds_before_another_plants_newer_one(chain: Any) -> None:
    own = chain.sells("ore", "2", site=Site(id="A"), period=year(2023))
    chain.sells("ore", "3", site=Site(id="B"))
    chain.sells("cell", "0", chain.buys("ore", "1", site="A"))

    assert choice(chain).fact.commitment == own


def test_two_other_plants_with_equal_claims_feed_nobody(chain: Any) -> None:
    for site in ("B", "C"):
        chain.sells("ore", "2", site=Site(id=site))
    chain.sells("cell", "0", chain.buys("ore", "1", site="A"))

    assert choice(chain) == Missing("no statement for urn:test:ore of ore.example")


def test_a_pin_is_fed_by_no_other_plant(chain: Any) -> None:
    chain.sells("ore", "2", site=Site(id="B"))
    chain.sells("cell", "0", chain.buys("ore", "1", site="A", statement="ab" * 32))

    assert isinstance(choice(chain), Missing)


def test_what_expired_feeds_for_want_of_better_and_its_age_counts_as_the_worst(
    chain: Any, line: Any
) -> None:
    scored = line("own", "1", "2", quality=Quality("1", "2", "1"))
    chain.sells("ore", period=year(2020), activities=[scored])
    chain.sells("cell", "0", chain.buys("ore", "3"))
    found = choice(chain)
    rolled = chain.rolled_up("cell")

    assert isinstance(found, Flagged)
    assert (found.why.code, found.why.words) == (
        "expired", "urn:test:ore of ore.example: expired on 2024-01-01T00:00:00Z"
    )  # fmt: skip
    assert (rolled.weights.quality.temporal, rolled.weights.quality.geographical) == ("30", "12")
    assert rolled.validity.end == "2029-01-01T00:00:00Z"


def test_a_part_that_expired_for_one_input_counts_as_expired_for_all(chain: Any, line: Any) -> None:
    scored = line("own", "1", "2", quality=Quality("1", "1", "1"))
    chain.sells("ore", period=year(2021), activities=[scored])
    chain.sells("tin", "0", chain.buys("ore", "1", acquired=year(2023)))
    chain.sells("cell", "0", chain.buys("tin", "1"), chain.buys("ore", "1"))

    assert chain.rolled_up("cell").weights.quality.temporal == "20"


def test_another_plants_statement_feeds_before_one_that_expired(chain: Any) -> None:
    chain.sells("ore", "2", site=Site(id="A"), period=year(2020))
    other = chain.sells("ore", "3", site=Site(id="B"))
    chain.sells("cell", "0", chain.buys("ore", "1", site="A"))

    assert choice(chain).fact.commitment == other


@pytest.mark.parametrize("what", [Status.REVOKED, Status.CORRECTED])
def test_what_was_revoked_or_corrected_feeds_on_no_rung(chain: Any, what: Status) -> None:
    for site, period in (("A", year(2020)), ("B", year(2025))):
        wrong = chain.sells("ore", "2", site=Site(id=site), period=period)
        chain.status("ore", wrong, what)
    chain.sells("cell", "0", chain.buys("ore", "1", site="A"))

    assert isinstance(choice(chain), Missing)


def test_rules_that_allow_neither_leave_a_gap(chain: Any) -> None:
    chain.sells("ore", "2", site=Site(id="B"))
    chain.sells("ore", "2", site=Site(id="A"), period=year(2020))
    chain.sells("cell", "0", chain.buys("ore", "1", site="A"))

    chain.rules = replace(neutral(), siblings=False)
    assert choice(chain).why.code == "expired"
    chain.rules = replace(neutral(), expired=False)
    assert choice(chain).why.code == "sibling"
    chain.rules = CURRENT_ALONE
    assert isinstance(choice(chain), Missing)


def test_a_cumulative_footprint_feeds_where_no_partial_one_is_here(chain: Any) -> None:
    rolled = publish_alone(chain, "ore")
    chain.sells("cell", "1", chain.buys("ore", "3"))

    found = choice(chain)

    assert isinstance(found, Leaf)
    assert found.fact.commitment == rolled
    assert chain.total("cell") == "16"


def test_a_partial_footprint_feeds_before_a_cumulative_one(chain: Any) -> None:
    partial = chain.sells("ore", "2")
    chain.publish(chain.rolled_up("ore"))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert choice(chain).fact.commitment == partial


def test_a_current_cumulative_footprint_feeds_before_an_expired_partial_one(chain: Any) -> None:
    rolled = publish_alone(chain, "ore")
    chain.sells("ore", "2", period=year(2020))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert choice(chain).fact.commitment == rolled


def test_a_cumulative_footprint_may_be_pinned(chain: Any) -> None:
    chain.sells("ore", "2")
    rolled = chain.publish(chain.rolled_up("ore"))
    chain.sells("cell", "0", chain.buys("ore", "1", statement=rolled))

    assert choice(chain).fact.commitment == rolled


def test_a_substitute_feeds_what_nobody_signed(chain: Any, per: Any) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "3"))
    chain.stand_ins = instead(per)

    assert isinstance(choice(chain), Substituted)
    assert chain.total("cell") == "22"


def test_any_signed_statement_that_the_rules_allow_feeds_before_a_substitute(
    chain: Any, per: Any
) -> None:
    chain.stand_ins = instead(per)
    chain.sells("ore", "2", period=year(2020))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert choice(chain).why.code == "expired"


def test_a_substitute_does_not_decide_between_two_current_statements(chain: Any, per: Any) -> None:
    both = sorted(chain.sells("ore", kg) for kg in ("2", "3"))
    chain.sells("cell", "0", chain.buys("ore", "1"))
    chain.stand_ins = instead(per)

    assert f"{both[0]} and {both[1]}" in choice(chain).reason


def test_a_substitute_does_not_stand_in_for_a_statement_in_another_unit(
    chain: Any, per: Any
) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "0", chain.buys("ore", "1", unit="kWh"))
    chain.stand_ins = instead(per, unit="kWh")

    assert "1 kWh (energy) is not an amount in kg (mass)" in choice(chain).reason


def test_an_input_of_amount_zero_needs_no_substitute(chain: Any, per: Any) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "0"))
    chain.stand_ins = instead(per)

    assert chain.rolled_up("cell").manifest == ()


@pytest.mark.parametrize(
    ("changed", "factor", "why"),
    [
        ({"secondary": ("Ember",)}, {}, "the rules do not allow factors of test"),
        ({"secondary": ()}, {}, "the rules do not allow factors of test"),
        ({"proxies": False}, {"kind": "proxy"}, "the rules allow no proxy (test)"),
        ({"mandatory": ("urn:test:ore",)}, {}, "the rules want a signed statement"),
        ({"mandatory": ("urn:test:o*",)}, {}, "the rules want a signed statement"),
    ],
)
def test_what_the_rules_do_not_allow_stands_in_for_nothing_and_the_gap_says_why(
    chain: Any, per: Any, changed: Any, factor: Any, why: str
) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "1"))
    chain.stand_ins = instead(per, **factor)
    chain.rules = replace(neutral(), **changed)

    found = choice(chain)

    assert isinstance(found, Missing)
    assert found.reason.startswith(f"no statement for urn:test:ore of ore.example; {why}")


def test_a_gap_with_a_bound_is_no_number_and_its_bound_is_a_weight(chain: Any) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "3", yield_="0.5"))
    rule = chain.rule(chain.facts())
    graph = chain.graph(
        chain.facts(), lambda part, line: rule(part, line)._replace(bound=Decimal(-2))
    )
    added = chain.added("cell", graph=graph)
    frame = chain.frame(chain.rolled_up("cell"), ["cell.example"])
    rolled = manifest.state(added.totals, added.needed("cell", "10"), frame)

    (edge,) = rolled.manifest or ()
    assert edge.resolved.gap == Gap(
        reason="no statement for urn:test:ore of ore.example", bound="120"
    )
    assert (rolled.weights.gap_bound, rolled.weights.absolute, rolled.incomplete) == (
        "120", "10", True
    )  # fmt: skip
    report = audit.audit(chain.sealed(*chain.evidence(rolled)), chain.policy)
    assert report.incomplete


# Attacks: a maker that feeds an input with what its rules do not choose.


def lie(chain: Any, resolved: Resolved, amount: str = "1") -> Any:
    """Return what a bundle proves whose manifest says so of the one input of the cell."""
    truth = chain.rolled_up("cell")
    (edge,) = truth.manifest
    changed = Edge(consumer=edge.consumer, line=edge.line, amount=amount, resolved=resolved)
    stated = msgspec.structs.replace(
        truth, manifest=(changed,), incomplete=resolved.gap is not None
    )
    return audit.audit(chain.sealed(*chain.evidence(stated, truth=truth)), chain.policy)


def test_roll_ups_with_another_plants_and_an_expired_statement_are_repeated(chain: Any) -> None:
    chain.sells("ore", "2", site=Site(id="B"))
    chain.sells("tin", "3", period=year(2020))
    chain.sells("cell", "0", chain.buys("ore", "1", site="A"), chain.buys("tin", "1"))
    report = audit.audit(chain.bundle("cell"), chain.policy)

    told = [each.partition(":")[0] for each in report.unverified]
    assert told.count("sibling") == 1
    assert told.count("expired") == 2  # fed though it had expired; and looked at after it had
    assert report.total == 5


def test_a_gap_where_the_rules_allow_an_expired_statement_is_refused(chain: Any) -> None:
    ore = chain.sells("ore", "2", period=year(2020))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    with pytest.raises(StatementError, match=f"fed by nothing, where the rules choose {ore}"):
        lie(chain, Resolved(gap=Gap(reason="expired")))


def test_an_expired_statement_fed_as_if_it_were_current_is_refused(chain: Any, line: Any) -> None:
    scored = line("own", "1", "2", quality=Quality("1", "1", "1"))
    chain.sells("ore", period=year(2020), activities=[scored])
    chain.sells("cell", "0", chain.buys("ore", "1"))
    truth = chain.rolled_up("cell")
    young = replace_quality(truth, temporal="2")
    for changed, named in (
        (young, r"weights\.quality\.temporal is stated as 2, recomputed as 10"),
        (
            replace_validity(truth, "2026-01-01T00:00:00Z"),
            r"validity\.end is stated as 2026",
        ),
    ):
        with pytest.raises(StatementError, match=named):
            audit.audit(chain.sealed(*chain.evidence(changed, truth=truth)), chain.policy)


def replace_quality(rolled: Any, **fields: Any) -> Any:
    replaced = msgspec.structs.replace
    quality = replaced(rolled.weights.quality, **fields)
    return replaced(rolled, weights=replaced(rolled.weights, quality=quality))


def replace_validity(rolled: Any, end: str) -> Any:
    validity = Interval(rolled.validity.start, end)
    return msgspec.structs.replace(rolled, validity=validity)
