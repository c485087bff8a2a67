"""What a statement says of its spread, line by line: log-normal, per declared unit (SPEC 8.8)."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from bcca_protocol import activity, footprint
from bcca_protocol.inventory import Activity, Factor
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.own import Scale
from bcca_protocol.quantity import ONE, number
from bcca_protocol.results import Uncertainty
from bcca_protocol.statement import PartialFootprint


class Spread(NamedTuple):
    """So many kg CO2e move with one dataset, or by themselves where `dataset` is empty."""

    dataset: str
    gsd: Decimal
    kg: Decimal


def of_lines(statement: PartialFootprint, scale: Scale) -> tuple[Spread, ...]:
    """Return the spreads of a statement's own lines; a line without `gsd` has none."""
    lines = statement.activities
    if not any(line.amount_gsd or line.factor.gsd for line in lines):
        return ()
    return tuple(_spreads(statement, scale))


def carried(uncertainty: Uncertainty | None) -> tuple[Spread, ...]:
    """Return the spreads that a cumulative footprint hands on, per its declared amount."""
    if uncertainty is None:
        return ()
    return tuple(
        Spread(each.dataset, number(each.gsd), number(each.kg)) for each in uncertainty.datasets
    )


def name_of(factor: Factor) -> str:
    """Return the name of a factor's dataset: what bears it moves together, whoever uses it."""
    parts = (factor.source, factor.dataset, factor.version or "", factor.geography)
    return "; ".join(parts)[:MAX_TEXT_CHARS]


def _spreads(statement: PartialFootprint, scale: Scale) -> Iterator[Spread]:
    for line in statement.activities:
        for dataset, gsd in _stated(line):
            if gsd != ONE:
                yield Spread(dataset, gsd, _kg(line, scale))


def _stated(line: Activity) -> Iterator[tuple[str, Decimal]]:
    if line.amount_gsd is not None:
        yield "", number(line.amount_gsd)
    if line.factor.gsd is not None:
        yield name_of(line.factor), number(line.factor.gsd)


def _kg(line: Activity, scale: Scale) -> Decimal:
    """Return what a line adds to the total, its sign kept, as SPEC 8.6 has its absolute value."""
    amount = activity.converted(line, number(line.amount), line.factor.unit)
    kg = amount * footprint.figures(line.factor.values).counted
    if line.joint:
        kg *= scale.share
    return scale.apply((kg,))[0]
