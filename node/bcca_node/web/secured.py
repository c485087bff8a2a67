"""TLS, agreed on before a connection is one of HTTP: SPEC 13.1 and 16.3.

uvicorn would count a connection only once TLS is agreed, and wait a minute for that: whoever opens
connections and says nothing would hold as many as he likes.
"""

import asyncio
import ssl
from asyncio import AbstractEventLoop, Transport
from typing import Any

from uvicorn.protocols.utils import get_remote_addr

from bcca_node.web.joined import Through
from bcca_node.web.limits import HEAD_SECONDS
from bcca_node.web.patience import PatientProtocol, is_one_too_many

PARTING_SECONDS = 0.05  # between one look whether the last answer is on its way and the next

_LOST = (OSError, EOFError)  # what TLS is not agreed for; errors of TLS are OSErrors


class Parting(Through):
    """A connection over TLS that ends once all is sent, also where its other end says nothing.

    asyncio would wait for its last word. Nobody has to (RFC 8446, 6.1), and whoever keeps a
    connection for later does not look at it: a server that stops would wait for each of those.
    """

    def __init__(self, secured: Transport, under: Transport, loop: AbstractEventLoop) -> None:
        """Send by `secured`, which sends by `under`."""
        super().__init__(secured, loop)
        self._under = under

    def close(self) -> None:
        """Say that this is the end, and go."""
        if not self.is_closing():
            super().close()
            self._go()

    def _go(self) -> None:
        """End once `under` has all, which sends what it has and asks nobody."""
        if self._under.is_closing():
            return
        if self._transport.get_write_buffer_size():
            self._loop.call_later(PARTING_SECONDS, self._go)
        else:
            self._under.close()


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
        self._next.connection_made(Parting(secured, transport, self._loop))
        for each in self._early:
            self._next.data_received(each)


def secured(tls: ssl.SSLContext, spoken: type[PatientProtocol]) -> type[Secured]:
    """Return the protocol that agrees on `tls`, and then speaks as `spoken`."""
    return type("SecuredByThis", (Secured,), {"tls": tls, "spoken": spoken})
