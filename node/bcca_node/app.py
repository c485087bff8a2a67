"""The composition root: a node becomes an app, and an app a server. Nothing is global."""

import uvicorn
from fastapi import FastAPI

from bcca_node import __version__
from bcca_node.ledger.node import Node
from bcca_node.web import identity, log, statements, witness
from bcca_node.web.parts import add_errors

SHUTDOWN_SECONDS = 5  # an answer under way may finish


def create_app(node: Node) -> FastAPI:
    """Return the app of `node`, which stays the caller's to close."""
    app = FastAPI(title=node.settings.name, version=__version__, docs_url=None, redoc_url=None)
    app.state.node = node
    for router in (identity.router_for(node.origin), log.router, statements.router, witness.router):
        app.include_router(router)
    add_errors(app)
    return app


def create_server(node: Node) -> uvicorn.Server:
    """Return the server of `node`, to be run, or to be served on sockets of the caller's."""
    config = uvicorn.Config(
        create_app(node),
        host=node.settings.host,
        port=node.settings.port,
        log_level="warning",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
    )
    return uvicorn.Server(config)
