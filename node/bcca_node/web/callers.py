"""Who calls: the signature of a request verified once, before anything is looked at (SPEC 13.7)."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Request

from bcca_node.ledger.node import Node
from bcca_node.network import signatures, targets
from bcca_node.network.signatures import Call, SignedCall
from bcca_node.sharing.caller import NOBODY, Caller, Kind
from bcca_node.sharing.identify import identify
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


class Keys:
    """Reads verifier keys, and those that call again only once."""

    def __init__(self) -> None:
        """Know none yet."""
        self.read = lru_cache(MAX_KEYS)(VerifierKey.parse)


def prepare(node: Node) -> None:
    """Open what remembers calls, so that what a new one may have missed is soon past.

    Where that cannot be, signed calls are refused one by one, and all else is answered.
    """
    with contextlib.suppress(UnavailableError):
        node.calls.prepare(node.clock())


async def caller_of(request: Request, node: NodeDep) -> Caller:
    """Return who calls, NOBODY without a signature.

    Raises NotSignedError for a signature that does not hold, LaterError, TooManyError.
    """
    fields = _fields(request)
    if not signatures.is_signed(fields):
        return NOBODY
    headers = request.headers
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise NotSignedError("signature: a signed request of this kind has no body")
    return await _verified(request, node, fields, b"")


CallerDep = Annotated[Caller, Depends(caller_of)]


def signed_body(limit: int) -> Callable[[Request], Awaitable[SignedBody]]:
    """Return the reader of a body of at most `limit` bytes and of who signed it.

    It raises what `caller_of` raises, and LimitError.
    """
    read = body(limit)

    async def taken(request: Request) -> SignedBody:
        content = await read(request)
        fields = _fields(request)
        if not signatures.is_signed(fields):
            return SignedBody(caller=NOBODY, body=content)
        node = node_of(request)
        caller = await _verified(request, node, fields, content)
        return SignedBody(caller=caller, body=content)

    return taken


async def _verified(
    request: Request, node: Node, fields: dict[str, Sequence[str]], content: bytes
) -> Caller:
    keys: Keys = request.app.state.keys
    call = Call(method=request.method, target=_target(request, node), body=content)
    now = node.clock()
    try:
        signed = signatures.verify(call, fields, audience=node.origin, at=now, read=keys.read)
    except RefusedError as error:
        raise NotSignedError(str(error)) from error
    # Only whoever has a key costs more than that: strangers fill no store with garbage.
    caller = await soon(node, lambda _: identify(node, signed.key))
    is_known = caller.kind is not Kind.STRANGER
    key = signed.key.encode()
    count_caller(request, key, is_known=is_known)
    await _require_new(node, signed, key, now, is_known=is_known)
    return caller


async def _require_new(
    node: Node, signed: SignedCall, key: str, now: int, *, is_known: bool
) -> None:
    """Take the nonce of a call; raises NotSignedError where it was taken, LaterError."""

    def take(patience: float) -> bool:
        nonce, created = signed.nonce, signed.created
        return node.calls.once(key, nonce, created, now, is_known=is_known, patience=patience)

    try:
        is_new = await soon(node, take)
    except UnavailableError as error:
        raise LaterError(str(error)) from error
    if not is_new:
        raise NotSignedError("signature: its nonce was used before: sign each request anew")


def _target(request: Request, node: Node) -> str:
    """Return the URI that was asked for, as it is known outside."""
    base = targets.sent(node.settings.url)
    return targets.received(base, request.scope["raw_path"], request.scope["query_string"])


def _fields(request: Request) -> dict[str, Sequence[str]]:
    """Return the lines of the fields that a signature is about."""
    fields: dict[str, list[str]] = {}
    for name, value in request.scope["headers"]:
        if name in _OURS:
            fields.setdefault(_OURS[name], []).append(value.decode("latin-1"))
    return dict(fields)
