"""The footprints that this node serves, each to who may see it (SPEC 16.2).

What may be seen is decided as for statements (SPEC 13.9): a PACT partner sees what is public, and
what was granted to it. What may not be seen is not told apart from what does not exist.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.pact import naming, paging, rendering
from bcca_node.pact import quick as quick_
from bcca_node.pact.criteria import Criteria
from bcca_node.pact.paging import MAX_PAGE, START, Cursor
from bcca_node.sharing import access
from bcca_node.sharing.access import Rights
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import pactshelf, pairs
from bcca_node.storage.calls import Fetch
from bcca_node.storage.engines import QUICK_SECONDS
from bcca_node.storage.pactshelf import Card, Term
from bcca_protocol.errors import UnavailableError

WINDOWS_AT_ONCE = 8  # for who waits for an answer: 2,048 entries, some seconds
HOW = "pact"  # what the access log calls it


class Known(Protocol):
    """A PACT partner, as far as what it may see goes."""

    @property
    def origin(self) -> str:
        """Return `pact:` and its name."""


class Page(NamedTuple):
    """Some footprints, the newest first, and where to go on: None where these are the last.

    `content` is all of it as it is sent.
    """

    cards: Sequence[Card]
    content: bytes
    after: str | None


_EMPTY = Page((), b'{"data":[]}', None)


class _Freshness(NamedTuple):
    is_fresh: bool


class _Numbers(NamedTuple):
    """Whether a partner has part numbers of its own here."""

    are_there: bool


def refresh(node: Node, windows: int | None = None) -> None:
    """Make the footprints of all published statements, at most so many windows of the log.

    Raises UnavailableError where more are left than that, or the database cannot be written.
    """
    if is_fresh(node):
        return
    count = 0
    while not rendering.advance(node):
        count += 1
        if count == windows:
            raise UnavailableError(
                f"PACT: footprints of {windows * rendering.WINDOW} entries were made, and more are "
                "to be made: ask again"
            )


def find(
    node: Node, partner: Known, criteria: Criteria, after: str | None = None, limit: int = MAX_PAGE
) -> Page:
    """Return a page of what a partner may see and asks for, at most `limit` footprints.

    `after` is where an earlier page said to go on. Raises MalformedError for what no page said,
    UnavailableError while footprints are still being made.
    """
    refresh(node, WINDOWS_AT_ONCE)
    cursor = START if after is None else Cursor.parse(after)
    limit = min(limit, MAX_PAGE)
    if criteria.is_impossible or not limit:
        return _EMPTY
    rights = _rights(node, partner)
    with node.database.read() as session:
        wanted = naming.wanted(session, partner.origin, criteria)
        cards, rest = paging.page(session, rights, wanted, cursor, limit)
        contents = pactshelf.contents(session, [card.place for card in cards])
    note(node, partner.origin, cards)
    return _page(cards, [contents[card.place] for card in cards], rest)


def quick(
    node: Node, partner: Known, criteria: Criteria, after: str | None, limit: int
) -> Page | None:
    """Return what `find` does where that takes no longer than it brings, else None.

    The caller notes what it shows.
    """
    cursor = START if after is None else Cursor.parse(after)
    changes = node.database.changes()
    rights = _rights(node, partner)
    if not quick_.is_quick(node.database, rights, criteria, cursor) or not is_fresh(node):
        return None
    if Term.PRODUCT in criteria.terms and _has_numbers(node, partner.origin):
        return None
    limit = min(limit, MAX_PAGE)
    if not limit:
        return _EMPTY

    def read() -> Page:
        found, rest = quick_.page(node.database, rights, criteria, cursor, limit)
        return _page([each.card for each in found], [each.content for each in found], rest)

    name = (rights.own, criteria.leading, cursor, limit)
    return node.pages.get(changes, name, Page, read)


def note(node: Node, origin: str, shown: Sequence[Card], patience: float = QUICK_SECONDS) -> None:
    """Keep what a partner of that origin is shown, before it is (SPEC 13.9, rule 9).

    Raises BusyError where others write for longer than the patience, in seconds.
    """
    at = node.clock()
    fetches = [
        Fetch(
            origin=origin,
            caller=origin,
            commitment=each.commitment,
            product=each.product,
            how=HOW,
            at=at,
        )
        for each in shown
    ]
    if fetches:
        node.calls.note(fetches, now=at, patience=patience)


def one(node: Node, partner: Known, name: str) -> bytes | None:
    """Return the footprint with an id, a UUID in small letters; None unless it may be seen.

    Raises UnavailableError while footprints are still being made.
    """
    refresh(node, WINDOWS_AT_ONCE)
    rights = _rights(node, partner)
    with node.database.read() as session:
        card = pactshelf.with_id(session, name)
        if card is None or not rights.sees(card):
            return None
        content = pactshelf.contents(session, [card.place])[card.place]
    note(node, partner.origin, [card])
    return content


def changed(session: Session, start: int, limit: int) -> list[Card]:
    """Return which footprints entries from `start` on made or ended, by the entry that did last.

    To be asked after `refresh`; `rights(...).sees` says of each who may know of it.
    """
    return pactshelf.changed(session, start, limit)


def rights(session: Session, node: Node, partner: Known) -> Rights:
    """Return what a PACT partner may see now."""
    return access.rights(session, node, caller(partner))


def _rights(node: Node, partner: Known) -> Rights:
    return access.standing(node, caller(partner)).rights


def caller(partner: Known) -> Caller:
    """Return who a partner is for `sharing.access`: it sees what is granted to its origin."""
    return Caller(kind=Kind.PARTNER, origin=partner.origin)


def is_fresh(node: Node) -> bool:
    """Say whether the footprints of all that is published are made, as of a second ago."""

    def read() -> _Freshness:
        with node.database.read() as session:
            return _Freshness(rendering.is_fresh(session))

    return node.memo.get(node.moment(), "pact shelf", _Freshness, read).is_fresh


def _has_numbers(node: Node, origin: str) -> bool:
    """Say whether a product may be asked for by a part number, as of a second ago."""

    def read() -> _Numbers:
        with node.database.read() as session:
            return _Numbers(pairs.has_confirmed(session, origin))

    return node.memo.get(node.moment(), ("part numbers", origin), _Numbers, read).are_there


def _page(cards: Sequence[Card], contents: Iterable[bytes], rest: Cursor | None) -> Page:
    after = None if rest is None else rest.encode()
    return Page(cards, b'{"data":[%b]}' % b",".join(contents), after)
