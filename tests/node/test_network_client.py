"""What another node may answer: so much, so long, from there; every failure names the URL."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bcca_node.network.client import Answer, Fetcher
from bcca_node.network.limits import Patience
from bcca_node.network.lines import Item, decode_lines, encode_lines, fetch_lines
from bcca_protocol.errors import (
    BccaError,
    LimitError,
    MalformedError,
    RefusedError,
    UnavailableError,
)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Server = Callable[[Handler], str]

PATIENCE = Patience(connect=0.5, read=0.5, total=1.0, stream=1.0)
LOOPBACK = ("127.0.0.1",)
ITEMS = [Item(commitment=f"{index:064x}", index=index, envelope=b"{}") for index in range(3)]


def saying(head: str, body: bytes = b"") -> Handler:
    """Answer every request with these very bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return answer


def repeating(head: str, piece: bytes, seconds: float = 0.0) -> Handler:
    """Answer with `piece` without end, one every so many seconds."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(seconds)

    return answer


@asynccontextmanager
async def opened(named: tuple[str, ...] = LOOPBACK) -> AsyncIterator[Fetcher]:
    async with Fetcher(named, patience=PATIENCE) as fetcher:
        yield fetcher


def get(url: str, *, limit: int = 1000, named: tuple[str, ...] = LOOPBACK) -> bytes:
    async def run() -> bytes:
        async with opened(named) as fetcher:
            return await fetcher.get(url, limit=limit)

    return asyncio.run(run())


def post(url: str, body: bytes) -> Answer:
    async def run() -> Answer:
        async with opened() as fetcher:
            return await fetcher.post(url, body, content_type="text/plain", limit=1000)

    return asyncio.run(run())


def stream(url: str, *, limit: int = 100_000) -> list[Item]:
    async def run() -> list[Item]:
        async with opened() as fetcher:
            return [item async for item in fetch_lines(fetcher, url, limit=limit)]

    return asyncio.run(run())


def refused(url: str, kind: type[BccaError], why: str, named: tuple[str, ...] = LOOPBACK) -> None:
    """Expect `kind`, within bounded time."""
    begun = time.monotonic()
    with pytest.raises(kind, match=why):
        get(url, named=named)
    assert time.monotonic() - begun < 5 * PATIENCE.total


def test_an_answer_within_its_limit_is_returned(raw_server: Server) -> None:
    url = raw_server(saying("HTTP/1.1 200 OK\nContent-Length: 5", b"hello"))

    assert get(f"{url}/x", limit=5) == b"hello"


def test_what_is_not_there_is_told_from_what_is_down(raw_server: Server) -> None:
    async def find(url: str) -> bytes | None:
        async with opened() as fetcher:
            return await fetcher.find(url, limit=1000)

    gone = raw_server(saying("HTTP/1.1 404 Not Found\nContent-Length: 0"))
    down = raw_server(saying("HTTP/1.1 502 Bad Gateway\nContent-Length: 0"))

    assert asyncio.run(find(gone)) is None
    refused(gone, UnavailableError, "answered 404")
    refused(down, UnavailableError, "answered 502")


def test_an_announced_length_over_the_limit_is_refused_unread(raw_server: Server) -> None:
    url = raw_server(saying(f"HTTP/1.1 200 OK\nContent-Length: {10**12}"))

    refused(url, LimitError, "announces 1000000000000 bytes, over 1000")


def test_an_endless_response_is_refused(raw_server: Server) -> None:
    piece = b"400\r\n" + b"x" * 1024 + b"\r\n"
    url = raw_server(repeating("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", piece))

    refused(url, LimitError, "over 1000 bytes")


def test_an_endless_response_of_no_length_is_refused(raw_server: Server) -> None:
    url = raw_server(repeating("HTTP/1.1 200 OK", b"x" * 1024))

    refused(url, LimitError, "over 1000 bytes")


def test_endless_headers_are_refused(raw_server: Server) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"x: " + b"y" * 1024 + b"\r\n")
            await writer.drain()

    refused(raw_server(answer), UnavailableError, "127.0.0.1")


def test_a_body_that_is_cut_is_not_taken_for_whole(raw_server: Server) -> None:
    url = raw_server(saying("HTTP/1.1 200 OK\nContent-Length: 10", b"hello"))

    refused(url, UnavailableError, "127.0.0.1")


def test_a_chunked_body_that_is_cut_is_not_taken_for_whole(raw_server: Server) -> None:
    url = raw_server(saying("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"5\r\nhello\r\n"))

    refused(url, UnavailableError, "127.0.0.1")


def test_a_supplier_that_hangs_is_given_up(raw_server: Server) -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    refused(raw_server(hang), UnavailableError, "no answer in time")


def test_a_trickle_of_bytes_is_given_up(raw_server: Server) -> None:
    url = raw_server(repeating("HTTP/1.1 200 OK\nContent-Length: 900", b"x", 0.1))

    refused(url, UnavailableError, "no answer in time")


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    refused("http://127.0.0.1:1/", UnavailableError, r"127\.0\.0\.1:1")


def test_what_is_not_http_is_unavailable(raw_server: Server) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x01\x00\xa5 hello, this is something else\r\n\r\n")

    refused(raw_server(answer), UnavailableError, "127.0.0.1")


def test_a_packed_body_is_refused(raw_server: Server) -> None:
    url = raw_server(saying("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 1", b"x"))

    refused(url, MalformedError, "packed as gzip")


def test_a_private_address_is_not_asked_at_all(raw_server: Server) -> None:
    url = raw_server(saying("HTTP/1.1 200 OK\nContent-Length: 0"))

    refused(url, RefusedError, "is a private address", named=())


def test_a_name_that_leads_to_a_private_address_is_not_asked(raw_server: Server) -> None:
    url = raw_server(saying("HTTP/1.1 200 OK\nContent-Length: 0"))

    refused(url.replace("127.0.0.1", "localhost"), RefusedError, "is a private address", named=())


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.1", "0177.0.0.1"])
def test_an_address_in_disguise_is_not_asked(raw_server: Server, host: str) -> None:
    url = raw_server(saying("HTTP/1.1 200 OK\nContent-Length: 0")).replace("127.0.0.1", host)

    with pytest.raises(BccaError):
        get(url, named=())


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://10.0.0.1/latest", r"10\.0\.0\.1 is a private address"),
        ("http://[::ffff:169.254.169.254]/", "is a private address"),
        ("//192.168.1.1/", "is a private address"),
        ("file:///etc/passwd", "is not a URL of http"),
        ("http://u:p@127.0.0.1/", "without a user"),
    ],
)
def test_a_redirect_to_a_private_address_is_refused(
    raw_server: Server, target: str, why: str
) -> None:
    url = raw_server(saying(f"HTTP/1.1 302 Found\nLocation: {target}\nContent-Length: 0"))

    refused(url, RefusedError, why)


def test_a_redirect_is_followed(raw_server: Server) -> None:
    end = raw_server(saying("HTTP/1.1 200 OK\nContent-Length: 5", b"hello"))
    url = raw_server(saying(f"HTTP/1.1 308 Moved\nLocation: {end}/there\nContent-Length: 0"))

    assert get(url) == b"hello"


def test_redirects_without_end_are_refused(raw_server: Server) -> None:
    url = raw_server(saying("HTTP/1.1 302 Found\nLocation: /again\nContent-Length: 0"))

    refused(url, RefusedError, "after 3 redirects, one more")


def test_a_post_is_not_redirected(raw_server: Server) -> None:
    url = raw_server(saying("HTTP/1.1 307 Moved\nLocation: /there\nContent-Length: 0"))

    with pytest.raises(RefusedError, match="a POST is not sent twice"):
        post(url, b"body")


def test_the_answer_to_a_post_has_its_status_and_type(raw_server: Server) -> None:
    head = "HTTP/1.1 409 Conflict\nContent-Type: text/x.tlog.size\nContent-Length: 3"
    url = raw_server(saying(head, b"17\n"))

    assert post(url, b"body") == Answer(status=409, content_type="text/x.tlog.size", body=b"17\n")


def test_cookies_of_others_are_not_kept(raw_server: Server) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async def run(url: str) -> None:
        async with opened() as fetcher:
            await fetcher.get(url, limit=10)
            await fetcher.get(url, limit=10)

    asyncio.run(run(raw_server(answer)))

    assert len(asked) == 2
    assert all(b"cookie" not in each.lower() for each in asked)


def test_a_message_shows_no_terminal_escapes(raw_server: Server) -> None:
    url = raw_server(saying("HTTP/1.1 302 Found\nLocation: ftp://\x1b[31m\nContent-Length: 0"))

    with pytest.raises(BccaError) as error:
        get(url)

    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize("count", range(4))
def test_a_stream_of_statements_ends_in_its_count(raw_server: Server, count: int) -> None:
    body = b"".join(encode_lines(ITEMS[:count]))

    assert stream(raw_server(saying("HTTP/1.1 200 OK", body))) == ITEMS[:count]
    assert decode_lines(body) == ITEMS[:count]


def test_a_cut_stream_is_not_taken_for_absence(raw_server: Server) -> None:
    body = b"".join(encode_lines(ITEMS))

    for end in range(len(body)):
        with pytest.raises(MalformedError):
            decode_lines(body[:end])
    for end in (0, 1, body.index(b"\n"), body.index(b"\n") + 1, len(body) - 1):
        with pytest.raises(MalformedError):
            stream(raw_server(saying("HTTP/1.1 200 OK", body[:end])))


@pytest.mark.parametrize(
    "tail", [b'{"count":"2"}\n', b'{"count":3}\n', b'{"count":"3"}\n{"count":"3"}\n', b"\n"]
)
def test_a_stream_with_another_count_is_refused(tail: bytes) -> None:
    whole = b"".join(encode_lines(ITEMS))
    body = whole[: whole.index(b'{"count"')] + tail

    with pytest.raises(MalformedError):
        decode_lines(body)


def test_an_endless_stream_of_statements_is_refused(raw_server: Server) -> None:
    line = next(encode_lines(ITEMS))

    with pytest.raises(LimitError, match="over 100000 bytes"):
        stream(raw_server(repeating("HTTP/1.1 200 OK", line)))


def test_an_endless_line_is_refused(raw_server: Server) -> None:
    url = raw_server(repeating("HTTP/1.1 200 OK", b"x" * 65_536))

    with pytest.raises(LimitError, match="a line of over"):
        stream(url, limit=10**9)


def test_a_trickling_stream_is_given_up(raw_server: Server) -> None:
    url = raw_server(repeating("HTTP/1.1 200 OK", next(encode_lines(ITEMS)), 0.1))

    with pytest.raises(UnavailableError, match="no answer in time"):
        stream(url)


def test_a_fetcher_asks_only_inside_its_context() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(Fetcher(LOOPBACK).get("http://127.0.0.1/", limit=1))
