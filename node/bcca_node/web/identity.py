"""Who the node is, and whether it is there."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from bcca_node.ledger import identity
from bcca_node.network.descriptor import PATH
from bcca_node.web.parts import NodeDep
from bcca_node.web.resource import METHODS, SECONDS, resource
from bcca_protocol import wire


def router_for(origin: str) -> APIRouter:
    """Return the routes of the node of `origin`, whose did:web path is its own."""
    router = APIRouter()
    router.add_api_route(PATH, get_descriptor, methods=METHODS)
    router.add_api_route(identity.did_path(origin), get_did_document, methods=METHODS)
    router.add_api_route("/healthz", get_health)
    return router


def get_descriptor(request: Request, node: NodeDep) -> Response:
    """Answer what other nodes ask first."""
    return resource(request, wire.encode(identity.descriptor(node)), "application/json", SECONDS)


def get_did_document(request: Request, node: NodeDep) -> Response:
    """Answer the keys for the world of did:web."""
    return resource(request, identity.encode_did(node), "application/did+json", SECONDS)


def get_health() -> dict[str, str]:
    """Answer that the process runs."""
    return {"status": "ok"}
