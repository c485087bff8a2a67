"""An answer as it comes: no more than a limit, and not later than a deadline."""

import asyncio
from collections.abc import AsyncIterator

import httpx

from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.wire import showable


async def pieces(response: httpx.Response, limit: int, deadline: float) -> AsyncIterator[bytes]:
    """Yield the body as it comes; raises LimitError, MalformedError, TimeoutError."""
    url = showable(str(response.request.url))
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise MalformedError(f"{url}: packed as {showable(encoding[:40])}, asked for as it is")
    length = response.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:20]) > limit:
        raise LimitError(f"{url}: announces {showable(length[:40])} bytes, over {limit}")
    total, raw = 0, response.aiter_raw()
    while True:
        async with asyncio.timeout_at(deadline):
            piece = await anext(raw, None)
        if piece is None:
            return
        total += len(piece)
        if total > limit:
            raise LimitError(f"{url}: over {limit} bytes")
        yield piece
