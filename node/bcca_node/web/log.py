"""The log as static resources (c2sp.org/tlog-tiles): only what the published head implies."""

from fastapi import APIRouter
from fastapi.responses import Response

from bcca_node.ledger import log
from bcca_node.storage import logs
from bcca_node.web.parts import NodeDep, NotHereError
from bcca_protocol.errors import RefusedError
from bcca_protocol.tiles import Tile

router = APIRouter(prefix="/log")

_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
_SECONDS = {"cache-control": "public, max-age=2"}


@router.get("/checkpoint")
def get_checkpoint(node: NodeDep) -> Response:
    """Answer the newest head that a quorum cosigned."""
    with node.database.read() as session:
        head = logs.published_head(session)
    if head is None:
        raise NotHereError
    return Response(head.note, media_type="text/plain", headers=_SECONDS)


@router.get("/tile/{path:path}")
def get_tile(path: str, node: NodeDep) -> Response:
    """Answer a tile of hashes or a bundle of entries."""
    try:
        tile = Tile.parse(f"tile/{path}")
    except RefusedError as error:
        raise NotHereError from error
    with node.database.read() as session:
        head = logs.published_head(session)
        content = None if head is None else log.content(session, tile, head.size)
    if content is None:
        raise NotHereError
    return Response(content, media_type="application/octet-stream", headers=_FOREVER)
