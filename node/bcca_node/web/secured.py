"""TLS, agreed on before a connection is one of HTTP: SPEC 13.1 and 16.3.

uvicorn would count a connection only once TLS is agreed, and wait a minute for that: whoever opens
connections and says nothing would hold as many as he likes.
"""

import asyncio
import ssl
from asyncio import Transport
from typing import Any

from uvicorn.protocols.utils import get_remote_addr

from bcca_node.web.limits import HEAD_SECONDS
from bcca_node.web.patience import PatientProtocol, is_one_too_many

_LOST = (OSError, EOFError)  # what TLS is not agreed for; errors of TLS are OSErrors


class Secured(asyncio.Protocol):
    """A connection until TLS is agreed on: `spoken` goes on with it from there.

    It ends without a word where that takes too long, or is not TLS at all.
    """

    tls: ssl.SSLContext
    spoken: type[PatientProtocol] = PatientProtocol
    seconds = HEAD_SECONDS

    def __init__(self, **told: Any) -> None:
        """Be told what uvicorn tells every connection."""
        self._next = self.spoken(**told)
        self._loop = self._next.loop
        self.connections = self._next.connections
        self.client: tuple[str, int] | None = None
        self._transport: Transport | None = None
        self._early: list[bytes] = []
        self._agreeing: asyncio.Task[None] | None = None
        self._is_lost = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as theirs
        """Begin to agree, or end at once where too many have begun."""
        self._transport = transport
        self.client = get_remote_addr(transport)
        self.connections.add(self)  # type: ignore[arg-type]  # uvicorn asks it for `shutdown` alone
        if is_one_too_many(self.connections, self.client):
            transport.abort()
            return
        transport.pause_reading()
        self._agreeing = self._loop.create_task(self._agree(transport))

    def data_received(self, data: bytes) -> None:
        """Keep what comes in the moment between an agreement and the next word."""
        self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._is_lost = True
        self.connections.discard(self)

    def shutdown(self) -> None:
        """End, as uvicorn asks of every connection when it stops."""
        if self._transport is not None:
            self._transport.abort()

    async def _agree(self, transport: Transport) -> None:
        try:
            secured = await self._loop.start_tls(
                transport,
                self,
                self.tls,
                server_side=True,
                ssl_handshake_timeout=self.seconds,
                ssl_shutdown_timeout=self.seconds,
            )
        except _LOST:
            secured = None
        finally:
            self.connections.discard(self)
        if secured is None or self._is_lost:
            transport.abort()
            return
        secured.set_protocol(self._next)
        self._next.connection_made(secured)
        for each in self._early:
            self._next.data_received(each)


def secured(tls: ssl.SSLContext, spoken: type[PatientProtocol]) -> type[Secured]:
    """Return the protocol that agrees on `tls`, and then speaks as `spoken`."""
    return type("SecuredByThis", (Secured,), {"tls": tls, "spoken": spoken})
