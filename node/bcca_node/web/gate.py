"""What every request passes: its number, its caller's share, and a line when it is done."""

import json
import time
from collections.abc import Awaitable
from secrets import token_hex

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bcca_node.web import pacterrors
from bcca_node.web.journal import Journal, Line, where, written
from bcca_node.web.limits import MAX_HEAD_BYTES, MAX_HEADERS, Limits, TooManyError, counted
from bcca_node.web.parts import CALLER, FAILED, REQUEST_ID

ID_BYTES = 8  # of a request: told apart among all of a year

_SIGNED = b"signature-input"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNAUTHORIZED, _BROKEN = 401, 500


class Gate:
    """An app behind its limits; with a journal, each request is told there."""

    def __init__(self, app: ASGIApp, limits: Limits, journal: Journal | None = None) -> None:
        """Let through to `app` what is within `limits`."""
        self._app = app
        self._limits = limits
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        scope[REQUEST_ID] = token_hex(ID_BYTES)
        answer = _Answer(send, scope[REQUEST_ID])
        failure = await self._answer(scope, receive, answer)
        if self._journal is not None:
            took = time.perf_counter() - began
            self._journal.write(_line(scope, answer.status, took, failure))

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> Exception | None:
        """Answer a request, or refuse it; return what broke, so that the others go on."""
        address = counted(scope["client"][0]) if scope["client"] else ""
        try:
            is_signed = self._admit(scope, address)
            await self._app(scope, receive, answer)
            if is_signed and CALLER not in scope:
                self._limits.unread(address)
            if answer.status == _UNAUTHORIZED and is_signed:
                self._limits.failed(address)
        except TooManyError as error:
            wait = [(b"retry-after", b"%d" % error.seconds)]
            await _refuse(answer, scope, 429, str(error), wait)
        except _HeadersError as error:
            await _refuse(answer, scope, 431, str(error))
        except Exception as error:
            if not answer.status:
                await _refuse(answer, scope, _BROKEN, FAILED)
            return error
        return None

    def _admit(self, scope: Scope, address: str) -> bool:
        """Say whether a request is signed; raises TooManyError, _HeadersError."""
        headers = scope["headers"]
        if len(headers) > MAX_HEADERS:
            raise _HeadersError(f"{len(headers)} headers, over {MAX_HEADERS}")
        size = len(scope["raw_path"]) + len(scope["query_string"])
        is_signed = False
        for name, value in headers:
            size += len(name) + len(value)
            is_signed = is_signed or name == _SIGNED
        if size > MAX_HEAD_BYTES:  # what comes at once, uvicorn takes however long it is
            raise _HeadersError(f"a head of {size} bytes, over {MAX_HEAD_BYTES}")
        if is_signed:
            self._limits.admit(address)
            return True
        self._limits.spend(address)
        return False


class _Answer:
    """Sends an answer on, and knows its status; one that tells of a fault gets the number."""

    __slots__ = ("_number", "_send", "status")

    def __init__(self, send: Send, number: str) -> None:
        self._send = send
        self._number = number
        self.status = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status >= _BROKEN:
                told = (b"x-request-id", self._number.encode())
                message = {**message, "headers": [*message["headers"], told]}
        return self._send(message)


class _HeadersError(Exception):
    """A request has more headers than any has."""


def _line(scope: Scope, status: int, took: float, failure: Exception | None) -> Line:
    """Return what the journal is told: of a failure, its kind and place."""
    route = scope.get("route")
    return Line(
        time=written(time.time()),
        level="info" if status < _BROKEN else "error",
        what="request",
        id=scope[REQUEST_ID],
        method=scope["method"] if scope["method"] in _METHODS else "other",
        route=getattr(route, "path", "none"),
        status=status,
        ms=round(took * 1e3, 3),
        caller=scope.get(CALLER, ""),
        error="" if failure is None else type(failure).__name__,
        where=where(failure),
    )


async def _refuse(
    send: Send,
    scope: Scope,
    status: int,
    why: str,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    content = json.dumps(pacterrors.told(scope["path"], status, why)).encode()
    told = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": content})
