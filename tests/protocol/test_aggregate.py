import dataclasses
import sys
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest

from bcca_protocol import footprint
from bcca_protocol.footprint import COMPONENTS, STAGES, Cell
from bcca_protocol.graph import Term
from bcca_protocol.inventory import Allocation, Amount, CoProduct, Electricity, Exclusion
from bcca_protocol.quantity import ONE, plain

TIERS = 20_000

HALF = Allocation(
    basis="mass", joint_process="mill", weight="1",
    co_products=(CoProduct(name="dust", amount="1", unit="kg", weight="1"),),
)  # fmt: skip


def by_stage(added: Any, name: str) -> dict[str, str]:
    stages = footprint.by_stage(added.footprint(name))
    return {stage: plain(kg) for stage, kg in stages.items() if kg}


def test_a_part_that_buys_nothing_is_what_it_says(chain: Any) -> None:
    chain.sells("ore", "2.50")

    assert chain.total("ore") == "2.5"


def test_own_and_bought_are_added_through_tiers(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("foil", "1", chain.buys("ore", "3"))
    chain.sells("cell", "0.5", chain.buys("foil", "0.25"), chain.buys("ore", "0.1"))

    assert chain.total("cell") == "2.45"


def test_a_diamond_counts_its_tip_once_for_each_way(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("left", "0", chain.buys("ore", "1"))
    chain.sells("right", "0", chain.buys("ore", "3"))
    chain.sells("cell", "0", chain.buys("left", "1"), chain.buys("right", "1"))

    assert chain.total("cell") == "8"


def test_a_ladder_of_thirty_diamonds_is_not_walked_a_billion_times(chain: Any) -> None:
    chain.sells("tip0", "1")
    for i in range(30):
        tip = chain.buys(f"tip{i}", "1")
        for side in ("left", "right"):
            chain.sells(f"{side}{i}", "0", tip, by="sides.example")
        sides = [chain.buys(f"{side}{i}", "1", by="sides.example") for side in ("left", "right")]
        chain.sells(f"tip{i + 1}", "0", *sides)

    assert chain.total("tip30") == str(2**30)


def test_one_input_on_two_lines_counts_twice(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "0", chain.buys("ore", "1"), chain.buys("ore", "1", line="again"))

    assert chain.total("cell") == "4"


def test_tiny_amounts_times_huge_factors_keep_their_digits(chain: Any) -> None:
    chain.sells("ore", "123456789.123456789")
    chain.sells("cell", "0", chain.buys("ore", "0.0000000001"))

    assert chain.total("cell") == "0.0123456789123456789"


def test_supplier_and_customer_may_declare_and_make_other_amounts_than_one(chain: Any) -> None:
    chain.sells(
        "ore", "10", declared_unit=Amount("4", "kg"), output=Amount("5", "kg")
    )  # 8 per 4 kg, 2 per kg
    chain.sells(
        "cell", "3", chain.buys("ore", "6"),
        declared_unit=Amount("2", "kg"), output=Amount("10", "kg"),
    )  # fmt: skip
    added = chain.added()

    assert added.total("ore") == 8
    assert added.total("cell") == 3  # (3 + 6 x 2) x 2 / 10


def test_the_yield_of_a_line_divides_that_line_alone(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "1", yield_="0.8"), chain.buys("ore", line="2"))

    assert chain.total("cell") == "5.5"


def test_joint_lines_are_shared_and_others_are_not(chain: Any, line: Any) -> None:
    chain.sells("ore", "4")
    lines = [line("joint", "1", "8", joint=True), line("own", "1", "3")]
    chain.sells(
        "cell", "0",
        chain.buys("ore", "1", joint=True), chain.buys("ore", "1", line="alone"),
        activities=lines, allocation=HALF,
    )  # fmt: skip

    assert chain.total("cell") == "13"  # 8/2 + 3 + 4/2 + 4


def test_a_part_reached_over_companies_and_kilograms_over_tonnes(chain: Any) -> None:
    tonnes = {"declared_unit": Amount("1", "t"), "output": Amount("1", "t")}
    chain.sells("ore", "2000", **tonnes)
    chain.sells("cell", "0", chain.buys("ore", "3"), chain.buys("ore", "0.001", line="t", unit="t"))

    assert chain.total("cell") == "8"


def test_pieces_bought_by_weight_count_by_the_mass_of_one(chain: Any) -> None:
    box = {"declared_unit": Amount("10", "piece"), "output": Amount("10", "piece")}
    chain.sells("lid", "50", mass_kg="4", **box)  # a lid is 0.4 kg and 5 kg CO2e
    chain.sells(
        "case",
        "0",
        chain.buys("lid", "2", unit="kg"),
        chain.buys("lid", "1", line="one", unit="piece"),
    )

    assert chain.total("case") == "30"


def test_results_have_34_digits_each_operation_rounded(chain: Any) -> None:
    chain.sells("ore", "1", output=Amount("3", "kg"))
    chain.sells("cell", "0", chain.buys("ore", "2"), output=Amount("7", "kg"))

    third = Decimal("0." + "3" * 34)
    assert chain.added().total("ore") == third
    assert chain.total("cell") == "0.09523809523809523809523809523809523"  # 0.6…6 / 7


def test_lines_are_added_in_their_written_order(chain: Any) -> None:
    little = "0." + "0" * 33 + "4"  # less than half of the last digit of 1, twice as much is more
    for name, kg in (("one", "1"), ("a", little), ("b", little)):
        chain.sells(name, kg)
    orders = list(permutations(("one", "a", "b")))
    for order in orders:
        chain.sells("-".join(order), "0", *map(chain.buys, order), by="cell.example")
    added = chain.added()

    digits = {order: plain(added.total("-".join(order))) for order in orders}

    assert digits == {
        order: "1." + "0" * 32 + "1" if order[-1] == "one" else "1" for order in orders
    }


def test_twenty_thousand_tiers_are_added_up_without_a_deeper_stack(chain: Any) -> None:
    terms = [[Term(0, i + 1, ONE, ONE, "keep")] for i in range(TIERS - 1)]
    graph = chain.wired([*terms, []])

    added = chain.added("p0", graph=graph)

    assert added.total("p0") == TIERS
    assert added.needed("p0").amounts[TIERS - 1] == 1


def test_two_thousand_signed_tiers_are_added_up(chain: Any) -> None:
    tiers = 2 * sys.getrecursionlimit()
    chain.sells("p0", "1", by="one.example")
    for i in range(1, tiers):
        chain.sells(f"p{i}", "1", chain.buys(f"p{i - 1}", by="one.example"), by="one.example")

    assert chain.total(f"p{tiers - 1}") == str(tiers)


def test_a_missing_input_makes_everything_downstream_incomplete(chain: Any) -> None:
    chain.maker("tin")
    chain.sells("ore", "2")
    chain.sells("foil", "1", chain.buys("tin", "1"), chain.buys("ore", "1"))
    chain.sells("cell", "1", chain.buys("foil", "1"))
    chain.sells("pack", "1", chain.buys("cell", "1"), chain.buys("ore", "1"))
    added = chain.added()

    assert added.totals.incomplete == {added.index(name) for name in ("foil", "cell", "pack")}
    assert added.total("pack") == 7  # what is there is counted


def test_what_is_not_reached_is_not_computed_and_makes_nobody_incomplete(chain: Any) -> None:
    chain.maker("tin")
    chain.sells("ore", "2")
    chain.sells("foil", "1", chain.buys("tin", "1"))
    chain.sells("cell", "1", chain.buys("ore", "1"))
    added = chain.added("cell")

    assert set(added.totals.vectors) == {added.index("cell"), added.index("ore")}
    assert added.totals.incomplete == frozenset()


def test_two_current_statements_that_overlap_leave_the_total_incomplete(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("ore", "3")
    chain.sells("cell", "1", chain.buys("ore", "1"))
    added = chain.added("cell")

    assert added.total("cell") == 1
    assert added.index("cell") in added.totals.incomplete


def staged(line: Any) -> list[Any]:
    """Return one line a stage: 1, 2, 4, 8 and 16 kg CO2e."""
    return [line(stage, "1", str(2**n), stage=stage) for n, stage in enumerate(STAGES)]


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("keep", {stage: str(2**n) for n, stage in enumerate(STAGES)}),
        ("rawMaterial", {"rawMaterial": "15", "endOfLife": "16"}),
        ("production", {"production": "15", "endOfLife": "16"}),
        ("distribution", {"distribution": "15", "endOfLife": "16"}),
        ("use", {"use": "15", "endOfLife": "16"}),
        ("endOfLife", {"endOfLife": "31"}),
    ],
)  # fmt: skip
def test_a_named_stage_takes_all_but_the_end_of_life(
    chain: Any, line: Any, stages: str, expected: dict[str, str]
) -> None:
    chain.sells("cell", activities=staged(line))
    chain.sells("pack", "0", chain.buys("cell", "1", stages=stages))

    assert by_stage(chain.added(), "pack") == expected


