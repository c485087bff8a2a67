"""How this node asks another: the one module that makes an HTTP client.

Whatever goes wrong becomes UnavailableError (nobody lied) or RefusedError, naming the URL.
What is asked of somebody by name, its `audience`, is signed (SPEC 13.7).
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from bcca_node.network import blame, signatures, targets
from bcca_node.network.guard import Guard, GuardedResolver
from bcca_node.network.limits import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_TO_ONE,
    MAX_REDIRECTS,
    Patience,
)
from bcca_node.network.pieces import pieces
from bcca_node.network.signatures import Call
from bcca_protocol.errors import LimitError, MalformedError, RefusedError, UnavailableError
from bcca_protocol.keys import Signer
from bcca_protocol.wire import showable

_HEADERS = {
    "user-agent": "bcca-node",
    "accept-encoding": "identity",  # a limit counts what comes, not what it unpacks to
}
_AUTHORIZATION = "authorization"
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_SAID_BYTES = 300  # of a refusal: one sentence
_NONCE_BYTES = 16  # two calls of one key never have the same


def system_clock() -> int:
    """Return the time in POSIX seconds."""
    return int(time.time())


class BusyError(UnavailableError):
    """A node that says it is busy; after so many seconds it may not be, 0 where it does not say."""

    after = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What another node answered, whatever its status; `date` is when, by its own clock.

    `link` is its Link header (RFC 8288), several as one.
    """

    status: int
    content_type: str
    body: bytes
    date: str = ""
    after: str = ""
    link: str = ""


@lru_cache(1)
def _authorities() -> ssl.SSLContext:
    """Return whom TLS believes: read once, for it takes 30 ms."""
    return ssl.create_default_context()


