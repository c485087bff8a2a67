"""Other logs, followed from the head that was believed last: only what is new is fetched.

What is fetched is believed once it hashes, behind what was believed before, to the root of a head
that the log and a quorum signed (SPEC 6.1.3, 6.5, 13.5).
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from bcca_node.ledger.copied import Address, Behind, CopiedLog
from bcca_node.ledger.freshen import freshen
from bcca_node.ledger.node import Node
from bcca_node.network import tlog
from bcca_node.network.client import Fetcher
from bcca_node.storage.copies import Copy
from bcca_protocol import policy, verify
from bcca_protocol.errors import ProofError, QuorumError, RefusedError, UnavailableError
from bcca_protocol.note import Note
from bcca_protocol.policy import Policy, VerifiedCheckpoint
from bcca_protocol.tiles import TILE_WIDTH
from bcca_protocol.verify import VerifiedLog
from bcca_protocol.wire import showable

_ATTEMPTS = 5  # each fails only because somebody else brought the same copy further


class _Followed(NamedTuple):
    """The head that a copy has now, and what was fetched for it."""

    head: VerifiedCheckpoint
    behind: Behind


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads logs of others into this node's copies, as somebody who believes `trusted`.

    A head that a quorum last saw over `max_age` seconds before POSIX second `at` is shown to its
    witnesses again. Entries are fetched for `patience` seconds, and kept to go on with next time.
    A log that was verified in this process `before`, by origin, is not hashed again while its tree
    is the same.
    """

    node: Node
    fetcher: Fetcher
    trusted: Policy
    at: int
    max_age: int | None = None
    patience: float | None = None
    before: Mapping[str, VerifiedLog] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """The time by which a cosignature is of the future: a run that began at `at` goes on."""
        return max(self.at, self.node.clock())

    async def follow(self, address: Address) -> VerifiedCheckpoint:
        """Bring this node's copy of a log up to date, and return the head that it has now.

        Raises UnavailableError, ConflictError for a log that went back or shows another tree than
        before, ProofError for entries under another root, and what `policy.verify_checkpoint`
        raises.
        """
        return (await self._followed(address)).head

    async def read(self, address: Address) -> VerifiedLog:
        """Return the whole log at `address`, having fetched what is new since it was read last.

        Its `head.time` says how fresh it is. Raises what `follow` and `verify.verify_log` raise.
        """
        followed = await self._followed(address)
        return await self._whole(address, followed.head, followed.behind)

    async def read_held(self, address: Address) -> VerifiedLog:
        """Return the log as far as this node holds it; its own node is not asked.

        Raises UnavailableError if it is not held.
        """
        held = await asyncio.to_thread(CopiedLog(self.node.database, address).held)
        if held is None:
            raise UnavailableError(f"log {address.origin}: this node holds no copy of it")
        head = policy.verify_checkpoint(held.note, address.key, self.trusted, at=self.now)
        return await self._whole(address, head)

    async def _followed(self, address: Address) -> "_Followed":
        """Do what `follow` does, and return what was fetched too."""
        copied = CopiedLog(self.node.database, address)
        shown = await self._shown(address, copied)
        for _ in range(_ATTEMPTS):
            before = await asyncio.to_thread(copied.held_before, shown, self.at)
            head = self._freshest(address, shown, before)
            behind = await self._kept(address, copied, head, before)
            if behind is not None:
                return _Followed(head, behind)
        raise UnavailableError(f"log {address.origin}: it is being copied already, ask again")

    async def _shown(self, address: Address, copied: CopiedLog) -> VerifiedCheckpoint:
        """Return the head that is shown; what the log signed may be evidence, believed or not."""
        url = address.read_at
        text = await tlog.fetch_checkpoint(self.fetcher, url)
        also = "".join(f", of a log also named with {key}" for key in address.also_named)
        try:
            with naming(f"{url}/checkpoint{also}"):
                return policy.verify_checkpoint(text, address.key, self.trusted, at=self.now)
        except QuorumError:
            await asyncio.to_thread(copied.meet, Note.parse(text), self.at)
            raise

    def _freshest(
        self, address: Address, shown: VerifiedCheckpoint, before: Copy | None
    ) -> VerifiedCheckpoint:
        """Return the head that is shown, or the one held of the same tree if it was seen later."""
        if before is None or before.size != shown.checkpoint.size:
            return shown
        if before.note == shown.note.encode():  # what was verified just now
            return shown
        try:
            held = policy.verify_checkpoint(before.note, address.key, self.trusted, at=self.now)
        except RefusedError:
            return shown  # the one held was believed under an earlier policy
        return held if held.time > shown.time else shown

    async def _kept(
        self, address: Address, copied: CopiedLog, head: VerifiedCheckpoint, before: Copy | None
    ) -> Behind | None:
        """Keep the copy up to `head`; return what was fetched for it and hashed up to its root.

        None if another took the place of `before`.
        """
        size = head.checkpoint.size
        if before is not None and before.size == size:
            is_kept = await asyncio.to_thread(copied.keep, head, (), before, self.at)
            return Behind(first=size, entries=()) if is_kept else None
        first = 0 if before is None else before.size - before.size % TILE_WIDTH
        behind = await self._fetched(address, copied, first, size)
        try:
            is_kept = await asyncio.to_thread(copied.take, head, before, behind, self.at)
        except ProofError:
            if not await asyncio.to_thread(copied.unpark) and behind.first == 0:
                raise
            # Only the whole tree tells a host of garbage from a log that shows another tree.
            behind = await self._fetched(address, copied, 0, size)
            is_kept = await asyncio.to_thread(copied.take, head, before, behind, self.at)
        return behind if is_kept else None

    async def _fetched(self, address: Address, copied: CopiedLog, first: int, size: int) -> Behind:
        """Return the entries up to `size`, from `first` on or from where fetching began before.

        Raises UnavailableError once the time is up; what came until then is kept.
        """
        url = address.read_at
        parked = await asyncio.to_thread(copied.parked, first, size)
        first, known, found = parked.first, len(parked.entries), list(parked.entries)
        behind = tlog.Run(first=first, found=found, bytes_before=parked.bytes_before)
        try:
            async with asyncio.timeout(self.patience):
                await tlog.fetch_behind(self.fetcher, url, behind, size)
        except TimeoutError as error:
            await asyncio.to_thread(copied.park, first + known, found[known:])
            raise UnavailableError(
                f"{showable(url)}: after {self.patience:g} s {first + len(found)} of {size} "
                "entries were there, the others are asked for next time"
            ) from error
        return Behind(first=first, entries=found)

    async def _whole(
        self, address: Address, head: VerifiedCheckpoint, behind: Behind | None = None
    ) -> VerifiedLog:
        """Return all entries under `head`, or under the same tree with fresh times.

        What was fetched `behind` is not read again.
        """
        copied = CopiedLog(self.node.database, address)
        end = self.trusted.ends.get(address.origin)  # of a log that has ended, nothing is awaited
        if self.max_age is not None and end is None and head.time < self.at - self.max_age:
            head = await self._fresh(copied, head)
        introduced = address.introduced_by is not None
        log = self.before.get(address.origin)
        if log is not None and _is_of(log, head) and log.introduced == introduced and end is None:
            return log.under(head)

        def whole() -> VerifiedLog:
            if behind is not None and behind.first == 0:
                entries = behind.entries
            else:
                entries = copied.entries(head.checkpoint.size)
            return verify.verify_log(head, entries, introduced=introduced, end=end)

        return await asyncio.to_thread(whole)

    async def _fresh(self, copied: CopiedLog, head: VerifiedCheckpoint) -> VerifiedCheckpoint:
        """Return `head` as its witnesses have seen it last, and keep it."""
        size = head.checkpoint.size

        async def prove(old: int) -> tuple[bytes, ...]:
            return await asyncio.to_thread(copied.prove, old, size)

        fresh = await freshen(self.fetcher, head, self.trusted, prove, at=self.now)
        before = await asyncio.to_thread(copied.held)
        if fresh is not head and before is not None and before.size == size:
            await asyncio.to_thread(copied.keep, fresh, (), before, self.at)
        return fresh


def _is_of(log: VerifiedLog, head: VerifiedCheckpoint) -> bool:
    return (log.head.checkpoint, log.head.key) == (head.checkpoint, head.key) and not log.has_ended


@contextmanager
def naming(url: str) -> Iterator[None]:
    """Say of whatever is refused that it came from `url`."""
    try:
        yield
    except RefusedError as error:
        raise type(error)(f"{showable(url)}: {error}") from error
