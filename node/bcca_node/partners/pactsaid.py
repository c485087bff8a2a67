"""What may be said of the request of a PACT partner: yes or no, and once (SPEC 16.4)."""

from sqlmodel import Session

from bcca_node.storage import pactclients, pactevents
from bcca_node.storage.pactevents import Answer
from bcca_node.storage.requests import Request
from bcca_protocol.errors import UnusableError

_ANSWERS = frozenset({"accepted", "declined"})


def require_sayable(session: Session, request: Request, kind: str) -> None:
    """Raise UnusableError for what a PACT partner cannot be told of its request."""
    if not pactclients.is_pact(request.partner):
        return
    if kind not in _ANSWERS:
        raise UnusableError(
            f"request {request.id}: PACT has no event for a {kind}: accept or decline it, with a "
            "comment if you like, or write to whoever asks"
        )
    asked = pactevents.request_called(session, request.partner, request.id)
    if asked is not None and asked.state is not Answer.OPEN:
        raise UnusableError(
            f"request {request.id}: {request.partner} was told that it is {asked.state}, and PACT "
            "has one answer to a request: it may ask again, and what you grant it, it can fetch"
        )
