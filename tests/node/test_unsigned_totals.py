"""Totals of PACT footprints that are not the sums of their parts: rounding, or not used."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from tests.node.foreignwords import CELL, ID, totals, written
from tests.node.unsignedpack import Maker

from bcca_node.ledger.node import Node
from bcca_node.storage import foreign
from bcca_protocol.statement import PartialFootprint


@pytest.fixture
def maker(node: Node, part: Callable[..., PartialFootprint]) -> Maker:
    return Maker(node, part)


@pytest.mark.parametrize(
    ("changed", "fossil", "told"),
    [
        (
            totals("14.2001"),
            "14.2001",
            "pcf.pcfExcludingBiogenicUptake: 14.2001, where its components come to 14.2, rounding: "
            "0.0001 kg CO2e per 1 kg added to fossil",
        ),
        (
            {
                "fossilGhgEmissions": "4.73", "landUseChangeGhgEmissions": "4.74",
                "biogenicNonCO2Emissions": "4.74",
            },
            "4.72",
            "14.20, where its components come to 14.21, rounding: 0.01 kg CO2e per 1 kg taken off "
            "fossil",
        ),
        (
            {
                **totals("14200.1"), "fossilGhgEmissions": "14200", "declaredUnitAmount": "1000",
                "productMassPerDeclaredUnit": "1000",
            },
            "14.2001",
            "14200.1, where its components come to 14200, rounding: 0.1 kg CO2e per 1000 kg added "
            "to fossil",
        ),
        (
            {"pcfIncludingBiogenicUptake": "13.71", "biogenicCO2Uptake": "-0.50"},
            "14.20",
            "pcf.pcfIncludingBiogenicUptake: 13.71, where pcfExcludingBiogenicUptake and "
            "biogenicCO2Uptake come to 13.7, rounding: it is ignored",
        ),
        (
            {**totals("100"), "fossilGhgEmissions": "99"},
            "100",
            "100, where its components come to 99, rounding: 1 kg CO2e per 1 kg added to fossil",
        ),
    ],
)  # fmt: skip
def test_a_total_that_is_rounded_counts_and_what_it_has_more_or_less_goes_into_fossil_and_is_told(
    maker: Maker, changed: dict[str, Any], fossil: str, told: str
) -> None:
    maker.came(written(**changed))
    stated = maker.stated()

    assert stated.factor.values.fossil == fossil
    assert f"{told}; valid until " in stated.reason
    assert "accepted" not in stated.reason


def test_attack_over_one_percent_off_is_no_rounding(maker: Maker) -> None:
    maker.came(written(**totals("100.02"), fossilGhgEmissions="99"))

    assert "off by 1.02, 1.02 %; `bcca pact accept` lets it be used" in maker.why_not()


@pytest.mark.parametrize(
    ("changed", "fossil", "told"),
    [
        (
            totals("20"), "20.00",
            "pcf.pcfExcludingBiogenicUptake: 20, where its components come to 14.2, more than "
            "rounding, which an operator accepted: 5.8 kg CO2e per 1 kg added to fossil; an "
            "operator accepted it in spite of what is wrong with pcf.pcfExcludingBiogenicUptake: "
            "they left out transport; ",
        ),
        (
            {"pcfIncludingBiogenicUptake": "13"}, "14.20",
            "pcf.pcfIncludingBiogenicUptake: 13, where pcfExcludingBiogenicUptake and "
            "biogenicCO2Uptake come to 14.2, more than rounding, which an operator accepted: it "
            "is ignored; an operator accepted it in spite of what is wrong with "
            "pcf.pcfIncludingBiogenicUptake: they left out transport; ",
        ),
        (
            {"fossilGhgEmissions": None}, "14.20",
            "14.20, where its components come to 0, more than rounding, which an operator "
            "accepted: 14.2 kg CO2e per 1 kg added to fossil; an operator accepted it in spite of "
            "what is wrong with pcf.fossilGhgEmissions: they left out transport; ",
        ),
    ],
)  # fmt: skip
def test_a_total_that_is_off_by_more_counts_once_an_operator_accepted_it_and_both_numbers_are_told(
    maker: Maker, changed: dict[str, Any], fossil: str, told: str
) -> None:
    maker.came(written(**changed), accepted="they left out transport")
    stated = maker.stated()

    assert stated.factor.values.fossil == fossil
    assert told in stated.reason


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (totals("0"), "0, which would hide a gap"),
        (
            {**totals("1"), "landUseChangeGhgEmissions": "14.20"},
            "1, where its components come to 28.4: 27.4 kg CO2e per 1 kg less would leave -13.2",
        ),
        ({"pcfExcludingBiogenicUptake": None}, "pcf.pcfExcludingBiogenicUptake: not there, or no"),
        ({"pcfIncludingBiogenicUptake": "13,7"}, "pcf.pcfIncludingBiogenicUptake: not there, or"),
    ],
)
def test_attack_no_acceptance_makes_a_total_of_what_is_none(
    maker: Maker, changed: dict[str, Any], why: str
) -> None:
    maker.came(written(**changed), accepted="they say so")

    assert why in maker.why_not()


def test_attack_sums_that_were_judged_otherwise_when_they_came_are_looked_at_again(
    maker: Maker,
) -> None:
    maker.came(written(**totals("20")))
    with maker.node.database.write() as session:
        (kept,) = foreign.of_products(session, [CELL])
        foreign.update(session, dataclasses.replace(kept, problems=()))

    assert "come to 14.2, more than rounding; `bcca pact accept` lets it be" in maker.why_not()


def test_attack_a_second_content_under_one_id_changes_nothing(maker: Maker) -> None:
    maker.came(written())
    lower = {"fossilGhgEmissions": "1", "pcfExcludingBiogenicUptake": "1"}
    maker.came(written(**lower, pcfIncludingBiogenicUptake="1"))

    assert maker.factor().values.fossil == "14.20"


def test_what_another_takes_the_place_of_is_not_used(maker: Maker) -> None:
    later = "8f0f2d0e-6d0c-5d3d-9f3e-0c7c3f0a9b12"
    maker.came(written())
    maker.came(written(later, precedingPfIds=[ID]))

    assert maker.factor().dataset == later
