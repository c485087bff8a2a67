from decimal import Decimal

import msgspec
import pytest

from bcca_protocol import footprint
from bcca_protocol.errors import LimitError, StatementError
from bcca_protocol.footprint import (
    COMPONENTS,
    OF_WHICH,
    STAGES,
    Cell,
    Component,
    Components,
    Stage,
    Stages,
)

ALL = {
    Cell(s, c): Decimal(2 ** (11 * i + j))
    for i, s in enumerate(STAGES)
    for j, c in enumerate(COMPONENTS)
}
NEGATIVE: tuple[Component, ...] = (
    "biogenicUptake",
    "landRemovals",
    "technologicalRemovals",
    "ccsCapture",
)
SIGNED = {cell: -kg if cell.component in NEGATIVE else kg for cell, kg in ALL.items()}


def written(text: str) -> Stages:
    """Return the footprint in a JSON text."""
    return msgspec.json.decode(text, type=Stages)


def test_stages_and_components_are_spelt_as_statements_spell_them() -> None:
    as_json = msgspec.to_builtins(footprint.encode(SIGNED))

    assert list(as_json) == ["rawMaterial", "production", "distribution", "use", "endOfLife"]
    assert {tuple(each) for each in as_json.values()} == {
        (
            "fossil", "biogenicNonCO2", "biogenicCO2", "biogenicUptake", "landUseChange",
            "landManagement", "landRemovals", "technologicalRemovals", "ccsCapture", "aviation",
            "packaging",
        )
    }  # fmt: skip


def test_a_footprint_reads_back_what_it_writes() -> None:
    assert footprint.decode(footprint.encode(SIGNED)) == SIGNED


def test_every_cell_alone_is_written_in_its_own_place() -> None:
    for cell, kg in SIGNED.items():
        stages = footprint.encode({cell: kg})

        assert footprint.decode(stages) == {cell: kg}
        assert msgspec.to_builtins(stages) == {cell.stage: {cell.component: str(kg)}}


def test_zeros_are_left_out_whatever_their_exponent() -> None:
    zeros = {Cell("use", "fossil"): Decimal("0.00"), Cell("production", "fossil"): Decimal("-0")}

    assert footprint.encode(zeros) == Stages()
    assert footprint.encode({}) == Stages()


def test_numbers_are_written_plain() -> None:
    stages = footprint.encode({Cell("production", "fossil"): Decimal("1.50E-7")})

    assert stages == Stages(production=Components(fossil="0.00000015"))


def test_a_value_too_long_to_write_is_refused_and_one_too_small_is_zero() -> None:
    with pytest.raises(LimitError):
        footprint.encode({Cell("production", "fossil"): Decimal("1E+200")})

    assert footprint.encode({Cell("production", "fossil"): Decimal("1E-200")}) == Stages()


def test_a_written_zero_is_read_as_zero() -> None:
    assert footprint.decode(written('{"use":{"fossil":"0.0"}}')) == {Cell("use", "fossil"): 0}
    assert footprint.decode(written('{"use":{}}')) == {}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_keeps_to_its_side_of_zero(stage: Stage, component: Component) -> None:
    wrong = {"biogenicCO2": "-0.1"} | dict.fromkeys(NEGATIVE, "0.1")

    for text in ("-0.1", "0", "0.1"):
        stages = msgspec.convert({stage: {component: text}}, Stages)
        if wrong.get(component) == text:
            with pytest.raises(StatementError, match=rf"footprint {stage}\.{component}: {text} is"):
                footprint.decode(stages)
        else:
            assert footprint.decode(stages) == {Cell(stage, component): Decimal(text)}


def test_the_total_leaves_out_biogenic_uptake_and_what_is_only_shown_beside_it() -> None:
    excluding = set(COMPONENTS) - {"biogenicCO2", "biogenicUptake"} - OF_WHICH

    assert footprint.total(SIGNED) == sum(
        kg for c, kg in SIGNED.items() if c.component in excluding
    )


def test_the_total_including_uptake_counts_both_sides_of_it() -> None:
    including = set(COMPONENTS) - OF_WHICH
    found = footprint.total(SIGNED, footprint.INCLUDING_UPTAKE)

    assert found == sum(kg for c, kg in SIGNED.items() if c.component in including)


def test_stages_sum_to_the_total() -> None:
    by_stage = footprint.by_stage(SIGNED)

    assert list(by_stage) == list(STAGES)
    assert sum(by_stage.values()) == footprint.total(SIGNED)


def test_components_are_summed_over_stages() -> None:
    by_component = footprint.by_component(SIGNED)

    assert list(by_component) == list(COMPONENTS)
    for component, kg in by_component.items():
        assert kg == sum(v for cell, v in SIGNED.items() if cell.component == component)


def test_of_which_components_are_shown_and_never_summed() -> None:
    beside = {
        Cell("production", "aviation"): Decimal(5),
        Cell("production", "packaging"): Decimal(7),
    }

    assert footprint.total(beside) == 0
    assert footprint.total(beside, footprint.INCLUDING_UPTAKE) == 0
    assert footprint.by_stage(beside)["production"] == 0
    assert footprint.by_component(beside)["aviation"] == 5


def test_values_come_in_the_order_of_components_however_they_were_written() -> None:
    values = Components(packaging="1", land_use_change="2", fossil="3")

    assert footprint.values_of(values) == [
        ("fossil", Decimal(3)),
        ("landUseChange", Decimal(2)),
        ("packaging", Decimal(1)),
    ]
