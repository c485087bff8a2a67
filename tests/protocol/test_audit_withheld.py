"""Bundles that withhold statements: what is proven without them, and makers who lie about it."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, footprint
from bcca_protocol.audit import Report, Step
from bcca_protocol.bundle import Body, Header, LogLine, StatementLine, Withheld
from bcca_protocol.entry import KeyRetire, Status
from bcca_protocol.errors import AuthorshipError, MalformedError, RefusedError, StatementError
from bcca_protocol.footprint import STAGES, Components, Stages
from bcca_protocol.inventory import Amount, Electricity, Interval
from bcca_protocol.policy import Policy
from bcca_protocol.results import Edge, Resolved
from bcca_protocol.statement import FootprintRollUp

WHY = "for its customer alone"
PERIOD = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
Evidence = tuple[Header, list[Body]]
Change = Callable[[FootprintRollUp], FootprintRollUp]


@pytest.fixture
def names(chain: Any, line: Any, per: Any) -> dict[str, str]:
    """A pack of five tiers, every part by its short name: all have own kg CO2e."""
    green = Electricity(supply="contract", location_factor=per("0.6", "kWh"))
    kwh = {"declared_unit": Amount("1", "kWh"), "output": Amount("1", "kWh")}
    uptake = per("0", values=Components(biogenic_uptake="-2", biogenic_co2="1"))
    own = line("own", "1", "0.1", "kWh", kind="energy", electricity=green)
    wood = line("own", "1", "0", factor=uptake)
    cell = chain.buys("foil", "0.3"), chain.buys("ore", "0.7")
    return {
        "power": chain.sells("power", activities=[own], **kwh),
        "ore": chain.sells("ore", "2", chain.buys("power", "0.5", unit="kWh")),
        "wood": chain.sells("wood", activities=[wood]),
        "foil": chain.sells("foil", "1", chain.buys("ore", "3"), chain.buys("wood", "2")),
        "cell": chain.sells(
            "cell", "4", *cell, validity=Interval(PERIOD.start, "2028-01-01T00:00:00Z")
        ),
        "pack": chain.sells("pack", "1", chain.buys("cell", "5"), chain.buys("wood", "1")),
    }


@pytest.fixture
def evidence(chain: Any, names: dict[str, str]) -> Evidence:
    """All there is about two kg of the pack."""
    assert names
    found: Evidence = chain.evidence(chain.rolled_up("pack", "2"))
    return found


def hidden(chain: Any, names: dict[str, str], *makers: str) -> list[Withheld]:
    """Return the withheld lines of the parts of these makers."""
    found = []
    for name in makers:
        company = chain.maker(name)
        index = str(company.index_of(company.envelopes[0]))
        origin, commitment = company.origin, names[name]
        found.append(Withheld(commitment=commitment, origin=origin, reason=WHY, index=index))
    return found


def without(body: list[Body], lines: list[Withheld]) -> list[Body]:
    """Return `body` without the statements that are withheld."""
    gone = {(line.origin, line.index) for line in lines}
    return [
        item
        for item in body
        if not (isinstance(item, StatementLine) and (item.origin, item.index) in gone)
    ]


def withheld(chain: Any, names: dict[str, str], body: list[Body], *makers: str) -> list[Body]:
    """Return `body` with the parts of these makers withheld."""
    lines = hidden(chain, names, *makers)
    return [*without(body, lines), *lines]


def without_log(body: list[Body], origin: str) -> list[Body]:
    return [item for item in body if not (isinstance(item, LogLine) and item.origin == origin)]


def audited(chain: Any, header: Header, body: list[Body], **asked: Any) -> Report:
    return audit.audit(chain.sealed(header, body), chain.policy, **asked)


def require_refused(
    chain: Any, header: Header, body: list[Body], *parts: str, error: type[RefusedError]
) -> None:
    with pytest.raises(error) as refused:
        audited(chain, header, body)

    assert type(refused.value) is error
    assert [part for part in parts if part not in str(refused.value)] == []


def close(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) < Decimal("1E-28")


# What holds, and how far.


def test_what_is_withheld_stands_first_with_what_its_log_proves(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    report = audited(chain, header, withheld(chain, names, body, "ore"))

    assert report.incomplete
    assert report.unverified[0] == (
        f"withheld: statement {names['ore']} of ore.example: entry 3 of its log, under a key valid "
        "there; of that log nothing was revoked or corrected; why, in its maker's words: " + WHY
    )
    assert [each.commitment for each in report.withheld] == [names["ore"]]


def test_the_total_is_the_makers_and_what_is_here_is_added_up_without_it(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    """2 packs = 2 x (1 + 5 x (4 + 0.3 x 1)) without ore, power and the ways to them."""
    header, body = evidence
    whole = audited(chain, header, body)
    report = audited(chain, header, withheld(chain, names, body, "ore"))

    assert report.total == whole.total
    assert footprint.total(report.recomputed) == 2 * (1 + 5 * (4 + Decimal("0.3")))
    assert close(footprint.total(report.claimed), whole.total - footprint.total(report.recomputed))
    assert whole.claimed == dict.fromkeys(whole.footprint, Decimal(0))


@pytest.mark.parametrize("which", range(1, 32))
def test_whatever_is_withheld_what_is_recomputed_is_what_reaches_the_root_without_it(
    chain: Any, names: dict[str, str], evidence: Evidence, which: int
) -> None:
    """All 31 ways to withhold some of five parts, each beside the sum over the paths left."""
    header, body = evidence
    makers = ["power", "ore", "wood", "foil", "cell"]
    gone = [name for i, name in enumerate(makers) if which >> i & 1]
    kg = {"power": "0.1", "ore": "2", "wood": "0", "foil": "1", "cell": "4", "pack": "1"}
    feeds: dict[str, dict[str, str]] = {
        "pack": {"cell": "5", "wood": "1"}, "cell": {"foil": "0.3", "ore": "0.7"},
        "foil": {"ore": "3", "wood": "2"}, "ore": {"power": "0.5"},
    }  # fmt: skip

    def reaching(name: str) -> Decimal:
        fed = feeds.get(name, {}).items()
        ways = (Decimal(amount) * reaching(each) for each, amount in fed if each not in gone)
        return Decimal(kg[name]) + sum(ways, Decimal(0))

    report = audited(chain, header, withheld(chain, names, body, *gone))

    assert report.incomplete
    assert close(footprint.total(report.recomputed), 2 * reaching("pack"))
    uptake = footprint.by_component(report.recomputed)["biogenicUptake"]
    assert footprint.by_component(report.footprint)["biogenicUptake"] <= uptake <= 0


def test_the_steps_never_call_the_total_recomputed(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    steps: list[Step] = []
    report = audited(chain, header, withheld(chain, names, body, "ore"), on_step=steps.append)

    assert "1 withheld" in steps[4].found
    assert steps[5].found == (
        "45 kg CO2e from what is here; the other "
        f"{report.total - 45} of the stated {report.total} are the maker's claim of what is "
        "withheld"
    )


def test_where_its_log_revoked_something_nobody_can_tell_whether_it_was_this(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    other = chain.sells("ore", "7", period=Interval("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"))
    chain.status("ore", other, Status.REVOKED)
    anew = [chain.log_line(i.origin) if isinstance(i, LogLine) else i for i in body]

    told = audited(chain, header, withheld(chain, names, anew, "ore")).unverified[0]

    assert "of that log 1 were revoked or corrected" in told
    assert "whether it is one of them only who holds it can tell" in told


def test_a_withheld_statement_that_was_revoked_is_not_called_current(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    """A maker may withhold it for just that reason: the reader is told that it cannot tell."""
    header, body = evidence
    chain.status("ore", names["ore"], Status.REVOKED)
    anew = [chain.log_line(i.origin) if isinstance(i, LogLine) else i for i in body]

    report = audited(chain, header, withheld(chain, names, anew, "ore"))

    assert report.incomplete
    assert "only who holds it can tell" in report.unverified[0]


def test_everything_withheld_leaves_a_signed_claim_and_nothing_recomputed(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    report = audited(chain, header, withheld(chain, names, body, *names))

    assert report.incomplete
    assert len(report.withheld) == 6
    assert report.recomputed == {}
    assert footprint.total(report.claimed) == report.total
    with pytest.raises(StatementError, match="nothing was added up"):
        assert report.totals is None


def test_a_part_that_buys_nothing_may_be_withheld_behind_its_roll_up(chain: Any) -> None:
    names = {"cell": chain.sells("cell", "1")}
    header, body = chain.evidence(chain.rolled_up("cell"))

    report = audited(chain, header, withheld(chain, names, body, "cell"))

    assert (report.incomplete, report.recomputed) == (True, {})
    assert report.total == 1


def test_a_loop_through_what_is_withheld_is_added_up_as_far_as_it_is_here(chain: Any) -> None:
    names = {
        "mill": chain.sells("mill", "1", chain.buys("acid", "0.5")),
        "acid": chain.sells("acid", "3", chain.buys("mill", "0.25")),
        "pack": chain.sells("pack", "2", chain.buys("mill", "4")),
    }
    header, body = chain.evidence(chain.rolled_up("pack"))

    report = audited(chain, header, withheld(chain, names, body, "acid"))

    assert footprint.total(report.recomputed) == 2 + 4
    assert report.total > 6


def test_a_gap_behind_something_withheld_is_told_without_what_was_bought(chain: Any) -> None:
    chain.maker("tin")
    names = {
        "foil": chain.sells("foil", "1", chain.buys("tin", "3")),
        "cell": chain.sells("cell", "1", chain.buys("foil", "2")),
    }
    header, body = chain.evidence(chain.rolled_up("cell"))

    report = audited(chain, header, withheld(chain, names, body, "foil"))

    assert report.unverified[1].startswith(
        f"missing: line tin of {names['foil']}, which is withheld"
    )


def test_a_log_that_only_withheld_statements_name_may_be_left_out_with_what_it_entered(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    """Who knows the pack maker alone is introduced to no log behind a withheld cell but wood's."""
    header, body = evidence
    lines = hidden(chain, names, "cell", "foil", "ore", "power")
    unknown = [msgspec.structs.replace(line, index=None) for line in lines[1:]]
    for origin in ("foil.example", "ore.example", "power.example"):
        body = without_log(body, origin)
    sealed = chain.sealed(header, [*without(body, lines), lines[0], *unknown])

    report = audit.audit(sealed, Policy.parse(chain.policy_text(logs=["pack.example"])))

    assert [told.split(": ")[2].split(";")[0] for told in report.unverified[:4]] == [
        "entry 3 of its log, under a key valid there",
        *["unproven, since nobody here names the key of its log"] * 3,
    ]
    assert set(report.evidence.introduced) == {"cell.example", "wood.example"}
    assert footprint.total(report.recomputed) == 2


