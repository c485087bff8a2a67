"""Footprints of PACT 3.0.3: a list by eight filters, one by its id (SPEC 16.2), the extension.

They are asked for by PACT clients alone (`web.pactauth`). A page is put together of bytes that are
kept as they are sent.
"""

import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote_from_bytes, urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from bcca_node.ledger.node import Node
from bcca_node.pact import documented, extension, shelf
from bcca_node.pact.criteria import Criteria, parameters
from bcca_node.pact.model import UUID
from bcca_node.pact.paging import MAX_PAGE
from bcca_node.web.pactauth import PactCaller
from bcca_node.web.parts import JSON, TEXT, NodeDep, NotHereError, soon
from bcca_node.web.resource import FOREVER, METHODS, resource
from bcca_protocol.errors import MalformedError
from bcca_protocol.wire import showable

PATH = "/3/footprints"
LIMIT, AFTER = "limit", "after"
PRIVATE = {"cache-control": "private, no-store", "vary": "authorization"}

_HOST = re.compile(r"[A-Za-z0-9._~-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_LIMIT = re.compile(r"[0-9]+")
_ID = re.compile(UUID)
_MANY_DIGITS = 9  # such a limit is over any page
_IN_LINK = "!$%&'()*+,-./:;=?@_~"  # of a query, what stands in a link as it came

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def get_footprints(request: Request, node: NodeDep, partner: PactCaller) -> Response:
    """Answer the footprints that are asked for, as far as one page goes."""
    query: bytes = request.scope["query_string"]
    given = parameters(query)
    criteria = Criteria.from_query(query)
    after = _single(AFTER, given.get(AFTER, ()))
    limit = _limit(_single(LIMIT, given.get(LIMIT, ())))
    page = shelf.quick(node, partner, criteria, after, limit)
    if page is None:
        page = await run_in_threadpool(shelf.find, node, partner, criteria, after, limit)
    else:
        shown, origin = page.cards, partner.origin
        await soon(node, lambda patience: shelf.note(node, origin, shown, patience))
    headers = dict(PRIVATE)
    if page.after is not None:
        headers["link"] = f'<{_next(request, node, query, page.after)}>; rel="next"'
    return Response(page.content, media_type=JSON, headers=headers)


def _id(name: str) -> str:
    """Return the id that is asked for, in small letters; raises MalformedError."""
    if not _ID.match(name.lower()):
        raise MalformedError(f"{showable(name[:80])!r} is no id of a footprint: write a UUID")
    return name.lower()


@router.get(PATH + "/{name}")
def get_footprint(
    node: NodeDep, partner: PactCaller, wanted: Annotated[str, Depends(_id)]
) -> Response:
    """Answer one footprint; what may not be seen is answered like what is not there."""
    content = shelf.one(node, partner, wanted)
    if content is None:
        raise NotHereError(PRIVATE)
    return Response(b'{"data":' + content + b"}", media_type=JSON, headers=PRIVATE)


@router.api_route(extension.SCHEMA, methods=METHODS)
def get_schema(request: Request) -> Response:
    """Answer the JSON Schema of what the extension carries."""
    return resource(request, documented.schema(), "application/schema+json", FOREVER)


@router.api_route(extension.PAGE, methods=METHODS)
def get_page(request: Request) -> Response:
    """Answer what the extension is, for people."""
    return resource(request, documented.page(), TEXT, FOREVER)


def _single(name: str, values: Sequence[str]) -> str | None:
    """Return a parameter that is given at most once; raises MalformedError."""
    if len(set(values)) > 1:
        raise MalformedError(f"{name} is given {len(values)} times with several values: give one")
    return values[0] if values else None


def _limit(given: str | None) -> int:
    """Return how many footprints a page has at most; raises MalformedError."""
    if given is None:
        return MAX_PAGE
    if not _LIMIT.fullmatch(given):
        raise MalformedError(
            f"limit {showable(given[:40])!r}: write a whole number that is not below 0"
        )
    return MAX_PAGE if len(given) > _MANY_DIGITS else int(given)


def _next(request: Request, node: Node, query: bytes, after: str) -> str:
    """Return the URL of the next page: what was asked, at the host that was asked."""
    host = request.headers.get("host") or urlsplit(node.settings.url).netloc
    if not _HOST.fullmatch(host):
        raise MalformedError(f"host {showable(host[:80])!r}: no name or address of a host")
    # A proxy takes away what the base URL has of a path (SPEC 13.7).
    base = urlsplit(node.settings.url).path + request.scope.get("root_path", "")
    kept = [part for part in query.split(b"&") if part and part.partition(b"=")[0] != b"after"]
    asked = quote_from_bytes(b"&".join(kept), safe=_IN_LINK)
    told = "&".join(filter(None, (asked, f"{AFTER}={after}")))
    return f"{request.scope['scheme']}://{host}{base}{PATH}?{told}"
