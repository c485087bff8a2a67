"""Events to partners: kept before they are sent, and sent until they are taken (SPEC 13.8).

An event is put here in the transaction of whatever causes it, so that neither happens without the
other. It may be sent more than once, and is taken once.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from random import SystemRandom

import msgspec
from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.network.client import Answer, Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.network.limits import Patience
from bcca_node.partners import event as events
from bcca_node.partners import unwelcome
from bcca_node.partners.event import Event
from bcca_node.storage import outbox, pactclients, partners
from bcca_node.storage.outbox import Delivery, State
from bcca_node.storage.partners import Partner
from bcca_protocol.errors import RefusedError, UnavailableError
from bcca_protocol.keys import Role
from bcca_protocol.wire import showable

PATH = "/events"
FIRST_PAUSE = 2  # seconds: a server that is just restarted is back by then
LONGEST_PAUSE = 3_600  # twice as long after each failure, but a partner is found back in an hour
GIVE_UP_AFTER = 72 * 3_600  # a long weekend; then somebody has to look
LEAST_ATTEMPTS = 10  # about a quarter of an hour: a node that was off for a week tries that long
MAX_AT_ONCE = 50  # events to one partner in one turn, so that others have theirs
TURN_SECONDS = 20.0  # after which a partner that answers slowly waits for its next turn
MAX_PARTNERS_AT_ONCE = 16  # who does not answer holds up a sixteenth
MAX_ANSWER_BYTES = 4_096  # an id, or one sentence
MAX_TOLD_CHARS = 300  # of what went wrong
KEEP_DELIVERED = 30 * 86_400  # seconds: whoever restores last week's backup may ask again
PATIENCE = Patience(connect=5.0, read=10.0, total=20.0)  # the others wait

_ERROR = msgspec.json.Decoder(dict[str, str])

# Who has just restarted, whose clock is off, who does not know this node yet: perhaps soon.
PASSING = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of what was due: so many events, and for whom something went wrong, and what."""

    delivered: int = 0
    dead: int = 0
    troubles: tuple[tuple[str, str], ...] = ()


def put(session: Session, partner: str, event: Event, at: int) -> int:
    """Have `event` delivered to a partner; return its number, 0 where it takes none.

    A PACT partner is told by `pact.post` what PACT has an event for.
    """
    if pactclients.is_pact(partner):
        return 0
    return outbox.put(session, partner, event.id, events.encode(event), at)


def waiting(session: Session) -> list[Delivery]:
    """Return what is on its way, the oldest first."""
    return outbox.in_state(session, State.WAITING)


def dead(session: Session) -> list[Delivery]:
    """Return what was given up, the oldest first."""
    return outbox.in_state(session, State.DEAD)


def again(session: Session, number: int, at: int) -> Delivery | None:
    """Begin anew with what waits or was given up; None where there is nothing of that number."""
    return outbox.again(session, number, at)


def caller(node: Node, *, patience: Patience | None = None) -> Fetcher:
    """Return what asks partners in the name of `node`; raises UnusableError if its keys are closed.

    A partner says itself where it is, so that is never a private address but of the policy's hosts.
    """
    policy = node.trust.policy()
    hosts = () if policy is None else hosts_of(policy)
    return Fetcher(
        hosts,
        patience=patience or PATIENCE,
        signer=node.keys.signer(Role.REQUEST),
        clock=node.clock,
    )


async def deliver_due(node: Node, fetcher: Fetcher, *, only: str | None = None) -> Delivered:
    """Send what is due, to each partner in order; or at once what waits for `only` one."""
    at = node.clock()
    with node.database.read() as session:
        due = outbox.due(session, at) if only is None else [only]
    turn = asyncio.Semaphore(MAX_PARTNERS_AT_ONCE)
    rounds = [_Round(node, fetcher, each) for each in due]
    await asyncio.gather(*(each.run(turn) for each in rounds))
    return Delivered(
        delivered=sum(each.delivered for each in rounds),
        dead=sum(each.dead for each in rounds),
        troubles=tuple((each.partner, each.trouble) for each in rounds if each.trouble),
    )


