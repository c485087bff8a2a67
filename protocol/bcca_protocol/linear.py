"""Rational elimination for loops of products: exact, in a fixed order, rounded once (SPEC 9.4)."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from bcca_protocol.errors import LimitError, UnproductiveError
from bcca_protocol.limits import MAX_LOOP_UNKNOWNS

Matrix = list[list[Fraction]]


def solve(a: Matrix, b: Matrix, names: Sequence[str]) -> Matrix:
    """Return x with x = a x + b, where row i speaks of product `names[i]`.

    Every pivot of I - a must be positive (Hawkins and Simon 1949): a gain below 1 in every single
    loop is not enough, and a blind solve returns plausible numbers. Raises UnproductiveError naming
    the products, LimitError over MAX_LOOP_UNKNOWNS.
    """
    size = len(a)
    if size > MAX_LOOP_UNKNOWNS:
        raise LimitError(f"a loop of {size} unknowns, where at most {MAX_LOOP_UNKNOWNS} are solved")
    rows = [[Fraction(i == j) - a[i][j] for j in range(size)] + list(b[i]) for i in range(size)]
    for pivot in range(size):
        if rows[pivot][pivot] <= 0:
            raise UnproductiveError(
                "a loop consumes at least as much as it makes, so no footprint exists: "
                + ", ".join(dict.fromkeys(names))
            )
        _eliminate(rows, pivot)
    return [[value / row[i] for value in row[size:]] for i, row in enumerate(rows)]


def _eliminate(rows: Matrix, pivot: int) -> None:
    """Clear column `pivot` in every other row."""
    source = rows[pivot]
    for i, row in enumerate(rows):
        if i == pivot or not row[pivot]:
            continue
        factor = row[pivot] / source[pivot]
        row[pivot:] = [
            x - factor * y if y else x for x, y in zip(row[pivot:], source[pivot:], strict=True)
        ]


def rounded(value: Fraction) -> Decimal:
    """Return `value`, rounded once by the caller's context."""
    return Decimal(value.numerator) / Decimal(value.denominator)
