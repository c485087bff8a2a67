"""This node as a witness of others: what it cosigned is stored before it is answered (SPEC 5.7).

Every head that its log signed is kept, refused or not: two that disagree are a proof.
"""

import logging
from dataclasses import replace
from http import HTTPStatus

from sqlmodel import Session

from bcca_node.ledger import alarm, heads
from bcca_node.ledger.node import Node
from bcca_node.storage import witnessed
from bcca_protocol import witness
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import UnavailableError
from bcca_protocol.keys import Role, VerifierKey
from bcca_protocol.misbehaviour import Misbehaviour
from bcca_protocol.note import Note
from bcca_protocol.witness import Answer, WitnessState

_LOGGER = logging.getLogger(__name__)
_ATTEMPTS = 5  # each fails only because another request for the same log succeeded


def add_checkpoint(node: Node, request: bytes) -> Answer:
    """Return the answer to an add-checkpoint request.

    Raises UnusableError if the keys are closed, UnavailableError if others are always faster.
    """
    for _ in range(_ATTEMPTS):
        answer = _attempt(node, request)
        if answer is not None:
            return answer
    raise UnavailableError(f"witness {node.origin}: this log is being cosigned, ask again")


def _attempt(node: Node, request: bytes) -> Answer | None:
    """Return an answer and store what it says; None if another head came in between."""
    before: WitnessState | None = None

    def last(origin: str) -> WitnessState | None:
        nonlocal before
        with node.database.read() as session:
            before = witnessed.last(session, origin)
        return before

    signer, known, at = node.keys.signer(Role.WITNESS), _logs(node), node.clock()
    answer = witness.answer(request, known, last, signer, at)
    if answer.note is None:
        return answer
    note, shown = answer.note, Checkpoint.parse(answer.note.text)
    logs_own = replace(note, signatures=note.signatures[:1])  # no cosignature that never left
    foreign = _foreign(node, shown, note)
    if foreign is not None:
        answer = _forbidden(foreign)
    with node.database.write() as session:
        found = heads.meet(session, known[shown.origin], logs_own, at=at)
        if answer.checkpoint is not None and witnessed.last(session, shown.origin) == before:
            answer = _refusal(node, session, shown, signer.key, found) or answer
        stored = answer.checkpoint is None or witnessed.replace(
            session, before, shown, note.encode()
        )
        if stored and answer.checkpoint is not None:
            heads.meet(session, known[shown.origin], note, at=at)
    if found is not None:
        _LOGGER.warning("log %s signed two trees of %s entries", shown.origin, shown.size)
    return answer if stored else None


def _refusal(
    node: Node, session: Session, shown: Checkpoint, key: VerifierKey, found: Misbehaviour | None
) -> Answer | None:
    """Return why this witness, with what it has met, does not cosign a head that fits, or None.

    Of a head at which its log has ended another may have been `found`: its recovery key decides.
    And who knows what a witness `key` out of a backup has promised since.
    """
    end = node.trust.ends().get(shown.origin)
    is_end = end is not None and (shown.size, shown.root) == (end.size, end.root)
    if found is not None and not is_end:
        return _forbidden(f"log {shown.origin} signed two trees of {shown.size} entries")
    if not witnessed.is_forgotten(session, key.encode()):
        return None
    return Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        body=f"witness {node.origin} was restored from a backup and has forgotten what it cosigned "
        "since: its owner runs `bcca keys rotate witness`, then put its new key into your policy\n",
    )


def _forbidden(why: str) -> Answer:
    return Answer(status=HTTPStatus.FORBIDDEN, body=f"{why}\n")


def _foreign(node: Node, shown: Checkpoint, note: Note) -> str | None:
    """Return why this node does not cosign what a witness without a past might, or None.

    A log counts up to its end note and no further. And nobody shows this node more of its own log
    than there is, or another tree, but a thief of its key or a copy of this node.
    """
    end = node.trust.ends().get(shown.origin)
    if end is not None and (shown.size > end.size or _is_other(shown, end.size, end.root)):
        return f"log {shown.origin} has ended with {end.size} entries: its key was stolen"
    if shown.origin != node.origin:
        return None
    with node.database.read() as session:
        what = alarm.contradiction(node, session, ["whoever asked this node to cosign"], note)
    if what is None:
        return None
    alarm.sound(node, [(what, note)])
    return f"log {shown.origin}: this head is not its owner's"


def _is_other(shown: Checkpoint, size: int, root: bytes) -> bool:
    """Say whether a head is of another tree than the one that ended."""
    return shown.size == size and shown.root != root


def _logs(node: Node) -> dict[str, VerifierKey]:
    policy = node.trust.policy()
    trusted = {} if policy is None else {name: line.key for name, line in policy.logs.items()}
    return {**trusted, node.origin: node.log_key}
