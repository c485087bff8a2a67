"""What this node has seen as a witness of other logs."""

from hashlib import sha256

from sqlmodel import Session, col, func, select, update

from bcca_node.storage.tables import HeadRow, WitnessedRow
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.witness import WitnessState

MAX_HEADS = 10_000  # kept for one log: a year of one an hour; a proof of a lie needs two


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


def keep(session: Session, seen: Checkpoint, signed: str) -> None:
    """Keep a head with its log's signature, cosigned or not, up to MAX_HEADS of a log."""
    known = session.get(HeadRow, (seen.origin, seen.size, seen.root))
    count = select(func.count()).where(col(HeadRow.origin) == seen.origin)
    if known is None and session.exec(count).one() < MAX_HEADS:
        session.add(HeadRow(origin=seen.origin, size=seen.size, root=seen.root, note=signed))


def heads(session: Session, origin: str) -> list[Checkpoint]:
    """Return every head of `origin` that was shown here, by size."""
    chosen = select(HeadRow).where(col(HeadRow.origin) == origin).order_by(col(HeadRow.size))
    return [Checkpoint(origin=origin, size=row.size, root=row.root) for row in session.exec(chosen)]
