"""Statements as they travel: JSON Lines that end in a count, read by reversal.

    {"commitment":"<hex>","envelope":"<base64 of DSSE>","index":"12"}
    {"count":"1"}

A stream that was cut has no count, and is not taken for the absence of what it left out.
"""

import asyncio
import binascii
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Annotated

import msgspec

from bcca_node.network.client import Fetcher
from bcca_node.network.limits import MAX_BATCH, MAX_BATCH_BYTES, MAX_LINE_BYTES
from bcca_protocol import wire
from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.wire import HexDigest, Origin, Record, decimal_int, unb64

MAX_ITEMS = 10_000  # of one answer about one product: its batches of a year, 27 a day
_BLOCK = 64  # lines that are read at once, before somebody else has a turn


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A statement on its way, nothing of it verified; `origin` is None where it is the asked."""

    commitment: str
    index: int
    envelope: bytes
    origin: str | None = None


class _Line(Record, frozen=True):
    commitment: HexDigest
    envelope: str
    index: str
    origin: Origin | None = None


class _Count(Record, frozen=True):
    count: str


class _Batch(Record, frozen=True):
    commitments: Annotated[tuple[HexDigest, ...], msgspec.Meta(max_length=MAX_BATCH)]


_LINE = msgspec.json.Decoder(_Line)
_COUNT = msgspec.json.Decoder(_Count)
_BATCH = msgspec.json.Decoder(_Batch)


def encode_lines(items: Iterable[Item]) -> Iterator[bytes]:
    """Yield the lines of `items`, and the count."""
    return encode_blocks(items, 1)


def encode_blocks(items: Iterable[Item], size: int) -> Iterator[bytes]:
    """Yield what `encode_lines` does, as many lines at a time as are `size` bytes.

    Put together as bytes: of a statement it takes little more than its base64.
    """
    parts: list[bytes] = []
    count, held = 0, 0
    for item in items:
        envelope = binascii.b2a_base64(item.envelope, newline=False)
        parts += (
            b'{"commitment":"%b","envelope":"' % item.commitment.encode(),
            envelope,
            b'","index":"%d"%b}\n' % (item.index, _member(item.origin)),
        )
        count += 1
        held += len(envelope) + 1
        if held >= size:
            yield b"".join(parts)
            parts.clear()
            held = 0
    if parts:
        yield b"".join(parts)
    yield wire.encode(_Count(count=str(count))) + b"\n"


def decode_lines(body: bytes) -> list[Item]:
    """Return the items of a whole answer; raises MalformedError, LimitError."""
    lines, count = _split(body)
    items = _items(lines)
    _require_count(count, len(items))
    return items


async def decode_answer(body: bytes) -> list[Item]:
    """Return what `decode_lines` does, read aside: others go on, and it ends when it is cancelled.

    Raises MalformedError, LimitError.
    """
    lines, count = await asyncio.to_thread(_split, body)
    items: list[Item] = []
    for first in range(0, len(lines), _BLOCK):
        items += await asyncio.to_thread(_items, lines[first : first + _BLOCK])
    _require_count(count, len(items))
    return items


async def fetch_lines(
    fetcher: Fetcher, url: str, *, limit: int, audience: str | None = None
) -> AsyncGenerator[Item]:
    """Yield the items at `url` as they come; `aclosing` ends a stream that is not read to its end.

    Raises MalformedError at the end of a stream that was cut, and what `Fetcher.lines` raises.
    """
    count, last = 0, b""
    async with aclosing(_lines(fetcher, url, limit, audience)) as lines:
        async for line in lines:
            if last:
                yield _item(last)
                count += 1
            last = line
    _require_count(last, count)


def _lines(fetcher: Fetcher, url: str, limit: int, audience: str | None) -> AsyncGenerator[bytes]:
    return fetcher.lines(url, limit=limit, line_limit=MAX_LINE_BYTES, audience=audience)


def encode_batch(commitments: Iterable[str]) -> bytes:
    """Return the body that asks for `commitments`, at most MAX_BATCH."""
    return wire.encode(_Batch(commitments=tuple(commitments)))


def decode_batch(body: bytes) -> tuple[str, ...]:
    """Return the commitments that `body` asks for; raises MalformedError, LimitError."""
    return wire.decode(body, _BATCH, what="batch", limit=MAX_BATCH_BYTES).commitments


def _member(origin: str | None) -> bytes:
    """Return what tells of another log in a line."""
    return b"" if origin is None else b',"origin":%b' % msgspec.json.encode(origin)


def _split(body: bytes) -> tuple[list[bytes], bytes]:
    """Return the lines of an answer, and apart the last: empty where that is cut or missing."""
    if body.count(b"\n") > MAX_ITEMS + 1:
        raise LimitError(f"statements: over {MAX_ITEMS} in one answer")
    *lines, count, rest = (b"\n" + body).split(b"\n")
    return lines[1:], b"" if rest else count


def _items(lines: Sequence[bytes]) -> list[Item]:
    return [_item(line) for line in lines]


def _item(line: bytes) -> Item:
    read = wire.decode(line, _LINE, what="line of statements", limit=MAX_LINE_BYTES)
    return Item(
        commitment=read.commitment,
        index=decimal_int(read.index, "index of a statement"),
        envelope=unb64(read.envelope, "envelope"),
        origin=read.origin,
    )


def _require_count(last: bytes, count: int) -> None:
    try:
        found = wire.decode(last, _COUNT, what="count of statements", limit=MAX_LINE_BYTES).count
    except MalformedError as error:
        raise MalformedError(f"statements: cut off after {count}, no count at the end") from error
    if decimal_int(found, "count of statements") != count:
        raise MalformedError(f"statements: {count} came, the count says {found}")
