"""Events of PACT on their way to partners, and what became of each (SPEC 16.4).

Partners are named by their origin, `pact:NAME`. Times are POSIX seconds.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlmodel import Field, Session, SQLModel, col, delete, func, select, update

from bcca_node.storage.tables import Whole


class Sent(StrEnum):
    """What became of an event to a partner."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"  # given up, until somebody sends it again


class PactSendingRow(SQLModel, table=True):
    """An event on its way to a partner; `created` is since when it is tried.

    One that was `refused` last holds up no other.
    """

    __tablename__ = "pact_sending"

    number: int = Field(sa_type=Whole, primary_key=True)
    partner: str = Field(index=True)
    event: str = Field(index=True)
    what: str
    body: bytes
    created: int = Field(sa_type=Whole)
    attempts: int = Field(sa_type=Whole)
    next_at: int = Field(sa_type=Whole)
    state: str = Field(index=True)
    refused: bool = False
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """An event to be sent to `partner`: its name, in two words `what` it tells, and its bytes."""

    partner: str
    event: str
    what: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """An event for a partner: `told` is what went wrong last."""

    number: int
    partner: str
    event: str
    what: str
    body: bytes
    created: int
    attempts: int
    next_at: int
    state: Sent
    refused: bool
    told: str


def send(session: Session, letter: Letter, at: int) -> int:
    """Have an event delivered, and return its number; one that is there already stays as it is."""
    partner = letter.partner
    same = col(PactSendingRow.partner) == partner, col(PactSendingRow.event) == letter.event
    known = session.exec(select(PactSendingRow.number).where(*same)).first()
    if known is not None:
        return known
    last = session.exec(select(func.max(col(PactSendingRow.number)))).one()
    row = PactSendingRow(
        number=int(last or 0) + 1,
        **asdict(letter),
        created=at,
        attempts=0,
        next_at=max(at, _rests_until(session, partner)),
        state=Sent.WAITING,
        told="",
    )
    session.add(row)
    session.flush()
    return row.number


def due(session: Session, at: int) -> list[str]:
    """Return the partners for whom something is due, by name."""
    chosen = select(PactSendingRow.partner).where(
        col(PactSendingRow.state) == Sent.WAITING, col(PactSendingRow.next_at) <= at
    )
    return list(session.exec(chosen.distinct().order_by(col(PactSendingRow.partner))))


def due_for(session: Session, partner: str, at: int, limit: int) -> list[Sending]:
    """Return the first `limit` events that are due for a partner, what was tried least first.

    So an event over which a host hangs holds up no other; of those the oldest first.
    """
    chosen = select(PactSendingRow).where(
        col(PactSendingRow.partner) == partner,
        col(PactSendingRow.state) == Sent.WAITING,
        col(PactSendingRow.next_at) <= at,
    )
    order = col(PactSendingRow.attempts), col(PactSendingRow.number)
    return [_sending(row) for row in session.exec(chosen.order_by(*order).limit(limit))]


def sendings(session: Session, *states: Sent) -> list[Sending]:
    """Return what is in one of these states, the oldest first."""
    chosen = select(PactSendingRow).where(col(PactSendingRow.state).in_(sorted(states)))
    rows = session.exec(chosen.order_by(col(PactSendingRow.number)))
    return [_sending(row) for row in rows]


def settle(
    session: Session, number: int, state: Sent, told: str = "", *, refused: bool = False
) -> None:
    """Note what became of an event after one more attempt; what was delivered stays so."""
    row = session.get(PactSendingRow, number)
    if row is None or row.state == Sent.DELIVERED:
        return
    row.state, row.told, row.attempts, row.refused = state, told, row.attempts + 1, refused
    session.add(row)
    session.flush()


