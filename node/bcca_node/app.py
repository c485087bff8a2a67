"""The composition root: a node becomes an app, and an app a server. Nothing is global."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from ssl import SSLContext

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG

from bcca_node.ledger.keeper import Keeper
from bcca_node.ledger.node import Node
from bcca_node.ledger.press import Press
from bcca_node.network.client import Fetcher
from bcca_node.network.desk import listening
from bcca_node.packmaker.gather import Gathered, gather
from bcca_node.pact.clerk import PactClerk
from bcca_node.partners.clerk import Clerk, Extra
from bcca_node.sharing.peers import Public
from bcca_node.web import (
    callers,
    events,
    identity,
    invitations,
    log,
    mirror,
    openapi,
    pact,
    pactauth,
    pactevents,
    pacttoken,
    statements,
    witness,
)
from bcca_node.web.desk import create_desk
from bcca_node.web.forwarded import Forwarded
from bcca_node.web.gate import Gate
from bcca_node.web.journal import Journal
from bcca_node.web.limits import MAX_HEAD_BYTES, Limits
from bcca_node.web.openapi import Document
from bcca_node.web.parts import add_errors
from bcca_node.web.patience import PatientProtocol
from bcca_node.web.secured import secured
from bcca_node.web.shortcut import Shortcut

SHUTDOWN_SECONDS = 5  # an answer under way may finish


def create_app(node: Node, *, keep: bool = False) -> FastAPI:
    """Return the app of `node`, which stays the caller's to close.

    With `keep` it has heads cosigned, watches and follows by itself while it is up; with open keys
    it also delivers to its partners, fetches from them, answers and tells them.
    """
    app = FastAPI(
        title=node.settings.name,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # one path for each thing; a proxy may have taken away more
        lifespan=_kept(node) if keep else None,
    )
    app.state.node = node
    callers.prepare(node)
    app.state.known = callers.Known(node)
    app.state.limits = Limits(node.settings.rate)
    app.state.document = Document(app)
    app.state.tiles = log.Tiles()
    app.state.peers = Public()
    for router in (
        statements.router,
        log.router,
        identity.router_for(node.origin),
        witness.router,
        mirror.router,
        invitations.router,
        events.router,
        pactevents.router,
        pact.router,
        openapi.router,
    ):
        # As it stands: a router that is included is asked anew, for each of its routes, each time.
        app.router.routes.extend(router.routes)
    pacttoken.add(app)
    pactauth.add_refusals(app)
    add_errors(app)
    return app


def create_server(
    node: Node,
    *,
    keep: bool = False,
    journal: Journal | None = None,
    tls: SSLContext | None = None,
) -> uvicorn.Server:
    """Return the server of `node`, to be run, or to be served on sockets of the caller's.

    With a `journal` each request is told there; with `tls` nothing is answered over plain http.
    """
    app = create_app(node, keep=keep)
    gate, proxies = Gate(Shortcut(app), app.state.limits, journal), node.settings.proxies
    config = uvicorn.Config(
        Forwarded(gate, proxies) if proxies else gate,
        host=node.settings.host,
        port=node.settings.port,
        http=PatientProtocol if tls is None else secured(tls, PatientProtocol),
        ws="none",
        log_config=None if journal else LOGGING_CONFIG,  # the root's handler then, which it is
        log_level="warning",
        access_log=False,  # it would tell whole paths
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        proxy_headers=False,  # uvicorn's own would read them once more
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
            log_config=None,  # it is told where the caller's loggers tell, in their form
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
        kept: list[Keeper | Clerk | PactClerk] = [Keeper(node)]
        if node.keyring is not None:  # what partners are told is signed
            kept += [Clerk(node, extra=(_gathering(),)), PactClerk(node)]
        for each in kept:
            each.start()
        try:
            yield
        finally:
            await asyncio.gather(*(asyncio.to_thread(each.stop) for each in kept))

    return lifespan


def _gathering() -> Extra:
    """Return the duty to collect what is to be handed on; it remembers what there was last."""
    last: Gathered | None = None

    async def again(node: Node, fetcher: Fetcher) -> None:
        nonlocal last
        last = await gather(node, fetcher, last)

    return again
