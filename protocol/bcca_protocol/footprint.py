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
_NEVER_NEGATIVE = frozenset[Component]({"biogenicCO2"})
_NEVER_POSITIVE = frozenset[Component](
    {"biogenicUptake", "landRemovals", "technologicalRemovals", "ccsCapture"}
)
_ONE_SIDED = frozenset(COMPONENTS.index(c) for c in _NEVER_NEGATIVE | _NEVER_POSITIVE)


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


def parse(components: Components) -> tuple[tuple[int, Decimal], ...]:
    """Return what is written, by place in `COMPONENTS`; raises MalformedError, LimitError."""
    texts = msgspec.structs.astuple(components)
    places = [place for place, text in enumerate(texts) if text is not None]
    return tuple(zip(places, numbers([texts[place] for place in places]), strict=True))


# Thousands of statements use the factors of one data set.
figures = lru_cache(MAX_KEPT_FACTORS)(parse)


def values_of(components: Components) -> list[tuple[Component, Decimal]]:
    """Return the written values by component, in the order of `COMPONENTS`."""
    return [(COMPONENTS[place], value) for place, value in figures(components)]


def cells(stage: Stage, components: Components) -> list[tuple[Cell, Decimal]]:
    """Return the written values of one stage by cell, in the order of `COMPONENTS`."""
    return [(CELLS[stage][place], value) for place, value in figures(components)]


def decode(stages: Stages) -> dict[Cell, Decimal]:
    """Return the footprint that `stages` writes; raises StatementError on a sign (SPEC 4.5)."""
    footprint: dict[Cell, Decimal] = {}
    for stage, components in zip(STAGES, msgspec.structs.astuple(stages), strict=True):
        if components is not None:
            here = CELLS[stage]
            for place, value in parse(components):
                if value and place in _ONE_SIDED:
                    _check_side(here[place], value)
                footprint[here[place]] = value
    return footprint


def encode(footprint: Footprint) -> Stages:
    """Return `footprint` as it is written: zeros left out, numbers plain."""
    by_stage: dict[Stage, Components | None] = {}
    for stage in STAGES:
        texts = [plain(footprint.get(cell, ZERO)) for cell in CELLS[stage]]
        given = [None if text == "0" else text for text in texts]
        by_stage[stage] = Components(*given) if any(given) else None
    return Stages(*by_stage.values())


def total(footprint: Footprint, components: Iterable[Component] = EXCLUDING_UPTAKE) -> Decimal:
    """Return kg CO2e over all stages, by default excluding biogenic uptake."""
    return _sum(footprint, STAGES, tuple(components))


def by_component(footprint: Footprint) -> dict[Component, Decimal]:
    """Return kg CO2e of each component over all stages."""
    return {component: _sum(footprint, STAGES, (component,)) for component in COMPONENTS}


def by_stage(footprint: Footprint) -> dict[Stage, Decimal]:
    """Return kg CO2e of each stage, excluding biogenic uptake."""
    return {stage: _sum(footprint, (stage,), EXCLUDING_UPTAKE) for stage in STAGES}


def _sum(footprint: Footprint, stages: Iterable[Stage], components: Sequence[Component]) -> Decimal:
    """Add cells up in decimal128, in the order of stages, then components (SPEC 3.4)."""
    with decimal.localcontext(arithmetic()):
        cells = (footprint.get(Cell(s, c), ZERO) for s in stages for c in components)
        return sum(cells, ZERO)


def _check_side(cell: Cell, value: Decimal) -> None:
    if (cell.component in _NEVER_NEGATIVE) == (value < 0):
        side = "below" if value < 0 else "above"
        raise StatementError(f"footprint {cell.stage}.{cell.component}: {value} is {side} zero")