def rest(session: Session, partner: str, until: int, *, only: int | None = None) -> None:
    """Let all that waits for a partner, or one event of it, wait until then."""
    chosen = update(PactSendingRow).where(
        col(PactSendingRow.partner) == partner, col(PactSendingRow.state) == Sent.WAITING
    )
    if only is not None:
        chosen = chosen.where(col(PactSendingRow.number) == only)
    else:  # what was refused, and waits for longer, is not asked for earlier by that
        chosen = chosen.where(col(PactSendingRow.next_at) < until)
    session.exec(chosen.values(next_at=until))


def wake(session: Session, partner: str, at: int) -> None:
    """Let what waits for a partner be tried now: it is up; what it refused, it refuses still."""
    chosen = update(PactSendingRow).where(
        col(PactSendingRow.partner) == partner,
        col(PactSendingRow.state) == Sent.WAITING,
        col(PactSendingRow.refused).is_(False),
        col(PactSendingRow.next_at) > at,
    )
    session.exec(chosen.values(next_at=at))


def attempts(session: Session, partner: str) -> int:
    """Return how often what waits for a partner was sent, and neither taken nor refused."""
    chosen = select(func.sum(col(PactSendingRow.attempts))).where(
        col(PactSendingRow.partner) == partner,
        col(PactSendingRow.state) == Sent.WAITING,
        col(PactSendingRow.refused).is_(False),
    )
    return int(session.exec(chosen).one() or 0)


def give_up(session: Session, partner: str, since: int, told: str) -> int:
    """Give up what waits for a partner since then or longer; return how much that is."""
    chosen = update(PactSendingRow).where(
        col(PactSendingRow.partner) == partner,
        col(PactSendingRow.state) == Sent.WAITING,
        col(PactSendingRow.created) <= since,
    )
    return session.exec(chosen.values(state=Sent.DEAD, told=told)).rowcount


def again(session: Session, number: int, at: int) -> Sending | None:
    """Begin anew with an event that waits or is dead; return it, None where there is none."""
    row = session.get(PactSendingRow, number)
    if row is None or row.state == Sent.DELIVERED:
        return None
    row.state, row.attempts, row.created, row.next_at, row.told = Sent.WAITING, 0, at, at, ""
    row.refused = False
    session.add(row)
    session.flush()
    return _sending(row)


def forget(session: Session, partner: str) -> int:
    """Drop all that is or was for a partner; return how much of it had not reached it."""
    whose = col(PactSendingRow.partner) == partner
    left = select(func.count()).where(whose, col(PactSendingRow.state) != Sent.DELIVERED)
    lost = int(session.exec(left).one())
    # The newest number of all stays taken, for nobody: what is under way settles no other.
    last = session.exec(select(func.max(col(PactSendingRow.number)))).one()
    nobody = {"partner": "", "event": "", "body": b"", "state": Sent.DELIVERED, "told": ""}
    session.exec(
        update(PactSendingRow).where(whose, col(PactSendingRow.number) == last).values(nobody)
    )
    session.exec(delete(PactSendingRow).where(whose))
    return lost


def prune(session: Session, before: int) -> None:
    """Forget what was delivered, and put here before that time, but for the newest of all."""
    last = session.exec(select(func.max(col(PactSendingRow.number)))).one()
    session.exec(
        delete(PactSendingRow).where(
            col(PactSendingRow.state) == Sent.DELIVERED,
            col(PactSendingRow.created) < before,
            col(PactSendingRow.number) != int(last or 0),
        )
    )


def _rests_until(session: Session, partner: str) -> int:
    """Return until when a partner rests that was not reached: who is away is not asked more."""
    chosen = select(func.max(col(PactSendingRow.next_at))).where(
        col(PactSendingRow.partner) == partner,
        col(PactSendingRow.state) == Sent.WAITING,
        col(PactSendingRow.attempts) > 0,
        col(PactSendingRow.refused).is_(False),
    )
    return int(session.exec(chosen).one() or 0)


def _sending(row: PactSendingRow) -> Sending:
    return Sending(**{**row.model_dump(), "state": Sent(row.state)})
