"""A head and its body, sent at once: a second packet costs as much as finding a statement."""

import asyncio
from asyncio import AbstractEventLoop, Transport

LONG = 65_536  # bytes of a body: to copy so many costs more than a packet more

_HEAD = b"HTTP/1."


class Through(Transport):
    """A transport that does everything as another one does."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        """Send by `transport`."""
        super().__init__()
        self._transport = transport
        self._loop = loop

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`."""
        self._transport.write(data)

    def close(self) -> None:
        """End once all is sent."""
        self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Say whether it ends."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Take nothing for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return what is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who reads."""
        return self._transport.get_protocol()


class Joined(Through):
    """A transport that keeps the head of an answer until its body, or until there is time."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        """Send by `transport`."""
        super().__init__(transport, loop)
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what was kept, and `data`; keep that if it begins an answer."""
        if self._head and len(data) < LONG:
            data = self._head + data
            self._head = b""
        elif self._head:
            self._send()
        elif isinstance(data, bytes) and data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._send)
            return
        super().write(data)

    def close(self) -> None:
        """Send what was kept, and end."""
        self._send()
        super().close()

    def abort(self) -> None:
        """End at once."""
        self._head = b""
        super().abort()

    def _send(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""
