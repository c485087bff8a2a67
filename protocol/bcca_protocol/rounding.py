"""Numbers rounded for display, and only there: a class is derived from what is not (SPEC 3.6)."""

import decimal
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

from bcca_protocol.quantity import ZERO, exact

DECLARED_FIGURES = 3  # significant figures of a declaration (draft EU methodology)

K = TypeVar("K")


def figures(value: Decimal, digits: int = DECLARED_FIGURES) -> str:
    """Return `value` with so many significant figures, half to even, without exponent.

    Figures that are zero stay: 2.00 says more than 2.
    """
    if not value:
        return "0"
    with exact():
        return _written(value, _step(value, digits))


def stages(parts: Mapping[K, Decimal], digits: int = DECLARED_FIGURES) -> dict[K, str]:
    """Return every part rounded so that they still sum to their rounded total (SPEC 3.6).

    The last decimal is fixed from the total; every part is cut to it, and what is left goes to the
    largest remainders, the earlier of two equal ones first. A total of zero has no figure to fix a
    decimal from: there the largest part has it.
    """
    with exact():
        total = sum(parts.values(), ZERO)
        leading = total or max(map(abs, parts.values()), default=ZERO)
        if not leading:
            return dict.fromkeys(parts, "0")
        step = _step(leading, digits)
        cut = {
            name: (kg / step).to_integral_value(decimal.ROUND_FLOOR) for name, kg in parts.items()
        }
        left = int((total / step).to_integral_value(decimal.ROUND_HALF_EVEN) - sum(cut.values()))
        order = sorted(parts, key=lambda name: cut[name] - parts[name] / step)
        for name in order[:left]:
            cut[name] += 1
        return {name: _written(steps * step, step) for name, steps in cut.items()}


def _step(value: Decimal, digits: int) -> Decimal:
    """Return one unit of the last figure that is shown, after rounding: 9.996 shows 10.0."""
    first = Decimal(1).scaleb(value.adjusted() - digits + 1)
    rounded = (value / first).to_integral_value(decimal.ROUND_HALF_EVEN)
    return first.scaleb(1) if len(rounded.as_tuple().digits) > digits else first


def _written(value: Decimal, step: Decimal) -> str:
    """Return `value` rounded to multiples of `step`, with its decimals."""
    steps = (value / step).to_integral_value(decimal.ROUND_HALF_EVEN)
    return format(steps * step, f".{max(-step.adjusted(), 0)}f")
