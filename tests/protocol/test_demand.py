from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from bcca_protocol import footprint
from bcca_protocol.demand import contributions
from bcca_protocol.footprint import STAGES
from bcca_protocol.inventory import Allocation, Amount, CoProduct
from bcca_protocol.loops import WAYS_SEEN

CLOSE = Fraction(1, 10**30)


def amounts(added: Any, root: str, amount: str = "1") -> dict[str, Decimal]:
    """Return what so much of the root needs, by short name."""
    found = added.needed(root, amount).amounts
    return {added.graph.parts[i].name: kg for i, kg in found.items()}


def edges(added: Any, root: str, amount: str = "1") -> dict[tuple[str, str], Decimal]:
    """Return how much goes over which line, by consumer and line id."""
    parts = added.graph.parts
    found = added.needed(root, amount).edges
    return {(parts[i].name, parts[i].bought[line].line): kg for (i, line), kg in found.items()}


def require_sum(added: Any, root: str, amount: str = "1") -> dict[str, Decimal]:
    """Fail unless the contributions are the root's footprint, cell by cell; return totals."""
    found = contributions(added.totals, added.needed(root, amount))
    scale = Fraction(amount) / Fraction(added.graph.parts[added.index(root)].declared)
    for cell, kg in added.footprint(root).items():
        parts = sum(Fraction(part.get(cell, 0)) for part in found.values())
        assert abs(parts - Fraction(kg) * scale) <= CLOSE
    return {added.graph.parts[i].name: footprint.total(part) for i, part in found.items()}


def test_a_part_needs_itself(chain: Any) -> None:
    chain.sells("ore", "2")
    added = chain.added()

    assert amounts(added, "ore", "3.5") == {"ore": Decimal("3.5")}
    assert edges(added, "ore") == {}


def test_needs_are_multiplied_down_the_tiers(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("foil", "1", chain.buys("ore", "3"))
    chain.sells("cell", "1", chain.buys("foil", "0.25"), chain.buys("ore", "0.1"))
    added = chain.added()

    assert amounts(added, "cell", "10") == {
        "cell": 10,
        "foil": Decimal("2.5"),
        "ore": Decimal("8.5"),
    }
    assert edges(added, "cell", "10") == {
        ("cell", "foil"): Decimal("2.5"), ("cell", "ore"): 1, ("foil", "ore"): Decimal("7.5")
    }  # fmt: skip


def test_a_diamond_needs_its_tip_both_ways(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("left", "0", chain.buys("ore", "1"))
    chain.sells("right", "0", chain.buys("ore", "3"))
    chain.sells("cell", "0", chain.buys("left", "1"), chain.buys("right", "2"))
    added = chain.added()

    assert amounts(added, "cell")["ore"] == 7
    assert edges(added, "cell")["right", "ore"] == 6


def test_one_input_on_two_lines_is_two_edges(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "0", chain.buys("ore", "1"), chain.buys("ore", "3", line="again"))
    added = chain.added()

    assert edges(added, "cell") == {("cell", "ore"): 1, ("cell", "again"): 3}
    assert amounts(added, "cell")["ore"] == 4


def test_output_yield_share_and_unit_count_and_the_declared_unit_does_not(chain: Any) -> None:
    share = Allocation(
        basis="mass", joint_process="mill", weight="1",
        co_products=(CoProduct(name="dust", amount="15", unit="kg", weight="1"),),
    )  # fmt: skip
    tonnes = {"declared_unit": Amount("1", "t"), "output": Amount("1", "t")}
    chain.sells("ore", "1", **tonnes)
    chain.sells(
        "cell", "0", chain.buys("ore", "600", yield_="0.6", joint=True),
        allocation=share, declared_unit=Amount("2", "kg"), output=Amount("5", "kg"),
    )  # fmt: skip
    added = chain.added()

    # 1 t through the yield, for 5 kg of cells and 15 kg of dust: 0.05 t a kg
    assert amounts(added, "cell", "3")["ore"] == Decimal("0.15")
    assert edges(added, "cell", "3") == {("cell", "ore"): Decimal("0.15")}


def test_an_edge_of_amount_zero_is_kept(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "0"))
    added = chain.added()

    assert edges(added, "cell") == {("cell", "ore"): 0}
    assert amounts(added, "cell")["ore"] == 0


def test_what_is_not_upstream_of_the_root_is_needed_not_at_all(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "1"))
    chain.sells("pack", "1", chain.buys("cell", "1"))
    added = chain.added()

    assert amounts(added, "cell") == {"ore": 1, "cell": 1, "pack": 0}
    assert edges(added, "cell")["pack", "cell"] == 0