class Fetcher:
    """Asks other nodes, many at a time; use it as an asynchronous context.

    `named` are the hosts that may be on private addresses: `guard.hosts_of(policy)`. What has an
    `audience`, the origin of whoever is asked, is signed by `signer`, if there is one, at the time
    of `clock`; it is never sent on to where it is redirected.
    """

    def __init__(
        self,
        named: Collection[str] = (),
        *,
        patience: Patience | None = None,
        signer: Signer | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        """Ask with that much patience."""
        self._guard = Guard(named)
        self._patience = patience or Patience()
        self._signer = signer
        self._clock = clock
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Open the client."""
        context = _authorities()
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._guard, aiohttp.ThreadedResolver()),
            ssl=context,
            limit=MAX_CONNECTIONS,
            limit_per_host=MAX_CONNECTIONS_TO_ONE,
        )
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(client=session, verify=context),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # nobody's are kept
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

    async def get(self, url: str, *, limit: int, audience: str | None = None) -> bytes:
        """Return what is at `url`, at most `limit` bytes; raises UnavailableError, RefusedError."""
        found = await self.find(url, limit=limit, audience=audience)
        if found is None:
            raise UnavailableError(f"{showable(url)}: answered 404, it is not there")
        return found

    async def find(self, url: str, *, limit: int, audience: str | None = None) -> bytes | None:
        """Return what `get` would, None where the answer is 404."""
        answer = await self._ask(self._request("GET", url, audience=audience), limit)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status == HTTPStatus.UNAUTHORIZED:  # why, it says: a clock may be wrong
            said = answer.body[:_SAID_BYTES].decode(errors="replace")
            raise UnavailableError(f"{showable(url)}: answered 401: {showable(said)}")
        _require_ok(url, answer.status, answer.after)
        return answer.body

    async def post(
        self, url: str, body: bytes, *, content_type: str, limit: int, audience: str | None = None
    ) -> Answer:
        """Return the answer to `body`, whatever its status below 500; it is not redirected."""
        request = self._request("POST", url, body=body, audience=audience)
        request.headers["content-type"] = content_type
        return await self._ask(request, limit)

    async def send(
        self, url: str, *, headers: Mapping[str, str], limit: int, body: bytes | None = None
    ) -> Answer:
        """Return the answer to a GET, or to a POST of `body`, whatever its status below 500.

        With an Authorization among `headers` it is not redirected. Raises what `get` raises.
        """
        method = "GET" if body is None else "POST"
        request = self._request(method, url, body=body or b"")
        request.headers.update(headers)
        return await self._ask(request, limit)

    async def lines(
        self, url: str, *, limit: int, line_limit: int, audience: str | None = None
    ) -> AsyncGenerator[bytes]:
        """Yield the lines at `url` as they come: `limit` bounds them all, `line_limit` one.

        Raises what `get` raises, MalformedError for an end within a line.
        """
        request = self._request("GET", url, audience=audience)
        deadline = asyncio.get_running_loop().time() + self._patience.stream
        with _blamed_on(url):
            async with self._open(request) as response:
                _require_ok(url, response.status_code)
                rest = b""
                async for piece in pieces(response, limit, deadline):
                    *whole, rest = (rest + piece).split(b"\n")
                    if max(map(len, (*whole, rest))) > line_limit:
                        raise LimitError(f"{showable(url)}: a line of over {line_limit} bytes")
                    for line in whole:
                        yield line
                if rest:
                    raise MalformedError(f"{showable(url)}: ends within a line")

    async def _ask(self, request: httpx.Request, limit: int) -> Answer:
        url = str(request.url)
        deadline = asyncio.get_running_loop().time() + self._patience.total
        with _blamed_on(url):
            async with asyncio.timeout_at(deadline), self._open(request) as response:
                body = b"".join([piece async for piece in pieces(response, limit, deadline)])
        after = response.headers.get("retry-after", "")
        if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            _require_ok(url, response.status_code, after)
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnavailableError(f"{showable(url)}: answered {response.status_code}")
        return Answer(
            status=response.status_code,
            content_type=response.headers.get("content-type", ""),
            body=body,
            date=response.headers.get("date", ""),
            after=after,
            link=response.headers.get("link", ""),
        )

    @asynccontextmanager
    async def _open(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """Yield the answer, its body to come, after at most MAX_REDIRECTS."""
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._opened.send(request, stream=True)
            try:
                if not response.has_redirect_location:
                    yield response
                    return
                request = self._redirected(request, response.headers["location"])
            finally:
                await response.aclose()
        raise RefusedError(
            f"{showable(str(request.url))}: after {MAX_REDIRECTS} redirects, one more"
        )

    def _redirected(self, request: httpx.Request, location: str) -> httpx.Request:
        """Return the next request, guarded like the first; raises RefusedError."""
        what = f"{showable(str(request.url))}: redirects to {showable(location[:200])}"
        if request.method != "GET":
            raise RefusedError(f"{what}, and a {request.method} is not sent twice")
        if _AUTHORIZATION in request.headers:
            raise RefusedError(f"{what}, and credentials for one URL are not sent to another")
        if signatures.SIGNATURE in request.headers:
            raise RefusedError(f"{what}, and what was signed for one URL is not sent to another")
        next_request = self._request("GET", str(request.url.join(location)))
        if request.url.scheme == "https" and next_request.url.scheme != "https":
            raise RefusedError(f"{what}, from https to {next_request.url.scheme}")
        return next_request

    def _request(
        self, method: str, url: str, *, body: bytes = b"", audience: str | None = None
    ) -> httpx.Request:
        """Return a request that the guard lets out; raises MalformedError, RefusedError."""
        to = self._guard.check_url(url)
        content = body if method == "POST" else None
        if audience is None or self._signer is None:
            return self._opened.build_request(method, to, content=content)
        target = targets.sent(str(to))
        request = self._opened.build_request(method, target, content=content)
        if targets.sent(str(request.url)) != target:
            raise MalformedError(f"{showable(url)}: written as {showable(target)}, and not sent so")
        headers = signatures.sign(
            Call(method=method, target=target, body=body),
            signer=self._signer,
            audience=audience,
            created=self._clock(),
            nonce=secrets.token_urlsafe(_NONCE_BYTES),
        )
        request.headers.update(headers)
        return request

    @property
    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RuntimeError("a Fetcher asks only inside its `async with`")
        return self._client


@contextmanager
def _blamed_on(url: str) -> Iterator[None]:
    """Turn every failure of the network into UnavailableError."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as error:
        raise blame.unanswered(showable(url), error.__cause__) from error
    except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise UnavailableError(f"{showable(url)}: {showable(reason[:200])}") from error


def _require_ok(url: str, status: int, after: str = "") -> None:
    if status == HTTPStatus.OK:
        return
    what = f"{showable(url)}: answered {status}"
    if status in _BUSY:
        raise _busy(what, after)
    raise UnavailableError(f"{what}, where 200 belongs")


def _busy(what: str, after: str) -> BusyError:
    """Return that a node is busy, and for how long it says so (RFC 9110, 10.2.3)."""
    busy = BusyError(what)
    if after.isascii() and after.isdigit():
        busy.after = float(after[:9])
    return busy
