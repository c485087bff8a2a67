"""Files of a folder as text, rows and cells; what cannot be read becomes a problem."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from bcca_node.sheets.problems import Problems
from bcca_protocol.errors import BccaError, UnitError, UnusableError
from bcca_protocol.limits import MAX_NUMBER_CHARS, MAX_TEXT_CHARS
from bcca_protocol.quantity import Unit, number, unit_named, written
from bcca_protocol.wire import NUMBER, showable

T = TypeVar("T")
Folder = Path | Traversable

MAX_FILE_BYTES = 16 * 1024 * 1024  # a hundred thousand inventory rows of 120 bytes
MAX_CELL_CHARS = MAX_TEXT_CHARS // 2 - 10  # name and location make one text of a statement
MAX_ID_BYTES = 200  # an id may name a folder, and a folder's name ends at 255 bytes

_WRITTEN = re.compile(NUMBER)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


def read_text(folder: Folder, file: str, problems: Problems) -> str | None:
    """Return the text of one file, None where that is a problem."""
    try:
        with (folder / file).open("rb") as opened:
            data: bytes = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        problems.add(file, "there is no such file in the folder")
        return None
    except OSError as error:
        problems.add(file, f"cannot be read: {error.strerror or error}")
        return None
    if len(data) > MAX_FILE_BYTES:
        problems.add(file, f"more than {MAX_FILE_BYTES} bytes")
        return None
    return decode(data, file, problems)


def decode(data: bytes, file: str, problems: Problems) -> str | None:
    """Return `data` as text, with or without a byte order mark; None where that is a problem."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add(
            file,
            f"byte 0x{data[error.start]:02x} is not UTF-8{_other_encoding(data)}: save it as UTF-8",
            row=data.count(b"\n", 0, error.start) + 1,
        )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a file; a cell that cannot be read becomes a problem and a stand-in."""

    file: str
    number: int
    cells: Mapping[str, str]
    problems: Problems

    def complain(self, problem: str) -> None:
        """Note a problem with this row."""
        self.problems.add(self.file, problem, row=self.number)

    def read(self, make: Callable[["Line"], T]) -> T | None:
        """Return what `make` makes of this row, None if there was a problem in it."""
        before = len(self.problems)
        made = make(self)
        return made if len(self.problems) == before else None

    def text(self, column: str, *, optional: bool = False) -> str:
        """Return the cell without space around it."""
        text = self.cells.get(column, "").strip()
        if not text and not optional:
            self.complain(f"{column} is empty")
        if len(text) > MAX_CELL_CHARS:
            self.complain(f"{column} has {len(text)} characters, where {MAX_CELL_CHARS} fit")
        if showable(text) != text:
            self.complain(f"{column} {text[:80]!r} holds control characters, which are not shown")
        return text

    def identifier(self, column: str) -> str:
        """Return the cell, which may name a folder."""
        text = self.text(column)
        if text.startswith(".") or re.search(r"[/\\]", text) or len(text.encode()) > MAX_ID_BYTES:
            self.complain(
                f"{column} {text[:80]!r} cannot name a folder: no slash, no dot in front, "
                f"at most {MAX_ID_BYTES} bytes"
            )
        return text

    def decimal(self, column: str, check: Callable[[str, str], object] | None = None) -> str:
        """Return the cell as statements write numbers; `check` raises on one out of range."""
        try:
            text = plain_number(self.cells.get(column, ""))
            if check is not None:
                check(text, column)
        except UnusableError as error:
            self.complain(f"{column} {error}")
        except BccaError as error:
            self.complain(str(error))
        else:
            return text
        return "1"

    def unit(self, column: str) -> Unit:
        """Return the unit that the cell names."""
        text = self.text(column)
        try:
            return unit_named(text)
        except UnitError:
            if text:
                self.complain(f"{column} {text[:80]!r} is not a unit of the table")
            return "piece"

    def choice(self, column: str, choices: Mapping[str, T]) -> T | None:
        """Return what the cell chooses, None where that is a problem."""
        text = self.text(column)
        if text and text not in choices:
            self.complain(f"{column} {text[:80]!r} is none of {', '.join(choices)}")
        return choices.get(text)


def read_table(
    folder: Folder, file: str, columns: Sequence[str], problems: Problems
) -> list[Line] | None:
    """Return the rows of a CSV file that has `columns` and maybe others; None for no such table."""
    text = read_text(folder, file, problems)
    return None if text is None else parse_table(text, file, columns, problems)


def parse_table(
    text: str, file: str, columns: Sequence[str], problems: Problems
) -> list[Line] | None:
    """Return the rows of CSV text that has `columns` and maybe others; None for no such table."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(filter(any, reader), [])]
        if not _is_header(header, file, columns, problems):
            return None
        lines = [
            _line(file, reader.line_num, header, cells, problems) for cells in filter(any, reader)
        ]
    except csv.Error as error:
        problems.add(file, f"not CSV: {error}", row=reader.line_num)
        return None
    if not lines:
        problems.add(file, "has no rows below its header")
    return lines or None


def plain_number(text: str) -> str:
    """Return `text` as statements write numbers: `1E-7` is 0.0000001, others stay as they are.

    Raises UnusableError or LimitError for what is not a number or too long for one.
    """
    text = text.strip()
    if len(text) > MAX_NUMBER_CHARS or not _DECIMAL.fullmatch(text):
        hint = ", write a decimal point" if "," in text else ""
        raise UnusableError(f"{text[:80]!r} is not a number{hint}")
    value = number(text)
    if _WRITTEN.match(text):
        return text
    if value and abs(value.adjusted()) > MAX_NUMBER_CHARS:
        raise UnusableError(f"{text} is out of all proportion")
    return written(value)


def _is_header(header: list[str], file: str, columns: Sequence[str], problems: Problems) -> bool:
    before = len(problems)
    if not any(header):
        problems.add(file, "is empty")
        return False
    missing = [name for name in columns if name not in header]
    if missing:
        hint = ", separated by ';' where ',' belongs" if ";" in "".join(header) else ""
        problems.add(file, f"has no column {', '.join(missing)}: it has {', '.join(header)}{hint}")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        problems.add(file, f"has the column {', '.join(twice)} twice")
    return len(problems) == before


def _line(file: str, row: int, header: list[str], cells: list[str], problems: Problems) -> Line:
    line = Line(
        file=file,
        number=row,
        cells=dict(zip(header, cells, strict=False)),
        problems=problems,
    )
    if any(cells[len(header) :]):
        line.complain(
            f"{len(cells)} cells, where the header names {len(header)}: is it a decimal comma?"
        )
    return line


def _other_encoding(data: bytes) -> str:
    """Return what it could be instead, as the end of a sentence."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return " but UTF-16"
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return ""
    return " but may be GBK"
