"""Who the node is, and whether it is there."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from bcca_node.ledger import identity
from bcca_node.network.descriptor import PATH
from bcca_node.web.parts import NodeDep
from bcca_protocol import wire


def router_for(origin: str) -> APIRouter:
    """Return the routes of the node of `origin`, whose did:web path is its own."""
    router = APIRouter()
    router.add_api_route(PATH, get_descriptor)
    router.add_api_route(identity.did_path(origin), get_did_document)
    router.add_api_route("/healthz", get_health)
    return router


def get_descriptor(node: NodeDep) -> Response:
    """Answer what other nodes ask first."""
    return Response(wire.encode(identity.descriptor(node)), media_type="application/json")


def get_did_document(node: NodeDep) -> Response:
    """Answer the keys for the world of did:web."""
    return JSONResponse(identity.did_document(node), media_type="application/did+json")


def get_health() -> dict[str, str]:
    """Answer that the process runs."""
    return {"status": "ok"}
