"""Every head that this node meets, of whatever log: two that contradict are kept as a proof.

Callers work in a session of theirs, and so in their transaction (SPEC 5.10).
"""

from collections.abc import Iterator
from functools import cache

from sqlmodel import Session

from bcca_node.storage import heads
from bcca_node.storage.heads import MetHead, StoredProof
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import RefusedError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.limits import MAX_NOTE_SIGNATURES
from bcca_protocol.merkle import Subtree
from bcca_protocol.misbehaviour import Misbehaviour, from_heads, from_tree, prove
from bcca_protocol.note import Note, verify_note
from bcca_protocol.wire import showable

MAX_PROOFS = 16  # against one key: one is enough, and whoever lies once may lie often


def meet(session: Session, key: VerifierKey, note: Note, *, at: int) -> Misbehaviour | None:
    """Keep a head that `key` signed; return the proof if it signed another root of that size.

    The proof is stored, as found at POSIX second `at`; meeting the same again changes nothing.
    Raises RefusedError for a note that `key` did not sign or that is no head of its log.
    """
    verify_note(note, (key,))
    head = Checkpoint.parse(note.text)
    _require_origin(head, key)
    found: Misbehaviour | None = None
    kept = note
    for known in heads.at_size(session, head.origin, head.size):
        if known.root != head.root:
            found = found or _against(session, key, known, note, at)
        elif known.vkey == key.encode():
            kept = _joined(Note.parse(known.note), kept, key)
        elif not known.vkey and _is_signed(known.note, key):
            kept = _joined(Note.parse(known.note), kept, key)
            heads.drop(session, known)
    heads.keep(session, head, key.encode(), kept.encode())
    return found


def contradict(session: Session, found: Misbehaviour, *, at: int) -> Misbehaviour:
    """Keep both heads of a proof, such as `misbehaviour.from_tree` makes, and the proof itself.

    Return it, or the one that is there already of the same trees. Raises RefusedError for what
    proves nothing.
    """
    prove(found)
    for each in (found.older, found.newer):
        meet(session, found.key, each, at=at)
    return _store(session, found, at)


def compare(
    session: Session, key: VerifierKey, newer: Note, tree: Subtree, *, at: int
) -> list[Misbehaviour]:
    """Meet `newer`, and compare every smaller head of its log that was met with its `tree`.

    Return the proofs of those that contradict, at most MAX_PROOFS; they are stored. Raises what
    `meet` raises.
    """
    head = Checkpoint.parse(newer.text)
    met = meet(session, key, newer, at=at)
    found = [] if met is None else [met]
    shared = cache(tree)  # what many smaller trees begin with is hashed once
    for known in heads.roots(session, head.origin, head.size - 1):
        if len(found) == MAX_PROOFS:
            break
        if merkle.root_hash(known.size, shared) != known.root:
            older = heads.note(session, known)
            if older is not None and _is_signed(older, key):
                proof = from_tree(key, Note.parse(older), newer, tree)
                found.append(_store(session, proof, at))
    return found


def proofs(session: Session, origin: str | None = None) -> Iterator[StoredProof]:
    """Yield the stored proofs against `origin`, against anybody if it is None, by time."""
    yield from heads.proofs(session, origin)


def _against(
    session: Session, key: VerifierKey, known: MetHead, note: Note, at: int
) -> Misbehaviour | None:
    """Return the proof that `key` signed both, None if it did not sign the known one."""
    if not _is_signed(known.note, key):
        return None
    return _store(session, from_heads(key, Note.parse(known.note), note), at)


def _is_signed(known: str, key: VerifierKey) -> bool:
    """Say whether `key` signed a known note: who introduces a false key proves nothing."""
    try:
        verify_note(Note.parse(known), (key,))
    except RefusedError:
        return False
    return True


def _store(session: Session, found: Misbehaviour, at: int) -> Misbehaviour:
    """Store a proof, or return the one that is there of the same two trees.

    Of one key no more than MAX_PROOFS are kept: one is enough.
    """
    known = [Misbehaviour.parse(each.evidence) for each in proofs(session, found.key.name)]
    of_key = [each for each in known if each.key == found.key]
    same = next((each for each in of_key if _trees(each) == _trees(found)), None)
    if same is None and len(of_key) < MAX_PROOFS:
        evidence = found.encode()
        proof = StoredProof(id=found.id, origin=found.key.name, found_at=at, evidence=evidence)
        heads.put_proof(session, proof)
    return same or found


def _trees(found: Misbehaviour) -> tuple[tuple[int, bytes], ...]:
    parsed = (Checkpoint.parse(each.text) for each in (found.older, found.newer))
    return tuple((each.size, each.root) for each in parsed)


def _joined(known: Note, met: Note, key: VerifierKey) -> Note:
    """Return the known note and who else signed the same text, its log first.

    Who cosigned is evidence too. Where anybody may have added lines, those known first stay.
    """
    if known.text != met.text:
        return known
    own = next(each for each in met.signatures if each.is_by(key))
    lines = {(own.name, own.key_id): own}
    for each in (*known.signatures, *met.signatures):
        lines.setdefault((each.name, each.key_id), each)
    return Note(text=known.text, signatures=tuple(lines.values())[:MAX_NOTE_SIGNATURES])


def _require_origin(head: Checkpoint, key: VerifierKey) -> None:
    """Raise RefusedError unless `head` is of the log for which `key` speaks."""
    if head.origin != key.name:
        raise RefusedError(f"a head of {showable(head.origin)} under the key {key.label}")
