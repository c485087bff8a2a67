"""What became of this node's own statements, and revoking one: it never goes back (SPEC 5.5)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from sqlmodel import Session

from bcca_node.ledger import ended
from bcca_node.ledger.batch import State
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import Predicate, predicate_of
from bcca_node.ledger.turn import turn
from bcca_node.storage import logs, statements
from bcca_node.storage.statements import OwnStatement
from bcca_protocol import period
from bcca_protocol.entry import Status, StatusEntry
from bcca_protocol.errors import AuthorshipError, UnusableError
from bcca_protocol.history import History
from bcca_protocol.keys import Role
from bcca_protocol.standing import Standing, standing_of

P = TypeVar("P", bound=Predicate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A statement that is revoked, and the entry that says so."""

    commitment: str
    product: str
    index: int
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStanding:
    """What a statement of this node is worth, counted with all entries, published or not.

    `status_index` is the entry that says so, `successor` whom it names, `void` why the key that
    signed the statement was not valid there.
    """

    own: OwnStatement
    standing: Standing
    state: State
    status_index: int | None
    successor: str | None
    void: str | None

    @property
    def words(self) -> str:
        """What to tell people of it."""
        return self.standing.words if self.void is None else self.void


def revoke(node: Node, commitment: str) -> Revoked:
    """Enter that a statement is revoked; one that is revoked already stays so, with its entry.

    It is durable when this returns. Raises UnusableError for no statement of this node, and what
    `turn` raises.
    """
    with turn(node) as held:
        own = _own(held.session, node, commitment)
        entry = StatusEntry(handle=ended.handle_of(own), status=Status.REVOKED, successor=None)
        before = logs.lines_like(held.session, entry.encode())
        index = before[0][0] if before else held.enter([entry.encode()])
        statements.end(held.session, commitment, index)
        return Revoked(
            commitment=commitment,
            product=own.product,
            index=index,
            state=_state(index, _published(held.session)),
        )


def replacing(predicate: P, commitment: str, status: Status) -> P:
    """Return `predicate` as what corrects or supersedes an earlier statement of this node.

    To publish it enters the status too. Raises UnusableError where it names another one.
    """
    earlier = predicate.corrects or predicate.follows
    if earlier not in (None, commitment):
        raise UnusableError(
            f"draft of {predicate.product.id}: it names {earlier} as its earlier statement, where "
            f"{commitment} was asked for: leave that out of the draft"
        )
    corrects, follows = (commitment, None) if status is Status.CORRECTED else (None, commitment)
    return msgspec.structs.replace(predicate, corrects=corrects, follows=follows)


def standings(node: Node, commitment: str | None = None) -> list[OwnStanding]:
    """Return what this node's statements are worth now, all of them or one, by index.

    Raises UnusableError for no statement of this node.
    """
    with node.database.read() as session:
        size = logs.size(session)
        history = History.read(node.origin, node.log_key, logs.entries(session, 0, size))
        published = _published(session)
        chosen = (
            _all(session, size) if commitment is None else iter([_own(session, node, commitment)])
        )
        at = period.text_at(node.clock())
        return [_standing(own, history, at, published) for own in chosen]


def _own(session: Session, node: Node, commitment: str) -> OwnStatement:
    own = statements.get(session, commitment)
    if own is None:
        raise UnusableError(
            f"{commitment[:80]!r} is no statement of {node.origin}: `bcca status show` lists them"
        )
    return own


def _all(session: Session, size: int) -> Iterator[OwnStatement]:
    start = 0
    while page := statements.page(session, start, size):
        yield from page
        start = page[-1].index + 1


def _published(session: Session) -> int:
    head = logs.published_head(session)
    return 0 if head is None else head.size


def _state(index: int, published: int) -> State:
    return State.PUBLISHED if index < published else State.PENDING


def _standing(own: OwnStatement, history: History, at: str, published: int) -> OwnStanding:
    predicate = predicate_of(own.envelope)
    found = history.statuses.get(ended.handle_of(own))
    validity = period.validity(predicate.period, predicate.validity)
    standing = standing_of(
        None if found is None else found.entry.status,
        validity,
        at=at,
        broken=history.broken is not None,
    )
    successor = None if found is None else found.entry.successor
    return OwnStanding(
        own=own,
        standing=standing,
        state=_state(own.index if found is None else found.index, published),
        status_index=None if found is None else found.index,
        successor=None if successor is None else successor.hex(),
        void=_void(own, history),
    )


def _void(own: OwnStatement, history: History) -> str | None:
    """Return why no verifier accepts the statement, None where nothing is wrong with its key."""
    record = history.statements.get(bytes.fromhex(own.commitment))
    if record is None:
        return "not in the log"
    try:
        history.key_at(record.key, record.index, Role.STATEMENT)
    except AuthorshipError as error:
        return f"no longer valid: {error}"
    return None
