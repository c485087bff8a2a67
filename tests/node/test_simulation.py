"""The seeded simulation beside the exact interval: repeatable, and roughly the same."""

from decimal import Decimal

from bcca_node.packmaker import simulation
from bcca_protocol import uncertainty
from bcca_protocol.spread import Spread
from bcca_protocol.uncertainty import Interval

SKEWED = [
    Spread(name, Decimal(gsd), Decimal(kg))
    for name, gsd, kg in (
        ("a", "1.05", "60"), ("b", "1.22", "25"), ("", "1.5", "10"), ("", "2", "5"),
    )
]  # fmt: skip
TOTAL = Decimal(100)


def interval(of: list[Spread], total: Decimal = TOTAL) -> Interval:
    found = uncertainty.interval(total, of)
    assert found is not None
    return found


def test_one_seed_gives_one_answer_and_another_seed_another() -> None:
    exact = interval(SKEWED)

    once, again, other = (
        simulation.simulate(TOTAL, SKEWED, exact, seed=seed, draws=1_000) for seed in (1, 1, 2)
    )

    assert once == again
    assert other.low != once.low


def test_a_skewed_sum_agrees_within_the_stated_tolerance_and_not_to_a_percent() -> None:
    """The micro case: 85.7 to 116.6 exactly, 87.8 to 123.0 when simulated."""
    found = simulation.simulate(TOTAL, SKEWED, interval(SKEWED), seed=7)

    assert found.agrees
    assert found.apart > 0.01
    assert abs(found.low - 87.8) < 1
    assert abs(found.high - 123.0) < 2


def test_one_log_normal_alone_is_met_closely() -> None:
    only = [Spread("", Decimal("1.3"), TOTAL)]

    assert simulation.simulate(TOTAL, only, interval(only), seed=3).apart < 0.03


def test_lines_of_one_data_set_move_together() -> None:
    """Apart, the halves of a total would partly cancel; of one data set they cannot."""
    together = [Spread("a", Decimal("1.3"), TOTAL / 2)] * 2
    apart = [Spread("", Decimal("1.3"), TOTAL / 2)] * 2

    wide, narrow = (
        simulation.simulate(TOTAL, each, interval(each), seed=5) for each in (together, apart)
    )

    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    assert wide.agrees
    assert narrow.agrees


def test_many_small_spreads_are_drawn_as_one_and_agree() -> None:
    many = [Spread("", Decimal("1.2"), Decimal("0.1"))] * 1_000

    found = simulation.simulate(TOTAL, many, interval(many), seed=11, draws=2_000)

    assert found.agrees
    assert found.apart < 0.01
