"""What a serving node does for its PACT partners by itself (SPEC 16.4): answer, tell, send, get."""

import asyncio
import logging
from dataclasses import dataclass

from bcca_node.ledger.duties import Duties, Duty
from bcca_node.ledger.node import Node
from bcca_node.pact import fetching, inlet, post, proving
from bcca_node.pact.notify import Notices
from bcca_node.pact.replies import Replies
from bcca_node.partners import outbox
from bcca_node.storage import pactclients, pactevents, pactsending

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many seconds lie between one look and the next."""

    poll: float = 1.0  # a request waits no longer to be looked at, an event to be sent
    retry: float = 2.0  # after a first failure; twice as long after each more
    longest: float = 600.0  # but no longer
    prove: float = 10.0  # what came with a signed statement counts as signed soon
    tidy: float = 6 * 3600.0


class PactClerk:
    """The duties of one node towards its PACT partners, from `start` to `stop`; its keys are open.

    Whatever it has begun is kept where the next one finds it: it may be killed at any time.
    """

    def __init__(self, node: Node, pace: Pace | None = None) -> None:
        """Serve the PACT partners of `node` at that pace."""
        self._node = node
        self._pace = pace or Pace()
        self._replies = Replies(node)
        self._notices = Notices(node)
        self._told: dict[str, str] = {}
        duties = [
            Duty(do=self._answer),
            Duty(do=self._deliver),
            Duty(do=self._fetch),
            Duty(do=self._prove),
            Duty(do=self._tidy),
        ]
        self._duties = Duties(
            "pact", duties, of=node.origin, retry=self._pace.retry, longest=self._pace.longest
        )

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._duties.start()

    def stop(self) -> None:
        """End whatever is under way: what was not taken is sent again."""
        self._duties.stop()

    async def _answer(self) -> float:
        """Answer what is asked, and tell what is new; nobody else's turn is held up."""
        with self._node.database.read() as session:
            is_anybody = bool(pactclients.count(session))
        if is_anybody:
            self._replies.answer()
            await asyncio.sleep(0)
            self._notices.tell()
        return self._pace.poll

    async def _deliver(self) -> float:
        """Send what is due; what goes wrong is kept beside each event, and told once."""
        if post.is_due(self._node):
            done = await post.deliver_due(self._node)
            troubles = dict(done.troubles)
            for partner, why in troubles.items():
                if self._told.get(partner) != why:
                    _LOGGER.warning("partner %s: event not delivered: %s", partner, why)
            self._told = troubles
        return self._pace.poll

    async def _fetch(self) -> float:
        """Fetch what partners told is new."""
        if fetching.is_due(self._node):
            await fetching.fetch_due(self._node)
        return self._pace.poll

    async def _prove(self) -> float:
        """Verify the signed statements that came in events; another host holds up no answer."""
        with self._node.database.read() as session:
            partners = pactclients.every(session)
        for each in partners:
            await proving.prove(self._node, each)
        return self._pace.prove

    async def _tidy(self) -> float:
        """Forget what was delivered and taken long ago."""
        at = self._node.clock()
        with self._node.database.write() as session:
            pactsending.prune(session, at - outbox.KEEP_DELIVERED)
            pactevents.prune(session, at - inlet.KEEP_TAKEN)
        return self._pace.tidy
