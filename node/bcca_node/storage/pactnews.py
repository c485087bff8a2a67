"""From where on PACT partners are told what is new here, and what may have changed for them.

Partners are named by their origin, `pact:NAME` (SPEC 16.4).
"""

from sqlmodel import Field, Session, SQLModel, col, func, select

from bcca_node.storage import logs
from bcca_node.storage.dealings import GrantRow, PartRow, RequestEventRow
from bcca_node.storage.tables import Whole

_FIRST, _BEHIND = "pact:", "pact;"  # between these stands every name of a PACT partner


class PactBeginningRow(SQLModel, table=True):
    """From which entry of this log on a partner is told: it became one when there were so many."""

    __tablename__ = "pact_beginning"

    partner: str = Field(primary_key=True)
    entry: int = Field(sa_type=Whole)


def begin(session: Session, partner: str) -> None:
    """Have a partner told of what is published from now on."""
    head = logs.published_head(session)
    session.merge(PactBeginningRow(partner=partner, entry=0 if head is None else head.size))
    session.flush()


def beginning(session: Session, partner: str) -> int:
    """Return from which entry on a partner is told; from the first if nobody said so."""
    row = session.get(PactBeginningRow, partner)
    return 0 if row is None else row.entry


def forget(session: Session, partner: str) -> None:
    """Drop what is kept of a partner."""
    row = session.get(PactBeginningRow, partner)
    if row is not None:
        session.delete(row)
        session.flush()


def said(session: Session, origin: str) -> tuple[object, ...]:
    """Return what changes when PACT partners are granted something, or `origin` answers them."""
    granted = select(func.count(), func.max(GrantRow.given), func.max(GrantRow.until)).where(
        col(GrantRow.partner) >= _FIRST, col(GrantRow.partner) < _BEHIND
    )
    told = select(func.count()).where(
        col(RequestEventRow.partner) >= _FIRST,
        col(RequestEventRow.partner) < _BEHIND,
        col(RequestEventRow.by) == origin,
    )
    paired = select(func.count(), func.max(PartRow.changed)).where(
        col(PartRow.partner) >= _FIRST, col(PartRow.partner) < _BEHIND
    )
    return (*session.exec(granted).one(), session.exec(told).one(), *session.exec(paired).one())
