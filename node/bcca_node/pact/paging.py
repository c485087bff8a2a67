"""One page of footprints after the other, in an order that does not change (SPEC 16.2).

A walk goes through what the caller may see and through nothing else: streams that it sees as a
whole, then what it was granted one by one. Where it goes on stands in the link to the next page.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Self

import msgspec
from sqlmodel import Session

from bcca_node.sharing.access import Rights
from bcca_node.storage import pactshelf
from bcca_node.storage.pactshelf import BEGINNING, PUBLIC, Card, Spot, Wanted
from bcca_protocol import wire
from bcca_protocol.errors import MalformedError
from bcca_protocol.wire import HexDigest

MAX_PAGE = 100  # footprints: of usual statements, 1 MB
MAX_PAGE_BYTES = 16 * 1024 * 1024  # a statement may have a megabyte, and half as much in base64
MAX_CURSOR_CHARS = 4_000  # the name of a product may have half of that
_STREAMS_AT_ONCE = 256  # granted products in one query, twice as many each time up to here


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Behind what a walk goes on: a spot in streams, or what was granted by name."""

    stream: Annotated[str, msgspec.Meta(max_length=2_000)] = PUBLIC
    back: Annotated[int, msgspec.Meta(ge=-(2**63), lt=0)] = BEGINNING.back
    named: HexDigest | None = None

    def encode(self) -> str:
        """Return it as a parameter of a URL."""
        return msgspec.json.encode(self).hex()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `encode` wrote; raises MalformedError."""
        if len(text) > 2 * MAX_CURSOR_CHARS:
            raise MalformedError(f"after: {len(text)} characters, over {2 * MAX_CURSOR_CHARS}")
        try:
            written = bytes.fromhex(text)
        except ValueError as error:
            raise MalformedError("after: not from a link of this node") from error
        return wire.read(written, msgspec.json.Decoder(cls), what="after")


START = Cursor()


def page(
    session: Session, rights: Rights, wanted: Wanted, after: Cursor, limit: int
) -> tuple[list[Card], Cursor | None]:
    """Return the next footprints, at most `limit`, and where to go on if there are more."""
    found: list[tuple[Card, Cursor]] = []
    held = 0
    for card, at in _seen(session, rights, wanted, after, limit + 1):
        held += card.size
        if len(found) == limit or (found and held > MAX_PAGE_BYTES):
            return [each for each, _ in found], found[-1][1]
        found.append((card, at))
    return [each for each, _ in found], None


def _seen(
    session: Session, rights: Rights, wanted: Wanted, after: Cursor, limit: int
) -> Iterator[tuple[Card, Cursor]]:
    """Yield what a caller may see behind a spot, each with its own."""
    granted = rights.granted
    if after.named is None:
        for card in _in_streams(session, rights, wanted, Spot(after.stream, after.back), limit):
            yield card, Cursor(card.stream, -card.place)
    if granted.everything:
        return
    names = sorted(granted.statements | {name for name, _ in granted.bounded})
    rest = [name for name in names if after.named is None or name > after.named]
    for some in _slices(rest, limit):
        for card in pactshelf.named(session, wanted, some):
            if card.product not in granted.products and rights.sees(card):
                yield card, Cursor(named=card.commitment)


def _in_streams(
    session: Session, rights: Rights, wanted: Wanted, after: Spot, limit: int
) -> Iterator[Card]:
    """Yield what stands behind a spot in streams that a caller sees as a whole.

    Among these may be a few recipes that it does not see after all.
    """
    if rights.granted.everything:
        yield from _walked(session, rights, wanted, None, after, limit)
        return
    streams = sorted({PUBLIC} | rights.granted.products)
    left = [stream for stream in streams if stream >= after.stream]
    at_once = 1  # the one that a walk stands in may be long
    while left:
        some, left = left[:at_once], left[at_once:]
        yield from _walked(session, rights, wanted, some, after, limit)
        at_once = min(2 * at_once, _STREAMS_AT_ONCE)


def _walked(  # noqa: PLR0913, PLR0917 - whose walk, for what, where, and from where
    session: Session,
    rights: Rights,
    wanted: Wanted,
    streams: Sequence[str] | None,
    after: Spot,
    limit: int,
) -> Iterator[Card]:
    while True:
        if streams is None:
            cards = pactshelf.walk(session, wanted, after, limit)
        else:
            cards = pactshelf.within(session, wanted, streams, after, limit)
        yield from filter(rights.sees, cards)
        if len(cards) < limit:
            return
        after = pactshelf.spot_of(cards[-1])


def _slices(names: Sequence[str], width: int) -> Iterable[Sequence[str]]:
    return (names[start : start + width] for start in range(0, len(names), width))
