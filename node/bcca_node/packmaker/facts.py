"""What verified statements say, in bytes: kept beside their envelopes, handed between processes.

It is read in a twentieth of the time that it takes to read and recompute the envelope. The facts of
a page are much alike, so what they have in common is kept once and is one object for all of them:
a fact is read as one of the page's *patterns*, in which its own values take the place of what
stands there. Every decimal is written as it is. Whoever changes a fact's form changes `FORM` by
that alone, and what was kept in another form is read from its envelopes again.
"""

import hashlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
from isal import isal_zlib
from msgspec.structs import replace

from bcca_protocol.footprint import CELLS, Cell, Footprint
from bcca_protocol.inventory import Material
from bcca_protocol.own import Handed, Tally
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span
from bcca_protocol.quantity import ONE, ZERO
from bcca_protocol.rollup import RollUp
from bcca_protocol.spread import Spread
from bcca_protocol.statement import FootprintRollUp

VERSION = 3  # of how facts are reduced and written: raised where another fact would be read

_LEVEL = 1  # a fact packs to two fifths at any level


class Said(msgspec.Struct, frozen=True, gc=False):
    """A fact, the entry of its log, and the nonce that names it in the log's statuses."""

    entry: int
    nonce: str
    fact: Part | RollUp


class Patterns(NamedTuple):
    """What the parts of a page have in common, and what the inputs of these parts have."""

    parts: Sequence[Part]
    bought: Sequence[Bought]


class Line(msgspec.Struct, frozen=True, gc=False):
    """A fact still to be read, and what it is found by."""

    patterns: Patterns
    commitment: str
    product: str
    entry: int
    nonce: str
    raw: msgspec.Raw


