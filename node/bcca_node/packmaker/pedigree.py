"""How far a factor spreads where no more is known of it than five scores (SPEC 8.8).

The variances of ln by axis and score are data, in `pedigree.csv` beside this
module: general knowledge of inventory databases, not read in the original.
"""

import csv
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

from bcca_protocol import uncertainty
from bcca_protocol.errors import StatementError
from bcca_protocol.quantity import not_negative, number

_SCORES = re.compile(r"[0-9](?: [0-9])*")


def gsd(scores: str, basic: str = "0") -> str:
    """Return the GSD of scores as they are written, one an axis, over a basic variance of ln.

    It is written to 12 significant figures. Raises StatementError for scores that the table lacks,
    and what `number` raises for `basic`.
    """
    table = variances()
    given = scores.split()
    if not _SCORES.fullmatch(scores) or len(given) != len(table):
        raise StatementError(f"pedigree {scores[:80]!r}: write a score for each of {_axes(table)}")
    wanted = dict(zip(table, map(int, given), strict=True))
    least = not_negative(basic, "basic_variance")
    return uncertainty.written(uncertainty.pedigree_gsd(least, table, wanted))


@lru_cache(1)
def variances() -> Mapping[str, tuple[Decimal, ...]]:
    """Return by axis the variance of ln that each score from 1 stands for."""
    file = resources.files(__package__) / "pedigree.csv"
    _, *rows = csv.reader(file.read_text(encoding="utf-8").splitlines())
    return MappingProxyType({axis: tuple(map(number, row)) for axis, *row in rows})


def _axes(table: Mapping[str, object]) -> str:
    return f"{', '.join(table)}, 1 to 5, as 2 3 1 2 4"
