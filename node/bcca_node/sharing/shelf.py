"""What this node shows to a caller: its statements under the published head (SPEC 13.9).

What may not be seen is not told apart from what does not exist.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from sqlmodel import Session

from bcca_node.ledger import log
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import Predicate, predicate_of
from bcca_node.network.lines import Item
from bcca_node.sharing import access, accesslog
from bcca_node.sharing.access import Rights
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import listed, logs, single
from bcca_node.storage.calls import Fetch
from bcca_node.storage.listed import Kept, Own
from bcca_protocol.errors import LimitError
from bcca_protocol.proof import TlogProof
from bcca_protocol.statement import FootprintRollUp, Opinion, PartialFootprint

MAX_EVIDENCE = 10_000  # statements upstream of one: a pack with everything below it has hundreds


def statement(
    node: Node, caller: Caller, commitment: str, enter: Callable[[list[Fetch]], None]
) -> bytes | None:
    """Return the envelope of a statement, None if it is not shown.

    Before anything is returned, `enter` is told what is to be kept of it, however little; what it
    raises is raised.
    """
    rights, size = access.standing(node, caller)
    everything = rights.granted.everything
    found = single.one(node.database, commitment, size=size, everything=everything)
    shown = _shown(rights, [own for own, _ in found], size)
    envelope = found[0][1] if shown else None
    if shown and envelope is None:
        envelope = single.envelope(node.database, commitment)
    enter(accesslog.of(node, caller, shown, "statement"))
    return envelope


def proof(node: Node, caller: Caller, commitment: str) -> TlogProof | None:
    """Return that a shown statement is in the published tree; its `extra` is the entry."""
    with node.database.read() as session:
        head = logs.published_head(session)
        found = _find(session, node, caller, [commitment])
        return log.prove(session, found[0].index, head) if head is not None and found else None


def batch(node: Node, caller: Caller, commitments: Sequence[str]) -> list[Item]:
    """Return those of `commitments` that are shown, by index."""
    with node.database.read() as session:
        shown = _find(session, node, caller, commitments)
        items = _items(session, shown)
    accesslog.note(node, caller, shown, "batch")
    return items


def current(node: Node, caller: Caller, product: str) -> list[Item]:
    """Return the current statements of a product that are shown, by index."""
    with node.database.read() as session:
        rights = access.rights(session, node, caller)
        shown = _current(session, rights, [product], _size(session))
        items = _items(session, shown)
    accesslog.note(node, caller, shown, "product")
    return items


def current_under(session: Session, products: Sequence[str], size: int) -> dict[str, list[Item]]:
    """Return what anybody may see of each product and is current under `size` entries, by index."""
    found: dict[str, list[Item]] = {product: [] for product in products}
    shown = _current(session, access.PUBLIC, products, size)
    for own, item in zip(shown, _items(session, shown), strict=True):
        found[own.product].append(item)
    return found


def since(node: Node, caller: Caller, start: int) -> Iterator[Item]:
    """Yield all shown statements entered from index `start` on, current or not.

    What the caller may see, and the end, are those of the beginning.
    """
    rights, size = access.standing(node, caller)
    if caller.kind is Kind.NOBODY:  # of whom nothing is kept
        yield from _public(node, start, size)
        return
    while start < size:
        with node.database.read() as session:
            page = listed.page(session, start, size)
            shown = [own for own in page if rights.sees(own)]
            items = _all_items(session, page) if shown == page else _items(session, shown)
        accesslog.note(node, caller, shown, "stream")
        yield from items
        start = page[-1].index + 1 if len(page) == listed.PAGE else size


def _public(node: Node, start: int, size: int) -> Iterator[Item]:
    """Yield what everybody may see: nothing has to be read before it is known to be shown."""
    while start < size:
        with node.database.read() as session:
            page = listed.public_page(session, start, size)
        for commitment, index, envelope in page:
            yield Item(commitment=commitment, index=index, envelope=envelope)
        start = page[-1][1] + 1 if len(page) == listed.PAGE else size


def evidence(
    node: Node, caller: Caller, commitment: str, *, limit: int = MAX_EVIDENCE
) -> Iterator[Item] | None:
    """Return a shown statement and everything upstream of it that this node holds and may show.

    Nothing is fetched, and what may not be seen is not passed. Over `limit`, the walk raises
    LimitError instead of ending as if complete.
    """
    with node.database.read() as session:
        rights = access.rights(session, node, caller)
        found = _shown(rights, listed.find(session, [commitment]), _size(session))
    return _Upstream(node, caller, rights, limit).walk(found[0]) if found else None


class _Upstream:
    """A walk from a statement to the statements that feed it, each once, nearest first."""

    def __init__(self, node: Node, caller: Caller, rights: Rights, limit: int) -> None:
        self._node = node
        self._caller = caller
        self._rights = rights
        self._limit = limit
        self._own_keys = {key.encode() for key in node.log_keys}
        self._met: set[str] = set()
        self._queue: deque[Own | Kept] = deque()

    def walk(self, start: Own) -> Iterator[Item]:
        """Yield `start` and all behind it."""
        self._meet([start])
        while self._queue:
            each = self._queue.popleft()
            with self._node.database.read() as session:
                item = self._item(session, each)
            accesslog.note(self._node, self._caller, [each], "evidence")
            yield item
            with self._node.database.read() as session:
                self._meet(self._feeding(session, predicate_of(item.envelope)))

    def _meet(self, found: Iterable[Own | Kept]) -> None:
        for each in found:
            if each.commitment in self._met:
                continue
            if len(self._met) == self._limit:
                raise LimitError(f"evidence: over {self._limit} statements")
            self._met.add(each.commitment)
            self._queue.append(each)

    def _feeding(self, session: Session, predicate: Predicate) -> Iterator[Own | Kept]:
        """Yield what the caller may see of what `predicate` was made of."""
        match predicate:
            case PartialFootprint(inputs=inputs):
                for line in inputs:
                    yield from self._of(session, line.supplier.key, line.product)
            case FootprintRollUp(manifest=manifest):
                for edge in manifest or ():
                    yield from self._named(session, edge.consumer)
                    if edge.resolved.commitment is not None:
                        yield from self._named(session, edge.resolved.commitment)
            case Opinion(about=about):
                for commitment in about:
                    yield from self._named(session, commitment)

    def _of(self, session: Session, vkey: str, product: str) -> Iterator[Own | Kept]:
        if vkey in self._own_keys:
            yield from _current(session, self._rights, [product], _size(session))
            return
        for each in listed.kept_of(session, vkey, product):
            if self._rights.sees_fetched(session, each):
                yield each

    def _named(self, session: Session, commitment: str) -> Iterator[Own | Kept]:
        yield from _shown(self._rights, listed.find(session, [commitment]), _size(session))
        fetched = listed.kept(session, commitment)
        if fetched is not None and self._rights.sees_fetched(session, fetched):
            yield fetched

    def _item(self, session: Session, each: Own | Kept) -> Item:
        if isinstance(each, Own):
            (item,) = _items(session, [each], self._node.origin)
            return item
        return Item(
            commitment=each.commitment,
            index=each.index,
            envelope=listed.kept_envelope(session, each),
            origin=each.origin,
        )


def _find(session: Session, node: Node, caller: Caller, commitments: Sequence[str]) -> list[Own]:
    """Return which of `commitments` are shown, by index; the same is done where none is here."""
    rights = access.rights(session, node, caller)
    return _shown(rights, listed.find(session, commitments), _size(session))


def _current(session: Session, rights: Rights, products: Sequence[str], size: int) -> list[Own]:
    return _shown(rights, listed.current(session, products, size), size)


def _shown(rights: Rights, found: Iterable[Own], size: int) -> list[Own]:
    return [own for own in found if rights.sees(own) and own.index < size]


def _items(session: Session, shown: Sequence[Own], origin: str | None = None) -> list[Item]:
    """Return statements with their envelopes, in their order."""
    envelopes = listed.envelopes(session, [own.commitment for own in shown])
    return [
        Item(
            commitment=own.commitment,
            index=own.index,
            envelope=envelopes[own.commitment],
            origin=origin,
        )
        for own in shown
    ]


def _all_items(session: Session, page: Sequence[Own]) -> list[Item]:
    """Return all that was entered within a page: one reading in their order, which is cheaper."""
    if not page:
        return []
    return [
        Item(commitment=commitment, index=index, envelope=envelope)
        for commitment, index, envelope in listed.envelopes_between(
            session, page[0].index, page[-1].index
        )
    ]


def _size(session: Session) -> int:
    head = logs.published_head(session)
    return 0 if head is None else head.size
