"""How this node asks another: the one module that makes an HTTP client.

Whatever goes wrong becomes UnavailableError (nobody lied) or RefusedError, naming the URL.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from bcca_node.network.guard import Guard, GuardedResolver
from bcca_node.network.limits import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_TO_ONE,
    MAX_REDIRECTS,
    Patience,
)
from bcca_protocol.errors import LimitError, RefusedError, UnavailableError
from bcca_protocol.wire import showable

_HEADERS = {
    "user-agent": "bcca-node",
    "accept-encoding": "identity",  # a limit counts what comes, not what it unpacks to
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What another node answered, whatever its status."""

    status: int
    content_type: str
    body: bytes


class Fetcher:
    """Asks other nodes, many at a time; use it as an asynchronous context.

    `named` are the hosts that may be on private addresses: `guard.hosts_of(policy)`.
    """

    def __init__(self, named: Collection[str] = (), *, patience: Patience | None = None) -> None:
        """Ask with that much patience."""
        self._guard = Guard(named)
        self._patience = patience or Patience()
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Open the client."""
        context = ssl.create_default_context()
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._guard, aiohttp.ThreadedResolver()),
            ssl=context,
            limit=MAX_CONNECTIONS,
            limit_per_host=MAX_CONNECTIONS_TO_ONE,
        )
        session = aiohttp.ClientSession(connector=connector, trust_env=False)
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(client=session, verify=context),
            timeout=httpx.Timeout(
                self._patience.read, connect=self._patience.connect, pool=self._patience.total
            ),
            headers=_HEADERS,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def get(self, url: str, *, limit: int) -> bytes:
        """Return what is at `url`, at most `limit` bytes; raises UnavailableError, RefusedError."""
        found = await self.find(url, limit=limit)
        if found is None:
            raise UnavailableError(f"{showable(url)}: answered 404, it is not there")
        return found

    async def find(self, url: str, *, limit: int) -> bytes | None:
        """Return what `get` would, None where the answer is 404."""
        answer = await self._ask(httpx.Request("GET", self._guard.check_url(url)), limit)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        _require(url, answer.status)
        return answer.body

    async def post(self, url: str, body: bytes, *, content_type: str, limit: int) -> Answer:
        """Return the answer to `body`, whatever its status below 500; it is not redirected."""
        request = httpx.Request(
            "POST", self._guard.check_url(url), content=body, headers={"content-type": content_type}
        )
        return await self._ask(request, limit)
