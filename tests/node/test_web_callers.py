"""Signed calls over HTTP: who is believed to call, and every way to pretend, by name."""

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from typing import Annotated, Any

import httpx
import pytest
import uvicorn
from fastapi import Depends, FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcca_node.app import create_app
from bcca_node.ledger.node import Node
from bcca_node.network import signatures, targets
from bcca_node.network.client import Answer, Fetcher
from bcca_node.network.signatures import Call
from bcca_node.storage.calls import Calls, Room
from bcca_node.web.callers import CallerDep, SignedBody, signed_body
from bcca_node.web.limits import Limits
from bcca_protocol.errors import RefusedError, UnavailableError
from bcca_protocol.keys import Algorithm, Role, SeedSigner, Signer

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

NOW = 1_790_000_000
LOOPBACK = ("127.0.0.1",)
MAX_SAID_BYTES = 1_000
STRANGER = SeedSigner(name="stranger.example", algorithm=Algorithm.ED25519, seed=bytes(range(32)))
MINUTE_LATER = "sign it again, later"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def who(caller: CallerDep) -> dict[str, str]:
    return {"kind": caller.kind, "name": caller.name}


def say(said: Annotated[SignedBody, Depends(signed_body(MAX_SAID_BYTES))]) -> dict[str, str]:
    return {**who(said.caller), "said": said.body.decode()}


def app_of(node: Node) -> FastAPI:
    """Return the app of a node that also tells who calls, on any path."""
    app = create_app(node)
    app.state.limits = Limits(0)  # how much one may ask is tested where that is
    app.add_api_route("/who", who, methods=["GET", "HEAD", "PUT"])
    app.add_api_route("/who/{rest:path}", who)
    app.add_api_route("/say", say, methods=["POST", "PATCH"])
    return app


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listening(loop: Any, new_node: Callable[..., Node], clock: Clock) -> Callable[..., Node]:
    """Set up nodes that tell over HTTP who calls."""

    def make(origin: str = "cathode.example/bcca") -> Node:
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        node = new_node(origin, url=url, clock=clock)
        loop.serve(uvicorn.Server(uvicorn.Config(app_of(node), log_level="warning")), listener)
        return node

    return make


@pytest.fixture
def node(new_node: Callable[..., Node], clock: Clock) -> Node:
    """A node that is asked without a socket."""
    return new_node(url="https://cathode.example/node", clock=clock)


@pytest.fixture
def opened(node: Node) -> Iterator[Callable[[], Node]]:
    """Open the node once more, as another worker does, or the same after a restart."""
    made: list[Node] = []

    def make() -> Node:
        made.append(Node.open(node.settings, clock=node.clock))
        return made[-1]

    yield make
    for each in made:
        each.close()


@dataclasses.dataclass
class Sent:
    """A request as it is on the wire; whoever sees it can send it again, or another."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    def changed(self, **other: Any) -> "Sent":
        return dataclasses.replace(self, **other)

    def with_header(self, name: str, value: str) -> "Sent":
        return self.changed(headers={**self.headers, name: value})


def signed(
    node: Node,
    path: str = "/who",
    *,
    method: str = "GET",
    body: bytes = b"",
    **told: Any,
) -> Sent:
    """Sign a call to a node, as a stranger unless told otherwise."""
    call = Call(method=method, target=targets.sent(node.settings.url + path), body=body)
    told = {
        "signer": STRANGER,
        "nonce": "n-1",
        "created": NOW,
        "audience": node.origin,
        **told,
    }
    return Sent(method, path, signatures.sign(call, **told), body)


def send(node: Node, sent: Sent) -> httpx.Response:
    """Send a request to the app of a node, as a proxy in front of it does."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app_of(node))
        async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
            return await client.request(
                sent.method, sent.path, headers=sent.headers, content=sent.body
            )

    return asyncio.run(request())


@asynccontextmanager
async def fetching(signer: Signer | None = STRANGER, *, now: int = NOW) -> AsyncIterator[Fetcher]:
    async with Fetcher(LOOPBACK, signer=signer, clock=lambda: now) as fetcher:
        yield fetcher


def get(node: Node, path: str, **told: Any) -> bytes:
    async def run() -> bytes:
        async with fetching(**told) as fetcher:
            url = node.settings.url + path
            return await fetcher.get(url, limit=1_000, audience=node.origin)

    return asyncio.run(run())


def post(url: str, body: bytes, audience: str) -> Answer:
    async def run() -> Answer:
        async with fetching() as fetcher:
            return await fetcher.post(
                url, body, content_type="text/plain", limit=1_000, audience=audience
            )

    return asyncio.run(run())


