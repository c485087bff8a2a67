"""`--substitute` of `bcca aggregate`: what a maker states for what is missing, and what came of it.

PRODUCT=VALUE[/unit];reason, kg CO2e per unit of the product (the slash may be left out), with !=
where the value is to go over a signed statement.
"""

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from bcca_node.cli.screen import say
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.run import Run
from bcca_node.packmaker.stoodin import StoodIn, default_share, stood_in, unsigned_share
from bcca_node.sheets.rows import plain_number
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.quantity import Unit, number, plain, unit_named
from bcca_protocol.substituted import replaced_by
from bcca_protocol.wire import showable

MAX_REASON_CHARS = MAX_TEXT_CHARS - 200  # what it goes over is said in front of it
METAVAR = "PRODUCT=VALUE[/unit];reason"

SubstituteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--substitute",
        metavar=METAVAR,
        help="Your own kg CO2e per unit of a product whose statement is missing, as "
        "'C12=3.2/kg;LCA of 2024': 3.2 kg CO2e per kg of C12; once for each. C12!=3.2/kg goes over "
        "a signed statement.",
    ),
]

# The first = before a number: a URN may hold others.
_FORM = re.compile(r"(.+?)(!?)=\s*([+-]?[0-9.][0-9.,]*(?:[eE][+-]?[0-9]+)?)\s*/?([^;]*);(.*)", re.S)


def parsed(texts: Sequence[str] | None) -> tuple[OwnValue, ...]:
    """Return what the options say; raises UnusableError naming the one that is wrong."""
    return tuple(map(_parsed, texts or ()))


def print_stood_in(run: Run) -> None:
    """Print each value that stands in for a statement, and how much of the result they are."""
    found = _found(run)
    if found:
        say("Filled in, and not signed by a supplier:")
    for each in found:
        factor = each.substitute.factor
        version = f", version {factor.version}" if factor.version else ""
        kind = "unsigned footprint" if each.is_unsigned else factor.kind
        say(
            f"  {plain(each.kg)} kg CO2e for {plain(each.amount)} {factor.unit} of {each.product} "
            f"from {each.supplier}: {kind}, {factor.dataset} ({factor.source}{version}), "
            f"{plain(each.kg_per_unit)} per {factor.unit}",
            f"    {each.substitute.reason}; bought for {each.consumer.name} of "
            f"{each.consumer.issuer}",
        )
        if replaced_by(each.substitute):
            say("    an own value over a signed statement: whoever checks the result is told so")
    for value in run.without_effect:
        say(
            f"  --substitute {showable(value.asked[:200])}: without effect, since nothing of that "
            "name is needed, or what buys it is missing or substituted itself"
        )
    default, unsigned = default_share(run.statement), unsigned_share(run.statement)
    if found and (default or not unsigned):
        say(f"  {default * 100:.1f} % of the result, gross, is filled in so")
    if unsigned:
        say(f"  {unsigned * 100:.1f} % of the result, gross, are footprints that nobody signed")
    if any(each.is_unsigned for each in found):
        say("    whoever sees the recipe sees what was sent you: `--recipe secret` hides it")


def as_json(run: Run) -> dict[str, object]:
    """Return the same as members of a JSON document."""
    return {
        "substitutes": [_as_json(each) for each in _found(run)],
        "withoutEffect": [each.asked for each in run.without_effect],
        "defaultShare": f"{default_share(run.statement):.6f}",
        "unsignedShare": f"{unsigned_share(run.statement):.6f}",
    }


def _found(run: Run) -> list[StoodIn]:
    return list(stood_in(run.statement, run.sum.totals.graph))


def _as_json(each: StoodIn) -> dict[str, object]:
    factor = each.substitute.factor
    return {
        "product": each.product,
        "supplier": each.supplier,
        "consumer": each.consumer.commitment,
        "amount": plain(each.amount),
        "unit": factor.unit,
        "kg": plain(each.kg),
        "kind": factor.kind,
        "unsigned": each.is_unsigned,
        "reason": each.substitute.reason,
        "over": list(replaced_by(each.substitute)),
        "dataset": factor.dataset,
        "version": factor.version,
        "source": factor.source,
        "geography": factor.geography,
    }


def _parsed(text: str) -> OwnValue:
    found = _FORM.fullmatch(text)
    what = f"--substitute {showable(text[:200])}"
    if found is None:
        raise UnusableError(f"{what}: write {METAVAR}, as 'C12=3.2/kg;LCA of 2024'")
    product, over, value, unit, reason = (each.strip() for each in found.groups())
    if not reason:
        raise UnusableError(f"{what}: say behind the ; where the value comes from")
    if len(reason) > MAX_REASON_CHARS or showable(reason) != reason:
        raise UnusableError(
            f"{what}: the reason goes into what is signed: at most {MAX_REASON_CHARS} characters, "
            "and none that is not shown"
        )
    try:
        kg = plain_number(value)
        per: Unit | None = unit_named(unit) if unit else None
    except BccaError as error:
        raise UnusableError(f"{what}: {error}") from error
    if number(kg) <= 0:
        raise UnusableError(
            f"{what}: a value of 0 or below it would hide a gap, where one above 0 belongs; leave "
            "it missing instead"
        )
    return OwnValue(asked=product, kg=kg, unit=per, reason=reason, replaces=bool(over))
