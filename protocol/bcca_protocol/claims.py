"""What a roll-up may claim of statements that are withheld from its reader (SPEC 11.6).

What is here is added up without them. What the roll-up states beyond that is its issuer's claim:
it is refused where no statement, whatever it says, could make up the difference.
"""

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import to_builtins

from bcca_protocol import footprint
from bcca_protocol.errors import StatementError
from bcca_protocol.quantity import ZERO, exact, number, plain
from bcca_protocol.results import Edge, Weights
from bcca_protocol.statement import FootprintRollUp

# Sums of one sign in another order differ in their last of 34 digits, and never by so much.
ROUNDING: Final = Decimal("1E-20")
_CLAIMED = frozenset(
    {"footprint", "location_footprint", "exempted_percent", "validity", "manifest", "uncertainty"}
)
_NOT_SUMS = frozenset({"introduced"})


def with_claims(
    stated: FootprintRollUp,
    made: FootprintRollUp,
    withheld: Collection[str],
    reached: Collection[str],
    *,
    lacking: bool,
) -> FootprintRollUp:
    """Return `made`, from what is here, with what `stated` may claim of the rest.

    `reached` are the parts here that were added up; `lacking` says whether a cumulative one of
    them is incomplete. Raises StatementError for a claim that what is
    here rules out.
    """
    with exact():
        _check_footprints(stated, made)
        _check_weights(stated.weights, made.weights)
    check_edges(stated, made, withheld, reached)
    _check_validity(stated, made)
    claims = {name: getattr(stated, name) for name in _CLAIMED}
    edges = stated.manifest or ()
    incomplete = lacking or any(edge.resolved.gap is not None for edge in edges)
    if not incomplete and set(withheld) - {edge.consumer for edge in edges}:
        incomplete = stated.incomplete  # what buys nothing may be cumulative, and incomplete
    return msgspec.structs.replace(made, weights=stated.weights, incomplete=incomplete, **claims)


def _check_footprints(stated: FootprintRollUp, made: FootprintRollUp) -> None:
    """Raise where the rest would be on the wrong side of zero, as no footprint is (SPEC 4.5)."""
    if made.location_footprint is not None and stated.location_footprint is None:
        raise StatementError("locationFootprint is stated as nothing, and what is here has one")
    here = footprint.decode(made.footprint)
    _check_rest("footprint", footprint.decode(stated.footprint), here)
    if stated.location_footprint is not None:
        if made.location_footprint is not None:
            here = footprint.decode(made.location_footprint)
        _check_rest("locationFootprint", footprint.decode(stated.location_footprint), here)


def _check_rest(what: str, whole: footprint.Footprint, here: footprint.Footprint) -> None:
    rest = {}
    for cell in {**whole, **here}:
        kg = whole.get(cell, ZERO) - here.get(cell, ZERO)
        rest[cell] = kg if abs(kg) > ROUNDING * abs(here.get(cell, ZERO)) else ZERO
    try:
        footprint.check_sides(rest)
    except StatementError as error:
        raise StatementError(
            f"{what}: what is withheld would have to make up the difference to what is here: "
            f"{error}"
        ) from error


def _check_weights(stated: Weights, made: Weights) -> None:
    """Raise where a sum of absolute contributions is stated below what is here (SPEC 8.6)."""
    for name, whole, here in _sums(to_builtins(stated), to_builtins(made)):
        if whole < here - here * ROUNDING:
            raise StatementError(
                f"weights.{name} is stated as {plain(whole)}, what is here has {plain(here)}"
            )
    whole, here = _unsigned(stated), _unsigned(made)
    if whole < here - here * ROUNDING:
        raise StatementError(
            f"weights.signed is stated as {stated.signed} of {stated.absolute}: {plain(whole)} "
            f"unsigned, what is here has {plain(here)}"
        )
    default = number(stated.default) - number(made.default)
    if default > whole - here + number(stated.absolute) * ROUNDING:
        raise StatementError(
            f"weights.default is stated as {stated.default}, where {plain(whole)} kg are not signed"
        )


def _unsigned(weights: Weights) -> Decimal:
    return number(weights.absolute) - number(weights.signed)


def _sums(
    stated: dict[str, object], made: dict[str, object]
) -> Iterable[tuple[str, Decimal, Decimal]]:
    for name, text in made.items():
        other = stated[name]
        if isinstance(text, dict) and isinstance(other, dict):
            yield from ((f"{name}.{k}", w, h) for k, w, h in _sums(other, text))
        elif name not in _NOT_SUMS:
            yield name, number(str(other)), number(str(text))


def _check_validity(stated: FootprintRollUp, made: FootprintRollUp) -> None:
    """Raise unless the roll-up ends with its earliest input here, or before (SPEC 8.2)."""
    one, other = stated.validity, made.validity
    if one is None or other is None or one.start != other.start or one.end > other.end:
        raise StatementError(f"validity is stated as {one}, what is here has {other}")


def check_edges(
    stated: FootprintRollUp,
    made: FootprintRollUp,
    withheld: Collection[str],
    reached: Collection[str],
) -> None:
    """Raise unless the edges of what was added up are stated, with the amounts that it needs.

    What stands upstream of something withheld may be needed for that too: there it is no less.
    """
    with exact():
        _check_edges(stated, made, withheld, reached)


def _check_edges(
    stated: FootprintRollUp,
    made: FootprintRollUp,
    withheld: Collection[str],
    reached: Collection[str],
) -> None:
    edges = stated.manifest or ()
    claimed = {(e.consumer, e.line): e for e in edges}
    shared = _upstream(withheld, edges)
    for edge in made.manifest or ():
        what = f"manifest: line {edge.line} of {edge.consumer}"
        other = claimed.pop((edge.consumer, edge.line), None)
        if other is None:
            raise StatementError(f"{what} is left out: {edge.resolved}")
        if other.resolved.commitment in withheld:
            continue  # nobody here knows its unit, and so not its amount either
        if edge.resolved != other.resolved:
            raise StatementError(f"{what} is stated as {other.resolved}, here {edge.resolved}")
        more = number(other.amount) - number(edge.amount)
        if abs(more) > ROUNDING * number(edge.amount) and (more < 0 or edge.consumer not in shared):
            raise StatementError(
                f"{what}: the amount is stated as {other.amount}, what is here needs {edge.amount}"
            )
    for (consumer, line), edge in claimed.items():
        if consumer in reached and edge.resolved.commitment not in withheld:
            raise StatementError(f"manifest: line {line} of {consumer} is stated, and is no input")


def _upstream(withheld: Collection[str], edges: Iterable[Edge]) -> set[str]:
    """Return what is withheld and all that the manifest feeds to it, however far upstream."""
    suppliers: dict[str, list[str]] = {}
    for edge in edges:
        if edge.resolved.commitment is not None:
            suppliers.setdefault(edge.consumer, []).append(edge.resolved.commitment)
    found, waiting = set(withheld), list(withheld)
    while waiting:
        new = set(suppliers.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found
