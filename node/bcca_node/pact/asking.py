"""What this node asks of PACT partners, and their one answer to each (SPEC 16.4)."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.pact import cloudevents, intake
from bcca_node.pact.cloudevents import MAX_MESSAGE_CHARS, Created, Fulfilled, Rejected
from bcca_node.storage import pactevents, pactsending
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.pactevents import Answer, Wanted
from bcca_node.storage.pactsending import Letter
from bcca_protocol.errors import ConflictError, MalformedError, RefusedError, UnusableError
from bcca_protocol.wire import showable

MAX_PRODUCTS = 100  # in one request, which has one answer: whoever wants more asks for a list


def ask(node: Node, partner: PactPartner, products: Sequence[str], comment: str = "") -> Wanted:
    """Ask a partner for the footprints of products, and return the request.

    It is kept with the event that tells it, in one transaction: `bcca serve` sends it. Raises
    UnusableError for what nobody can answer.
    """
    if not 0 < len(products) <= MAX_PRODUCTS or not all(products):
        raise UnusableError(
            f"{len(products)} products in one request: name 1 to {MAX_PRODUCTS}, each by its URN"
        )
    if len(comment) > MAX_MESSAGE_CHARS:
        raise UnusableError(
            f"comment: {len(comment)} characters, where at most {MAX_MESSAGE_CHARS} are sent"
        )
    asked: dict[str, object] = {"productId": list(dict.fromkeys(products))}
    data = msgspec.json.encode(asked | ({"comment": comment} if comment else {}))
    at, event_id = node.clock(), cloudevents.new_id()
    body = cloudevents.encode(event_id, node.settings.url, at, Created(data=data, comment=comment))
    try:
        cloudevents.decode(body)
    except RefusedError as error:
        raise UnusableError(f"this cannot be asked: {error}") from error
    wanted = Wanted(event=event_id, partner=partner.origin, data=data, at=at, changed=at)
    letter = Letter(partner=partner.origin, event=event_id, what="request", body=body)
    with node.database.write() as session:
        pactevents.put_wanted(session, wanted)
        pactsending.send(session, letter, at)
    return wanted


def fulfilled(
    node: Node, session: Session, partner: PactPartner, event_id: str, told: Fulfilled
) -> None:
    """Keep what answers a request of this node, and every footprint in it as it came.

    Raises MalformedError where nothing of the kind was asked, ConflictError for a second answer.
    """
    asked, at = _open(session, partner, told.request_event_id), node.clock()
    came = intake.take_all(node, session, partner.origin, [bytes(each) for each in told.pfs], at)
    answered = replace(asked, state=Answer.FULFILLED, answer=event_id, changed=at)
    names = dict.fromkeys(each.footprint.id for each in came.taken)
    # One that cannot even be kept is told beside the request, and keeps out no other.
    left = "; ".join(came.refused)[:MAX_MESSAGE_CHARS]
    pactevents.put_wanted(session, replace(answered, footprints=tuple(names), message=left))


def rejected(
    node: Node, session: Session, partner: PactPartner, event_id: str, told: Rejected
) -> None:
    """Keep why a request of this node is not served; raises as `fulfilled` does."""
    asked = _open(session, partner, told.request_event_id)
    answered = replace(asked, state=Answer.REJECTED, answer=event_id, changed=node.clock())
    code, message = showable(told.error.code), showable(told.error.message)
    pactevents.put_wanted(session, replace(answered, code=code, message=message))


def _open(session: Session, partner: PactPartner, name: str) -> Wanted:
    """Return what this node asked of `partner` under that name, and nobody has answered."""
    asked = pactevents.wanted(session, name)
    if asked is None or asked.partner != partner.origin:
        raise MalformedError(
            f"requestEventId {showable(name)}: this node asked nothing of the kind of "
            f"{partner.origin}: answer with the id of its RequestCreatedEvent"
        )
    if asked.state is not Answer.OPEN:
        raise ConflictError(
            f"requestEventId {showable(name)}: {asked.state} before, by event "
            f"{showable(asked.answer)}, and a request has one answer"
        )
    return asked
