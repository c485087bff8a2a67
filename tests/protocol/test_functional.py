"""What a footprint is stated per, shares of weights, and how numbers are shown."""

from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest

from bcca_protocol import carbon, functional, rollup, rounding, shares
from bcca_protocol.errors import LimitError, StatementError, UnitError
from bcca_protocol.footprint import STAGES, Cell, Footprint
from bcca_protocol.functional import Declared, Service
from bcca_protocol.quantity import plain
from bcca_protocol.results import Battery, QualitySums, Weights

KG = Declared(amount=Decimal(500), unit="kg", mass_kg=Decimal(500))
PIECES = Declared(amount=Decimal(2), unit="piece", mass_kg=Decimal(800))
SERVICE = Service(cycles_per_year=Decimal(60), years=Decimal(8))
NONE = Service(cycles_per_year=None, years=None)
PACK = Battery(
    model="P1", chemistry="NMC622", category="M1", gross_kwh="100", rated_kwh="80", usable_kwh="75"
)


def cells(production: str = "4000", use: str = "0") -> Footprint:
    return {Cell("production", "fossil"): Decimal(production), Cell("use", "fossil"): Decimal(use)}


def test_per_kg_and_per_piece_go_through_the_mass_of_the_product() -> None:
    total = Decimal(4000)

    assert functional.per_kg(total, KG) == 8
    assert functional.per_kg(total, PIECES) == 5
    assert functional.per_piece(total, PIECES) == 2000
    assert functional.per_piece(total, KG, piece_kg=Decimal(250)) == 2000


def test_without_the_mass_of_a_piece_kg_and_pieces_are_not_converted() -> None:
    unweighed = Declared(amount=Decimal(1), unit="piece")

    with pytest.raises(UnitError, match="piece is declared, and massKg is not given"):
        functional.per_kg(Decimal(1), unweighed)
    with pytest.raises(UnitError, match=r"500 kg .* not an amount in piece"):
        functional.per_piece(Decimal(1), KG)


def test_gross_rated_usable_and_delivered_stay_apart() -> None:
    found = {each.unit: each.kg for each in functional.references(cells(), PIECES, PACK, SERVICE)}

    assert {unit: plain(kg) for unit, kg in found.items() if kg is not None} == {
        "kg": "5",
        "piece": "2000",
        "kWh gross": "40",
        "kWh rated": "50",
        "kWh usable": "53.33333333333333333333333333333333",
        "kWh delivered": "0.1111111111111111111111111111111111",
    }


def test_what_cannot_be_said_is_none_with_its_reason() -> None:
    battery = msgspec.structs.replace(PACK, usable_kwh=None)
    found = {each.unit: each for each in functional.references(cells(), PIECES, battery, SERVICE)}

    assert found["kWh delivered"].kg is None
    assert found["kWh delivered"].why_not == "kWh delivered: without usableKwh"
    assert found["kWh usable"].why_not == "per kWh: the battery does not state its usableKwh"
    assert found["kWh rated"].kg == 50
    assert all(each.why_not == "" or each.kg is None for each in found.values())


def test_delivered_kwh_without_usable_kwh_is_refused_and_says_what_lacks() -> None:
    with pytest.raises(
        StatementError, match="without usableKwh and fullCyclesPerYear and serviceYears"
    ):
        functional.kwh_delivered(None, NONE)
    with pytest.raises(StatementError, match="without usableKwh"):
        functional.eu_draft(cells(), None, SERVICE)
    with pytest.raises(StatementError, match="usableKwh of 0 is not above zero"):
        functional.kwh_delivered("0", SERVICE)


def test_delivered_kwh_counts_four_stages_and_refuses_to_drop_the_fifth_unsaid() -> None:
    assert functional.miit(cells(), Decimal(36000)) == functional.eu_draft(cells(), "75", SERVICE)
    with pytest.raises(StatementError, match="use stage has 7 kg CO2e"):
        functional.eu_draft(cells(use="7"), "75", SERVICE)
    with pytest.raises(StatementError, match="use stage has 7 kg CO2e"):
        functional.miit(cells(use="7"), Decimal(36000))


