"""A rule text read, and written: TOML with few keys, each checked (SPEC 9.8)."""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.limits import MAX_NUMBER_CHARS, MAX_RULES_CHARS, MAX_RULES_ITEMS
from bcca_protocol.quantity import number
from bcca_protocol.wire import NUMBER, Text, showable

Block = Literal[
    "gap",
    "mandatory",
    "expired",
    "sibling",
    "default",
    "unsigned",
    "proxy",
    "replaced",
    "adverse",
    "cumulative",
    "introduced",
    "copied",
    "lagged",
    "old",
    "witnesses",
    "exempted",
    "claimed",
    "methods",
    "unconfirmed",
]
"""What may keep a result from being declared, told apart by SPEC 9.8."""


Items = Annotated[tuple[Text, ...], msgspec.Meta(max_length=MAX_RULES_ITEMS)]


class Functional(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How kWh delivered over life follow from usable kWh: full equivalent cycles a year.

    `confirmed` says whether the figures were read in the original `source`.
    """

    source: Text
    confirmed: bool
    cycles_per_year: Mapping[str, str]

    def table(self) -> dict[str, Decimal]:
        """Return the full equivalent cycles a year by vehicle category."""
        return {category: number(text) for category, text in self.cycles_per_year.items()}


class RuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a rules file, in the order in which they are written."""

    name: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9]+(?:[-+.][a-z0-9]+)*\Z", max_length=80)]
    version: Text
    cut_off_percent: str
    electricity: Literal["market", "location"]
    siblings: bool
    expired: bool
    secondary: Items
    proxies: bool
    unsigned: bool | None = None
    mandatory: Items
    max_age_days: Annotated[int, msgspec.Meta(ge=1, le=36_525)] | None = None  # a century
    min_witnesses: Annotated[int, msgspec.Meta(ge=0, le=100)]  # as many as sign a note
    blocks: tuple[Block, ...]
    unconfirmed: Items
    functional: Functional | None = None


def read(text: str) -> RuleFile:
    """Return what a rule text says.

    Raises LimitError for a text that is too long, MalformedError naming the key that is wrong.
    """
    _check_text(text)
    try:
        found = msgspec.convert(tomllib.loads(text), RuleFile)
    except tomllib.TOMLDecodeError as error:
        raise MalformedError(f"rules: not TOML: {showable(str(error))}") from error
    except msgspec.ValidationError as error:
        raise MalformedError(f"rules: {_pointed(str(error))}") from error
    except (ValueError, RecursionError) as error:
        # An integer of thousands of digits, or lists in lists in lists.
        raise MalformedError(f"rules: TOML beyond what is read here: {error}") from error
    _check(found)
    return found


def write(rules: RuleFile) -> str:
    """Return the one text of rules that were made, not written by hand (SPEC 9.8)."""
    lines, tables = [], []
    for key in RuleFile.__struct_fields__:
        value = getattr(rules, key)
        match value:
            case None:
                continue
            case Functional():
                tables = [
                    "[functional]",
                    f"source = {_toml(value.source)}",
                    f"confirmed = {_toml(value.confirmed)}",
                    "[functional.cycles_per_year]",
                    *(f"{name} = {_toml(text)}" for name, text in value.cycles_per_year.items()),
                ]
            case _:
                lines.append(f"{key} = {_toml(value)}")
    return "\n".join([*lines, *tables, ""])


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case _:
            return str(value)


def percent(text: str, key: str) -> Decimal:
    """Return a percentage from 0 to below 100; raises MalformedError naming `key`."""
    found = _number(text, key)
    if not 0 <= found < _HUNDRED:
        raise MalformedError(f"rules: {key}: {text}, where 0 or more and less than 100 belongs")
    return found


def _check_text(text: str) -> None:
    """Raise unless a bundle can carry the text as lines (SPEC 10.1)."""
    if len(text) > MAX_RULES_CHARS:
        raise LimitError(f"rules: {len(text)} characters, where at most {MAX_RULES_CHARS} are read")
    for count, line in enumerate(text.split("\n"), 1):
        if showable(line) != line:
            raise MalformedError(f"rules: line {count} holds a character that is not shown")
    if not text.endswith("\n"):
        raise MalformedError("rules: the last line does not end in a line feed")


def _check(read: RuleFile) -> None:
    """Raise MalformedError for a list that repeats itself, or a figure that is none."""
    percent(read.cut_off_percent, "cut_off_percent")
    for key in ("secondary", "mandatory", "blocks", "unconfirmed"):
        items = getattr(read, key)
        if len(set(items)) != len(items):
            twice = next(item for item in items if items.count(item) > 1)
            raise MalformedError(f"rules: {key}: {showable(twice)} stands twice")
    cycles = {} if read.functional is None else read.functional.cycles_per_year
    for category, text in cycles.items():
        key = f"functional.cycles_per_year.{category}"
        if category not in _CATEGORIES:
            raise MalformedError(f"rules: {showable(key)}: no vehicle category of a battery (4.6)")
        if _number(text, key) <= 0:
            raise MalformedError(f"rules: {key}: {text} is not above zero")


def _number(text: str, key: str) -> Decimal:
    if len(text) > MAX_NUMBER_CHARS or not _NUMBER.search(text):
        raise MalformedError(f"rules: {key}: {showable(text[:40])!r} is no plain decimal, as 2.5")
    return number(text)


def _pointed(said: str) -> str:
    """Return what msgspec says of a value with the key in front, as `key: what is wrong`."""
    told, _, where = said.partition(" - at `$")
    told = told.replace("Object ", "").replace("`", "").replace("truncated", "cut")
    key = where.rstrip("`").strip(".")
    if key == "cut_off_percent":
        told = f'{told}: write it in quotes, as "3"'
    return showable(f"{key}: {told}" if key else told)


_HUNDRED: Final = Decimal(100)
_NUMBER: Final = re.compile(NUMBER)
_CATEGORIES: Final = frozenset({"M1", "M2", "M3", "N1", "N2", "N3", "L", "other"})
