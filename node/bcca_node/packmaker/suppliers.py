"""Suppliers, each asked itself, and where it does not answer, those who hold copies.

What a supplier answers wrongly, or too much of, is its own trouble. A copy stands in for silence,
and for what its maker shows to its own customers alone: hidden and absent look alike.
"""

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from bcca_node.ledger.copying import Reader
from bcca_node.packmaker import elsewhere, source
from bcca_node.packmaker.bulk import Bulk
from bcca_node.packmaker.circle import Circle
from bcca_node.packmaker.elsewhere import Place
from bcca_node.packmaker.ground import Ground
from bcca_node.packmaker.source import ReadLog
from bcca_node.packmaker.stock import Terms
from bcca_node.packmaker.told import Ask, Told, absent, shown
from bcca_protocol.errors import BccaError, UnavailableError
from bcca_protocol.wire import showable

MAX_AT_ONCE = 4  # copies that are asked at once for statements of one supplier


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCopies:
    """Where a supplier's statements were read instead, and why its own node was not."""

    urls: tuple[str, ...]
    reason: str


class Suppliers:
    """The suppliers of a run: `logs` are those read so far, `copied` where copies stood in.

    `whole` are those whose statements are all kept here, as far as they show them to this node;
    `handed_on` says by supplier who handed on what that does not show here itself. Each has its
    seconds for all that it is asked at once, and those with copies of it as many again.
    """

    def __init__(self, reader: Reader, circle: Circle, terms: Terms, ground: Ground) -> None:
        """Nobody is asked yet."""
        self._stock = terms.stock
        self._bulk = Bulk(reader, circle, terms.stock, terms.hands)
        self._is_offline = terms.is_offline
        self._reader = reader
        self._routes, self._count = ground.routes, ground.count
        self._circle = circle
        self._seconds = terms.seconds
        self._closed: dict[str, BccaError] = {}
        self._places: dict[str, list[Place]] = {}
        self._without_copy: dict[str, BccaError] = {}
        self.whole: set[str] = set()
        self.logs: dict[str, ReadLog] = {}
        self.copied: dict[str, FromCopies] = {}
        self.handed_on: dict[str, frozenset[str]] = {}

    async def ask(self, origin: str, asks: Sequence[Ask]) -> Told:
        """Return what the supplier of `origin` tells; what goes wrong is in it."""
        told = Told(self._count)
        if no_log := self._routes.without_log(origin):
            told.absent.update(dict.fromkeys(asks, no_log))
            return told
        if self._is_offline:
            await self._look_up(origin, asks, told)
            return told
        silent = await self._ask_itself(origin, asks, told)
        if silent:
            await self._ask_elsewhere(origin, silent, told)
        left = told.unanswered(asks)
        hidden = [ask for ask in left if ask not in silent and ask not in told.troubles]
        for ask in hidden:
            await self._ask_below(self.logs[origin], ask, told, self._seconds / len(hidden))
        return told

    async def ask_again(self, origin: str, asks: Sequence[Ask], before: ReadLog) -> Told | None:
        """Return what `ask` does; None where its log is as it was `before`.

        All that it shows this node was kept then.
        """
        with suppress(BccaError, TimeoutError):  # `ask` tells what is amiss
            async with asyncio.timeout(self._seconds):
                read = await self._open(origin, before)
            if read.log.history is before.log.history and not self._may_seal(read):
                self.whole.add(origin)
                return None
        return await self.ask(origin, asks)

    async def _ask_itself(
        self, origin: str, asks: Sequence[Ask], told: Told
    ) -> dict[Ask, BccaError]:
        """Ask a supplier; return what it did not answer, and why."""
        silent: dict[Ask, BccaError] = {}
        try:
            async with asyncio.timeout(self._seconds):
                read = await self._open(origin)
                for ask in await self._take_kept(read, asks, told):
                    try:
                        await self._take_its_own(read, ask, told)
                    except UnavailableError as error:
                        silent[ask] = error
                    except BccaError as error:
                        told.blame([ask], error)
        except TimeoutError:
            self._closed[origin] = UnavailableError(
                f"{origin}: not done within {self._seconds:g} s"
            )
            silent = dict.fromkeys(asks, self._closed[origin])
        except UnavailableError as error:
            silent = dict.fromkeys(asks, error)
        except BccaError as error:
            told.blame(asks, error)
        return silent

    async def _take_kept(self, read: ReadLog, asks: Sequence[Ask], told: Told) -> list[Ask]:
        """Take what is kept once it is up to date; return what is still to be asked for."""
        origin = read.address.origin
        if origin not in self.whole and await self._bulk.catch_up(read, len(asks)):
            self.whole.add(origin)
        if origin not in self.whole:
            return list(asks)
        await self._take_from_stock(read, asks, told)
        return list(asks) if self._may_seal(read) else told.unanswered(asks)

    def _may_seal(self, read: ReadLog) -> bool:
        """Say whether there may be files of a supplier for this node's eyes alone."""
        return read.about.products is not None and any(self._circle.pairs(read.log))

    async def _take_from_stock(self, read: ReadLog, asks: Sequence[Ask], told: Told) -> None:
        products = sorted({ask.product for ask in asks})
        found = None if self._is_offline else self._stock.at_hand(read, products)
        if found is None:
            find = partial(self._stock.find, read, products, even_alone=self._is_offline)
            found = await asyncio.to_thread(find)
        told.keep(found, read.log, asks)

    async def _look_up(self, origin: str, asks: Sequence[Ask], told: Told) -> None:
        """Take what this node holds of a supplier, nobody asked: its log as far as it was read."""
        try:
            if origin not in self.logs:
                address = self._routes.key_of(origin)
                self.logs[origin] = await source.read_held(self._reader, address)
            await self._take_from_stock(self.logs[origin], asks, told)
        except BccaError as error:
            told.blame(asks, error)
            return
        for ask in asks:
            if not told.answers(ask):
                told.absent[ask] = shown(
                    f"no statement for {ask.product} of {origin} is kept here, and nobody was asked"
                )

    async def _open(self, origin: str, before: ReadLog | None = None) -> ReadLog:
        """Return a supplier's log, read once in a run; raises again what it raised then."""
        if origin in self._closed:
            raise self._closed[origin]
        if origin not in self.logs:
            try:
                address = self._routes.address(origin)
                about = self._reader, self._circle, address
                self.logs[origin] = await source.read_log(*about, before)
            except BccaError as error:
                self._closed[origin] = error
                raise
        return self.logs[origin]

    async def _take_its_own(self, read: ReadLog, ask: Ask, told: Told) -> None:
        """Take what a supplier shows of a product, and what it has sealed for this node."""
        about = self._reader, self._circle, read
        items = await source.read_statements(*about, ask.product)
        if ask.pinned is not None and ask.pinned not in {item.commitment for item in items}:
            items += await source.read_statement(*about, ask.pinned)
        await told.take(items, read.log, ask)
        await told.take(await source.read_sealed(*about, ask.product), read.log, ask)

    async def _ask_below(self, read: ReadLog, ask: Ask, told: Told, seconds: float) -> None:
        """Take what nodes below hand on, or this one holds, of what its maker does not show.

        They have `seconds` together, each a share that no other can use up. Where nobody shows
        anything, say so: whether there is anything, nobody can tell.
        """
        origin = read.address.origin
        own = self._reader.node.settings.url
        below = self._routes.handers_on(origin, ask.product, but=own)
        turn = asyncio.Semaphore(MAX_AT_ONCE)
        share = seconds / math.ceil((1 + len(below)) / MAX_AT_ONCE)

        async def take(base: str | None) -> bool:
            async with turn:
                with suppress(TimeoutError):
                    async with asyncio.timeout(share):
                        return await self._take_one(base, read, ask, told)
            return False

        *theirs, held = await asyncio.gather(*map(take, (*below, None)))
        by = {self._name(base) for base, holds in zip(below, theirs, strict=True) if holds}
        if not by and held:
            by = {self._reader.node.origin}
        if by and told.answers(ask):
            self.handed_on[origin] = self.handed_on.get(origin, frozenset()) | by
        if not told.answers(ask):
            is_partner = self._circle.audience(origin) is not None
            told.absent[ask] = absent(origin, ask, is_partner=is_partner)

    async def _ask_elsewhere(self, origin: str, silent: dict[Ask, BccaError], told: Told) -> None:
        """Take from copies what a supplier did not answer; else its silence is the trouble."""
        left = dict(silent)
        more = "no copy of its log comes with a statement of it"
        try:
            async with asyncio.timeout(self._seconds):
                read = await self._copy(origin)
                found = self._places[origin]
                await self._take_from([each for each in found if each.is_near], read, left, told)
                if left:
                    rest = [each for each in found if not each.is_near]
                    await self._take_from(rest, read, left, told)
        except TimeoutError:
            more = "those with copies of its log were not done in time either"
        except BccaError as error:
            more = str(error)
        for ask, why in left.items():
            told.blame([ask], why if more in str(why) else f"{why}; {more}")

    async def _copy(self, origin: str) -> ReadLog:
        """Return the log if it was read, else as somebody holds it, looked for once in a run.

        Raises again what it raised then.
        """
        if origin in self._without_copy:
            raise self._without_copy[origin]
        try:
            address = self._routes.key_of(origin)
            if origin not in self._places:
                own = self._reader.node.settings.url
                keepers = self._routes.keepers(origin, but=own)
                self._places[origin] = await elsewhere.places(self._reader, address, keepers)
            if origin not in self.logs:
                found, seconds = self._places[origin], self._seconds / 2  # the rest: statements
                read = await elsewhere.read_log(self._reader, address, found, seconds)
                self.logs[origin] = read
        except BccaError as error:
            self._without_copy[origin] = error
            raise
        return self.logs[origin]

    async def _take_from(
        self, places: Sequence[Place], read: ReadLog, left: dict[Ask, BccaError], told: Told
    ) -> None:
        """Take what places hold of what is `left`, and take out of that what any of them answers.

        They have a quarter of the time together, each a share of it that no other can use up. What
        they say wrongly is not the supplier's trouble.
        """
        silent = dict(left)
        turn = asyncio.Semaphore(MAX_AT_ONCE)
        seconds = self._seconds / 4 / max(1, math.ceil(len(places) / MAX_AT_ONCE))

        async def take_all(place: Place) -> None:
            async with asyncio.timeout(seconds):
                for ask, why in silent.items():
                    if await self._take_one(place.base, read, ask, told):
                        left.pop(ask, None)
                        self._note(read.address.origin, place, why)

        async def take(place: Place) -> None:
            async with turn:
                with suppress(TimeoutError):
                    await take_all(place)

        await asyncio.gather(*map(take, places))

    async def _take_one(self, base: str | None, read: ReadLog, ask: Ask, told: Told) -> bool:
        """Take what a node holds of a product; return whether any of it holds."""
        theirs, origin = Told(self._count), read.address.origin
        audience = None if base is None else self._circle.audience(self._routes.origin_at(base))
        try:
            items = await elsewhere.read_statements(self._reader, origin, base, ask, audience)
        except BccaError:
            return False
        if not await theirs.take(items, read.log, ask):
            return False
        told.found.extend(theirs.found)
        return True

    def _name(self, base: str) -> str:
        """Return who is at a base URL, as far as that is known."""
        return self._routes.origin_at(base) or showable(base)

    def _note(self, origin: str, place: Place, why: BccaError) -> None:
        """Say that a copy stood in for a supplier, in the order of places whoever was first."""
        before = self.copied.get(origin)
        url = showable(place.url)
        used = {url} if before is None else {url, *before.urls}
        known = dict.fromkeys(showable(each.url) for each in self._places[origin])
        urls = tuple(each for each in known if each in used)
        self.copied[origin] = FromCopies(urls=urls, reason=shown(why))
