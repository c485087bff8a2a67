"""An acceptance that who invited refuses for good: then nobody became a partner (SPEC 13.10)."""

from dataclasses import replace

from sqlmodel import Session

from bcca_node.partners import event as events
from bcca_node.partners.event import Accepted
from bcca_node.storage import grants, partners, requests
from bcca_node.storage.outbox import Delivery
from bcca_protocol import period
from bcca_protocol.errors import RefusedError


def turn_away(session: Session, refused: Delivery, told: str) -> None:
    """Believe who invited that this node is no partner, where it refuses the acceptance.

    What its invitation asked for is dropped: nobody would get the answer. Who came by it is refused
    and loses what it was granted; who was a partner before stays one.
    """
    try:
        event = events.decode(refused.body)
    except RefusedError:
        return  # of another version
    known = partners.get(session, refused.partner)
    if not isinstance(event, Accepted) or known is None or known.invitation != event.invitation:
        return
    begun = int(period.moment(event.at).timestamp())
    asked = requests.chosen(session, incoming=True, partner=known.origin)
    dropped = [each for each in asked if each.created == begun]
    for each in dropped:
        requests.drop_one(session, each)
    if known.since != begun:
        partners.put(session, replace(known, invitation=""))
        return
    grants.forget(session, known.origin)
    lost = f"; dropped: {_counted(len(dropped))}" if dropped else ""
    why = f"it refused that its invitation was accepted: {told}{lost}"
    # Its log proves its keys, and not that it wants to deal with this node.
    partners.put(session, replace(known, refused=why, proven_at=None))


def _counted(requests_: int) -> str:
    return "1 request" if requests_ == 1 else f"{requests_} requests"
