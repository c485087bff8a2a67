"""What a roll-up says beside its footprint, as written: manifest, weights, battery (SPEC 4.6)."""

from typing import Annotated, Literal

import msgspec

from bcca_protocol.inventory import Factor
from bcca_protocol.wire import HexDigest, Number, Origin, Record, Text


class Substitute(Record, frozen=True):
    """A value that stands in for a missing statement."""

    factor: Factor
    reason: Text


class Gap(Record, frozen=True):
    """A missing value: no number, never zero; `bound` in kg CO2e for the edge, if known."""

    reason: Text
    bound: Number | None = None


class Resolved(Record, frozen=True):
    """What an input was resolved to: exactly one of the three."""

    commitment: HexDigest | None = None
    substitute: Substitute | None = None
    gap: Gap | None = None


class Edge(Record, frozen=True):
    """One input of the roll-up, its amount scaled to the declared unit."""

    consumer: HexDigest
    line: Text
    amount: Number
    resolved: Resolved


class ReadLog(Record, frozen=True):
    """A tree that was read for a roll-up."""

    origin: Origin
    size: Annotated[str, msgspec.Meta(pattern=r"\A(0|[1-9][0-9]{0,18})\Z")]
    root: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")]


class QualitySums(Record, frozen=True):
    """Contribution-weighted data quality, kg CO2e x 1..5, and the kg CO2e it covers."""

    covered: Number
    technological: Number
    geographical: Number
    temporal: Number


class Weights(Record, frozen=True):
    """Sums of absolute contributions in kg CO2e: they add up through tiers (SPEC 8.6)."""

    absolute: Number
    primary: Number
    primary_amount: Number
    primary_factor: Number
    signed: Number
    introduced: Number
    limited: Number
    reasonable: Number
    default: Number
    gap_bound: Number
    quality: QualitySums


class Sensitivity(Record, frozen=True):
    """How much of the result moves with one dataset, kg CO2e."""

    dataset: Text
    gsd: Number
    kg: Number


class Uncertainty(Record, frozen=True):
    """Log-normal spread of the result."""

    gsd: Number
    datasets: tuple[Sensitivity, ...]


class Battery(Record, frozen=True):
    """The battery a roll-up speaks of; kWh gross, rated and usable stay apart."""

    model: Text
    chemistry: Text
    category: Literal["M1", "M2", "M3", "N1", "N2", "N3", "L", "other"]
    gross_kwh: Number | None = msgspec.field(default=None, name="grossKwh")
    rated_kwh: Number | None = msgspec.field(default=None, name="ratedKwh")
    usable_kwh: Number | None = msgspec.field(default=None, name="usableKwh")
    service_years: Number | None = None
    full_cycles_per_year: Number | None = None
    per_kwh_delivered: Number | None = msgspec.field(default=None, name="perKwhDelivered")
    rule_set: Text | None = None
    evidence: tuple[HexDigest, ...] | None = None


class Rules(Record, frozen=True):
    """The rule set a roll-up followed."""

    name: Text
    digest: HexDigest
