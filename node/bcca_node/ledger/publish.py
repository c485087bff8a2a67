"""Publishing: statements, entries, tiles and the next head in one transaction (SPEC 5.8).

Current statements of one kind on one product, site and batch do not overlap in time: `corrects`
restates a period, `follows` is the next one, and both end up in the log beside the statement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlmodel import Session

from bcca_node.ledger import log
from bcca_node.ledger.keystore import KeyRecord
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import Predicate, SignedStatement, place_of, predicate_of, sign_statement
from bcca_node.storage import logs, statements
from bcca_node.storage.statements import OwnStatement, Place
from bcca_protocol.entry import KeyAdd, Status, StatusEntry, status_handle
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Role
from bcca_protocol.limits import MAX_TREE_SIZE
from bcca_protocol.wire import unb64


class State(StrEnum):
    """How far a statement got."""

    PENDING = "pending"  # durable here; too few witnesses have seen it
    PUBLISHED = "published"  # under a head that a quorum cosigned


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of one predicate."""

    commitment: str
    product: str
    index: int
    state: State


def publish(node: Node, predicates: Sequence[Predicate]) -> list[Published]:
    """Sign and enter `predicates`, all or none; return where each stands, in their order.

    What was entered before is answered as it is, not entered twice. Raises UnusableError for what
    a verifier would refuse, and for two current statements that overlap.
    """
    keyring = node.keys
    key = node.keystore.record(Role.STATEMENT)
    signed = [sign_statement(each, node.origin, keyring, key.index) for each in predicates]
    with node.database.write() as session:
        _require_key(session, key)
        batch = _Batch(session, logs.size(session), signed)
        for each in signed:
            batch.enter(each)
        if batch.lines:
            log.append(session, batch.lines)
            batch.store()
            log.sign(session, keyring.signer(Role.LOG))
        head = logs.published_head(session)
        return [batch.published(each, 0 if head is None else head.size) for each in signed]


class _Batch:
    """The statements of one transaction, and the entries they make behind the `first` ones."""

    def __init__(self, session: Session, first: int, signed: Sequence[SignedStatement]) -> None:
        self._session = session
        self._first = first
        commitments = [each.commitment for each in signed]
        earlier = [name for each in signed if (name := _earlier(each.predicate)) is not None]
        known = statements.find(session, [*commitments, *earlier])
        self._known = {each.commitment: each for each in known}
        self._current: dict[Place, dict[str, OwnStatement]] = {}
        products = sorted({each.predicate.product.id for each in signed})
        for each in statements.current(session, products, MAX_TREE_SIZE):
            self._current.setdefault(each.place, {})[each.commitment] = each
        self._added: list[OwnStatement] = []
        self._ended: dict[str, int] = {}
        self.lines: list[str] = []

    def enter(self, signed: SignedStatement) -> None:
        """Add the entries of one statement, unless it is there already."""
        if signed.commitment in self._known:
            return
        new = _own(signed, self._next)
        self.lines.append(signed.entry.encode())
        match signed.predicate.corrects, signed.predicate.follows:
            case None, None:
                pass
            case str(earlier), None:
                self._end(new, self._replaced(new, earlier, "corrects"))
            case None, str(earlier):
                self._supersede(new, self._replaced(new, earlier, "follows"))
            case _:
                raise UnusableError(f"draft of {new.product}: it both corrects and follows")
        self._require_place(new)
        self._current.setdefault(new.place, {})[new.commitment] = new
        self._known[new.commitment] = new
        self._added.append(new)

    def store(self) -> None:
        """Write what the entries speak of."""
        statements.add(self._session, self._added)
        for commitment, index in self._ended.items():
            statements.end(self._session, commitment, index)

    def published(self, signed: SignedStatement, size: int) -> Published:
        """Return where a statement stands under a published head of `size`."""
        own = self._known[signed.commitment]
        state = State.PUBLISHED if own.index < size else State.PENDING
        return Published(
            commitment=own.commitment, product=own.product, index=own.index, state=state
        )

    @property
    def _next(self) -> int:
        return self._first + len(self.lines)

    def _replaced(self, new: OwnStatement, commitment: str, word: str) -> OwnStatement:
        """Return the statement that `new` corrects or follows, if it may."""
        old = self._known.get(commitment)
        what = f"draft of {new.product}: it {word} {commitment}"
        if old is None:
            raise UnusableError(f"{what}, which is no statement of this node")
        if (old.kind, old.product, old.site) != (new.kind, new.product, new.site):
            raise UnusableError(
                f"{what}, a {old.kind} of {old.product} at site {old.site}, not a {new.kind} of "
                f"{new.product} at {new.site}"
            )
        if old.ended is not None or commitment in self._ended:
            raise UnusableError(f"{what}, which was revoked or corrected before")
        return old

    def _end(self, new: OwnStatement, old: OwnStatement) -> None:
        """Correct `old`: the same period, restated."""
        if old.span != new.span:
            raise UnusableError(
                f"draft of {new.product}: it corrects {old.commitment}, whose period is "
                f"{_period(old)}, but has {_period(new)}"
            )
        self._ended[old.commitment] = self._next
        self._current[old.place].pop(old.commitment)
        self._add_status(old, Status.CORRECTED, new)

    def _supersede(self, new: OwnStatement, old: OwnStatement) -> None:
        """Follow `old`: a later period, for which alone it is no longer right."""
        if new.period_start < old.period_end:
            raise UnusableError(
                f"draft of {new.product}: it follows {old.commitment}, whose period is "
                f"{_period(old)}, but has {_period(new)}"
            )
        self._add_status(old, Status.SUPERSEDED, new)

    def _add_status(self, old: OwnStatement, status: Status, new: OwnStatement) -> None:
        nonce = unb64(predicate_of(old.envelope).nonce, "nonce")
        entry = StatusEntry(
            handle=status_handle(nonce, bytes.fromhex(old.commitment)),
            status=status,
            successor=bytes.fromhex(new.commitment),
        )
        self.lines.append(entry.encode())

    def _require_place(self, new: OwnStatement) -> None:
        for old in self._current.get(new.place, {}).values():
            if new.span.overlap_with(old.span):
                raise UnusableError(
                    f"draft of {new.product}: {new.commitment} for {_period(new)} overlaps "
                    f"{old.commitment} for {_period(old)}: let it correct or follow that"
                )


def _require_key(session: Session, key: KeyRecord) -> None:
    """Return if the log added `key` where the keys say so; raises UnusableError."""
    line = KeyAdd(role=key.role, key=key.key).encode()
    if logs.entries(session, key.index, key.index + 1) != [line.encode()]:
        raise UnusableError(
            f"log {key.key.name}: of {logs.size(session)} entries, entry {key.index} does not add "
            f"{key.key.label}: the database and the keys are of two nodes"
        )


def _earlier(predicate: Predicate) -> str | None:
    return predicate.corrects or predicate.follows


def _own(signed: SignedStatement, index: int) -> OwnStatement:
    predicate = signed.predicate
    place = place_of(predicate)
    return OwnStatement(
        commitment=signed.commitment,
        index=index,
        kind=place.kind,
        product=place.product,
        site=place.site,
        batch=place.batch,
        period_start=predicate.period.start,
        period_end=predicate.period.end,
        sharing=predicate.sharing,
        envelope=signed.envelope,
    )


def _period(own: OwnStatement) -> str:
    return f"{own.period_start} to {own.period_end}"
