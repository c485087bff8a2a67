"""What this node shows to anyone: its public statements under the published head.

What may not be seen is not told apart from what does not exist.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from sqlmodel import Session

from bcca_node.ledger import log
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import Predicate, predicate_of
from bcca_node.network.lines import Item
from bcca_node.storage import logs, seen, statements
from bcca_node.storage.seen import FetchedStatement
from bcca_node.storage.statements import OwnStatement
from bcca_protocol.errors import LimitError
from bcca_protocol.proof import TlogProof
from bcca_protocol.statement import FootprintRollUp, Opinion, PartialFootprint

MAX_EVIDENCE = 10_000  # statements upstream of one: a pack with everything below it has hundreds


def statement(node: Node, commitment: str) -> bytes | None:
    """Return the envelope of a statement, None if it is not shown."""
    with node.database.read() as session:
        found = _shown(statements.find(session, [commitment]), _size(session))
        return found[0].envelope if found else None


def proof(node: Node, commitment: str) -> TlogProof | None:
    """Return that a shown statement is in the published tree; its `extra` is the entry."""
    with node.database.read() as session:
        head = logs.published_head(session)
        own = statements.get(session, commitment)
        if head is None or own is None or not _shown([own], head.size):
            return None
        return log.prove(session, own.index, head)


def batch(node: Node, commitments: Sequence[str]) -> list[Item]:
    """Return those of `commitments` that are shown, by index."""
    with node.database.read() as session:
        found = _shown(statements.find(session, commitments), _size(session))
    return [_item(own) for own in sorted(found, key=lambda own: own.index)]


def current(node: Node, product: str) -> list[Item]:
    """Return the current statements of a product, by index."""
    with node.database.read() as session:
        return current_under(session, [product], _size(session))[product]


def current_under(session: Session, products: Sequence[str], size: int) -> dict[str, list[Item]]:
    """Return the shown statements of each product that are current under `size` entries.

    They stand by index.
    """
    found: dict[str, list[Item]] = {product: [] for product in products}
    for own in _shown(statements.current(session, products, size), size):
        found[own.product].append(_item(own))
    return found


def since(node: Node, start: int) -> Iterator[Item]:
    """Yield all statements entered from index `start` on, current or not, a page at a time."""
    with node.database.read() as session:
        size = _size(session)
    while start < size:
        with node.database.read() as session:
            page = statements.page(session, start, size)
        yield from map(_item, _shown(page, size))
        start = page[-1].index + 1 if page else size


def evidence(node: Node, commitment: str, *, limit: int = MAX_EVIDENCE) -> Iterator[Item] | None:
    """Return a shown statement and everything upstream of it that this node holds and may show.

    Nothing is fetched. Over `limit`, the walk raises LimitError instead of ending as if complete.
    """
    with node.database.read() as session:
        found = _shown(statements.find(session, [commitment]), _size(session))
    return _Upstream(node, limit).walk(found[0]) if found else None


class _Upstream:
    """A walk from a statement to the statements that feed it, each once, nearest first."""

    def __init__(self, node: Node, limit: int) -> None:
        self._node = node
        self._limit = limit
        self._own_keys = {key.encode() for key in node.log_keys}
        self._met: set[str] = set()
        self._queue: deque[OwnStatement | FetchedStatement] = deque()

    def walk(self, start: OwnStatement) -> Iterator[Item]:
        """Yield `start` and all behind it."""
        self._meet([start])
        while self._queue:
            each = self._queue.popleft()
            yield self._item(each)
            with self._node.database.read() as session:
                self._meet(self._feeding(session, predicate_of(each.envelope)))

    def _meet(self, found: Iterable[OwnStatement | FetchedStatement]) -> None:
        for each in found:
            if each.sharing != "public" or each.commitment in self._met:
                continue
            if len(self._met) == self._limit:
                raise LimitError(f"evidence: over {self._limit} statements")
            self._met.add(each.commitment)
            self._queue.append(each)

    def _feeding(
        self, session: Session, predicate: Predicate
    ) -> Iterator[OwnStatement | FetchedStatement]:
        """Yield what this node holds of what `predicate` was made of."""
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

    def _of(
        self, session: Session, vkey: str, product: str
    ) -> Sequence[OwnStatement | FetchedStatement]:
        if vkey not in self._own_keys:
            return seen.statements_of(session, vkey, product)
        size = _size(session)
        return _shown(statements.current(session, [product], size), size)

    def _named(
        self, session: Session, commitment: str
    ) -> Iterator[OwnStatement | FetchedStatement]:
        yield from _shown(statements.find(session, [commitment]), _size(session))
        fetched = seen.statement(session, commitment)
        if fetched is not None:
            yield fetched

    def _item(self, each: OwnStatement | FetchedStatement) -> Item:
        origin = each.origin if isinstance(each, FetchedStatement) else self._node.origin
        return Item(
            commitment=each.commitment, index=each.index, envelope=each.envelope, origin=origin
        )


def _size(session: Session) -> int:
    head = logs.published_head(session)
    return 0 if head is None else head.size


def _shown(found: Iterable[OwnStatement], size: int) -> list[OwnStatement]:
    return [own for own in found if own.sharing == "public" and own.index < size]


def _item(own: OwnStatement) -> Item:
    return Item(commitment=own.commitment, index=own.index, envelope=own.envelope)