def refused(answer: httpx.Response) -> str:
    """Return why a signature was refused."""
    assert answer.status_code == 401
    assert answer.headers["cache-control"] == "private, no-store"
    why: str = answer.json()["error"]
    return why


# Whoever signs is known.


def test_a_signed_call_is_by_the_holder_of_its_key(node: Node) -> None:
    answer = send(node, signed(node))

    assert answer.json() == {"kind": "stranger", "name": STRANGER.key.label}


def test_a_call_without_a_signature_is_by_nobody(node: Node) -> None:
    assert send(node, Sent("GET", "/who", {})).json() == {"kind": "nobody", "name": ""}
    assert send(node, Sent("POST", "/say", {}, b"x")).json()["kind"] == "nobody"


def test_a_node_that_calls_itself_is_its_operator(node: Node) -> None:
    answer = send(node, signed(node, signer=node.keys.signer(Role.REQUEST)))

    assert answer.json() == {"kind": "operator", "name": node.origin}


def test_a_key_that_calls_itself_as_somebody_is_a_stranger(node: Node) -> None:
    fake = SeedSigner(name=node.origin, algorithm=Algorithm.ED25519, seed=bytes(32))

    assert send(node, signed(node, signer=fake)).json()["kind"] == "stranger"


def test_a_call_with_a_body_is_by_the_holder_of_its_key(node: Node) -> None:
    answer = send(node, signed(node, "/say", method="POST", body=b"hello"))

    assert answer.json()["kind"] == "stranger"
    assert answer.json()["said"] == "hello"


def test_a_post_without_a_body_needs_no_digest(node: Node) -> None:
    assert send(node, signed(node, "/say", method="POST")).json()["kind"] == "stranger"


def test_a_head_is_signed_as_one(node: Node) -> None:
    assert send(node, signed(node, method="HEAD")).status_code == 200
    assert send(node, signed(node, nonce="n-2").changed(method="HEAD")).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/who",
        "/who?",
        "/who?product=urn%3Abcca%3Acase%3At%3AP1",
        "/who?product=urn:bcca:case:t:P1/2~3",
        "/who?a=b%26c%3Dd+e%20f%2Bg&h",
        "/who?q=ü&%C3%BC=%c3%bc",
        "/who/a%2Fb/%2f/c",
        "/who/~user/%7Euser",
        "/who/ü/%E2%82%AC",
        "/who/a+b%20c d",
        "/who/urn%3Abcca%3Acase",
        "/who/a//b/./c/../d",
        "/who/100%25?100%25",
        "/who/%41?%5B1%5D=[2]&{3}|4^`5'",
    ],
)
def test_what_is_signed_is_what_is_sent(listening: Callable[..., Node], path: str) -> None:
    assert b"stranger" in get(listening(), path)


def test_a_signed_post_is_sent_as_it_was_signed(listening: Callable[..., Node]) -> None:
    node = listening()

    answer = post(f"{node.settings.url}/say?a%3Ab", b"hello", node.origin)

    assert answer.status == 200
    assert b"stranger" in answer.body


def test_a_fetcher_that_has_no_signer_or_no_audience_signs_nothing(
    listening: Callable[..., Node],
) -> None:
    node = listening()

    async def plainly() -> bytes:
        async with fetching() as fetcher:
            return await fetcher.get(f"{node.settings.url}/who", limit=1_000)

    assert b"nobody" in asyncio.run(plainly())
    assert b"nobody" in get(node, "/who", signer=None)


def test_a_signed_stream_of_lines_is_signed(listening: Callable[..., Node]) -> None:
    node = listening()

    async def stream() -> list[bytes]:
        async with fetching(now=NOW + 61) as fetcher:
            url = f"{node.settings.url}/who"
            lines = fetcher.lines(url, limit=99, line_limit=99, audience=node.origin)
            return [each async for each in lines]

    with pytest.raises(UnavailableError, match="answered 401"):
        asyncio.run(stream())


@pytest.mark.parametrize("path", ["", "/bcca", "/a%20b/~c"])
def test_a_node_behind_a_proxy_is_called_by_its_url_outside(
    new_node: Callable[..., Node], clock: Clock, path: str
) -> None:
    node = new_node(url=f"https://Proxy.example:443{path}", clock=clock)

    assert send(node, signed(node, "/who?a=b")).json()["kind"] == "stranger"


# Attacks.


def test_a_request_relayed_to_another_node_is_refused(
    node: Node, new_node: Callable[..., Node], clock: Clock
) -> None:
    captor = new_node("captor.example", url=node.settings.url, clock=clock)
    captured = signed(captor)

    assert refused(send(node, captured)) == (
        "signature: for 'captor.example', where this is cathode.example/bcca"
    )