def test_for_whom_a_bundle_was_made_is_reported(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    assert names

    made_for = msgspec.structs.replace(header, recipient="auditor.example")
    assert audited(chain, made_for, body).recipient == "auditor.example"
    assert audited(chain, header, body).recipient is None


# A maker that withholds what it may not.


def test_a_statement_withheld_although_it_is_here_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence

    require_refused(
        chain, header, [*body, *hidden(chain, names, "ore")],
        f"statement {names['ore']} is here, and withheld", error=MalformedError,
    )  # fmt: skip


def test_a_statement_withheld_twice_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    twice = [*withheld(chain, names, body, "ore"), *hidden(chain, names, "ore")]

    require_refused(chain, header, twice, "is withheld twice", error=MalformedError)


def test_the_roll_up_itself_withheld_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    maker = chain.maker("pack")
    index = str(maker.index_of(maker.envelopes[-1]))
    line = Withheld(commitment=header.roll_up, origin=maker.origin, reason=WHY, index=index)
    assert names

    require_refused(
        chain, header, [*without(body, [line]), line],
        f"names roll-up {header.roll_up}, which is not in it", error=StatementError,
    )  # fmt: skip


def test_a_withheld_line_for_what_the_roll_up_is_not_made_from_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    """Else it could stand for anything: a reader would look for it in vain."""
    header, body = evidence
    names["tin"] = chain.sells("tin", "1")
    body = [*body, chain.log_line("tin.example")]

    for hide in (["tin"], ["tin", "ore"]):
        require_refused(
            chain, header, withheld(chain, names, body, *hide),
            f"statement {names['tin']} is withheld, and roll-up {header.roll_up} is not made from",
            error=StatementError,
        )  # fmt: skip


def test_another_statement_of_the_maker_withheld_beside_a_root_that_buys_nothing_is_refused(
    chain: Any,
) -> None:
    chain.sells("cell", "1")
    rolled = chain.rolled_up("cell")
    other = {"tin": chain.sells("tin", "5", by="cell.example")}
    header, body = chain.evidence(rolled)
    line = Withheld(commitment=other["tin"], origin="cell.example", reason=WHY, index="4")

    require_refused(chain, header, [*body, line], "is not made from it", error=StatementError)


def test_a_withheld_commitment_that_no_log_entered_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    """The maker invents a statement, states a roll-up made from it, and withholds it."""
    invented = "ab" * 32
    truth = chain.rolled_up("pack", "2")
    header, body = chain.evidence(refed(truth, names["ore"], invented), truth=truth)
    (line,) = hidden(chain, names, "ore")
    false = msgspec.structs.replace(line, commitment=invented)

    require_refused(
        chain, header, [*without(body, [line]), false],
        f"statement {invented}, which is withheld: the log of ore.example holds no entry for it",
        error=AuthorshipError,
    )  # fmt: skip


def refed(rolled: FootprintRollUp, old: str, new: str) -> FootprintRollUp:
    """Return a roll-up in whose manifest another commitment stands in the place of one."""
    edges = tuple(
        Edge(
            consumer=new if edge.consumer == old else edge.consumer,
            line=edge.line,
            amount=edge.amount,
            resolved=Resolved(new) if edge.resolved.commitment == old else edge.resolved,
        )
        for edge in rolled.manifest or ()
    )
    return msgspec.structs.replace(rolled, manifest=edges)


def lying(
    chain: Any, names: dict[str, str], commitment: str, **line: Any
) -> tuple[Header, list[Body]]:
    """Return the bundle of a maker that states `commitment` in the place of the ore's, withheld."""
    truth = chain.rolled_up("pack", "2")
    return _lying(chain, names, truth, commitment, **line)


def _lying(
    chain: Any, names: dict[str, str], truth: FootprintRollUp, commitment: str, **line: Any
) -> tuple[Header, list[Body]]:
    header, body = chain.evidence(refed(truth, names["ore"], commitment), truth=truth)
    (ore,) = hidden(chain, names, "ore")
    false = msgspec.structs.replace(ore, commitment=commitment, **line)
    return header, [*without(body, [ore]), false]


def test_a_withheld_statement_entered_under_a_key_that_was_not_valid_is_refused(
    chain: Any, names: dict[str, str]
) -> None:
    truth = chain.rolled_up("pack", "2")
    chain.maker("ore").enter(KeyRetire(add=2).encode())
    false = chain.sells("ore", "0.1")

    require_refused(
        chain, *_lying(chain, names, truth, false, index="5"),
        "log ore.example: entry 5 by key 2: retired at entry 4", error=AuthorshipError,
    )  # fmt: skip


def test_a_withheld_statement_entered_after_the_roll_up_read_its_log_is_refused(
    chain: Any, names: dict[str, str]
) -> None:
    truth = chain.rolled_up("pack", "2")
    later = chain.sells("ore", "0.1")

    require_refused(
        chain, *_lying(chain, names, truth, later, index="4"),
        "entry 4 of ore.example, of which the roll-up read 4 entries", error=StatementError,
    )  # fmt: skip


def test_a_withheld_statement_of_somebody_else_than_was_bought_from_is_refused(
    chain: Any, names: dict[str, str]
) -> None:
    clean = chain.sells("moss", "0", by="wood.example")

    require_refused(
        chain, *lying(chain, names, clean, origin="wood.example", index="4"),
        "bought of ore.example", "withheld as one of wood.example", error=StatementError,
    )  # fmt: skip


def test_a_withheld_statement_in_the_place_of_another_that_was_pinned_is_refused(
    chain: Any,
) -> None:
    right = chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "3", statement=right))
    truth = chain.rolled_up("cell")
    false = chain.sells("mud", "0", by="ore.example")
    truth = msgspec.structs.replace(
        truth, logs=chain.frame(truth, ["cell.example", "ore.example"]).logs
    )
    bundled = _lying(chain, {"ore": right}, truth, false, index="4")

    require_refused(
        chain, *bundled, f"fed by {false}, which is withheld, where it pins {right}",
        error=StatementError,
    )  # fmt: skip


