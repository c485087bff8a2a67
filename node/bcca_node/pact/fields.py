"""The fields of a footprint of others, read one by one, each with what is wrong with it.

A field that cannot be read is as good as absent, and told. No number is ever a float (SPEC 16.5).
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, auto

from bcca_node.pact.model import DECIMAL
from bcca_node.pact.reading import Bare, Members, Tree
from bcca_node.storage.foreign import Problem, Weight
from bcca_protocol.limits import MAX_DIGITS, MAX_NUMBER_CHARS
from bcca_protocol.wire import showable

MAX_ITEMS = 1_000  # of one list: a product has a few ids, a pack some hundred data sources
MAX_MAGNITUDE = Decimal(10) ** 15  # kg: ten times what the world emits in a year, for one unit
MAX_PROBLEMS = 100  # of one footprint: whoever breaks more rules is told with these
MAX_SHOWN = 60  # characters of a value that is told

_DECIMAL = re.compile(DECIMAL)
_TIME = re.compile(
    r"\A([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
URN = re.compile(r"\A[uU][rR][nN]:[^\s]{1,2000}\Z")
UUID = re.compile(r"\A[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


class Sign(Enum):
    """On which side of zero a number stands."""

    ANY = auto()
    NOT_NEGATIVE = auto()
    NOT_POSITIVE = auto()
    POSITIVE = auto()


class Need(Enum):
    """What follows where a field is absent or cannot be read."""

    MAY = auto()  # may be absent; what is wrong with it is a warning
    COUNTS = auto()  # may be absent; what is wrong with it is fatal: it is added up
    MUST = auto()  # has to be there; a warning
    VITAL = auto()  # has to be there; fatal


_REQUIRED = frozenset({Need.MUST, Need.VITAL})
_GRAVE = frozenset({Need.COUNTS, Need.VITAL})


class Problems:
    """What was found wrong so far."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._found: list[Problem] = []
        self._more = 0

    def tell(self, field: str, told: str, *, is_fatal: bool = False) -> None:
        """Note what is wrong with a field."""
        if len(self._found) >= MAX_PROBLEMS and not is_fatal:
            self._more += 1
            return
        weight = Weight.FATAL if is_fatal else Weight.WARNING
        problem = Problem(field=showable(field)[:200], told=told, weight=weight)
        if len(self._found) < 2 * MAX_PROBLEMS and problem not in self._found:
            self._found.append(problem)

    def all(self) -> tuple[Problem, ...]:
        """Return them, the grave ones first."""
        more = f"and {self._more} more such things" if self._more else ""
        rest = (Problem(field="", told=more),) if more else ()
        return (*sorted(self._found, key=lambda each: each.weight is not Weight.FATAL), *rest)


