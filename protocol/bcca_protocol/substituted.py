"""A value that stands in for a missing statement: nobody signed it but the maker (SPEC 9.10)."""

import decimal
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bcca_protocol import footprint, spread
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import CELLS, COMPONENTS, EXCLUDING_UPTAKE
from bcca_protocol.inventory import Factor
from bcca_protocol.own import Handed, Tally
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span
from bcca_protocol.quantity import ONE, ZERO, arithmetic, number
from bcca_protocol.results import Substitute
from bcca_protocol.spread import Spread
from bcca_protocol.wire import Record, encode

# A data set says no period: it ends nobody's validity, and is as old as its version says.
ALWAYS: Final = Span("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
NOBODY: Final = ""
"""Who issues a substitute: no log entered it, so it stands before every signed part."""


@dataclass(frozen=True, slots=True, eq=False)
class Substituted:
    """What stands in for an input: the factor and the reason as stated, and the part they make."""

    stated: Substitute
    fact: Part

    @property
    def introduced(self) -> bool:
        """No log holds it."""
        return False


class _Identity(Record, frozen=True):
    product: str
    origin: str
    substitute: Substitute


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
    with decimal.localcontext(arithmetic()):
        cells = CELLS["rawMaterial"]
        own = {cells[COMPONENTS.index(c)]: kg for c, kg in footprint.values_of(factor.values)}
        footprint.check_sides(own)
        counted = (kg for cell, kg in own.items() if cell.component in EXCLUDING_UPTAKE)
        whole = sum(counted, ZERO)
        absolute = abs(whole)
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
            handed=Handed(unsigned=absolute, default=absolute) if absolute else None,
            bought=(),
            claims=(),
            gwp=factor.gwp or consumer.gwp,
            recycling="",
            spreads=_spreads(factor, whole),
        ),
    )


def _spreads(factor: Factor, kg: Decimal) -> tuple[Spread, ...]:
    """Return how far the factor spreads, as its author says (SPEC 8.8)."""
    gsd = ONE if factor.gsd is None else number(factor.gsd)
    return () if gsd == ONE else (Spread(spread.name_of(factor), gsd, kg),)
