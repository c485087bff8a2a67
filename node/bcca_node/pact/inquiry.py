"""What a request of a PACT partner asks for, as the operator reads it (SPEC 16.4)."""

import msgspec
from sqlmodel import Session

from bcca_node.pact import criteria, matching
from bcca_node.pact.cloudevents import MAX_MESSAGE_CHARS
from bcca_node.pact.criteria import Criteria
from bcca_node.storage import pactevents, statements
from bcca_node.storage.pactshelf import Term
from bcca_node.storage.requests import Request
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

MAX_SHOWN = 200  # characters of a product id in a sentence: the inbox shows all of it
ID_DIGITS = 8  # of the id of a request: as the inbox lists it

_TOLD: msgspec.json.Decoder[dict[str, object]] = msgspec.json.Decoder(dict[str, object])


def require_ours(session: Session, request: Request) -> None:
    """Raise UnusableError for a request whose product ids are all none of this node.

    One is this node's if a statement or a draft is about it, if a footprint that it serves names
    it, or if it is a confirmed part number of that partner.
    """
    asked = pactevents.request_called(session, request.partner, request.id)
    if asked is None:
        return
    names = Criteria.from_event(_TOLD.decode(asked.data)).terms.get(Term.PRODUCT, ())
    if any(_is_ours(session, request.partner, each) for each in names):
        return
    name, others = request.id[:ID_DIGITS], len(names) - 1
    more = f" and {others} more" if others > 0 else ""
    raise UnusableError(
        f"request {name}: {request.partner} asks for {request.part[:MAX_SHOWN]}{more}, and no "
        "product of this node has that number: say which of yours it is with --product URN, or "
        f"`bcca inbox decline {name} --reason notOurProduct`"
    )


def in_words(session: Session, request: Request) -> str:
    """Return what a request asks for and says, each criterion by its name; "" where none is."""
    asked = pactevents.request_called(session, request.partner, request.id)
    if asked is None:
        return ""
    told = _TOLD.decode(asked.data)
    comment = told.get("comment")
    words = [comment] if isinstance(comment, str) and comment else []
    asks = {name: _text(value) for name, value in told.items() if name in criteria.NAMES}
    words += [f"{name} {text}" for name, text in asks.items() if text]
    return showable("; ".join(words)[:MAX_MESSAGE_CHARS])


def _is_ours(session: Session, partner: str, name: str) -> bool:
    if matching.product_called(session, partner, name) is not None:
        return True
    drafts = (each.product for each in statements.drafts(session))
    return name.lower() in {each.lower() for each in (*statements.products(session), *drafts)}


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case list():
            return ", ".join(map(_text, value))
    return ""  # no criterion is anything else: such an event was refused