def test_a_relayed_request_whose_audience_is_changed_is_refused(node: Node) -> None:
    captured = signed(node, audience="captor.example")

    assert "not signed by" in refused(
        send(node, captured.with_header("bcca-audience", node.origin))
    )


def test_a_request_relayed_from_another_url_is_refused(
    node: Node, new_node: Callable[..., Node], clock: Clock
) -> None:
    elsewhere = new_node("captor.example", url="https://captor.example", clock=clock)
    captured = signed(elsewhere, audience=node.origin)

    assert "not signed by" in refused(send(node, captured))


def test_a_replayed_request_is_refused(node: Node) -> None:
    captured = signed(node)

    assert send(node, captured).status_code == 200
    assert "its nonce was used before" in refused(send(node, captured))


def test_a_request_replayed_to_another_worker_is_refused(
    node: Node, opened: Callable[[], Node]
) -> None:
    captured, worker = signed(node), opened()

    assert send(node, captured).status_code == 200
    assert "its nonce was used before" in refused(send(worker, captured))


def test_a_request_replayed_after_a_restart_is_refused(
    node: Node, opened: Callable[[], Node]
) -> None:
    captured = signed(node)
    with closing(opened()) as before:
        assert send(before, captured).status_code == 200

    assert "its nonce was used before" in refused(send(opened(), captured))


def test_a_request_replayed_with_a_body_is_refused(node: Node) -> None:
    captured = signed(node, "/say", method="POST", body=b"pay 1")

    assert send(node, captured).status_code == 200
    assert refused(send(node, captured))


def test_a_request_replayed_to_a_node_that_was_put_back_is_refused(
    node: Node, restored: Callable[[Node], Node]
) -> None:
    captured = signed(node)
    assert send(node, captured).status_code == 200

    answer = send(restored(node), captured)

    assert answer.status_code == 503
    assert MINUTE_LATER in answer.json()["error"]


def test_a_request_replayed_after_the_clock_was_set_back_is_refused(
    node: Node, clock: Clock
) -> None:
    captured = signed(node)
    assert send(node, captured).status_code == 200
    clock.now += 3_600
    assert send(node, signed(node, created=clock.now, nonce="n-2")).status_code == 200
    clock.now = NOW

    answer = send(node, captured)

    assert answer.status_code == 503
    assert MINUTE_LATER in answer.json()["error"]


@pytest.mark.parametrize(
    "other",
    [{"body": b"pay 2"}, {"body": b""}, {"path": "/say?more"}, {"method": "PATCH"}],
    ids=["body", "no body", "query", "method"],
)
def test_a_request_changed_on_its_way_is_refused(node: Node, other: dict[str, Any]) -> None:
    sent = signed(node, "/say", method="POST", body=b"pay 1")

    assert refused(send(node, sent.changed(**other)))
    assert send(node, sent).status_code == 200


@pytest.mark.parametrize("path", ["/who?product=P2", "/who", "/who/?product=P1", "/who?product=p1"])
def test_a_request_with_a_changed_query_is_refused(node: Node, path: str) -> None:
    assert refused(send(node, signed(node, "/who?product=P1").changed(path=path)))


def test_a_get_under_whose_signature_a_body_was_put_is_refused(node: Node) -> None:
    assert "has no body" in refused(send(node, signed(node).changed(body=b"x")))


@pytest.mark.parametrize("off", [-3_600, 3_600])
def test_a_clock_off_by_an_hour_is_told_the_time(node: Node, off: int) -> None:
    why = refused(send(node, signed(node, created=NOW + off)))

    assert f"created at {NOW + off}, and it is {NOW} here" in why


def test_a_caller_reads_that_its_clock_is_off(listening: Callable[..., Node]) -> None:
    node = listening()

    with pytest.raises(UnavailableError, match=f"answered 401.*it is {NOW} here"):
        get(node, "/who", now=NOW - 3_600)


def test_why_a_signature_is_refused_does_not_depend_on_what_was_asked_for(node: Node) -> None:
    paths = ["/who", "/statements/" + "0" * 64, f"/statements?product={'urn:x:y'}"]

    answers = [send(node, signed(node, path, created=NOW - 61)) for path in paths]

    assert len({(each.status_code, each.content) for each in answers}) == 1
    assert refused(answers[0])


