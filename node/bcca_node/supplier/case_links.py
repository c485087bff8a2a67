"""What the rows of a case folder say of each other: ids, units, companies."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bcca_node.supplier.case_files import Line
from bcca_node.supplier.case_rows import CaseFactor, Company, Process, Row
from bcca_node.supplier.problems import Problems
from bcca_protocol.errors import UnitError
from bcca_protocol.limits import MAX_LINES
from bcca_protocol.quantity import Unit, convert, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What an inventory row may name: all ids, also those of rows that could not be read.

    None where there is no such table: one problem is told once.
    """

    process_ids: frozenset[str] | None
    factor_ids: frozenset[str] | None
    processes: Mapping[str, Process]
    factors: Mapping[str, CaseFactor]


def ids(lines: Sequence[Line] | None, column: str) -> frozenset[str] | None:
    """Return every id in a column, each of which may stand there once."""
    if lines is None:
        return None
    first: dict[str, int] = {}
    for line in lines:
        written = line.cells.get(column, "").strip()
        if written and first.setdefault(written, line.number) != line.number:
            line.complain(f"{column} {written!r} stands in row {first[written]} already")
    return frozenset(first)


def link(rows: Iterable[Row], known: Known, problems: Problems) -> tuple[Row, ...]:
    """Return `rows`, each of a known process, taking a known input in a unit that fits."""
    linked = tuple(_linked(row, known, problems) for row in rows)
    # A statement's activities and its inputs are counted apart.
    counts = Counter((row.process_id, row.flow_type == "process") for row in linked)
    for (process_id, _), count in counts.items():
        if count > MAX_LINES:
            problems.add(
                "inventory.csv",
                f"process {process_id!r} has {count} rows of a kind, where a statement holds "
                f"{MAX_LINES}",
            )
    return linked


def staff(
    lines: Iterable[Line], rows: Iterable[tuple[str, Company]], known: Known, problems: Problems
) -> dict[str, Company]:
    """Return the company of every process: one each, and one name and country per company."""
    if known.process_ids is not None:
        _check_staffed(lines, known.process_ids, problems)
    companies = dict(rows)
    first: dict[str, Company] = {}
    for company in companies.values():
        other = first.setdefault(company.id, company)
        if other != company:
            problems.add(
                "companies.csv",
                f"company {company.id!r} is {other.name!r} ({other.country}) and "
                f"{company.name!r} ({company.country})",
            )
    return companies


def _check_staffed(lines: Iterable[Line], process_ids: frozenset[str], problems: Problems) -> None:
    named = set()
    for line in lines:
        process_id = line.cells.get("process_id", "").strip()
        named.add(process_id)
        if process_id and process_id not in process_ids:
            line.complain(f"process_id {process_id!r} is not in processes.csv")
    for process_id in sorted(process_ids - named):
        problems.add("companies.csv", f"no company runs the process {process_id!r}")


def _linked(row: Row, known: Known, problems: Problems) -> Row:
    where = f"inventory.csv row {row.number}"
    if known.process_ids is not None and row.process_id not in known.process_ids:
        problems.add(where, f"process_id {row.process_id!r} is not in processes.csv")
    if row.flow_type == "process":
        file, id_set = "processes.csv", known.process_ids
        target: Process | CaseFactor | None = known.processes.get(row.input_id)
    else:
        file, id_set = "factors.csv", known.factor_ids
        target = known.factors.get(row.input_id)
    if id_set is not None and row.input_id not in id_set:
        problems.add(where, f"input_id {row.input_id!r} is not in {file}")
    if target is None:
        return row
    unit = meant_unit(row.unit, target.unit)
    try:
        convert(number(row.amount), unit, target.unit)
    except UnitError as error:
        problems.add(where, f"{error}, the unit of {row.input_id!r}")
    return dataclasses.replace(row, unit=unit)


def meant_unit(bought: Unit, made: Unit) -> Unit:
    """Return the unit that is meant: a kilowatt hour of storage capacity is no energy."""
    return "kWhCapacity" if (bought, made) == ("kWh", "kWhCapacity") else bought
