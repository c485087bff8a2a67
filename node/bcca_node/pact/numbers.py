"""Numbers and units of PACT 3.0.3: exact, plain text, never through a float (SPEC 16.1)."""

import decimal
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType

from bcca_node.pact.model import DeclaredUnit
from bcca_protocol.errors import StatementError
from bcca_protocol.limits import MAX_NUMBER_CHARS
from bcca_protocol.quantity import SCALES, ZERO, Unit

# Each number here has at most 128 characters, and at most 90 behind the point: sums of thousands
# of them, and one by a factor of a unit, are exact with so many digits.
_EXACT = decimal.Context(
    prec=4 * MAX_NUMBER_CHARS,
    Emin=-6143,
    Emax=6144,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.Inexact],
)
_ROUNDED = decimal.Context(prec=4 * MAX_NUMBER_CHARS, rounding=decimal.ROUND_HALF_EVEN)
_CENT = Decimal("0.01")
_HUNDRED = Decimal(100)

# What each unit of PACT is here.
UNITS: Mapping[DeclaredUnit, Unit] = MappingProxyType(
    {
        "liter": "l",
        "kilogram": "kg",
        "cubic meter": "m3",
        "kilowatt hour": "kWh",
        "megajoule": "MJ",
        "ton kilometer": "tkm",
        "square meter": "m2",
        "piece": "piece",
        "hour": "h",
        "megabit second": "Mbit*s",
    }
)
# What is declared in one of ours: in which of theirs. Fuel by heating value, storage capacity,
# normal volume, distance, and length or area in time have none: they are none of these.
_DECLARED: Mapping[Unit, DeclaredUnit] = MappingProxyType(
    {
        **{ours: theirs for theirs, ours in UNITS.items()},
        "g": "kilogram",
        "t": "kilogram",
        "lb": "kilogram",
        "shortTon": "kilogram",
        "MWh": "kilowatt hour",
        "Wh": "kilowatt hour",
        "GJ": "megajoule",
        "shortTonMile": "ton kilometer",
    }
)
# Of these a product has no mass (PACT 3.0.3: "0" for energy, logistics and services).
WITHOUT_MASS = frozenset[DeclaredUnit](
    {"kilowatt hour", "megajoule", "ton kilometer", "hour", "megabit second"}
)


def declared(amount: Decimal, unit: Unit) -> tuple[Decimal, DeclaredUnit]:
    """Return `amount` in the unit of PACT that has its dimension, exactly.

    Raises StatementError for a unit that PACT does not have.
    """
    theirs = _DECLARED.get(unit)
    if theirs is None:
        raise StatementError(
            f"it is declared per {unit}, which is none of PACT's ten units: declare it in one of "
            f"{', '.join(_DECLARED)}"
        )
    ratio = SCALES[unit].factor / SCALES[UNITS[theirs]].factor
    with decimal.localcontext(_EXACT):
        return amount * ratio.numerator / ratio.denominator, theirs


def total(values: Iterable[Decimal]) -> Decimal:
    """Return the sum of `values`, every digit of it."""
    with decimal.localcontext(_EXACT):
        return sum(values, ZERO)


def times(value: Decimal, factor: Decimal) -> Decimal:
    """Return the product of two numbers, every digit of it."""
    with decimal.localcontext(_EXACT):
        return value * factor


def text(value: Decimal) -> str:
    """Return `value` as PACT takes it: no exponent, every digit, no zeros that say nothing."""
    if not value:
        return "0"
    written = format(value, "f")
    return written.rstrip("0").removesuffix(".") if "." in written else written


def percent(part: Decimal, whole: Decimal) -> str:
    """Return `part` in percent of `whole`, to two decimals; 0 of nothing, at most 100."""
    if not whole:
        return "0"
    return text(min(_cents(_ROUNDED.divide(_ROUNDED.multiply(part, _HUNDRED), whole)), _HUNDRED))


def score(total_of: Decimal, covered: Decimal) -> str:
    """Return a mean score, 1 to 5, to two decimals."""
    mean = _cents(_ROUNDED.divide(total_of, covered))
    return text(min(max(mean, Decimal(1)), Decimal(5)))


def _cents(value: Decimal) -> Decimal:
    return value.quantize(_CENT, context=_ROUNDED)