def test_a_withheld_statement_of_a_log_that_broke_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    chain.maker("ore").enter("bcca/v2 something")
    anew = [chain.log_line(i.origin) if isinstance(i, LogLine) else i for i in body]

    require_refused(
        chain, header, withheld(chain, names, anew, "ore"), "not current: broken log",
        error=StatementError,
    )  # fmt: skip


FALSE: dict[str, tuple[dict[str, Any], str, type[RefusedError]]] = {
    "another entry": (
        {"index": "2"}, "entry 3 of ore.example, the bundle has index 2", MalformedError
    ),
    "no entry": ({"index": None}, "the bundle has index None", MalformedError),
    "another's": (
        {"origin": "wood.example"}, "the log of wood.example holds no entry", AuthorshipError
    ),
    "nobody's": ({"origin": "mars.example"}, "the log of mars.example that", AuthorshipError),
    "another statement": (
        {"commitment": "cd" * 32}, f"{'cd' * 32} is withheld, and roll-up", StatementError
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FALSE)
def test_a_withheld_line_that_says_something_false_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence, what: str
) -> None:
    header, body = evidence
    changed, named, error = FALSE[what]
    (line,) = hidden(chain, names, "ore")
    false = msgspec.structs.replace(line, **changed)

    require_refused(chain, header, [*without(body, [line]), false], named, error=error)