def test_service_years_are_the_shorter_term_of_the_warranty() -> None:
    assert functional.service_years([Decimal(10), Decimal(8)]) == 8
    with pytest.raises(StatementError, match="no term"):
        functional.service_years([])


def test_the_signed_figure_per_kwh_delivered_is_this_one() -> None:
    battery = msgspec.structs.replace(
        PACK, service_years="8", full_cycles_per_year="60", per_kwh_delivered="0.1"
    )

    assert rollup.per_kwh_delivered(battery, Decimal(3600)) == Decimal("0.1")
    assert rollup.per_kwh_delivered(PACK, Decimal(3600)) is None


def weights(**more: str) -> Weights:
    none: dict[str, Any] = dict.fromkeys(
        (
            "absolute", "primary", "primary_amount", "primary_factor", "signed", "introduced",
            "limited", "reasonable", "default", "gap_bound",
        ),
        "0",
    )  # fmt: skip
    sums = QualitySums(covered="0", technological="0", geographical="0", temporal="0")
    return Weights(**{**none, "quality": sums, **more})


def test_shares_are_percent_of_the_absolute_sum() -> None:
    found = shares.shares(weights(absolute="20", primary="10", default="5", gap_bound="5"))

    assert list(map(plain, (found.primary, found.default, found.missing))) == ["50", "25", "20"]
    assert found.quality is None


def test_shares_of_nothing_are_zero() -> None:
    assert not any(shares.shares(weights()))


def test_a_share_never_rounds_over_the_whole() -> None:
    numbers = [
        "3",
        "7",
        "0.1",
        f"0.{'3' * 34}",
        f"6.{'6' * 32}7",
        "9999999999999999999999999999999999",
    ]
    for text in numbers:
        assert shares.shares(weights(absolute=text, primary=text)).primary == 100


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("190.625", "191"), ("0.190625", "0.191"), ("1234.5", "1230"), ("2", "2.00"), ("0", "0"),
        ("9.996", "10.0"), ("0.09996", "0.100"), ("-0.0123456", "-0.0123"), ("2.345", "2.34"),
        ("2.355", "2.36"), ("999.5", "1000"), ("1e-40", f"0.{'0' * 39}100"),
    ],
)  # fmt: skip
def test_three_significant_figures(value: str, shown: str) -> None:
    assert rounding.figures(Decimal(value)) == shown


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_rounded_stages_still_sum_to_the_rounded_total(digits: int) -> None:
    for parts in product(("0", "0.5", "1.005", "-3.3333", "66.65"), repeat=3):
        stages = dict(zip(STAGES, map(Decimal, parts), strict=False))
        whole = sum(stages.values(), Decimal(0))
        first = whole or max(map(abs, stages.values())) or Decimal(1)
        step = Decimal(1).scaleb(first.adjusted() - digits + 2)

        found = {stage: Decimal(text) for stage, text in rounding.stages(stages, digits).items()}

        assert sum(found.values(), Decimal(0)) == Decimal(rounding.figures(whole, digits)), parts
        assert all(abs(found[stage] - kg) <= step for stage, kg in stages.items()), parts


def test_the_largest_remainder_gets_the_last_unit() -> None:
    thirds = {"a": Decimal("33.33"), "b": Decimal("33.34"), "c": Decimal("33.33")}

    assert rounding.stages(thirds) == {"a": "33", "b": "34", "c": "33"}
    assert rounding.stages(dict.fromkeys("abc", Decimal(0))) == dict.fromkeys("abc", "0")


def test_a_figure_that_outgrows_decimal128_is_refused() -> None:
    with pytest.raises(LimitError):
        functional.per_kg(Decimal("1e6144"), Declared(amount=Decimal("1e-9"), unit="kg"))


def test_published_totals_that_differ_are_told_and_not_refused() -> None:
    told = carbon.differs("its carbon", Decimal("-1.70"), carbon.uptake_of(Decimal("0.44")))

    assert told == "printed as -1.7, where its carbon gives -1.613333333333333333333333333333333"
