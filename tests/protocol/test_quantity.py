import decimal
import json
import re
from decimal import Decimal
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest

from bcca_protocol import quantity
from bcca_protocol.errors import LimitError, StatementError, UnitError
from bcca_protocol.limits import MAX_DIGITS, MAX_NUMBER_CHARS
from bcca_protocol.quantity import ALIASES, SCALES, convert, plain, unit_named

# What the case folders and PACT call their units, and how we spell them (accounting rules, 2).
WRITTEN = {
    "kilogram": "kg",
    "kilowatt hour": "kWh",
    "megajoule": "MJ",
    "ton kilometer": "tkm",
    "kilometer": "km",
    "meter": "m",
    "square meter": "m2",
    "cubic meter": "m3",
    "liter": "l",
    "hour": "h",
    "unit": "piece",
    "short ton": "shortTon",
    "short ton-mile": "shortTonMile",
    "meter-year": "m*year",
    "megabit second": "Mbit*s",
}


def exactly(amount: str, unit: str, wanted: str, mass_kg: str | None = None) -> str:
    """Return a conversion in signed arithmetic, written plain."""
    mass = None if mass_kg is None else Decimal(mass_kg)
    with decimal.localcontext(quantity.arithmetic()):
        return plain(convert(Decimal(amount), unit, wanted, mass_kg=mass))


@pytest.fixture(scope="module")
def exact(shared: Path) -> dict[str, str]:
    """The exact conversions of the shared micro cases."""
    cases = json.loads((shared / "data/cases/micro_cases.json").read_text(encoding="utf-8"))
    found: dict[str, str] = cases["units"]["exact"]
    return found


@pytest.mark.parametrize(
    ("case", "unit", "wanted"),
    [
        ("1 t", "t", "kg"),
        ("1 lb", "lb", "kg"),
        ("1 short ton", "shortTon", "kg"),
        ("1 kWh", "kWh", "MJ"),
        ("1 GJ", "GJ", "kWh"),
        ("1 short ton-mile", "shortTonMile", "tkm"),
    ],
)
def test_units_convert_as_the_micro_cases_say(
    exact: dict[str, str], case: str, unit: str, wanted: str
) -> None:
    printed = exact[case].split()[0]
    found = exactly("1", unit, wanted)

    if printed.endswith("..."):
        assert found.startswith(printed.removesuffix("..."))
    else:
        assert Decimal(found).quantize(Decimal(printed)) == Decimal(printed)


def test_a_pound_of_co2_per_megawatt_hour_converts_as_the_micro_cases_say(
    exact: dict[str, str],
) -> None:
    kg, kwh = exactly("1", "lb", "kg"), exactly("1", "MWh", "kWh")

    assert f"{Decimal(kg) / Decimal(kwh):.12f}" == exact["1 lb CO2/MWh"].split()[0]


@pytest.mark.parametrize(("alias", "unit"), WRITTEN.items())
def test_a_unit_has_one_spelling_whatever_it_is_called(alias: str, unit: str) -> None:
    assert unit_named(alias) == unit


def test_every_unit_of_the_table_names_itself_and_every_alias_names_one_of_them() -> None:
    assert [unit_named(unit) for unit in SCALES] == list(SCALES)
    assert set(ALIASES.values()) == set(SCALES)


@pytest.mark.parametrize("alias", ["KG", "Kilogram", "kilograms", "kwh", " kg", "kg ", "", "µg"])
def test_a_unit_that_is_not_in_the_table_is_refused_with_the_table(alias: str) -> None:
    with pytest.raises(UnitError, match=rf"unit {re.escape(repr(alias))}.*'kg'.*'tkm'"):
        unit_named(alias)


@pytest.mark.parametrize(("here", "there"), list(product(SCALES, SCALES)))
def test_units_convert_within_their_dimension_and_nowhere_else(here: str, there: str) -> None:
    if SCALES[here].dimension == SCALES[there].dimension:
        ratio = SCALES[here].factor / SCALES[there].factor
        found = Fraction(exactly("3.25", here, there))

        assert abs(found / (Fraction(13, 4) * ratio) - 1) < Fraction(1, 10**33)
    else:
        with pytest.raises(UnitError, match=rf"3\.25 {re.escape(here)} .* {re.escape(there)} "):
            exactly("3.25", here, there)


@pytest.mark.parametrize(
    ("amount", "unit", "wanted", "expected"),
    [
        ("0.2", "shortTon", "kg", "181.436948"),
        ("1", "MJ", "kWh", "0.2777777777777777777777777777777778"),
        ("3.6", "MJ", "kWh", "1"),
        ("1", "l", "m3", "0.001"),
        ("1E-10", "kg", "t", "0.0000000000001"),
        ("0", "kg", "t", "0"),
        ("-2", "t", "kg", "-2000"),
    ],
)
def test_a_conversion_is_rounded_once_to_34_digits(
    amount: str, unit: str, wanted: str, expected: str
) -> None:
    assert exactly(amount, unit, wanted) == expected


