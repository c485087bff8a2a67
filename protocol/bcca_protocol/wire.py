"""Canonical JSON by reversal: only what would be written back identically is read (SPEC 2).

The form is RFC 8785. Its number rules never apply here, because every number is a string; its
sorting rule is met by sorting ASCII names; its escapes are the ones msgspec writes.
"""

import base64
import binascii
import re
from typing import Annotated, TypeVar

import msgspec

from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.limits import MAX_NUMBER_CHARS, MAX_ORIGIN_BYTES, MAX_TEXT_CHARS

T = TypeVar("T")

# Anchored with \A and \Z: `$` would accept "1\n". Digits are spelled out: `\d` is also Arabic.
NUMBER = r"\A(?!-0(?:\.0*)?\Z)-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?\Z"
# The same, any number of them, each with a comma behind it.
NUMBERS = r"(?:(?!-0(?:\.0*)?,)-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?,)*+"
TIME = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z"
HEX_DIGEST = r"\A[0-9a-f]{64}\Z"
ORIGIN = r"\A[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?:/[A-Za-z0-9._~-]+)*\Z"
URN = r"\Aurn:[a-z0-9][a-z0-9-]{0,30}[a-z0-9]:[A-Za-z0-9._~!$'()*+,;=:@/-]+\Z"

Number = Annotated[str, msgspec.Meta(pattern=NUMBER, max_length=MAX_NUMBER_CHARS)]
# Most numbers of a statement stand in its factors: they are checked together, where they are
# parsed (`quantity.numbers`), at a fourth of the price.
Figure = Annotated[str, msgspec.Meta(max_length=MAX_NUMBER_CHARS)]
Time = Annotated[str, msgspec.Meta(pattern=TIME)]
HexDigest = Annotated[str, msgspec.Meta(pattern=HEX_DIGEST)]
Origin = Annotated[str, msgspec.Meta(pattern=ORIGIN, max_length=MAX_ORIGIN_BYTES)]
Urn = Annotated[str, msgspec.Meta(pattern=URN, max_length=MAX_TEXT_CHARS)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_CHARS)]

# What a terminal or a page would obey instead of show: controls, and marks that reorder text.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
# What nobody sees, so that two texts look alike: characters of no width, fillers, tags. A joiner or
# a non-joiner shapes the letter before it in the scripts from Arabic to Khmer; elsewhere it hides.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u115f\u1160\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\uffa0\U000e0000-\U000e007f]"
    "|(?<![\u0600-\u109f\u1780-\u18af\ua800-\uabff])[\u200c\u200d]"
)
_ESCAPED_CONTROL = re.compile(rb"(?<!\\)(?:\\\\)*\\[bfnrtu]")
_FIRST_LONG = 0x1_0000  # a code point that \\u with four digits cannot write
_INT_DIGITS = 19  # 2**63 - 1 has 19

_ENCODER = msgspec.json.Encoder(order="sorted")


class Record(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
    gc=False,
):
    """The base of everything on the wire: frozen, camelCase, optional fields left out."""


def encode(value: msgspec.Struct) -> bytes:
    """Return the one JSON form of `value` (RFC 8785)."""
    return _ENCODER.encode(value)


def decode(data: bytes, decoder: msgspec.json.Decoder[T], *, what: str, limit: int) -> T:
    """Return the value whose one JSON form is `data`.

    Raises LimitError over `limit` bytes, MalformedError for bytes that `encode` would not write:
    duplicate or unknown names, another order, spacing, escapes, numbers, control characters.
    """
    if len(data) > limit:
        raise LimitError(f"{what}: {len(data)} bytes, where at most {limit} are read")
    value = read(data, decoder, what=what)
    written = bytearray(len(data))
    _ENCODER.encode_into(value, written)  # cut to what was written
    if written != data:
        raise MalformedError(f"{what}: not in canonical form: {_first_difference(data, written)}")
    refuse_controls(data, what)
    return value


def read(data: bytes, decoder: msgspec.json.Decoder[T], *, what: str) -> T:
    """Return the value in `data`, in whatever form; raises MalformedError."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedError(f"{what}: {showable(str(error))}") from error
    except RecursionError as error:
        raise MalformedError(f"{what}: nested deeper than any statement is") from error


def refuse_controls(data: bytes, what: str) -> None:
    """Raise MalformedError if JSON text `data` holds what a terminal would obey, not show."""
    if data.isascii() and b"\\" not in data and b"\x7f" not in data:
        return
    if _ESCAPED_CONTROL.search(data) or _UNSHOWABLE.search(data.decode()):
        raise MalformedError(f"{what}: a text holds control characters, which are not shown")


def showable(text: str) -> str:
    """Return `text` with everything escaped that is obeyed by a terminal or a page, or is not seen.

    Statements may hold what is not seen: it is escaped where it is shown.
    """
    return _INVISIBLE.sub(_escaped, _UNSHOWABLE.sub(_escaped, text))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code < _FIRST_LONG else f"\\U{code:08x}"


def b64(data: bytes) -> str:
    """Return the standard base64 of `data`, padded (RFC 4648, section 4)."""
    return base64.b64encode(data).decode()


def unb64(text: str, what: str, size: int | None = None) -> bytes:
    """Return the bytes of which `text` is the standard base64, `size` of them if given.

    Raises MalformedError for any other spelling, such as non-zero trailing bits.
    """
    try:
        data = binascii.a2b_base64(text)
    except ValueError as error:
        raise MalformedError(f"{what}: not base64: {showable(text[:80])}") from error
    if binascii.b2a_base64(data, newline=False) != text.encode(errors="replace"):
        raise MalformedError(f"{what}: {showable(text[:80])} is not how base64 is written")
    if size is not None and len(data) != size:
        raise MalformedError(f"{what}: {len(data)} bytes, where {size} belong")
    return data


def decimal_int(text: str, what: str) -> int:
    """Return the whole number `text`, written in ASCII digits without leading zeros."""
    if not (text.isascii() and text.isdigit() and len(text) <= _INT_DIGITS):
        raise MalformedError(f"{what}: {showable(text[:40])!r} is not a whole number")
    if text[0] == "0" and text != "0":
        raise MalformedError(f"{what}: {text} is written with a leading zero")
    return int(text)


def _first_difference(data: bytes, written: bytearray) -> str:
    pairs = enumerate(zip(data, written, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(data), len(written)))
    here, there = (showable(repr(bytes(raw[at : at + 24]))[1:]) for raw in (data, written))
    return f"at byte {at} it has {here}, where {there} belongs"
