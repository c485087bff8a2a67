"""What routes have in common: their node, bodies with a limit, streams, and errors as statuses."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from bcca_node.ledger.node import Node
from bcca_node.network.lines import Item, encode_lines
from bcca_protocol.errors import (
    BccaError,
    LimitError,
    RefusedError,
    UnavailableError,
    UnusableError,
)

CHUNK_BYTES = 64 * 1024  # a line of its own would cost a change of threads

_LOGGER = logging.getLogger(__name__)


class NotHereError(Exception):
    """What does not exist, or what the caller may not see: nobody can tell which."""


def node_of(request: Request) -> Node:
    """Return the node whose app was asked."""
    node: Node = request.app.state.node
    return node


NodeDep = Annotated[Node, Depends(node_of)]


def body(limit: int) -> Callable[[Request], Awaitable[bytes]]:
    """Return the reader of a request's body of at most `limit` bytes."""

    async def read(request: Request) -> bytes:
        taken = bytearray()
        async for piece in request.stream():
            taken += piece
            if len(taken) > limit:
                raise LimitError(f"body: over {limit} bytes")
        return bytes(taken)

    return read


def lines(items: Iterable[Item]) -> Response:
    """Return `items` as a stream of JSON Lines that ends in a count."""
    return StreamingResponse(_chunks(encode_lines(items)), media_type="application/jsonl")


def add_errors(app: FastAPI) -> None:
    """Answer every error with its status and one sentence, here and nowhere else."""
    app.add_exception_handler(NotHereError, _not_here)
    app.add_exception_handler(HTTPStatus.NOT_FOUND, _not_here)
    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _not_so)
    app.add_exception_handler(BccaError, _refusal)


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)


def _not_here(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "there is nothing here"}, status_code=404)


def _not_so(_: Request, error: Exception) -> Response:
    allowed = getattr(error, "headers", None)
    return JSONResponse({"error": "method not allowed"}, status_code=405, headers=allowed)


def _refusal(_: Request, error: Exception) -> Response:
    match error:
        case LimitError():
            return JSONResponse({"error": str(error)}, status_code=413)
        case RefusedError():
            return JSONResponse({"error": str(error)}, status_code=400)
        case UnavailableError() | UnusableError() | _:
            # What is wrong with this node is told to its operator, not to everybody.
            _LOGGER.error("%s", error)
            return JSONResponse({"error": "this node cannot do that now"}, status_code=503)
