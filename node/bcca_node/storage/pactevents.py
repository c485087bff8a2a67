"""What came as events of PACT, and what partners and this node asked each other (SPEC 16.4).

Partners are named by their origin, `pact:NAME`. Times are POSIX seconds.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlmodel import Field, Session, SQLModel, col, delete, func, select

from bcca_node.storage import pactfetch, pactnews, pactsending
from bcca_node.storage.tables import Whole


class Answer(StrEnum):
    """How a request stands that a partner made of this node, or this node of a partner."""

    OPEN = "open"
    FULFILLED = "fulfilled"
    REJECTED = "rejected"


class PactTakenRow(SQLModel, table=True):
    """An event of a partner that was taken: what comes again changes nothing."""

    __tablename__ = "pact_taken"

    partner: str = Field(primary_key=True)
    event: str = Field(primary_key=True)
    digest: bytes
    at: int = Field(sa_type=Whole, index=True)


class PactRequestRow(SQLModel, table=True):
    """A request of a partner, by the event that made it; `request` is its name in the inbox.

    `answered` is the event that answers it: there is one at most, for ever.
    """

    __tablename__ = "pact_request"

    partner: str = Field(primary_key=True)
    event: str = Field(primary_key=True)
    request: str = Field(index=True)
    data: bytes
    at: int = Field(sa_type=Whole)
    state: str = Field(index=True)
    answered: str


class PactAskedRow(SQLModel, table=True):
    """A request of this node, by its event, and how it was answered; `footprints` in spaces."""

    __tablename__ = "pact_asked"

    event: str = Field(primary_key=True)
    partner: str = Field(index=True)
    data: bytes
    at: int = Field(sa_type=Whole)
    state: str
    answer: str
    changed: int = Field(sa_type=Whole)
    code: str
    message: str
    footprints: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of `partner`, made by its event; `data` are its criteria as they came."""

    partner: str
    event: str
    request: str
    data: bytes
    at: int
    state: Answer = Answer.OPEN
    answered: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request of this node to `partner`, made by its event, and what was answered."""

    event: str
    partner: str
    data: bytes
    at: int
    state: Answer = Answer.OPEN
    answer: str = ""
    changed: int = 0
    code: str = ""
    message: str = ""
    footprints: tuple[str, ...] = ()


def taken(session: Session, partner: str, event: str) -> bytes | None:
    """Return the digest of an event that was taken from a partner, None if it was not."""
    row = session.get(PactTakenRow, (partner, event))
    return None if row is None else row.digest


def take(session: Session, partner: str, event: str, digest: bytes, at: int) -> None:
    """Note that an event of a partner is taken."""
    session.add(PactTakenRow(partner=partner, event=event, digest=digest, at=at))
    session.flush()


def taken_since(session: Session, partner: str, since: int) -> int:
    """Return how many events of a partner were taken since then."""
    chosen = select(func.count()).where(
        col(PactTakenRow.partner) == partner, col(PactTakenRow.at) >= since
    )
    return int(session.exec(chosen).one())


def request(session: Session, partner: str, event: str) -> Asked | None:
    """Return what a partner asked by an event."""
    row = session.get(PactRequestRow, (partner, event))
    return None if row is None else _asked(row)


def put_request(session: Session, asked: Asked) -> None:
    """Keep what a partner asks, in the place of what was known of it."""
    session.merge(PactRequestRow(**asdict(asked)))
    session.flush()


def open_requests(session: Session, partner: str | None = None) -> list[Asked]:
    """Return what nobody has answered yet, the oldest first."""
    chosen = select(PactRequestRow).where(col(PactRequestRow.state) == Answer.OPEN)
    if partner is not None:
        chosen = chosen.where(col(PactRequestRow.partner) == partner)
    ordered = chosen.order_by(col(PactRequestRow.at), col(PactRequestRow.event))
    return [_asked(row) for row in session.exec(ordered)]


def request_counts(session: Session) -> tuple[int, int, int]:
    """Return how many requests of partners there are, how many are open, and when the last came."""
    counted = select(func.count(), func.max(PactRequestRow.at))
    waiting = select(func.count()).where(col(PactRequestRow.state) == Answer.OPEN)
    count, last = session.exec(counted).one()
    return count, session.exec(waiting).one(), last or 0


def request_called(session: Session, partner: str, name: str) -> Asked | None:
    """Return what a partner asked, by its name in the inbox."""
    chosen = select(PactRequestRow).where(
        col(PactRequestRow.partner) == partner, col(PactRequestRow.request) == name
    )
    row = session.exec(chosen).first()
    return None if row is None else _asked(row)


def wanted(session: Session, event: str) -> Wanted | None:
    """Return what this node asked by an event."""
    row = session.get(PactAskedRow, event)
    return None if row is None else _wanted(row)


def put_wanted(session: Session, asked: Wanted) -> None:
    """Keep what this node asks, in the place of what was known of it."""
    names = " ".join(asked.footprints)
    session.merge(PactAskedRow(**{**asdict(asked), "footprints": names}))
    session.flush()


def all_wanted(session: Session, partner: str | None = None) -> list[Wanted]:
    """Return what this node asked of everybody or of one partner, the oldest first."""
    chosen = select(PactAskedRow).order_by(col(PactAskedRow.at), col(PactAskedRow.event))
    if partner is not None:
        chosen = chosen.where(col(PactAskedRow.partner) == partner)
    return [_wanted(row) for row in session.exec(chosen)]


def forget(session: Session, partner: str) -> int:
    """Drop all that is kept of a partner; return how many events had not reached it."""
    pactfetch.forget(session, partner)
    pactnews.forget(session, partner)
    for table in (PactTakenRow, PactRequestRow, PactAskedRow):
        session.exec(delete(table).where(col(table.partner) == partner))
    return pactsending.forget(session, partner)


def prune(session: Session, before: int) -> None:
    """Forget which events were taken before that time; what they asked is kept."""
    session.exec(delete(PactTakenRow).where(col(PactTakenRow.at) < before))


def _asked(row: PactRequestRow) -> Asked:
    return Asked(**{**row.model_dump(), "state": Answer(row.state)})


def _wanted(row: PactAskedRow) -> Wanted:
    names = tuple(row.footprints.split())
    return Wanted(**{**row.model_dump(), "state": Answer(row.state), "footprints": names})
