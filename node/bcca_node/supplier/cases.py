"""A case folder: processes, what they take in, emission factors, and who runs what.

The shipped case and any other folder are read by the same code.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from bcca_node.sheets.problems import Problems
from bcca_node.sheets.rows import Folder, Line, plain_number, read_table
from bcca_node.supplier import case_expected, case_links, case_rows
from bcca_node.supplier.case_expected import Flow
from bcca_node.supplier.case_links import COMPANIES, FACTORS, INVENTORY, PROCESSES, Known
from bcca_node.supplier.case_rows import CaseFactor, Company, Process, Row
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.quantity import ONE, Unit, positive

T = TypeVar("T")

MAX_CANDIDATES = 20  # names in one message

_NOT_IN_URN = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """So much of which product to add up."""

    process_id: str
    amount: Decimal
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case folder that holds together, everything in the order of its files.

    `companies` is by process, None where the folder names none; `expected` is as parsed.
    """

    name: str
    title: str
    source: str
    indicator: str | None
    processes: Mapping[str, Process]
    rows: tuple[Row, ...]
    factors: Mapping[str, CaseFactor]
    companies: Mapping[str, Company] | None
    expected: Mapping[str, object] | None
    flow: Flow | None

    def reference(self, product: str | None = None, amount: str | None = None) -> Reference:
        """Return what to add up: what is asked, else the case's own, else the one end product.

        `product` is a process id, a URN or an exact name. Raises UnusableError naming candidates.
        """
        flow = self.flow
        if product is not None:
            found = self.find(product)
        else:
            found = self.processes[flow.process_id] if flow is not None else self._end_product()
        if amount is not None:
            so_much = positive_number(amount)
        else:
            so_much = flow.amount if flow is not None and flow.process_id == found.id else ONE
        return Reference(process_id=found.id, amount=so_much, unit=found.unit)

    def find(self, asked: str) -> Process:
        """Return the process of that id, URN, product or name.

        Raises UnusableError for none and for several, naming candidates.
        """
        if asked in self.processes:
            return self.processes[asked]
        found = [
            process
            for process in self.processes.values()
            if asked in (urn(self.name, process.id), process.product, process.name)
        ]
        if len(found) == 1:
            return found[0]
        shown = repr(asked[:200])
        if found:
            raise UnusableError(
                f"case {self.name}: {shown} names {len(found)} processes, where one is wanted: "
                f"say which of {_listed(found)}"
            )
        raise UnusableError(
            f"case {self.name}: no process has the id, URN or product {shown}: it has "
            f"{_listed(self.processes.values())}"
        )

    def _end_product(self) -> Process:
        """Return the one process that no other consumes."""
        eaten = {
            row.input_id
            for row in self.rows
            if row.flow_type == "process" and row.input_id != row.process_id
        }
        ends = [process for process in self.processes.values() if process.id not in eaten]
        if len(ends) == 1:
            return ends[0]
        raise UnusableError(
            f"case {self.name}: {len(ends) or 'no'} products are consumed by no other process, "
            f"where one would be the reference: say which of "
            f"{_listed(ends or self.processes.values())}"
        )


def urn(case_name: str, process_id: str) -> str:
    """Return the URN of a process's product: `urn:bcca:case:<case>:<process_id>`.

    Whatever is not an ASCII letter, digit, dot, underscore or hyphen is written as its code point
    in hexadecimal between tildes, so that two ids never share a URN.
    """
    return f"urn:bcca:case:{_in_urn(case_name)}:{_in_urn(process_id)}"


def shipped_case() -> Traversable:
    """Return the folder of the case that ships with the node."""
    return resources.files("bcca_node") / "cases" / "nmc622_pack"


def read_case(folder: Folder) -> Case:
    """Return the case in `folder`; raises UnusableError with every problem of every file."""
    if not folder.is_dir():
        raise UnusableError(f"{folder}: there is no such folder")
    name = (folder.resolve().name if isinstance(folder, Path) else folder.name) or "case"
    problems = Problems(f"case {name}")
    case = _read(folder, name, problems)
    problems.refuse()
    return case


def positive_number(text: str) -> Decimal:
    """Return the amount that somebody wrote; raises UnusableError unless it is above zero."""
    try:
        return positive(plain_number(text), "amount")
    except RefusedError as error:
        raise UnusableError(str(error)) from error


def _read(folder: Folder, name: str, problems: Problems) -> Case:
    makers = read_table(folder, PROCESSES, case_rows.PROCESS_COLUMNS, problems)
    taken = read_table(folder, INVENTORY, case_rows.ROW_COLUMNS, problems)
    scores = read_table(folder, FACTORS, case_rows.FACTOR_COLUMNS, problems)
    known = Known(
        process_ids=None if makers is None else case_links.ids(makers, "process_id"),
        factor_ids=None if scores is None else case_links.ids(scores, "factor_id"),
        processes={each.id: each for each in _each(makers, case_rows.process)},
        factors={each.id: each for each in _each(scores, case_rows.factor)},
    )
    case_links.check_names(taken or (), known)
    expected = case_expected.read(folder, problems)
    return Case(
        name=name,
        title=case_expected.told(expected, "title") or name,
        source=case_expected.told(expected, "source") or f"case {name}",
        indicator=case_expected.told(expected, "indicator"),
        processes=MappingProxyType(known.processes),
        rows=case_links.link(_each(taken, case_rows.row), known, problems),
        factors=MappingProxyType(known.factors),
        companies=_companies(folder, known, problems),
        expected=expected,
        flow=case_expected.flow(expected, known, problems),
    )


def _each(lines: Iterable[Line] | None, make: Callable[[Line], T]) -> list[T]:
    read = (line.read(make) for line in lines or ())
    return [each for each in read if each is not None]


def _companies(folder: Folder, known: Known, problems: Problems) -> Mapping[str, Company] | None:
    if not (folder / COMPANIES).is_file():
        return None
    lines = read_table(folder, COMPANIES, case_rows.COMPANY_COLUMNS, problems)
    if lines is None:
        return None
    staffed = case_links.staff(lines, _each(lines, case_rows.company), known, problems)
    return MappingProxyType(staffed)


def _in_urn(text: str) -> str:
    return _NOT_IN_URN.sub(lambda found: f"~{ord(found[0]):x}~", text)


def _listed(processes: Iterable[Process]) -> str:
    every = [f"{process.id} ({process.product})" for process in processes]
    more = f" and {len(every) - MAX_CANDIDATES} more" if len(every) > MAX_CANDIDATES else ""
    return ", ".join(every[:MAX_CANDIDATES]) + more
