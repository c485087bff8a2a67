"""Rules as a text that travels with a roll-up: read, followed, and what they let be declared."""

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, rules
from bcca_protocol.audit import Report, Step
from bcca_protocol.bundle import Body, Header, RuleSet, StatementLine, Withheld
from bcca_protocol.envelope import Envelope, pae
from bcca_protocol.errors import LimitError, MalformedError, StatementError
from bcca_protocol.inventory import (
    Activity,
    Electricity,
    Exclusion,
    Instrument,
    Interval,
)
from bcca_protocol.results import Rules, Substitute
from bcca_protocol.rules import NEUTRAL, NEUTRAL_1
from bcca_protocol.statement import Method
from bcca_protocol.telling import as_json, as_text
from bcca_protocol.wire import unb64

OURS = NEUTRAL.replace('"neutral"', '"ours"')
EVERY_BLOCK = (
    'blocks = ["gap", "mandatory", "expired", "sibling", "default", "proxy", "cumulative", '
    '"introduced", "copied", "lagged", "old", "witnesses", "exempted", "claimed", "methods", '
    '"unconfirmed"]'
)
STRICT = "\n".join(EVERY_BLOCK if line.startswith("blocks") else line for line in OURS.split("\n"))
Evidence = tuple[Header, list[Body]]


def changed(key: str, value: str, text: str = OURS) -> str:
    """Return rules in which one key has another value; one that is not there is added."""
    lines = [line for line in text.split("\n") if line and not line.startswith(f"{key} =")]
    return "\n".join([*lines, f"{key} = {value}", ""])


# Reading


def test_the_neutral_rules_cut_nothing_off_and_are_blocked_by_a_gap() -> None:
    found = rules.neutral()

    assert found.name == "neutral"
    assert found.cut_off_percent == 0
    assert not found.mandatory
    assert "gap" in found.blocks
    assert rules.parse(found.text) == found


def test_every_key_is_read() -> None:
    text = changed("cut_off_percent", '"2.50"')
    text = changed("max_age_days", "730", changed("mandatory", '["urn:a:*"]', text))
    text += '[functional]\nsource = "a draft"\nconfirmed = false\n'
    found = rules.parse(text + '[functional.cycles_per_year]\nM1 = "60"\nL = "20.5"\n')

    assert (found.cut_off_percent, found.max_age_days) == (Decimal("2.5"), 730)
    assert found.mandatory == ("urn:a:*",)
    assert found.functional is not None
    assert not found.functional.confirmed
    assert found.functional.table() == {"M1": Decimal(60), "L": Decimal("20.5")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml\n", "rules: not TOML: "),
        (OURS.replace("siblings", "sibling"), "sibling"),
        (changed("max_age", "3"), "rules: contains unknown field max_age"),
        (OURS.replace("expired = true\n", ""), "rules: missing required field expired"),
        (changed("name", '"Ours"'), "rules: name: "),
        (changed("name", '"../ours"'), "rules: name: "),
        (changed("cut_off_percent", "3"), 'cut_off_percent: Expected str, got int: write it in'),
        (changed("cut_off_percent", '"3 %"'), "cut_off_percent: '3 %' is no plain decimal"),
        (changed("cut_off_percent", '"1e1"'), "cut_off_percent: '1e1' is no plain decimal"),
        (changed("cut_off_percent", '"100"'), "cut_off_percent: 100, where 0 or more and less"),
        (changed("cut_off_percent", '"-1"'), "cut_off_percent: -1, where 0 or more"),
        (changed("electricity", '"green"'), "rules: electricity: "),
        (changed("siblings", '"yes"'), "rules: siblings: Expected bool, got str"),
        (changed("mandatory", '["a", "a"]'), "rules: mandatory: a stands twice"),
        (changed("mandatory", '[""]'), "rules: mandatory[0]: "),
        (changed("blocks", '["gaps"]'), "rules: blocks[0]: Invalid enum value 'gaps'"),
        (changed("max_age_days", "0"), "rules: max_age_days: "),
        (changed("max_age_days", "1.5"), "rules: max_age_days: "),
        (changed("min_witnesses", "-1"), "rules: min_witnesses: "),
        (OURS + 'functional = "x"\n', "rules: functional: "),
        (OURS.rstrip(), "the last line does not end in a line feed"),
        (OURS.replace("\n", "\r\n"), "line 1 holds a character that is not shown"),
        (OURS + "# \x1b[2J\n", "line 14 holds a character that is not shown"),
        (OURS + "# \u202e\n", "line 14 holds a character that is not shown"),
        (f"x = 1{'0' * 5_000}\n", "TOML beyond what is read here"),
        (f"x = {'[' * 5_000}\n", "TOML beyond what is read here"),
    ],
)  # fmt: skip
def test_a_bad_rules_text_is_refused_in_one_sentence_naming_the_key(text: str, said: str) -> None:
    with pytest.raises(MalformedError) as refused:
        rules.parse(text)

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("cycles", "said"),
    [('M1 = "0"', "M1: 0 is not above zero"), ('T1 = "60"', "T1: no vehicle category")],
)
def test_cycles_of_no_vehicle_and_no_cycles_are_refused(cycles: str, said: str) -> None:
    table = '[functional]\nsource = "s"\nconfirmed = true\n[functional.cycles_per_year]\n'
    with pytest.raises(MalformedError, match=said):
        rules.parse(f"{OURS}{table}{cycles}\n")


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(LimitError, match="where at most 65536 are read"):
        rules.parse(OURS + "#" * 65_536 + "\n")


