"""The composition root: a node becomes an app, and an app a server. Nothing is global."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from bcca_node.ledger.keeper import Keeper
from bcca_node.ledger.node import Node
from bcca_node.ledger.press import Press
from bcca_node.network.desk import listening
from bcca_node.web import identity, log, mirror, statements, witness
from bcca_node.web.desk import create_desk
from bcca_node.web.parts import add_errors

SHUTDOWN_SECONDS = 5  # an answer under way may finish


def create_app(node: Node, *, keep: bool = False) -> FastAPI:
    """Return the app of `node`, which stays the caller's to close.

    With `keep` it has heads cosigned, watches and follows by itself while it is up.
    """
    app = FastAPI(
        title=node.settings.name,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_kept(node) if keep else None,
    )
    app.state.node = node
    app.include_router(identity.router_for(node.origin))
    for router in (log.router, statements.router, witness.router, mirror.router):
        app.include_router(router)
    add_errors(app)
    return app


def create_server(node: Node, *, keep: bool = False) -> uvicorn.Server:
    """Return the server of `node`, to be run, or to be served on sockets of the caller's."""
    config = uvicorn.Config(
        create_app(node, keep=keep),
        host=node.settings.host,
        port=node.settings.port,
        log_level="warning",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
    )
    return uvicorn.Server(config)


@contextmanager
def desk(node: Node) -> Iterator[None]:
    """Serve the desk of `node` in a thread of its own; raises UnavailableError where none can be.

    What was begun at its end is finished first: nobody is left without knowing.
    """
    with listening(node.settings.data) as listener:
        app = create_desk(node, Press(node))
        config = uvicorn.Config(
            app,
            log_level="warning",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,  # half a request holds nobody up
            server_header=False,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="desk")
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


def _kept(node: Node) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan of an app that keeps `node`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        keeper = Keeper(node)
        keeper.start()
        try:
            yield
        finally:
            await asyncio.to_thread(keeper.stop)

    return lifespan
