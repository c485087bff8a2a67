"""A node over https: what it answers, to whom it does not, and for whom it does not wait."""

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn
from tests.node.certificates import Authority

from bcca_node import app as apps
from bcca_node.app import create_server
from bcca_node.ledger.node import Node
from bcca_node.network.tls import server_context
from bcca_node.web import patience
from bcca_node.web.limits import HEAD_SECONDS
from bcca_node.web.secured import Secured, secured

SHORT = 0.4  # seconds, in the place of ten
WAIT = 20.0
GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


class Served:
    """A node over https on a port of this machine."""

    def __init__(self, node: Node, port: int, authority: Authority) -> None:
        self.node, self.port = node, port
        self.url = node.settings.url
        self.trust = ssl.create_default_context(cafile=str(authority.path))

    def connected(self) -> socket.socket:
        stream = socket.create_connection(("127.0.0.1", self.port))
        stream.settimeout(WAIT)
        return stream

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, verify=self.trust, trust_env=False)


class Listened(NamedTuple):
    """An app over https on a port of this machine, and whom to believe there."""

    server: uvicorn.Server
    port: int
    trust: ssl.SSLContext

    def opened(self) -> ssl.SSLSocket:
        stream = socket.create_connection(("127.0.0.1", self.port))
        stream.settimeout(WAIT)
        return self.trust.wrap_socket(stream, server_hostname="127.0.0.1")

    def is_gone(self) -> bool:
        return not self.server.server_state.connections


def answering(content: bytes) -> Any:
    """Return an app that answers everybody so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app


@pytest.fixture
def served(loop: Any, new_node: Callable[..., Node], tmp_path: Path) -> Served:
    authority = Authority(tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    node = new_node(url=f"https://127.0.0.1:{port}")
    tls = server_context(*authority.issue("127.0.0.1"), at=int(time.time()))
    loop.serve(create_server(node, tls=tls), listener)
    return Served(node, port, authority)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hasty(patience.PatientProtocol):
        head_seconds = SHORT

    monkeypatch.setattr(apps, "PatientProtocol", Hasty)
    monkeypatch.setattr(Secured, "seconds", SHORT)


def drained(stream: socket.socket) -> bytes:
    taken = b""
    try:
        while piece := stream.recv(65_536):
            taken += piece
    except OSError:
        pass
    return taken


def test_it_answers_over_https_and_goes_on_with_the_connection(served: Served) -> None:
    with httpx.Client(verify=served.trust, trust_env=False) as client:
        answers = [client.get(served.url + "/healthz") for _ in range(3)]

    assert [each.status_code for each in answers] == [200] * 3
    told = served.get("/.well-known/openid-configuration").json()
    assert told["token_endpoint"] == served.url + "/auth/token"


def test_a_request_that_comes_with_the_last_word_of_the_handshake_is_answered(
    served: Served,
) -> None:
    for _ in range(20):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with served.connected() as stream:
            tls = served.trust.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    stream.sendall(outgoing.read())
                    incoming.write(stream.recv(65_536))
            tls.write(GET)
            stream.sendall(outgoing.read())  # both at once, in one packet
            said = b""
            while b'"ok"' not in said:
                incoming.write(stream.recv(65_536))
                try:
                    said += tls.read(65_536)
                except ssl.SSLWantReadError:
                    continue

        assert said.startswith(b"HTTP/1.1 200 OK")


def test_over_plain_http_nothing_is_answered(served: Served) -> None:
    with served.connected() as stream:
        stream.sendall(GET)

        assert b"HTTP" not in drained(stream)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{served.port}/healthz", trust_env=False)


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")
def test_an_old_tls_is_not_agreed_on(served: Served) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

    with served.connected() as stream, pytest.raises(ssl.SSLError):
        old.wrap_socket(stream)


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
def test_a_handshake_that_never_ends_is_not_waited_for(
    hasty: None, served: Served, said: bytes
) -> None:
    with served.connected() as stream:
        began = time.monotonic()
        stream.sendall(said)

        assert drained(stream) == b""
        assert time.monotonic() - began < SHORT * 6


def test_a_head_over_tls_that_never_ends_is_not_waited_for_either(
    hasty: None, served: Served
) -> None:
    with served.trust.wrap_socket(served.connected(), server_hostname="127.0.0.1") as stream:
        began = time.monotonic()
        stream.sendall(b"GET /healthz HTTP/1.1\r\nx-slow: ")

        assert drained(stream) == b""
        assert time.monotonic() - began < SHORT * 8


def test_connections_that_say_nothing_are_counted_before_tls_is_agreed_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "MAX_CONNECTIONS", 3)
    held = [served.connected() for _ in range(3)]
    held[0].sendall(b"\x16")
    with served.connected() as late:
        refused = drained(late)
    for each in held:
        each.close()

    assert refused == b""
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        try:
            assert served.get("/healthz").status_code == 200
            return
        except httpx.HTTPError:
            time.sleep(0.05)  # the others are not gone yet
    pytest.fail("nobody is answered once the others have gone")


def test_who_stops_the_server_waits_for_no_handshake(
    loop: Any, new_node: Callable[..., Node], tmp_path: Path
) -> None:
    tls = server_context(*Authority(tmp_path).issue("127.0.0.1"), at=int(time.time()))
    listener = socket.create_server(("127.0.0.1", 0))
    server = create_server(new_node(url="https://127.0.0.1"), tls=tls)
    loop.serve(server, listener)
    began = time.monotonic()
    with socket.create_connection(listener.getsockname()[:2]) as stream:
        stream.settimeout(WAIT)
        stream.sendall(b"\x16")
        server.should_exit = True

        assert drained(stream) == b""
    assert time.monotonic() - began < HEAD_SECONDS / 2


@pytest.fixture
def listened(loop: Any, tmp_path: Path) -> Callable[..., Listened]:
    """Serve an app over https, as a node is served."""

    def serve(app: Any) -> Listened:
        authority = Authority(tmp_path)
        tls = server_context(*authority.issue("127.0.0.1"), at=int(time.time()))
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http=secured(tls, patience.PatientProtocol),
            log_level="warning",
            timeout_graceful_shutdown=apps.SHUTDOWN_SECONDS,
            lifespan="off",
        )
        server = uvicorn.Server(config)
        loop.serve(server, listener)
        trust = ssl.create_default_context(cafile=str(authority.path))
        return Listened(server, listener.getsockname()[1], trust)

    return serve


def test_who_stops_the_server_waits_for_no_connection_that_is_kept_for_later(
    listened: Callable[..., Listened],
) -> None:
    served = listened(answering(b"well"))
    kept = [served.opened() for _ in range(3)]
    for each in kept:
        each.sendall(GET)
        assert each.recv(65_536).endswith(b"well")
    began = time.monotonic()
    served.server.should_exit = True
    for each in kept:  # nobody reads: they learn of it when they look
        while not served.is_gone():
            assert time.monotonic() - began < apps.SHUTDOWN_SECONDS / 2
            time.sleep(0.02)
        assert drained(each) == b""
        each.close()


def test_a_slow_reader_has_all_of_an_answer_after_which_the_connection_ends(
    listened: Callable[..., Listened],
) -> None:
    long = b"0123456789abcdef" * 250_000
    served = listened(answering(long))
    with served.opened() as stream:
        stream.sendall(GET.replace(b"host: x", b"host: x\r\nconnection: close"))
        time.sleep(0.3)
        taken = drained(stream)

    assert taken.endswith(long[-100_000:])
    assert len(taken) > len(long)
