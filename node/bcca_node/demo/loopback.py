"""Many nodes served by one thread, each on a loopback socket of its own."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn

T = TypeVar("T")

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.01  # uvicorn tells that it has started by a flag


class Loopback:
    """A thread whose event loop serves whatever is put on it, until the context ends."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback")
        self._servers: dict[uvicorn.Server, Future[None]] = {}

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every server, all at once, then the thread."""
        for server in self._servers:
            server.should_exit = True
        for server in tuple(self._servers):
            self.stop(server)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        self._loop.close()

    def serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        """Serve on a bound socket; return once it answers."""
        self._servers[server] = self._submit(server.serve(sockets=[listener]))
        self._submit(_started(server)).result(START_SECONDS)

    def stop(self, server: uvicorn.Server) -> None:
        """Stop one server, and wait until its socket is closed."""
        server.should_exit = True
        self._servers.pop(server).result(STOP_SECONDS)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def listen() -> socket.socket:
    """Return a listening socket on a free loopback port."""
    return socket.create_server((HOST, 0))


def url_of(listener: socket.socket) -> str:
    """Return the base URL of a node that listens there."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


async def _started(server: uvicorn.Server) -> None:
    while not server.started:
        await asyncio.sleep(POLL_SECONDS)
