"""Statements: one by its commitment, those of a product, all since an index; who may see which."""

import re
from functools import partial
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from bcca_node.ledger.node import Node
from bcca_node.network.limits import MAX_BATCH_BYTES
from bcca_node.network.lines import decode_batch
from bcca_node.sharing import press, shelf
from bcca_node.storage.callstore import BusyError
from bcca_node.web import shown
from bcca_node.web.callers import CallerDep, SignedBody, incoming, is_plain, signed_body
from bcca_node.web.parts import (
    JSON,
    JSON_LINES,
    TEXT,
    Direct,
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

GZIP = "application/gzip"

_ONE_PAGE = re.compile(rb"page=(0|[1-9][0-9]{0,8})")

router = APIRouter(prefix="/statements")


class PagesRoute(APIRoute):
    """A route whose pages are answered before anything else is made of a request."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a page that nobody signs for; else what the route answers."""
        asked = _ONE_PAGE.fullmatch(scope["query_string"])
        if asked is None or scope["method"] != "GET" or not is_plain(scope):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = await _page_soon(request, node_of(request), int(asked[1]))
        await answer(scope, receive, send)


class Wanted(NamedTuple):
    """What is asked for: one of these."""

    product: str | None
    since: str | None
    page: str | None


def _wanted(
    product: str | None = None, since: str | None = None, page: str | None = None
) -> Wanted:
    return Wanted(product, since, page)


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


MANY = PagesRoute(
    "/statements",
    get_statements,
    methods=["GET"],
    responses=answers(JSON_LINES, 401, shape=Line),
)
router.routes.append(MANY)


async def _page_soon(request: Request, node: Node, number: int) -> Response:
    """Return what `_page` does; one that was packed is read at once."""
    found = await soon(node, lambda _: press.kept(node, number))
    if found is None:
        return await run_in_threadpool(_page, request, node, number)
    return _packed(request, found)


def _page(request: Request, node: Node, number: int) -> Response:
    """Return a page of public statements: whoever asks, it is the same, and a full one for ever."""
    return _packed(request, press.page(node, number))


def _packed(request: Request, found: tuple[bytes, bool] | None) -> Response:
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
