"""Part numbers as CSV: what spreadsheets write is read, and what they read runs nothing.

Columns: theirs, ours, and on the way out state (SPEC 13.10).
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bcca_node.partners.parts import MAX_PARTS, require_pair
from bcca_node.storage.partners import Part
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

THEIRS, OURS, STATE = "theirs", "ours", "state"
MAX_SHEET_BYTES = 64 * 1024 * 1024  # MAX_PARTS pairs of the longest names, and to spare
MAX_PROBLEMS = 50  # in one answer: who has more has the wrong file

# A spreadsheet takes what begins so for a formula (OWASP, CSV injection); the wide ones too, where
# Chinese or Japanese is written. It parts cells by `,` or `;` as its country does, so that what
# stands behind one of them inside a cell may become a cell of its own.
_RISKY = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_QUOTE = "'"  # in front of a cell, a spreadsheet shows it as it is
_BEGINS = r"""((?:\A|[,;|])[\s"]*)"""
_BARE = re.compile(f"{_BEGINS}(?=[{_RISKY}{_QUOTE}])")
_QUOTED = re.compile(f"{_BEGINS}{_QUOTE}(?=[{_RISKY}{_QUOTE}])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The pairs of theirs and ours in a file, and whether it was written in GBK."""

    pairs: tuple[tuple[str, str], ...]
    is_gbk: bool


def read(content: bytes, name: str) -> Sheet:
    """Return what a CSV file called `name` says, in UTF-8 or else in GBK.

    Raises UnusableError with everything that is wrong, by row and column.
    """
    if len(content) > MAX_SHEET_BYTES:
        raise UnusableError(f"{name}: over {MAX_SHEET_BYTES} bytes, so it is no list of parts")
    text, is_gbk = _text(content, name)
    rows = list(_rows(text, name))
    if not rows:
        raise UnusableError(f"{name}: it is empty; the first row says theirs, ours")
    header = [cell.strip().lower() for cell in rows[0][1]]
    if not {THEIRS, OURS} <= set(header) or len(set(header)) < len(header):
        raise UnusableError(
            f"{name}, row 1: the columns are {', '.join(map(showable, header))[:200]}; theirs and "
            "ours belong there, each once"
        )
    problems: list[str] = []
    pairs = list(_pairs(rows[1:], header, problems))
    if len(pairs) > MAX_PARTS:
        raise UnusableError(f"{name}: {len(pairs)} rows, where at most {MAX_PARTS} are kept")
    if problems:
        more = len(problems) - MAX_PROBLEMS
        told = problems[:MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
        raise UnusableError("\n".join(f"{name}, {each}" for each in told))
    return Sheet(pairs=tuple(pairs), is_gbk=is_gbk)


def write(pairs: Sequence[Part]) -> bytes:
    """Return pairs as a CSV file, which `read` reads back."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow((THEIRS, OURS, STATE))
    writer.writerows((_shown(each.theirs), _shown(each.ours), each.state) for each in pairs)
    return out.getvalue().encode("utf-8-sig")  # without the mark, Excel takes it for another code


def _text(content: bytes, name: str) -> tuple[str, bool]:
    """Return the text, and whether it was GBK, as Excel writes it in China."""
    try:
        return content.decode("utf-8-sig"), False
    except UnicodeDecodeError as error:
        try:
            return content.decode("gb18030"), True
        except UnicodeDecodeError:
            raise UnusableError(
                f"{name}: neither UTF-8 nor GBK, at byte {error.start}: save it as CSV UTF-8"
            ) from error


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that say something, each with its line; raises UnusableError."""
    first = text.partition("\n")[0]
    parted_by = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=parted_by, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise UnusableError(f"{name}, row {reader.line_num}: {error}") from error


def _pairs(
    rows: Sequence[tuple[int, list[str]]], header: list[str], problems: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield each pair that can be one; what cannot goes to `problems`."""
    for number, row in rows:
        if len(row) != len(header):
            problems.append(f"row {number}: {len(row)} cells, where {len(header)} belong")
            continue
        theirs, ours = (_meant(row[header.index(column)]) for column in (THEIRS, OURS))
        missing = [c for c, value in ((THEIRS, theirs), (OURS, ours)) if not value]
        if missing:
            problems.append(f"row {number}, column {' and '.join(missing)}: it is empty")
            continue
        try:
            require_pair(theirs, ours)
        except UnusableError as error:
            problems.append(f"row {number}: {error}")
            continue
        yield theirs, ours


def _shown(cell: str) -> str:
    """Return a cell as a spreadsheet shows it, without taking it or a part of it for a formula."""
    return _BARE.sub(rf"\1{_QUOTE}", cell)


def _meant(cell: str) -> str:
    """Return what a cell says without the quotes that `_shown` puts in."""
    cell = cell.strip()
    if cell.startswith(_QUOTE) and not _QUOTED.match(cell):
        return cell[1:]  # written by hand, so that a spreadsheet leaves it as it is
    return _QUOTED.sub(r"\1", cell)
