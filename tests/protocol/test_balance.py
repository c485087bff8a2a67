"""What goes into a product against what it holds; what nobody states is named, never zero."""

from decimal import Decimal
from typing import Any

import pytest

from bcca_protocol import balance, statement
from bcca_protocol.balance import Balance, Metal
from bcca_protocol.envelope import Envelope
from bcca_protocol.inventory import Amount, Material
from bcca_protocol.statement import PartialFootprint

ONE_PIECE = {"declared_unit": Amount("1", "piece"), "output": Amount("1", "piece")}


def holds(**kg: str) -> tuple[Material, ...]:
    return tuple(Material(name=name, kg=amount) for name, amount in kg.items())


def balanced(chain: Any, name: str) -> Balance:
    added = chain.added()
    return balance.balance(added.graph, added.index(name))


def metal(found: Balance, name: str) -> Metal:
    (one,) = (each for each in found.metals if each.name == name)
    return one


@pytest.fixture
def cathode(chain: Any) -> Any:
    """A cathode of nickel sulfate and lithium, 2 kg out of 1.9 and 0.3 kg."""
    chain.sells("sulfate", "1", materials=holds(Nickel="0.2"))
    chain.sells("lithium", "1", materials=holds(Li="0.19"))
    chain.sells(
        "cathode", "1",
        chain.buys("sulfate", "1.8", yield_="0.9"), chain.buys("lithium", "300", unit="g"),
        declared_unit=Amount("1", "kg"), output=Amount("2", "kg"),
        materials=holds(ni="0.2", LITHIUM="0.0285", Cobalt="0.01"),
    )  # fmt: skip
    return chain


def test_masses_and_metals_are_per_declared_unit_with_yield(cathode: Any) -> None:
    found = balanced(cathode, "cathode")

    assert found.bought == Decimal("1.15")
    assert found.made == 1
    assert found.unknown == ()
    assert metal(found, "Ni") == Metal("Ni", Decimal("0.2"), Decimal("0.2"), ())
    assert metal(found, "Li").difference == 0


def test_more_of_a_metal_in_the_product_than_in_its_inputs_shows(cathode: Any) -> None:
    assert metal(balanced(cathode, "cathode"), "Co").difference == Decimal("-0.01")


def test_own_material_and_waste_close_the_balance(chain: Any, line: Any) -> None:
    """Only the part's own statement has them: without it the difference is not known."""
    chain.sells("salt", "1")
    lines = [
        line("oxygen", "250", "0", "g", kind="material"),
        line("sludge", "0.25", "0", "kg", kind="waste"),
    ]
    chain.sells("oxide", "0", chain.buys("salt", "1"), activities=lines)
    added = chain.added()
    (envelope,) = chain.maker("oxide").envelopes
    said = statement.decode(Envelope.parse(envelope).payload).predicate
    assert isinstance(said, PartialFootprint)

    found = balance.balance(added.graph, added.index("oxide"), said)

    assert (found.added, found.wasted, found.difference) == (
        Decimal("0.25"), Decimal("0.25"), Decimal(0)
    )  # fmt: skip
    assert balanced(chain, "oxide").difference is None


def test_an_input_without_mass_or_materials_is_named_and_nothing_concluded(chain: Any) -> None:
    chain.sells("frame", "1", **ONE_PIECE)
    chain.sells("module", "1", chain.buys("frame", "2", unit="piece"), materials=holds(Ni="0.1"))

    found = balanced(chain, "module")

    assert found.unknown == (
        "line frame, urn:test:frame of frame.example: bought in piece, and its supplier states no "
        "massKg",
    )
    assert metal(found, "Ni").unknown == ("line frame, urn:test:frame of frame.example",)
    assert metal(found, "Ni").difference is None
    assert found.difference is None


def test_a_piece_counts_with_the_mass_that_its_supplier_states(chain: Any) -> None:
    chain.sells("frame", "1", mass_kg="3", materials=holds(nickel="0.5"), **ONE_PIECE)
    chain.sells("module", "1", chain.buys("frame", "2", unit="piece"))

    found = balanced(chain, "module")

    assert (found.bought, found.unknown) == (Decimal(6), ())
    assert metal(found, "Ni") == Metal("Ni", None, Decimal(1), ())
    assert metal(found, "Ni").difference is None


def test_a_gap_in_kg_has_a_mass_and_an_unknown_content(chain: Any) -> None:
    chain.sells("cell", "1", chain.buys("nobody", "0.5"), materials=holds(Ni="0.1"))

    found = balanced(chain, "cell")

    assert (found.bought, found.unknown) == (Decimal("0.5"), ())
    assert metal(found, "Ni").unknown == ("line nobody, urn:test:nobody of nobody.example",)


def test_power_and_freight_have_no_mass_and_no_metal(chain: Any) -> None:
    kwh = Amount("1", "kWh")
    chain.sells("power", "1", declared_unit=kwh, output=kwh)
    chain.sells("cell", "1", chain.buys("power", "9", unit="kWh"), materials=holds(Li="0"))

    found = balanced(chain, "cell")

    assert (found.bought, found.unknown) == (Decimal(0), ())
    assert metal(found, "Li").difference == 0
