"""Own values over signed statements: said in the edge, checked, told, and never called signed."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, telling
from bcca_protocol.choices import Choice, Chooser, Missing
from bcca_protocol.entry import Status
from bcca_protocol.errors import StatementError
from bcca_protocol.partial import Bought, Part
from bcca_protocol.results import Resolved, Substitute
from bcca_protocol.rules import NEUTRAL, parse
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.substituted import over, replaced_by, substituted

ORE = "urn:test:ore"
WHY = "LCA of 2024; ore.example has no plant of its own"
BLOCKING = NEUTRAL.replace('"neutral"', '"ours"').replace("blocks = [", 'blocks = ["replaced", ')


class Forcing:
    """Chooses as the rules do, but puts a value over statements of one product."""

    def __init__(self, chain: Any, stated: Substitute) -> None:
        self._choose: Chooser = chain.rule([*chain.facts(), *chain.leaves()])
        self._stated = stated

    def __call__(self, consumer: Part, bought: Bought) -> Choice:
        if bought.product != ORE:
            return self._choose(consumer, bought)
        return substituted(self._stated, bought, consumer) if bought.amount else Missing("idle")


def forced(chain: Any, per: Any, replaced: Sequence[str], **more: Any) -> Any:
    """Return the roll-up of the cell with 7 kg CO2e per kg of ore over signed statements."""
    stated = Substitute(per("7", source="stated by the maker", **more), over(replaced, WHY))
    choose, rule = Forcing(chain, stated), chain.rule
    chain.rule = lambda _: choose
    try:
        rolled = chain.rolled_up("cell")
    finally:
        chain.rule = rule
    return rolled


def audited(chain: Any, rolled: FootprintRollUp, truth: FootprintRollUp | None = None) -> Any:
    return audit.audit(chain.sealed(*chain.evidence(rolled, truth=truth)), chain.policy)


def caveats_of(report: Any) -> list[str]:
    return [each for each in report.unverified if each.startswith("own value over")]


@pytest.fixture
def ore(chain: Any) -> str:
    """A cell of 1 kg CO2e and 2 kg of ore, of which there is a signed statement of 9 a kg."""
    name: str = chain.sells("ore", "9")
    chain.sells("cell", "1", chain.buys("ore", "2"))
    return name


def test_the_reason_names_what_it_goes_over_in_one_form(per: Any) -> None:
    one, other = "ab" * 32, "cd" * 32

    assert over([one], "why") == f"over the signed statement {one}: why"
    assert over([one, other], "why") == f"over the signed statements {one} and {other}: why"
    for names in ((one,), (one, other)):
        assert replaced_by(Substitute(per("1"), over(names, "why"))) == names
    for reason in ("why", f"over the statement {one}: why", f"over the signed statement {one}"):
        assert replaced_by(Substitute(per("1"), reason)) == ()


def test_an_own_value_over_a_statement_that_is_here_holds_and_is_told_first(
    chain: Any, per: Any, ore: str
) -> None:
    truth, rolled = chain.rolled_up("cell"), forced(chain, per, [ore])
    report = audited(chain, rolled, truth)

    assert str(report.total) == "15"
    assert not report.incomplete
    (told,) = caveats_of(report)
    assert told == (
        f"own value over a signed statement: 2 kg of {ORE} of ore.example, bought for "
        f"{rolled.manifest[0].consumer}, have a secondary value instead (test of stated by the "
        f"maker); statement {ore} of ore.example for {ORE} is here, and current; why, in the "
        f"maker's words: {over([ore], WHY)}"
    )
    document = telling.as_json(report, report.unverified, [])
    assert document["ownValues"] == [
        {"consumer": rolled.manifest[0].consumer, "line": "ore", "over": [ore], "here": [ore]}
    ]


def test_it_is_never_counted_as_signed(chain: Any, per: Any, ore: str) -> None:
    weights = forced(chain, per, [ore]).weights

    assert (weights.absolute, weights.signed, weights.default) == ("15", "1", "14")


def test_over_a_statement_that_is_not_here_it_holds_as_the_makers_word(
    chain: Any, per: Any, ore: str
) -> None:
    report = audited(chain, forced(chain, per, [ore]))

    (told,) = caveats_of(report)
    assert f"statement {ore} is not in this file: that there is one is the maker's word" in told
    assert ore not in report.evidence.facts
    document = telling.as_json(report, report.unverified, [])
    assert (document["ownValues"][0]["over"], document["ownValues"][0]["here"]) == ([ore], [])


def test_rules_may_keep_it_from_being_declared(chain: Any, per: Any, ore: str) -> None:
    chain.rules = parse(BLOCKING)
    report = audited(chain, forced(chain, per, [ore]))

    (block,) = report.verdict.blocks
    assert block.code == "replaced"
    assert f"goes over signed statement {ore}" in block.words
    assert chain.rules.digest != parse(NEUTRAL).digest


def test_the_neutral_rules_are_the_same_text_as_before_and_do_not_block_it(
    chain: Any, per: Any, ore: str
) -> None:
    assert audited(chain, forced(chain, per, [ore])).verdict.is_ready


def test_one_goes_over_two_statements_that_contradict_each_other(chain: Any, per: Any) -> None:
    both = sorted([chain.sells("ore", "8"), chain.sells("ore", "9")])
    chain.sells("cell", "1", chain.buys("ore", "2"))
    rolled = forced(chain, per, both)
    at_hand = forced(chain, per, both)
    report = audited(chain, rolled, pinning(at_hand, both))

    assert str(report.total) == "15"
    (told,) = caveats_of(report)
    assert all(name in told for name in both)


def test_a_statement_that_cannot_be_used_is_gone_over_too(chain: Any, per: Any) -> None:
    name = chain.sells("ore", "9")
    chain.sells("cell", "1", chain.buys("ore", "2", unit="kWh"))
    rolled = forced(chain, per, [name], unit="kWh")

    assert str(audited(chain, rolled, pinning(rolled, [name])).total) == "15"


def test_what_the_replaced_statement_buys_is_nobodys_business(chain: Any, per: Any) -> None:
    chain.sells("acid", "3")
    ore = chain.sells("ore", "9", chain.buys("acid", "1"))
    chain.sells("cell", "1", chain.buys("ore", "2"), chain.buys("acid", "1"))
    truth, rolled = chain.rolled_up("cell"), forced(chain, per, [ore])

    assert str(audited(chain, rolled, truth).total) == "18"


def test_an_idle_line_of_the_product_is_fed_by_nothing(chain: Any, per: Any) -> None:
    ore = chain.sells("ore", "9")
    chain.sells("cell", "1", chain.buys("ore", "2"), chain.buys("ore", "0", line="spare"))
    truth, rolled = chain.rolled_up("cell"), forced(chain, per, [ore])

    assert str(audited(chain, rolled, truth).total) == "15"


def test_a_later_correction_of_what_was_gone_over_voids_nothing(
    chain: Any, per: Any, ore: str
) -> None:
    truth, rolled = chain.rolled_up("cell"), forced(chain, per, [ore])
    chain.status("ore", ore, Status.CORRECTED)
    report = audited(chain, rolled, truth)

    (told,) = caveats_of(report)
    assert "is here, and no longer current (corrected)" in told


# Attacks.


def test_attack_a_value_that_goes_silently_over_a_statement_is_refused(
    chain: Any, per: Any, ore: str
) -> None:
    truth = chain.rolled_up("cell")
    rolled = forced(chain, per, [ore])
    edge = rolled.manifest[0]
    silent = Substitute(edge.resolved.substitute.factor, WHY)
    edges = (msgspec.structs.replace(edge, resolved=Resolved(substitute=silent)),)
    lie = msgspec.structs.replace(rolled, manifest=edges, logs=truth.logs)

    with pytest.raises(StatementError, match=f"where the rules choose statement {ore}"):
        audited(chain, lie, truth)


def test_attack_a_value_that_says_it_goes_over_another_statement_is_refused(
    chain: Any, per: Any
) -> None:
    other = chain.sells("tin", "1")
    ore = chain.sells("ore", "9")
    chain.sells("cell", "1", chain.buys("ore", "2"), chain.buys("tin", "1"))
    truth, lie = chain.rolled_up("cell"), forced(chain, per, [other])
    lie = msgspec.structs.replace(lie, logs=truth.logs)

    with pytest.raises(StatementError, match=f"over {other}, where the rules choose {ore} of what"):
        audited(chain, lie, pinning(truth, [other, ore]))


def test_attack_a_value_over_what_the_rules_want_signed_is_refused(
    chain: Any, per: Any, ore: str
) -> None:
    chain.rules = parse(NEUTRAL.replace("mandatory = []", f'mandatory = ["{ORE}"]'))
    lie = forced(chain, per, [ore])

    with pytest.raises(StatementError, match="a substitute, where the rules want a signed"):
        audited(chain, lie)


def pinning(rolled: FootprintRollUp, names: Sequence[str]) -> FootprintRollUp:
    """Return a roll-up whose bundle has these statements."""
    edge, *_ = stated = rolled.manifest or ()
    edges = (msgspec.structs.replace(edge, resolved=Resolved(commitment=name)) for name in names)
    return msgspec.structs.replace(rolled, manifest=(*stated, *edges))