def test_a_line_of_ones_own_stays_in_its_stage(chain: Any, line: Any) -> None:
    chain.sells("cell", activities=staged(line))
    chain.sells(
        "pack", "0", chain.buys("cell", "1", stages="rawMaterial"),
        activities=[line("own", "1", "100", stage="production")],
    )  # fmt: skip

    assert by_stage(chain.added(), "pack") == {
        "rawMaterial": "15", "production": "100", "endOfLife": "16"
    }  # fmt: skip


def test_one_product_may_be_kept_on_one_line_and_named_on_another(chain: Any, line: Any) -> None:
    chain.sells("cell", activities=[line("own", "1", "3")])
    chain.sells(
        "pack", "0",
        chain.buys("cell", "1"), chain.buys("cell", "2", line="two", stages="rawMaterial"),
    )  # fmt: skip

    assert by_stage(chain.added(), "pack") == {"rawMaterial": "6", "production": "3"}


def test_stages_are_seen_through_tiers_the_last_name_wins(chain: Any, line: Any) -> None:
    chain.sells("ore", activities=staged(line))
    chain.sells("cell", "0", chain.buys("ore", "1", stages="rawMaterial"))
    chain.sells("pack", "0", chain.buys("cell", "1", stages="production"))

    assert by_stage(chain.added(), "pack") == {"production": "15", "endOfLife": "16"}


