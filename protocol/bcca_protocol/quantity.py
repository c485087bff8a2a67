"""Exact decimals and the closed table of units (SPEC 3).

Signed results use IEEE 754 decimal128: 34 digits, round-half-even, every operation rounded once.
"""

import decimal
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from bcca_protocol.errors import LimitError, MalformedError, StatementError, UnitError
from bcca_protocol.limits import MAX_DECIMALS, MAX_DIGITS, MAX_NUMBER_CHARS
from bcca_protocol.wire import NUMBER, NUMBERS, showable

_NUMBER, _NUMBERS = re.compile(NUMBER), re.compile(NUMBERS)

ZERO = Decimal(0)
_SMALLEST = Decimal(1).scaleb(-MAX_DECIMALS)
ONE = Decimal(1)

Unit = Literal[
    "kg", "g", "t", "lb", "shortTon",
    "kWh", "MWh", "Wh", "MJ", "GJ",
    "kWhLHV", "MJLHV", "kWhHHV", "MJHHV",
    "kWhCapacity", "tkm", "shortTonMile", "km", "m",
    "m2", "m3", "l", "Nm3", "h", "piece", "m*year", "m2*year", "Mbit*s",
]  # fmt: skip


_DECIMAL128 = decimal.Context(
    prec=MAX_DIGITS,
    rounding=decimal.ROUND_HALF_EVEN,
    Emin=-6143,
    Emax=6144,
    capitals=1,
    clamp=0,
    flags=[],
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
_ALL_DIGITS = decimal.Context(prec=2 * MAX_NUMBER_CHARS)


def arithmetic() -> decimal.Context:
    """Return a fresh decimal128 context: the only arithmetic of signed numbers (SPEC 3.2)."""
    return _DECIMAL128.copy()


@contextmanager
def exact() -> Iterator[None]:
    """Compute in decimal128 inside; raises LimitError where a number outgrows it (SPEC 3.2)."""
    with decimal.localcontext(arithmetic()):
        try:
            yield
        except decimal.DecimalException as error:
            raise LimitError("a number outgrows decimal128: over 1e6144") from error


def number(text: str) -> Decimal:
    """Return the value of a `wire.Number`; raises LimitError over 34 significant digits."""
    # Zeros in front and behind only say where the point is.
    if len(text) > MAX_DIGITS and len(text.lstrip("-").replace(".", "").strip("0")) > MAX_DIGITS:
        raise LimitError(f"number {text}: more than {MAX_DIGITS} significant digits")
    return Decimal(text)


def numbers(texts: Sequence[str]) -> list[Decimal]:
    """Return the values of some `wire.Figure`s; raises MalformedError for one that is no number.

    Raises LimitError as `number` does.
    """
    joined = ",".join((*texts, ""))
    if not _NUMBERS.fullmatch(joined) or joined.count(",") != len(texts):
        wrong = next(text for text in texts if not _NUMBER.search(text))
        raise MalformedError(f"number {showable(repr(wrong))}: not a plain decimal")
    if max(map(len, texts), default=0) > MAX_DIGITS:
        return list(map(number, texts))
    return list(map(Decimal, texts))


def positive(text: str, what: str) -> Decimal:
    """Return the value of `text`; raises StatementError unless it is above zero."""
    value = number(text)
    if value <= 0:
        raise StatementError(f"{what}: {text} is not above zero")
    return value


def not_negative(text: str, what: str) -> Decimal:
    """Return the value of `text`; raises StatementError if it is below zero."""
    value = number(text)
    if value < 0:
        raise StatementError(f"{what}: {text} is below zero")
    return value


def plain(value: Decimal) -> str:
    """Return the one way a result is written: no exponent, no trailing zeros (SPEC 3.3).

    At most MAX_DECIMALS digits stand behind the point: what is smaller is rounded away. Raises
    LimitError for a value that no reader accepts.
    """
    if not value:
        return "0"
    text = str(value.normalize(_ALL_DIGITS))
    if (
        "E" not in text and len(text) <= MAX_NUMBER_CHARS
    ):  # as nearly all are: no need to look closer
        return text
    if value.adjusted() < MAX_DIGITS - MAX_DECIMALS:  # else 34 digits end before that
        value = value.quantize(_SMALLEST, context=arithmetic())
    return written(value)


def written(value: Decimal) -> str:
    """Return `value` as `plain` does, every digit of it; raises LimitError."""
    if not value:
        return "0"
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").removesuffix(".")
    if len(text) > MAX_NUMBER_CHARS:
        raise LimitError(f"number {value}: longer than {MAX_NUMBER_CHARS} characters when plain")
    return text


class Scale(NamedTuple):
    """What one unit is: its dimension, and how many of the dimension's first unit."""

    dimension: str
    factor: Fraction


_POUND = Fraction(45359237, 100_000_000)  # kg, exact since 1959
_MILE = Fraction(1_609_344, 1_000_000)  # km, exact since 1959

SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "kg": Scale("mass", Fraction(1)),
        "g": Scale("mass", Fraction(1, 1000)),
        "t": Scale("mass", Fraction(1000)),
        "lb": Scale("mass", _POUND),
        "shortTon": Scale("mass", 2000 * _POUND),
        "kWh": Scale("energy", Fraction(1)),
        "MWh": Scale("energy", Fraction(1000)),
        "Wh": Scale("energy", Fraction(1, 1000)),
        "MJ": Scale("energy", Fraction(10, 36)),
        "GJ": Scale("energy", Fraction(10_000, 36)),
        # Heating values of fuels differ by about a tenth: two dimensions, never one.
        "kWhLHV": Scale("fuel energy (LHV)", Fraction(1)),
        "MJLHV": Scale("fuel energy (LHV)", Fraction(10, 36)),
        "kWhHHV": Scale("fuel energy (HHV)", Fraction(1)),
        "MJHHV": Scale("fuel energy (HHV)", Fraction(10, 36)),
        "kWhCapacity": Scale("storage capacity", Fraction(1)),
        "tkm": Scale("freight", Fraction(1)),
        "shortTonMile": Scale("freight", 2 * _POUND * _MILE),
        "km": Scale("distance", Fraction(1)),
        "m": Scale("distance", Fraction(1, 1000)),
        "m2": Scale("area", Fraction(1)),
        "m3": Scale("volume", Fraction(1)),
        "l": Scale("volume", Fraction(1, 1000)),
        "Nm3": Scale("normal volume", Fraction(1)),
        "h": Scale("time", Fraction(1)),
        "piece": Scale("count", Fraction(1)),
        "m*year": Scale("length in time", Fraction(1)),
        "m2*year": Scale("area in time", Fraction(1)),
        "Mbit*s": Scale("data in time", Fraction(1)),
    }
)

