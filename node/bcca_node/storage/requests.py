"""Requests for data at rest, from partners and to them, and what happened to each (SPEC 13.11)."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import Session, col, delete, func, select

from bcca_node.storage.dealings import GrantRow, PartnerRow, PartRow, RequestEventRow, RequestRow
from bcca_node.storage.partners import PartState
from bcca_node.storage.tables import StatementRow
from bcca_protocol.period import Span


class State(StrEnum):
    """Where a request stands."""

    NEW = "new"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    QUESTION = "question"
    FULFILLED = "fulfilled"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


OPEN = frozenset({State.NEW, State.ACCEPTED, State.QUESTION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request for data of a partner (`incoming`), or to one; empty texts were not given.

    `part` is the customer's number, `wanted` the product as it was asked for, `product` the one
    that it turned out to be. `agreed` is when this node last accepted it, 0 if never.
    """

    id: str
    partner: str
    incoming: bool
    part: str
    wanted: str
    product: str
    period_start: str
    period_end: str
    purpose: str
    due: str
    state: State
    reason: str
    commitment: str
    created: int
    changed: int
    agreed: int = 0
    reminded: int = 0

    @property
    def is_open(self) -> bool:
        """Say whether somebody is still to act."""
        return self.state in OPEN

    @property
    def span(self) -> Span:
        """Return the period that is asked for."""
        return Span(self.period_start, self.period_end)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent:
    """One thing that `by`, an origin, did to a request; empty texts were not given."""

    id: str
    partner: str
    request: str
    by: str
    at: int
    kind: str
    text: str = ""
    reason: str = ""
    product: str = ""
    commitment: str = ""


def get(session: Session, partner: str, request: str) -> Request | None:
    """Return the request of that name between this node and a partner."""
    row = session.get(RequestRow, (partner, request))
    return None if row is None else _request(row)


def put(session: Session, request: Request) -> None:
    """Keep a request, in the place of what was known of it."""
    session.merge(RequestRow(**asdict(request)))
    session.flush()


def chosen(
    session: Session,
    *,
    incoming: bool | None = None,
    partner: str | None = None,
    states: Collection[State] = (),
    product: str | None = None,
) -> list[Request]:
    """Return the requests of one direction, partner, product or some states, the oldest first."""
    found = select(RequestRow).order_by(col(RequestRow.created), col(RequestRow.id))
    if incoming is not None:
        found = found.where(col(RequestRow.incoming) == incoming)
    if partner is not None:
        found = found.where(col(RequestRow.partner) == partner)
    if states:
        found = found.where(col(RequestRow.state).in_(sorted(states)))
    if product is not None:
        found = found.where(col(RequestRow.product) == product)
    return [_request(row) for row in session.exec(found)]


def called(session: Session, name: str) -> list[Request]:
    """Return the requests whose id begins with `name`, which is hexadecimal."""
    found = select(RequestRow).where(col(RequestRow.id) >= name, col(RequestRow.id) < name + "g")
    return [_request(row) for row in session.exec(found.order_by(col(RequestRow.id)))]


def open_count(session: Session, partner: str) -> int:
    """Return how many requests of a partner wait for this node."""
    counted = select(func.count()).select_from(RequestRow)
    waiting = col(RequestRow.state).in_(sorted(OPEN))
    mine = counted.where(
        col(RequestRow.partner) == partner, col(RequestRow.incoming).is_(True), waiting
    )
    return session.exec(mine).one()


def kept_count(session: Session, partner: str) -> int:
    """Return how many requests of a partner are kept, whatever became of them."""
    counted = select(func.count()).select_from(RequestRow)
    mine = counted.where(col(RequestRow.partner) == partner, col(RequestRow.incoming).is_(True))
    return session.exec(mine).one()


def due(session: Session, after: str, until: str) -> list[Request]:
    """Return the open requests that are due after a time and not after another."""
    found = select(RequestRow).where(
        col(RequestRow.state).in_(sorted(OPEN)),
        col(RequestRow.due) > after,
        col(RequestRow.due) <= until,
    )
    ordered = found.order_by(col(RequestRow.created), col(RequestRow.id))
    return [_request(row) for row in session.exec(ordered)]


