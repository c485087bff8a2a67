"""What is said about a request, and where that leaves it: kept alike on both sides (SPEC 13.11).

Every function works in the session, and so in the transaction, of its caller. Whoever asks names
the request, so nothing is looked up by that name alone: only together with the partner.
"""

from dataclasses import dataclass, replace

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.partners import event as events
from bcca_node.partners import outbox, states
from bcca_node.partners.event import RequestEvent, RequestKind, Wanted
from bcca_node.partners.states import Side, Standing
from bcca_node.partners.usual import require_usual
from bcca_node.storage import outbox as deliveries
from bcca_node.storage import requests
from bcca_node.storage.partners import Partner
from bcca_node.storage.requests import Request, State
from bcca_protocol import period
from bcca_protocol.errors import (
    ConflictError,
    LimitError,
    MalformedError,
    RefusedError,
    StatementError,
    UnavailableError,
    UnusableError,
)
from bcca_protocol.inventory import Interval

MAX_OPEN = 5_000  # requests of one partner that wait: the parts of a hundred packs
MAX_KEPT = 50_000  # requests of one partner, whatever became of them: ten years of as many
MAX_SAID = 1_000  # things that one partner says about one request: nobody reads more
MAX_EARLY = 1_000  # events of one partner whose requests have not come: they follow in seconds
MAX_AHEAD_SECONDS = 600  # of a partner's clock: what is said is put in order by it
# Of what is said here, for the sake of that order: a partner's 600 s, and as much for replies.
MAX_LEAD_SECONDS = 2 * MAX_AHEAD_SECONDS


class ClockError(UnusableError):
    """What was said before is dated far ahead of this node's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something to say about a request."""

    kind: RequestKind
    comment: str | None = None
    reason: events.Reason | None = None
    product: str | None = None
    commitment: str | None = None


def receive(
    session: Session, partner: Partner, request_id: str, wanted: Wanted, at: int
) -> Request:
    """Keep what a partner asks of this node; what came before stays as it is.

    Raises MalformedError for a request without part, product or period, ConflictError where the
    name is taken, UnavailableError where too many wait: it may come again later.
    """
    asked = _asked(partner.origin, request_id, wanted, at)
    return _begin(session, replace(asked, incoming=True))


def agree(node: Node, session: Session, request: Request) -> Request:
    """Accept a new request that the operator has accepted with its invitation; return it."""
    if request.state is not State.NEW:
        return request
    return say(node, session, request, Remark(kind="accepted"))


def sent(session: Session, partner: Partner, request_id: str, wanted: Wanted, at: int) -> Request:
    """Keep what this node asks of a partner; raises as `receive` does."""
    return _begin(session, _asked(partner.origin, request_id, wanted, at))


def take(node: Node, session: Session, partner: Partner, event: RequestEvent) -> None:
    """Keep what a partner says about a request between it and this node.

    What comes before its request is kept too: so a request of somebody else is like one that is
    not there. Raises MalformedError for what nobody says, ConflictError, LimitError; and
    UnavailableError for what may come again later: too many, or a time that is yet to come.
    """
    at, said_at = node.clock(), posix(event.at)
    if said_at > at + MAX_AHEAD_SECONDS:
        raise UnavailableError(
            f"event {event.id}: at {event.at}, and it is {period.text_at(at)} here: set the clock"
        )
    if event.kind == "created":
        if event.wanted is None:
            raise MalformedError(f"event {event.id}: a request that does not say what is wanted")
        receive(session, partner, event.request, event.wanted, at)
        return
    require_usual(event)
    origin = partner.origin
    request = requests.get(session, origin, event.request)
    _require_room(session, origin, event, request)
    said = _row(origin, origin, event, said_at)
    if requests.add_event(session, said) and request is not None:
        settle(session, request, at)


def say(node: Node, session: Session, request: Request, remark: Remark) -> Request:
    """Keep what this node says about a request, have the partner told, return where it stands.

    Whether it may be said is for the caller to have asked. Raises ClockError, having kept nothing,
    where that would have to be dated far ahead.
    """
    now = node.clock()
    # Later than everything it answers, whatever the clocks say: both sides sort by this time.
    at = max([now, *(each.at + 1 for each in _before(node, session, request, now))])
    told = RequestEvent(
        id=events.new_id(),
        at=period.text_at(at),
        request=request.id,
        kind=remark.kind,
        reason=remark.reason,
        comment=remark.comment,
        product=remark.product,
        commitment=remark.commitment,
    )
    require_sayable(told)
    requests.add_event(session, _row(request.partner, node.origin, told, at))
    outbox.put(session, request.partner, told, now)
    if remark.kind == "accepted":
        request = replace(request, agreed=now)
        requests.put(session, request)
    return settle(session, request, now)


def require_sayable(told: RequestEvent) -> None:
    """Raise UnusableError for what the partner would not take."""
    try:
        events.decode(events.encode(told))
    except RefusedError as error:
        raise UnusableError(f"this cannot be said: {error}") from error


