"""Attacks on a node's patience: slow heads, slow bodies, readers that do not read, too many."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from bcca_node import app as apps
from bcca_node.ledger.node import Node
from bcca_node.web import parts
from bcca_node.web.limits import MAX_HEAD_BYTES, MAX_HEADERS
from bcca_node.web.patience import PatientProtocol

SHORT = 0.4  # seconds, in the place of ten and more
WHOLE = 24_000_000  # bytes of answers: more than the kernel holds for a reader
WAIT = 20.0  # seconds: the machine may be busy


@pytest.fixture
def hasty(served: Callable[..., Node], monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A served node that waits as long as a test can."""

    class Hasty(PatientProtocol):
        head_seconds, taking_seconds, answer_seconds = SHORT, SHORT, 2 * SHORT

    monkeypatch.setattr(apps, "PatientProtocol", Hasty)
    monkeypatch.setattr(parts, "BODY_SECONDS", SHORT)
    yield served("hasty.example")


def opened(node: Node) -> socket.socket:
    host, port = node.settings.url.removeprefix("http://").split(":")
    stream = socket.create_connection((host, int(port)))
    stream.settimeout(WAIT)
    return stream


def drained(stream: socket.socket) -> bytes:
    """Return what comes until the other end closes."""
    taken = b""
    try:
        while piece := stream.recv(65_536):
            taken += piece
    except ConnectionResetError:
        pass
    return taken


def dripped(stream: socket.socket, text: bytes) -> None:
    """Send a byte now and then until nobody takes it, or all is sent."""
    try:
        for byte in text:
            stream.sendall(bytes([byte]))
            time.sleep(SHORT / 8)
    except OSError:
        return


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(hasty: Node) -> None:
    with opened(hasty) as stream:
        began = time.monotonic()
        dripped(stream, b"GET /healthz HTTP/1.1\r\nx-slow: " + b"y" * 100)

        assert drained(stream) == b""
        assert time.monotonic() - began < SHORT * 6


def test_a_connection_that_says_nothing_is_closed(hasty: Node) -> None:
    with opened(hasty) as stream:
        assert drained(stream) == b""


def test_a_second_head_that_comes_byte_by_byte_is_not_waited_for_either(hasty: Node) -> None:
    with opened(hasty) as stream:
        stream.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"200 OK" in stream.recv(65_536)
        began = time.monotonic()
        dripped(stream, b"GET /healthz HTTP/1.1\r\nx-slow: " + b"y" * 100)

        assert b"HTTP/1.1" not in drained(stream)
        assert time.monotonic() - began < SHORT * 6


def test_a_body_that_comes_byte_by_byte_is_refused_in_time(hasty: Node) -> None:
    head = b"POST /statements/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n"
    with opened(hasty) as stream:
        began = time.monotonic()
        stream.sendall(head)
        dripped(stream, b"{" * 12)

        assert drained(stream).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < SHORT * 8


def test_a_body_that_nobody_reads_holds_no_connection(hasty: Node) -> None:
    head = b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n"
    with opened(hasty) as stream:
        began = time.monotonic()
        stream.sendall(head)
        dripped(stream, b"{" * 100)
        drained(stream)

        assert time.monotonic() - began < SHORT * 8


def test_a_reader_that_does_not_read_is_left_and_the_others_are_answered(hasty: Node) -> None:
    path = "/openapi.json"
    request = f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    size = len(httpx.get(hasty.settings.url + path).content)
    streams = [opened(hasty) for _ in range(4)]
    for each in streams:
        asking = threading.Thread(target=flood, args=(each, request * (WHOLE // size)), daemon=True)
        asking.start()
    began = time.monotonic()
    while time.monotonic() < began + 2 * SHORT:
        assert httpx.get(hasty.settings.url + "/healthz", timeout=WAIT).status_code == 200
    time.sleep(2 * SHORT)

    for each in streams:
        with each:
            assert len(drained(each)) < WHOLE


def flood(stream: socket.socket, text: bytes) -> None:
    """Ask as long as somebody takes it."""
    try:
        stream.sendall(text)
    except OSError:
        return


@pytest.mark.parametrize(
    "attack",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * MAX_HEAD_BYTES,
        b"GET /" + b"y" * 2 * MAX_HEAD_BYTES + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01 this is TLS\r\n\r\n",
        b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n"
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["long header", "long target", "no HTTP", "two lengths", "smuggling", "no host"],
)
def test_what_is_no_request_is_refused_in_one_sentence(hasty: Node, attack: bytes) -> None:
    with opened(hasty) as stream:
        stream.sendall(attack)
        head, _, body = drained(stream).partition(b"\r\n\r\n")

    assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert list(json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])) == ["error"]


def test_a_request_of_a_thousand_headers_is_refused(hasty: Node) -> None:
    many = [(f"x{n}", "y") for n in range(MAX_HEADERS + 1)]
    answer = httpx.get(hasty.settings.url + "/healthz", headers=many)

    assert (answer.status_code, list(answer.json())) == (431, ["error"])
