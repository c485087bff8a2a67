"""The circular footprint formula: material, energy and disposal of one material (SPEC 7.6).

Source: the Product Environmental Footprint method (Zampori and Pant 2019); 0.2 <= A <= 0.8, or 1
for a plain cut-off. Its parameters are a rule set's data.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import NamedTuple

from bcca_protocol.errors import StatementError
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ONE, ZERO, exact, plain

LEAST_A, MOST_A = Decimal("0.2"), Decimal("0.8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Circular:
    """What is put into the formula; factors `e_...` in kg CO2e per kg, shares from 0 to 1.

    `a` shares burdens and credits between supplier and user of recycled material, `b` those of
    energy recovery; `r1` is recycled content, `r2` and `r3` what is recycled and burnt at end of
    life; `quality_in` is Qsin/Qp, `quality_out` Qsout/Qp. `lhv` is energy per kg, `x_heat` and
    `x_power` the efficiencies. Raises StatementError for what cannot be.
    """

    a: Decimal
    r1: Decimal
    e_virgin: Decimal
    e_recycled: Decimal
    quality_in: Decimal = ONE
    r2: Decimal = ZERO
    e_recycling: Decimal = ZERO
    e_virgin_saved: Decimal = ZERO
    quality_out: Decimal = ONE
    b: Decimal = ZERO
    r3: Decimal = ZERO
    e_burning: Decimal = ZERO
    lhv: Decimal = ZERO
    x_heat: Decimal = ZERO
    e_heat: Decimal = ZERO
    x_power: Decimal = ZERO
    e_power: Decimal = ZERO
    e_disposal: Decimal = ZERO

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1, and an A that the method does not know."""
        for name in ("r1", "r2", "r3", "b", "x_heat", "x_power"):
            _between(name, getattr(self, name), ZERO, ONE)
        if self.a != ONE:
            _between("a", self.a, LEAST_A, MOST_A, " or 1, for a cut-off")
        with exact():
            _between("r2 + r3", self.r2 + self.r3, ZERO, ONE)
            _between("x_heat + x_power", self.x_heat + self.x_power, ZERO, ONE)
        for field in fields(self):
            value: Decimal = getattr(self, field.name)
            if not value.is_finite() or (not field.name.startswith("e_") and value < 0):
                raise StatementError(f"circular footprint: {field.name} is {value}, below zero")


class Footprint(NamedTuple):
    """Kg CO2e per kg of material, told apart."""

    material: Decimal
    energy: Decimal
    disposal: Decimal

    @property
    def total(self) -> Decimal:
        """Kg CO2e per kg of material."""
        with exact():
            return self.material + self.energy + self.disposal


def footprint(of: Circular) -> Footprint:
    """Return kg CO2e per kg of material, in decimal128.

    material = (1-R1) Ev + R1 (A Erec + (1-A) Ev Qsin/Qp) + (1-A) R2 (ErecEoL - Ev* Qsout/Qp)
    energy   = (1-B) R3 (Eer - LHV Xheat Eheat - LHV Xelec Eelec)
    disposal = (1-R2-R3) Ed
    """
    with exact():
        bought = of.a * of.e_recycled + (1 - of.a) * of.e_virgin * of.quality_in
        handed_on = of.e_recycling - of.e_virgin_saved * of.quality_out
        saved = of.lhv * of.x_heat * of.e_heat + of.lhv * of.x_power * of.e_power
        return Footprint(
            material=(1 - of.r1) * of.e_virgin + of.r1 * bought + (1 - of.a) * of.r2 * handed_on,
            energy=(1 - of.b) * of.r3 * (of.e_burning - saved),
            disposal=(1 - of.r2 - of.r3) * of.e_disposal,
        )


def recycling_in(parts: Iterable[Part]) -> dict[str, int]:
    """Return how many parts count recycling by which method; a substitute says none."""
    return dict(sorted(Counter(part.recycling for part in parts if part.recycling).items()))


def agreed_recycling(parts: Iterable[Part]) -> str:
    """Return the one `method.recycling` of parts: the formula stands over no mixture (SPEC 7.6).

    A substitute says none, and is passed over. Who counts a recycler's credit in one input and cuts
    it off in another counts it twice or never.
    Raises StatementError naming two parts that differ.
    """
    first: Part | None = None
    for part in parts:
        if not part.recycling:
            continue
        first = first or part
        if part.recycling != first.recycling:
            raise StatementError(
                f"circular footprint: {first.product} of {first.issuer} is stated with "
                f"{first.recycling}, {part.product} of {part.issuer} with {part.recycling}: ask "
                "for one that is stated alike"
            )
    if first is None:
        raise StatementError("circular footprint: over no inputs at all")
    return first.recycling


def _between(name: str, value: Decimal, low: Decimal, high: Decimal, more: str = "") -> None:
    if not low <= value <= high:
        raise StatementError(
            f"circular footprint: {name} is {plain(value)}, where it is {low} to {high}{more}"
        )
