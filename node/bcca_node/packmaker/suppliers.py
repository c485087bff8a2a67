"""Suppliers, each asked itself, and where it does not answer, those who hold copies.

What a supplier answers wrongly, or too much of, is its own trouble. A copy stands in for silence
alone.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bcca_node.ledger.copying import Reader
from bcca_node.network.lines import Item
from bcca_node.packmaker import elsewhere, held, source
from bcca_node.packmaker.elsewhere import Place
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.routes import Routes
from bcca_node.packmaker.source import ReadLog
from bcca_protocol.errors import BccaError, LimitError, StatementError, UnavailableError
from bcca_protocol.verify import VerifiedLog
from bcca_protocol.wire import showable

MAX_REASON_CHARS = 500  # of what somebody else's answer puts into our words
MAX_OF_ONE = 20_000  # statements of one supplier in a run: 340 MB at 17 kB each
MAX_STATEMENTS = 100_000  # of one run: 2 GB while they are read
SURE_OF_ONE = 1_000  # statements that every supplier may bring, however many others have brought
MAX_AT_ONCE = 4  # copies that are asked at once for statements of one supplier
_BLOCK = 16  # statements that are verified at once, before somebody else has a turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One product wanted of one supplier; `pinned` where the buyer names the statement."""

    product: str
    pinned: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCopies:
    """Where a supplier's statements were read instead, and why its own node was not."""

    urls: tuple[str, ...]
    reason: str


class Count:
    """How many statements each supplier has brought in a run."""

    def __init__(self) -> None:
        """Nobody has brought any."""
        self._of: dict[str, set[str]] = {}

    def add(self, origin: str, commitments: Iterable[str]) -> None:
        """Count statements of one supplier, each once; raises LimitError and counts none of them.

        Who brings too many is refused, and nobody else for its sake.
        """
        mine = self._of.get(origin, set())
        now = mine | set(commitments)
        others = sum(map(len, self._of.values())) - len(mine)
        limit = max(min(MAX_OF_ONE, MAX_STATEMENTS - others), SURE_OF_ONE)
        if len(now) > limit:
            raise LimitError(f"{origin}: over {limit} statements in one run")
        self._of[origin] = now


@dataclass(frozen=True, slots=True)
class Told:
    """What a supplier says in answer to some asks, verified, and what went wrong with which."""

    count: Count
    found: list[Held] = field(default_factory=list)
    troubles: dict[Ask, str] = field(default_factory=dict)

    def blame(self, asks: Iterable[Ask], reason: object) -> None:
        """Note what went wrong."""
        self.troubles.update(dict.fromkeys(asks, _shown(reason)))

    async def take(self, items: Iterable[Item], log: VerifiedLog, ask: Ask) -> bool:
        """Verify items about a product; return whether any holds. One refused is told alone.

        That is done aside, so that others go on meanwhile, and ends when it is cancelled.
        """
        kept: dict[str, Held] = {}
        distinct = _distinct(items)
        for first in range(0, len(distinct), _BLOCK):
            block = distinct[first : first + _BLOCK]
            found, refused = await asyncio.to_thread(_verified, block, log, ask.product)
            kept |= {each.part.commitment: each for each in found}
            if refused is not None:
                self.blame([ask], refused)
        try:
            self.count.add(log.origin, kept)
        except LimitError as error:
            self.blame([ask], error)
            return False
        self.found.extend(kept.values())
        return bool(kept)


