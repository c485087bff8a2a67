"""Alarms of a log's owner: somebody has been shown another log under its name (SPEC 5.11).

Only heads that this log's own key signed give one, so no witness can invent it. While one
stands, nothing is entered.
"""

import logging
from collections.abc import Iterator, Sequence
from hashlib import sha256

from sqlmodel import Session

from bcca_node.ledger import heads, keylines, log
from bcca_node.ledger.node import Node
from bcca_node.storage import alarms, logs
from bcca_node.storage import heads as met
from bcca_node.storage.alarms import Alarm
from bcca_protocol import merkle, period
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import ConflictError, MalformedError, RefusedError, SignatureError
from bcca_protocol.keys import Role, VerifierKey
from bcca_protocol.note import Note, verify_note

_LOGGER = logging.getLogger(__name__)


def read_head(node: Node, session: Session, note: Note) -> Checkpoint:
    """Return the head in `note`, if it says something about this log.

    Raises MalformedError for a head of another log, SignatureError where no key of this log signed
    it, or, above the entries here, none that is good here: such a key enters nothing.
    """
    verify_note(note, node.log_keys)
    head = Checkpoint.parse(note.text)
    if head.origin != node.origin:
        raise MalformedError(f"a head of {head.origin!r}")
    size = logs.size(session)
    if head.size > size and not _is_good(session, note):
        raise SignatureError(
            f"its head of {head.size} entries is signed by no log key that is good behind the "
            f"{size} entries here: a key that was retired or stolen enters nothing"
        )
    return head


def good_keys(session: Session) -> tuple[VerifierKey, ...]:
    """Return the log keys that are good behind the last entry here (SPEC 5.4)."""
    known = keylines.read(logs.lines_like(session, keylines.BEGINNING))
    return tuple(e.key for e in known.values() if e.role is Role.LOG and e.ended is None)


def known_heads(node: Node, session: Session, above: int = -1) -> Iterator[Note]:
    """Yield every head of this log over `above` entries that was ever met and says something."""
    for each in met.above(session, node.origin, above):
        note = Note.parse(each.note)
        try:
            read_head(node, session, note)
        except RefusedError:
            continue  # of a key that is no key of this log, or is not good any more
        yield note


def contradiction(node: Node, session: Session, witnesses: Sequence[str], note: Note) -> str | None:
    """Return how a head of this log that `witnesses` have seen contradicts what is here, or None.

    `note` is signed by a key of this log. One above the entries here that no good key signed
    contradicts nothing.
    """
    have_seen = f"{', '.join(witnesses)} {'has' if len(witnesses) == 1 else 'have'} seen"
    seen, size = Checkpoint.parse(note.text), logs.size(session)
    if seen.size > size and not _is_good(session, note):
        return None
    if seen.size > size:
        return (
            f"{have_seen} {seen.size} entries, here are {size}: this is an old copy, or "
            "somebody else holds the log key; run `bcca log recover`"
        )
    root = merkle.root_hash(seen.size, log.subtree(session, size))
    if root != seen.root:
        return (
            f"of its first {seen.size} entries {have_seen} root {seen.root.hex()}, here they "
            f"hash to {root.hex()}: two copies of this node ran, or somebody else holds the "
            "log key; run `bcca log recover`, and `bcca keys end` if the key is stolen"
        )
    return None


def sound(node: Node, found: Sequence[tuple[str, Note]]) -> list[Alarm]:
    """Store an alarm for each head of `found`, pairs of a sentence and its note; return them.

    Each is logged once. Two heads that cannot both be are kept as a proof.
    """
    with node.database.write() as session:
        raised = [_alarm(node, what, note) for what, note in found]
        new = [each for each in raised if alarms.put(session, each)]
        for _, note in found:
            _keep(node, session, note)
    for each in new:
        _LOGGER.error("log %s: ALARM: %s", node.origin, each.what)
    return raised


def require_none(session: Session, origin: str) -> None:
    """Return if no alarm stands, else raise ConflictError."""
    for each in alarms.standing(session):
        raise ConflictError(
            f"log {origin}: nothing is entered since the alarm of "
            f"{period.text_at(each.raised_at)}: {each.what}"
        )


def _is_good(session: Session, note: Note) -> bool:
    """Say whether a key signed a head that is good behind the last entry here."""
    try:
        verify_note(note, good_keys(session))
    except RefusedError:
        return False
    return True


def _alarm(node: Node, what: str, note: Note) -> Alarm:
    """Return the alarm about a head, named by what its log signed."""
    named = sha256(note.text.encode()).hexdigest()
    return Alarm(id=named, raised_at=node.clock(), what=what)


def _keep(node: Node, session: Session, seen: Note) -> None:
    """Keep a head of this log that is not its own, with the proof that two trees were signed."""
    own, at = logs.last_head(session), node.clock()
    for key in verify_note(seen, node.log_keys):
        heads.meet(session, key, seen, at=at)
        if own is not None and key in verify_note(Note.parse(own.note), node.log_keys):
            tree = log.subtree(session, own.size)
            heads.compare(session, key, Note.parse(own.note), tree, at=at)
