"""What this node has cosigned as a witness of other logs, and witnesses of its own."""

from dataclasses import dataclass
from hashlib import sha256

from sqlmodel import Session, col, select, update

from bcca_node.storage.tables import CosignedRow, ForgottenRow, WitnessedRow
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.witness import WitnessState


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """How far a witness is with this node's log: the size and time of its last cosignature.

    `refused` says why it did not cosign when it was asked last, and is empty if it did.
    """

    witness: str
    size: int
    time: int
    asked_at: int
    refused: str


def origin_hash(origin: str) -> str:
    """Return the name under which a witness serves the head of a log (c2sp.org/tlog-witness)."""
    return sha256(origin.encode()).hexdigest()


def last(session: Session, origin: str) -> WitnessState | None:
    """Return the last head of `origin` that was cosigned here."""
    row = session.get(WitnessedRow, origin_hash(origin))
    return None if row is None else WitnessState(size=row.size, root=row.root)


def note(session: Session, hashed: str) -> str | None:
    """Return the last cosigned checkpoint of the log whose origin hashes to `hashed`."""
    row = session.get(WitnessedRow, hashed)
    return None if row is None else row.note


def replace(session: Session, old: WitnessState | None, new: Checkpoint, signed: str) -> bool:
    """Put `new` in the place of `old`; return False if another head has taken it since."""
    hashed = origin_hash(new.origin)
    if old is None:
        if session.get(WitnessedRow, hashed) is not None:
            return False
        row = WitnessedRow(origin_hash=hashed, size=new.size, root=new.root, note=signed)
        session.add(row)
        return True
    done = session.exec(
        update(WitnessedRow)
        .where(
            col(WitnessedRow.origin_hash) == hashed,
            col(WitnessedRow.size) == old.size,
            col(WitnessedRow.root) == old.root,
        )
        .values(size=new.size, root=new.root, note=signed)
    )
    return done.rowcount == 1


def is_forgotten(session: Session, vkey: str) -> bool:
    """Say whether a witness key of this node came out of a backup (SPEC 5.7)."""
    return session.get(ForgottenRow, vkey) is not None


def forget(session: Session, vkey: str) -> None:
    """Note for good that what this witness key has cosigned is not all known here."""
    session.merge(ForgottenRow(vkey=vkey))


def put_cosigned(session: Session, cosigned: Cosigned) -> None:
    """Remember how far a witness of this node's own log is; a refusal takes nothing back."""
    row = session.get(CosignedRow, cosigned.witness)
    if row is None:
        row = CosignedRow(witness=cosigned.witness, size=0, time=0, asked_at=0, refused="")
    row.asked_at, row.refused = cosigned.asked_at, cosigned.refused
    if not cosigned.refused:
        row.size, row.time = cosigned.size, cosigned.time
    session.add(row)


def cosigned(session: Session) -> dict[str, Cosigned]:
    """Return how far each witness is that was ever asked, by its name in the policy."""
    return {
        row.witness: Cosigned(
            witness=row.witness,
            size=row.size,
            time=row.time,
            asked_at=row.asked_at,
            refused=row.refused,
        )
        for row in session.exec(select(CosignedRow))
    }
