"""What partners tell each other (SPEC 13.8): posted here, or fetched by who runs no server."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response

from bcca_node.partners import inlet, page
from bcca_node.partners.event import MAX_EVENT_BYTES, Event
from bcca_node.partners.inlet import FullError, StrangerError, Taken
from bcca_node.partners.page import SignedPage
from bcca_node.sharing.caller import Kind
from bcca_node.storage import outbox
from bcca_node.web.callers import CallerDep, SignedBody, signed_body
from bcca_node.web.limits import TooManyError
from bcca_node.web.parts import JSON, NodeDep, NotHereError, NotSignedError, answers, asked
from bcca_protocol.errors import ConflictError
from bcca_protocol.keys import Role

PRIVATE = {"cache-control": "private, no-store"}
RETRY_SECONDS = 3_600  # until a day's events are fewer, or somebody has read some

router = APIRouter()


@router.post(
    "/events",
    responses=answers(JSON, 401, 403, 409, shape=Taken),
    openapi_extra=asked(JSON, shape=Event),
)
def post_events(
    node: NodeDep, signed: Annotated[SignedBody, Depends(signed_body(MAX_EVENT_BYTES))]
) -> Response:
    """Take one event of a partner; what comes again is taken once."""
    if signed.caller.kind is Kind.NOBODY:
        raise NotSignedError("events are taken from partners: sign the request (SPEC 13.7)")
    try:
        taken = inlet.take(node, signed.caller, signed.body)
    except StrangerError as error:
        return _refused(str(error), HTTPStatus.FORBIDDEN)
    except ConflictError as error:
        return _refused(str(error), HTTPStatus.CONFLICT)
    except FullError as error:
        raise TooManyError(RETRY_SECONDS) from error
    return JSONResponse({"id": taken.id, "result": taken.result}, headers=PRIVATE)


@router.get("/events", responses=answers(JSON, 401, 404, shape=SignedPage))
def get_events(
    node: NodeDep,
    caller: CallerDep,
    since: Annotated[int, Query(ge=0, le=page.MAX_PLACE)] = 0,
) -> Response:
    """Answer the events for the partner that asks, behind the place `since`.

    It has what stands up to there. For others there is nothing here.
    """
    try:
        partner = inlet.require_partner(node, caller)
    except StrangerError as error:
        raise NotHereError from error
    signer = node.keys.signer(Role.REQUEST)
    with node.database.read() as session:
        is_confirmed = outbox.is_confirmed(session, partner.origin, since)
        found = outbox.addressed(session, partner.origin, since, page.MAX_PULLED)
    if not is_confirmed:
        with node.database.write() as session:
            outbox.confirm(session, partner.origin, since)
    told = page.of(node.origin, partner.origin, since, [(e.place, e.body) for e in found])
    return Response(page.sign(told, signer), media_type=JSON, headers=PRIVATE)


def _refused(why: str, status: HTTPStatus) -> Response:
    return JSONResponse({"error": why}, status_code=status, headers=PRIVATE)
