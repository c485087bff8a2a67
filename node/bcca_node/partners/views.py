"""Requests as they are shown: to programs as JSON, and behind every table and page."""

from dataclasses import dataclass

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.partners import answers, correspondence
from bcca_node.storage import news, partners, requests
from bcca_node.storage.news import News
from bcca_node.storage.requests import Request, RequestEvent
from bcca_protocol import period


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A request with what this node knows around it; `products` are what it may be about here."""

    request: Request
    name: str
    products: tuple[str, ...]
    is_overdue: bool
    said: tuple[RequestEvent, ...] = ()
    since: News | None = None  # what the partner told became of the statement that answered it


def view(node: Node, session: Session, request: Request, *, is_whole: bool = False) -> View:
    """Return a request to be shown, `is_whole` with everything that was said about it."""
    partner = partners.get(session, request.partner)
    due = correspondence.posix(request.due) if request.due else None
    said = requests.events(session, request.partner, request.id) if is_whole else []
    return View(
        request=request,
        name=request.partner if partner is None else partner.name,
        products=tuple(answers.products_of(session, request)),
        is_overdue=request.is_open and due is not None and node.clock() > due,
        said=tuple(said),
        since=_since(session, request),
    )


def _since(session: Session, request: Request) -> News | None:
    """Return the last that the partner told of the answer of a request."""
    if request.incoming or not request.commitment:
        return None
    told = news.about(session, request.commitment)
    return next((each for each in reversed(told) if each.partner == request.partner), None)


def as_json(shown: View, *, is_whole: bool = False) -> dict[str, object]:
    """Return what a program reads of a request; what was not given is null."""
    request = shown.request
    told: dict[str, object] = {
        "id": request.id,
        "direction": "incoming" if request.incoming else "outgoing",
        "partner": request.partner,
        "name": shown.name,
        "part": request.part or None,
        "product": request.product or None,
        "products": list(shown.products),
        "period": {"start": request.period_start or None, "end": request.period_end or None},
        "purpose": request.purpose,
        "due": request.due or None,
        "overdue": shown.is_overdue,
        "state": request.state,
        "reason": request.reason or None,
        "commitment": request.commitment or None,
        "since": None if shown.since is None else shown.since.kind,
        "successor": None if shown.since is None else shown.since.successor or None,
        "created": period.text_at(request.created),
        "changed": period.text_at(request.changed),
    }
    return {**told, "events": list(map(_event, shown.said))} if is_whole else told


def _event(said: RequestEvent) -> dict[str, object]:
    return {
        "at": period.text_at(said.at),
        "by": said.by,
        "kind": said.kind,
        "comment": said.text or None,
        "reason": said.reason or None,
        "product": said.product or None,
        "commitment": said.commitment or None,
    }
