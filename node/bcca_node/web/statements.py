"""Statements: one by its commitment, those of a product, all since an index; who may see which."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from bcca_node.ledger.node import Node
from bcca_node.network.limits import MAX_BATCH_BYTES
from bcca_node.network.lines import decode_batch
from bcca_node.sharing import press, shelf
from bcca_node.storage.callstore import BusyError
from bcca_node.web import shown
from bcca_node.web.callers import CallerDep, SignedBody, incoming, signed_body
from bcca_node.web.parts import (
    JSON,
    JSON_LINES,
    TEXT,
    LaterError,
    NodeDep,
    NotHereError,
    answers,
    asked,
    node_of,
    soon,
)
from bcca_node.web.resource import FOREVER, METHODS, SECONDS, resource
from bcca_node.web.shapes import Batch, Envelope, Line
from bcca_protocol.errors import MalformedError
from bcca_protocol.wire import decimal_int


class Direct(APIRoute):
    """A route that takes what it needs from the request itself: FastAPI describes it, no more."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers: the function itself, with what stands in the path."""
        endpoint = self.endpoint

        async def answer(request: Request) -> Response:
            answered: Response = await endpoint(request, **request.path_params)
            return answered

        return answer


GZIP = "application/gzip"

router = APIRouter(prefix="/statements")


class Wanted(NamedTuple):
    """What is asked for: one of these."""

    product: str | None
    since: str | None
    page: str | None


def _wanted(
    product: str | None = None, since: str | None = None, page: str | None = None
) -> Wanted:
    return Wanted(product, since, page)


@router.get("", responses=answers(JSON_LINES, 401, shape=Line))
def get_statements(
    request: Request,
    node: NodeDep,
    caller: CallerDep,
    wanted: Annotated[Wanted, Depends(_wanted)],
) -> Response:
    """Answer the current statements of a product, or all entered from an index on.

    A page is 256 entries of the log: the public statements among them, packed.
    """
    match wanted:
        case str(product), None, None:
            return shown.many(caller, shelf.current(node, caller, product))
        case None, str(since), None:
            start = decimal_int(since, "since")
            return shown.many(caller, shelf.since(node, caller, start))
        case None, None, str(page):
            return _page(request, node, decimal_int(page, "page"))
        case _:
            raise MalformedError(
                "statements: ask with ?product=<URN>, ?since=<index> or ?page=<number>"
            )


def _page(request: Request, node: Node, number: int) -> Response:
    """Return a page of public statements: whoever asks, it is the same, and a full one for ever."""
    found = press.page(node, number)
    if found is None:
        raise NotHereError({"vary": shown.VARY})
    content, is_full = found
    cache = FOREVER if is_full else SECONDS
    return resource(request, content, GZIP, cache, vary=shown.VARY)


@router.post(
    "/batch",
    responses=answers(JSON_LINES, 401, shape=Line),
    openapi_extra=asked(JSON, shape=Batch),
)
def post_batch(
    node: NodeDep, signed: Annotated[SignedBody, Depends(signed_body(MAX_BATCH_BYTES))]
) -> Response:
    """Answer many statements by their commitments."""
    items = shelf.batch(node, signed.caller, decode_batch(signed.body))
    return shown.many(signed.caller, items)


async def get_statement(request: Request, commitment: str) -> Response:
    """Answer the envelope of a statement, which never changes.

    FastAPI would take longer to say what it depends on than it takes to find a statement.
    """
    node = node_of(request)
    call = await incoming(request, node)

    def shown_now(patience: float) -> bytes | None:
        enter = partial(call.enter, node, patience)
        return shelf.statement(node, call.caller, commitment, enter)

    try:
        envelope = await soon(node, shown_now)
    except BusyError as error:
        raise LaterError(str(error)) from error
    if envelope is None:
        raise shown.not_here(call.caller)
    # Of a commitment there is one envelope here, for ever: nothing has to be hashed for a tag.
    return shown.one(request, call.caller, envelope, JSON, FOREVER, tag=commitment)


ONE = Direct(
    "/statements/{commitment}",
    get_statement,
    methods=METHODS,
    responses=answers(JSON, 401, 404, shape=Envelope),
)
router.routes.append(ONE)


@router.api_route("/{commitment}/proof", methods=METHODS, responses=answers(TEXT, 401, 404))
def get_proof(request: Request, commitment: str, node: NodeDep, caller: CallerDep) -> Response:
    """Answer that a statement is in the published log (c2sp.org/tlog-proof@v1)."""
    proof = shelf.proof(node, caller, commitment)
    if proof is None:
        raise shown.not_here(caller)
    return shown.one(request, caller, proof.encode().encode(), TEXT, SECONDS)


@router.get("/{commitment}/evidence", responses=answers(JSON_LINES, 401, 404, shape=Line))
def get_evidence(commitment: str, node: NodeDep, caller: CallerDep) -> Response:
    """Answer a statement and everything upstream that this node holds and may show."""
    found = shelf.evidence(node, caller, commitment)
    if found is None:
        raise shown.not_here(caller)
    return shown.many(caller, found)
