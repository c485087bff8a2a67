"""What must be company-specific, by URN, by name and by classification."""

from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, statement
from bcca_protocol.allowing import called, is_mandatory
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import StatementError
from bcca_protocol.results import Substitute
from bcca_protocol.rules import NEUTRAL, RuleSet, parse
from bcca_protocol.statement import Classification, Product

ORE = "urn:test:ore"
KNOWN = {ORE: {"name:NMC cathode", "class:CN:28419085"}}


def ruled(*patterns: str) -> RuleSet:
    listed = ", ".join(f'"{each}"' for each in patterns)
    text = NEUTRAL.replace('"neutral"', '"ours"').replace(
        "mandatory = []", f"mandatory = [{listed}]"
    )
    return parse(text)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (ORE, True), ("urn:test:*", True), ("name:NMC cathode", True), ("name:NMC*", True),
        ("name:*cathode", True), ("name:nmc*", False), ("name:*anode*", False),
        ("class:CN:2841*", True), ("class:UNSPSC:*", False), ("class:*28419085", True),
        ("*cathode*", False), ("NMC cathode", False), ("CN:28419085", False),
    ],
)  # fmt: skip
def test_a_pattern_fits_a_urn_or_what_it_says_it_is_about(pattern: str, fits: bool) -> None:
    assert is_mandatory(ORE, ruled(pattern), KNOWN) == fits


def test_what_nobody_calls_by_a_name_is_known_by_its_urn_alone() -> None:
    assert not is_mandatory("urn:test:tin", ruled("name:*", "class:*"), KNOWN)


@pytest.fixture
def half_known(chain: Any, per: Any) -> Any:
    """Ore of two makers under one URN, of which one says what it is, and the other says nothing."""
    named = Product(
        id=ORE, name="NMC cathode", classifications=(Classification(scheme="CN", code="28419085"),)
    )
    other = type(chain)()
    other.sells("ore", "9")
    (envelope,) = other.company("ore.example").envelopes
    plain = statement.decode(Envelope.parse(envelope).payload).predicate
    chain.company("ore.example").issue(msgspec.structs.replace(plain, product=named))
    chain.maker("ore", "silent.example")
    silent = chain.buys("ore", "1", by="silent.example", line="other")
    chain.sells("cell", "1", chain.buys("ore", "2"), silent)
    chain.stand_ins = lambda *_: Substitute(per("7"), "it did not answer")
    return chain


@pytest.mark.parametrize("pattern", ["name:NMC*", "class:CN:2841*", ORE])
def test_what_another_statement_calls_it_keeps_a_value_from_standing_in(
    half_known: Any, pattern: str
) -> None:
    half_known.rules = ruled(pattern)
    rolled = half_known.rolled_up("cell")
    report = audit.audit(half_known.sealed(*half_known.evidence(rolled)), half_known.policy)

    assert rolled.incomplete
    assert report.verdict is not None
    assert {each.code for each in report.verdict.blocks} == {"gap", "mandatory"}


@pytest.mark.parametrize("pattern", ["name:NMC*", "class:CN:2841*"])
def test_attack_a_value_for_what_must_be_signed_by_its_name_is_refused(
    half_known: Any, pattern: str
) -> None:
    lie = half_known.rolled_up("cell")
    half_known.rules = ruled(pattern)
    named = msgspec.structs.replace(lie, rules=half_known.rules.named())

    with pytest.raises(StatementError, match="a substitute, where the rules want a signed"):
        audit.audit(half_known.sealed(*half_known.evidence(named)), half_known.policy)


def test_names_are_looked_for_only_where_a_pattern_asks_for_them(half_known: Any) -> None:
    parts = [each.fact for each in half_known.facts()]

    assert called(parts, ruled("urn:*")) == {}
    assert called(parts, ruled("name:x"))[ORE] == {"name:NMC cathode", "class:CN:28419085"}
