"""A page that costs no more than it brings, read at once; others are walked to (SPEC 16.2)."""

from collections.abc import Iterator

from bcca_node.pact.criteria import Criteria
from bcca_node.pact.paging import MAX_PAGE_BYTES, Cursor
from bcca_node.sharing.access import Rights
from bcca_node.storage import pactquick, pactshelf
from bcca_node.storage.database import Database
from bcca_node.storage.pactquick import Whole
from bcca_node.storage.pactshelf import BEGINNING, PUBLIC, Spot

MAX_STREAMS = 16  # products granted: each is a query of its own, of 30 microseconds


def is_quick(database: Database, rights: Rights, criteria: Criteria, after: Cursor) -> bool:
    """Say whether `page` is for this caller and what it asks."""
    granted = rights.granted
    by_name = granted.statements or granted.bounded or len(granted.products) > MAX_STREAMS
    is_wide = granted.everything or not by_name
    return database.is_file and criteria.is_simple and is_wide and after.named is None


def page(
    database: Database, rights: Rights, criteria: Criteria, after: Cursor, limit: int
) -> tuple[list[Whole], Cursor | None]:
    """Return what `paging.page` does, with the bytes of each footprint."""
    found: list[Whole] = []
    held = 0
    for each in _seen(database, rights, criteria, Spot(after.stream, after.back), limit + 1):
        held += each.card.size
        if len(found) == limit or (found and held > MAX_PAGE_BYTES):
            last = found[-1].card
            return found, Cursor(last.stream, -last.place)
        found.append(each)
    return found, None


def _seen(
    database: Database, rights: Rights, criteria: Criteria, after: Spot, limit: int
) -> Iterator[Whole]:
    in_one = not rights.granted.everything
    streams = sorted({PUBLIC} | rights.granted.products) if in_one else [after.stream]
    for stream in streams:
        if stream < after.stream:
            continue
        spot = after if stream == after.stream else Spot(stream, BEGINNING.back)
        while True:
            rows = pactquick.walk(database, criteria.leading, spot, limit, in_one=in_one)
            yield from (each for each in rows if rights.sees(each.card))
            if len(rows) < limit:
                break
            spot = pactshelf.spot_of(rows[-1].card)
