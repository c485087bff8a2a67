"""A supplier's own roll-up as what feeds an input: numbers as its issuer claims them (SPEC 9.9)."""

import decimal
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeGuard

from bcca_protocol import footprint, spread
from bcca_protocol.entry import Status
from bcca_protocol.facts import Fact
from bcca_protocol.own import Handed, Tally
from bcca_protocol.partial import Part, classes_of
from bcca_protocol.quantity import ZERO, arithmetic, number
from bcca_protocol.rollup import HUNDRED, RollUp
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.verify import Verified


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A verified roll-up, and what it adds where it is bought: `fact`, which buys nothing more."""

    signed: Verified[RollUp]
    fact: Part

    @property
    def introduced(self) -> bool:
        """Whether its log was introduced by a customer's statement."""
        return self.signed.introduced

    @property
    def index(self) -> int:
        """The index of its entry in its issuer's log."""
        return self.signed.index

    @property
    def status(self) -> Status | None:
        """What became of it since."""
        return self.signed.status

    @property
    def is_current(self) -> bool:
        """Whether it is neither revoked nor corrected, in a log that is not broken."""
        return self.signed.is_current

    @property
    def is_incomplete(self) -> bool:
        """Whether something upstream of it is missing, as its issuer says."""
        return self.signed.fact.statement.incomplete

    @property
    def log_keys(self) -> frozenset[str]:
        """The log keys under which its log may be named."""
        return self.signed.log_keys


def is_roll_up(found: Verified[Fact]) -> TypeGuard[Verified[RollUp]]:
    """Say whether a fact is a roll-up."""
    return isinstance(found.fact, RollUp)


def leaf(signed: Verified[RollUp]) -> Leaf:
    """Return a roll-up as a leaf: one declared unit is what it adds, and it buys nothing more.

    Raises LimitError for a number over 34 digits.
    """
    with decimal.localcontext(arithmetic()):
        return Leaf(signed, _part(signed.fact))


def _part(rolled: RollUp) -> Part:
    stated = rolled.statement
    declared = number(stated.declared_unit.amount)
    located = stated.location_footprint
    return Part(
        commitment=rolled.commitment,
        issuer=rolled.issuer,
        product=rolled.product,
        name=stated.product.name,
        producer=stated.producer.name,
        producer_ids=stated.producer.ids or (),
        classes=classes_of(stated.product),
        site=stated.site.id if stated.site else None,
        batch=stated.batch,
        period=rolled.period,
        validity=rolled.validity,
        sharing=stated.sharing,
        unit=stated.declared_unit.unit,
        declared=declared,
        output=declared,
        mass_kg=None if stated.mass_kg is None else number(stated.mass_kg),
        own=rolled.footprint,
        own_by_location=None if located is None else footprint.decode(located),
        tally=_tally(stated),
        handed=_handed(stated),
        bought=(),
        claims=(),
        gwp=stated.method.gwp,
        recycling=stated.method.recycling,
        materials=stated.materials or (),
        spreads=spread.carried(stated.uncertainty),
    )


def _tally(stated: FootprintRollUp) -> Tally:
    weights = stated.weights
    absolute = number(weights.absolute)
    return Tally(
        absolute=absolute,
        primary=number(weights.primary),
        primary_amount=number(weights.primary_amount),
        primary_factor=number(weights.primary_factor),
        covered=number(weights.quality.covered),
        technological=number(weights.quality.technological),
        geographical=number(weights.quality.geographical),
        temporal=number(weights.quality.temporal),
        excluded=_excluded(absolute, number(stated.exempted_percent)),
    )


def _excluded(absolute: Decimal, percent: Decimal) -> Decimal:
    """Return what is excluded where it is `percent` of modelled and excluded together (SPEC 8.5).

    Of 100 percent nobody can tell how much that is: then what is modelled is 0, and so is this.
    """
    return ZERO if percent == HUNDRED else absolute * percent / (HUNDRED - percent)


def _handed(stated: FootprintRollUp) -> Handed | None:
    """Return what it hands up beside its tally; None if that is nothing."""
    weights = stated.weights
    handed = Handed(
        unsigned=number(weights.absolute) - number(weights.signed),
        introduced=number(weights.introduced),
        default=number(weights.default),
        limited=number(weights.limited),
        reasonable=number(weights.reasonable),
        gap_bound=number(weights.gap_bound),
    )
    return handed if any(handed) else None
