"""What verified statements say, in bytes: kept beside their envelopes, handed between processes.

It is read in a twentieth of the time that it takes to read and recompute the envelope. Every
decimal is written as it is. Whoever changes a fact's form changes `FORM` by that alone, and what
was kept in another form is read from its envelopes again.
"""

import hashlib
import sys
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from isal import isal_zlib

from bcca_protocol.own import Handed, Tally
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import ONE
from bcca_protocol.rollup import RollUp
from bcca_protocol.statement import FootprintRollUp

VERSION = 2  # of how facts are reduced: raised where the same envelope gives another fact

_LEVEL = 1  # a fact packs to a sixth at any level
_FORMS = (Part, Bought, FootprintRollUp)
FORM = hashlib.sha256(
    repr(
        (VERSION, [each.__struct_fields__ for each in _FORMS], Tally._fields, Handed._fields)
    ).encode()
).hexdigest()[:16]


class Said(NamedTuple):
    """A fact, the entry of its log, and the nonce that names it in the log's statuses."""

    entry: int
    nonce: str
    fact: Part | RollUp


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fact in bytes: of one kind or the other; the rest is what it is found by."""

    commitment: str
    product: str
    entry: int
    nonce: str
    part: msgspec.Raw
    rolled: msgspec.Raw


class _Facts(msgspec.Struct, frozen=True, array_like=True):
    form: str
    lines: list[Line]


_ENCODER = msgspec.msgpack.Encoder()
_FACTS = msgspec.msgpack.Decoder(_Facts)
_PART = msgspec.msgpack.Decoder(Part)
_ROLLED = msgspec.msgpack.Decoder(RollUp)
_NONE = msgspec.Raw(_ENCODER.encode(None))


def encode(facts: Iterable[Said]) -> bytes:
    """Return facts in bytes, in their order."""
    lines = [_line(each) for each in facts]
    return isal_zlib.compress(_ENCODER.encode(_Facts(FORM, lines)), _LEVEL)


def decode(content: bytes) -> list[Line] | None:
    """Return facts in their order, each still to be read; None for those in another form.

    They are of this program's own making: nothing of them is checked.
    """
    try:
        found = _FACTS.decode(isal_zlib.decompress(content))
    except (msgspec.MsgspecError, isal_zlib.IsalError):  # type: ignore[misc]  # a class all the same
        return None
    return found.lines if found.form == FORM else None


def _line(one: Said) -> Line:
    raw = msgspec.Raw(_ENCODER.encode(one.fact))
    part, rolled = (raw, _NONE) if isinstance(one.fact, Part) else (_NONE, raw)
    return Line(one.fact.commitment, one.fact.product, one.entry, one.nonce, part, rolled)


def said(line: Line) -> Said:
    """Return what a line says."""
    if bytes(line.part) == bytes(_NONE):
        return Said(line.entry, line.nonce, _ROLLED.decode(line.rolled))
    part = _PART.decode(line.part)
    for bought in part.bought:
        _share(bought)
    return Said(line.entry, line.nonce, part)


def _share(bought: Bought) -> None:
    """Let equal things be one object: 1 is known by its identity, and suppliers are few."""
    put = msgspec.structs.force_setattr
    if str(bought.yield_) == "1":
        put(bought, "yield_", ONE)
    if str(bought.share) == "1":
        put(bought, "share", ONE)
    put(bought, "origin", sys.intern(bought.origin))
    put(bought, "key", sys.intern(bought.key))
