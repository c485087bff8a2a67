"""Statements: one by its commitment, those of a product, all since an index."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from bcca_node.ledger import shelf
from bcca_node.network.limits import MAX_BATCH_BYTES
from bcca_node.network.lines import decode_batch
from bcca_node.web.parts import NodeDep, NotHereError, body, lines
from bcca_node.web.resource import FOREVER, METHODS, resource
from bcca_protocol.errors import MalformedError
from bcca_protocol.wire import decimal_int

router = APIRouter(prefix="/statements")


@router.get("")
def get_statements(node: NodeDep, product: str | None = None, since: str | None = None) -> Response:
    """Answer the current statements of a product, or all entered from an index on."""
    match product, since:
        case str(), None:
            return lines(shelf.current(node, product))
        case None, str():
            return lines(shelf.since(node, decimal_int(since, "since")))
        case _:
            raise MalformedError("statements: ask with ?product=<URN> or with ?since=<index>")


@router.post("/batch")
def post_batch(node: NodeDep, asked: Annotated[bytes, Depends(body(MAX_BATCH_BYTES))]) -> Response:
    """Answer many statements by their commitments."""
    return lines(shelf.batch(node, decode_batch(asked)))


@router.api_route("/{commitment}", methods=METHODS)
def get_statement(request: Request, commitment: str, node: NodeDep) -> Response:
    """Answer the envelope of a statement, which never changes."""
    envelope = shelf.statement(node, commitment)
    if envelope is None:
        raise NotHereError
    return resource(request, envelope, "application/json", FOREVER)


@router.get("/{commitment}/proof")
def get_proof(commitment: str, node: NodeDep) -> Response:
    """Answer that a statement is in the published log (c2sp.org/tlog-proof@v1)."""
    proof = shelf.proof(node, commitment)
    if proof is None:
        raise NotHereError
    return Response(proof.encode(), media_type="text/plain")


@router.get("/{commitment}/evidence")
def get_evidence(commitment: str, node: NodeDep) -> Response:
    """Answer a statement and everything upstream that this node holds."""
    found = shelf.evidence(node, commitment)
    if found is None:
        raise NotHereError
    return lines(found)
