"""What a serving node does by itself: submit heads, watch, and follow (SPEC 5.8, 5.11, 13.5)."""

import asyncio
import logging
from dataclasses import dataclass

from bcca_node.ledger import guard, heads, mirror
from bcca_node.ledger.duties import Duties, Duty
from bcca_node.ledger.node import Node
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.storage import logs, witnessed
from bcca_node.storage.logs import Head
from bcca_protocol.errors import BccaError, ConflictError, UnavailableError
from bcca_protocol.policy import Policy, verify_checkpoint

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many seconds lie between one look and the next."""

    poll: float = 1.0  # a head that another process signed waits no longer to be submitted
    retry: float = 2.0  # after a first failure; twice as long after each more
    longest: float = 600.0  # but no longer: witnesses that are back are found in ten minutes
    lag: float = 900.0  # until a witness that missed a published head is asked again
    refresh: float = 4 * 3600.0  # verifiers accept a day: five refreshings in a row may fail
    watch: float = 300.0  # a thief of the log key is found out in five minutes
    follow: float = 600.0  # a supplier that is down is served as it was ten minutes ago
    grace: float = 20.0  # who is slower than a quorum may still join it: nobody waits here


class Keeper:
    """The duties of one node, from `start` to `stop`."""

    def __init__(self, node: Node, pace: Pace | None = None) -> None:
        """Keep `node` at that pace."""
        self._node = node
        self._pace = pace or Pace()
        self._news = asyncio.Event()  # there is another head, or another policy
        self._doubt = asyncio.Event()  # somebody did not cosign: perhaps they have seen more
        self._known: object = None
        self._refused: dict[str, str | None] = {}
        self._proofs: frozenset[str] | None = None
        self._duties = Duties(
            "keeper",
            (
                Duty(do=self._look),
                Duty(do=self._submit, wake=self._news),
                Duty(do=self._watch, wake=self._doubt),
                Duty(do=self._follow),
            ),
            of=node.origin,
            retry=self._pace.retry,
            longest=self._pace.longest,
        )

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._duties.start()

    def stop(self) -> None:
        """End whatever is under way."""
        self._duties.stop()

    async def _look(self) -> float:
        """Wake the others where there is something new."""
        with self._node.database.read() as session:
            head = logs.last_head(session)
        found = (None if head is None else (head.size, head.published), self._node.trust.policy())
        if found != self._known:
            self._known = found
            self._news.set()
            self._doubt.set()
        return self._pace.poll

    async def _submit(self) -> float:
        """Have the newest head cosigned where it is not, or not lately, or not by all."""
        policy = self._node.trust.policy()
        if policy is not None and self._is_due(policy):
            async with Fetcher(hosts_of(policy)) as fetcher:
                done = await witness(self._node, fetcher, grace=self._pace.grace)
            if not done.published:
                self._doubt.set()
                raise UnavailableError(f"log {self._node.origin}: {done}")
        return self._pace.lag

    async def _watch(self) -> float:
        """Clear the guard, and see later on that nobody shows another log under this name."""
        policy = self._node.trust.policy()
        if policy is None or self._node.origin in policy.ends:  # whoever goes on there is known
            return self._pace.watch
        may_append = self._node.clearance.is_confirmed or self._node.keyring is None
        try:
            async with Fetcher(hosts_of(policy)) as fetcher:
                await (guard.watch if may_append else guard.clear)(self._node, fetcher)
        except ConflictError:
            pass  # the alarm has told
        return self._pace.watch

    async def _follow(self) -> float:
        """Bring the copies of other logs up to date, and tell who was found to lie."""
        policy = self._node.trust.policy()
        if policy is not None:
            async with Fetcher(hosts_of(policy)) as fetcher:
                for each in await mirror.follow_all(self._node, fetcher):
                    if each.refused is not None and self._refused.get(each.origin) != each.refused:
                        _LOGGER.info("copy of log %s: %s", each.origin, each.refused)
                    self._refused[each.origin] = each.refused
        with self._node.database.read() as session:
            found = {each.id: each.origin for each in heads.proofs(session)}
        for name in found.keys() - (found.keys() if self._proofs is None else self._proofs):
            _LOGGER.error("log %s signed two trees: proof %s is kept", found[name], name)
        self._proofs = frozenset(found)
        return self._pace.follow

    def _is_due(self, policy: Policy) -> bool:
        """Say whether the newest head is pending, or some witness or its quorum's time is behind.

        A log that nobody has seen anything of but its keys is submitted too.
        """
        with self._node.database.read() as session:
            head, known = logs.last_head(session), witnessed.cosigned(session)
        if head is None or not head.published:
            return head is not None
        asked = [line for line in policy.witnesses.values() if line.key.name != self._node.origin]
        behind = any(
            line.url is not None and (line.name not in known or known[line.name].size < head.size)
            for line in asked
        )
        return behind or self._is_stale(head, policy)

    def _is_stale(self, head: Head, policy: Policy) -> bool:
        """Say whether a published head is no longer believed, or its time is long ago."""
        at = self._node.clock()
        try:
            seen = verify_checkpoint(head.note, self._node.key_of(head.note), policy, at=at)
        except BccaError:
            return True  # the policy has changed
        return at - seen.time >= self._pace.refresh