def test_a_list_that_is_too_long_is_refused() -> None:
    patterns = ", ".join(f'"urn:{n}"' for n in range(201))
    with pytest.raises(MalformedError, match="mandatory"):
        rules.parse(changed("mandatory", f"[{patterns}]"))


# Another cut-off


def test_another_cut_off_is_another_rule_set_whose_text_and_name_say_so() -> None:
    ours = rules.parse(OURS)
    once = rules.cut_off_at(ours, "1.50")

    assert (once.name, once.cut_off_percent) == ("ours+cut-off-1.5", Decimal("1.5"))
    assert once.digest != ours.digest
    assert rules.parse(once.text) == once
    assert rules.cut_off_at(once, "3").name == "ours+cut-off-3"
    assert rules.cut_off_at(ours, "0.0") is ours


def test_the_text_of_another_cut_off_does_not_depend_on_comments_and_layout() -> None:
    spread = "# a comment\n\n" + OURS.replace('["*"]', '[\n    "*", # any\n]')

    assert rules.cut_off_at(rules.parse(spread), "3") == rules.cut_off_at(rules.parse(OURS), "3")


def test_what_is_quoted_in_a_text_is_quoted_again() -> None:
    table = '[functional]\nsource = "s"\nconfirmed = true\n[functional.cycles_per_year]\nL = "20"\n'
    text = changed("unconfirmed", r"""['what "is" \ said']""", changed("max_age_days", "9")) + table
    ours = rules.parse(text)
    made = rules.cut_off_at(ours, "1")

    assert made.unconfirmed == ('what "is" \\ said',)
    assert (made.max_age_days, made.functional) == (9, ours.functional)


# Followed: from the file, or known by the digest


def ruled(chain: Any, text: str) -> Evidence:
    """Return the evidence of a pack that follows the rules in `text`."""
    chain.rules = rules.parse(text)
    chain.sells("cell", "4")
    chain.sells("pack", "1", chain.buys("cell", "5"))
    found: Evidence = chain.evidence(chain.rolled_up("pack"))
    return found


def audited(chain: Any, header: Header, body: list[Body]) -> Report:
    return audit.audit(chain.sealed(header, body), chain.policy)


def without_text(body: list[Body]) -> list[Body]:
    return [each for each in body if not isinstance(each, RuleSet)]


