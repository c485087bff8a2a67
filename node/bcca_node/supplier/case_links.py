"""What the rows of a case folder say of each other: ids, units, companies."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bcca_node.sheets.problems import Problems
from bcca_node.sheets.rows import Line
from bcca_node.supplier.case_rows import CaseFactor, Company, Process, Row
from bcca_protocol.errors import UnitError
from bcca_protocol.limits import MAX_LINES
from bcca_protocol.quantity import Unit, convert, number

PROCESSES, INVENTORY = "processes.csv", "inventory.csv"
FACTORS, COMPANIES = "factors.csv", "companies.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What an inventory row may name: all ids, also those of rows that could not be read.

    None where there is no such table: one problem is told once.
    """

    process_ids: frozenset[str] | None
    factor_ids: frozenset[str] | None
    processes: Mapping[str, Process]
    factors: Mapping[str, CaseFactor]


def ids(lines: Iterable[Line], column: str) -> frozenset[str]:
    """Return every id in a column; complain of one that stands there twice."""
    first: dict[str, int] = {}
    for line in lines:
        written = line.cells.get(column, "").strip()
        if written and first.setdefault(written, line.number) != line.number:
            line.complain(f"{column} {written!r} stands in row {first[written]} already")
    return frozenset(first)


def check_names(lines: Iterable[Line], known: Known) -> None:
    """Complain of every inventory row that names a process or an input that is not there."""
    for line in lines:
        of_process = line.cells.get("flow_type", "").strip() == "process"
        _check_name(line, "process_id", PROCESSES, known.process_ids)
        if of_process:
            _check_name(line, "input_id", PROCESSES, known.process_ids)
        else:
            _check_name(line, "input_id", FACTORS, known.factor_ids)


def link(rows: Iterable[Row], known: Known, problems: Problems) -> tuple[Row, ...]:
    """Return `rows`, each in a unit that fits what it takes in; complain where none fits."""
    linked = tuple(_linked(row, known, problems) for row in rows)
    # A statement's activities and its inputs are counted apart.
    counts = Counter((row.process_id, row.flow_type == "process") for row in linked)
    for (process_id, _), count in counts.items():
        if count > MAX_LINES:
            problems.add(
                INVENTORY,
                f"process {process_id!r} has {count} rows of a kind, where a statement holds "
                f"{MAX_LINES}",
            )
    return linked


def meant_unit(bought: Unit, made: Unit) -> Unit:
    """Return the unit that is meant: a kilowatt hour of storage capacity is no energy."""
    return "kWhCapacity" if (bought, made) == ("kWh", "kWhCapacity") else bought


def staff(
    lines: Sequence[Line], rows: Iterable[tuple[str, Company]], known: Known, problems: Problems
) -> dict[str, Company]:
    """Return the company of every process: one each, and one name and country per company."""
    named = ids(lines, "process_id")
    for line in lines:
        _check_name(line, "process_id", PROCESSES, known.process_ids)
    for process_id in sorted((known.process_ids or named) - named):
        problems.add(COMPANIES, f"no company runs the process {process_id!r}")
    companies = dict(rows)
    first: dict[str, Company] = {}
    for company in companies.values():
        other = first.setdefault(company.id, company)
        if other != company:
            problems.add(
                COMPANIES,
                f"company {company.id!r} is {other.name!r} ({other.country}) and "
                f"{company.name!r} ({company.country})",
            )
    return companies


def _check_name(line: Line, column: str, file: str, there: frozenset[str] | None) -> None:
    written = line.cells.get(column, "").strip()
    if written and there is not None and written not in there:
        line.complain(f"{column} {written!r} is not in {file}")


def _linked(row: Row, known: Known, problems: Problems) -> Row:
    table: Mapping[str, Process | CaseFactor]
    table = known.processes if row.flow_type == "process" else known.factors
    target = table.get(row.input_id)
    if target is None:
        return row
    unit = meant_unit(row.unit, target.unit)
    try:
        convert(number(row.amount), unit, target.unit)
    except UnitError as error:
        problems.add(INVENTORY, f"{error}, the unit of {row.input_id!r}", row=row.number)
    return dataclasses.replace(row, unit=unit)
