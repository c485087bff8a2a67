"""A head and its body come at once, and whatever is asked, an answer comes whole and in order."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from bcca_node.ledger.node import Node
from bcca_node.web.joined import Joined

DESCRIPTOR, STREAM, DOCUMENT = "/.well-known/bcca.json", "/statements?since=0", "/openapi.json"
WAIT = 5.0  # for what comes at once
END = b"\r\n\r\n"


@pytest.fixture
def stream(served: Callable[..., Node]) -> Iterator[socket.socket]:
    """A connection to a served node."""
    host, port = served("joined.example").settings.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=WAIT) as opened:
        yield opened


def request(path: str, method: str = "GET", *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: x", *lines, "", ""]).encode()


def taken(stream: socket.socket, left: bytes = b"", *, bodied: bool = True) -> tuple[bytes, bytes]:
    """Return an answer of a known length, and what came behind it."""
    while END not in left:
        left += received(stream)
    head, _, left = left.partition(END)
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
    length = length if bodied else 0
    while len(left) < length:
        left += received(stream)
    return head + END + left[:length], left[length:]


def received(stream: socket.socket) -> bytes:
    piece = stream.recv(65_536)
    assert piece, "an answer ended early"
    return piece


def test_a_head_and_its_body_come_in_one_piece(stream: socket.socket) -> None:
    for _ in range(20):
        stream.sendall(request("/healthz"))

        assert stream.recv(65_536).partition(END)[2] == b'{"status":"ok"}'


def test_requests_sent_at_once_are_answered_in_their_order(stream: socket.socket) -> None:
    stream.sendall(request("/healthz") + request("/nothing") + request(DESCRIPTOR))

    first, left = taken(stream)
    second, left = taken(stream, left)
    third, left = taken(stream, left)

    assert [each.split(b" ", 2)[1] for each in (first, second, third)] == [b"200", b"404", b"200"]
    assert third.endswith(b"}")
    assert left == b""


def test_a_head_without_a_body_comes_alone_and_the_next_answer_behind_it(
    stream: socket.socket,
) -> None:
    stream.sendall(request(DESCRIPTOR))
    whole, _ = taken(stream)
    tag = whole.partition(b'etag: "')[2].partition(b'"')[0].decode()

    stream.sendall(request(DESCRIPTOR, "HEAD"))
    head, behind = taken(stream, bodied=False)
    stream.sendall(request(DESCRIPTOR, "GET", f'if-none-match: "{tag}"'))
    unchanged, behind_that = taken(stream, bodied=False)
    stream.sendall(request("/healthz"))
    last, _ = taken(stream)

    assert b"content-length: 0" not in head
    assert head.startswith(b"HTTP/1.1 200")
    assert unchanged.startswith(b"HTTP/1.1 304")
    assert behind == behind_that == b""
    assert last.endswith(b'{"status":"ok"}')


def test_a_stream_has_one_head_and_its_end(stream: socket.socket) -> None:
    stream.sendall(request(STREAM))
    whole = b""
    while not whole.endswith(b"\r\n0\r\n\r\n"):
        whole += received(stream)

    assert whole.count(b"HTTP/1.1") == 1
    assert b'{"count":"0"}' in whole.partition(END)[2]


def test_a_last_answer_is_whole_before_the_connection_ends(stream: socket.socket) -> None:
    stream.sendall(request("/healthz", "GET", "connection: close"))
    whole = b""
    while piece := stream.recv(65_536):
        whole += piece

    assert whole.endswith(b'\r\n\r\n{"status":"ok"}')


def test_a_slow_reader_has_every_answer_whole(served: Callable[..., Node]) -> None:
    host, port = served("joined.example").settings.url.removeprefix("http://").split(":")
    with socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        stream.settimeout(WAIT)
        stream.connect((host, int(port)))
        answers, left = [], b""
        stream.sendall(request(DOCUMENT) * 40)
        for _ in range(40):
            time.sleep(0.01)
            answer, left = taken(stream, left)
            answers.append(answer.partition(END)[2])

    assert len(set(answers)) == 1
    assert len(answers[0]) > 10_000
    assert left == b""


def test_a_head_does_not_wait_for_a_body_that_is_still_made() -> None:
    async def sent() -> list[bytes]:
        loop = asyncio.get_running_loop()
        mine, other = socket.socketpair()
        with contextlib.closing(other):
            other.setblocking(False)
            _, writer = await asyncio.open_connection(sock=mine)
            assert isinstance(writer.transport, asyncio.Transport)
            joined = Joined(writer.transport, loop)
            joined.write(b"HTTP/1.1 200 \r\n\r\n")
            first = await asyncio.wait_for(loop.sock_recv(other, 100), WAIT)
            joined.write(b"body")
            second = await asyncio.wait_for(loop.sock_recv(other, 100), WAIT)
            joined.write(b"HTTP/1.1 204 \r\n\r\n")
            joined.close()
            third = await asyncio.wait_for(loop.sock_recv(other, 100), WAIT)
            assert joined.is_closing()
            return [first, second, third]

    assert asyncio.run(sent()) == [b"HTTP/1.1 200 \r\n\r\n", b"body", b"HTTP/1.1 204 \r\n\r\n"]
