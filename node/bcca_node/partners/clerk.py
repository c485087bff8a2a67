"""What a serving node does by itself for its partners (SPEC 13.8): deliver, fetch, answer, tell."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bcca_node.ledger.duties import Duties, Duty
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.network.limits import Patience
from bcca_node.partners import acquaint, book, inlet, outbox, requests
from bcca_node.partners.notices import Notices
from bcca_node.storage import inbox, logs
from bcca_node.storage import outbox as deliveries
from bcca_node.storage.partners import Partner
from bcca_protocol.errors import BccaError

Extra: TypeAlias = Callable[[Node, Fetcher], Awaitable[object]]
"""A duty of somebody above, done every `Pace.extra` seconds."""

_MAX_AT_ONCE = 8  # partners that are asked at a time

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many seconds lie between one look and the next."""

    poll: float = 1.0  # an event that another process wrote waits no longer to be sent
    retry: float = 2.0  # after a first failure; twice as long after each more
    longest: float = 600.0  # but no longer
    pull: float = 300.0  # a partner behind a firewall is heard within five minutes
    sweep: float = 60.0  # what is due or expired by the clock
    tell: float = 60.0  # what was found in copies of other logs
    meet: float = 30.0  # who is new may publish its first head only now
    prove: float = 600.0  # keys that were not proven yet; proven ones once in PROVEN_FOR
    extra: float = 600.0  # what is collected upstream to be handed on
    tidy: float = 6 * 3600.0


PROVEN_FOR = 86_400  # seconds: a partner that rotates its keys is known by the new ones in a day
NEW_FOR = 3_600  # seconds: somebody who joins sets up, is witnessed and publishes within the hour


class Clerk:
    """The duties of one node towards its partners, from `start` to `stop`; its keys are open."""

    def __init__(self, node: Node, pace: Pace | None = None, extra: Sequence[Extra] = ()) -> None:
        """Serve the partners of `node` at that pace, and do what is `extra`."""
        self._node = node
        self._pace = pace or Pace()
        self._notices = Notices(node)
        self._mail = asyncio.Event()  # something is due, or was put into the outbox
        self._published = asyncio.Event()  # there is another published head
        self._met = asyncio.Event()  # there is a partner whose keys nobody has looked up
        self._told: dict[tuple[str, str], str] = {}
        self._unproven: frozenset[str] = frozenset()
        self._known: object = None
        self._head: object = None
        duties = [
            Duty(do=self._look),
            Duty(do=self._deliver, wake=self._mail),
            Duty(do=self._pull),
            Duty(do=self._sweep, wake=self._published),
            Duty(do=self._prove, wake=self._met),
            Duty(do=self._tidy),
            *(Duty(do=self._extra(each)) for each in extra),
        ]
        self._duties = Duties(
            "clerk", duties, of=node.origin, retry=self._pace.retry, longest=self._pace.longest
        )

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._duties.start()

    def stop(self) -> None:
        """End whatever is under way: what was not taken is sent again."""
        self._duties.stop()

    async def _look(self) -> float:
        """Wake the others where there is something new."""
        with self._node.database.read() as session:
            newest, head = deliveries.newest(session), logs.published_head(session)
            is_due = bool(deliveries.due(session, self._node.clock()))
            unproven = frozenset(
                each.origin for each in book.everybody(session) if each.proven_at is None
            )
        if unproven - self._unproven:
            self._met.set()
        self._unproven = unproven
        size = None if head is None else head.size
        if is_due or newest != self._known:
            self._known = newest
            self._mail.set()
        if size != self._head:
            self._head = size
            self._published.set()
        return self._pace.poll

    async def _deliver(self) -> float:
        """Send what is due; what goes wrong is kept beside each event, and told once."""
        with self._node.database.read() as session:
            is_due = bool(deliveries.due(session, self._node.clock()))
        if is_due:
            async with outbox.caller(self._node) as fetcher:
                done = await outbox.deliver_due(self._node, fetcher)
            for partner, why in done.troubles:
                self._tell("event not delivered", partner, why)
        return self._pace.longest

    async def _pull(self) -> float:
        """Fetch what partners keep for this node: it may not be reachable for them."""

        async def pull(fetcher: Fetcher, partner: Partner) -> None:
            await inlet.pull(self._node, fetcher, partner)

        await self._with_each("no events fetched", self._believed(), pull)
        return self._pace.pull

    async def _sweep(self) -> float:
        """Answer, remind, let expire, and tell what became of statements."""
        requests.fulfil(self._node)
        requests.expire(self._node)
        requests.remind(self._node)
        self._notices.tell()
        return self._pace.sweep

    async def _prove(self) -> float:
        """Look into the logs of partners whose keys were not seen there, or not lately."""
        at = self._node.clock()
        with self._node.database.read() as session:
            known = book.everybody(session)
        wanted = [each for each in known if acquaint.is_to_be_proven(each, at - PROVEN_FOR)]

        async def prove(fetcher: Fetcher, partner: Partner) -> None:
            await book.prove(self._node, fetcher, partner)

        await self._with_each("keys not proven", wanted, prove)
        with self._node.database.read() as session:
            left = [each for each in book.everybody(session) if each.proven_at is None]
        is_new = any(each.since > at - NEW_FOR and not each.refused for each in left)
        return self._pace.meet if is_new else self._pace.prove

    async def _tidy(self) -> float:
        """Forget what was delivered and taken long ago."""
        at = self._node.clock()
        with self._node.database.write() as session:
            deliveries.prune(session, at - outbox.KEEP_DELIVERED)
            inbox.prune(session, at - inlet.KEEP_TAKEN)
        return self._pace.tidy

    def _extra(self, do: Extra) -> Callable[[], Awaitable[float]]:
        async def done() -> float:
            if self._believed():
                async with outbox.caller(self._node, patience=Patience()) as fetcher:
                    await do(self._node, fetcher)
            return self._pace.extra

        return done

    def _believed(self) -> list[Partner]:
        with self._node.database.read() as session:
            return [each for each in book.everybody(session) if not each.refused]

    async def _with_each(
        self,
        what: str,
        partners: Sequence[Partner],
        do: Callable[[Fetcher, Partner], Awaitable[None]],
    ) -> None:
        """Do something with each partner, some at a time; what goes wrong with one is its own."""
        if not partners:
            return
        turn = asyncio.Semaphore(_MAX_AT_ONCE)

        async def one(fetcher: Fetcher, partner: Partner) -> None:
            async with turn:
                try:
                    await do(fetcher, partner)
                    self._told.pop((what, partner.origin), None)
                except BccaError as error:
                    self._tell(what, partner.origin, str(error))

        async with outbox.caller(self._node) as fetcher:
            await asyncio.gather(*(one(fetcher, each) for each in partners))

    def _tell(self, what: str, partner: str, why: str) -> None:
        """Log what is wrong with a partner when it begins: one that is away is no news."""
        if self._told.get((what, partner)) != why:
            self._told[what, partner] = why
            _LOGGER.warning("partner %s: %s: %s", partner, what, why)