def test_a_log_left_out_though_a_statement_here_names_it_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    """Else nobody could see that what is withheld was never entered."""
    header, body = evidence
    (line,) = hidden(chain, names, "ore")
    for index in ("3", None):
        false = msgspec.structs.replace(line, index=index)
        require_refused(
            chain, header, [*without_log(without(body, [line]), "ore.example"), false],
            f"statement {names['ore']} is withheld, and the log of ore.example that",
            "is not in the bundle", error=AuthorshipError,
        )  # fmt: skip


def test_an_entry_named_in_a_log_that_is_not_here_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    lines = hidden(chain, names, "ore", "power")
    left = without_log(without(body, lines), "power.example")

    require_refused(
        chain, header, [*left, *lines], "entry 3 of power.example, whose log is not here",
        error=MalformedError,
    )  # fmt: skip


def test_a_statement_that_is_neither_here_nor_withheld_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    for gone, hide in (("power", "ore"), ("ore", "power"), ("ore", "cell")):
        left = without(withheld(chain, names, body, hide), hidden(chain, names, gone))
        require_refused(
            chain, header, left, f"{names[gone]} is neither here nor withheld",
            error=StatementError,
        )  # fmt: skip


def test_the_root_neither_here_nor_withheld_is_refused(
    chain: Any, names: dict[str, str], evidence: Evidence
) -> None:
    header, body = evidence
    left = without(withheld(chain, names, body, "ore"), hidden(chain, names, "pack"))

    require_refused(chain, header, left, "is neither here nor withheld", error=StatementError)


