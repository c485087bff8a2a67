"""Events on their way to partners: in which order they go, and what became of each."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Update
from sqlmodel import Session, case, col, delete, func, select, update

from bcca_node.storage.dealings import DeliveryRow

# A place is taken from the clock, so that a database restored from a backup gives none twice:
# a partner that has fetched more than that knows of would never see what came after.
_PLACES_A_SECOND = 1_000
HOLDS_UP = 5  # failures after which an event lets the later ones of its partner go first


class State(StrEnum):
    """What became of an event."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"  # given up, until somebody sends it again


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event for a partner: `begun` is since when it is tried, `told` what went wrong last.

    `place` rises with what is for this partner, and tells nothing of what is for others.
    """

    number: int
    partner: str
    place: int
    event: str
    body: bytes
    begun: int
    attempts: int
    next_at: int
    state: State
    told: str


def put(session: Session, partner: str, event: str, body: bytes, at: int) -> int:
    """Have an event delivered, and return its number; one that is there already stays as it is.

    It waits with those of its partner that nobody answers: who is away is not asked more often.
    """
    same = col(DeliveryRow.partner) == partner, col(DeliveryRow.event) == event
    known = session.exec(select(DeliveryRow.number).where(*same)).first()
    if known is not None:
        return known
    number = newest(session) + 1
    row = DeliveryRow(
        number=number,
        partner=partner,
        place=max(_last_place(session, partner) + 1, at * _PLACES_A_SECOND),
        event=event,
        body=body,
        created=at,
        attempts=0,
        next_at=max(at, _next_at(session, partner)),
        state=State.WAITING,
        told="",
    )
    session.add(row)
    session.flush()
    return number


def newest(session: Session) -> int:
    """Return the number of the last event that was put here, 0 before the first."""
    return int(session.exec(select(func.max(col(DeliveryRow.number)))).one() or 0)


def due(session: Session, at: int) -> list[str]:
    """Return the partners for whom something waits and whose pause is over, by name."""
    chosen = select(DeliveryRow.partner).where(col(DeliveryRow.state) == State.WAITING)
    partner = col(DeliveryRow.partner)
    over = func.max(col(DeliveryRow.next_at)) <= at
    return list(session.exec(chosen.group_by(partner).having(over).order_by(partner)))


def waiting_for(session: Session, partner: str, limit: int) -> list[Delivery]:
    """Return what waits for a partner, the oldest first, and last what has failed too often."""
    late = case((col(DeliveryRow.attempts) >= HOLDS_UP, 1), else_=0)
    chosen = select(DeliveryRow).where(
        col(DeliveryRow.partner) == partner, col(DeliveryRow.state) == State.WAITING
    )
    rows = session.exec(chosen.order_by(late, col(DeliveryRow.number)).limit(limit))
    return [_delivery(row) for row in rows]


def in_state(session: Session, state: State) -> list[Delivery]:
    """Return what is waiting, or dead, the oldest first."""
    chosen = select(DeliveryRow).where(col(DeliveryRow.state) == state)
    return [_delivery(row) for row in session.exec(chosen.order_by(col(DeliveryRow.number)))]


def attempts(session: Session, partner: str) -> int:
    """Return how often anything that waits for a partner was tried in vain."""
    chosen = select(func.sum(col(DeliveryRow.attempts))).where(
        col(DeliveryRow.partner) == partner, col(DeliveryRow.state) == State.WAITING
    )
    return int(session.exec(chosen).one() or 0)


def settle(session: Session, number: int, state: State, told: str = "") -> None:
    """Note what became of an event after one more attempt; what was delivered stays so."""
    session.exec(
        update(DeliveryRow)
        .where(col(DeliveryRow.number) == number, col(DeliveryRow.state) != State.DELIVERED)
        .values(state=state, told=told, attempts=DeliveryRow.attempts + 1)
    )


def pause(session: Session, partner: str, until: int) -> None:
    """Let everything that waits for a partner wait until then."""
    session.exec(_waiting(partner).values(next_at=until))


def wake(session: Session, partner: str, at: int) -> None:
    """Let what waits for a partner be tried now: it has just been heard of."""
    session.exec(_waiting(partner).where(col(DeliveryRow.next_at) > at).values(next_at=at))


def again(session: Session, number: int, at: int) -> Delivery | None:
    """Begin anew with an event that waits or is dead; return it, None where there is none."""
    row = session.get(DeliveryRow, number)
    if row is None or row.state == State.DELIVERED:
        return None
    row.state, row.attempts, row.created, row.told = State.WAITING, 0, at, ""
    session.add(row)
    session.flush()
    wake(session, row.partner, at)
    session.refresh(row)
    return _delivery(row)


def take_back(session: Session, partner: str, event: str) -> bool:
    """Drop an event that was not delivered; return whether it was not."""
    same = col(DeliveryRow.partner) == partner, col(DeliveryRow.event) == event
    undelivered = delete(DeliveryRow).where(*same, col(DeliveryRow.state) != State.DELIVERED)
    return session.exec(undelivered).rowcount > 0


def addressed(session: Session, partner: str, since: int, limit: int) -> list[Delivery]:
    """Return the first `limit` events for a partner in a place above `since`, by place.

    Delivered ones too: who has lost what it was told may ask for it again.
    """
    chosen = select(DeliveryRow).where(
        col(DeliveryRow.partner) == partner, col(DeliveryRow.place) > since
    )
    rows = session.exec(chosen.order_by(col(DeliveryRow.place)).limit(limit))
    return [_delivery(row) for row in rows]


def is_confirmed(session: Session, partner: str, place: int) -> bool:
    """Say whether all that is for a partner counts as delivered up to that place."""
    found = select(DeliveryRow.number).where(*_up_to(partner, place)).limit(1)
    return session.exec(found).first() is None


def confirm(session: Session, partner: str, place: int) -> None:
    """Count what is for a partner as delivered up to that place: it has fetched it."""
    up_to = _up_to(partner, place)
    session.exec(update(DeliveryRow).where(*up_to).values(state=State.DELIVERED, told=""))


def give_up(session: Session, partner: str, begun: int, why: str) -> int:
    """Give up whatever waits for a partner since `begun` or longer; return how much that is."""
    old = _waiting(partner).where(col(DeliveryRow.created) <= begun)
    return session.exec(old.values(state=State.DEAD, told=why)).rowcount


def drop(session: Session, partner: str) -> int:
    """Forget all that is or was for a partner; return how much of it still waited or was dead.

    The newest number of all stays taken, for nobody: what is under way under it settles no other.
    """
    whose = col(DeliveryRow.partner) == partner
    left = select(func.count()).where(whose, col(DeliveryRow.state) != State.DELIVERED)
    lost = int(session.exec(left).one())
    last = whose, col(DeliveryRow.number) == newest(session)
    nobody = {"partner": "", "event": "", "body": b"", "state": State.DELIVERED, "told": ""}
    session.exec(update(DeliveryRow).where(*last).values(nobody))
    session.exec(delete(DeliveryRow).where(whose))
    return lost


def prune(session: Session, before: int) -> None:
    """Forget what was delivered before that time, but for the last of each partner.

    So no number and no place is given twice.
    """
    last = select(func.max(col(DeliveryRow.number))).group_by(col(DeliveryRow.partner))
    session.exec(
        delete(DeliveryRow).where(
            col(DeliveryRow.state) == State.DELIVERED,
            col(DeliveryRow.created) < before,
            col(DeliveryRow.number).not_in(last.scalar_subquery()),
        )
    )


def _up_to(partner: str, place: int) -> tuple[ColumnElement[bool], ...]:
    return (
        col(DeliveryRow.partner) == partner,
        col(DeliveryRow.place) <= place,
        col(DeliveryRow.state) != State.DELIVERED,
    )


def _waiting(partner: str) -> Update:
    return update(DeliveryRow).where(
        col(DeliveryRow.partner) == partner, col(DeliveryRow.state) == State.WAITING
    )


def _last_place(session: Session, partner: str) -> int:
    chosen = select(func.max(col(DeliveryRow.place))).where(col(DeliveryRow.partner) == partner)
    return int(session.exec(chosen).one() or 0)


def _next_at(session: Session, partner: str) -> int:
    chosen = select(func.max(col(DeliveryRow.next_at))).where(
        col(DeliveryRow.partner) == partner, col(DeliveryRow.state) == State.WAITING
    )
    return int(session.exec(chosen).one() or 0)


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(
        number=row.number,
        partner=row.partner,
        place=row.place,
        event=row.event,
        body=row.body,
        begun=row.created,
        attempts=row.attempts,
        next_at=row.next_at,
        state=State(row.state),
        told=row.told,
    )
