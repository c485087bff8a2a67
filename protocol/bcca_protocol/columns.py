"""Footprints and tallies of many parts as rows of one table (SPEC 9.3)."""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from itertools import compress
from typing import Literal, NamedTuple

from bcca_protocol.footprint import COMPONENTS, STAGES, Cell, Footprint
from bcca_protocol.own import Handed, Tally
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ZERO

Vector = tuple[Decimal, ...]
Way = Literal["market", "location", "tally"]
INTRODUCED = "introduced"
TALLIES = (*Tally._fields, *Handed._fields)

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

    def __init__(self, parts: Iterable[Part], stages: Collection[str], *, introduced: bool) -> None:
        """Take the columns of `parts`, and those into which named `stages` move them."""
        cells, tallies, self.has_location = _used(parts)
        ways: tuple[Way, ...] = ("market", "location") if self.has_location else ("market",)
        used = {Column("tally", "", name) for name in tallies}
        if introduced:
            used.add(Column("tally", "", INTRODUCED))
        used |= {Column(way, cell.stage, cell.component) for way in ways for cell in cells}
        used |= {column.seen_as(stage) for stage in stages for column in used}
        self.columns = tuple(sorted(used, key=_written_order))
        place = {column: i for i, column in enumerate(self.columns)}
        self._targets = {
            stage: [place[column.seen_as(stage)] for column in self.columns] for stage in stages
        }
        self._cells = {
            way: {Cell(c.stage, c.name): i for c, i in place.items() if c.way == way}  # type: ignore[arg-type]  # columns of a footprint have the names of its cells
            for way in ways
        }
        self._named = {c.name: i for c, i in place.items() if c.way == "tally"}
        self._tallies, self._handed = map(self._places, (Tally._fields, Handed._fields))

    def own(self, part: Part, *, introduced: bool) -> Vector:
        """Return what `part` itself adds, per declared unit."""
        vector = [ZERO] * len(self.columns)
        for way, place in self._cells.items():
            location = part.own_by_location if way == "location" else None
            for cell, kg in (part.own if location is None else location).items():
                vector[place[cell]] = kg
        tally, handed = part.tally, part.handed
        for i, at in self._tallies:
            vector[at] = tally[i] or ZERO
        if handed is not None:
            for i, at in self._handed:
                vector[at] = handed[i] or ZERO
        if introduced:
            vector[self._named[INTRODUCED]] = tally.absolute
        return tuple(vector)

    def _places(self, names: Iterable[str]) -> list[tuple[int, int]]:
        """Return where the tallies of these names stand among them, and in which column."""
        return [(i, self._named[name]) for i, name in enumerate(names) if name in self._named]

    def restaged(self, vector: Vector, stages: str) -> Vector:
        """Return `vector` as a consumer that writes `stages` sees it, cells added in order."""
        if stages == "keep":
            return vector
        moved = [ZERO] * len(vector)
        for target, kg in zip(self._targets[stages], vector, strict=True):
            moved[target] += kg
        return tuple(moved)

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


def _used(parts: Iterable[Part]) -> tuple[set[Cell], set[str], bool]:
    """Return the cells and tallies that any part has, and whether any has a location result."""
    cells: set[Cell] = set()
    tallies: set[str] = set()
    located = False
    for part in parts:
        cells.update(part.own)
        tallies.update(compress(Tally._fields, part.tally))  # those that are not zero
        if part.handed is not None:
            tallies.update(compress(Handed._fields, part.handed))
        if part.own_by_location is not None:
            located = True
            cells.update(part.own_by_location)
    return cells, tallies, located


def _written_order(column: Column) -> tuple[int, int, int]:
    return _WAY_ORDER[column.way], _STAGE_ORDER[column.stage], _NAME_ORDER[column.name]