ALIASES: Mapping[str, Unit] = MappingProxyType(
    {
        **{unit: unit for unit in get_args(Unit)},
        "kilogram": "kg",
        "gram": "g",
        "ton": "t",
        "tonne": "t",
        "metric ton": "t",
        "pound": "lb",
        "short ton": "shortTon",
        "kilowatt hour": "kWh",
        "megawatt hour": "MWh",
        "watt hour": "Wh",
        "megajoule": "MJ",
        "gigajoule": "GJ",
        "ton kilometer": "tkm",
        "metric ton*km": "tkm",
        "short ton-mile": "shortTonMile",
        "kilometer": "km",
        "meter": "m",
        "square meter": "m2",
        "cubic meter": "m3",
        "liter": "l",
        "litre": "l",
        "hour": "h",
        "unit": "piece",
        "meter-year": "m*year",
        "square meter-year": "m2*year",
        "megabit second": "Mbit*s",
    }
)


def unit_named(alias: str) -> Unit:
    """Return the one spelling of the unit `alias`; raises UnitError."""
    try:
        return ALIASES[alias]
    except KeyError:
        raise UnitError(
            f"unit {alias!r} is not in the table: use one of {sorted(SCALES)}"
        ) from None


def convert(amount: Decimal, unit: str, wanted: str, *, mass_kg: Decimal | None = None) -> Decimal:
    """Return `amount` in the unit `wanted`, rounded by the caller's context (SPEC 3.5).

    `mass_kg` is the mass of one piece, where the product's statement gives it: the only bridge
    between kg and piece. Raises UnitError naming both units.
    """
    if unit == wanted:
        return amount
    here, there = SCALES[unit], SCALES[wanted]
    if here.dimension == there.dimension:
        ratio = here.factor / there.factor
        return amount * ratio.numerator / ratio.denominator
    if mass_kg and {here.dimension, there.dimension} == {"mass", "count"}:
        if here.dimension == "mass":
            return convert(amount, unit, "kg") / mass_kg
        return convert(amount * mass_kg, "kg", wanted)
    hint = " without massKg" if {here.dimension, there.dimension} == {"mass", "count"} else ""
    raise UnitError(
        f"{plain(amount)} {unit} ({here.dimension}) is not an amount in {wanted} "
        f"({there.dimension}){hint}"
    )
