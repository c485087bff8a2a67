"""Who the node is, and whether it is there."""

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from bcca_node.ledger import identity
from bcca_node.network.descriptor import PATH, Descriptor
from bcca_node.sharing import peers
from bcca_node.sharing.access import KNOWN
from bcca_node.web import shown
from bcca_node.web.callers import caller_of
from bcca_node.web.parts import JSON, Direct, NodeDep, answers, node_of
from bcca_node.web.resource import METHODS, SECONDS, resource
from bcca_node.web.shapes import OBJECT, Health
from bcca_protocol import wire

DID_JSON = "application/did+json"


def router_for(origin: str) -> APIRouter:
    """Return the routes of the node of `origin`, whose did:web path is its own."""
    router = APIRouter()
    told = answers(JSON, 401, shape=Descriptor)
    router.add_api_route(
        PATH, get_descriptor, methods=METHODS, responses=told, route_class_override=Direct
    )
    told = answers(DID_JSON, shape=OBJECT)
    did = identity.did_path(origin)
    router.add_api_route(did, get_did_document, methods=METHODS, responses=told)
    router.add_api_route("/healthz", get_health, responses=answers(JSON, shape=Health))
    return router


async def get_descriptor(request: Request) -> Response:
    """Answer what other nodes ask first; it names the suppliers that the caller may know of."""
    node = node_of(request)
    caller = await caller_of(request, node)
    public: peers.Public = request.app.state.peers
    about = None if caller.kind in KNOWN else public.known(node)
    if about is None:
        read = peers.describe if caller.kind in KNOWN else public.describe
        about = await run_in_threadpool(read, node, caller)
    return shown.one(request, caller, wire.encode(about), "application/json", SECONDS)


def get_did_document(request: Request, node: NodeDep) -> Response:
    """Answer the keys for the world of did:web."""
    return resource(request, identity.encode_did(node), DID_JSON, SECONDS)


def get_health() -> dict[str, str]:
    """Answer that the process runs."""
    return {"status": "ok"}
