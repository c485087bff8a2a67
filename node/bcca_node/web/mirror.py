"""Copies of other logs (SPEC 13.5): the same resources as their own nodes', whoever is down."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from bcca_node.ledger import mirror
from bcca_node.sharing import copies
from bcca_node.web import shown
from bcca_node.web.callers import CallerDep
from bcca_node.web.parts import BYTES, JSON, JSON_LINES, TEXT, NodeDep, NotHereError, answers
from bcca_node.web.resource import FOREVER, METHODS, SECONDS, resource
from bcca_node.web.shapes import Envelope, Line
from bcca_protocol.errors import MalformedError, RefusedError
from bcca_protocol.tiles import ENTRIES, Tile

router = APIRouter(prefix=mirror.MIRROR)


@router.api_route("/{hashed}/checkpoint", methods=METHODS, responses=answers(TEXT, 404))
def get_checkpoint(request: Request, hashed: str, node: NodeDep) -> Response:
    """Answer the head up to which this node has copied a log."""
    note = mirror.checkpoint(node, hashed)
    if note is None:
        raise NotHereError
    return resource(request, note.encode(), TEXT, SECONDS)


@router.api_route("/{hashed}/tile/{path:path}", methods=METHODS, responses=answers(BYTES, 404))
def get_tile(request: Request, hashed: str, path: str, node: NodeDep) -> Response:
    """Answer a tile of hashes or a bundle of entries of a copy, the latter packed where asked."""
    try:
        wanted = Tile.parse(f"tile/{path}")
    except RefusedError as error:
        raise NotHereError from error
    content = mirror.tile(node, hashed, wanted)
    if content is None:
        raise NotHereError
    return resource(request, content, BYTES, FOREVER, packable=wanted.level == ENTRIES)


@router.get("/{hashed}/statements", responses=answers(JSON_LINES, 401, 404, shape=Line))
def get_statements(
    hashed: str, node: NodeDep, caller: CallerDep, product: str | None = None
) -> Response:
    """Answer the statements of a product that this node holds of a log's owner and may show."""
    if product is None:
        raise MalformedError("statements of a copy: ask with ?product=<URN>")
    found = copies.statements(node, caller, hashed, product)
    if found is None:
        raise shown.not_here(caller)
    return shown.many(caller, found)


@router.api_route(
    "/{hashed}/statements/{commitment}",
    methods=METHODS,
    responses=answers(JSON, 401, 404, shape=Envelope),
)
def get_statement(
    request: Request, hashed: str, commitment: str, node: NodeDep, caller: CallerDep
) -> Response:
    """Answer the envelope of a statement that this node holds of a log's owner."""
    envelope = copies.statement(node, caller, hashed, commitment)
    if envelope is None:
        raise shown.not_here(caller)
    return shown.one(request, caller, envelope, JSON, FOREVER)
