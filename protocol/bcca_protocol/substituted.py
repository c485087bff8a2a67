"""A value that stands in for a missing statement: nobody signed it but the maker (SPEC 9.10)."""

import decimal
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bcca_protocol import footprint, spread
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import CELLS, COMPONENTS, EXCLUDING_UPTAKE, Cell
from bcca_protocol.inventory import Factor
from bcca_protocol.own import Handed, Tally
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span
from bcca_protocol.quantity import ONE, ZERO, arithmetic, number
from bcca_protocol.results import Edge, Substitute
from bcca_protocol.spread import Spread
from bcca_protocol.wire import Record, encode

# A data set says no period: it ends nobody's validity, and is as old as its version says.
ALWAYS: Final = Span("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
NOBODY: Final = ""
"""Who issues a substitute: no log entered it, so it stands before every signed part."""
PACT: Final = "PACT "
"""With this the source of an unsigned footprint begins: its format, then its company."""
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, eq=False)
class Substituted:
    """What stands in for an input: the factor and the reason as stated, and the part they make."""

    stated: Substitute
    fact: Part

    @property
    def introduced(self) -> bool:
        """No log holds it."""
        return False


def is_unsigned_footprint(stated: Substitute) -> bool:
    """Say whether a substitute is a supplier's own footprint that nobody signed.

    It goes before an expired statement, and is counted apart from what is filled by defaults
    (SPEC 9.10).
    """
    factor = stated.factor
    return (
        factor.kind == "supplierSpecific"
        and factor.gwp is not None
        and factor.source.startswith(PACT)
        and _ID.fullmatch(factor.dataset) is not None
        and not replaced_by(stated)
    )


class _Identity(Record, frozen=True):
    product: str
    origin: str
    substitute: Substitute


def over(commitments: Sequence[str], why: str) -> str:
    """Return the reason of an own value that goes over signed statements: one, or two equal ones.

    The statements' names stand in front, in the one form that `replaced_by` reads (SPEC 9.10).
    """
    several = "s" if len(commitments) > 1 else ""
    return f"over the signed statement{several} {' and '.join(commitments)}: {why}"


def replaced_by(stated: Substitute) -> tuple[str, ...]:
    """Return the commitments of the signed statements that a value goes over; none, as a rule."""
    found = _OVER.match(stated.reason)
    return () if found is None else tuple(each for each in found.groups() if each)


def replaced_in(edges: Iterable[Edge]) -> frozenset[str]:
    """Return the statements that own values go over, and that feed nothing in this manifest."""
    stated = tuple(edges)
    named = {name for edge in stated for name in (edge.consumer, edge.resolved.commitment)}
    return frozenset(name for _, names in replacing(stated) for name in names) - named


def replacing(edges: Iterable[Edge]) -> Iterator[tuple[Edge, tuple[str, ...]]]:
    """Yield each edge whose own value goes over signed statements, with these."""
    for edge in edges:
        stated = edge.resolved.substitute
        names = () if stated is None else replaced_by(stated)
        if names:
            yield edge, names


_OVER: Final = re.compile(
    r"over the signed statement(?: ([0-9a-f]{64})|s ([0-9a-f]{64}) and ([0-9a-f]{64})): "
)


def substituted(stated: Substitute, bought: Bought, consumer: Part) -> Substituted:
    """Return a substitute as a part of the graph: kg CO2e per unit of the factor, unsigned.

    Raises StatementError for a factor that is not in CO2e, in another GWP than the consumer's,
    or with a component on the wrong side of zero.
    """
    factor = stated.factor
    what = f"substitute for {bought.product} of {bought.origin} ({factor.dataset})"
    if factor.gas != "co2e":
        raise StatementError(f"{what}: a CO2-only factor, where the footprint is in CO2e")
    if factor.gwp not in (None, consumer.gwp):
        raise StatementError(
            f"{what}: factor in {factor.gwp}, {consumer.product} in {consumer.gwp}"
        )
    identity = encode(_Identity(product=bought.product, origin=bought.origin, substitute=stated))
    own, whole = _counted(factor)
    absolute = whole.copy_abs()
    default = ZERO if is_unsigned_footprint(stated) else absolute
    return Substituted(
        stated,
        Part(
            commitment=hashlib.sha256(b"bcca/v1 substitute\n" + identity).hexdigest(),
            issuer=NOBODY,
            product=bought.product,
            name=factor.dataset,
            producer=factor.source,
            site=None,
            batch=None,
            period=ALWAYS,
            validity=ALWAYS,
            sharing="public",
            unit=factor.unit,
            declared=ONE,
            output=ONE,
            mass_kg=None,
            own=own,
            own_by_location=None,
            tally=Tally(absolute=absolute),
            handed=Handed(unsigned=absolute, default=default) if absolute else None,
            bought=(),
            claims=(),
            gwp=factor.gwp or consumer.gwp,
            recycling="",
            spreads=_spreads(factor, whole),
        ),
    )


def _counted(factor: Factor) -> tuple[dict[Cell, Decimal], Decimal]:
    """Return what a factor puts into each cell, and their sum without uptake, in kg CO2e."""
    cells = CELLS["rawMaterial"]
    with decimal.localcontext(arithmetic()):
        own = {cells[COMPONENTS.index(c)]: kg for c, kg in footprint.values_of(factor.values)}
        footprint.check_sides(own)
        counted = (kg for cell, kg in own.items() if cell.component in EXCLUDING_UPTAKE)
        return own, sum(counted, ZERO)


def _spreads(factor: Factor, kg: Decimal) -> tuple[Spread, ...]:
    """Return how far the factor spreads, as its author says (SPEC 8.8)."""
    gsd = ONE if factor.gsd is None else number(factor.gsd)
    return () if gsd == ONE else (Spread(spread.name_of(factor), gsd, kg),)
