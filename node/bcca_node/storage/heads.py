"""Heads of any log that anybody showed this node, and the proofs that two of them gave."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

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


_IS_IT = "origin = :origin AND size = :size AND root = :root AND vkey = :vkey"
_AT_SIZE = text(
    "SELECT origin, size, root, note, vkey FROM head WHERE origin = :origin AND size = :size"
)
_ROOTS = text(
    "SELECT size, root, vkey FROM head WHERE origin = :origin AND size <= :size "
    "ORDER BY size, root, vkey"
)
_NOTE = text(f"SELECT note FROM head WHERE {_IS_IT}")  # noqa: S608 - words of ours
_DROP = text(f"DELETE FROM head WHERE {_IS_IT}")  # noqa: S608 - as above
_PUT = text(
    "INSERT INTO head (origin, size, root, vkey, held, note) "
    "VALUES (:origin, :size, :root, :vkey, :held, :note)"
)
_COUNTED = text(
    "SELECT count(*), coalesce(sum(held), 0) FROM head WHERE origin = :origin AND vkey = :vkey"
)
_SMALLEST = text(
    "SELECT origin, size, root, vkey, held FROM head WHERE origin = :origin AND vkey = :vkey "
    "ORDER BY size LIMIT 1"
)


def at_size(session: Session, origin: str, size: int) -> list[MetHead]:
    """Return every head of `origin` of that size."""
    rows = session.connection().execute(_AT_SIZE, {"origin": origin, "size": size})
    return [_met(row) for row in rows]


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
    rows = session.connection().execute(_ROOTS, {"origin": origin, "size": size})
    return [MetRoot(origin=origin, size=at, root=root, vkey=vkey) for at, root, vkey in rows]


def note(session: Session, met: MetRoot) -> str | None:
    """Return the note of a head, None if it was given up since."""
    return _note(session, met.origin, met.size, met.root, met.vkey)


def keep(session: Session, head: Checkpoint, vkey: str, note: str) -> None:
    """Keep a head under a key, or replace its note by one with more signatures.

    Of more than MAX_HEADS or MAX_HEAD_BYTES of one key the smallest give way: a log that shows two
    trees does so at its end, and what lies behind is compared with its tree.
    """
    held = len(note.encode())
    known = _note(session, head.origin, head.size, head.root, vkey)
    if known == note:
        return
    name = {"origin": head.origin, "size": head.size, "root": head.root, "vkey": vkey}
    if known is not None:
        session.connection().execute(_DROP, name)
    _make_room(session, head.origin, vkey, held)
    session.connection().execute(_PUT, {**name, "held": held, "note": note})


def drop(session: Session, met: MetHead) -> None:
    """Forget a head that is kept under another key."""
    name = {"origin": met.origin, "size": met.size, "root": met.root, "vkey": met.vkey}
    session.connection().execute(_DROP, name)


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
    of_key = {"origin": origin, "vkey": vkey}
    count, total = session.connection().execute(_COUNTED, of_key).one()
    while count and (count >= MAX_HEADS or total + held > MAX_HEAD_BYTES):
        smallest = session.connection().execute(_SMALLEST, of_key).mappings().one()
        count, total = count - 1, total - smallest["held"]
        session.connection().execute(_DROP, {**smallest})


def _note(session: Session, origin: str, size: int, root: bytes, vkey: str) -> str | None:
    name = {"origin": origin, "size": size, "root": root, "vkey": vkey}
    found = session.connection().execute(_NOTE, name).scalar_one_or_none()
    return None if found is None else str(found)


def _met(row: Any) -> MetHead:
    return MetHead(origin=row.origin, size=row.size, root=row.root, note=row.note, vkey=row.vkey)