def test_the_rules_of_a_roll_up_are_read_from_its_bundle(chain: Any) -> None:
    report = audited(chain, *ruled(chain, OURS))

    assert (report.rules.name, report.rules.text, report.rules_are_here) == ("ours", OURS, True)


def test_rules_whose_text_is_not_in_the_bundle_are_to_be_asked_for(chain: Any) -> None:
    header, body = ruled(chain, OURS)
    with pytest.raises(StatementError) as refused:
        audited(chain, header, without_text(body))

    assert str(refused.value) == (
        f"made by rules ours ({rules.digest_of(OURS)}), whose text is not here: ask the maker for "
        "a file that has it"
    )


@pytest.mark.parametrize("text", [NEUTRAL, NEUTRAL_1])
def test_an_old_bundle_without_the_text_of_the_neutral_rules_holds(chain: Any, text: str) -> None:
    header, body = ruled(chain, text)
    report = audited(chain, header, without_text(body))

    assert (report.rules.text, report.rules_are_here) == (text, False)
    assert report.verdict is not None
    assert report.verdict.is_ready


def test_the_neutral_rules_that_were_words_allow_no_substitute(chain: Any, per: Any) -> None:
    chain.rules = rules.parse(NEUTRAL_1)
    chain.stand_ins = lambda *_: Substitute(factor=per("3"), reason="nobody answers")
    chain.sells("pack", "1", chain.buys("cell", "5"))

    (edge,) = chain.rolled_up("pack").manifest
    assert edge.resolved.substitute is None
    assert edge.resolved.gap is not None


def test_a_laxer_text_under_the_same_name_is_refused(chain: Any) -> None:
    header, body = ruled(chain, STRICT)
    lax = RuleSet(name="ours", lines=tuple(OURS.split("\n")))
    with pytest.raises(StatementError, match="the text of rules ours is not what the roll-up"):
        audited(chain, header, [lax, *without_text(body)])


def test_a_text_of_rules_that_nothing_here_follows_is_refused(chain: Any) -> None:
    header, body = ruled(chain, OURS)
    other = RuleSet.of(rules.parse(changed("name", '"others"')))
    with pytest.raises(StatementError, match="the text of rules others is not what the roll-up"):
        audited(chain, header, [other, *body])


def test_a_roll_up_that_calls_its_rules_by_another_name_is_refused(chain: Any) -> None:
    ruled(chain, OURS)
    stated = chain.rolled_up("pack")
    posing = Rules(name="eu-law", digest=stated.rules.digest)
    header, body = chain.evidence(msgspec.structs.replace(stated, rules=posing))
    lines = RuleSet(name="eu-law", lines=tuple(OURS.split("\n")))
    with pytest.raises(StatementError, match="are named ours in their text, eu-law in the roll-up"):
        audited(chain, header, [lines, *without_text(body)])


def test_a_roll_up_that_cut_off_by_rules_that_do_not_allow_it_is_refused(chain: Any) -> None:
    ruled(chain, changed("cut_off_percent", '"10"'))
    cut = chain.rolled_up("pack")
    chain.rules = rules.parse(OURS)
    posing = msgspec.structs.replace(cut, rules=chain.rules.named())
    with pytest.raises(StatementError, match=r"footprint.* is stated as"):
        audited(chain, *chain.evidence(posing))


# Declaration-ready


def codes(report: Report) -> set[str]:
    """Return why a result is not declaration-ready."""
    assert report.verdict is not None
    assert report.verdict.is_ready == (not report.verdict.blocks)
    return {each.code for each in report.verdict.blocks}


def judged(chain: Any, text: str) -> Report:
    chain.rules = rules.parse(text)
    return audited(chain, *chain.evidence(chain.rolled_up("pack")))


def test_a_whole_result_is_declaration_ready(chain: Any) -> None:
    report = audited(chain, *ruled(chain, STRICT))

    assert report.verdict is not None
    assert report.verdict.is_ready
    assert report.verdict.tell() == "declaration-ready by the rules ours, version 2"


