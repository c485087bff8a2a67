"""Requests at the desk: what an operator's page lists, shows and does (SPEC 13.6, 13.11)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from bcca_node.ledger.node import Node
from bcca_node.partners import requests, views
from bcca_node.partners.event import MAX_EVENT_BYTES, Reason, RequestKind, Wanted, Words
from bcca_node.partners.requests import Remark
from bcca_node.storage import partners
from bcca_node.storage import requests as stored
from bcca_node.storage.partners import Partner
from bcca_node.storage.requests import Request, State
from bcca_node.web.parts import NodeDep, body
from bcca_protocol import period, wire
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import Origin, Record, Urn, showable

# What an operator does, and what is then said; the commands are called so too.
ACTIONS: Mapping[str, tuple[RequestKind, bool | None]] = {
    "accept": ("accepted", True),
    "decline": ("declined", True),
    "ask": ("question", True),
    "remind": ("reminder", False),
    "withdraw": ("withdrawn", False),
    "comment": ("comment", None),  # both sides
}

router = APIRouter()


class Asked(Record, frozen=True):
    """What is asked of whom."""

    partner: Origin
    wanted: Wanted


class Said(Record, frozen=True):
    """What is said with an action."""

    comment: Words | None = None
    reason: Reason | None = None
    product: Urn | None = None


_ASKED = msgspec.json.Decoder(Asked)
_SAID = msgspec.json.Decoder(Said)
_Body = Annotated[bytes, Depends(body(MAX_EVENT_BYTES))]


@router.get("/partners")
def get_partners(node: NodeDep) -> Response:
    """Answer whom this node deals with."""
    with node.database.read() as session:
        return JSONResponse([_partner(each) for each in partners.every(session)])


@router.get("/requests")
def get_requests(
    node: NodeDep,
    direction: Literal["incoming", "outgoing"] | None = None,
    partner: str | None = None,
    state: State | None = None,
    product: str | None = None,
) -> Response:
    """Answer the requests of one direction, partner, state or product, the oldest first."""
    with node.database.read() as session:
        found = stored.chosen(
            session,
            incoming=None if direction is None else direction == "incoming",
            partner=partner,
            states=() if state is None else (state,),
            product=product,
        )
        shown = [views.as_json(views.view(node, session, each)) for each in found]
    return JSONResponse(shown)


@router.get("/requests/{name}")
def get_request(node: NodeDep, name: str) -> Response:
    """Answer a request and all that was said about it."""
    with node.database.read() as session:
        found = requests.called(session, name)
    return _shown(node, found)


@router.post("/requests")
def post_request(node: NodeDep, asked: _Body) -> Response:
    """Ask a partner for data."""
    told = wire.read(asked, _ASKED, what="request")
    return _shown(node, requests.ask(node, told.partner, told.wanted), HTTPStatus.CREATED)


@router.post("/requests/{name}/{action}")
def post_action(node: NodeDep, name: str, action: str, asked: _Body) -> Response:
    """Accept, decline, ask back, comment on, remind of or withdraw a request."""
    if action not in ACTIONS:
        there = ", ".join(ACTIONS)
        raise UnusableError(f"{showable(action[:40])}: not done to a request; there is {there}")
    kind, incoming = ACTIONS[action]
    told = wire.read(asked or b"{}", _SAID, what=action)
    with node.database.read() as session:
        found = requests.called(session, name, incoming=incoming)
    remark = Remark(kind=kind, comment=told.comment, reason=told.reason, product=told.product)
    settled = requests.act(node, found, remark)
    if kind == "accepted":
        requests.fulfil(node)  # it may be published already
    return _shown(node, settled)


def _shown(node: Node, request: Request, status: HTTPStatus = HTTPStatus.OK) -> Response:
    with node.database.read() as session:
        now = stored.get(session, request.partner, request.id) or request
        shown = views.view(node, session, now, is_whole=True)
    return JSONResponse(views.as_json(shown, is_whole=True), status_code=status)


def _partner(partner: Partner) -> dict[str, object]:
    return {
        "origin": partner.origin,
        "name": partner.name,
        "url": partner.url,
        "roles": sorted(partner.roles),
        "since": period.text_at(partner.since),
        "proven": None if partner.proven_at is None else period.text_at(partner.proven_at),
        "refused": partner.refused or None,
    }
