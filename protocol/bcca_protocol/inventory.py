"""The lines of an inventory as they are written: amounts, factors, inputs (SPEC 4.2)."""

from typing import Annotated, Literal

import msgspec

from bcca_protocol.footprint import Components, Stage
from bcca_protocol.limits import MAX_LINES
from bcca_protocol.quantity import Unit
from bcca_protocol.wire import Figure, HexDigest, Number, Origin, Record, Text, Time, Urn

VKEY = r"\A[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}\Z"

Vkey = Annotated[str, msgspec.Meta(pattern=VKEY, max_length=512)]


class Amount(Record, frozen=True):
    """So much of a unit."""

    amount: Number
    unit: Unit


class Interval(Record, frozen=True):
    """A time span [start, end)."""

    start: Time
    end: Time


class Exclusion(Record, frozen=True):
    """Something cut off: listed, never implied. `estimate` in kg CO2e per declared unit."""

    name: Text
    reason: Text
    estimate: Number | None = None


class CoProduct(Record, frozen=True):
    """What comes out of the joint process beside the product."""

    name: Text
    amount: Number
    unit: Unit
    weight: Number


class Allocation(Record, frozen=True):
    """How a joint process is shared: own share = output x weight over the sum of all."""

    basis: Literal["mass", "energy", "economic", "other"]
    joint_process: Text
    weight: Number
    co_products: tuple[CoProduct, ...]


class Quality(Record, frozen=True):
    """Data quality on three axes, 1 best to 5."""

    technological: Number
    geographical: Number
    temporal: Number


class Instrument(Record, frozen=True):
    """An electricity certificate; `claim_handle` lets a double claim show without its serial."""

    type: Text
    vintage: Text
    market: Text
    claim_handle: HexDigest | None = None


class Factor(Record, frozen=True, kw_only=True):
    """Kg CO2e (or CO2) per `unit`, by component, and where it comes from.

    This and `Activity`, most of a statement, have their fields in the order in which they are
    written: so they are read fastest.
    """

    dataset: Text
    gas: Literal["co2", "co2e"]
    geography: Text
    gsd: Number | None = None
    gwp: Literal["AR5", "AR6"] | None = None
    kind: Literal["supplierSpecific", "secondary", "proxy"]
    scope: Literal["direct", "lifeCycle", "upstream"] | None = None
    source: Text
    unit: Unit
    values: Components
    version: Text | None = None


class Electricity(Record, frozen=True):
    """How a line's power was bought; `location_factor` gives the grid's answer beside it."""

    supply: Literal["onSite", "directLine", "contract", "residual", "grid"]
    instrument: Instrument | None = None
    location_factor: Factor | None = None


class Leg(Record, frozen=True):
    """One leg of transport."""

    mode: Text
    from_: Text = msgspec.field(name="from")
    to: Text
    km: Number
    mass_kg: Number


class Activity(Record, frozen=True, kw_only=True):
    """One own line: an amount times a factor."""

    amount: Figure
    amount_gsd: Number | None = None
    amount_kind: Literal["measured", "calculated", "estimated"]
    basis: Text | None = None
    electricity: Electricity | None = None
    evidence: tuple[HexDigest, ...] | None = None
    factor: Factor
    id: Text
    joint: bool = False
    kind: Literal["emission", "energy", "material", "transport", "waste", "credit"]
    leg: Leg | None = None
    name: Text
    quality: Quality | None = None
    stage: Stage
    tags: tuple[Literal["capitalGoods", "packaging"], ...] | None = None
    unit: Unit


class Supplier(Record, frozen=True):
    """Who supplies an input: the origin, and the key its log is verified with."""

    origin: Origin
    key: Vkey


class Input(Record, frozen=True):
    """One bought line: an amount of somebody's product."""

    id: Text
    product: Urn
    supplier: Supplier
    amount: Number
    unit: Unit
    stages: Literal["keep"] | Stage
    site: Text | None = None
    basis: Text | None = None
    yield_: Number | None = msgspec.field(default=None, name="yield")
    joint: bool = False
    statement: HexDigest | None = None
    acquired: Interval | None = None
    delivery: Literal["supplier", "buyer", "unknown"] | None = None
    bom_position: Text | None = None


class Material(Record, frozen=True):
    """Metal content and recycled shares, handed up for battery rules; kg per declared unit."""

    name: Text
    kg: Number
    recycled_pre: Number | None = None
    recycled_post: Number | None = None
    chain_of_custody: Text | None = None
    virgin_factor: Number | None = None
    recycled_factor: Number | None = None


class CarbonContent(Record, frozen=True):
    """Kg of carbon in one declared unit."""

    fossil: Number
    biogenic: Number | None = None
    recycled: Number | None = None


Activities = Annotated[tuple[Activity, ...], msgspec.Meta(max_length=MAX_LINES)]
Inputs = Annotated[tuple[Input, ...], msgspec.Meta(max_length=MAX_LINES)]