class Fields:
    """An object whose fields are read by name; `path` stands in front of what is told."""

    def __init__(self, members: Members, problems: Problems, path: str = "") -> None:
        """Read `members`."""
        self._members = members
        self._problems = problems
        self._path = path

    def tell(self, name: str, told: str, *, is_fatal: bool = False) -> None:
        """Note what is wrong with one of the fields."""
        self._problems.tell(self._path + name, told, is_fatal=is_fatal)

    def has(self, name: str) -> bool:
        """Say whether a field is there, and not null."""
        return self._members.get(name) is not None

    def decimal(self, name: str, need: Need = Need.MAY, sign: Sign = Sign.ANY) -> Decimal | None:
        """Return a number as written, every digit of it; None where there is none to be read.

        One on the wrong side of zero is returned and told.
        """
        found = self._value(name, need)
        if found is None:
            return None
        is_grave = need in _GRAVE
        if isinstance(found, Bare):
            self.tell(
                name, f"the JSON number {shown(found)}, where text belongs", is_fatal=is_grave
            )
        value = number(found)
        if value is None:
            self.tell(name, f"{shown(found)} is no decimal in text", is_fatal=is_grave)
            return None
        wrong = _beyond(value, sign)
        if wrong:
            self.tell(name, f"{shown(found)} {wrong}", is_fatal=is_grave)
        return value

    def text(self, name: str, need: Need = Need.MAY, *, may_be_empty: bool = False) -> str | None:
        """Return a text; None where there is none."""
        found = self._value(name, need)
        if found is None:
            return None
        if not isinstance(found, str) or isinstance(found, Bare):
            self._wrong(name, found, "text", need)
            return None
        if not found and not may_be_empty:
            self._wrong(name, found, "some text", need)
        return found

    def choice(self, name: str, known: Sequence[str], need: Need = Need.MAY) -> str | None:
        """Return a text that is one of `known`; one in other letters is told and returned as it."""
        found = self.text(name, need)
        if found is None or found in known:
            return found
        alike = next((each for each in known if each.lower() == found.lower()), None)
        told = f"one of {', '.join(known)}" if alike is None else f"'{alike}'"
        self._wrong(name, found, told, need if alike is None else Need.MAY)
        return alike

    def time(self, name: str, need: Need = Need.MAY) -> datetime | None:
        """Return a moment in UTC; None where there is none to be read."""
        found = self.text(name, need)
        if found is None:
            return None
        value = moment(found)
        if value is None:
            self._wrong(name, found, "a time such as 2026-01-01T00:00:00Z", need)
        return value

    def flag(self, name: str) -> bool | None:
        """Return true or false; None where there is neither."""
        found = self._value(name, Need.MAY)
        if found is None or isinstance(found, bool):
            return found
        self._wrong(name, found, "true or false", Need.MAY)
        return None

    def texts(
        self, name: str, need: Need = Need.MAY, *, shape: re.Pattern[str] | None = None
    ) -> list[str]:
        """Return the texts of a list that have the shape; what else is in it is told."""
        kept: list[str] = []
        for place, each in enumerate(self._items(name, need)):
            if not isinstance(each, str) or isinstance(each, Bare) or not each:
                self._wrong(f"{name}.{place}", each, "text", need)
            elif shape is not None and not shape.match(each):
                self._wrong(f"{name}.{place}", each, _named(shape), need)
            elif each in kept:
                self.tell(f"{name}.{place}", f"{shown(each)} is there twice")
            else:
                kept.append(each)
        return kept

    def inner(self, name: str, need: Need = Need.MAY) -> "Fields | None":
        """Return the fields of an object inside; None where there is none."""
        found = self._value(name, need)
        if found is None or isinstance(found, Members):
            return None if found is None else Fields(found, self._problems, f"{self._path}{name}.")
        self._wrong(name, found, "an object", need)
        return None

    def inners(self, name: str) -> Iterator["Fields"]:
        """Yield the fields of each object in a list."""
        for place, each in enumerate(self._items(name, Need.MAY)):
            if isinstance(each, Members):
                yield Fields(each, self._problems, f"{self._path}{name}.{place}.")
            else:
                self._wrong(f"{name}.{place}", each, "an object", Need.MAY)

    def _items(self, name: str, need: Need) -> "list[Tree]":
        found = self._value(name, need)
        if found is None:
            return []
        if not isinstance(found, list):
            self._wrong(name, found, "a list", need)
            return []
        if not found:
            self._wrong(name, found, "a list with something in it", need)
        if len(found) > MAX_ITEMS:
            self.tell(
                name, f"{len(found)} items, where at most {MAX_ITEMS} are read", is_fatal=True
            )
        return found[:MAX_ITEMS]

    def _value(self, name: str, need: Need) -> "Tree":
        if name not in self._members:
            if need in _REQUIRED:
                self.tell(name, "absent, where it has to be", is_fatal=need is Need.VITAL)
            return None
        found = self._members[name]
        if found is None:
            told = "null, where it has to be" if need in _REQUIRED else "null, where it is left out"
            self.tell(name, told, is_fatal=need is Need.VITAL)
        return found

    def _wrong(self, name: str, found: "Tree", wanted: str, need: Need) -> None:
        self.tell(name, f"{shown(found)}, where {wanted} belongs", is_fatal=need in _GRAVE)


def number(found: "Tree") -> Decimal | None:
    """Return the value of a decimal as written; None for what is none, or has too many digits."""
    if not isinstance(found, str) or len(found) > MAX_NUMBER_CHARS:
        return None
    if not _DECIMAL.match(found):
        return None
    value = Decimal(found)
    digits = len(value.as_tuple().digits)
    return value if digits <= MAX_DIGITS else None


def moment(text: str) -> datetime | None:
    """Return the second of an RFC 3339 time in UTC; None for what is none."""
    found = _TIME.match(text)
    if found is None:
        return None
    offset = "+00:00" if found[4] in "Zz" else found[4]
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def shown(found: "Tree") -> str:
    """Return a value in a few characters that a terminal does not obey."""
    match found:
        case Bare():
            text = str(found)
        case str():
            text = f"'{found}'"
        case Members():
            text = "an object"
        case list():
            text = f"a list of {len(found)}"
        case bool():
            text = str(found).lower()
        case _:
            text = "null"
    cut = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    return showable(cut)


def _named(shape: re.Pattern[str]) -> str:
    return "a URN" if shape is URN else "a UUID" if shape is UUID else f"/{shape.pattern}/"


def _beyond(value: Decimal, sign: Sign) -> str:
    if abs(value) > MAX_MAGNITUDE:
        return f"is beyond {MAX_MAGNITUDE:f}"
    match sign:
        case Sign.NOT_NEGATIVE if value < 0:
            return "is below zero"
        case Sign.NOT_POSITIVE if value > 0:
            return "is above zero"
        case Sign.POSITIVE if value <= 0:
            return "is not above zero"
    return ""
