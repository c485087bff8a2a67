"""Events of PACT partners, taken (SPEC 16.4): 200 and an empty body, or why not."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from bcca_node.pact import inlet
from bcca_node.pact.cloudevents import MAX_EVENT_BYTES
from bcca_node.pact.inlet import FullError, StrangerError
from bcca_node.web.limits import TooManyError
from bcca_node.web.pactauth import PactCaller, PactRefusalError
from bcca_node.web.pacterrors import BAD_REQUEST
from bcca_node.web.parts import NodeDep, body

PRIVATE = {"cache-control": "private, no-store"}
RETRY_SECONDS = 3_600  # until a day's events are fewer, or some were fetched

router = APIRouter(include_in_schema=False)  # PACT has a document of its own


async def _body(request: Request, _: PactCaller) -> bytes:
    """Return the body of a request whose caller is known: of others, none is read."""
    return await body(MAX_EVENT_BYTES)(request)


@router.post("/3/events")
async def post_events(
    node: NodeDep, partner: PactCaller, content: Annotated[bytes, Depends(_body)]
) -> Response:
    """Take one event of a partner; what comes again is taken once."""
    try:
        await run_in_threadpool(inlet.take, node, partner, content)
    except StrangerError as error:
        raise PactRefusalError(HTTPStatus.UNAUTHORIZED, BAD_REQUEST, str(error)) from error
    except FullError as error:
        raise TooManyError(RETRY_SECONDS) from error
    return Response(headers=PRIVATE)
