"""Shares and data quality as quotients of sums, never averages of averages (SPEC 8.7)."""

from decimal import Decimal
from typing import NamedTuple

from bcca_protocol.quantity import ZERO, exact, number
from bcca_protocol.results import Weights

HUNDRED = Decimal(100)
_ROUNDING = Decimal("1e-12")  # a difference of sums in 34 digits is nearer than that


class Quality(NamedTuple):
    """Scores from 1 (best) to 5, each weighted by contribution; `covered` in percent."""

    technological: Decimal
    geographical: Decimal
    temporal: Decimal
    covered: Decimal

    @property
    def dqr(self) -> Decimal:
        """The mean of the three scores (draft EU methodology)."""
        with exact():
            return (self.technological + self.geographical + self.temporal) / 3


class Shares(NamedTuple):
    """Percent of the gross contributions (their absolute values).

    `unsigned` is of unsigned footprints: neither signed nor default. `missing` is an estimate: the
    bounds of gaps in percent of what is known and bounded together; gaps without a bound are in no
    share at all. `quality` is None where no line is scored.
    """

    primary: Decimal
    primary_amount: Decimal
    primary_factor: Decimal
    signed: Decimal
    introduced: Decimal
    limited: Decimal
    reasonable: Decimal
    default: Decimal
    unsigned: Decimal
    missing: Decimal
    quality: Quality | None


def shares(weights: Weights) -> Shares:
    """Return the shares that a roll-up's weights give; all 0 where nothing contributes.

    The primary data share is weighted with absolute contributions (PACT 3.0.3).
    """
    with exact():
        absolute, bound = number(weights.absolute), number(weights.gap_bound)
        return Shares(
            primary=_percent(number(weights.primary), absolute),
            primary_amount=_percent(number(weights.primary_amount), absolute),
            primary_factor=_percent(number(weights.primary_factor), absolute),
            signed=_percent(number(weights.signed), absolute),
            introduced=_percent(number(weights.introduced), absolute),
            limited=_percent(number(weights.limited), absolute),
            reasonable=_percent(number(weights.reasonable), absolute),
            default=_percent(number(weights.default), absolute),
            unsigned=_percent(unsigned(weights), absolute),
            missing=_percent(bound, absolute + bound),
            quality=_quality(weights, absolute),
        )


def unsigned(weights: Weights) -> Decimal:
    """Return gross kg CO2e that unsigned footprints give: neither signed nor default (SPEC 8.7).

    What rounding in 34 digits leaves of a difference is nothing.
    """
    with exact():
        absolute = number(weights.absolute)
        found = absolute - number(weights.signed) - number(weights.default)
        return found if found > absolute * _ROUNDING else ZERO


def exempted_percent(modelled: Decimal, excluded: Decimal) -> Decimal:
    """Return excluded / (modelled + excluded) in percent, both gross; 0 of nothing (SPEC 8.5)."""
    with exact():
        return _percent_of(excluded, modelled + excluded)


def _quality(weights: Weights, absolute: Decimal) -> Quality | None:
    sums = weights.quality
    covered = number(sums.covered)
    if not covered:
        return None
    return Quality(
        technological=number(sums.technological) / covered,
        geographical=number(sums.geographical) / covered,
        temporal=number(sums.temporal) / covered,
        covered=_percent(covered, absolute),
    )


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    """Return a share within 0 to 100 where `part` is within `whole`: 100 x p / w may round over."""
    return min(_percent_of(part, whole), HUNDRED)


def _percent_of(part: Decimal, whole: Decimal) -> Decimal:
    return part * HUNDRED / whole if whole else ZERO
