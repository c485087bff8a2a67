"""`--rules` and `--cut-off` of `bcca aggregate`, and whether a result may be declared by them."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

import typer

from bcca_node.cli.screen import say, tell
from bcca_node.packmaker import certificates, ruling
from bcca_node.packmaker.run import Run
from bcca_protocol import circular, rules
from bcca_protocol.choices import Why
from bcca_protocol.inventory import Activity
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ZERO, exact, plain
from bcca_protocol.rules import RuleSet

MAX_CUT_SHOWN = 10  # one by one, for people

RulesOption = Annotated[
    str | None,
    typer.Option(
        "--rules",
        metavar="NAME|FILE",
        help="By which rules: neutral, eu-draft-2, miit-2, or your own in a file; neutral unless "
        "told.",
    ),
]
CutOffOption = Annotated[
    str | None,
    typer.Option(
        "--cut-off",
        metavar="PERCENT",
        help="Leave out the least own lines, up to so much of the gross total: the named rules "
        "with another cut-off, under a name of their own.",
    ),
]


def chosen(named: str | None, cut_off: str | None) -> RuleSet:
    """Return the rules that the options name; raises UnusableError."""
    found = rules.neutral() if named is None else ruling.load(named)
    if cut_off is None:
        return found
    return ruling.cut_off_at(found, cut_off.removesuffix("%").strip(), "--cut-off")


def print_ruled(run: Run) -> None:
    """Print what the rules cut off, whether they let the result be declared, and why not."""
    followed = run.sum.rules
    _print_cut(run)
    _print_recycling(run)
    flags = list(_flagged(run))
    if flags:
        say("Older, or of another site, for want of a statement of the site and time:")
        say(*dict.fromkeys(f"  {why.code}: {why.words}" for _, _, why in flags))
    twice = certificates.claimed_twice(run.sum.collected, run.sum.totals)
    if twice:
        say("Electricity certificates claimed twice, of which one counts:")
        say(*(f"  {each.tell()}" for each in twice))
    said = run.verdict.tell()
    say(f"{said[0].upper()}{said[1:]}{':' if run.verdict.blocks else ''}")
    say(*(f"  {each.code}: {each.words}" for each in run.verdict.blocks))
    if followed.unconfirmed:
        tell(f"Of the rules {followed.name} nobody has confirmed:")
        tell(*(f"  {each}" for each in followed.unconfirmed))


def as_json(run: Run) -> dict[str, object]:
    """Return the same as members of a JSON document."""
    followed = run.sum.rules
    return {
        "rules": {
            "name": followed.name,
            "version": followed.version,
            "digest": followed.digest,
            "cutOffPercent": plain(followed.cut_off_percent),
            "unconfirmed": list(followed.unconfirmed),
        },
        "ready": run.verdict.is_ready,
        "blocks": [each._asdict() for each in run.verdict.blocks],
        "recycling": _recycling(run),
        "claimedTwice": [
            {
                "claimHandle": each.claim,
                "by": [each.one.commitment, each.other.commitment],
                "isUsed": each.is_used,
            }
            for each in certificates.claimed_twice(run.sum.collected, run.sum.totals)
        ],
        "flagged": [
            {"consumer": consumer, "line": line, **why._asdict()}
            for consumer, line, why in _flagged(run)
        ],
        "exemptedPercent": run.statement.exempted_percent,
        "cutOff": [
            {
                "statement": part.commitment,
                "product": part.product,
                "supplier": part.issuer,
                "line": line.id,
                "name": line.name,
                "kg": plain(kg),
            }
            for part, line, kg in _cut(run)
        ],
    }


def _print_recycling(run: Run) -> None:
    """Print how recycling is counted, where that is in several ways."""
    found = _recycling(run)
    if len(found) > 1:
        counted = ", ".join(f"{method} in {count}" for method, count in found.items())
        say(
            f"Recycling is counted in several ways, statements by method: {counted}; the circular "
            "footprint formula is refused over them"
        )


def _flagged(run: Run) -> Iterator[tuple[str, str, Why]]:
    """Yield why what feeds a line is not of its site and time: the consumer, the line, why."""
    totals = run.sum.totals
    for index in sorted(totals.vectors):
        part = totals.graph.parts[index]
        for term in totals.graph.terms[index]:
            if term.why is not None:
                yield part.commitment, part.bought[term.line].line, term.why


def _recycling(run: Run) -> dict[str, int]:
    totals = run.sum.totals
    return circular.recycling_in(totals.graph.parts[index] for index in totals.vectors)


def _print_cut(run: Run) -> None:
    """Print what was cut off: all of it together, and the greatest lines one by one."""
    found = list(_cut(run))
    if not found:
        return
    with exact():
        dropped = sum((kg for _, _, kg in found), ZERO)
    allowed = plain(run.sum.rules.cut_off_percent)
    say(
        f"Cut off: {len(found)} own lines with {plain(dropped)} of {plain(run.sum.cut.gross)} "
        f"kg CO2e gross, where the rules allow {allowed} %"
    )
    for part, line, kg in found[: -MAX_CUT_SHOWN - 1 : -1]:
        say(f"  {plain(kg)} kg CO2e: {line.name}, for {part.name} of {part.issuer}")
    if len(found) > MAX_CUT_SHOWN:
        say(f"  and {len(found) - MAX_CUT_SHOWN} smaller ones; --json lists each")


def _cut(run: Run) -> Iterator[tuple[Part, Activity, Decimal]]:
    """Yield each own line that was dropped and whose it is, the smallest first."""
    parts = run.sum.totals.graph.parts
    for each in run.sum.cut.dropped:
        part = parts[each.part]
        yield part, run.sum.lines[part.commitment].activities[each.at], each.kg