# A maker that hides a lie about what is here behind something that it withholds: the ore.


def set_to(**fields: Any) -> Change:
    return lambda rolled: msgspec.structs.replace(rolled, **fields)


def weights(**fields: Any) -> Change:
    return lambda rolled: msgspec.structs.replace(
        rolled, weights=msgspec.structs.replace(rolled.weights, **fields)
    )


def production(**fields: Any) -> Change:
    def change(rolled: FootprintRollUp) -> FootprintRollUp:
        assert rolled.footprint.production is not None
        stage = msgspec.structs.replace(rolled.footprint.production, **fields)
        whole = msgspec.structs.replace(rolled.footprint, production=stage)
        return msgspec.structs.replace(rolled, footprint=whole)

    return change


def edges(change: Callable[[Edge], list[Edge]]) -> Change:
    def changed(rolled: FootprintRollUp) -> FootprintRollUp:
        found = tuple(each for edge in rolled.manifest or () for each in change(edge))
        return msgspec.structs.replace(rolled, manifest=found)

    return changed


def amount_of(line: str, amount: str) -> Change:
    return edges(
        lambda edge: [msgspec.structs.replace(edge, amount=amount) if edge.line == line else edge]
    )


LIES: dict[str, tuple[Change, str]] = {
    "less uptake than is here": (
        production(biogenic_uptake="-1"),
        r"what is withheld would have to make up .* production\.biogenicUptake: \S+ is above zero",
    ),
    "less biogenic carbon than is here": (
        production(biogenic_co2=None), r"production\.biogenicCO2: -\S+ is below zero"
    ),
    "smaller contributions than are here": (
        weights(absolute="44", signed="44"), r"weights\.absolute is stated as 44, what is here has"
    ),
    "a longer validity": (
        set_to(validity=Interval(PERIOD.start, "2028-01-01T00:00:01Z")), "validity is stated as"
    ),
    "another start of validity": (
        set_to(validity=Interval("2025-01-02T00:00:00Z", "2027-12-31T00:00:00Z")),
        "validity is stated as",
    ),
    "incomplete without a gap": (set_to(incomplete=True), "incomplete is stated as True"),
    "another mass": (set_to(mass_kg="3"), "massKg is stated as 3"),
    "another unit": (
        set_to(declared_unit=Amount(amount="2", unit="t")), r"declaredUnit\.unit is stated as t"
    ),
    "default values": (
        weights(default="1"), r"weights\.default is stated as 1, where 0 kg are not signed"
    ),
    "less needed of what is here": (
        amount_of("cell", "9"), "the amount is stated as 9, what is here needs 10"
    ),
    "more needed of what is here": (
        amount_of("cell", "11"), "the amount is stated as 11, what is here needs 10"
    ),
    "an edge of what is here left out": (
        edges(lambda edge: [] if edge.line == "cell" else [edge]), "fed by nothing, where the rules"
    ),
    "an edge twice": (edges(lambda edge: [edge, edge]), "an input stands twice"),
    "an input that nothing here has": (
        edges(lambda edge: [edge, msgspec.structs.replace(edge, line="x" + edge.line)]),
        "has no input x",
    ),
    "a consumer that is nowhere": (
        edges(lambda edge: [edge, msgspec.structs.replace(edge, consumer="ab" * 32)]),
        f"{'ab' * 32} is neither here nor withheld",
    ),
    "a supplier of something withheld that is nowhere": (
        edges(lambda edge: [msgspec.structs.replace(edge, resolved=Resolved("ab" * 32))]),
        f"{'ab' * 32} is neither here nor withheld",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_what_is_here_is_refused_although_something_is_withheld(
    chain: Any, names: dict[str, str], lie: str
) -> None:
    change, named = LIES[lie]
    truth = chain.rolled_up("pack", "2")
    header, body = chain.evidence(change(truth), truth=truth)

    with pytest.raises(RefusedError) as refused:
        audited(chain, header, withheld(chain, names, body, "ore"))

    assert re.search(named, str(refused.value))


def test_the_location_result_of_what_is_here_is_not_left_out_behind_what_is_withheld(
    chain: Any, names: dict[str, str]
) -> None:
    truth = chain.rolled_up("pack", "2")
    lie = msgspec.structs.replace(truth, location_footprint=None)
    header, body = chain.evidence(lie, truth=truth)

    # Power, which is here, has one; only what reaches the pack through the ore counts as claimed.
    report = audited(chain, header, withheld(chain, names, body, "ore"))
    assert report.incomplete
    require_refused(
        chain, header, withheld(chain, names, body, "wood"),
        "locationFootprint is stated as nothing", error=StatementError,
    )  # fmt: skip


def test_less_needed_upstream_of_something_withheld_than_what_is_here_needs_is_refused(
    chain: Any, names: dict[str, str]
) -> None:
    """The foil is withheld, and needs ore too: its maker may claim more ore, and no less."""
    truth = chain.rolled_up("pack", "2")
    told = {}
    for amount in ("6.9", "7", "8"):
        found = [
            msgspec.structs.replace(edge, amount=amount)
            if (edge.consumer, edge.line) == (names["cell"], "ore")
            else edge
            for edge in truth.manifest
        ]
        lie = msgspec.structs.replace(truth, manifest=tuple(found))
        header, body = chain.evidence(lie, truth=truth)
        try:
            told[amount] = audited(chain, header, withheld(chain, names, body, "foil")).incomplete
        except StatementError:
            told[amount] = False

    assert told == {"6.9": False, "7": True, "8": False}


def test_what_is_claimed_of_the_withheld_is_the_makers_word_and_shown_as_that(
    chain: Any, names: dict[str, str]
) -> None:
    """The price of withholding: a number nobody can repeat is told apart, and never believed."""
    truth = chain.rolled_up("pack", "2")
    low = Stages(production=msgspec.structs.replace(truth.footprint.production, fossil="46"))
    lie = msgspec.structs.replace(truth, footprint=low)
    header, body = chain.evidence(lie, truth=truth)

    with pytest.raises(StatementError):
        audited(chain, header, body)
    report = audited(chain, header, withheld(chain, names, body, "ore"))
    assert report.incomplete
    assert footprint.total(report.recomputed) == 45
    assert footprint.total(report.claimed) == 1
    assert set(footprint.by_stage(report.claimed)) == set(STAGES)
