from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from bcca_protocol.errors import LimitError, UnproductiveError
from bcca_protocol.footprint import STAGES, Cell, Components
from bcca_protocol.graph import Term
from bcca_protocol.inventory import Allocation, Amount, CoProduct, Electricity
from bcca_protocol.loops import WAYS_SEEN, is_loop, seen_through
from bcca_protocol.quantity import ONE

MOST = 66  # products of a loop: six unknowns each, where 400 are solved


def near(rounded: Decimal, exact: Fraction) -> bool:
    """Say whether a number below 10 is an exact one, rounded once to 34 digits."""
    return abs(Fraction(rounded) - exact) <= Fraction(1, 2 * 10**33)


def ring(chain: Any, *amounts: str, stages: str = "keep", **more: Any) -> None:
    """Let p0 buy of p1, p1 of p2 and so on, the last of p0; each adds 1 kg CO2e itself."""
    for i, amount in enumerate(amounts):
        supplier = chain.buys(f"p{(i + 1) % len(amounts)}", amount, stages=stages)
        chain.sells(f"p{i}", "1", supplier, **more)


def test_a_part_that_needs_itself_is_a_loop_and_one_that_does_not_is_none(chain: Any) -> None:
    chain.sells("power", "1", chain.buys("power", "0.5"))
    chain.sells("cell", "1", chain.buys("power", "1"))
    graph = chain.graph()
    power, cell = chain.added().index("power"), chain.added().index("cell")

    assert is_loop(graph, [power])
    assert not is_loop(graph, [cell])


def test_a_plant_that_uses_half_of_its_own_power_emits_twice_as_much(chain: Any) -> None:
    chain.sells("power", "3", chain.buys("power", "0.5"))

    assert chain.total("power") == "6"


def test_a_loop_of_two_companies_is_solved_jointly(chain: Any) -> None:
    chain.sells("cathode", "1", chain.buys("scrap", "0.25"))
    chain.sells("scrap", "2", chain.buys("cathode", "0.8"))
    added = chain.added()

    assert added.total("cathode") == Decimal("1.875")  # 1.5 / (1 - 0.25 x 0.8)
    assert added.total("scrap") == Decimal("3.5")


def test_a_loop_is_rounded_once(chain: Any) -> None:
    chain.sells("a", "1", chain.buys("b", "0.7"))
    chain.sells("b", "1", chain.buys("c", "0.7"))
    chain.sells("c", "1", chain.buys("a", "0.7"))

    assert {chain.total(name) for name in "abc"} == {"3." + "3" * 33}


def test_what_a_loop_buys_outside_counts_and_so_does_who_buys_of_it(chain: Any) -> None:
    chain.sells("ore", "4")
    chain.sells("cathode", "0", chain.buys("scrap", "0.5"), chain.buys("ore", "1"))
    chain.sells("scrap", "0", chain.buys("cathode", "1"))
    chain.sells("cell", "1", chain.buys("cathode", "2"), chain.buys("scrap", "1"))

    assert chain.total("cathode") == "8"
    assert chain.total("cell") == "25"


def test_yield_share_declared_unit_and_output_count_in_a_loop_too(chain: Any, line: Any) -> None:
    share = Allocation(
        basis="mass", joint_process="mill", weight="1",
        co_products=(CoProduct(name="dust", amount="12", unit="kg", weight="1"),),
    )  # fmt: skip
    # Of 4 kg, declared by 2 kg, a quarter of the mill's burden: 2 x (1 + 8 / 0.8 / 4 x b/5) / 4
    chain.sells(
        "a", "0", chain.buys("b", "8", yield_="0.8", joint=True),
        activities=[line("own", "1", "4", joint=True)], allocation=share,
        declared_unit=Amount("2", "kg"), output=Amount("4", "kg"),
    )  # fmt: skip
    # 5 x (3 + 1.5 x a/2) / 3
    chain.sells(
        "b", "3", chain.buys("a", "1.5"),
        declared_unit=Amount("5", "kg"), output=Amount("3", "kg"),
    )  # fmt: skip
    added = chain.added()

    # a = 0.5 + 0.25 b, b = 5 + 1.25 a
    assert near(added.total("a"), Fraction(28, 11))
    assert near(added.total("b"), Fraction(90, 11))


def test_every_column_goes_round_cells_tallies_and_the_location_result(
    chain: Any, line: Any, per: Any
) -> None:
    values = Components(fossil="1", biogenic_uptake="-2", aviation="0.5")
    grid = Electricity(supply="contract", location_factor=per("3", "kWh"))
    power = line(
        "own", "1", "1", "kWh", kind="energy", amount_kind="measured", electricity=grid,
        factor=per("1", "kWh", kind="supplierSpecific", values=values),
    )  # fmt: skip
    chain.sells("a", "0", chain.buys("b", "0.5"), activities=[power])
    chain.sells("b", "1", chain.buys("a", "1"))
    added = chain.added()

    assert added.footprint("a") == {
        Cell("production", "fossil"): 3,
        Cell("production", "biogenicUptake"): -4,
        Cell("production", "aviation"): 1,
    }
    assert added.total("a", "location") == 7
    assert {name: kg for name, kg in added.tally("a").items() if kg} == {
        "absolute": 3, "primary": 2, "primary_amount": 2, "primary_factor": 2
    }  # fmt: skip


