"""What partners tell this node: each event taken once, however often it comes (SPEC 13.8).

Whoever tells something learns whether it was taken, and nothing about what this node holds.
"""

import hashlib
import logging
from dataclasses import dataclass
from enum import StrEnum

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.partners import book, page, parts, requests
from bcca_node.partners import event as events
from bcca_node.partners.event import (
    Accepted,
    AuditorEvent,
    Event,
    PartsEvent,
    RequestEvent,
    StatementEvent,
)
from bcca_node.partners.outbox import KEEP_DELIVERED, PATH
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import grants, inbox, news, outbox, partners
from bcca_node.storage.grants import Appointment
from bcca_node.storage.news import News
from bcca_node.storage.partners import Partner
from bcca_protocol import period
from bcca_protocol.errors import (
    ConflictError,
    MalformedError,
    RefusedError,
    StatementError,
    UnavailableError,
)
from bcca_protocol.keys import VerifierKey

MAX_A_DAY = 5_000  # events of one partner: a thousand requests, and all that is said about them
MAX_APPOINTMENTS = 100  # by one partner: each is looked at in every answer to its auditor
MAX_UNREAD = 10_000  # news of one partner that nobody has read
KEEP_TAKEN = KEEP_DELIVERED + 15 * 86_400  # seconds; senders forget before, and send no more
MAX_PAGES = 50  # of one partner in one turn: as many events as it may send in a day
_DAY = 86_400

_LOGGER = logging.getLogger(__name__)


class StrangerError(RefusedError):
    """Who tells something is no partner of this node."""


class FullError(UnavailableError):
    """A partner has told more than is taken in a day, or than anybody has read."""


class Result(StrEnum):
    """What became of an event."""

    TAKEN = "taken"
    KNOWN = "known"  # it came before


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """That an event is kept here, and need not be sent again."""

    id: str
    result: Result


def take(node: Node, caller: Caller, body: bytes) -> Taken:
    """Take the event in `body` from `caller`, all of it or nothing.

    Raises StrangerError for whoever is no partner, unless it accepts an invitation; MalformedError,
    LimitError for what is no event, ConflictError for another event of a name that was taken, and
    FullError.
    """
    try:
        event = events.decode(body)
    except RefusedError:
        require_partner(node, caller)  # a stranger does not learn what an event is
        raise
    if isinstance(event, Accepted):
        return _accepted(node, caller, event)
    require_partner(node, caller)
    with node.database.write() as session:
        partner = _partner(session, caller)
        is_new = _is_new(node, session, partner.origin, event, body)
        if is_new:
            _dispatch(node, session, partner, event)
    return _taken(event, is_new=is_new)


def require_partner(node: Node, caller: Caller) -> Partner:
    """Return the partner that calls; raises StrangerError for everybody else."""
    with node.database.read() as session:
        return _partner(session, caller)


async def pull(node: Node, fetcher: Fetcher, partner: Partner) -> int:
    """Fetch the events that a partner keeps for this node, as if it had posted them.

    Return how many were new. What is wrong with one of them is logged, and the next is taken.
    Raises UnavailableError, RefusedError where there is no page of that partner.
    """
    key, new = VerifierKey.parse(partner.request_key), 0
    for _ in range(MAX_PAGES):
        with node.database.read() as session:
            since = inbox.pulled(session, partner.origin)
        body = await fetcher.find(
            f"{partner.url}{PATH}?since={since}",
            limit=page.MAX_PAGE_BYTES,
            audience=partner.origin,
        )
        if body is None:
            return new  # it does not know this node yet, or any more
        told = page.verify(body, key, origin=partner.origin, to=node.origin, since=since)
        for each in told.events:
            new += _take_pulled(node, partner, each.event.encode(), each.place)
        if told.next == since:
            return new
    return new


def _take_pulled(node: Node, partner: Partner, body: bytes, place: int) -> bool:
    """Take one event of a page, or leave it out for good; say whether it was new."""
    taken, key = None, VerifierKey.parse(partner.request_key)
    caller = Caller(kind=Kind.PARTNER, key=key, origin=partner.origin)
    try:
        taken = take(node, caller, body)
    except RefusedError as error:
        _LOGGER.warning("event of %s: %s", partner.origin, error)
    with node.database.write() as session:
        inbox.set_pulled(session, partner.origin, place)
    return taken is not None and taken.result is Result.TAKEN