def answerable(
    session: Session, kinds: Collection[str], *, size: int, at: int
) -> list[tuple[str, str]]:
    """Return partner and name of the open requests that may have an answer, the oldest first.

    There is a statement of one of `kinds` for them among the first `size` entries, and they were
    answered with something by the operator, or their partner may see it at `at` anyway.
    """
    fits = and_(
        col(StatementRow.kind).in_(sorted(kinds)),
        col(StatementRow.index) < size,
        or_(col(StatementRow.ended).is_(None), col(StatementRow.ended) >= size),
        col(StatementRow.period_start) <= col(RequestRow.period_start),
        col(StatementRow.period_end) >= col(RequestRow.period_end),
        or_(col(RequestRow.state) != State.NEW, _seen(at)),
    )
    named = select(StatementRow.commitment).where(
        col(StatementRow.product) == col(RequestRow.product), fits
    )
    part = (
        select(StatementRow.commitment)
        .join(PartRow, col(PartRow.ours) == col(StatementRow.product))
        .where(
            col(PartRow.partner) == col(RequestRow.partner),
            col(PartRow.theirs) == col(RequestRow.part),
            col(PartRow.state) == PartState.CONFIRMED,
            fits,
        )
    )
    believed = select(PartnerRow.origin).where(
        col(PartnerRow.origin) == col(RequestRow.partner), col(PartnerRow.refused) == ""
    )
    chosen = select(RequestRow.partner, RequestRow.id).where(
        col(RequestRow.state).in_(sorted(OPEN)),
        col(RequestRow.incoming).is_(True),
        believed.exists(),
        or_(named.exists(), and_(col(RequestRow.product) == "", part.exists())),
    )
    return list(session.exec(chosen.order_by(col(RequestRow.created), col(RequestRow.id))))


def add_event(session: Session, event: RequestEvent) -> bool:
    """Keep what happened; say whether it was new."""
    key = (event.partner, event.request, event.by, event.id)
    if session.get(RequestEventRow, key) is not None:
        return False
    session.add(RequestEventRow(**asdict(event)))
    session.flush()
    return True


def events(session: Session, partner: str, request: str) -> list[RequestEvent]:
    """Return what happened to a request, in order of time."""
    order = (col(RequestEventRow.at), col(RequestEventRow.by), col(RequestEventRow.id))
    found = select(RequestEventRow).where(
        col(RequestEventRow.partner) == partner, col(RequestEventRow.request) == request
    )
    return [RequestEvent(**row.model_dump()) for row in session.exec(found.order_by(*order))]


def drop_event(session: Session, event: RequestEvent) -> None:
    """Forget one thing that was said."""
    key = (event.partner, event.request, event.by, event.id)
    row = session.get(RequestEventRow, key)
    if row is not None:
        session.delete(row)
        session.flush()


def said_count(session: Session, partner: str, request: str, by: str) -> int:
    """Return how many things somebody has said about a request."""
    counted = select(func.count()).select_from(RequestEventRow)
    mine = counted.where(
        col(RequestEventRow.partner) == partner,
        col(RequestEventRow.request) == request,
        col(RequestEventRow.by) == by,
    )
    return session.exec(mine).one()


def early_count(session: Session, partner: str) -> int:
    """Return how many events of a partner are about requests that have not come."""
    there = select(RequestRow.id).where(
        col(RequestRow.partner) == partner, col(RequestRow.id) == col(RequestEventRow.request)
    )
    counted = select(func.count()).select_from(RequestEventRow)
    early = counted.where(col(RequestEventRow.partner) == partner, ~there.exists())
    return session.exec(early).one()


def drop_one(session: Session, request: Request) -> None:
    """Forget a request, and what happened to it."""
    named = request.partner, request.id
    session.exec(
        delete(RequestEventRow).where(
            col(RequestEventRow.partner) == named[0], col(RequestEventRow.request) == named[1]
        )
    )
    session.exec(
        delete(RequestRow).where(
            col(RequestRow.partner) == named[0], col(RequestRow.id) == named[1]
        )
    )


def _seen(at: int) -> ColumnElement[bool]:
    """Say of a statement that the partner of a request may see it at POSIX second `at`."""
    about = or_(
        and_(
            col(GrantRow.scope) == "statement",
            col(GrantRow.about) == col(StatementRow.commitment),
        ),
        and_(col(GrantRow.scope) == "product", col(GrantRow.about) == col(StatementRow.product)),
        and_(col(GrantRow.scope) == "all", col(GrantRow.about) == ""),
    )
    granted = select(GrantRow.partner).where(
        col(GrantRow.partner) == col(RequestRow.partner),
        or_(col(GrantRow.until).is_(None), col(GrantRow.until) > at),
        about,
    )
    return or_(col(StatementRow.sharing) == "public", granted.exists())


def _request(row: RequestRow) -> Request:
    return Request(**{**row.model_dump(), "state": State(row.state)})
