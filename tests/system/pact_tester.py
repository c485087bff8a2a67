"""A foreign company that speaks PACT over HTTPS: it asks a node, and listens for what comes back.

It shares no code with the node. It believes nobody: whoever posts an event to it has to bring a
token that it issued itself.
"""

import asyncio
import base64
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.system.pact_keys import Pair
from tests.system.pact_schema import CREATED, written

from bcca_node.demo.loopback import Loopback, listen

CALLBACK_SECONDS = 30.0  # what the official suite waits
EVENTS = "application/cloudevents+json; charset=UTF-8"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One request to the listener."""

    method: str
    path: str
    authorization: str
    content_type: str
    body: bytes
    status: int

    @property
    def event(self) -> Any:
        return json.loads(self.body)


@dataclass(kw_only=True)
class Listener:
    """What a foreign company serves: its token endpoint, its events, its footprints."""

    client_id: str = field(default_factory=lambda: f"node-at-{secrets.token_hex(4)}")
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    footprints: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    redirect: str = ""
    pages: list[tuple[bytes, str]] = field(default_factory=list)  # each with the link it has
    held: list[Any] = field(default_factory=list)
    _released: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._released.set()

    def serve(self, loopback: Loopback, pair: Pair) -> None:
        """Listen, until the loopback ends."""
        listener = listen()
        self.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])
        config = uvicorn.Config(
            app,
            log_level="critical",
            ssl_certfile=str(pair.certificate),
            ssl_keyfile=str(pair.key),
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        loopback.serve(uvicorn.Server(config), listener)

    @property
    def events(self) -> list[Heard]:
        """Return the events that were taken."""
        return [
            each for each in list(self.heard) if each.path == "/3/events" and each.status == 200
        ]

    def about(self, request: str) -> list[Any]:
        """Return the answers to a request that were taken."""
        told = [each.event for each in self.events]
        return [each for each in told if each["data"].get("requestEventId") == request]

    def published(self) -> list[str]:
        """Return the ids of which it was told."""
        told = [each.event["data"] for each in self.events]
        return [name for each in told for name in each.get("pfIds", ())]

    def wait(self, found: Callable[[], bool], seconds: float = CALLBACK_SECONDS) -> bool:
        """Say whether something came to be true in so many seconds."""
        until = time.monotonic() + seconds
        while not found():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def hold(self) -> None:
        """Read events from now on, and answer none of them, until the release."""
        self.held.clear()
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        if not self._released.is_set() and request.url.path == "/3/events":
            self.held.append(json.loads(body))
            while not self._released.is_set():
                await asyncio.sleep(0.01)
            return Response(status_code=503)
        with self._lock:
            made = self._made(request, body)
            self.heard.append(
                Heard(
                    method=request.method,
                    path=request.url.path,
                    authorization=request.headers.get("authorization", ""),
                    content_type=request.headers.get("content-type", ""),
                    body=body,
                    status=made.status_code,
                )
            )
        return made

    def _made(self, request: Request, body: bytes) -> Response:
        path, authorization = request.url.path, request.headers.get("authorization", "")
        if path == "/auth/token" and request.method == "POST":
            return self._token(authorization, body)
        if not path.startswith("/3/"):
            return Response(status_code=404)
        if authorization.removeprefix("Bearer ") not in self.tokens:
            return _error(401, "TokenExpired")
        if self.refusals:
            return _error(self.refusals.pop(0), "InternalError")
        return self._shown(request.method, path, request.url.query)

    def _page(self, query: str) -> Response:
        """Answer with a page as a test wrote it, or with all there is."""
        if not self.pages:
            return JSONResponse({"data": list(self.footprints.values())})
        [cursor] = parse_qs(query).get("cursor", ["0"])
        body, link = self.pages[int(cursor)]
        headers = {"link": f'<{link.format(url=self.url)}>; rel="next"'} if link else {}
        return Response(body, media_type="application/json", headers=headers)

    def _shown(self, method: str, path: str, query: str) -> Response:
        if self.redirect:
            return Response(status_code=307, headers={"location": self.redirect})
        if path == "/3/events" and method == "POST":
            return Response(status_code=200)
        if path == "/3/footprints":
            return self._page(query)
        found = self.footprints.get(path.rpartition("/")[2])
        return _error(404, "NotFound") if found is None else JSONResponse({"data": found})

    def _token(self, authorization: str, body: bytes) -> Response:
        given = basic(self.client_id, self.client_secret)
        asked = parse_qs(body.decode())
        if authorization != given or asked.get("grant_type") != ["client_credentials"]:
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        token = secrets.token_urlsafe(24)
        self.tokens.add(token)
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 3600})


@dataclass(kw_only=True)
class Foreigner:
    """A foreign company: its listener, and what it asks of one node."""

    name: str
    base: str
    listener: Listener
    client_id: str
    client_secret: str
    trusting: ssl.SSLContext
    _client: httpx.Client = field(init=False)
    _token: str = ""

    def __post_init__(self) -> None:
        self._client = self._new_client()

    def hang_up(self) -> None:
        """Close every connection; the next request opens another."""
        self._client.close()
        self._client = self._new_client()

    def _new_client(self) -> httpx.Client:
        return httpx.Client(verify=self.trusting, trust_env=False, timeout=10.0)

    # How it identifies itself.

    def ask_for_token(
        self, secret: str | None = None, *, url: str = "", **more: str
    ) -> httpx.Response:
        told = self.client_secret if secret is None else secret
        headers = {**FORM, "authorization": basic(self.client_id, told)}
        form = {"grant_type": "client_credentials", **more}
        return self._client.post(url or f"{self.base}/auth/token", data=form, headers=headers)

    @property
    def token(self) -> str:
        if not self._token:
            answer = self.ask_for_token()
            assert answer.status_code == 200, answer.text
            self._token = str(answer.json()["access_token"])
        return self._token

    def forget_token(self) -> None:
        self._token = ""

    # What it asks.

    def send(
        self, method: str, path: str, *, bearer: str | None = None, **more: Any
    ) -> httpx.Response:
        """Ask for a path, or a URL, with a bearer: none where it is empty, its own unless told."""
        told = self.token if bearer is None else bearer
        headers = {
            **({"authorization": f"Bearer {told}"} if told else {}),
            **more.pop("headers", {}),
        }
        url = path if path.startswith("http") else f"{self.base}{path}"
        return self._client.request(method, url, headers=headers, **more)

    def get(self, path: str, *, bearer: str | None = None, **more: Any) -> httpx.Response:
        return self.send("GET", path, bearer=bearer, **more)

    def every(self, query: str = "") -> list[Any]:
        """Return all footprints that fit a query, from every page."""
        found: list[Any] = []
        url = f"/3/footprints{query}"
        while url:
            answer = self.get(url)
            assert answer.status_code == 200, answer.text
            found += answer.json()["data"]
            url = next_of(answer)
        return found

    def one(self, name: str) -> Any:
        answer = self.get(f"/3/footprints/{name}")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def post(
        self,
        event: Mapping[str, Any] | bytes,
        *,
        bearer: str | None = None,
        base: str | None = None,
        content_type: str = EVENTS,
    ) -> httpx.Response:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        url = f"{self.base if base is None else base}/3/events"
        return self.send(
            "POST", url, bearer=bearer, content=body, headers={"content-type": content_type}
        )

    def event(self, kind: str, data: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Return an event as the official suite writes them: `source` is a bare base URL."""
        return {
            "type": kind,
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": self.listener.url,
            "time": written(datetime.now(UTC)),
            "data": dict(data),
            **more,
        }

    def request(self, products: Sequence[str], **more: Any) -> str:
        """Ask for products by an event, and return its id."""
        event = self.event(CREATED, {"productId": list(products), **more})
        answer = self.post(event)
        assert (answer.status_code, answer.content) == (200, b""), answer.text
        return str(event["id"])

    def answers(self, request: str, count: int = 1) -> list[Any]:
        """Return the answers to a request, as soon as there are so many."""
        assert self.listener.wait(lambda: len(self.listener.about(request)) >= count), (
            request,
            self.listener.heard,
        )
        return self.listener.about(request)


def basic(name: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"


def next_of(answer: httpx.Response) -> str:
    """Return the URL of the next page, empty at the end."""
    return str(answer.links.get("next", {}).get("url", ""))


def _error(status: int, code: str) -> Response:
    return JSONResponse({"code": code, "message": "refused"}, status_code=status)
