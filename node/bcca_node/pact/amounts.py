"""What a footprint of others adds up: unit, emissions and removals, and whether sums hold (16.5).

Sums are exact. What is off by little is rounding and told; what is off by more is fatal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from bcca_node.pact import numbers
from bcca_node.pact.fields import Fields, Need, Sign
from bcca_node.pact.model import DECLARED_UNITS
from bcca_protocol import carbon
from bcca_protocol.quantity import ZERO, Unit

TOLERANCE = Decimal("0.01")  # of a sum: figures rounded to two or three digits
MASS_TOLERANCE = Decimal(10)  # times: grams for kilograms are a thousand, a wet product is not ten

EXCLUDING = "pcfExcludingBiogenicUptake"
INCLUDING = "pcfIncludingBiogenicUptake"
FOSSIL = "fossilGhgEmissions"
UPTAKE = "biogenicCO2Uptake"

# What `pcfExcludingBiogenicUptake` is the sum of, and on which side of zero each stands.
SUMMED: Mapping[str, Sign] = {
    FOSSIL: Sign.NOT_NEGATIVE,
    "landUseChangeGhgEmissions": Sign.NOT_NEGATIVE,
    "landManagementBiogenicCO2Emissions": Sign.NOT_NEGATIVE,
    "landManagementBiogenicCO2Removals": Sign.NOT_POSITIVE,
    "technologicalCO2Removals": Sign.NOT_POSITIVE,
    "ccsTechnologicalCO2Capture": Sign.NOT_POSITIVE,
    "biogenicNonCO2Emissions": Sign.NOT_NEGATIVE,
}
# Part of the above, or beside it: handed on, never added.
BESIDE: Mapping[str, Sign] = {
    "aircraftGhgEmissions": Sign.NOT_NEGATIVE,
    "packagingGhgEmissions": Sign.NOT_NEGATIVE,
    "outboundLogisticsGhgEmissions": Sign.NOT_NEGATIVE,
}
# Which parts each of the two totals has.
PARTS: Mapping[str, tuple[str, ...]] = {EXCLUDING: tuple(SUMMED), INCLUDING: (EXCLUDING, UPTAKE)}
# Nothing here is computed with these.
UNUSED: Mapping[str, Sign] = {
    "biogenicCarbonContent": Sign.NOT_NEGATIVE,
    "recycledCarbonContent": Sign.NOT_NEGATIVE,
    "landCarbonLeakage": Sign.NOT_NEGATIVE,
    "landManagementFossilGhgEmissions": Sign.NOT_NEGATIVE,
    "landAreaOccupation": Sign.NOT_NEGATIVE,
    "packagingBiogenicCarbonContent": Sign.NOT_NEGATIVE,
    "ccuCarbonContent": Sign.NOT_NEGATIVE,
}
_CCS = (
    "ccsTechnologicalCO2Capture",
    "technologicalCO2CaptureOrigin",
    "technologicalCO2Removals",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Kg CO2e by PACT name for `amount` of `unit` together, as far as they can be read."""

    unit: Unit | None
    amount: Decimal | None
    mass_kg: Decimal | None
    numbers: Mapping[str, Decimal] = field(default_factory=dict)


def counted(pcf: Fields) -> Counted:
    """Return what counts of a `pcf`; what is wrong with it is told there."""
    named = pcf.choice("declaredUnitOfMeasurement", DECLARED_UNITS, Need.VITAL)
    unit = next((ours for theirs, ours in numbers.UNITS.items() if theirs == named), None)
    amount = pcf.decimal("declaredUnitAmount", Need.VITAL, Sign.POSITIVE)
    mass = pcf.decimal("productMassPerDeclaredUnit", Need.MUST, Sign.NOT_NEGATIVE)
    _check_mass(pcf, unit, amount, mass)
    found = {
        EXCLUDING: pcf.decimal(EXCLUDING, Need.VITAL),
        INCLUDING: pcf.decimal(INCLUDING, Need.VITAL),
        UPTAKE: pcf.decimal(UPTAKE, Need.COUNTS, Sign.NOT_POSITIVE),
        FOSSIL: pcf.decimal(FOSSIL, Need.VITAL, Sign.NOT_NEGATIVE),
    }
    for name, sign in {**SUMMED, **BESIDE}.items():
        if name != FOSSIL:
            found[name] = pcf.decimal(name, Need.COUNTS, sign)
    read = {name: value for name, value in found.items() if value is not None}
    _check_sums(pcf, read)
    _check_carbon(pcf, mass, read.get(UPTAKE))
    _check_flags(pcf)
    return Counted(unit=unit, amount=amount, mass_kg=mass, numbers=read)


