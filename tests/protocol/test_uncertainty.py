"""The spread of a result: what moves together, what alone, and how it goes through tiers."""

from decimal import Decimal
from typing import Any

import pytest

from bcca_protocol import spread, uncertainty
from bcca_protocol.errors import StatementError
from bcca_protocol.quantity import exact
from bcca_protocol.results import Uncertainty
from bcca_protocol.spread import Spread


def spreads_of(chain: Any, name: str, amount: str = "1") -> tuple[Spread, ...]:
    added = chain.added(name)
    return uncertainty.spreads(added.totals, added.needed(name, amount))


def stated(chain: Any, name: str) -> Uncertainty:
    added = chain.added(name)
    root = added.graph.parts[added.index(name)]
    found = uncertainty.stated(added.total(name), spreads_of(chain, name), root)
    assert found is not None
    return found


@pytest.fixture
def metals(chain: Any, line: Any, per: Any) -> Any:
    """Two suppliers with one data set in common, and their customer."""
    shared = per("2", gsd="1.2", dataset="nickel")
    chain.sells("a", activities=[line("1", "3", "2", factor=shared, amount_gsd="1.1")])
    chain.sells(
        "b",
        activities=[
            line("1", "1", "2", factor=shared),
            line("2", "1", "5", factor=per("5", gsd="1.5", dataset="cobalt")),
            line("3", "1", "-1", kind="credit", factor=per("-1", gsd="1.2", dataset="nickel")),
        ],
    )
    chain.sells("cell", "1", chain.buys("a", "2"), chain.buys("b", "1"))
    chain.sells("pack", "0", chain.buys("cell", "1"), chain.buys("a", "1"))
    return chain


def test_lines_of_one_data_set_are_added_with_their_signs(metals: Any) -> None:
    found = {(each.dataset, int(each.kg)) for each in spreads_of(metals, "cell")}

    assert found == {("", 12), ("test; cobalt; ; GLO", 5), ("test; nickel; ; GLO", 12 + 2 - 1)}


def test_a_part_reached_on_two_ways_moves_as_one(metals: Any) -> None:
    amounts = [each for each in spreads_of(metals, "pack") if not each.dataset]

    assert amounts == [Spread("", Decimal("1.1"), Decimal(18))]


def test_the_interval_is_that_of_the_formula(metals: Any) -> None:
    added = metals.added("cell")
    total = added.total("cell")
    found = uncertainty.interval(total, spreads_of(metals, "cell"))
    with exact():
        moved = [
            Decimal(kg) / total * Decimal(gsd).ln()
            for kg, gsd in ((12, "1.1"), (5, "1.5"), (13, "1.2"))
        ]
        wide = sum((each * each for each in moved), Decimal(0)).sqrt()

    assert found is not None
    assert total == 19
    assert abs(found.gsd.ln() - wide) < Decimal("1e-27")
    assert abs(found.low * found.high - total * total) < Decimal("1e-27")


def test_nothing_spreads_where_nobody_says_so(chain: Any, per: Any, line: Any) -> None:
    chain.sells("a", activities=[line("1", "1", "1", factor=per("1", gsd="1"), amount_gsd="1")])
    chain.sells("cell", "1", chain.buys("a"))
    added = chain.added("cell")

    assert spreads_of(chain, "cell") == ()
    assert uncertainty.stated(added.total("cell"), (), added.graph.parts[0]) is None
    found = uncertainty.interval(Decimal(2), ())
    assert found is not None
    assert list(map(int, found)) == [1, 2, 2]


@pytest.mark.parametrize("total", ["0", "-3"])
def test_a_total_not_above_zero_has_no_interval(total: str) -> None:
    assert uncertainty.interval(Decimal(total), [Spread("a", Decimal(2), Decimal(1))]) is None


def test_an_attack_with_an_endless_spread_gives_no_interval_and_stops_nothing() -> None:
    wide = Spread("a", Decimal("9e33"), Decimal("1e30"))

    assert uncertainty.interval(Decimal(1), [wide]) is None


def test_what_is_stated_goes_through_a_cumulative_footprint_unchanged(metals: Any) -> None:
    """The same spread follows from the roll-up's data sets as from the lines behind them."""
    carried = spread.carried(stated(metals, "cell"))
    total = metals.added("cell").total("cell")

    again, first = (
        uncertainty.interval(total, each) for each in (carried, spreads_of(metals, "cell"))
    )

    assert again is not None
    assert first is not None
    assert abs(again.gsd - first.gsd) < Decimal("1e-11")
    assert stated(metals, "cell") == stated(metals, "cell")
    names = [each.dataset for each in stated(metals, "cell").datasets]
    assert names == [
        "test; cobalt; ; GLO",
        "test; nickel; ; GLO",
        "the rest of cell.example urn:test:cell 2025-01-01T00:00:00Z",
    ]


def test_a_stated_number_has_twelve_figures() -> None:
    with exact():
        assert uncertainty.written(Decimal(1) / 3) == "0.333333333333"
        assert uncertainty.written(Decimal(2) / 3 * 10**15) == "666666666667000"
        assert uncertainty.written(Decimal("-1.0000000000005")) == "-1"
        assert uncertainty.written(Decimal(0)) == "0"


def test_a_pedigree_that_the_table_lacks_is_refused() -> None:
    table = {"reliability": [Decimal(0), Decimal("0.0006")]}

    with pytest.raises(StatementError, match="temporal is scored 1, where the table has 1 to 0"):
        uncertainty.pedigree_gsd(Decimal(0), table, {"temporal": 1})
    with pytest.raises(StatementError, match="reliability is scored 0"):
        uncertainty.pedigree_gsd(Decimal(0), table, {"reliability": 0})


def test_of_many_data_sets_the_largest_are_named_and_the_spread_stays(chain: Any) -> None:
    chain.sells("cell", "1")
    root = chain.facts()[0].fact
    most = uncertainty.MOST_DATASETS
    many = [Spread(f"d{i:04}", Decimal("1.5"), Decimal(i)) for i in range(1, most + 100)]
    total = Decimal(sum(each.kg for each in many))

    found = uncertainty.stated(total, many, root)

    assert found is not None
    assert len(found.datasets) == most + 1
    assert [each.dataset for each in found.datasets[:-1]] == [each.dataset for each in many[99:]]
    again = uncertainty.interval(total, spread.carried(found))
    assert again is not None
    assert uncertainty.written(again.gsd)[:11] == found.gsd[:11]


def test_a_roll_up_states_its_spread_and_its_customer_adds_it_on(metals: Any) -> None:
    """What the maker states is what follows, and a scaled roll-up spreads alike."""
    one, ten = metals.rolled_up("cell"), metals.rolled_up("cell", "10")

    assert one.uncertainty == stated(metals, "cell")
    assert ten.uncertainty.gsd == one.uncertainty.gsd
    assert [Decimal(each.kg) for each in ten.uncertainty.datasets] == [
        10 * Decimal(each.kg) for each in one.uncertainty.datasets
    ]
