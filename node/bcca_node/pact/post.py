"""Events to PACT partners: kept before they are sent, and sent until they are taken (SPEC 16.4).

They go to the base URL that is registered for their partner, with what that partner issued to this
node, and nowhere else. One may be sent more than once, in the same bytes: it is taken once.
"""

import asyncio
from http import HTTPStatus

from bcca_node.ledger.node import Node
from bcca_node.network.client import Answer, Fetcher
from bcca_node.pact import client, clients
from bcca_node.pact.client import Host
from bcca_node.partners.outbox import (
    GIVE_UP_AFTER,
    LEAST_ATTEMPTS,
    LONGEST_PAUSE,
    MAX_AT_ONCE,
    MAX_PARTNERS_AT_ONCE,
    MAX_TOLD_CHARS,
    PASSING,
    PATIENCE,
    Delivered,
    pause,
)
from bcca_node.storage import pactsending
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.pactsending import Sending, Sent
from bcca_protocol.errors import RefusedError, UnavailableError, UnusableError

MAX_REFUSALS = 5  # of one event, over about an hour: who deploys anew has mended it by then
FIRST_REFUSED_PAUSE = 60  # seconds, four times as long after each refusal: 1, 4, 16, 60 minutes
TURN_SECONDS = 60.0  # after which a partner that answers slowly waits for its next turn

# No answer to one event: whoever may not, cannot now, or has to wait may take all of them later.
_PASSING = PASSING - {HTTPStatus.NOT_FOUND}  # nobody is where the URL leads: the event is refused


def is_due(node: Node) -> bool:
    """Say whether something is to be sent now."""
    with node.database.read() as session:
        return bool(pactsending.due(session, node.clock()))


async def deliver_due(node: Node) -> Delivered:
    """Send what is due, to each partner in order; what goes wrong is kept beside each event."""
    with node.database.read() as session:
        due = pactsending.due(session, node.clock())
    turn = asyncio.Semaphore(MAX_PARTNERS_AT_ONCE)
    rounds = [_Round(node, each) for each in due]
    await asyncio.gather(*(each.run(turn) for each in rounds))
    return Delivered(
        delivered=sum(each.delivered for each in rounds),
        dead=sum(each.dead for each in rounds),
        troubles=tuple((each.partner, each.trouble) for each in rounds if each.trouble),
    )


class _Round:
    """One turn of one partner: its events go one after another, until it is not there."""

    def __init__(self, node: Node, partner: str) -> None:
        self._node = node
        self.partner = partner
        self.delivered = self.dead = 0
        self.trouble = ""

    async def run(self, turn: asyncio.Semaphore) -> None:
        """Send what is due, once there is a turn."""
        async with turn:
            at = self._node.clock()
            with self._node.database.read() as session:
                partner = clients.get(session, self.partner)
                queue = pactsending.due_for(session, self.partner, at, MAX_AT_ONCE)
            if partner is None:
                self._give_up("no partner of this node")
                return
            async with client.caller(partner, PATIENCE) as fetcher:
                await self._send_each(partner, fetcher, queue)

    async def _send_each(
        self, partner: PactPartner, fetcher: Fetcher, queue: list[Sending]
    ) -> None:
        host = Host(self._node, partner, fetcher)
        end = asyncio.get_running_loop().time() + TURN_SECONDS
        for each in queue:
            is_over = asyncio.get_running_loop().time() > end
            if is_over or not await self._send(host, fetcher, each):
                return

    async def _send(self, host: Host, fetcher: Fetcher, each: Sending) -> bool:
        """Send one event; say whether the next may go."""
        try:
            answer = await _posted(host, fetcher, each.body)
        except (UnavailableError, RefusedError, UnusableError) as error:
            self._failed(each, str(error))
            return False
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            with self._node.database.write() as session:
                pactsending.settle(session, each.number, Sent.DELIVERED)
            self.delivered += 1
            return True
        if answer.status in _PASSING or answer.status < HTTPStatus.BAD_REQUEST:
            self._failed(each, client.said(answer))
            return False
        self._refused(each, client.said(answer))
        return True

    def _failed(self, each: Sending, why: str) -> None:
        """Let the partner rest, and give up what has been tried for too long."""
        at, told, dead = self._node.clock(), why[:MAX_TOLD_CHARS], 0
        if not self.dead:  # what was given up in this turn is told first
            self.trouble = why
        with self._node.database.write() as session:
            pactsending.settle(session, each.number, Sent.WAITING, told)
            tried = max(1, pactsending.attempts(session, self.partner))
            if tried >= LEAST_ATTEMPTS:
                dead = pactsending.give_up(session, self.partner, at - GIVE_UP_AFTER, told)
            pactsending.rest(session, self.partner, at + pause(tried))
        if dead:
            self.dead += dead
            self.trouble = f"{why}; {dead} given up: see `bcca pact deliveries`"

    def _refused(self, each: Sending, why: str) -> None:
        """Let one event rest that its partner does not take, or give it up; the others go on.

        Such an answer does not change by itself: a host that is mended within the hour takes the
        event then, and after that somebody has to look.
        """
        at, self.trouble, tried = self._node.clock(), why, each.attempts + 1
        is_final = each.refused and tried >= MAX_REFUSALS
        is_late = tried >= LEAST_ATTEMPTS and each.created <= at - GIVE_UP_AFTER
        is_dead = is_final or is_late
        with self._node.database.write() as session:
            state = Sent.DEAD if is_dead else Sent.WAITING
            pactsending.settle(session, each.number, state, why[:MAX_TOLD_CHARS], refused=True)
            until = at + _refused_pause(tried)
            pactsending.rest(session, self.partner, until, only=each.number)
        if is_dead:
            self.dead += 1
            self.trouble = (
                f"{why}; given up: have it mended there, or correct the URL here, then "
                f"`bcca pact deliveries --again {each.number}`"
            )

    def _give_up(self, why: str) -> None:
        with self._node.database.write() as session:
            self.dead += pactsending.give_up(session, self.partner, self._node.clock(), why)
        self.trouble = why


async def _posted(host: Host, fetcher: Fetcher, body: bytes) -> Answer:
    """Return the answer to an event; whoever issued nothing to this node is sent no token."""
    if host.partner.is_asked:
        return await host.post(body)
    url = host.partner.url.rstrip("/") + client.EVENTS
    headers = {"content-type": client.CLOUD_EVENT}
    return await fetcher.send(url, headers=headers, body=body, limit=client.MAX_ANSWER_BYTES)


def _refused_pause(tried: int) -> int:
    """Return how many seconds to wait with an event that was refused at so many tries."""
    return min(FIRST_REFUSED_PAUSE << 2 * min(tried - 1, 8), LONGEST_PAUSE)
