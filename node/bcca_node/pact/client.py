"""A partner's PACT host, asked: a token, lists page by page, one footprint, an event (SPEC 16.5).

Credentials and token go to where the operator registered the host, to the token endpoint that it
names over https, and nowhere else: no redirect and no link of another host is followed. What is
returned is bytes as they came, nothing of it judged yet.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from hashlib import sha256
from http import HTTPStatus
from urllib.parse import quote, urlencode

from bcca_node.ledger.node import Node
from bcca_node.network.client import Answer, BusyError, Fetcher
from bcca_node.network.guard import host_of
from bcca_node.network.limits import Patience
from bcca_node.network.patience import patiently
from bcca_node.pact import links, reading
from bcca_node.pact.grants import Grants
from bcca_node.storage.pactclients import PactPartner
from bcca_protocol.errors import LimitError, MalformedError, RefusedError, UnavailableError
from bcca_protocol.wire import showable

PATH = "/3/footprints"
EVENTS = "/3/events"
CLOUD_EVENT = "application/cloudevents+json; charset=UTF-8"

PAGE = 100  # footprints asked for at a time: 300 kB, and a slow host answers in time
MAX_PAGE_BYTES = 64 * 1024 * 1024  # 10,000 footprints of 6 kB, from a host that ignores the limit
MAX_PAGES = 10_000  # of one list: 1,000,000 footprints
MAX_LISTED = 100_000  # footprints of one list: the catalogue of a large supplier
MAX_EMPTY_PAGES = 10  # one after another: a host that filters late may have some
MAX_LIST_SECONDS = 3_600.0  # for one list: 100,000 footprints from a host that takes 3 s a page
MAX_ANSWER_BYTES = 64 * 1024  # to an event: nothing, or one error
MAX_SAID_BYTES = 300  # of a refusal: one sentence
PATIENCE = Patience(connect=5.0, read=30.0, total=60.0)  # others compute what they list


def caller(partner: PactPartner, patience: Patience = PATIENCE) -> Fetcher:
    """Return what asks the host of `partner`, which alone may be on a private address.

    Its operator here has registered where it is; whatever it names itself is a stranger's word.
    """
    named = {host_of(partner.url), host_of(partner.auth_url)}
    return Fetcher(named, patience=patience)


class Host:
    """The PACT host of a partner; its token is kept until it expires."""

    def __init__(self, node: Node, partner: PactPartner, fetcher: Fetcher) -> None:
        """Ask it in the name of `node`, whose keys are open, by `caller(partner)`."""
        self.partner = partner
        self._fetcher = fetcher
        self._grants = Grants(node, partner, fetcher)

    async def footprints(
        self, query: Sequence[tuple[str, str]] = (), *, page: int = PAGE
    ) -> AsyncGenerator[list[bytes]]:
        """Yield the footprints of a list, page by page, each as it was written.

        Raises UnavailableError, MalformedError for an answer that is no list, LimitError for one
        without end, RefusedError for a link that leads elsewhere. What was yielded holds.
        """
        url: str | None = self._url(f"{PATH}?{urlencode([*query, ('limit', str(page))])}")
        walk = _Walk(self.partner.origin)
        while url is not None:
            walk.turn(url)
            answer = await self._get(url, MAX_PAGE_BYTES)
            _require_found(url, answer)
            found = reading.footprints(answer.body, showable(url))
            walk.require_new(found)
            yield found
            url = links.following(url, answer.link)

    async def footprint(self, pf_id: str) -> bytes | None:
        """Return one footprint as it was written, None where the host has none for this node.

        Raises UnavailableError, MalformedError for an answer that is none.
        """
        url = self._url(f"{PATH}/{quote(pf_id, safe='')}")
        answer = await self._get(url, reading.MAX_FOOTPRINT_BYTES)
        if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
            return None
        _require_found(url, answer)
        return reading.footprint(answer.body, showable(url))

    async def post(self, event: bytes) -> Answer:
        """Return what the host answers to an event, whatever its status below 500."""
        return await self._send(self._url(EVENTS), event, MAX_ANSWER_BYTES)

    async def _get(self, url: str, limit: int) -> Answer:
        async def ask() -> Answer:
            answer = await self._send(url, None, limit)
            if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise BusyError(f"{showable(url)}: answered {answer.status}, it is busy")
            return answer

        return await patiently(ask)

    async def _send(self, url: str, body: bytes | None, limit: int) -> Answer:
        """Return the answer; a token that is refused is asked for anew, once."""
        answer = await self._once(url, body, limit)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._grants.forget()
            answer = await self._once(url, body, limit)
        return answer

    async def _once(self, url: str, body: bytes | None, limit: int) -> Answer:
        token = await self._grants.token()
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        if body is not None:
            headers["content-type"] = CLOUD_EVENT
        answer = await self._fetcher.send(url, headers=headers, body=body, limit=limit)
        return self._grants.silenced(answer)

    def _url(self, path: str) -> str:
        return self.partner.url.rstrip("/") + path


class _Walk:
    """One list under way: how many pages, how many footprints, and whether any of it is new."""

    def __init__(self, whose: str) -> None:
        self._whose = whose
        self._end = asyncio.get_running_loop().time() + MAX_LIST_SECONDS
        self._urls: set[str] = set()
        self._seen: set[bytes] = set()
        self._empty = 0

    def turn(self, url: str) -> None:
        """Go to another page; raises LimitError, RefusedError for one that was asked before."""
        if url in self._urls:
            raise RefusedError(f"{self._told()}, and then leads back to {showable(url)}")
        if len(self._urls) >= MAX_PAGES:
            raise LimitError(f"{self._told()}, and {MAX_PAGES} pages are read")
        if asyncio.get_running_loop().time() > self._end:
            raise LimitError(f"{self._told()} in over {MAX_LIST_SECONDS:g} s, and goes on")
        self._urls.add(url)

    def require_new(self, found: Sequence[bytes]) -> None:
        """Raise LimitError for a page that repeats what came, or is one too many."""
        fresh = {sha256(each).digest() for each in found} - self._seen
        self._empty = 0 if found else self._empty + 1
        if (found and not fresh) or self._empty > MAX_EMPTY_PAGES:
            raise LimitError(f"{self._told()}, the last of which bring nothing new: it has no end")
        self._seen |= fresh
        if len(self._seen) > MAX_LISTED:
            raise LimitError(f"{self._told()}, and {MAX_LISTED} of one list are read: filter it")

    def _told(self) -> str:
        pages = len(self._urls)
        return f"{self._whose}: lists {len(self._seen)} footprints on {pages} pages"


def _require_found(url: str, answer: Answer) -> None:
    """Raise UnavailableError for an answer that is not 200, MalformedError for one not in JSON."""
    if answer.status != HTTPStatus.OK:
        raise UnavailableError(f"{showable(url)}: {said(answer)}")
    media = answer.content_type.partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise MalformedError(
            f"{showable(url)}: answered {showable(media[:80]) or 'without a type'}, "
            "where application/json belongs"
        )


def said(answer: Answer) -> str:
    """Return in a line what a host answered in the place of what was asked for."""
    words = showable(answer.body[:MAX_SAID_BYTES].decode(errors="replace").strip())
    return f"answered {answer.status}: {words}" if words else f"answered {answer.status}"
