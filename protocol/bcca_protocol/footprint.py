"""A footprint: kg CO2e by life-cycle stage and component, exact (SPEC 4.5)."""

import decimal
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import msgspec

from bcca_protocol.errors import StatementError
from bcca_protocol.limits import MAX_KEPT_FACTORS
from bcca_protocol.quantity import ZERO, arithmetic, numbers, plain
from bcca_protocol.wire import Figure, Record

Stage = Literal["rawMaterial", "production", "distribution", "use", "endOfLife"]
Component = Literal[
    "fossil",
    "biogenicNonCO2",
    "biogenicCO2",
    "biogenicUptake",
    "landUseChange",
    "landManagement",
    "landRemovals",
    "technologicalRemovals",
    "ccsCapture",
    "aviation",
    "packaging",
]
STAGES: tuple[Stage, ...] = get_args(Stage)
COMPONENTS: tuple[Component, ...] = get_args(Component)
OF_WHICH = frozenset[Component]({"aviation", "packaging"})  # shown beside the sum, never in it
UPTAKE = frozenset[Component]({"biogenicCO2", "biogenicUptake"})
EXCLUDING_UPTAKE = tuple(c for c in COMPONENTS if c not in OF_WHICH | UPTAKE)
INCLUDING_UPTAKE = tuple(c for c in COMPONENTS if c not in OF_WHICH)
_COUNTED = frozenset(COMPONENTS.index(c) for c in EXCLUDING_UPTAKE)
_NEVER_NEGATIVE = frozenset[Component]({"biogenicCO2"})
_NEVER_POSITIVE = frozenset[Component](
    {"biogenicUptake", "landRemovals", "technologicalRemovals", "ccsCapture"}
)
_ONE_SIDED = _NEVER_NEGATIVE | _NEVER_POSITIVE
_PLACES = {component: place for place, component in enumerate(COMPONENTS)}


class Cell(NamedTuple):
    """One place in a footprint."""

    stage: Stage
    component: Component


class Components(Record, frozen=True):
    """Kg CO2e by component as written; what is left out is zero. Order: `COMPONENTS`."""

    fossil: Figure | None = None
    biogenic_non_co2: Figure | None = msgspec.field(default=None, name="biogenicNonCO2")
    biogenic_co2: Figure | None = msgspec.field(default=None, name="biogenicCO2")
    biogenic_uptake: Figure | None = None
    land_use_change: Figure | None = None
    land_management: Figure | None = None
    land_removals: Figure | None = None
    technological_removals: Figure | None = None
    ccs_capture: Figure | None = None
    aviation: Figure | None = None
    packaging: Figure | None = None


class Stages(Record, frozen=True):
    """Components by stage as written; what is left out is zero. Order: `STAGES`."""

    raw_material: Components | None = None
    production: Components | None = None
    distribution: Components | None = None
    use: Components | None = None
    end_of_life: Components | None = None


Footprint = Mapping[Cell, Decimal]  # kg CO2e; a cell that is absent is zero

CELLS = {stage: tuple(Cell(stage, component) for component in COMPONENTS) for stage in STAGES}


class Figures(NamedTuple):
    """What `Components` write, each value with its place in `COMPONENTS`; and what counts of it."""

    values: tuple[tuple[int, Decimal], ...]
    counted: Decimal


# Thousands of statements use the factors of one data set.
@lru_cache(MAX_KEPT_FACTORS)
def figures(components: Components) -> Figures:
    """Return what is written; raises MalformedError, LimitError."""
    values = _values(components)
    with decimal.localcontext(arithmetic()):
        counted = sum((value for place, value in values if place in _COUNTED), ZERO)
    return Figures(values, counted)


def values_of(components: Components) -> list[tuple[Component, Decimal]]:
    """Return the written values by component, in the order of `COMPONENTS`."""
    return [(COMPONENTS[place], value) for place, value in figures(components).values]


def decode(stages: Stages) -> dict[Cell, Decimal]:
    """Return the footprint that `stages` writes; raises StatementError on a sign (SPEC 4.5)."""
    footprint: dict[Cell, Decimal] = {}
    for stage, components in zip(STAGES, msgspec.structs.astuple(stages), strict=True):
        if components is not None:
            here = CELLS[stage]
            footprint |= {here[place]: value for place, value in _values(components)}
    check_sides(footprint)
    return footprint


def encode(footprint: Footprint) -> Stages:
    """Return `footprint` as it is written: zeros left out, numbers plain."""
    rows: dict[Stage, list[str | None]] = {}
    for (stage, component), value in footprint.items():
        text = plain(value)
        if text != "0":
            row = rows.setdefault(stage, [None] * len(COMPONENTS))
            row[_PLACES[component]] = text
    return Stages(*[Components(*rows[stage]) if stage in rows else None for stage in STAGES])


def check_sides(footprint: Footprint) -> None:
    """Raise StatementError for a component on the wrong side of zero (SPEC 4.5)."""
    for cell, value in footprint.items():
        if cell.component not in _ONE_SIDED or not value:
            continue
        if (cell.component in _NEVER_NEGATIVE) == (value < 0):
            side = "below" if value < 0 else "above"
            raise StatementError(f"footprint {cell.stage}.{cell.component}: {value} is {side} zero")


def difference(footprint: Footprint, other: Footprint) -> dict[Cell, Decimal]:
    """Return `footprint` without `other`, cell by cell, in decimal128."""
    with decimal.localcontext(arithmetic()):
        return {
            cell: footprint.get(cell, ZERO) - other.get(cell, ZERO)
            for cell in {**footprint, **other}
        }


def total(footprint: Footprint, components: Iterable[Component] = EXCLUDING_UPTAKE) -> Decimal:
    """Return kg CO2e over all stages, by default excluding biogenic uptake."""
    return _sum(footprint, STAGES, tuple(components))


def has_uptake(footprint: Footprint) -> bool:
    """Say whether the total including biogenic uptake is another than the one excluding it."""
    return total(footprint) != total(footprint, INCLUDING_UPTAKE)


def by_component(footprint: Footprint) -> dict[Component, Decimal]:
    """Return kg CO2e of each component over all stages."""
    return {component: _sum(footprint, STAGES, (component,)) for component in COMPONENTS}


def by_stage(footprint: Footprint) -> dict[Stage, Decimal]:
    """Return kg CO2e of each stage, excluding biogenic uptake."""
    return {stage: _sum(footprint, (stage,), EXCLUDING_UPTAKE) for stage in STAGES}


def _values(components: Components) -> tuple[tuple[int, Decimal], ...]:
    texts = msgspec.structs.astuple(components)
    places = [place for place, text in enumerate(texts) if text is not None]
    return tuple(zip(places, numbers([texts[place] for place in places]), strict=True))


def _sum(footprint: Footprint, stages: Iterable[Stage], components: Sequence[Component]) -> Decimal:
    """Add cells up in decimal128, in the order of stages, then components (SPEC 3.4)."""
    with decimal.localcontext(arithmetic()):
        cells = (footprint.get(Cell(s, c), ZERO) for s in stages for c in components)
        return sum(cells, ZERO)