@pytest.mark.parametrize(
    ("here", "there", "why"),
    [
        ("kWh", "kWhCapacity", "storage capacity is not energy"),
        ("kWhLHV", "kWhHHV", "heating values differ by a tenth"),
        ("kWhLHV", "kWh", "fuel is not electricity"),
        ("Nm3", "m3", "a normal cubic metre is an amount of gas"),
        ("m3", "kg", "no density is known"),
        ("tkm", "t", "freight is not mass"),
        ("m", "m*year", "length is not length in time"),
    ],
)
def test_what_looks_alike_does_not_convert(here: str, there: str, why: str) -> None:
    with pytest.raises(UnitError):
        exactly("1", here, there)
    with pytest.raises(UnitError):
        exactly("1", there, here, mass_kg="2")
    assert why


def test_pieces_and_mass_convert_only_through_the_mass_of_a_piece() -> None:
    assert exactly("3", "piece", "kg", mass_kg="0.5") == "1.5"
    assert exactly("3", "piece", "t", mass_kg="500") == "1.5"
    assert exactly("1.5", "t", "piece", mass_kg="500") == "3"
    with pytest.raises(UnitError, match=r"3 piece \(count\).* kg \(mass\) without massKg"):
        exactly("3", "piece", "kg")
    with pytest.raises(UnitError, match=r"3 kg \(mass\).* piece \(count\) without massKg"):
        exactly("3", "kg", "piece")


def test_the_arithmetic_is_decimal128_rounding_half_to_even() -> None:
    with decimal.localcontext(quantity.arithmetic()):
        assert plain(Decimal(1) / 3) == "0." + "3" * MAX_DIGITS
        assert plain(Decimal(2) / 3) == "0." + "6" * (MAX_DIGITS - 1) + "7"
        assert plain(Decimal("1" + "0" * 33 + "5") + 0) == "1" + "0" * 34
        assert plain(Decimal("1" + "0" * 32 + "15") + 0) == "1" + "0" * 32 + "20"
        with pytest.raises(decimal.DivisionByZero):
            Decimal(1) / Decimal(0)
        with pytest.raises(decimal.InvalidOperation):
            Decimal("inf") - Decimal("inf")


def test_contexts_are_not_shared() -> None:
    first = quantity.arithmetic()
    first.prec = 3

    assert quantity.arithmetic().prec == MAX_DIGITS


def test_a_number_has_at_most_34_significant_digits() -> None:
    longest = "0.000" + "9" * MAX_DIGITS

    assert quantity.number(longest) == Decimal(longest)
    assert quantity.number("1" + "0" * 90) == 10**90
    assert quantity.number(longest + "0" * 9) == Decimal(longest)
    with pytest.raises(LimitError, match="more than 34 significant digits"):
        quantity.number(longest + "9")
    with pytest.raises(LimitError, match="more than 34 significant digits"):
        quantity.number("1" + "0" * 34 + "1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0E-10", "0"),
        ("0E+10", "0"),
        ("1E-7", "0.0000001"),
        ("1E+7", "10000000"),
        ("-1.50", "-1.5"),
        ("10", "10"),
        ("100.00", "100"),
        ("-0.10", "-0.1"),
        ("9.9E-90", "0." + "0" * 88 + "1"),
        ("1.23E-89", "0." + "0" * 88 + "12"),
        ("-9.9E-125", "0"),
    ],
)
def test_a_result_is_written_in_one_way(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


@pytest.mark.parametrize("value", ["1E+128", "-1E+127"])
def test_a_result_longer_than_any_reader_accepts_is_refused(value: str) -> None:
    with pytest.raises(LimitError, match=f"longer than {MAX_NUMBER_CHARS} characters"):
        plain(Decimal(value))


def test_a_written_result_is_never_written_differently_again() -> None:
    with decimal.localcontext(quantity.arithmetic()):
        values = [
            Decimal(n) / d * Decimal(10) ** e
            for n, d, e in product((-7, 1, 22), (1, 3, 8), (-30, 0, 30))
        ]

    assert [plain(quantity.number(plain(value))) for value in values] == list(map(plain, values))


def test_an_amount_out_of_range_is_refused_with_what_it_is_of() -> None:
    assert quantity.positive("0.1", "output.amount") == Decimal("0.1")
    assert quantity.not_negative("0.0", "amount") == 0
    for text in ("0", "0.00", "-1"):
        with pytest.raises(StatementError, match=f"output.amount: {text} is not above zero"):
            quantity.positive(text, "output.amount")
    with pytest.raises(StatementError, match=r"amount: -0\.1 is below zero"):
        quantity.not_negative("-0.1", "amount")
