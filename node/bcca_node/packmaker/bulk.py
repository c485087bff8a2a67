"""The statements of a supplier brought up to date by the index of its log (SPEC 13.13).

A log's entries stand in an order that never changes: what was asked for once is not asked for
again, and a run that is killed goes on where it was. Of a log with far more statements than are
wanted, products are asked for one by one instead.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from bcca_node.ledger.copying import Reader, naming
from bcca_node.network import lines
from bcca_node.network.limits import MAX_LOG_BYTES
from bcca_node.network.patience import patiently
from bcca_node.packmaker import heavy
from bcca_node.packmaker.circle import Circle
from bcca_node.packmaker.hands import Hands
from bcca_node.packmaker.source import ReadLog
from bcca_node.packmaker.stock import STRANGER, Stock
from bcca_node.storage import pages
from bcca_node.storage.pages import WIDTH
from bcca_node.storage.segments import Segment
from bcca_protocol.errors import BccaError, MalformedError

ALWAYS = 4_096  # entries: read and verified in a second of one core, as two hundred products are
PER_PRODUCT = 16  # entries that are read and verified in the time of one request for a product
PAGES_AT_ONCE = 4  # pages asked of one host at a time: one is verified while others come
WINDOW = 16  # pages that are kept at once: 3 MB, and a second's work that a kill may lose
MAX_SENT = 50_000  # entries of a log that goes along to another process: 8 MB, 20 ms


class Bulk:
    """Reads whole logs' statements into a stock."""

    def __init__(self, reader: Reader, circle: Circle, stock: Stock, hands: Hands) -> None:
        """Ask as the node of `reader`."""
        self._reader = reader
        self._circle = circle
        self._stock = stock
        self._hands = hands
        self._wanted: dict[str, int] = {}
        self._given_up: set[str] = set()

    async def catch_up(self, source: ReadLog, wanted: int) -> bool:
        """Bring what is kept of a log up to its head, if the products `wanted` so far are worth it.

        Return whether all is here that it shows this node: then nobody has to be asked for one
        product. What is wrong with what came, or did not, is told where its product is asked for;
        what came until then is kept.
        """
        origin, size = source.address.origin, source.log.head.checkpoint.size
        self._wanted[origin] = self._wanted.get(origin, 0) + wanted
        start = await asyncio.to_thread(self._stock.read_up_to, source, self._asked_as(source))
        if start < size:
            is_far = size - start > max(ALWAYS, PER_PRODUCT * self._wanted[origin])
            if is_far or origin in self._given_up:
                return False
            self._hands.expect(size - start)
            try:
                await self._bring_up(source, start, size)
            except BccaError:  # its products one by one, as far as it answers
                self._given_up.add(origin)
                return False
        if self._asked_as(source) == STRANGER:
            return True
        # What a partner hides it may show at any time, without a new entry.
        kept = await asyncio.to_thread(self._stock.count, source)
        return kept >= len(source.log.history.statements)

    def _asked_as(self, source: ReadLog) -> str:
        """Return as whom statements are asked for: who is known may be shown more."""
        audience = self._circle.audience(source.address.origin)
        is_static = source.about.products is not None
        return STRANGER if audience is None or is_static else self._reader.node.origin

    async def _bring_up(self, source: ReadLog, start: int, size: int) -> None:
        """Take what is new by pages, or as a stream where that is less or a partner is asked.

        Raises MalformedError where neither is shown, and what both raise.
        """
        about = source.about
        is_little = start % WIDTH > 0 and size - start < WIDTH
        is_packed = about.pages is not None and self._asked_as(source) == STRANGER
        if is_packed and not (is_little and about.products is None):
            start = await self._take_pages(source, start, size)
        if start == size:
            return
        if about.products is not None:
            raise MalformedError(f"{source.address.url}: its files are one for each product")
        await self._take_stream(source, start, size)

    async def _take_pages(self, source: ReadLog, start: int, size: int) -> int:
        """Take page after page, some of them on their way at a time; keep a window of them at once.

        Return up to where there are any. What came before a page that is none is kept.
        """
        turn = asyncio.Semaphore(PAGES_AT_ONCE)
        numbers = range(start // WIDTH, (size - 1) // WIDTH + 1)
        for at in range(0, len(numbers), WINDOW):
            window = numbers[at : at + WINDOW]
            coming = [asyncio.ensure_future(self._page(source, n, start, turn)) for n in window]
            checked: list[Segment] = []
            end = first = max(start, window[0] * WIDTH)
            try:
                for number, page in zip(window, coming, strict=True):
                    found = await page
                    if found is None:
                        return end
                    checked.append(found)
                    end = min(size, (number + 1) * WIDTH)
            finally:
                for page in coming:
                    page.cancel()
                await asyncio.gather(*coming, return_exceptions=True)
                if end > first:
                    await self._keep(source, checked, end)
        return size

    async def _page(
        self, source: ReadLog, number: int, start: int, turn: asyncio.Semaphore
    ) -> Segment | None:
        """Return what holds of a page, None where it is not shown."""
        url = f"{source.about.pages}{number}"
        async with turn:
            content = await patiently(
                lambda: self._reader.fetcher.find(url, limit=pages.MAX_PACKED)
            )
        if content is None:
            return None
        begin = number * WIDTH
        with naming(url):
            if start <= begin:
                return await self._check(source, content, begin)
            return await self._check(source, content, start, since=start)

    async def _take_stream(self, source: ReadLog, start: int, size: int) -> None:
        """Take all from an entry on as it comes, and keep it by the hundred."""
        url = f"{source.about.statements}?since={start}"
        at = start
        with naming(url):
            async for few in self._hundreds(url, source):
                content = await asyncio.to_thread(pages.pack, few)
                checked = await self._check(source, content, at, since=at)
                end = max([at, *(line.entry + 1 for line in checked.lines)])
                await self._keep(source, [checked], min(end, size))
                at = end
        await self._keep(source, [], size)

    async def _hundreds(self, url: str, source: ReadLog) -> AsyncIterator[Sequence[bytes]]:
        few: list[bytes] = []
        audience = self._circle.audience(source.address.origin)
        stream = lines.fetch_lines(
            self._reader.fetcher, url, limit=MAX_LOG_BYTES, audience=audience
        )
        async with aclosing(stream) as items:
            async for item in items:
                few.append(item.envelope)
                if len(few) == WIDTH or not pages.fits(few):
                    yield few
                    few = []
        if few:
            yield few

    async def _check(
        self, source: ReadLog, content: bytes, first: int, *, since: int = 0
    ) -> Segment:
        """Return what holds of a page of entries from `first` on, and is not from before `since`.

        What came is kept as it came, if all of it holds.
        """
        log = source.log
        if log.history.size > MAX_SENT:
            found = await asyncio.to_thread(heavy.check_page, content, log, since)
        else:
            found = await self._hands.do(heavy.check_page, content, log, since)
        whole = content if found.content is None else found.content
        return Segment(first, whole, found.lines, found.facts)

    async def _keep(self, source: ReadLog, checked: Sequence[Segment], end: int) -> None:
        read = {self._asked_as(source): end}
        await asyncio.to_thread(self._stock.keep, source, checked, read)
