"""Sets of emission factors: those that ship with this program, and the form of one's own.

A set is a CSV file whose first row names its columns. A factor is kg CO2e (or CO2) per `unit`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from types import MappingProxyType
from typing import Literal

import msgspec

from bcca_node.packmaker import pedigree
from bcca_node.sheets.problems import Problems
from bcca_node.sheets.rows import Line, parse_table, read_text
from bcca_protocol import footprint
from bcca_protocol.errors import BccaError
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Factor
from bcca_protocol.particulars import check_factor
from bcca_protocol.quantity import ZERO, exact, number, plain

TOTAL, COMPONENTS = "total", tuple(each.encode_name for each in msgspec.structs.fields(Components))
NEEDED = ("dataset", "geography", "unit", "gas", "scope", "source", "version", "licence")
OPTIONAL = (
    "gwp",
    "year",
    "gsd",
    "pedigree",
    "basic_variance",
    "technology",
    "stands_for",
    "note",
)
COLUMNS = (*NEEDED, TOTAL, *COMPONENTS, *OPTIONAL)
PARTED_BY = "|"  # between the products of one cell: a URN has none

MAX_NAME_CHARS = 80  # of a set: it stands in front of each of its factors
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_CHARS - 1}}}")
_YEAR = re.compile(r"[12][0-9]{3}")

Gas = Literal["co2", "co2e"]
Scope = Literal["direct", "lifeCycle", "upstream"]
Gwp = Literal["AR5", "AR6"]
Kind = Literal["secondary", "proxy"]
GASES: Mapping[str, Gas] = MappingProxyType({"co2": "co2", "co2e": "co2e"})
SCOPES: Mapping[str, Scope] = MappingProxyType(
    {"direct": "direct", "lifeCycle": "lifeCycle", "upstream": "upstream"}
)
GWPS: Mapping[str, Gwp] = MappingProxyType({"AR5": "AR5", "AR6": "AR6"})
KINDS: Mapping[str, Kind] = MappingProxyType({"same": "secondary", "proxy": "proxy"})

SHIPPED = ("china-grid-co2", "china-grid-footprint", "world-grid-ember")
_FOLDER = "shipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One factor of a set, the row it stands in, and the products that it may stand for.

    `stands_for` are URNs, last parts of URNs or names, each maybe a pattern with `*`.
    """

    row: int
    factor: Factor
    licence: str
    year: int | None
    stands_for: tuple[str, ...]
    note: str

    @property
    def kg(self) -> Decimal:
        """Kg CO2e (or CO2) per unit, excluding uptake."""
        return footprint.figures(self.factor.values).counted


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorSet:
    """Factors under one name; `digest` is the SHA-256 of the text they were read from."""

    name: str
    is_shipped: bool
    digest: str
    entries: tuple[Entry, ...]


def shipped() -> list[FactorSet]:
    """Return the sets that ship with this program, by name."""
    return [_shipped(name) for name in SHIPPED]


def is_name(text: str) -> bool:
    """Say whether a set may be called so: letters, digits, dot, dash, underscore."""
    return _NAME.fullmatch(text) is not None


def parse(text: str, name: str, *, file: str, is_shipped: bool = False) -> FactorSet:
    """Return the set that the CSV text of `file` writes.

    Raises UnusableError naming all that is wrong, by row and column.
    """
    problems = Problems(file)
    lines = parse_table(text, file, NEEDED, problems) or []
    if lines:
        _check_columns(lines[0], problems)
    entries = [made for made in (line.read(_entry) for line in lines) if made is not None]
    _check_once(entries, file, problems)
    problems.refuse()
    return FactorSet(
        name=name,
        is_shipped=is_shipped,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        entries=tuple(entries),
    )


def _shipped(name: str) -> FactorSet:
    file, problems = f"{name}.csv", Problems(name)
    text = read_text(resources.files(__package__) / _FOLDER, file, problems)
    problems.refuse()
    return parse(text or "", name, file=file, is_shipped=True)


