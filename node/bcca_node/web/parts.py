"""What routes have in common: their node, bodies with a limit, streams, and errors as statuses."""

import asyncio
import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute

from bcca_node.ledger.node import Node
from bcca_node.network.lines import Item, encode_blocks
from bcca_node.storage.callstore import AT_ONCE, BusyError
from bcca_node.storage.engines import QUICK_SECONDS
from bcca_node.web import pacterrors
from bcca_node.web.limits import BODY_SECONDS, Limits, TooManyError, TooSlowError, counted
from bcca_protocol.errors import (
    BccaError,
    LimitError,
    RefusedError,
    UnavailableError,
    UnusableError,
)
from bcca_protocol.keys import VerifierKey

CALLER, REQUEST_ID = "bcca.caller", "bcca.request"  # what a scope knows for the journal
FAILED = "this node failed; its operator finds why in its log"
RETRY_SECONDS = 10  # twice the time between two rounds of forgetting (storage.calls)
BLOCK_BYTES = 512 * 1024  # made in one go: for less, changing threads costs more than the lines
CHUNK_BYTES = 64 * 1024  # sent in one go: how soon a reader has to take it is in `web.limits`

T = TypeVar("T")

_LOGGER = logging.getLogger(__name__)

Described = dict[int | str, dict[str, Any]]
JSON, JSON_LINES, TEXT, BYTES = (
    "application/json",
    "application/jsonl",
    "text/plain",
    "application/octet-stream",
)
_SCHEMAS = "#/components/schemas/{name}"
_CANONICAL = "canonical JSON (RFC 8785): no spaces, names sorted, what is null left out"


class NotHereError(Exception):
    """What does not exist, or what the caller may not see: nobody can tell which."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        """Answer with `headers`, the same for both."""
        super().__init__()
        self.headers = headers


class NotSignedError(Exception):
    """A call is signed, and not as it should be; the sentence tells why, whatever was asked for."""


class LaterError(Exception):
    """A signed call cannot be told from one that was answered before: not now."""


class Direct(APIRoute):
    """A route that takes what it needs from the request itself: FastAPI describes it, no more."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers: the function itself, with what stands in the path."""
        endpoint = self.endpoint

        async def answer(request: Request) -> Response:
            answered: Response = await endpoint(request, **request.path_params)
            return answered

        return answer


def node_of(request: Request) -> Node:
    """Return the node whose app was asked."""
    node: Node = request.app.state.node
    return node


async def _node(request: Request) -> Node:
    """Return what `node_of` does; FastAPI would call that in a thread."""
    return node_of(request)


NodeDep = Annotated[Node, Depends(_node)]


async def soon(node: Node, work: Callable[[float], T]) -> T:
    """Return what `work`, some queries by their keys, returns for a patience in seconds.

    It is done here where the database is a file of this machine: changing threads twice takes
    longer than the queries. Else, and where another process is writing just then, so that it
    raises BusyError without having done anything, it is done aside.
    """
    if node.database.is_file:
        try:
            return work(AT_ONCE)
        except BusyError:
            return await run_in_threadpool(work, QUICK_SECONDS)
    return await run_in_threadpool(work, QUICK_SECONDS)


def count_caller(request: Request, key: VerifierKey, *, is_known: bool) -> None:
    """Take one request from what `key` has, and name it in the journal.

    To be called once a signature has been verified. Whoever is not known has as many keys as he
    likes, and is counted by his address. Raises TooManyError.
    """
    request.scope[CALLER] = key.label
    limits: Limits = request.app.state.limits
    client = request.scope["client"]
    limits.spend(key.encode() if is_known or not client else counted(client[0]))


def body(limit: int) -> Callable[[Request], Awaitable[bytes]]:
    """Return the reader of a request's body of at most `limit` bytes."""

    async def read(request: Request) -> bytes:
        taken = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for piece in request.stream():
                    taken += piece
                    if len(taken) > limit:
                        raise LimitError(f"body: over {limit} bytes")
        except TimeoutError as error:
            raise TooSlowError(f"body: not here after {BODY_SECONDS:.0f} s") from error
        return bytes(taken)

    return read


def lines(items: Iterable[Item], headers: Mapping[str, str] | None = None) -> Response:
    """Return `items` as a stream of JSON Lines that ends in a count."""
    chunks = _chunks(encode_blocks(items, BLOCK_BYTES))
    return StreamingResponse(chunks, media_type="application/jsonl", headers=headers)


