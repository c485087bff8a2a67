"""JSON of others as it was written: numbers stay text, names that come twice are noticed.

Nothing here is a float, ever. A JSON number, which PACT 3 has nowhere, is a `Bare` text, so that it
can be told which field has one (SPEC 16.5).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import JSONDecoder
from typing import NoReturn, TypeAlias

import msgspec

from bcca_protocol import wire
from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.limits import MAX_STATEMENT_BYTES
from bcca_protocol.wire import showable

MAX_FOOTPRINT_BYTES = 2 * MAX_STATEMENT_BYTES  # ours with a statement and its proof in base64
MAX_DEPTH = 32  # the data model has five; an extension is somebody's own
MAX_PAGE_ITEMS = 10_000  # a hundred times what is asked for; whoever ignores a limit is read, once

# What stands in quotes has no brackets that count.
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_LONE = re.compile("[\ud800-\udfff]")  # half of a character: no database keeps it


class Bare(str):
    """A JSON number as it was written, where the data model has text."""

    __slots__ = ()


class Members(dict[str, "Tree"]):
    """An object; `twice` are the names that it has more than once: the last one counts here."""

    twice: tuple[str, ...] = ()


Tree: TypeAlias = "Members | list[Tree] | str | bool | None"
"""A JSON value; a number is `Bare`."""


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]


class _Single(msgspec.Struct):
    data: msgspec.Raw


_PAGE, _SINGLE = msgspec.json.Decoder(_Page), msgspec.json.Decoder(_Single)


def footprints(body: bytes, what: str) -> list[bytes]:
    """Return the footprints of a page, each as it was written, none of them read yet.

    Raises MalformedError, LimitError for more than MAX_PAGE_ITEMS.
    """
    found = wire.read(body, _PAGE, what=what).data
    _require_once(body, what)
    if len(found) > MAX_PAGE_ITEMS:
        raise LimitError(
            f"{what}: {len(found)} footprints on one page, where at most {MAX_PAGE_ITEMS} are read"
        )
    return [bytes(each) for each in found]


def footprint(body: bytes, what: str) -> bytes:
    """Return the footprint in an answer to GetFootprint, as written; raises MalformedError."""
    found = wire.read(body, _SINGLE, what=what).data
    _require_once(body, what)
    return bytes(found)


def tree(data: bytes, what: str) -> Members:
    """Return the JSON object in `data`.

    Raises MalformedError for what is none, and LimitError over MAX_FOOTPRINT_BYTES or MAX_DEPTH.
    """
    if len(data) > MAX_FOOTPRINT_BYTES:
        raise LimitError(f"{what}: {len(data)} bytes, where at most {MAX_FOOTPRINT_BYTES} are read")
    deep = depth(data)
    if deep > MAX_DEPTH:
        raise LimitError(f"{what}: nested {deep} deep, where at most {MAX_DEPTH} are read")
    found = _decoded(data, what)
    if not isinstance(found, Members):
        raise MalformedError(f"{what}: not a JSON object, where a footprint is one")
    return found


def depth(data: bytes) -> int:
    """Return how deep the brackets of JSON text `data` are nested."""
    now = deepest = 0
    for bracket in _BRACKET.finditer(_QUOTED.sub(b"", data)):
        now += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, now)
    return deepest


def repeated(found: "Tree", path: str = "") -> Iterator[str]:
    """Yield the path of every name that its object has more than once."""
    match found:
        case Members():
            yield from (f"{path}{name}" for name in found.twice)
            for name, value in found.items():
                yield from repeated(value, f"{path}{name}.")
        case list():
            for place, value in enumerate(found):
                yield from repeated(value, f"{path}{place}.")


def _decoded(data: bytes, what: str) -> "Tree":
    with _blamed_on(what):
        found: Tree = _DECODER.decode(data.decode())
        if b"\\u" in data:
            _require_whole(found)
    return found


def _require_once(body: bytes, what: str) -> None:
    """Raise MalformedError where the outermost object has a name twice: which one would count?"""
    with _blamed_on(what):
        outer = _OUTER.decode(body.decode())
    if len(set(outer)) < len(outer):
        raise MalformedError(f"{what}: it has {showable(str(sorted(outer)[:20]))}, one name twice")


@contextmanager
def _blamed_on(what: str) -> Iterator[None]:
    """Turn what no JSON can be into MalformedError."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{what}: no JSON: {showable(str(error)[:200])}") from error


def _require_whole(found: "Tree") -> None:
    """Raise ValueError where a text holds half a character."""
    match found:
        case str():
            if _LONE.search(found):
                raise ValueError("a text holds half of a surrogate pair")
        case Members():
            for name, value in found.items():
                _require_whole(name)
                _require_whole(value)
        case list():
            for value in found:
                _require_whole(value)


def _members(pairs: Sequence[tuple[str, "Tree"]]) -> Members:
    found = Members(pairs)
    if len(found) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        found.twice = tuple(sorted(name for name, times in counted.items() if times > 1))
    return found


def _names(pairs: Sequence[tuple[str, object]]) -> list[str]:
    return [name for name, _ in pairs]


def _refused(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


_DECODER = JSONDecoder(
    object_pairs_hook=_members, parse_float=Bare, parse_int=Bare, parse_constant=_refused
)
_OUTER = JSONDecoder(
    object_pairs_hook=_names, parse_float=Bare, parse_int=Bare, parse_constant=_refused
)
