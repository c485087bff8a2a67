"""What may feed an input: a signed statement, what stands in for one, or nothing (SPEC 9.1)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

from bcca_protocol.cumulative import Leaf
from bcca_protocol.partial import Bought, Part
from bcca_protocol.results import Substitute
from bcca_protocol.substituted import Substituted
from bcca_protocol.verify import Verified

Offer: TypeAlias = Verified[Part] | Leaf
"""A signed statement that may feed an input: partial, or cumulative as a leaf."""

Source: TypeAlias = Offer | Substituted
"""What a part of a graph comes from; `fact` is the part, `introduced` whether its log was."""


class Why(NamedTuple):
    """Why a statement feeds an input that is not of its site and time: for the report."""

    code: Literal["sibling", "expired", "lagged"]
    words: str


class Flagged(NamedTuple):
    """A statement that the rules allow for want of one of the site and time, and why."""

    source: Offer
    why: Why

    @property
    def fact(self) -> Part:
        """What it says."""
        return self.source.fact


class Missing(NamedTuple):
    """An input that nothing feeds: no number, never zero.

    `bound` is an estimate in kg CO2e per unit of the line, if one is known; it is never added.
    Where a current statement is here that cannot be used, nothing may stand in: `is_settled`;
    `here` names it, or both of two that contradict each other.
    """

    reason: str
    bound: Decimal | None = None
    is_settled: bool = False
    here: tuple[str, ...] = ()


Choice: TypeAlias = Verified[Part] | Leaf | Flagged | Substituted | Missing
Chooser: TypeAlias = Callable[[Part, Bought], Choice]
StandIns: TypeAlias = Callable[[Part, Bought], Substitute | None]


def nobody(_: Part, __: Bought) -> None:
    """Stand in for nothing."""