def test_a_loop_needs_more_of_itself_than_is_asked_of_it(chain: Any) -> None:
    chain.sells("ore", "1")
    chain.sells("power", "3", chain.buys("power", "0.5"), chain.buys("ore", "0.25"))
    chain.sells("cell", "1", chain.buys("power", "2"))
    added = chain.added()

    assert amounts(added, "cell") == {"cell": 1, "power": 4, "ore": 1}
    assert edges(added, "cell") == {
        ("cell", "power"): 2, ("power", "power"): 2, ("power", "ore"): 1
    }  # fmt: skip
    assert require_sum(added, "cell") == {"cell": 1, "power": 12, "ore": 1}


def test_a_root_inside_a_loop_needs_more_of_itself(chain: Any) -> None:
    chain.sells("a", "1", chain.buys("b", "0.5"))
    chain.sells("b", "1", chain.buys("a", "1"))
    added = chain.added()

    assert amounts(added, "a", "3") == {"a": 6, "b": 3}
    assert require_sum(added, "a", "3") == {"a": 6, "b": 3}


def test_a_loop_is_needed_in_exact_fractions_rounded_once(chain: Any) -> None:
    chain.sells("a", "1", chain.buys("b", "0.7"))
    chain.sells("b", "1", chain.buys("a", "1"))

    needed = amounts(chain.added(), "a")

    assert abs(Fraction(needed["a"]) - Fraction(10, 3)) < Fraction(1, 10**33)
    assert abs(Fraction(needed["b"]) - Fraction(7, 3)) < Fraction(1, 10**33)


@pytest.mark.parametrize("below", WAYS_SEEN)
@pytest.mark.parametrize("above", WAYS_SEEN)
def test_amounts_are_split_by_how_their_stages_are_seen(
    chain: Any, line: Any, above: str, below: str
) -> None:
    every = [line(stage, "1", str(2**n), stage=stage) for n, stage in enumerate(STAGES)]
    chain.sells("ore", activities=every)
    chain.sells("cell", "0", chain.buys("ore", "2", stages=below), activities=every)
    chain.sells("pack", "0", chain.buys("cell", "3", stages=above), chain.buys("ore", "1"))
    added = chain.added()
    ore = added.index("ore")

    needed = added.needed("pack")
    way = below if above == "keep" or below == "endOfLife" else above

    found = {seen: kg for (part, seen), kg in needed.seen.items() if part == ore}
    assert found == ({"keep": 7} if way == "keep" else {"keep": 1, way: 6})
    assert needed.amounts[ore] == 7
    require_sum(added, "pack")


@pytest.mark.parametrize("inside", WAYS_SEEN)
@pytest.mark.parametrize("outside", WAYS_SEEN)
def test_contributions_sum_to_the_root_whatever_stages_a_loop_names(
    chain: Any, line: Any, inside: str, outside: str
) -> None:
    every = [line(stage, "1", str(2**n), stage=stage) for n, stage in enumerate(STAGES)]
    chain.sells("ore", activities=every)
    chain.sells("a", "0", chain.buys("b", "0.4", stages=inside), activities=every)
    chain.sells(
        "b", "0", chain.buys("a", "0.7"), chain.buys("ore", "3", stages=outside),
        activities=[line("own", "1", "5")],
    )  # fmt: skip
    chain.sells("pack", "1", chain.buys("b", "0.9", stages=outside), chain.buys("a", "1"))
    added = chain.added()

    shares = require_sum(added, "pack", "7")

    assert abs(sum(map(Fraction, shares.values())) - 7 * Fraction(added.total("pack"))) <= CLOSE


def test_contributions_of_a_part_declared_by_the_hundred_are_its_own(chain: Any) -> None:
    chain.sells("ore", "300", declared_unit=Amount("100", "kg"), output=Amount("100", "kg"))
    chain.sells(
        "cell", "10", chain.buys("ore", "20"),
        declared_unit=Amount("5", "kg"), output=Amount("10", "kg"),
    )  # fmt: skip

    assert require_sum(chain.added(), "cell", "2") == {"ore": 12, "cell": 2}


def test_who_is_not_needed_contributes_nothing(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "0"))

    assert require_sum(chain.added(), "cell") == {"ore": 0, "cell": 1}
