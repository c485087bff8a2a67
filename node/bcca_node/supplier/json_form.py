"""JSON as people write it, against the form of a statement: every difference, with its place.

Any order, spacing and escapes will do. Numbers are strings here too: a JSON number may have been
rounded by whatever wrote it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from msgspec import inspect

from bcca_protocol import wire
from bcca_protocol.errors import UnusableError
from bcca_protocol.footprint import Components
from bcca_protocol.inventory import VKEY
from bcca_protocol.limits import MAX_NUMBER_CHARS

EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        wire.NUMBER: 'a plain decimal such as "12.5"',
        wire.TIME: 'a time such as "2025-01-01T00:00:00Z"',
        wire.URN: 'a URN such as "urn:example:cell-4711"',
        wire.ORIGIN: 'an origin such as "example.com/battery"',
        wire.HEX_DIGEST: "64 digits of 0-9 and a-f",
        VKEY: 'the key in the supplier\'s `log` line, or "none" if it has no log,',
    }
)

_NUMBER = inspect.UnionType(
    (inspect.StrType(max_length=MAX_NUMBER_CHARS, pattern=wire.NUMBER), inspect.NoneType())
)
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A number as it was written, never rounded."""

    text: str


class JsonObject(dict[str, object]):
    """An object as it was written; `twice` has the names that stand in it twice."""

    twice: Sequence[str] = ()


def parse(text: str) -> object:
    """Return JSON `text`, its numbers and repeated names marked; raises UnusableError."""
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
        raise UnusableError("nested deeper than any statement is") from error
    return parsed


def differences(value: object, form: inspect.Type, path: str) -> Iterator[tuple[str, str]]:
    """Yield every place at which `value` is not of `form`, and what is wrong there."""
    match form:
        case inspect.UnionType():
            if value is not None or not form.includes_none:
                yield from differences(value, _given(form), path)
        case inspect.StructType():
            yield from _in_object(value, form, path)
        case inspect.VarTupleType():
            yield from _in_list(value, form, path)
        case inspect.StrType():
            yield from ((path, problem) for problem in _in_text(value, form))
        case inspect.LiteralType(values=choices) if value not in choices:
            yield path, f"{_shown(value)} is none of {', '.join(map(str, choices))}"
        case inspect.BoolType() if not isinstance(value, bool):
            yield path, f"{_shown(value)}, where true or false belongs"


def _object(pairs: list[tuple[str, object]]) -> JsonObject:
    names = [name for name, _ in pairs]
    found = JsonObject(pairs)
    found.twice = sorted({name for name in names if names.count(name) > 1})
    return found


def _given(form: inspect.UnionType) -> inspect.Type:
    """Return what a value is when it is given; choices are taken together."""
    inner = [each for each in form.types if not isinstance(each, inspect.NoneType)]
    if len(inner) == 1:
        return inner[0]
    values = [v for each in inner if isinstance(each, inspect.LiteralType) for v in each.values]
    return inspect.LiteralType(tuple(values))


def _in_object(value: object, form: inspect.StructType, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, JsonObject):
        yield path, f"{_shown(value)}, where an object belongs"
        return
    fields = {field.encode_name: field for field in form.fields}
    for name in value.twice:
        yield f"{path}.{name}", "stands twice"
    for name in value:
        if name not in fields:
            yield f"{path}.{name}", "there is no such field"
    for name, field in fields.items():
        if name in value:
            # The protocol reads the numbers of a footprint together; here each has its place.
            inner = _NUMBER if form.cls is Components else field.type
            yield from differences(value[name], inner, f"{path}.{name}")
        elif field.required:
            wanted = EXAMPLES[VKEY] if _is_key(field.type) else ""
            yield (
                f"{path}.{name}",
                f"is missing, where {wanted} belongs" if wanted else "is missing",
            )


def _in_list(value: object, form: inspect.VarTupleType, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list):
        yield path, f"{_shown(value)}, where a list belongs"
        return
    if form.max_length is not None and len(value) > form.max_length:
        yield path, f"{len(value)} items, where {form.max_length} fit"
    for index, each in enumerate(value):
        yield from differences(each, form.item_type, f"{path}[{index}]")


def _in_text(value: object, form: inspect.StrType) -> Iterator[str]:
    if isinstance(value, JsonNumber):
        yield f'the number {value.text} stands without quotes, where "{value.text}" belongs'
    elif not isinstance(value, str):
        yield f"{_shown(value)}, where a text belongs"
    elif len(value) < (form.min_length or 0):
        yield "is empty"
    elif form.max_length is not None and len(value) > form.max_length:
        yield f"{len(value)} characters, where {form.max_length} fit"
    elif (pattern := _pattern(form)) is not None and not re.search(pattern, value):
        wanted = EXAMPLES.get(pattern, f"a text of the pattern {pattern}")
        yield f"{_shown(value)}, where {wanted} belongs"
    elif _HALF_CHARACTER.search(value) or wire.showable(value) != value:
        yield f"{_shown(value)} holds control characters, which are not shown"


def _is_key(form: inspect.Type) -> bool:
    return isinstance(form, inspect.StrType) and form.pattern == VKEY


def _pattern(form: inspect.StrType) -> str | None:
    """Return the pattern of a text; a `wire.Figure` is known by its length, and has a number's."""
    return wire.NUMBER if form.max_length == MAX_NUMBER_CHARS else form.pattern


def _shown(value: object) -> str:
    """Return `value` as it was written, shortened."""
    match value:
        case JsonNumber(text):
            return text[:80]
        case dict():
            return "an object"
        case list():
            return "a list"
    return ascii(value)[:80] if isinstance(value, str) else json.dumps(value)