def answers(media_type: str, *refusals: int, shape: object = None) -> Described:
    """Return what a route answers, for its `responses=`: a body of `shape` with 200, `refusals`.

    `shape` is a type that msgspec knows: of the body where it is JSON, of a line of JSON Lines.
    429 and 503 can come from every route, and are not named. Who names 401 takes signatures.
    """
    content = {"schema": {"type": "string"}} if shape is None else _schema(media_type, shape)
    described: Described = {200: {"description": "what was asked for", "content": {}}}
    described[200]["content"][media_type] = content
    return described | {status: {} for status in refusals}


def asked(media_type: str, *, shape: object = None) -> dict[str, Any]:
    """Return what a route takes as its body, for its `openapi_extra=`; `shape` as in `answers`."""
    content = {"schema": {"type": "string"}} if shape is None else _schema(media_type, shape)
    taken: dict[str, Any] = {"required": True, "content": {media_type: content}}
    return {"requestBody": taken | ({"description": _CANONICAL} if media_type == JSON else {})}


def _schema(media_type: str, shape: object) -> dict[str, Any]:
    """Return a schema that carries what it names along: `web.openapi` puts that in its place."""
    (schema,), named = msgspec.json.schema_components([shape], ref_template=_SCHEMAS)
    if media_type != JSON_LINES:
        return {"schema": {**schema, "x-named": named}}
    told = 'one JSON object a line, as `x-line` says; the last is {"count":"<lines before it>"}'
    told_by = {"x-line": schema, "x-named": named}
    return {"schema": {"type": "string", "description": told, **told_by}}


def add_errors(app: FastAPI) -> None:
    """Answer every error with its status and one sentence, here and nowhere else."""
    app.add_exception_handler(NotHereError, _not_here)
    app.add_exception_handler(HTTPStatus.NOT_FOUND, _not_here)
    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _not_so)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(NotSignedError, _not_signed)
    app.add_exception_handler(LaterError, _later)
    app.add_exception_handler(TooManyError, _too_many)
    app.add_exception_handler(TooSlowError, _too_slow)
    app.add_exception_handler(BccaError, _refusal)
    app.add_exception_handler(Exception, _failed)


async def _chunks(blocks: Iterator[bytes]) -> AsyncIterator[memoryview]:
    """Yield `blocks`, each made in a thread and passed on in chunks, none of it copied."""
    while block := await run_in_threadpool(next, blocks, b""):
        whole = memoryview(block)
        for start in range(0, len(block), CHUNK_BYTES):
            yield whole[start : start + CHUNK_BYTES]


def refusal(
    request: Request, status: int, sentence: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that is a refusal: one sentence, in the words of who was asked."""
    told = pacterrors.told(request.scope["path"], status, sentence)
    return JSONResponse(told, status_code=status, headers=headers)


def _not_here(request: Request, error: Exception) -> Response:
    return refusal(request, 404, "there is nothing here", getattr(error, "headers", None))


def _not_so(request: Request, error: Exception) -> Response:
    return refusal(request, 405, "method not allowed", getattr(error, "headers", None))


def _not_understood(request: Request, _: Exception) -> Response:
    return refusal(request, 400, "a parameter is missing or has another type")


def _not_signed(request: Request, error: Exception) -> Response:
    headers = {"cache-control": "private, no-store", "www-authenticate": "Signature"}
    return refusal(request, 401, str(error), headers)


def _later(request: Request, error: Exception) -> Response:
    headers = {"cache-control": "private, no-store", "retry-after": str(RETRY_SECONDS)}
    return refusal(request, 503, str(error), headers)


def _too_many(request: Request, error: Exception) -> Response:
    headers = {"retry-after": str(getattr(error, "seconds", 1))}
    return refusal(request, 429, str(error), headers)


def _too_slow(request: Request, error: Exception) -> Response:
    return refusal(request, 408, str(error), {"connection": "close"})


def _failed(request: Request, _: Exception) -> Response:
    """Answer for a fault of the program; whoever serves the app logs it."""
    return refusal(request, 500, FAILED)


def _refusal(request: Request, error: Exception) -> Response:
    match error:
        case LimitError():
            return refusal(request, 413, str(error))
        case RefusedError():
            return refusal(request, 400, str(error))
        case UnavailableError() | UnusableError() | _:
            # What is wrong with this node is told to its operator, not to everybody.
            _LOGGER.error("%s", error, extra={"request": request.scope.get(REQUEST_ID, "")})
            return refusal(request, 503, "this node cannot do that now")
