"""Whoever has a statement from this node is told when it is no longer what it was (SPEC 13.8).

That is found in the logs alone: this node's own, as far as it is published, and the copies of
others, whose statements were handed on. What partners tell is passed on by nobody.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlmodel import Session

from bcca_node.ledger import ended
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.partners import outbox
from bcca_node.partners.event import StatementEvent, new_id
from bcca_node.storage import copies, logs, news, partners, seen, statements
from bcca_node.storage.copies import Copy
from bcca_node.storage.statements import OwnStatement
from bcca_protocol import period, tiles
from bcca_protocol.entry import Status, StatusEntry, parse_entry, status_handle
from bcca_protocol.errors import RefusedError
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH
from bcca_protocol.wire import unb64

LOOKED_AFTER = 3_600  # seconds: whoever was just answered may stand in the access log a bit later
_BEGIN = "bcca/v1 status "


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the log of its issuer says became of a statement."""

    commitment: str
    issuer: str
    product: str
    status: Status
    successor: str | None


class Notices:
    """Tells partners what became of statements; remembers how far each log was read."""

    def __init__(self, node: Node) -> None:
        """Tell for `node`."""
        self._node = node
        self._own = 0
        self._copied: dict[tuple[str, str], int] = {}
        self._statuses: dict[tuple[str, str], dict[bytes, StatusEntry]] = {}
        self._found: dict[str, tuple[Ending, int]] = {}

    def tell(self) -> int:
        """Tell whoever was not told yet, and return how many events that makes.

        They are in the outbox when it is noted that they were told, or neither is.
        """
        at = self._node.clock()
        with self._node.database.read() as session:
            for each in [*self._own_endings(session), *self._endings_elsewhere(session)]:
                known = self._found.get(each.commitment)
                if known is None or each.status.outweighs(known[0].status):
                    self._found[each.commitment] = (each, at)
            wanted = list(self._untold(session, [each for each, _ in self._found.values()]))
        self._found = {
            name: (each, since)
            for name, (each, since) in self._found.items()
            if since <= at < since + LOOKED_AFTER
        }
        return self._put(wanted, at) if wanted else 0

    def _untold(self, session: Session, endings: Iterable[Ending]) -> Iterator[tuple[str, Ending]]:
        """Yield which partner is to be told of which ending."""
        for each in endings:
            holders = set(self._node.calls.holders(each.commitment, now=self._node.clock()))
            holders |= news.given_to(session, each.commitment)
            for partner in sorted(holders - {each.issuer, self._node.origin}):
                if _is_untold(session, partner, each):
                    yield partner, each

    def _put(self, wanted: Iterable[tuple[str, Ending]], at: int) -> int:
        count = 0
        with self._node.database.write() as session:
            for partner, each in wanted:
                if not _is_untold(session, partner, each):
                    continue  # another process has told it meanwhile
                news.set_told(session, partner, each.commitment, each.status)
                outbox.put(session, partner, _event(each, at), at)
                count += 1
        return count

    def _own_endings(self, session: Session) -> Iterator[Ending]:
        """Yield what became of this node's own statements under heads published since."""
        head = logs.published_head(session)
        size = 0 if head is None else head.size
        for index, line in logs.lines_like(session, _BEGIN, self._own):
            entry = _status(line) if index < size else None
            own = None if entry is None else _named(session, index, entry)
            if entry is not None and own is not None:
                yield _ending(own.commitment, self._node.origin, own.product, entry)
        self._own = max(self._own, size)

    def _endings_elsewhere(self, session: Session) -> Iterator[Ending]:
        """Yield what became of statements of others, by the copies that have grown since."""
        for copy in copies.every(session):
            name = (copy.origin, copy.vkey)
            if self._copied.get(name) == copy.size:
                continue
            statuses = self._statuses_in(session, copy)
            for fetched in seen.all_of(session, copy.vkey) if statuses else ():
                entry = statuses.get(_handle(fetched.commitment, fetched.envelope))
                if entry is not None:
                    yield _ending(fetched.commitment, fetched.origin, fetched.product, entry)
            self._copied[name] = copy.size

    def _statuses_in(self, session: Session, copy: Copy) -> dict[bytes, StatusEntry]:
        """Return what a copied log says of handles, the strongest of each."""
        name = (copy.origin, copy.vkey)
        found = self._statuses.setdefault(name, {})
        first = self._copied.get(name, 0) // TILE_WIDTH
        for index in range(first, -(-copy.size // TILE_WIDTH)):
            bundle = copies.tile(session, *name, ENTRIES, index)
            if _BEGIN.encode() not in bundle:
                continue
            for line in tiles.decode_entries(
                bundle, min(TILE_WIDTH, copy.size - index * TILE_WIDTH)
            ):
                entry = _status(line.decode(errors="replace"))
                known = None if entry is None else found.get(entry.handle)
                if entry is not None and (known is None or entry.status.outweighs(known.status)):
                    found[entry.handle] = entry
        return found


def _is_untold(session: Session, partner: str, ending: Ending) -> bool:
    """Say whether a partner is still to be told: not of this ending, nor of a worse one."""
    known = partners.get(session, partner)
    if known is None or known.refused:
        return False
    told = {Status(kind) for kind in news.told(session, partner, ending.commitment)}
    return ending.status not in told and not any(s.outweighs(ending.status) for s in told)


def _event(ending: Ending, at: int) -> StatementEvent:
    return StatementEvent(
        id=new_id(),
        at=period.text_at(at),
        kind=ending.status.value,
        issuer=ending.issuer,
        commitment=ending.commitment,
        product=ending.product,
        successor=ending.successor,
    )


def _status(line: str) -> StatusEntry | None:
    if not line.startswith(_BEGIN):
        return None
    try:
        entry = parse_entry(line)
    except RefusedError:
        return None
    return entry if isinstance(entry, StatusEntry) else None


def _named(session: Session, index: int, entry: StatusEntry) -> OwnStatement | None:
    """Return the statement of this node that entry `index` is about, if it is here."""
    if entry.successor is None:
        candidates = statements.ended(session, index)
    else:
        successor = statements.get(session, entry.successor.hex())
        told = None if successor is None else predicate_of(successor.envelope)
        earlier = None if told is None else told.corrects or told.follows
        candidates = iter(statements.find(session, [] if earlier is None else [earlier]))
    return next((each for each in candidates if ended.handle_of(each) == entry.handle), None)


def _handle(commitment: str, envelope: bytes) -> bytes:
    nonce = unb64(predicate_of(envelope).nonce, "nonce")
    return status_handle(nonce, bytes.fromhex(commitment))


def _ending(commitment: str, issuer: str, product: str, entry: StatusEntry) -> Ending:
    return Ending(
        commitment=commitment,
        issuer=issuer,
        product=product,
        status=entry.status,
        successor=None if entry.successor is None else entry.successor.hex(),
    )
