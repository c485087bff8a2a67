"""What the owner of this node has to know and to act on, until that is done."""

from dataclasses import dataclass

from sqlmodel import Session, col, select, update

from bcca_node.storage.tables import AlarmRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One thing to act on, in a sentence; `id` is the same whenever it is found again."""

    id: str
    raised_at: int
    what: str


def standing(session: Session) -> list[Alarm]:
    """Return the alarms that nobody has dealt with, the oldest first."""
    chosen = select(AlarmRow).where(col(AlarmRow.cleared_at).is_(None))
    ordered = chosen.order_by(col(AlarmRow.raised_at), col(AlarmRow.id))
    return [
        Alarm(id=row.id, raised_at=row.raised_at, what=row.what) for row in session.exec(ordered)
    ]


def put(session: Session, alarm: Alarm) -> bool:
    """Let an alarm stand; return False if it stood already."""
    row = session.get(AlarmRow, alarm.id)
    if row is not None and row.cleared_at is None:
        return False
    if row is None:
        row = AlarmRow(id=alarm.id, raised_at=alarm.raised_at, what=alarm.what)
    row.raised_at, row.what, row.cleared_at = alarm.raised_at, alarm.what, None
    session.add(row)
    return True


def clear(session: Session, at: int) -> None:
    """Put every alarm out, at POSIX second `at`."""
    session.exec(update(AlarmRow).where(col(AlarmRow.cleared_at).is_(None)).values(cleared_at=at))
