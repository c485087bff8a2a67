"""Who calls: the signature of a request verified once, before anything is looked at (SPEC 13.7)."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import msgspec
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from starlette.types import Scope

from bcca_node.ledger.node import Node
from bcca_node.network import signatures, targets
from bcca_node.network.signatures import Call, SignedCall
from bcca_node.sharing.caller import NOBODY, Caller, Kind
from bcca_node.sharing.identify import identify
from bcca_node.storage.calls import Fetch
from bcca_node.storage.callstore import BusyError
from bcca_node.web.parts import (
    LaterError,
    NodeDep,
    NotSignedError,
    body,
    count_caller,
    node_of,
    soon,
)
from bcca_protocol.errors import RefusedError, UnavailableError
from bcca_protocol.keys import VerifierKey

MAX_KEYS = 1_000  # that were read and may call again: 1 MB, whoever names more

_OURS = {name.encode(): name for name in signatures.FIELDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBody:
    """The body of a request, and who has signed it; NOBODY where nobody did."""

    caller: Caller
    body: bytes


class Known:
    """What is the same for every call to one app, and is read only once."""

    def __init__(self, node: Node) -> None:
        """Know the URL of `node`, and no key yet."""
        self.base = targets.sent(node.settings.url)
        self.key = lru_cache(MAX_KEYS)(VerifierKey.parse)


def prepare(node: Node) -> None:
    """Open what remembers calls, so that what a new one may have missed is soon past.

    Where that cannot be, signed calls are refused one by one, and all else is answered.
    """
    with contextlib.suppress(UnavailableError):
        node.calls.prepare(node.clock())


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A call of which who made it is known, and not yet whether it was answered before."""

    caller: Caller
    signed: SignedCall | None
    now: int

    def enter(self, node: Node, patience: float, shown: Sequence[Fetch] = ()) -> None:
        """Take its nonce, and with it what it is `shown`, before it is answered.

        Raises NotSignedError where it was taken before, LaterError; BusyError after so many
        seconds.
        """
        if self.signed is None:
            return
        try:
            is_new = node.calls.once(
                self.signed.key.encode(),
                self.signed.nonce,
                self.signed.created,
                self.now,
                is_known=self.caller.kind is not Kind.STRANGER,
                shown=shown,
                patience=patience,
            )
        except BusyError:
            raise
        except UnavailableError as error:
            raise LaterError(str(error)) from error
        if not is_new:
            raise NotSignedError("signature: its nonce was used before: sign each request anew")


async def incoming(request: Request, node: Node) -> Incoming:
    """Return the call that a request without a body is; it is to be entered before it is answered.

    Raises NotSignedError for a signature that does not hold, TooManyError.
    """
    fields = _fields(request)
    if not signatures.is_signed(fields):
        return Incoming(caller=NOBODY, signed=None, now=node.clock())
    if _has_body(request):
        raise NotSignedError("signature: a signed request of this kind has no body")
    return await _signed(request, node, fields, b"")


async def caller_of(request: Request, node: NodeDep) -> Caller:
    """Return who calls, NOBODY without a signature.

    Raises NotSignedError for a signature that does not hold, LaterError, TooManyError.
    """
    return await _entered(await incoming(request, node), node)


CallerDep = Annotated[Caller, Depends(caller_of)]


def signed_body(limit: int) -> Callable[[Request], Awaitable[SignedBody]]:
    """Return the reader of a body of at most `limit` bytes and of who signed it.

    It raises what `caller_of` raises, and LimitError.
    """
    read = body(limit)

    async def taken(request: Request) -> SignedBody:
        content = await read(request)
        node = node_of(request)
        fields = _fields(request)
        if not signatures.is_signed(fields):
            return SignedBody(caller=NOBODY, body=content)
        call = await _signed(request, node, fields, content)
        return SignedBody(caller=await _entered(call, node), body=content)

    return taken


async def _signed(
    request: Request, node: Node, fields: dict[str, Sequence[str]], content: bytes
) -> Incoming:
    now = node.clock()
    scope = request.scope
    known: Known = scope["app"].state.known
    target = targets.received(known.base, scope["raw_path"], scope["query_string"])
    sent = Call(method=scope["method"], target=target, body=content)
    try:
        signed = signatures.verify(sent, fields, audience=node.origin, at=now, read=known.key)
    except RefusedError as error:
        raise NotSignedError(str(error)) from error
    # Only whoever has a key costs more than that: strangers fill no store with garbage.
    if node.database.is_file:
        caller = identify(node, signed.key)
    else:
        caller = await run_in_threadpool(identify, node, signed.key)
    count_caller(request, signed.key, is_known=caller.kind is not Kind.STRANGER)
    return Incoming(caller=caller, signed=signed, now=now)


async def _entered(call: Incoming, node: Node) -> Caller:
    """Return who made a call, which is answered only this once."""
    try:
        await soon(node, lambda patience: call.enter(node, patience))
    except BusyError as error:
        raise LaterError(str(error)) from error
    return call.caller


def is_plain(scope: Scope) -> bool:
    """Say whether nothing of a request is about a signature: then nobody in particular calls."""
    return not any(name in _OURS for name, _ in scope["headers"])


def _has_body(request: Request) -> bool:
    for name, value in request.scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


def _fields(request: Request) -> dict[str, Sequence[str]]:
    """Return the lines of the fields that a signature is about."""
    fields: dict[str, list[str]] = {}
    for name, value in request.scope["headers"]:
        if name in _OURS:
            fields.setdefault(_OURS[name], []).append(value.decode("latin-1"))
    return dict(fields)
