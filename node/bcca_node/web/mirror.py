"""Copies of other logs (SPEC 13.5): the same resources as their own nodes', whoever is down."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from bcca_node.ledger import mirror
from bcca_node.web.parts import NodeDep, NotHereError, lines
from bcca_node.web.resource import FOREVER, METHODS, SECONDS, resource
from bcca_protocol.errors import MalformedError, RefusedError
from bcca_protocol.tiles import ENTRIES, Tile

router = APIRouter(prefix=mirror.MIRROR)

_TEXT, _BYTES, _JSON = "text/plain", "application/octet-stream", "application/json"


@router.api_route("/{hashed}/checkpoint", methods=METHODS)
def get_checkpoint(request: Request, hashed: str, node: NodeDep) -> Response:
    """Answer the head up to which this node has copied a log."""
    note = mirror.checkpoint(node, hashed)
    if note is None:
        raise NotHereError
    return resource(request, note.encode(), _TEXT, SECONDS)


@router.api_route("/{hashed}/tile/{path:path}", methods=METHODS)
def get_tile(request: Request, hashed: str, path: str, node: NodeDep) -> Response:
    """Answer a tile of hashes or a bundle of entries of a copy, the latter packed where asked."""
    try:
        wanted = Tile.parse(f"tile/{path}")
    except RefusedError as error:
        raise NotHereError from error
    content = mirror.tile(node, hashed, wanted)
    if content is None:
        raise NotHereError
    return resource(request, content, _BYTES, FOREVER, packable=wanted.level == ENTRIES)


@router.get("/{hashed}/statements")
def get_statements(hashed: str, node: NodeDep, product: str | None = None) -> Response:
    """Answer the statements of a product that this node holds of a log's owner."""
    if product is None:
        raise MalformedError("statements of a copy: ask with ?product=<URN>")
    found = mirror.statements(node, hashed, product)
    if found is None:
        raise NotHereError
    return lines(found)


@router.api_route("/{hashed}/statements/{commitment}", methods=METHODS)
def get_statement(request: Request, hashed: str, commitment: str, node: NodeDep) -> Response:
    """Answer the envelope of a statement that this node holds of a log's owner."""
    envelope = mirror.statement(node, hashed, commitment)
    if envelope is None:
        raise NotHereError
    return resource(request, envelope, _JSON, FOREVER)