def test_every_component_goes_up_by_itself(chain: Any, line: Any, per: Any) -> None:
    figures = ["1", "2", "3", "-4", "5", "6", "-7", "-8", "-9", "0.5", "0.25"]
    values = dict(zip(COMPONENTS, figures, strict=True))
    made = per("1", values=values)
    chain.sells("ore", activities=[line("own", "1", "1", factor=made)])
    chain.sells("cell", "0", chain.buys("ore", "2"))
    found = chain.added().footprint("cell")

    assert {cell.component: plain(kg) for cell, kg in found.items()} == {
        name: plain(2 * Decimal(kg)) for name, kg in values.items()
    }


def test_uptake_and_of_which_are_in_no_total(chain: Any, line: Any, per: Any) -> None:
    values = {
        "fossil": "10",
        "biogenicUptake": "-4",
        "biogenicCO2": "3",
        "aviation": "2",
        "packaging": "1",
    }
    chain.sells("ore", activities=[line("own", "1", "1", factor=per("1", values=values))])
    chain.sells("cell", "1", chain.buys("ore", "2"))
    added = chain.added()

    assert added.total("cell") == 21
    assert footprint.total(added.footprint("cell"), footprint.INCLUDING_UPTAKE) == 19
    assert added.tally("cell")["absolute"] == 21


def test_the_location_result_stands_beside_and_who_gives_none_repeats_the_market(
    chain: Any, line: Any, per: Any
) -> None:
    green = Electricity(supply="contract", location_factor=per("6", "kWh"))
    chain.sells("ore", activities=[line("own", "2", "1", "kWh", kind="energy", electricity=green)])
    chain.sells("tin", "5")
    chain.sells("cell", "1", chain.buys("ore", "1"), chain.buys("tin", "1"))
    added = chain.added()

    assert (added.total("cell"), added.total("cell", "location")) == (8, 18)
    assert (added.total("tin"), added.total("tin", "location")) == (5, 5)