class Suppliers:
    """The suppliers of a run: `logs` are those read so far, `copied` where copies stood in.

    Each has `seconds` for all that it is asked at once, and those with copies of it as many again.
    """

    def __init__(self, reader: Reader, routes: Routes, seconds: float) -> None:
        """Nobody is asked yet."""
        self._reader = reader
        self._routes = routes
        self._seconds = seconds
        self._count = Count()
        self._closed: dict[str, BccaError] = {}
        self._places: dict[str, list[Place]] = {}
        self._without_copy: dict[str, BccaError] = {}
        self.logs: dict[str, ReadLog] = {}
        self.copied: dict[str, FromCopies] = {}

    async def ask(self, origin: str, asks: Sequence[Ask]) -> Told:
        """Return what the supplier of `origin` tells; what goes wrong is in it."""
        told = Told(self._count)
        silent = await self._ask_itself(origin, asks, told)
        if silent:
            await self._ask_elsewhere(origin, silent, told)
        return told

    async def _ask_itself(
        self, origin: str, asks: Sequence[Ask], told: Told
    ) -> dict[Ask, BccaError]:
        """Ask a supplier; return what it did not answer, and why."""
        silent: dict[Ask, BccaError] = {}
        try:
            async with asyncio.timeout(self._seconds):
                read = await self._open(origin)
                for ask in asks:
                    try:
                        await told.take(await self._items(read, ask), read.log, ask)
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

    async def _open(self, origin: str) -> ReadLog:
        """Return a supplier's log, read once in a run; raises again what it raised then."""
        if origin in self._closed:
            raise self._closed[origin]
        if origin not in self.logs:
            try:
                address = self._routes.address(origin)
                self.logs[origin] = await source.read_log(self._reader, address)
            except BccaError as error:
                self._closed[origin] = error
                raise
        return self.logs[origin]

    async def _items(self, read: ReadLog, ask: Ask) -> list[Item]:
        items = await source.read_statements(self._reader.fetcher, read, ask.product)
        if ask.pinned not in (None, *(item.commitment for item in items)):
            items.append(await source.read_statement(self._reader.fetcher, read, str(ask.pinned)))
        return items

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
            address = self._routes.address(origin)
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
                    if await self._take_one(place, read, ask, told):
                        left.pop(ask, None)
                        self._note(read.address.origin, place, why)

        async def take(place: Place) -> None:
            async with turn:
                with suppress(TimeoutError):
                    await take_all(place)

        await asyncio.gather(*map(take, places))

    async def _take_one(self, place: Place, read: ReadLog, ask: Ask, told: Told) -> bool:
        """Take what a place holds of a product; return whether any of it holds."""
        theirs = Told(self._count)
        try:
            items = await elsewhere.read_statements(
                self._reader, read.address, place, ask.product, ask.pinned
            )
        except BccaError:
            return False
        if not await theirs.take(items, read.log, ask):
            return False
        told.found.extend(theirs.found)
        return True

    def _note(self, origin: str, place: Place, why: BccaError) -> None:
        """Say that a copy stood in for a supplier, in the order of places whoever was first."""
        before = self.copied.get(origin)
        url = showable(place.url)
        used = {url} if before is None else {url, *before.urls}
        known = dict.fromkeys(showable(each.url) for each in self._places[origin])
        urls = tuple(each for each in known if each in used)
        self.copied[origin] = FromCopies(urls=urls, reason=_shown(why))


def _shown(reason: object) -> str:
    return showable(str(reason))[:MAX_REASON_CHARS]


def _distinct(items: Iterable[Item]) -> list[Item]:
    """Return items without what is repeated: it would be verified again and change nothing."""
    return list({each.envelope: each for each in items}.values())


def _verified(
    items: Iterable[Item], log: VerifiedLog, product: str
) -> tuple[list[Held], BccaError | None]:
    """Return the partial footprints in `items` that hold, and why the last other one does not."""
    kept: list[Held] = []
    refused = None
    for item in items:
        try:
            kept += _part(item, log, product)
        except BccaError as error:
            refused = error
    return kept, refused


def _part(item: Item, log: VerifiedLog, product: str) -> list[Held]:
    """Return the partial footprint in `item`; raises StatementError for another product."""
    found = held.hold(item.envelope, log)
    if found is None:
        return []
    if found.part.product != product:
        raise StatementError(
            f"statement {found.part.commitment} of {found.part.issuer} is about "
            f"{found.part.product}, where {product} was asked"
        )
    return [found]
