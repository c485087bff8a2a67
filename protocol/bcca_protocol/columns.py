"""Footprints and tallies of many parts as rows of one table (SPEC 9.3)."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal, NamedTuple

from bcca_protocol.footprint import COMPONENTS, STAGES, Cell, Footprint
from bcca_protocol.own import Tally
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ZERO

Vector = list[Decimal]
Way = Literal["market", "location", "tally"]
INTRODUCED = "introduced"
TALLIES = (*Tally._fields, INTRODUCED)

_STAGE_ORDER = {stage: i for i, stage in enumerate(("", *STAGES))}
_NAME_ORDER = {name: i for i, name in enumerate((*COMPONENTS, *TALLIES))}
_WAY_ORDER = {"market": 0, "location": 1, "tally": 2}


class Column(NamedTuple):
    """What one number of a vector is: a cell of a footprint, or (without a stage) a tally."""

    way: Way
    stage: str
    name: str

    def seen_as(self, stages: str) -> "Column":
        """Return where a consumer's `stages` puts it: a named stage takes all but endOfLife."""
        if stages == "keep" or self.stage in ("", "endOfLife"):
            return self
        return Column(self.way, stages, self.name)


class Table:
    """The columns that are not zero everywhere, in the order in which footprints are written."""

    def __init__(self, parts: Iterable[Part], stages: Iterable[str]) -> None:
        """Take the columns of `parts`, and those into which named `stages` move them."""
        used = {Column("tally", "", INTRODUCED)}
        located = False
        for part in parts:
            located = located or part.own_by_location is not None
            cells = part.own.keys() | (part.own_by_location or {}).keys()
            used.update(Column("market", cell.stage, cell.component) for cell in cells)
            pairs = zip(Tally._fields, part.tally, strict=True)
            used.update(Column("tally", "", name) for name, kg in pairs if kg)
        if located:
            used |= {c._replace(way="location") for c in used if c.way == "market"}
        used |= {column.seen_as(stage) for stage in set(stages) for column in used}
        self.columns = tuple(sorted(used, key=_written_order))
        self.has_location = located
        self._place = {column: i for i, column in enumerate(self.columns)}
        self._targets = {
            stage: [self._place[column.seen_as(stage)] for column in self.columns]
            for stage in set(stages)
        }

    def own(self, part: Part, *, introduced: bool) -> Vector:
        """Return what `part` itself adds, per declared unit."""
        vector = [ZERO] * len(self.columns)
        self._write(vector, "market", part.own)
        if self.has_location:
            by_location = part.own_by_location
            self._write(vector, "location", part.own if by_location is None else by_location)
        for name, kg in zip(Tally._fields, part.tally, strict=True):
            if kg:
                vector[self._place[Column("tally", "", name)]] = kg
        if introduced:
            vector[self._place[Column("tally", "", INTRODUCED)]] = part.tally.absolute
        return vector

    def restaged(self, vector: Vector, stages: str) -> Vector:
        """Return `vector` as a consumer that writes `stages` sees it, cells added in order."""
        if stages == "keep":
            return vector
        moved = [ZERO] * len(vector)
        for target, kg in zip(self._targets[stages], vector, strict=True):
            moved[target] += kg
        return moved

    def footprint(self, vector: Vector, way: Way = "market") -> Footprint:
        """Return the footprint in `vector`."""
        pairs = zip(self.columns, vector, strict=True)
        cells = {(c.stage, c.name): kg for c, kg in pairs if c.way == way}
        wanted = (Cell(stage, component) for stage in STAGES for component in COMPONENTS)
        return {cell: cells[cell] for cell in wanted if cell in cells}

    def tally(self, vector: Vector) -> Mapping[str, Decimal]:
        """Return the sums of absolute contributions in `vector`, by `TALLIES`."""
        pairs = zip(self.columns, vector, strict=True)
        given = {column.name: kg for column, kg in pairs if column.way == "tally"}
        return {name: given.get(name, ZERO) for name in TALLIES}

    def _write(self, vector: Vector, way: Way, footprint: Footprint) -> None:
        for cell, kg in footprint.items():
            vector[self._place[Column(way, cell.stage, cell.component)]] = kg


def _written_order(column: Column) -> tuple[int, int, int]:
    return _WAY_ORDER[column.way], _STAGE_ORDER[column.stage], _NAME_ORDER[column.name]
