"""Footprints made of the statements of this node as its log goes on (SPEC 16.1).

Each is made once, when it is first needed after its statement was published, and kept. From then
on only its status changes, and that by what the log says became of the statement.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from bcca_node.ledger import ended, log
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import Predicate, predicate_of
from bcca_node.pact import criteria, derive, extension, model
from bcca_node.pact.derive import Whole
from bcca_node.pact.extension import Place
from bcca_node.storage import logs, pactshelf, statements
from bcca_node.storage.logs import Head
from bcca_node.storage.pactshelf import PUBLIC, Card, Made
from bcca_node.storage.statements import OwnStatement
from bcca_protocol import merkle, period
from bcca_protocol.entry import Status, StatusEntry, parse_entry
from bcca_protocol.errors import RefusedError, StatementError
from bcca_protocol.proof import TlogProof

WINDOW = 256  # entries in one turn: of as many statements, half a second, made before the turn

_BEGIN = b"bcca/v1 status "
_ACTIVE, _DEPRECATED = b'"status":"Active"', b'"status":"Deprecated"'


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """Entries from `start` to before `end`: what was made of them, and what ended by them."""

    start: int
    end: int
    made: Sequence[Made]
    ends: Sequence[tuple[int, bytes]]


def advance(node: Node) -> bool:
    """Make the footprints of the next entries; say whether those of all published ones are here.

    Raises UnavailableError where the database cannot be written.
    """
    with node.database.read() as session:
        window = _made(session, node)
    if window is None:
        return True
    with node.database.write() as session:
        if pactshelf.mark(session) != window.start:
            return False  # another process was faster
        pactshelf.put(session, window.made)
        for index, handle in window.ends:
            _deprecate(session, index, handle)
        pactshelf.set_mark(session, window.end)
    return False


def is_fresh(session: Session) -> bool:
    """Say whether the footprints of all published entries are here."""
    head = logs.published_head(session)
    return head is None or pactshelf.mark(session) >= head.size


def unserved(session: Session, node: Node, own: OwnStatement) -> str:
    """Return why there is no footprint of a statement."""
    head = logs.published_head(session)
    if head is None or own.index >= head.size:
        return "it is not published yet: too few witnesses have cosigned"
    try:
        _Maker(session, node, head).make(own)
    except StatementError as error:
        return str(error)
    return "it came back after its entry: its footprint was not made"


def _made(session: Session, node: Node) -> _Window | None:
    """Return what is to be kept of the next entries, None where all published ones are here."""
    head, start = logs.published_head(session), pactshelf.mark(session)
    if head is None or start >= head.size:
        return None
    end = min(start + WINDOW, head.size)
    maker = _Maker(session, node, head)
    lines = enumerate(logs.entries(session, start, end), start)
    return _Window(
        start=start,
        end=end,
        made=list(maker.all_of(statements.page(session, start, end))),
        ends=[found for index, line in lines if (found := _end(index, line)) is not None],
    )


class _Maker:
    """Makes footprints of statements under one published head, in the order of their entries."""

    def __init__(self, session: Session, node: Node, head: Head) -> None:
        self._session = session
        self._node = node
        self._head = head
        self._subtree = log.subtree(session, head.size)
        self._place = Place(
            base=node.settings.url, origin=node.origin, key=node.key_of(head.note).encode()
        )
        self._created = period.text_at(node.clock())
        self._ids: dict[str, str] = {}

    def all_of(self, found: Iterable[OwnStatement]) -> Iterable[Made]:
        """Yield a footprint of each statement that gives one."""
        for own in found:
            try:
                yield self.make(own)
            except StatementError:
                continue  # `bcca pact list` tells why

    def make(self, own: OwnStatement) -> Made:
        """Return the footprint of a statement; raises StatementError where it gives none."""
        predicate = derive.whole(predicate_of(own.envelope))
        proof = TlogProof(
            index=own.index,
            path=merkle.prove_inclusion(own.index, self._head.size, self._subtree),
            checkpoint=self._head.note,
            extra=logs.entries(self._session, own.index, own.index + 1)[0],
        )
        carried = extension.write(
            self._place, own.commitment, own.index, own.envelope, proof.encode()
        )
        signed = derive.Signed(
            commitment=own.commitment,
            predicate=predicate,
            ids=self._node.settings.ids,
            created=self._created,
            preceding=self._preceding(predicate),
            extension=carried,
        )
        made = _kept(own, derive.derive(signed))
        self._ids[own.commitment] = made.card.id
        return made

    def _preceding(self, predicate: Whole) -> tuple[str, ...]:
        """Return the id of the footprint that one takes the place of: the last that was served.

        What was corrected may have given none, and have corrected one that did.
        """
        earlier = predicate.corrects
        while earlier is not None:
            if earlier in self._ids or pactshelf.known(self._session, earlier) is not None:
                return (model.id_of(earlier),)
            own = statements.get(self._session, earlier)
            before: Predicate | None = None if own is None else predicate_of(own.envelope)
            earlier = None if before is None else before.corrects
        return ()


def _kept(own: OwnStatement, footprint: model.ProductFootprint) -> Made:
    content = model.encode(footprint)
    start, end = criteria.validity_of(footprint)
    return Made(
        card=Card(
            place=own.index,
            id=footprint.id,
            commitment=own.commitment,
            product=own.product,
            sharing=own.sharing,
            stream=PUBLIC if own.sharing == "public" else own.product,
            deprecated=False,
            changed=own.index,
            size=len(content),
        ),
        handle=ended.handle_of(own),
        valid_start=start,
        valid_end=end,
        terms=criteria.terms_of(footprint),
        content=content,
    )


def _end(index: int, line: bytes) -> tuple[int, bytes] | None:
    """Return what entry `index` ends, under the name that the log has for it."""
    if not line.startswith(_BEGIN):
        return None
    try:
        entry = parse_entry(line.decode())
    except RefusedError:
        return None
    is_end = isinstance(entry, StatusEntry) and entry.status is not Status.SUPERSEDED
    return (index, entry.handle) if is_end and isinstance(entry, StatusEntry) else None


def _deprecate(session: Session, index: int, handle: bytes) -> None:
    """Note that a statement was revoked or corrected; what was deprecated before stays as it is."""
    card = pactshelf.with_handle(session, handle)
    if card is None or card.deprecated:
        return
    content = pactshelf.contents(session, [card.place])[card.place]
    # Before its status a footprint has no text in which a quote stands without its escape.
    pactshelf.deprecate(session, card, content.replace(_ACTIVE, _DEPRECATED, 1), at=index)
