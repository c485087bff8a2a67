"""What partners told by PACT is to be fetched, and of what they were told by this node (SPEC 16.4).

Partners are named by their origin, `pact:NAME`. Times are POSIX seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlmodel import Field, Session, SQLModel, col, delete, func, insert, select

from bcca_node.storage.pactsending import Sent
from bcca_node.storage.tables import Whole


class PactFetchRow(SQLModel, table=True):
    """A footprint that a partner told is new or changed, and that is to be fetched."""

    __tablename__ = "pact_fetch"

    partner: str = Field(primary_key=True)
    footprint: str = Field(primary_key=True)
    told_at: int = Field(sa_type=Whole)
    attempts: int = Field(sa_type=Whole)
    next_at: int = Field(sa_type=Whole)
    state: str = Field(index=True)
    told: str


class PactToldRow(SQLModel, table=True):
    """That a partner was told of a footprint in a status: nobody is told twice."""

    __tablename__ = "pact_told"

    partner: str = Field(primary_key=True)
    footprint: str = Field(primary_key=True)
    status: str = Field(primary_key=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A footprint to be fetched from a partner."""

    partner: str
    footprint: str
    told_at: int
    attempts: int
    next_at: int
    told: str


def put(session: Session, partner: str, footprint: str, at: int) -> None:
    """Have a footprint fetched, also where that was done before: it may have changed."""
    session.merge(
        PactFetchRow(
            partner=partner,
            footprint=footprint,
            told_at=at,
            attempts=0,
            next_at=at,
            state=Sent.WAITING,
            told="",
        )
    )


def waiting(session: Session, partner: str) -> int:
    """Return how many footprints of a partner are still to be fetched."""
    chosen = select(func.count()).where(
        col(PactFetchRow.partner) == partner, col(PactFetchRow.state) == Sent.WAITING
    )
    return int(session.exec(chosen).one())


def due(session: Session, at: int, limit: int) -> list[Fetch]:
    """Return what is to be fetched now, the oldest first."""
    chosen = select(PactFetchRow).where(
        col(PactFetchRow.state) == Sent.WAITING, col(PactFetchRow.next_at) <= at
    )
    order = col(PactFetchRow.told_at), col(PactFetchRow.partner), col(PactFetchRow.footprint)
    return [_fetch(row) for row in session.exec(chosen.order_by(*order).limit(limit))]


def settle(session: Session, fetch: Fetch, state: Sent, *, at: int, told: str = "") -> None:
    """Note what became of a fetch, unless the partner has told of the footprint again since.

    Where it still waits, `at` is when it is tried again.
    """
    row = session.get(PactFetchRow, (fetch.partner, fetch.footprint))
    if row is None or row.told_at != fetch.told_at or row.state != Sent.WAITING:
        return
    row.state, row.told, row.attempts, row.next_at = state, told, row.attempts + 1, at
    session.add(row)
    session.flush()


def told(session: Session, partner: str) -> set[tuple[str, str]]:
    """Return of which footprints a partner was told, and in which status."""
    chosen = select(PactToldRow.footprint, PactToldRow.status).where(
        col(PactToldRow.partner) == partner
    )
    return set(session.exec(chosen))


def set_told(session: Session, partner: str, changes: Iterable[tuple[str, str]]) -> None:
    """Note of which footprints a partner is told, in which status."""
    rows = [{"partner": partner, "footprint": name, "status": status} for name, status in changes]
    if rows:
        session.exec(insert(PactToldRow), params=rows)


def forget(session: Session, partner: str) -> None:
    """Drop all that is kept of a partner."""
    for table in (PactFetchRow, PactToldRow):
        session.exec(delete(table).where(col(table.partner) == partner))


def _fetch(row: PactFetchRow) -> Fetch:
    return Fetch(
        partner=row.partner,
        footprint=row.footprint,
        told_at=row.told_at,
        attempts=row.attempts,
        next_at=row.next_at,
        told=row.told,
    )