def test_a_nonce_store_that_was_filled_refuses_until_there_is_room(
    node: Node, clock: Clock
) -> None:
    small = dataclasses.replace(
        node, calls=Calls(node.settings.database_url, Room(stranger_nonces=3))
    )
    with closing(small.calls):
        for number in range(3):
            assert send(small, signed(node, nonce=f"n-{number}")).status_code == 200

        full = send(small, signed(node, nonce="n-3"))
        operator = send(small, signed(node, signer=node.keys.signer(Role.REQUEST)))
        clock.now += 121
        later = send(small, signed(node, nonce="n-3", created=clock.now))

    assert full.status_code == 503
    assert full.headers["retry-after"] == "10"
    assert operator.status_code == 200
    assert later.status_code == 200


def test_signatures_that_do_not_hold_fill_no_store(node: Node) -> None:
    small = dataclasses.replace(
        node, calls=Calls(node.settings.database_url, Room(stranger_nonces=1))
    )
    with closing(small.calls):
        for number in range(5):
            bad = signed(node, nonce=f"n-{number}").changed(path="/who?x")
            assert refused(send(small, bad))

        assert send(small, signed(node)).status_code == 200


def test_two_signatures_of_ours_are_refused(node: Node) -> None:
    one, two = signed(node), signed(node, nonce="n-2")
    both = {
        name: f"{one.headers[name]}, {two.headers[name].replace('bcca=', 'more=', 1)}"
        for name in ("signature-input", "signature")
    }

    assert "2 with the tag" in refused(send(node, one.changed(headers={**one.headers, **both})))


@pytest.mark.parametrize("name", ["@method", "@target-uri", "bcca-audience", "content-digest"])
def test_a_signature_with_a_missing_component_is_refused(node: Node, name: str) -> None:
    sent = signed(node, "/say", method="POST", body=b"x")
    told = sent.headers["signature-input"].replace(f'"{name}"', "").replace("  ", " ")

    assert "covers" in refused(send(node, sent.with_header("signature-input", told)))


@pytest.mark.parametrize("name", ["signature-input", "signature", "bcca-audience"])
def test_a_request_with_a_missing_header_is_refused(node: Node, name: str) -> None:
    sent = signed(node)
    del sent.headers[name]

    assert refused(send(node, sent))


def test_a_body_over_its_limit_is_refused_before_its_signature_is_looked_at(node: Node) -> None:
    sent = signed(node, "/say", method="POST", body=bytes(MAX_SAID_BYTES + 1))

    assert send(node, sent).status_code == 413


@pytest.mark.parametrize("name", ["signature-input", "signature", "content-digest"])
def test_a_huge_header_is_refused(node: Node, name: str) -> None:
    sent = signed(node, "/say", method="POST", body=b"x")
    huge = sent.with_header(name, sent.headers[name] + ", " + "a" * 5_000)

    assert refused(send(node, huge))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.fixed_dictionaries(
        {"signature-input": st.binary(max_size=80)},
        optional={
            name: st.binary(max_size=80)
            for name in ("signature", "bcca-audience", "content-digest")
        },
    )
)
def test_garbage_in_the_headers_is_refused(node: Node, told: dict[str, bytes]) -> None:
    scope = [(name.encode(), value) for name, value in told.items()]

    answer = asyncio.run(_asked(app_of(node), scope))

    assert answer == 401


async def _asked(app: FastAPI, headers: list[tuple[bytes, bytes]]) -> int:
    """Ask an app for /who with headers that no client would send; return its status."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def take(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/who",
        "raw_path": b"/who",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "app": app,
    }
    await app(scope, receive, take)
    return statuses[0]


# A redirect.


def moved(url: str) -> Handler:
    """Send every request on to `url`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 307 Moved\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()

    return answer


def test_a_signed_request_is_sent_nowhere_else_and_not_signed_again(
    listening: Callable[..., Node], raw_server: Callable[[Handler], str]
) -> None:
    node = listening()
    to = f"{node.settings.url}/who"
    base = raw_server(moved(to))

    async def run(*, is_signed: bool) -> bytes:
        async with fetching() as fetcher:
            audience = node.origin if is_signed else None
            return await fetcher.get(f"{base}/who", limit=1_000, audience=audience)

    with pytest.raises(RefusedError, match=f"{base}/who: redirects to {to}, and what was signed"):
        asyncio.run(run(is_signed=True))
    assert b"nobody" in asyncio.run(run(is_signed=False))


def test_a_signed_post_is_sent_nowhere_else(raw_server: Callable[[Handler], str]) -> None:
    base = raw_server(moved("http://127.0.0.1:1/say"))

    with pytest.raises(RefusedError, match="not sent twice"):
        post(f"{base}/say", b"x", "cathode.example")
