"""Events of PACT partners: each taken once, however often it comes (SPEC 16.4).

Whoever tells something learns whether it was taken, and nothing about what this node holds.
"""

import hashlib

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.pact import asking, clients, cloudevents, replies
from bcca_node.pact.cloudevents import Created, Event, Fulfilled, Published, Rejected
from bcca_node.partners.inlet import KEEP_TAKEN, MAX_A_DAY, FullError, StrangerError
from bcca_node.storage import pactevents, pactfetch, pactsending
from bcca_node.storage.pactclients import PactPartner
from bcca_protocol.errors import ConflictError
from bcca_protocol.wire import showable

__all__ = ["KEEP_TAKEN", "FullError", "StrangerError", "take"]

MAX_TO_FETCH = 100_000  # footprints of one partner that wait to be fetched: all of a large one's
_DAY = 86_400


def take(node: Node, caller: PactPartner, body: bytes) -> bool:
    """Take the event in `body`, all of it or nothing, and say whether it is new.

    Raises MalformedError, LimitError for what is no event of `caller`, ConflictError for one that
    says something else under a name that was taken, StrangerError for whoever is no partner any
    more, FullError.
    """
    event = cloudevents.decode(body)
    at = node.clock()
    with node.database.write() as session:
        partner = clients.get(session, caller.name)
        if partner is None:
            raise StrangerError(f"{caller.origin} is no partner of this node any more")
        cloudevents.require_source(event.source, partner.url)
        if not _is_new(session, partner, event, body, at):
            return False
        _dispatch(node, session, partner, event)
        pactsending.wake(session, partner.origin, at)  # it is up again
    return True


def _is_new(session: Session, partner: PactPartner, event: Event, body: bytes, at: int) -> bool:
    """Note that an event is taken; say whether that is new. Raises ConflictError, FullError."""
    origin = partner.origin
    known = pactevents.taken(session, origin, event.id)
    if known is not None:
        # What an earlier version took is known by the digest of its bytes.
        if known not in {event.digest, hashlib.sha256(body).digest()}:
            raise ConflictError(
                f"event {showable(event.id)}: taken before, with another type, source or data: "
                "what is new has another id"
            )
        return False
    if pactevents.taken_since(session, origin, at - _DAY) >= MAX_A_DAY:
        raise FullError(f"{origin} has sent {MAX_A_DAY} events in a day: the next one waits")
    pactevents.take(session, origin, event.id, event.digest, at)
    return not _is_remembered(session, origin, event)


def _is_remembered(session: Session, origin: str, event: Event) -> bool:
    """Say whether what an event asks or answers is known, longer than its bytes are."""
    match event.told:
        case Created():
            return pactevents.request(session, origin, event.id) is not None
        case Fulfilled(request_event_id=name) | Rejected(request_event_id=name):
            asked = pactevents.wanted(session, name)
            return asked is not None and (asked.partner, asked.answer) == (origin, event.id)
        case Published():
            return False


def _dispatch(node: Node, session: Session, partner: PactPartner, event: Event) -> None:
    match event.told:
        case Created():
            replies.receive(node, session, partner, event.id, event.told)
        case Fulfilled():
            asking.fulfilled(node, session, partner, event.id, event.told)
        case Rejected():
            asking.rejected(node, session, partner, event.id, event.told)
        case Published():
            _published(node, session, partner, event.told)


def _published(node: Node, session: Session, partner: PactPartner, told: Published) -> None:
    """Have fetched what a partner told is new or changed; what it is, its host says alone."""
    named = dict.fromkeys(each.lower() for each in told.pf_ids)
    waiting = pactfetch.waiting(session, partner.origin)
    if waiting + len(named) > MAX_TO_FETCH:
        raise FullError(f"{waiting} footprints of {partner.origin} wait to be fetched")
    for each in named:
        pactfetch.put(session, partner.origin, each, node.clock())