def _partner(session: Session, caller: Caller) -> Partner:
    """Return the partner whose key has signed, as it is known now."""
    found = None
    if caller.kind is Kind.PARTNER and caller.key is not None:
        found = partners.by_request_key(session, caller.key.encode())
    if found is None:
        raise StrangerError("events are taken from partners of this node: accept its invitation")
    return found


def _accepted(node: Node, caller: Caller, event: Accepted) -> Taken:
    """Take an acceptance, which its invitation lets in once, whoever it claims to be.

    It counts for no partner's day: only who became one by it is told what waits.
    """
    key = _accepting(caller, event)
    if book.is_accepted(node, event, key):
        return _taken(event, is_new=False)
    with node.database.write() as session:
        invited = partners.invitation(session, event.invitation)
        is_new = invited is None or invited.used_by is None
        met = book.take_acceptance(node, session, event, key)
        if is_new and met is not None:
            outbox.wake(session, met.origin, node.clock())  # it is up again
    return _taken(event, is_new=is_new)


def _taken(event: Event, *, is_new: bool) -> Taken:
    return Taken(id=event.id, result=Result.TAKEN if is_new else Result.KNOWN)


def _accepting(caller: Caller, event: Accepted) -> VerifierKey:
    """Return the key of who accepts an invitation; raises StrangerError for another's name."""
    if caller.key is None or caller.key.encode() != event.request_key:
        raise StrangerError(
            f"the acceptance of {event.origin} names another key than the one that signed it"
        )
    return caller.key


def _is_new(node: Node, session: Session, teller: str, event: Event, body: bytes) -> bool:
    """Note that an event is taken; say whether that is new. Raises ConflictError, FullError."""
    at, digest = node.clock(), hashlib.sha256(body).digest()
    known = inbox.digest(session, teller, event.id)
    if known is not None:
        if known != digest:
            raise ConflictError(f"event {event.id}: taken before, with other bytes")
        return False
    if inbox.count_since(session, teller, at - _DAY) >= MAX_A_DAY:
        raise FullError(f"{teller} has sent {MAX_A_DAY} events in a day: the next one waits")
    inbox.put(session, teller, event.id, digest, at)
    outbox.wake(session, teller, at)  # it is up again
    return True


def _dispatch(
    node: Node,
    session: Session,
    partner: Partner,
    event: RequestEvent | PartsEvent | AuditorEvent | StatementEvent,
) -> None:
    match event:
        case RequestEvent():
            requests.take(node, session, partner, event)
        case PartsEvent():
            parts.take(node, session, partner.origin, event)
        case AuditorEvent():
            _appoint(session, partner.origin, event, at=node.clock())
        case StatementEvent():
            _note(session, partner.origin, event, at=node.clock())


def _appoint(session: Session, recipient: str, event: AuditorEvent, *, at: int) -> None:
    """Let a partner's auditor see what the partner may, or no more."""
    if event.kind == "dismissed":
        grants.dismiss(session, recipient, event.auditor, event.product)
        return
    if VerifierKey.parse(event.request_key).name != event.auditor:
        raise MalformedError(f"auditor {event.auditor}: its key is called otherwise")
    if len(grants.appointments(session, recipient)) >= MAX_APPOINTMENTS:
        raise FullError(f"{recipient} has appointed {MAX_APPOINTMENTS} auditors: dismiss one")
    grants.appoint(
        session,
        Appointment(
            recipient=recipient,
            auditor=event.auditor,
            product=event.product or "",
            request_key=event.request_key,
            given=at,
            until=None if event.until is None else _posix(event.until),
        ),
    )


def _note(session: Session, partner: str, event: StatementEvent, *, at: int) -> None:
    """Keep what became of a statement for who reads the inbox; the log alone proves it."""
    if news.unread_count(session, partner) >= MAX_UNREAD:
        raise FullError(f"{MAX_UNREAD} news of {partner} are unread")
    news.put(
        session,
        News(
            id=event.id,
            partner=partner,
            at=at,
            kind=event.kind,
            issuer=event.issuer,
            commitment=event.commitment,
            successor=event.successor or "",
            product=event.product,
        ),
    )


def _posix(time: str) -> int:
    try:
        return int(period.moment(time).timestamp())
    except StatementError as error:
        raise MalformedError(str(error)) from error