def settle(session: Session, request: Request, at: int) -> Request:
    """Return and keep where a request stands at `at` after all that was said about it."""
    found = standing(session, request)
    state = states.shown(found, posix(request.due) if request.due else None, at)
    settled = replace(
        request,
        state=state,
        reason=found.reason,
        product=found.product or request.wanted,
        commitment=found.commitment,
        changed=request.changed if state is request.state else at,
    )
    if settled != request:
        requests.put(session, settled)
    return settled


def standing(session: Session, request: Request) -> Standing:
    """Return where a request stands by what was said alone, whatever the time is."""
    said = requests.events(session, request.partner, request.id)
    return states.of(said, partner=request.partner, is_customer=request.incoming)


def side(request: Request) -> Side:
    """Return what this node is to a request."""
    return Side.SUPPLIER if request.incoming else Side.CUSTOMER


def posix(time: str) -> int:
    """Return the POSIX second that a time on the wire writes; raises MalformedError."""
    try:
        return int(period.moment(time).timestamp())
    except StatementError as error:
        raise MalformedError(str(error)) from error


def _before(
    node: Node, session: Session, request: Request, now: int
) -> list[requests.RequestEvent]:
    """Return what was said about a request, without what this clock dated far ahead.

    While the clock was wrong it was said to nobody: partners put such an event off. So it is taken
    back on this side too. Raises ClockError for what has reached the partner, or came from it.
    """
    said = requests.events(session, request.partner, request.id)
    ahead = [each for each in said if each.at >= now + MAX_LEAD_SECONDS]
    for each in ahead:
        if each.by != node.origin or not deliveries.take_back(session, request.partner, each.id):
            raise ClockError(
                f"request {request.id}: {each.by} said something at {period.text_at(each.at)}, and "
                f"it is {period.text_at(now)} here: a clock was ahead, or this one is behind"
            )
        requests.drop_event(session, each)
    return [each for each in said if each not in ahead]


def _row(partner: str, by: str, event: RequestEvent, at: int) -> requests.RequestEvent:
    """Return an event as it is kept."""
    return requests.RequestEvent(
        id=event.id,
        partner=partner,
        request=event.request,
        by=by,
        at=at,
        kind=event.kind,
        text=event.comment or "",
        reason=event.reason or "",
        product=event.product or "",
        commitment=event.commitment or "",
    )


def _asked(partner: str, name: str, wanted: Wanted, at: int) -> Request:
    """Return a request of this node as it begins; raises MalformedError."""
    _require_askable(wanted)
    return Request(
        id=name,
        partner=partner,
        incoming=False,
        part=wanted.part or "",
        wanted=wanted.product or "",
        product=wanted.product or "",
        period_start=wanted.period.start,
        period_end=wanted.period.end,
        purpose=wanted.purpose,
        due=wanted.due or "",
        state=State.NEW,
        reason="",
        commitment="",
        created=at,
        changed=at,
    )


def _begin(session: Session, request: Request) -> Request:
    """Keep a request unless it is there, and return it as it stands."""
    partner = request.partner
    known = requests.get(session, partner, request.id)
    if known is not None:
        _require_same(known, request)
        return known
    if request.incoming and requests.open_count(session, partner) >= MAX_OPEN:
        raise UnavailableError(
            f"{MAX_OPEN} requests of {partner} wait already: withdraw some, or wait for answers"
        )
    if request.incoming and requests.kept_count(session, partner) >= MAX_KEPT:
        raise UnavailableError(f"{MAX_KEPT} requests of {partner} are kept here, and no more")
    requests.put(session, request)
    # What came early counts now; and one that was due long ago has expired as it comes.
    return settle(session, request, request.created)


def _require_askable(wanted: Wanted) -> None:
    if wanted.part is None and wanted.product is None:
        raise MalformedError("a request names neither a part number nor a product: name one")
    try:
        period.span(Interval(wanted.period.start, wanted.period.end), "period")
    except StatementError as error:
        raise MalformedError(f"request: {error}") from error
    if wanted.due is not None:
        posix(wanted.due)


def _require_same(known: Request, again: Request) -> None:
    """Raise ConflictError where one name stands for two requests."""
    asked = ("incoming", "part", "wanted", "period_start", "period_end", "purpose", "due")
    for each in asked:
        if getattr(known, each) != getattr(again, each):
            raise ConflictError(f"request {again.id}: asked before, and with another {each}")


def _require_room(
    session: Session, partner: str, event: RequestEvent, request: Request | None
) -> None:
    if request is None:
        if requests.early_count(session, partner) >= MAX_EARLY:
            raise UnavailableError(
                f"{MAX_EARLY} events of {partner} are about requests that never came"
            )
        return
    if event.kind not in states.kinds(states.other(side(request))):
        raise MalformedError(
            f"event {event.id}: "
            f"{states.refusal(request.state, states.other(side(request)), event.kind)}"
        )
    if requests.said_count(session, partner, request.id, partner) >= MAX_SAID:
        raise LimitError(f"request {request.id}: {MAX_SAID} things are said, and no more are kept")
