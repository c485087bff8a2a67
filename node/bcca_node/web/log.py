"""The log as static resources (c2sp.org/tlog-tiles): only what the published head implies."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from bcca_node.ledger import log
from bcca_node.storage import logs
from bcca_node.web.parts import NodeDep, NotHereError
from bcca_node.web.resource import FOREVER, METHODS, SECONDS, resource
from bcca_protocol.errors import RefusedError
from bcca_protocol.tiles import ENTRIES, Tile

router = APIRouter(prefix="/log")

TEXT, BYTES = "text/plain", "application/octet-stream"


@router.api_route("/checkpoint", methods=METHODS)
def get_checkpoint(request: Request, node: NodeDep) -> Response:
    """Answer the newest head that a quorum cosigned."""
    with node.database.read() as session:
        head = logs.published_head(session)
    if head is None:
        raise NotHereError
    return resource(request, head.note.encode(), TEXT, SECONDS)


@router.api_route("/tile/{path:path}", methods=METHODS)
def get_tile(request: Request, path: str, node: NodeDep) -> Response:
    """Answer a tile of hashes or a bundle of entries, the latter packed where asked.

    A partial one stays after the full one is there; whoever deletes them makes readers fall back.
    """
    try:
        tile = Tile.parse(f"tile/{path}")
    except RefusedError as error:
        raise NotHereError from error
    with node.database.read() as session:
        head = logs.published_head(session)
        content = None if head is None else log.content(session, tile, head.size)
    if content is None:
        raise NotHereError
    return resource(request, content, BYTES, FOREVER, packable=tile.level == ENTRIES)
