import decimal
from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import pytest

from bcca_protocol import linear
from bcca_protocol.errors import LimitError, UnproductiveError
from bcca_protocol.limits import MAX_LOOP_UNKNOWNS
from bcca_protocol.quantity import arithmetic

Rows = list[list[Fraction]]


def matrix(*rows: str) -> Rows:
    return [[Fraction(number) for number in row.split()] for row in rows]


def column(*numbers: str) -> Rows:
    return [[Fraction(number)] for number in numbers]


def names(size: int) -> list[str]:
    return [f"p{i}" for i in range(size)]


def solved(a: Rows, b: Rows) -> Rows:
    return linear.solve(a, b, names(len(a)))


def test_one_part_that_needs_half_of_itself_needs_two() -> None:
    assert solved(matrix("1/2"), column("1")) == column("2")


def test_a_loop_of_two_is_exact() -> None:
    # x = 0.9 y + 1, y = 0.2 x + 10
    assert solved(matrix("0 0.9", "0.2 0"), column("1", "10")) == column("500/41", "510/41")


def test_every_column_is_solved() -> None:
    a = matrix("0 0.5", "0.5 0")
    b = matrix("1 0 2", "0 1 2")

    assert solved(a, b) == matrix("4/3 2/3 4", "2/3 4/3 4")


def test_the_solution_solves_whatever_the_order_of_the_parts() -> None:
    a = matrix("0.1 0.2 0.3 0", "0.4 0 0.1 0.2", "0 0.3 0.2 0.1", "0.5 0 0 0.25")
    b = column("1", "0", "-2", "7/3")
    expected = solved(a, b)

    for order in permutations(range(4)):
        turned = solved([[a[i][j] for j in order] for i in order], [b[i] for i in order])
        assert [turned[order.index(i)] for i in range(4)] == expected
    for i, row in enumerate(expected):
        assert row[0] == sum(a[i][j] * expected[j][0] for j in range(4)) + b[i][0]


def test_nothing_is_solved_where_nothing_is_asked() -> None:
    assert linear.solve([], [], []) == []
    assert linear.solve(matrix("0.5"), [[]], ["p"]) == [[]]


@pytest.mark.parametrize("gain", ["1", "1.0000000000000000000000000000000001", "2", "100"])
def test_a_part_that_needs_all_of_itself_is_refused(gain: str) -> None:
    with pytest.raises(UnproductiveError, match=r"consumes at least as much as it makes.* p0$"):
        solved(matrix(gain), column("1"))


def test_a_gain_just_below_one_is_solved() -> None:
    assert solved([[1 - Fraction(1, 10**40)]], column("1")) == [[Fraction(10**40)]]


@pytest.mark.parametrize("there", ["1", "1.25", "8"])
def test_two_parts_that_need_all_of_each_other_are_refused_with_both_names(there: str) -> None:
    back = str(1 / Fraction(there))

    with pytest.raises(UnproductiveError, match="p0, p1"):
        solved(matrix(f"0 {there}", f"{back} 0"), column("1", "1"))


def test_two_overlapping_loops_of_072_are_refused_though_each_alone_is_not() -> None:
    both = matrix("0 0.6 0.6", "1.2 0 0", "1.2 0 0")
    one = matrix("0 0.6 0", "1.2 0 0", "0 0 0")

    assert solved(one, column("1", "1", "1"))[0] == [Fraction(160, 28)]
    for order in permutations(range(3)):
        turned = [[both[i][j] for j in order] for i in order]
        with pytest.raises(UnproductiveError, match="p0, p1, p2"):
            solved(turned, column("1", "1", "1"))


def test_a_plausible_answer_of_a_blind_solve_is_refused() -> None:
    # x = 2 y - 1 and y = 2 x - 1 are solved by x = y = 1, which means nothing.
    with pytest.raises(UnproductiveError):
        solved(matrix("0 2", "2 0"), column("-1", "-1"))


def test_a_name_stands_once_however_many_unknowns_it_has() -> None:
    with pytest.raises(UnproductiveError, match=r"exists: pack, cell$"):
        linear.solve(matrix("1 0 0", "0 0 0", "0 0 0"), column("1", "1", "1"), ["pack", "cell"] * 2)


def test_a_loop_over_the_limit_is_refused_with_both_numbers() -> None:
    size = MAX_LOOP_UNKNOWNS + 1
    zeros = [[Fraction(0)] * size] * size

    with pytest.raises(LimitError, match=f"{size} unknowns, where at most {MAX_LOOP_UNKNOWNS}"):
        linear.solve(zeros, column(*["0"] * size), names(size))


def test_a_loop_at_the_limit_is_solved() -> None:
    size = MAX_LOOP_UNKNOWNS
    a = [[Fraction(0)] * size for _ in range(size)]
    a[0][0] = Fraction(1, 2)

    assert solved(a, column(*["1"] * size)) == column("2", *["1"] * (size - 1))


def test_a_fraction_is_rounded_once_half_to_even_by_the_callers_context() -> None:
    with decimal.localcontext(arithmetic()):
        assert linear.rounded(Fraction(1, 3)) == Decimal("0." + "3" * 34)
        assert linear.rounded(Fraction(-2, 3)) == Decimal("-0." + "6" * 33 + "7")
        assert linear.rounded(Fraction(10**34 + 1, 2)) == Decimal(5 * 10**33)
        assert linear.rounded(Fraction(7, 4)) == Decimal("1.75")