class Sum(NamedTuple):
    """A total as it is stated, what its parts come to, and `off`: the first less the second."""

    stated: Decimal
    parts: Decimal
    off: Decimal
    greatest: Decimal

    @property
    def is_rounding(self) -> bool:
        """Say whether they differ by at most TOLERANCE of the greatest of all these numbers."""
        return self.off.copy_abs() <= numbers.times(self.greatest, TOLERANCE)


def summed(found: Mapping[str, Decimal], name: str) -> Sum | None:
    """Return how total `name` stands to its parts; None where it cannot be read."""
    stated = found.get(name)
    if stated is None:
        return None
    parts = [found[each] for each in PARTS[name] if each in found]
    total = numbers.total(parts)
    off = numbers.total((stated, total.copy_negate()))
    return Sum(stated, total, off, max(each.copy_abs() for each in (stated, *parts)))


def _check_sums(pcf: Fields, found: Mapping[str, Decimal]) -> None:
    """Tell where totals are not the sums of their parts."""
    for name in PARTS:
        parts = [each for each in PARTS[name] if each in found]
        told = summed(found, name)
        if not parts or told is None or not told.off:
            continue
        off = told.off.copy_abs()
        pcf.tell(
            name,
            f"{told.stated:f}, where {' + '.join(parts)} is {told.parts:f}: off by {off:f}, "
            f"{_percent(off, told.greatest)} %",
            is_fatal=not told.is_rounding,
        )


def _check_mass(
    pcf: Fields, unit: Unit | None, amount: Decimal | None, mass: Decimal | None
) -> None:
    """Tell of a mass that the declared unit contradicts: 1 kilogram of product is 1 kg."""
    if unit != "kg" or amount is None or not mass or amount <= 0 or mass == amount:
        return
    large, small = max(mass, amount), min(mass, amount)
    pcf.tell(
        "productMassPerDeclaredUnit",
        f"{mass:f}, where {amount:f} kilogram of a product is {amount:f} kg",
        is_fatal=small > 0 and large > numbers.times(small, MASS_TOLERANCE),
    )


def _check_carbon(pcf: Fields, mass: Decimal | None, uptake: Decimal | None) -> None:
    fossil = pcf.decimal("fossilCarbonContent", Need.MUST, Sign.NOT_NEGATIVE)
    rest = {name: pcf.decimal(name, Need.MAY, sign) for name, sign in UNUSED.items()}
    held = numbers.total((fossil or ZERO, rest["biogenicCarbonContent"] or ZERO))
    if mass and held > mass:
        pcf.tell("fossilCarbonContent", f"{held:f} kg of carbon in {mass:f} kg of product")
    _check_uptake(pcf, rest["biogenicCarbonContent"], uptake)


def _check_uptake(pcf: Fields, content: Decimal | None, uptake: Decimal | None) -> None:
    """Tell where the carbon in the product is not what it took up, 44/12 of it (SPEC 7.5)."""
    if content is None or uptake is None:
        return
    told = carbon.differs("biogenicCarbonContent x 44/12", uptake, carbon.uptake_of(content))
    if told is not None:
        pcf.tell(UPTAKE, told)


def _check_flags(pcf: Fields) -> None:
    if pcf.flag("packagingEmissionsIncluded") is False and pcf.has("packagingGhgEmissions"):
        pcf.tell("packagingGhgEmissions", "is there, where packaging is said not to be included")
    if pcf.flag("ccsTechnologicalCO2CaptureIncluded") is False:
        for name in _CCS:
            if pcf.has(name):
                pcf.tell(name, "is there, where capture is said not to be included")


def _percent(off: Decimal, base: Decimal) -> str:
    return "over 100" if off > base else numbers.percent(off, base)
