"""HTTP/1.1 as uvicorn speaks it, with an end to every wait: SPEC 13.1.

uvicorn waits for ever for the rest of a head, and for a reader that does not take an answer; each
holds a connection, and enough of them hold up all others. A body's time is `web.parts`'.
"""

import asyncio
import socket
from asyncio import Transport
from collections.abc import Collection

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from bcca_node.web.joined import Joined
from bcca_node.web.limits import (
    ANSWER_SECONDS,
    HEAD_SECONDS,
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_OF_ONE,
    TAKING_SECONDS,
    counted,
    is_everybody,
)

_REFUSED = b'{"error":"this is no HTTP request, or its head is too long"}'


class PatientProtocol(H11Protocol):
    """One connection, closed without a word once its other end has had its time."""

    head_seconds, taking_seconds, answer_seconds = HEAD_SECONDS, TAKING_SECONDS, ANSWER_SECONDS
    _head_end: asyncio.TimerHandle | None = None
    _taking_end: asyncio.TimerHandle | None = None
    _slow: tuple[object, float] = (None, 0.0)  # an answer, and when its reader was first behind

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as theirs
        """Begin, or end at once where too many have begun."""
        super().connection_made(transport)
        self.transport = Joined(transport, self.loop)
        opened: socket.socket | None = transport.get_extra_info("socket")
        if opened is not None and opened.family != socket.AF_UNIX:
            # Else the body waits for the other end to acknowledge the head: 40 ms.
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_one_too_many(self.connections, self.client):
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came: the end of a head, or another byte of one that has to end."""
        super().data_received(data)
        if self._is_between_requests():
            self._await_head()
        elif self._head_end is not None:
            self._head_end.cancel()
            self._head_end = None

    def on_response_complete(self) -> None:
        """Go on to the next request, whose first bytes may be here."""
        super().on_response_complete()
        if self.conn.trailing_data[0] and self._is_between_requests():
            self._await_head()

    def pause_writing(self) -> None:
        """Wait until the reader takes more, but not for ever."""
        super().pause_writing()
        now = self.loop.time()
        if self._slow[0] is not self.cycle:
            self._slow = (self.cycle, now)
        left = self._slow[1] + self.answer_seconds - now
        if self._taking_end is None:
            wait = max(0.0, min(self.taking_seconds, left))
            self._taking_end = self.loop.call_later(wait, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the reader took something."""
        super().resume_writing()
        if self._taking_end is not None:
            self._taking_end.cancel()
            self._taking_end = None

    def timeout_keep_alive_handler(self) -> None:
        """Close what nobody uses; one whose last answer is not taken, a little later."""
        super().timeout_keep_alive_handler()
        if self._taking_end is None:
            self._taking_end = self.loop.call_later(self.taking_seconds, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request in JSON, as every error."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.abort()
            return
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (answer, h11.Data(data=_REFUSED), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_head(self) -> None:
        if self._head_end is None:
            self._head_end = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        for timer in (self._head_end, self._taking_end):
            if timer is not None:
                timer.cancel()
        self._head_end = self._taking_end = None

    def _is_between_requests(self) -> bool:
        cycle = getattr(self, "cycle", None)  # there is none before the first
        return cycle is None or bool(cycle.response_complete)


def is_one_too_many(connections: Collection[object], client: tuple[str, int] | None) -> bool:
    """Say whether more connections are open than may be, of all or of the address of `client`."""
    if len(connections) > MAX_CONNECTIONS:
        return True
    mine = counted(client[0]) if client else ""
    if is_everybody(mine):
        return False
    clients = (getattr(each, "client", None) for each in connections)
    hosts = [found[0] for found in clients if found]
    return sum(counted(host) == mine for host in hosts) > MAX_CONNECTIONS_OF_ONE
