"""The spread of a result, first order and log-normal, exact (SPEC 8.8).

    ln^2 GSD = sum (s_i ln GSD_i)^2,  s_i = E_i / E

Amounts are independent; factors of one dataset move together, so their s_i ln GSD_i are added
first. Each operation is decimal128, ln, exp and root correctly rounded; what is written is rounded
to 12 figures, so that a library that errs in the 34th digit writes the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from bcca_protocol.aggregate import Totals
from bcca_protocol.demand import Demand
from bcca_protocol.errors import StatementError
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ONE, ZERO, exact, plain
from bcca_protocol.results import Sensitivity, Uncertainty
from bcca_protocol.spread import Spread

FIGURES = 12
"""Significant figures of a written spread: far above what it means, far below where rounding is."""
WIDEST = Decimal(20)  # ln GSD: a factor of half a billion says nothing of a result any more
MOST_DATASETS = 200  # of a roll-up: 50 kB of its MiB; what moves the rest of it is small
DEVIATIONS = Decimal("1.96")  # standard deviations on either side of 95 % of a normal distribution


class Interval(NamedTuple):
    """A geometric standard deviation and the 95 % interval, kg CO2e."""

    gsd: Decimal
    low: Decimal
    high: Decimal


def spreads(totals: Totals, needed: Demand) -> tuple[Spread, ...]:
    """Return all spreads behind `needed`, kg CO2e for its amount: of one dataset and GSD added up.

    Own amounts stay apart, one for each line of each part, however many consumers the part has.
    """
    alone: list[Spread] = []
    shared: dict[tuple[str, Decimal], Decimal] = {}
    with exact():
        for index in sorted(totals.vectors):
            part = totals.graph.parts[index]
            if not part.spreads:
                continue
            for dataset, gsd, kg in part.spreads:
                scaled = kg * needed.amounts[index] / part.declared
                if dataset:
                    shared[dataset, gsd] = shared.get((dataset, gsd), ZERO) + scaled
                elif scaled:
                    alone.append(Spread("", gsd, scaled))
    return (*alone, *(Spread(*key, kg) for key, kg in sorted(shared.items()) if kg))


def interval(total: Decimal, of: Iterable[Spread]) -> Interval | None:
    """Return the spread of `total` and its 95 % interval: total / GSD^1.96 to total x GSD^1.96.

    None where the total is not above zero or the spread is wider than anything means: a log-normal
    has no such result.
    """
    with exact():
        wide = _ln_gsd(total, of)
        if wide is None:
            return None
        reach = (DEVIATIONS * wide).exp()
        return Interval(gsd=wide.exp(), low=total / reach, high=total * reach)


def stated(total: Decimal, of: Iterable[Spread], root: Part) -> Uncertainty | None:
    """Return what a roll-up carries: its GSD, and kg CO2e by dataset; None where nothing spreads.

    Independent amounts, and datasets beyond the MOST_DATASETS that move it most, are one more
    entry, named after the product: who uses the roll-up on two ways has them move together, and
    apart from everybody else's.
    """
    every = tuple(of)
    found = interval(total, every)
    if found is None or found.gsd == ONE:
        return None
    with exact():
        shared = sorted(each for each in every if each.dataset)
        shared.sort(key=lambda each: abs(each.kg * each.gsd.ln()), reverse=True)
    kept, others = shared[:MOST_DATASETS], shared[MOST_DATASETS:]
    rest = interval(total, (*(each for each in every if not each.dataset), *others))
    if rest is not None and rest.gsd != ONE:
        kept.append(Spread(_rest_of(root), rest.gsd, total))
    return Uncertainty(
        gsd=written(found.gsd),
        datasets=tuple(
            Sensitivity(dataset=each.dataset, gsd=written(each.gsd), kg=written(each.kg))
            for each in sorted(kept)
        ),
    )


def pedigree_gsd(
    basic: Decimal, table: Mapping[str, Sequence[Decimal]], scores: Mapping[str, int]
) -> Decimal:
    """Return the GSD that scores of a pedigree matrix stand for: exp(sqrt(basic + sum of s^2)).

    `table` has by axis the variance of ln for each score from 1: a rule set's data. Raises
    StatementError naming an axis or a score that it lacks.
    """
    with exact():
        variance = basic
        for axis, score in scores.items():
            row = table.get(axis, ())
            if not 1 <= score <= len(row):
                raise StatementError(
                    f"pedigree: {axis} is scored {score}, where the table has 1 to {len(row)}"
                )
            variance += row[score - 1]
        return variance.sqrt().exp()


def written(value: Decimal) -> str:
    """Return `value` plain, rounded half to even to 12 significant figures."""
    with exact():
        return plain(round(value, FIGURES - 1 - value.adjusted())) if value else "0"


def _ln_gsd(total: Decimal, of: Iterable[Spread]) -> Decimal | None:
    """Return ln GSD of `total`, None where there is none."""
    if total <= 0:
        return None
    variance = ZERO
    together: dict[str, Decimal] = {}
    for dataset, gsd, kg in of:
        moved = kg / total * gsd.ln()
        if dataset:
            together[dataset] = together.get(dataset, ZERO) + moved
        else:
            variance += moved * moved
    variance += sum((moved * moved for _, moved in sorted(together.items())), ZERO)
    wide = variance.sqrt()
    return wide if wide <= WIDEST else None


def _rest_of(root: Part) -> str:
    return f"the rest of {root.issuer} {root.product} {root.period.start}"[:MAX_TEXT_CHARS]
