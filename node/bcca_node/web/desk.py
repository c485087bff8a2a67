"""The desk of a node: what its own operator asks of it while it serves, over a socket on its disk.

Nobody else reaches it, so it tells what is wrong in full.
"""

import asyncio
import time
from threading import Lock
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from bcca_node.ledger import guard
from bcca_node.ledger.node import Node
from bcca_node.ledger.press import Press
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.network.limits import Patience
from bcca_node.storage import logs
from bcca_node.supplier.imports import read_predicates
from bcca_node.web import desk_requests
from bcca_node.web.parts import NodeDep, body
from bcca_protocol.errors import (
    BccaError,
    ConflictError,
    LimitError,
    MalformedError,
    UnavailableError,
)

LOOK_SECONDS = 10.0  # a node that rested as long may have been overtaken by a copy of itself
LOOKING = Patience(connect=2.0, read=3.0, total=5.0)  # somebody waits for the answer
MAX_DESK_BYTES = 256 * 1024 * 1024  # 15,000 usual statements, held in memory whole

router = APIRouter()


class Desk:
    """Publishes once witnesses have said that this node may."""

    def __init__(self, node: Node, press: Press) -> None:
        """Publish for `node` with `press`."""
        self._node = node
        self._press = press
        self._asking = Lock()
        self._asked = 0.0
        self._looked: float | None = None
        self._refused: BccaError | None = None

    def publish(self, body: bytes) -> list[dict[str, object]]:
        """Enter the predicates in `body`, all or none; return where each stands.

        Raises UnusableError with everything that is wrong with them, and where nothing may be
        entered; UnavailableError where too few witnesses answered to know.
        """
        predicates = read_predicates(_text(body), self._node.origin)
        self._clear()
        return [msgspec.to_builtins(each) for each in self._press.publish(predicates)]

    def _clear(self) -> None:
        """Ask witnesses, once for all who wait meanwhile; raises what `guard.clear` raises.

        Who was cleared asks again after LOOK_SECONDS; then silence is no refusal, and an alarm is.
        """
        came = time.monotonic()
        with self._asking:
            if self._looked is not None and came < self._looked + LOOK_SECONDS:
                return
            if self._refused is not None and self._asked > came:
                raise self._refused
            self._asked = time.monotonic()
            try:
                asyncio.run(_clear(self._node))
                self._refused, self._looked = None, time.monotonic()
            except BccaError as error:
                self._refused = error
                raise


def create_desk(node: Node, press: Press) -> FastAPI:
    """Return the app that is served at the socket of `node`, and nowhere else."""
    app = FastAPI(
        title="desk", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    app.state.node = node
    app.state.desk = Desk(node, press)
    app.include_router(router)
    app.include_router(desk_requests.router)
    app.add_exception_handler(BccaError, _refusal)
    return app


def desk_of(request: Request) -> Desk:
    """Return the desk whose app was asked."""
    desk: Desk = request.app.state.desk
    return desk


@router.post("/publish")
def post_publish(
    desk: Annotated[Desk, Depends(desk_of)], asked: Annotated[bytes, Depends(body(MAX_DESK_BYTES))]
) -> Response:
    """Answer where each predicate of a JSON array stands, once all of them are durable."""
    return JSONResponse(desk.publish(asked))


@router.get("/status")
def get_status(node: NodeDep) -> Response:
    """Answer how far the log is, and whether it may grow."""
    with node.database.read() as session:
        size, head = logs.size(session), logs.published_head(session)
    return JSONResponse(
        {
            "origin": node.origin,
            "size": size,
            "published": 0 if head is None else head.size,
            "mayAppend": node.clearance.is_granted,
        }
    )


async def _clear(node: Node) -> None:
    policy = node.trust.policy()
    hosts = () if policy is None else hosts_of(policy)
    if not node.clearance.is_confirmed:
        async with Fetcher(hosts) as fetcher:
            await guard.clear(node, fetcher)
    elif policy is not None:
        async with Fetcher(hosts, patience=LOOKING) as fetcher:
            await guard.watch(node, fetcher)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"drafts: not UTF-8: {error}") from error


def _refusal(_: Request, error: Exception) -> Response:
    match error:
        case LimitError():
            status = 413
        case ConflictError():
            status = 409
        case UnavailableError():
            status = 503
        case _:
            status = 400
    return JSONResponse({"error": str(error)}, status_code=status)