def test_a_loop_that_is_not_complete_is_incomplete_all_round(chain: Any) -> None:
    chain.maker("tin")
    chain.sells("a", "1", chain.buys("b", "0.5"))
    chain.sells("b", "1", chain.buys("a", "0.5"), chain.buys("tin", "1"))
    chain.sells("c", "1", chain.buys("a", "1"))
    chain.sells("d", "1")
    added = chain.added()

    assert added.totals.incomplete == {added.index(name) for name in "abc"}
    assert added.total("a") == 2


def test_a_named_stage_inside_a_loop_takes_what_comes_round(chain: Any, line: Any) -> None:
    both = [line("own", "1", "1"), line("waste", "1", "0.5", stage="endOfLife")]
    chain.sells("a", "0", chain.buys("b", "0.5", stages="rawMaterial"), activities=both)
    chain.sells("b", "1", chain.buys("a", "1"))
    added = chain.added()

    # raw = 0.5 (raw + production of b), production of b = 1 + production of a = 1 + 1
    assert added.footprint("a") == {
        Cell("rawMaterial", "fossil"): 2,
        Cell("production", "fossil"): 1,
        Cell("endOfLife", "fossil"): 1,
    }
    assert added.footprint("b") == {
        Cell("rawMaterial", "fossil"): 2,
        Cell("production", "fossil"): 2,
        Cell("endOfLife", "fossil"): 1,
    }


def test_naming_stages_moves_kilograms_and_makes_none(chain: Any, line: Any) -> None:
    every = [line(stage, "1", str(n), stage=stage) for n, stage in enumerate(STAGES, 1)]
    for stages in WAYS_SEEN:
        for i in range(3):
            after = chain.buys(f"{stages}{(i + 1) % 3}", "0.5", stages=stages)
            chain.sells(f"{stages}{i}", "0", after, activities=every)
    added = chain.added()

    assert {added.total(f"{stages}{i}") for stages in WAYS_SEEN for i in range(3)} == {30}


@pytest.mark.parametrize("amount", ["1", "1.0000000001", "2"])
def test_a_plant_that_uses_all_its_power_itself_is_refused_by_name(chain: Any, amount: str) -> None:
    chain.sells("power", "1", chain.buys("power", amount))

    with pytest.raises(UnproductiveError, match=r"power \(urn:test:power of power\.example\)"):
        chain.added()


def test_two_overlapping_loops_of_072_are_refused_naming_all_their_products(chain: Any) -> None:
    chain.sells("a", "1", chain.buys("b", "0.6"), chain.buys("c", "0.6"))
    chain.sells("b", "1", chain.buys("a", "1.2"))
    chain.sells("c", "1", chain.buys("a", "1.2"))
    chain.sells("innocent", "1")

    with pytest.raises(UnproductiveError) as refused:
        chain.added()

    assert [name in str(refused.value) for name in ("urn:test:a", "urn:test:b", "urn:test:c")] == [
        True, True, True
    ]  # fmt: skip
    assert "innocent" not in str(refused.value)


def test_each_of_the_two_loops_alone_is_solved(chain: Any) -> None:
    chain.sells("a", "1", chain.buys("b", "0.6"))
    chain.sells("b", "1", chain.buys("a", "1.2"))

    assert near(chain.added().total("a"), Fraction(160, 28))


def test_an_unproductive_loop_is_nobodys_business_who_does_not_buy_of_it(chain: Any) -> None:
    chain.sells("power", "1", chain.buys("power", "2"))
    chain.sells("cell", "1")

    assert chain.added("cell").total("cell") == 1


def test_an_unproductive_loop_that_names_stages_is_refused_with_each_name_once(chain: Any) -> None:
    ring(chain, "1.5", "1", stages="production")

    with pytest.raises(UnproductiveError) as refused:
        chain.added()

    assert str(refused.value).count("urn:test:p0") == 1


def test_a_loop_of_amounts_zero_is_solved(chain: Any) -> None:
    chain.sells("a", "1", chain.buys("b", "0"))
    chain.sells("b", "2", chain.buys("a", "3"))

    assert (chain.total("a"), chain.total("b")) == ("1", "5")


def wired_ring(chain: Any, size: int) -> Any:
    last = size - 1
    gains = ["0.5"] + ["1"] * last
    return chain.wired(
        [[Term(0, i + 1 if i < last else 0, Decimal(gains[i]), ONE, "keep")] for i in range(size)]
    )


def test_a_long_ring_is_solved(chain: Any) -> None:
    added = chain.added(graph=wired_ring(chain, MOST))

    assert added.total("p0") == MOST + 1
    assert added.needed("p0").amounts[MOST - 1] == 1


def test_a_ring_over_the_limit_is_refused_and_not_waited_for(chain: Any) -> None:
    with pytest.raises(LimitError, match="a loop of 401 unknowns, where at most 400 are solved"):
        chain.added(graph=wired_ring(chain, 401))


@pytest.mark.parametrize(
    ("above", "below", "seen"),
    [
        ("keep", "keep", "keep"),
        ("keep", "use", "use"),
        ("use", "keep", "use"),
        ("use", "rawMaterial", "use"),
        ("rawMaterial", "endOfLife", "endOfLife"),
        ("endOfLife", "rawMaterial", "endOfLife"),
        ("endOfLife", "keep", "endOfLife"),
        ("keep", "endOfLife", "endOfLife"),
    ],
)
def test_through_two_lines_the_nearer_to_the_final_product_decides(
    above: str, below: str, seen: str
) -> None:
    assert seen_through(above, below) == seen
