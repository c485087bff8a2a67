"""Answers that depend on who asks (SPEC 13.9, rule 8): kept by no cache, and alike where hidden."""

from collections.abc import Iterable

from fastapi import Request
from fastapi.responses import Response

from bcca_node.network.lines import Item
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.web.parts import NotHereError, lines
from bcca_node.web.resource import resource

PRIVATE = "private, no-store"
VARY = "signature-input"  # what a cache was told by nobody is told to nobody else


def one(  # noqa: PLR0913 - what is answered, to whom, and for how long
    request: Request, caller: Caller, content: bytes, media_type: str, cache: str, *, tag: str = ""
) -> Response:
    """Return `content`; what a caller that signs is told stays with it."""
    told = cache if caller.kind is Kind.NOBODY else PRIVATE
    return resource(request, content, media_type, told, vary=VARY, tag=tag)


def many(caller: Caller, items: Iterable[Item]) -> Response:
    """Return statements as JSON Lines."""
    return lines(items, headers(caller))


def not_here(caller: Caller) -> NotHereError:
    """Return what to raise for what is hidden from a caller, or does not exist."""
    return NotHereError(headers(caller))


def headers(caller: Caller) -> dict[str, str]:
    """Return what every answer has that depends on the caller."""
    if caller.kind is Kind.NOBODY:
        return {"vary": VARY}
    return {"cache-control": PRIVATE, "vary": VARY}
