"""Structured fields as far as signatures need them (RFC 9651): dictionaries, read strictly.

A member keeps its text as it came: RFC 9421 signs over that. What a list or a date would mean
matters to nobody here, so that bare items other than strings, integers and bytes stay text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.wire import b64, showable, unb64

MAX_FIELD_CHARS = 4_096  # a signature of ours has 500; a proxy may add its own
MAX_MEMBERS = 8  # of one dictionary: ours, and one of each proxy on the way
MAX_PARAMETERS = 16  # of one member, or of one item in it: RFC 9421 knows six
MAX_ITEMS = 32  # of one inner list: who covers more covers the same twice

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])")
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BYTES = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
# A decimal, a date, a token, a boolean, a string with percent signs: what nobody here reads.
_OTHER = re.compile(
    r"-?[0-9]{1,12}\.[0-9]{1,3}|@-?[0-9]{1,15}|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*|\?[01]"
    r'|%"(?:[ !#$&-~]|%[0-9a-f]{2})*"'
)
_ESCAPE = re.compile(r"\\(.)")
_PRINTABLE = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class Other:
    """A bare item that nobody here reads, as it came."""

    text: str


Bare = str | int | bytes | Other


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A bare item, and what stands behind it; a parameter without a value is true: `?1`."""

    value: Bare
    parameters: Mapping[str, Bare]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What a key of a dictionary stands for: an item or an inner list, and its own text."""

    value: Bare | tuple[Item, ...]
    parameters: Mapping[str, Bare]
    text: str


def decode_dictionary(text: str, what: str) -> dict[str, Member]:
    """Return the dictionary in a header field; raises MalformedError, LimitError.

    A key that comes twice is refused: RFC 9651 would take the last, a careless reader the first.
    """
    if len(text) > MAX_FIELD_CHARS:
        raise LimitError(f"{what}: {len(text)} characters, over {MAX_FIELD_CHARS}")
    reader = _Reader(text.strip(" "), what)
    members: dict[str, Member] = {}
    while not reader.is_done:
        if members:
            reader.take_comma()
        key = reader.key()
        if key in members:
            raise MalformedError(f"{what}: {key} stands there twice")
        if len(members) == MAX_MEMBERS:
            raise LimitError(f"{what}: over {MAX_MEMBERS} members")
        members[key] = reader.member()
    return members


def encode_string(text: str) -> str:
    """Return `text` as a string of a structured field; raises MalformedError."""
    if not _PRINTABLE.fullmatch(text):
        raise MalformedError(f"{showable(text[:200])!r}: not printable ASCII, as a header must be")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def encode_bytes(content: bytes) -> str:
    """Return `content` as a byte sequence of a structured field."""
    return f":{b64(content)}:"


@dataclass(slots=True)
class _Reader:
    """Reads `text` from the left (RFC 9651, section 4.2)."""

    text: str
    what: str
    at: int = field(default=0)

    @property
    def is_done(self) -> bool:
        return self.at == len(self.text)

    def take_comma(self) -> None:
        """Take what separates members; the text does not end with it."""
        self._spaces(" \t")
        self._take(",")
        self._spaces(" \t")
        if self.is_done:
            raise self._wrong("another member")

    def key(self) -> str:
        match = _KEY.match(self.text, self.at)
        if match is None:
            raise self._wrong("a key")
        self.at = match.end()
        return match[0]

    def member(self) -> Member:
        if not self._is_next("="):
            return self._rest(self.at, Other("?1"))
        self.at += 1
        start = self.at
        return self._rest(start, self._items() if self._is_next("(") else self._bare())

    def _rest(self, start: int, value: Bare | tuple[Item, ...]) -> Member:
        parameters = self._parameters()
        return Member(value=value, parameters=parameters, text=self.text[start : self.at])

    def _items(self) -> tuple[Item, ...]:
        self._take("(")
        items: list[Item] = []
        while True:
            spaces = self._spaces(" ")
            if self._is_next(")"):
                self.at += 1
                return tuple(items)
            if items and not spaces:
                raise self._wrong("a space")
            if len(items) == MAX_ITEMS:
                raise LimitError(f"{self.what}: an inner list of over {MAX_ITEMS} items")
            items.append(Item(value=self._bare(), parameters=self._parameters()))

    def _parameters(self) -> dict[str, Bare]:
        parameters: dict[str, Bare] = {}
        while self._is_next(";"):
            self.at += 1
            self._spaces(" ")
            key = self.key()
            if key in parameters:
                raise MalformedError(f"{self.what}: the parameter {key} stands there twice")
            if len(parameters) == MAX_PARAMETERS:
                raise LimitError(f"{self.what}: over {MAX_PARAMETERS} parameters")
            parameters[key] = Other("?1")
            if self._is_next("="):
                self.at += 1
                parameters[key] = self._bare()
        return parameters

    def _bare(self) -> Bare:
        for pattern in (_STRING, _INTEGER, _BYTES, _OTHER):
            match = pattern.match(self.text, self.at)
            if match is not None:
                self.at = match.end()
                return self._value(pattern, match)
        raise self._wrong("an item")

    def _value(self, pattern: re.Pattern[str], match: re.Match[str]) -> Bare:
        if pattern is _STRING:
            return _ESCAPE.sub(r"\1", match[1])
        if pattern is _INTEGER:
            return int(match[0])
        return unb64(match[1], self.what) if pattern is _BYTES else Other(match[0])

    def _is_next(self, mark: str) -> bool:
        return self.text.startswith(mark, self.at)

    def _take(self, mark: str) -> None:
        if not self._is_next(mark):
            raise self._wrong(repr(mark))
        self.at += 1

    def _spaces(self, which: str) -> int:
        start = self.at
        while not self.is_done and self.text[self.at] in which:
            self.at += 1
        return self.at - start

    def _wrong(self, wanted: str) -> MalformedError:
        found = showable(self.text[self.at : self.at + 40]) or "nothing"
        return MalformedError(f"{self.what}: {found!r} at {self.at}, where {wanted} belongs")
