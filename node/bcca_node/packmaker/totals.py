"""Which number counts where a PACT footprint's totals are not the sums of their parts (SPEC 9.10).

The total counts: what it has more or less is added to fossil, exactly, and told.
"""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple

from bcca_node.pact.amounts import EXCLUDING, FOSSIL, INCLUDING, UPTAKE, Sum, summed
from bcca_node.pact.numbers import text, total
from bcca_protocol.errors import UnusableError
from bcca_protocol.quantity import ZERO

_PARTS: Final = MappingProxyType(
    {EXCLUDING: "its components", INCLUDING: f"{EXCLUDING} and {UPTAKE}"}
)


class Settled(NamedTuple):
    """Numbers whose components come to `pcfExcludingBiogenicUptake`; `told` what was done to them.

    They are kg CO2e by PACT name, as received but for fossil.
    """

    numbers: Mapping[str, Decimal]
    told: tuple[str, ...]


def settled(found: Mapping[str, Decimal], per: str, *, is_accepted: bool) -> Settled:
    """Return the numbers of a footprint `per` its amount, with its total's difference in fossil.

    Raises UnusableError where a total cannot be read or is 0, where one is off by more than
    rounding and no operator accepted that, and where fossil would be below zero.
    """
    excluding = _sum(found, EXCLUDING, is_accepted=is_accepted)
    including = _sum(found, INCLUDING, is_accepted=is_accepted)
    if not excluding.stated:
        raise UnusableError(f"pcf.{EXCLUDING}: 0, which would hide a gap")
    told: list[str] = []
    if excluding.off:
        fossil = total((found.get(FOSSIL, ZERO), excluding.off))
        off = f"{text(excluding.off.copy_abs())} kg CO2e per {per}"
        if fossil < 0:
            raise UnusableError(
                f"{_both(EXCLUDING, excluding)}: {off} less would leave {text(fossil)} of {FOSSIL}"
            )
        found = {**found, FOSSIL: fossil}
        done = "added to" if excluding.off > 0 else "taken off"
        told.append(f"{_both(EXCLUDING, excluding)}, {_weight(excluding)}: {off} {done} fossil")
    if including.off:
        told.append(f"{_both(INCLUDING, including)}, {_weight(including)}: it is ignored")
    return Settled(found, tuple(told))


def _sum(found: Mapping[str, Decimal], name: str, *, is_accepted: bool) -> Sum:
    """Return how a total stands to its parts; raises UnusableError unless it may be used."""
    told = summed(found, name)
    if told is None:
        raise UnusableError(f"pcf.{name}: not there, or no number that can be read")
    if not told.is_rounding and not is_accepted:
        raise UnusableError(
            f"{_both(name, told)}, more than rounding; `bcca pact accept` lets it be used all the "
            "same"
        )
    return told


def _both(name: str, told: Sum) -> str:
    """Return a total as it came, and what its parts come to."""
    return f"pcf.{name}: {told.stated:f}, where {_PARTS[name]} come to {text(told.parts)}"


def _weight(told: Sum) -> str:
    return "rounding" if told.is_rounding else "more than rounding, which an operator accepted"
