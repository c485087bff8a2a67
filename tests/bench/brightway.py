"""The same products through bw2calc, Brightway's calculator: floats, one linear system.

Its group of dependencies is `bench`, which nothing else needs. It solves with pypardiso where that
is installed (x86), else with scipy's SuperLU.
"""

import time
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import bw2calc  # type: ignore[import-not-found, import-untyped, unused-ignore]  # of the group `bench`
import bw_processing  # type: ignore[import-not-found, import-untyped, unused-ignore]  # as above
import numpy as np  # type: ignore[import-not-found, unused-ignore]  # as above

from bcca_protocol.aggregate import Totals
from bcca_protocol.footprint import COMPONENTS, STAGES, Cell
from bcca_protocol.graph import Graph

FLOWS = tuple(Cell(stage, component) for stage in STAGES for component in COMPONENTS)
FIRST_FLOW = 1_000_000  # above every product's number: Brightway's numbers are one space
WORLD = FIRST_FLOW - 1  # a factor's column is a region, and all of them stand in one
NAME = f"bw2calc {bw2calc.__version__}, {'pypardiso' if bw2calc.PYPARDISO else 'SuperLU'}"

_Entry = tuple[int, int, float]  # row, column, value


class Answer(NamedTuple):
    """Kg CO2e of one product by stage and component, and how long it took from arrays in memory."""

    cells: dict[Cell, float]
    seconds: float
    cpu_seconds: float


def solve(graph: Graph, root: int) -> Answer:
    """Return what bw2calc says of one declared unit of a part, everything upstream included."""
    package = bw_processing.create_datapackage(sum_intra_duplicates=True)
    _add(package, "technosphere_matrix", _technosphere(graph))
    _add(package, "biosphere_matrix", _biosphere(graph))
    _add(package, "characterization_matrix", _characterization())
    start, cpu = time.perf_counter(), time.process_time()
    lca = bw2calc.LCA({root: 1}, data_objs=[package])
    lca.lci()
    lca.lcia()
    by_flow = np.asarray(lca.characterized_inventory.sum(axis=1)).ravel()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    rows = lca.dicts.biosphere
    cells = {
        cell: float(by_flow[rows[FIRST_FLOW + i]])
        for i, cell in enumerate(FLOWS)
        if FIRST_FLOW + i in rows
    }
    return Answer(cells, seconds, cpu_seconds)


def relative_difference(totals: Totals, root: int, answer: Answer) -> float:
    """Return the largest relative difference of any cell of the two answers."""
    ours = totals.footprint(root)
    return max(abs(answer.cells.get(cell, 0.0) / float(kg) - 1) for cell, kg in ours.items() if kg)


def _technosphere(graph: Graph) -> Iterable[_Entry]:
    """Yield how much of each product (row) each process (column) makes, and takes (below zero)."""
    for index, part in enumerate(graph.parts):
        yield index, index, 1.0
        for term in graph.terms[index]:
            taken = term.amount * term.share * part.declared / part.output
            yield term.supplier, index, -_float(taken / graph.parts[term.supplier].declared)


def _biosphere(graph: Graph) -> Iterable[_Entry]:
    place = {cell: i for i, cell in enumerate(FLOWS)}
    for index, part in enumerate(graph.parts):
        for cell, kg in part.own.items():
            yield FIRST_FLOW + place[cell], index, _float(kg)


def _characterization() -> Iterable[_Entry]:
    return ((FIRST_FLOW + i, WORLD, 1.0) for i in range(len(FLOWS)))


def _add(package: "bw_processing.Datapackage", matrix: str, entries: Iterable[_Entry]) -> None:
    rows, columns, values = zip(*entries, strict=True)
    indices = np.empty(len(rows), dtype=bw_processing.INDICES_DTYPE)
    indices["row"], indices["col"] = rows, columns
    package.add_persistent_vector(
        matrix=matrix, indices_array=indices, data_array=np.asarray(values), name=matrix
    )


def _float(value: Decimal) -> float:
    return float(value)
