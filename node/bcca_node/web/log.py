"""The log as static resources (c2sp.org/tlog-tiles): only what the published head implies."""

from collections import OrderedDict

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from bcca_node.ledger import log
from bcca_node.ledger.node import Node
from bcca_node.storage import logs, served
from bcca_node.web.parts import BYTES, TEXT, Direct, NotHereError, answers, node_of, soon
from bcca_node.web.resource import FOREVER, METHODS, SECONDS, accepts_gzip, resource
from bcca_protocol.errors import RefusedError
from bcca_protocol.tiles import Tile

MAX_KEPT_BYTES = 32 * 1024 * 1024  # of tiles in memory: the hashes of a log of 1,000,000 entries


class Tiles:
    """Answers to GET of tiles, which never change once a published head implies them.

    It is used on the event loop alone.
    """

    def __init__(self, most: int = MAX_KEPT_BYTES) -> None:
        """Keep at most so many bytes, those asked for last."""
        self._most = most
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, bool], Response] = OrderedDict()

    def find(self, path: str, packed: bool) -> Response | None:
        """Return the answer that was kept for a path, packed or not."""
        found = self._kept.get((path, packed))
        if found is not None:
            self._kept.move_to_end((path, packed))
        return found

    def keep(self, path: str, packed: bool, answer: Response) -> None:
        """Keep an answer, and drop others for it."""
        if (path, packed) in self._kept or len(answer.body) > self._most:
            return
        self._kept[path, packed] = answer
        self._bytes += len(answer.body)
        while self._bytes > self._most:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped.body)


class KeptRoute(Direct):
    """A route whose kept answers are given before anything else is made of a request."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what was kept; else what the route answers."""
        found = _kept(scope)
        if found is None:
            await super().handle(scope, receive, send)
        else:
            await found(scope, receive, send)


router = APIRouter(prefix="/log", route_class=KeptRoute)


@router.api_route("/checkpoint", methods=METHODS, responses=answers(TEXT, 404))
async def get_checkpoint(request: Request) -> Response:
    """Answer the newest head that a quorum cosigned."""
    node = node_of(request)
    note = await soon(node, lambda _: served.note(node.database))
    if note is None:
        raise NotHereError
    return resource(request, note.encode(), TEXT, SECONDS)


@router.api_route("/tile/{path:path}", methods=METHODS, responses=answers(BYTES, 404))
async def get_tile(request: Request, path: str) -> Response:
    """Answer a tile of hashes or a bundle of entries, the latter packed where asked.

    A partial one stays after the full one is there; whoever deletes them makes readers fall back.
    """
    content = await run_in_threadpool(_content, node_of(request), path)
    answer = resource(request, content, BYTES, FOREVER, packable=_is_bundle(path))
    if _is_plain(request.scope):
        tiles: Tiles = request.app.state.tiles
        tiles.keep(path, "content-encoding" in answer.headers, answer)
    return answer


def _kept(scope: Scope) -> Response | None:
    """Return the answer that was kept for a request."""
    path: str = scope["path_params"].get("path", "")
    if not _is_plain(scope):
        return None
    packed = _is_bundle(path) and accepts_gzip(
        [value.decode("latin-1") for name, value in scope["headers"] if name == b"accept-encoding"]
    )
    tiles: Tiles = scope["app"].state.tiles
    return tiles.find(path, packed)


def _is_plain(scope: Scope) -> bool:
    """Say whether a request asks for the whole content, whoever asks."""
    is_known = any(name == b"if-none-match" for name, _ in scope["headers"])
    return scope["method"] == "GET" and not is_known


def _is_bundle(path: str) -> bool:
    return path.startswith("entries/")


def _content(node: Node, path: str) -> bytes:
    """Return what is at `tile/path`; raises NotHereError."""
    try:
        tile = Tile.parse(f"tile/{path}")
    except RefusedError as error:
        raise NotHereError from error
    with node.database.read() as session:
        head = logs.published_head(session)
        content = None if head is None else log.content(session, tile, head.size)
    if content is None:
        raise NotHereError
    return content