def gap(chain: Any, per: Any) -> None:
    chain.sells("pack", "1", chain.buys("cell", "5"))


def secondary(chain: Any, per: Any) -> None:
    chain.sells("pack", "1", chain.buys("cell", "5"))
    chain.stand_ins = lambda *_: Substitute(factor=per("3"), reason="nobody answers")


def proxy(chain: Any, per: Any) -> None:
    chain.sells("pack", "1", chain.buys("cell", "5"))
    similar = per("3", kind="proxy")
    chain.stand_ins = lambda *_: Substitute(factor=similar, reason="something like it")


def expired(chain: Any, per: Any) -> None:
    long_ago = Interval(start="2020-01-01T00:00:00Z", end="2021-01-01T00:00:00Z")
    until = Interval(start="2020-01-01T00:00:00Z", end="2022-01-01T00:00:00Z")
    chain.sells("cell", "4", period=long_ago, validity=until)
    chain.sells("pack", "1", chain.buys("cell", "5"))


def lagged(chain: Any, per: Any) -> None:
    before = Interval(start="2024-01-01T00:00:00Z", end="2025-01-01T00:00:00Z")
    chain.sells("cell", "4", period=before)
    chain.sells("pack", "1", chain.buys("cell", "5"))


def cumulative(chain: Any, per: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "4", chain.buys("ore", "2"))
    chain.publish(chain.rolled_up("cell"))
    maker = chain.company("cell.example")
    maker.envelopes.pop(0)  # its recipe stays at home
    chain.sells("pack", "1", chain.buys("cell", "5"))


def other_methods(chain: Any, per: Any) -> None:
    ours = Method(standards=("ISO 14067",), gwp="AR6", recycling="cutOff", electricity="market")
    chain.sells("cell", "4", method=msgspec.structs.replace(ours, recycling="cff"))
    chain.sells("pack", "1", chain.buys("cell", "5"))


def excluded(chain: Any, per: Any) -> None:
    chain.sells("pack", "1", exclusions=(Exclusion(name="glue", reason="little", estimate="0.5"),))


def claimed_twice(chain: Any, per: Any) -> None:
    certificate = Instrument(type="GEC", vintage="2025", market="CN", claim_handle="cd" * 32)
    green = Electricity(supply="contract", instrument=certificate)
    used = Activity(
        id="own", name="power", stage="production", kind="energy", amount="1", unit="kWh",
        amount_kind="measured", factor=per("0", "kWh"), electricity=green,
    )  # fmt: skip
    chain.sells("cell", activities=[used])
    chain.sells("pack", "1", chain.buys("cell", "5"), activities=[used])


def whole(chain: Any, per: Any) -> None:
    chain.sells("cell", "4")
    chain.sells("pack", "1", chain.buys("cell", "5"))