def _check_columns(line: Line, problems: Problems) -> None:
    """Refuse a column that is not read: a misspelt one would be left out of a value in silence."""
    unknown = [name for name in line.cells if name and name not in COLUMNS]
    if unknown:
        problems.add(line.file, f"no column is called {', '.join(unknown)}: {', '.join(COLUMNS)}")


def _check_once(entries: Sequence[Entry], file: str, problems: Problems) -> None:
    """Refuse two rows about one thing: which of them counts, nobody could say."""
    first: dict[tuple[object, ...], int] = {}
    for each in entries:
        factor = each.factor
        what = (factor.dataset, factor.geography, factor.version, factor.unit, factor.gas)
        row = first.setdefault((*what, factor.scope), each.row)
        if row != each.row:
            problems.add(
                file,
                f"the same dataset, geography, version, unit, gas and scope as row {row}: "
                "keep one of the two",
                row=each.row,
            )


def _entry(line: Line) -> Entry:
    factor = Factor(
        dataset=line.text("dataset"),
        gas=line.choice("gas", GASES) or "co2e",
        geography=line.text("geography"),
        gsd=_gsd(line),
        gwp=line.choice("gwp", GWPS) if line.text("gwp", optional=True) else None,
        kind=_kind(line),
        scope=line.choice("scope", SCOPES),
        source=line.text("source"),
        unit=line.unit("unit"),
        values=_values(line),
        version=line.text("version"),
    )
    try:
        check_factor(factor, "a factor")
        footprint.decode(Stages(raw_material=factor.values))
    except BccaError as error:
        line.complain(str(error))
    stands_for = line.text("stands_for", optional=True).split(PARTED_BY)
    return Entry(
        row=line.number,
        factor=factor,
        licence=line.text("licence"),
        year=_year(line),
        stands_for=tuple(each.strip() for each in stands_for if each.strip()),
        note=line.text("note", optional=True),
    )


def _kind(line: Line) -> Kind:
    chosen = line.choice("technology", KINDS) if line.text("technology", optional=True) else None
    return chosen or "secondary"


def _year(line: Line) -> int | None:
    text = line.text("year", optional=True)
    if text and not _YEAR.fullmatch(text):
        line.complain(f"year {text[:80]!r} is not a year of four digits")
        return None
    return int(text) if text else None


def _values(line: Line) -> Components:
    """Return the value: its components, or a total, which counts as fossil."""
    total = _given(line, TOTAL)
    components = Components(*(_given(line, column) for column in COMPONENTS))
    if components == Components():
        if total is None:
            line.complain(f"{TOTAL} and every component are empty, where one is needed")
        return Components(fossil=total or "1")
    if total is not None:
        _compare(line, number(total), components)
    return components


def _compare(line: Line, total: Decimal, components: Components) -> None:
    """Refuse components that do not add up to the total beside them, as far as that is printed."""
    with exact():
        summed = footprint.figures(components).counted
        exponent = total.as_tuple().exponent
        places = -exponent if isinstance(exponent, int) else 0
        half = Decimal(5).scaleb(-max(places, 0) - 1)
        if abs(summed - total) > half:
            line.complain(
                f"{TOTAL} {plain(total)}, where the components, uptake left out, come to "
                f"{plain(summed + ZERO)}"
            )


def _gsd(line: Line) -> str | None:
    """Return the spread of a factor: as it is written, else what its pedigree's scores stand for.

    None where there is neither.
    """
    stated, scores = _given(line, "gsd"), line.text("pedigree", optional=True)
    basic = _given(line, "basic_variance")
    if not scores:
        if basic is not None:
            line.complain("a basic_variance without a pedigree: nothing uses it")
        return stated
    if stated is not None:
        line.complain("gsd and pedigree both say how far it spreads: leave out one")
    try:
        return pedigree.gsd(scores, basic or "0")
    except BccaError as error:
        line.complain(str(error))
    return None


def _given(line: Line, column: str) -> str | None:
    return line.decimal(column) if line.text(column, optional=True) else None
