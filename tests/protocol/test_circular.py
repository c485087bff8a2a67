"""The circular footprint formula, and over which inputs it stands."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bcca_protocol import circular
from bcca_protocol.circular import Circular
from bcca_protocol.errors import StatementError
from bcca_protocol.statement import Method

ALUMINIUM = {
    "a": Decimal("0.2"), "r1": Decimal("0.32"), "e_virgin": Decimal("12.88522"),
    "e_recycled": Decimal("0.9"),
}  # fmt: skip


def material(**more: str) -> Circular:
    return Circular(**{**ALUMINIUM, **{name: Decimal(text) for name, text in more.items()}})


def method(recycling: Any) -> Method:
    return Method(standards=(), gwp="AR6", recycling=recycling, electricity="market")


def test_with_an_a_of_1_it_is_a_plain_cut_off() -> None:
    found = circular.footprint(material(a="1", r2="0.9", e_recycling="5", e_virgin_saved="12"))

    assert found.material == Decimal("0.68") * Decimal("12.88522") + Decimal("0.32") * Decimal(
        "0.9"
    )


@pytest.mark.parametrize("a", ["0.2", "0.5", "0.8", "1"])
def test_an_a_of_the_method_is_taken(a: str) -> None:
    assert circular.footprint(material(a=a)).total > 0


@pytest.mark.parametrize("a", ["0", "0.19", "0.81", "0.99", "1.01", "-1"])
def test_another_a_is_refused(a: str) -> None:
    with pytest.raises(StatementError, match=r"a is .*, where it is 0.2 to 0.8 or 1"):
        material(a=a)


@pytest.mark.parametrize("name", ["r1", "r2", "r3", "b", "x_heat", "x_power"])
@pytest.mark.parametrize("value", ["-0.1", "1.1"])
def test_a_share_outside_0_to_1_is_refused(name: str, value: str) -> None:
    with pytest.raises(StatementError, match=f"{name} is {value}"):
        material(**{name: value})


def test_more_recycled_and_burnt_than_there_is_is_refused() -> None:
    with pytest.raises(StatementError, match=r"r2 \+ r3 is 1.2"):
        material(r2="0.7", r3="0.5")
    with pytest.raises(StatementError, match=r"x_heat \+ x_power is 1.1"):
        material(x_heat="0.6", x_power="0.5")
    with pytest.raises(StatementError, match="quality_in is -1, below zero"):
        material(quality_in="-1")


def test_inputs_that_count_recycling_in_two_ways_are_refused_naming_both(chain: Any) -> None:
    chain.sells("nickel", "1")
    chain.sells("scrap", "1", method=method("cff"))
    parts = [each.fact for each in chain.facts()]

    assert circular.agreed_recycling(parts[:1] * 2) == "cutOff"
    with pytest.raises(StatementError, match=r"urn:test:nickel .*cutOff, urn:test:scrap .*cff"):
        circular.agreed_recycling(parts)
    with pytest.raises(StatementError, match="over no inputs"):
        circular.agreed_recycling([])


def test_what_says_no_method_of_recycling_is_passed_over(chain: Any) -> None:
    chain.sells("nickel", "1")
    chain.sells("scrap", "1", method=method("cff"))
    nickel, scrap = (each.fact for each in chain.facts())
    silent = msgspec.structs.replace(nickel, recycling="")

    assert circular.agreed_recycling([silent, scrap, silent]) == "cff"
    assert circular.recycling_in([silent, nickel, scrap, scrap]) == {"cff": 2, "cutOff": 1}
