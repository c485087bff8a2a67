"""What `bcca-verify` prints of a report, for people and for programs (SPEC 11.7)."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from bcca_protocol import footprint, period
from bcca_protocol.assurance import Weighed
from bcca_protocol.audit import Report, Step
from bcca_protocol.footprint import Footprint
from bcca_protocol.quantity import plain
from bcca_protocol.wire import showable
from bcca_protocol.withheld import Hidden


def as_text(
    report: Report, unverified: Sequence[str], steps: Sequence[Step], *, at_given: bool
) -> Iterator[str]:
    """Yield the lines for people: what could not be verified first, the verdict last."""
    yield "Could not be verified from this file:"
    yield from (f"  - {showable(item)}" for item in unverified)
    if not unverified:
        yield "  - nothing"
    yield "Checked:"
    yield from (f"  {step.number}. {step.what}: {showable(step.found)}" for step in steps)
    since = "as asked by --at" if at_given else "the newest quorum time in the file"
    yield f"Looked at from {period.text_at(report.at)} ({since})."
    if report.recipient is not None:
        yield f"Made for {report.recipient}."
    yield f"{report.product} of {report.maker}, {plain(report.amount)} {report.unit}:"
    yield from _partly(report) if report.withheld else _table(report.footprint)
    yield from _assured(report)
    for part, line, kg in _cut(report):
        yield f"Cut off: line {showable(line)} of {part}, {plain(kg)} kg CO2e gross."
    yield from _ruled(report)
    yield _verdict(report)


def as_json(report: Report, unverified: Sequence[str], steps: Sequence[Step]) -> dict[str, Any]:
    """Return the object for programs, numbers as decimal strings.

    `total`, `components` and `stages` are what the roll-up states: `recomputed` and `claimed`
    together, of which the second is empty where nothing is withheld.
    """
    return {
        "verdict": "incomplete" if report.incomplete else "holds",
        "withheld": [_withheld(each) for each in report.withheld],
        "notVerified": list(unverified),
        "product": report.product,
        "maker": report.maker,
        "recipient": report.recipient,
        "amount": plain(report.amount),
        "unit": report.unit,
        **_sums(report.footprint),
        "recomputed": _sums(report.recomputed),
        "claimed": _sums(report.claimed),
        "cutOff": [
            {"commitment": part, "line": line, "kg": plain(kg)} for part, line, kg in _cut(report)
        ],
        "ownValues": list(_own_values(report)),
        "opinions": [_opinion(each) for each in report.assured.weighed],
        "assured": {level: plain(kg) for level, kg in report.assured.kg.items()},
        "logs": len(report.evidence.logs),
        "introduced": len(report.evidence.introduced),
        "statements": len(report.evidence.facts),
        "rules": {
            "name": report.rules.name,
            "version": report.rules.version,
            "digest": report.rules.digest,
            "textInFile": report.rules_are_here,
            "unconfirmed": list(report.rules.unconfirmed),
        },
        "ready": None if report.verdict is None else report.verdict.is_ready,
        "blocks": [each._asdict() for each in report.verdict.blocks] if report.verdict else [],
        "asOf": period.text_at(report.as_of),
        "at": period.text_at(report.at),
        "steps": [step._asdict() for step in steps],
    }


def _cut(report: Report) -> Iterator[tuple[str, str, Decimal]]:
    """Yield each own line that the rules cut off: its statement, its id, gross kg CO2e."""
    if report.repeated is not None:
        parts = report.totals.graph.parts
        for each in report.repeated.cut.dropped:
            yield parts[each.part].commitment, each.name, each.kg


def _assured(report: Report) -> Iterator[str]:
    """Yield which opinions count, and how much they cover."""
    for each in report.assured.weighed:
        if not each.why_not:
            yield f"Opinion: {showable(each.tell())}."
    for level, kg in report.assured.kg.items():
        if kg:
            yield f"Under {level} assurance by this policy: {plain(kg)} kg CO2e gross."


def _own_values(report: Report) -> Iterator[dict[str, Any]]:
    """Yield each own value over signed statements, and which of them are in the file."""
    for edge, replaced in report.replaced:
        yield {
            "consumer": edge.consumer,
            "line": edge.line,
            "over": list(replaced),
            "here": [name for name in replaced if name in report.evidence.facts],
        }


def _opinion(weighed: Weighed) -> dict[str, Any]:
    said = weighed.opinion.statement
    return {
        "commitment": weighed.opinion.commitment,
        "verifier": weighed.opinion.issuer,
        "statement": weighed.statement,
        "conclusion": said.conclusion,
        "level": said.level,
        "covers": said.covers,
        "counts": not weighed.why_not,
        "whyNot": weighed.why_not,
    }


def _table(whole: Footprint) -> Iterator[str]:
    """Yield what was recomputed by stage, and the total."""
    for stage, kg in footprint.by_stage(whole).items():
        yield f"  {stage:<13} {plain(kg)} kg CO2e"
    yield f"  {'total':<13} {plain(footprint.total(whole))} kg CO2e, excluding biogenic uptake"
    if footprint.has_uptake(whole):
        including = footprint.total(whole, footprint.INCLUDING_UPTAKE)
        yield f"  {'':<13} {plain(including)} kg CO2e, including biogenic uptake"


def _partly(report: Report) -> Iterator[str]:
    """Yield what was recomputed by stage and what is claimed, apart."""
    yield "Recomputed, from what is here:"
    yield from _table(report.recomputed)
    yield "The maker's claim of what is withheld and of all upstream of it:"
    yield from _table(report.claimed)


def _ruled(report: Report) -> Iterator[str]:
    """Yield which rules were followed, and whether the result may be declared by them."""
    rules, verdict = report.rules, report.verdict
    where = "in the file" if report.rules_are_here else "not in the file, known by its digest"
    yield f"Rules: {rules.name}, version {showable(rules.version)}, {rules.digest}; text {where}."
    yield from (f"  - unconfirmed: {showable(each)}" for each in rules.unconfirmed)
    if verdict is None:
        yield "Whether it may be declared by them cannot be told without what is withheld."
        return
    said = verdict.tell()
    yield f"{said[0].upper()}{said[1:]}{':' if verdict.blocks else '.'}"
    yield from (f"  - {each.code}: {showable(each.words)}" for each in verdict.blocks)


def _verdict(report: Report) -> str:
    if report.withheld:
        count = len(report.withheld)
        return (
            f"INCOMPLETE: everything here holds, but {count} "
            f"{'statement is' if count == 1 else 'statements are'} withheld; the stated total, "
            f"{plain(report.total)} kg CO2e, was not recomputed as a whole."
        )
    if report.incomplete:
        return (
            "INCOMPLETE: everything here holds, but inputs are missing; the total is without them."
        )
    return "ALL HOLDS."


def _sums(whole: Footprint) -> dict[str, Any]:
    components = footprint.by_component(whole)
    return {
        "total": plain(footprint.total(whole)),
        "totalIncludingUptake": plain(footprint.total(whole, footprint.INCLUDING_UPTAKE)),
        "components": {name: plain(kg) for name, kg in components.items() if kg},
        "stages": {stage: plain(kg) for stage, kg in footprint.by_stage(whole).items()},
    }


def _withheld(hidden: Hidden) -> dict[str, Any]:
    line = hidden.line
    return {
        "commitment": line.commitment,
        "origin": line.origin,
        "index": line.index,
        "reason": line.reason,
    }