class _Input(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is an input's own; `like` is the place of its pattern."""

    like: int
    line: str
    product: str
    amount: Decimal
    pinned: str | None


class _Own(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is a part's own; `like` is the place of its pattern.

    Kg stand in the order of the pattern's cells. An output of 1 and zeros behind the last tally
    that is none are left out: neither is then made anew for each of thousands.
    """

    like: int
    name: str
    output: Decimal | None
    mass_kg: Decimal | None
    own: tuple[Decimal, ...]
    own_by_location: tuple[Decimal, ...]
    tally: Tally
    bought: tuple[_Input, ...]


class _Page(msgspec.Struct, frozen=True, array_like=True):
    form: str
    parts: list[Part]
    bought: list[Bought]
    lines: list[tuple[str, str, int, str, msgspec.Raw]]


_STRUCTS = (Part, Bought, Material, FootprintRollUp, _Page, _Own, _Input)
_TUPLES = (Tally, Handed, Span, Spread)
_NAMES = [each.__struct_fields__ for each in _STRUCTS] + [each._fields for each in _TUPLES]
FORM = hashlib.sha256(repr((VERSION, _NAMES)).encode()).hexdigest()[:16]

_CELLS = {cell: cell for cells in CELLS.values() for cell in cells}
_ENCODER = msgspec.msgpack.Encoder()
_PAGE = msgspec.msgpack.Decoder(_Page)
_FACT: msgspec.msgpack.Decoder[_Own | RollUp] = msgspec.msgpack.Decoder(_Own | RollUp)


class _Kinds:
    """Patterns by their place; one that is written with another digit is another."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}

    def place(self, pattern: Part | Bought) -> int:
        """Return the place of a pattern, the next one if it is new."""
        return self._places.setdefault(_ENCODER.encode(pattern), len(self._places))

    def written(self) -> list[msgspec.Raw]:
        """Return the patterns in their places."""
        return list(map(msgspec.Raw, self._places))


def encode(facts: Iterable[Said]) -> bytes:
    """Return facts in bytes, in their order."""
    parts, bought = _Kinds(), _Kinds()
    lines = [
        (
            each.fact.commitment,
            each.fact.product,
            each.entry,
            each.nonce,
            _own(each.fact, parts, bought) if isinstance(each.fact, Part) else each.fact,
        )
        for each in facts
    ]
    page = _ENCODER.encode((FORM, parts.written(), bought.written(), lines))
    return isal_zlib.compress(page, _LEVEL)


def decode(content: bytes) -> list[Line] | None:
    """Return facts in their order, each still to be read; None for those in another form.

    They are of this program's own making: nothing of them is checked.
    """
    try:
        found = _PAGE.decode(isal_zlib.decompress(content))
    except (msgspec.MsgspecError, isal_zlib.IsalError):  # type: ignore[misc]  # a class all the same
        return None
    if found.form != FORM:
        return None
    patterns = Patterns(list(map(_shared_part, found.parts)), list(map(_shared, found.bought)))
    return [
        Line(patterns, commitment, product, entry, nonce, raw)
        for commitment, product, entry, nonce, raw in found.lines
    ]


def said(line: Line) -> Said:
    """Return what a line says."""
    found = _FACT.decode(line.raw)
    fact = found if isinstance(found, RollUp) else _part(line, found)
    return Said(line.entry, line.nonce, fact)


def _own(part: Part, parts: _Kinds, bought: _Kinds) -> tuple[object, ...]:
    """Return the values of an `_Own`, the rest being the pattern of all parts that are like it."""
    location = part.own_by_location
    like = replace(
        part,
        commitment="",
        product="",
        name="",
        output=ONE,
        mass_kg=None,
        own=dict.fromkeys(part.own, ZERO),
        own_by_location=None if location is None else dict.fromkeys(location, ZERO),
        tally=(),  # read as zeros
        bought=(),
    )
    return (
        parts.place(like),
        part.name,
        None if _is_one(part.output) else part.output,
        part.mass_kg,
        tuple(part.own.values()),
        () if location is None else tuple(location.values()),
        _without_last_zeros(part.tally),
        [_input(each, bought) for each in part.bought],
    )


def _input(one: Bought, bought: _Kinds) -> _Input:
    like = bought.place(replace(one, line="", product="", amount=ZERO, pinned=None))
    return _Input(like, one.line, one.product, one.amount, one.pinned)


def _part(line: Line, own: _Own) -> Part:
    parts, bought = line.patterns
    like = parts[own.like]
    location = like.own_by_location
    return replace(
        like,
        commitment=line.commitment,
        product=line.product,
        name=own.name,
        output=ONE if own.output is None else own.output,
        mass_kg=own.mass_kg,
        own=dict(zip(like.own, own.own, strict=True)),
        own_by_location=(
            None if location is None else dict(zip(location, own.own_by_location, strict=True))
        ),
        tally=own.tally,
        bought=tuple(
            [
                replace(
                    bought[each.like],
                    line=each.line,
                    product=each.product,
                    amount=each.amount,
                    pinned=each.pinned,
                )
                for each in own.bought
            ]
        ),
    )


def _shared_part(like: Part) -> Part:
    """Return a pattern whose cells are the ones that every page uses."""
    location = like.own_by_location
    return replace(
        like,
        declared=ONE if _is_one(like.declared) else like.declared,
        own=_shared_cells(like.own),
        own_by_location=None if location is None else _shared_cells(location),
    )


def _shared(like: Bought) -> Bought:
    """Return a pattern in which 1 is the one that is known by its identity."""
    return replace(
        like,
        yield_=ONE if _is_one(like.yield_) else like.yield_,
        share=ONE if _is_one(like.share) else like.share,
    )


def _shared_cells(cells: Footprint) -> dict[Cell, Decimal]:
    return {_CELLS[cell]: ZERO for cell in cells}


def _is_one(value: Decimal) -> bool:
    return value is ONE or str(value) == "1"


def _without_last_zeros(tally: Tally) -> Sequence[Decimal]:
    end = len(tally)
    for each in reversed(tally):
        if each is not ZERO and str(each) != "0":
            break
        end -= 1
    return tally[:end]