def test_where_nobody_gives_a_location_result_there_is_none(chain: Any) -> None:
    chain.sells("ore", "2")
    added = chain.added()

    assert not added.totals.table.has_location
    assert added.footprint("ore", "location") == {}


def test_a_location_result_may_have_cells_that_the_market_has_not(
    chain: Any, line: Any, per: Any
) -> None:
    grid = Electricity(
        supply="contract", location_factor=per("1", "kWh", values={"landUseChange": "2"})
    )
    power = line("own", "1", "1", "kWh", kind="energy", electricity=grid, stage="use")
    chain.sells("ore", activities=[power])
    added = chain.added()

    assert added.footprint("ore")[Cell("use", "fossil")] == 1
    assert added.footprint("ore", "location")[Cell("use", "landUseChange")] == 2
    assert added.total("ore", "location") == 2


def test_a_credit_counts_in_the_weights_with_its_absolute_value(chain: Any, line: Any) -> None:
    chain.sells("ore", activities=[line("in", "1", "10"), line("back", "1", "-4", kind="credit")])
    chain.sells("cell", "0", chain.buys("ore", "2"))
    added = chain.added()

    assert added.total("cell") == 12
    assert added.tally("cell")["absolute"] == 28


def test_what_is_excluded_goes_up_and_is_not_in_the_total(chain: Any) -> None:
    glue = Exclusion(name="glue", reason="under 1 %", estimate="0.5")
    chain.sells("ore", "2", exclusions=(glue, Exclusion(name="tape", reason="unknown")))
    chain.sells("cell", "1", chain.buys("ore", "4"), exclusions=(glue,))
    added = chain.added()

    assert added.total("cell") == 9
    assert added.tally("cell")["excluded"] == Decimal("2.5")


def test_introduced_is_everything_of_parts_whose_log_only_a_statement_names(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("tin", "3")
    chain.sells("cell", "1", chain.buys("ore", "1"), chain.buys("tin", "1"))
    known, found = chain.facts(), chain.introduced()
    mixed = [
        introduced if introduced.fact.issuer == "tin.example" else fact
        for fact, introduced in zip(known, found, strict=True)
    ]

    introduced = [
        chain.added(graph=chain.graph(facts)).tally("cell")["introduced"]
        for facts in (known, mixed, found)
    ]

    assert introduced == [0, 3, 6]


def test_introduced_counts_in_a_loop_too(chain: Any) -> None:
    chain.sells("a", "1", chain.buys("b", "0.5"))
    chain.sells("b", "2", chain.buys("a", "1"))
    found = chain.graph(chain.introduced())

    assert chain.added(graph=found).tally("a")["introduced"] == 4


def test_the_order_in_which_statements_come_in_changes_nothing(chain: Any) -> None:
    chain.sells("ore", "2", output=Amount("7", "kg"))
    chain.sells("tin", "3", chain.buys("ore", "0.3"), output=Amount("9", "kg"))
    chain.sells("cell", "1", chain.buys("tin", "0.7"), chain.buys("ore", "1.1"))
    facts = chain.facts()
    totals = [chain.added(graph=chain.graph(order)).totals for order in permutations(facts)]

    assert len({tuple(map(tuple, each.vectors.values())) for each in totals}) == 1
    assert len({each.order for each in totals}) == 1


def test_totals_do_not_depend_on_the_callers_decimal_context(chain: Any) -> None:
    chain.sells("ore", "2", output=Amount("7", "kg"))
    graph = chain.graph()
    total = chain.added(graph=graph).total("ore")

    assert abs(Fraction(total) - Fraction(2, 7)) < Fraction(1, 10**34)
    assert len(total.as_tuple().digits) == 34


def test_a_graph_of_nothing_adds_up_to_nothing(chain: Any) -> None:
    added = chain.added(graph=dataclasses.replace(chain.wired([]), parts=()))

    assert added.totals.vectors == {}
    assert added.totals.order == ()


def test_a_factor_of_zero_adds_nothing(chain: Any, line: Any, per: Any) -> None:
    chain.sells("ore", activities=[line("own", "1", "1", factor=per("0"))])

    assert chain.total("ore") == "0"