class _Round:
    """One turn of one partner: its events go one after another, until one fails."""

    def __init__(self, node: Node, fetcher: Fetcher, partner: str) -> None:
        self._node = node
        self._fetcher = fetcher
        self.partner = partner
        self.delivered = self.dead = 0
        self.trouble = ""

    async def run(self, turn: asyncio.Semaphore) -> None:
        """Send what waits, once there is a turn."""
        async with turn:
            with self._node.database.read() as session:
                partner = partners.get(session, self.partner)
                queue = outbox.waiting_for(session, self.partner, MAX_AT_ONCE)
            if partner is None or partner.refused:
                self._give_up("no partner of this node" if partner is None else partner.refused)
                return
            end = asyncio.get_running_loop().time() + TURN_SECONDS
            for each in queue:
                is_over = asyncio.get_running_loop().time() > end
                if is_over or not await self._send(partner, each):
                    return

    async def _send(self, partner: Partner, each: Delivery) -> bool:
        """Send one event; say whether the next may go."""
        try:
            answer = await self._fetcher.post(
                partner.url + PATH,
                each.body,
                content_type="application/json",
                limit=MAX_ANSWER_BYTES,
                audience=partner.origin,
            )
        except (UnavailableError, RefusedError) as error:  # nobody there, or not as it should be
            self._failed(each, str(error))
            return False
        if answer.status == HTTPStatus.OK:
            self._settle(each, State.DELIVERED)
            self.delivered += 1
            return True
        told = _told(answer)
        if answer.status in PASSING or answer.status < HTTPStatus.BAD_REQUEST:
            self._failed(each, told)
            return False
        self._refused(each, told)
        self.dead += 1
        self.trouble = told
        return True

    def _failed(self, each: Delivery, why: str) -> None:
        """Let the partner rest, and give up what has been tried for too long."""
        at, self.trouble, told = self._node.clock(), why, why[:MAX_TOLD_CHARS]
        with self._node.database.write() as session:
            outbox.settle(session, each.number, State.WAITING, told)
            # What failed may be delivered all the same: its partner has fetched it meanwhile.
            tried = max(1, outbox.attempts(session, self.partner))
            if tried >= LEAST_ATTEMPTS:
                self.dead += outbox.give_up(session, self.partner, at - GIVE_UP_AFTER, told)
            outbox.pause(session, self.partner, at + pause(tried))

    def _settle(self, each: Delivery, state: State, told: str = "") -> None:
        with self._node.database.write() as session:
            outbox.settle(session, each.number, state, told[:MAX_TOLD_CHARS])

    def _refused(self, each: Delivery, told: str) -> None:
        with self._node.database.write() as session:
            outbox.settle(session, each.number, State.DEAD, told[:MAX_TOLD_CHARS])
            unwelcome.turn_away(session, each, told[:MAX_TOLD_CHARS])

    def _give_up(self, why: str) -> None:
        with self._node.database.write() as session:
            self.dead += outbox.give_up(session, self.partner, self._node.clock(), why)
        self.trouble = why


def pause(tried: int) -> int:
    """Return how many seconds to wait after so many failures: twice as long each time."""
    longest = min(FIRST_PAUSE << min(tried - 1, 16), LONGEST_PAUSE)
    # Nodes that waited for the same partner do not all come back at once.
    return max(1, round(longest * SystemRandom().uniform(0.5, 1.0)))


def _told(answer: Answer) -> str:
    """Return what a partner said was wrong, in a line that may be shown."""
    try:
        said = _ERROR.decode(answer.body)["error"]
    except (msgspec.MsgspecError, KeyError):
        said = answer.body.decode(errors="replace").strip()
    return showable(f"answered {answer.status}: {said}" if said else f"answered {answer.status}")
