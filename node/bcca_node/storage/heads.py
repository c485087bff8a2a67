"""Heads of any log that anybody showed this node, and the proofs that two of them gave."""

from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from bcca_node.storage.tables import HeadRow, MisbehaviourRow
from bcca_protocol.checkpoint import Checkpoint

MAX_HEADS = 10_000  # kept for one key: a year of one an hour; a proof needs two
MAX_HEAD_BYTES = 33_554_432  # of their notes: 10,000 of 3.3 kB, with some twenty cosignatures


@dataclass(frozen=True, slots=True, kw_only=True)
class MetHead:
    """A head, its note with its log's signature, and the key under which it was met.

    What version 1 of the tables has met has no key: it is empty.
    """

    origin: str
    size: int
    root: bytes
    note: str
    vkey: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetRoot:
    """What a head says of its tree, without its note; `vkey` is as in `MetHead`."""

    origin: str
    size: int
    root: bytes
    vkey: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProof:
    """A proof of misbehaviour, named by the SHA-256 of `evidence`, the file."""

    id: str
    origin: str
    found_at: int
    evidence: bytes


def at_size(session: Session, origin: str, size: int) -> list[MetHead]:
    """Return every head of `origin` of that size."""
    chosen = select(HeadRow).where(col(HeadRow.origin) == origin, col(HeadRow.size) == size)
    return [_met(row) for row in session.exec(chosen)]


def above(session: Session, origin: str, size: int) -> list[MetHead]:
    """Return every head of `origin` of more than that size, the largest first."""
    chosen = select(HeadRow).where(col(HeadRow.origin) == origin, col(HeadRow.size) > size)
    ordered = chosen.order_by(col(HeadRow.size).desc(), col(HeadRow.root))
    return [_met(row) for row in session.exec(ordered)]


def every(session: Session, origin: str) -> list[MetHead]:
    """Return every head of `origin`, by size."""
    ordered = col(HeadRow.size), col(HeadRow.root)
    chosen = select(HeadRow).where(col(HeadRow.origin) == origin).order_by(*ordered)
    return [_met(row) for row in session.exec(chosen)]


def roots(session: Session, origin: str, size: int) -> list[MetRoot]:
    """Return what every head of `origin` of at most that size says, by size; no note is read."""
    said = col(HeadRow.size), col(HeadRow.root), col(HeadRow.vkey)
    chosen = select(*said).where(col(HeadRow.origin) == origin, col(HeadRow.size) <= size)
    ordered = session.exec(chosen.order_by(*said))
    return [MetRoot(origin=origin, size=at, root=root, vkey=vkey) for at, root, vkey in ordered]


def note(session: Session, met: MetRoot) -> str | None:
    """Return the note of a head, None if it was given up since."""
    row = session.get(HeadRow, (met.origin, met.size, met.root, met.vkey))
    return None if row is None else row.note


def keep(session: Session, head: Checkpoint, vkey: str, note: str) -> None:
    """Keep a head under a key, or replace its note by one with more signatures.

    Of more than MAX_HEADS or MAX_HEAD_BYTES of one key the smallest give way: a log that shows two
    trees does so at its end, and what lies behind is compared with its tree.
    """
    held = len(note.encode())
    row = session.get(HeadRow, (head.origin, head.size, head.root, vkey))
    if row is not None and row.note == note:
        return
    if row is not None:
        session.delete(row)
        session.flush()
    _make_room(session, head.origin, vkey, held)
    row = HeadRow(
        origin=head.origin, size=head.size, root=head.root, vkey=vkey, held=held, note=note
    )
    session.add(row)


def drop(session: Session, met: MetHead) -> None:
    """Forget a head that is kept under another key."""
    row = session.get(HeadRow, (met.origin, met.size, met.root, met.vkey))
    if row is not None:
        session.delete(row)


def put_proof(session: Session, proof: StoredProof) -> None:
    """Keep a proof; one that is there already stays as it was found."""
    if session.get(MisbehaviourRow, proof.id) is None:
        session.add(
            MisbehaviourRow(
                id=proof.id,
                origin=proof.origin,
                found_at=proof.found_at,
                evidence=proof.evidence,
            )
        )


def proofs(session: Session, origin: str | None = None) -> list[StoredProof]:
    """Return the proofs against `origin`, against everybody if it is None, the oldest first."""
    chosen = select(MisbehaviourRow)
    if origin is not None:
        chosen = chosen.where(col(MisbehaviourRow.origin) == origin)
    ordered = chosen.order_by(col(MisbehaviourRow.found_at), col(MisbehaviourRow.id))
    return [
        StoredProof(id=row.id, origin=row.origin, found_at=row.found_at, evidence=row.evidence)
        for row in session.exec(ordered)
    ]


def _make_room(session: Session, origin: str, vkey: str, held: int) -> None:
    """Give up the smallest heads of a key until one more, with a note of `held` bytes, has room."""
    of_key = col(HeadRow.origin) == origin, col(HeadRow.vkey) == vkey
    counted = select(func.count(), func.coalesce(func.sum(col(HeadRow.held)), 0)).where(*of_key)
    count, total = session.exec(counted).one()
    smallest = select(HeadRow).where(*of_key).order_by(col(HeadRow.size)).limit(1)
    while count and (count >= MAX_HEADS or total + held > MAX_HEAD_BYTES):
        row = session.exec(smallest).one()
        count, total = count - 1, total - row.held
        session.delete(row)


def _met(row: HeadRow) -> MetHead:
    return MetHead(origin=row.origin, size=row.size, root=row.root, note=row.note, vkey=row.vkey)
