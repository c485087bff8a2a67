"""JSON by hand against the form of a statement: every difference, with its place in the document.

A statement is read by reversal; what people write is not. Any order, spacing and escapes will do,
but numbers are strings here too: a JSON number would already have been rounded by somebody.
"""

import json
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, get_args, get_origin

import msgspec

from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A number as it was written, never rounded."""

    text: str


class Repeated(dict[str, object]):
    """An object in which names stand twice; JSON readers keep the last and say nothing."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        """Keep the last of each, and remember which."""
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.names = sorted({name for name in names if names.count(name) > 1})


def parse(text: str) -> object:
    """Return JSON `text` with its numbers and repeated names marked; raises UnusableError."""
    try:
        parsed: object = json.loads(
            text,
            parse_float=JsonNumber,
            parse_int=JsonNumber,
            parse_constant=JsonNumber,
            object_pairs_hook=_object,
        )
    except ValueError as error:
        raise UnusableError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise UnusableError("not a statement: nested deeper than any statement is") from error
    return parsed


def differences(value: object, form: Any, path: str) -> Iterator[str]:
    """Yield every way in which `value` is not of `form`, a type of msgspec, with its place."""
    inner = _inner(form)
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        yield from _in_object(value, inner, path)
    elif get_origin(inner) is tuple and isinstance(value, list):
        item = get_args(inner)[0]
        for index, each in enumerate(value):
            yield from differences(each, item, f"{path}[{index}]")
        yield from _in_leaf(value, ...)
