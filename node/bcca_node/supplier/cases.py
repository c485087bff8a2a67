"""A case folder: processes, what they take in, emission factors, and who runs what.

The shipped case and any folder are read by the same code; everything wrong is told at once.
"""

import dataclasses
import decimal
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from bcca_node.supplier import case_rows
from bcca_node.supplier.case_files import Folder, Line, plain_number, read_table, read_text
from bcca_node.supplier.case_rows import CaseFactor, Company, Process, Row
from bcca_node.supplier.problems import Problems
from bcca_protocol.errors import BccaError, UnitError, UnusableError
from bcca_protocol.limits import MAX_LINES, MAX_TEXT_CHARS
from bcca_protocol.quantity import ONE, Unit, arithmetic, convert, number, positive, unit_named
from bcca_protocol.wire import showable

T = TypeVar("T")

PROCESSES, INVENTORY, FACTORS = "processes.csv", "inventory.csv", "factors.csv"
COMPANIES, EXPECTED = "companies.csv", "expected.json"
MAX_CANDIDATES = 20  # names in one message

_NOT_IN_URN = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """So much of which product a case is about."""

    process_id: str
    amount: Decimal
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case folder that holds together; everything in the order of its files.

    `companies` is by process, None where the folder names none; `expected` is as parsed.
    """

    name: str
    title: str
    source: str
    processes: Mapping[str, Process]
    rows: tuple[Row, ...]
    factors: Mapping[str, CaseFactor]
    companies: Mapping[str, Company] | None
    expected: Mapping[str, object] | None
    flow: Reference | None

    def reference(self, product: str | None = None, amount: str | None = None) -> Reference:
        """Return what to add up: what is asked, else the case's own, else the one end product.

        `product` is a process id, a URN or an exact name. Raises UnusableError naming candidates.
        """
        if product is not None:
            found = find(self.name, self.processes, product)
        elif self.flow is not None:
            found = self.processes[self.flow.process_id]
        else:
            found = self._end_product()
        if amount is not None:
            so_much = _positive(amount, "amount")
        elif self.flow is not None and self.flow.process_id == found.id:
            so_much = self.flow.amount
        else:
            so_much = ONE
        return Reference(process_id=found.id, amount=so_much, unit=found.unit)

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
        if ends:
            raise UnusableError(
                f"case {self.name}: {len(ends)} products are consumed by no other process, where "
                f"one would be the reference: name one of {_listed(ends)}"
            )
        raise UnusableError(
            f"case {self.name}: every product is consumed by another process, so none is the "
            f"reference: name one of {_listed(self.processes.values())}"
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


def find(case_name: str, processes: Mapping[str, Process], asked: str) -> Process:
    """Return the process of that id, URN, product or name; UnusableError for none or several."""
    if asked in processes:
        return processes[asked]
    found = [
        process
        for process in processes.values()
        if asked in (urn(case_name, process.id), process.product, process.name)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnusableError(
            f"case {case_name}: {asked!r} is the product of {len(found)} processes: name one of "
            f"{_listed(found)}"
        )
    raise UnusableError(
        f"case {case_name}: no process has the id, URN or product {showable(asked)!r}: name one of "
        f"{_listed(processes.values())}"
    )


def read_case(folder: Folder) -> Case:
    """Return the case in `folder`; raises UnusableError with every problem of every file."""
    name = folder.resolve().name if isinstance(folder, Path) else folder.name
    if not folder.is_dir():
        raise UnusableError(f"{folder}: there is no such folder")
    return _Reading(folder, name or "case").case()


class _Reading:
    """One folder being read, and everything wrong with it so far."""

    def __init__(self, folder: Folder, name: str) -> None:
        self._name = name
        self._folder = folder
        self._problems = Problems(f"case {name}")
        ...