REASONS: dict[str, tuple[Callable[[Any, Any], None], str, str]] = {
    "a gap": (gap, STRICT, "gap"),
    "a value of a data set": (secondary, STRICT, "default"),
    "a value of something similar": (proxy, STRICT, "proxy default"),
    "a gap that no substitute may fill": (
        secondary, changed("mandatory", '["urn:test:c*"]', STRICT), "gap mandatory",
    ),
    "an expired statement": (expired, STRICT, "expired"),
    "a statement about an earlier time": (lagged, STRICT, "lagged"),
    "data that is too old": (lagged, changed("max_age_days", "400", STRICT), "lagged old"),
    "a supplier's own total": (cumulative, STRICT, "cumulative"),
    "too few witnesses": (whole, changed("min_witnesses", "6", STRICT), "witnesses"),
    "another method": (other_methods, STRICT, "methods"),
    "exclusions over the limit": (excluded, changed("cut_off_percent", '"3"', STRICT), "exempted"),
    "a certificate claimed twice": (claimed_twice, STRICT, "claimed"),
    "what nobody has confirmed": (
        whole, changed("unconfirmed", '["A draft."]', STRICT), "unconfirmed",
    ),
    "the other kind of electricity": (
        whole, changed("electricity", '"location"', STRICT), "methods",
    ),
    "what the rules do not mind": (gap, changed("blocks", '["mandatory"]'), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", REASONS)
def test_what_keeps_a_result_from_being_declared_is_told(chain: Any, per: Any, case: str) -> None:
    build, text, expected = REASONS[case]
    build(chain, per)
    report = judged(chain, text)

    assert codes(report) == set(expected.split())


def test_a_substitute_is_told_with_its_source_and_its_reason(chain: Any, per: Any) -> None:
    secondary(chain, per)
    report = judged(chain, STRICT)

    assert report.verdict is not None
    assert report.verdict.blocks[0].words == (
        "urn:test:cell of cell.example: a value of test (test) stands in: nobody answers"
    )
    assert report.verdict.tell() == ("not declaration-ready by the rules ours, version 2: 1 reason")


def test_what_the_rules_themselves_cut_off_does_not_block(chain: Any, line: Any) -> None:
    chain.sells("pack", activities=[line("own", "1", "9"), line("least", "1", "1")])
    report = judged(chain, changed("cut_off_percent", '"10"', STRICT))

    assert codes(report) == set()
    assert report.total == 9


def test_rules_that_are_a_draft_are_ready_as_far_as_they_are_confirmed(chain: Any) -> None:
    report = audited(chain, *ruled(chain, changed("unconfirmed", '["A draft."]')))

    assert report.verdict is not None
    assert report.verdict.is_ready
    assert report.verdict.tell().endswith(", as far as these are confirmed")


# Told by `bcca-verify`


def told(chain: Any, header: Header, body: list[Body]) -> list[str]:
    steps: list[Step] = []
    report = audit.audit(chain.sealed(header, body), chain.policy, on_step=steps.append)
    return list(as_text(report, report.unverified, steps, at_given=False))


def test_bcca_verify_tells_which_rules_were_followed_and_what_blocks(chain: Any, per: Any) -> None:
    gap(chain, per)
    chain.rules = rules.parse(changed("unconfirmed", '["A draft."]'))
    lines = told(chain, *chain.evidence(chain.rolled_up("pack")))

    at = lines.index(f"Rules: ours, version 2, {chain.rules.digest}; text in the file.")
    assert lines[at + 1 :] == [
        "  - unconfirmed: A draft.",
        "Not declaration-ready by the rules ours, version 2: 1 reason:",
        "  - gap: 5 kg of urn:test:cell of cell.example is missing: no statement for "
        "urn:test:cell of cell.example",
        "INCOMPLETE: everything here holds, but inputs are missing; the total is without them.",
    ]


def test_bcca_verify_says_where_the_text_of_the_rules_is_not_in_the_file(chain: Any) -> None:
    header, body = ruled(chain, NEUTRAL_1)
    lines = told(chain, header, without_text(body))

    digest = rules.digest_of(NEUTRAL_1)
    assert (
        f"Rules: neutral, version 1, {digest}; text not in the file, known by its digest." in lines
    )
    assert lines[-2:] == ["Declaration-ready by the rules neutral, version 1.", "ALL HOLDS."]


def test_where_something_is_withheld_nobody_can_tell_whether_it_is_ready(chain: Any) -> None:
    header, body = ruled(chain, OURS)
    (cell,) = (
        each for each in body if isinstance(each, StatementLine) and each.origin == "cell.example"
    )
    envelope = Envelope.parse(unb64(cell.envelope, "envelope"))
    hidden = Withheld(
        commitment=hashlib.sha256(pae(envelope.payload_type, envelope.payload)).hexdigest(),
        origin=cell.origin, reason="not yours", index=cell.index,
    )  # fmt: skip
    report = audited(chain, header, [*(each for each in body if each is not cell), hidden])

    assert report.verdict is None
    assert as_json(report, (), ())["ready"] is None
