"""What one supplier tells of some products, verified, and what went wrong with which."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bcca_node.network.lines import Item
from bcca_node.packmaker import held
from bcca_node.packmaker.held import Held
from bcca_protocol.errors import BccaError, LimitError, StatementError
from bcca_protocol.verify import VerifiedLog
from bcca_protocol.wire import showable

MAX_REASON_CHARS = 500  # of what somebody else's answer puts into our words
MAX_OF_ONE = 20_000  # statements of one supplier in a run: 340 MB at 17 kB each
MAX_STATEMENTS = 1_000_000  # of one run: 10 GB of what they say, their envelopes on the disk
SURE_OF_ONE = 1_000  # statements that every supplier may bring, however many others have brought
_BLOCK = 16  # statements that are verified at once, before somebody else has a turn


class Ask(NamedTuple):
    """One product wanted of one supplier; `pinned` where the buyer names the statement."""

    product: str
    pinned: str | None = None


class Count:
    """How many statements each supplier has brought in a run."""

    def __init__(self) -> None:
        """Nobody has brought any."""
        self._of: dict[str, set[str]] = {}
        self._total = 0

    def add(self, origin: str, commitments: Iterable[str]) -> None:
        """Count statements of one supplier, each once; raises LimitError and counts none of them.

        Who brings too many is refused, and nobody else for its sake.
        """
        mine = self._of.setdefault(origin, set())
        more = set(commitments) - mine
        others = self._total - len(mine)
        limit = max(min(MAX_OF_ONE, MAX_STATEMENTS - others), SURE_OF_ONE)
        if len(mine) + len(more) > limit:
            raise LimitError(f"{origin}: over {limit} statements in one run")
        mine |= more
        self._total += len(more)


@dataclass(slots=True)
class Told:
    """What a supplier says in answer to some asks, verified, and what went wrong with which.

    `absent` says of each that nobody shows anything of where it was looked for.
    """

    count: Count
    found: list[Held] = field(default_factory=list)
    troubles: dict[Ask, str] = field(default_factory=dict)
    absent: dict[Ask, str] = field(default_factory=dict)
    _listed: int = 0
    _current: dict[str, dict[str, bool]] = field(default_factory=dict)

    def blame(self, asks: Iterable[Ask], reason: object) -> None:
        """Note what went wrong."""
        self.troubles.update(dict.fromkeys(asks, shown(reason)))

    def answers(self, ask: Ask) -> bool:
        """Say whether a current statement was found for an ask, or the one that is pinned.

        Where one is kept here that was corrected since, others may show what corrects it.
        """
        return not self.unanswered([ask])

    def unanswered(self, asks: Iterable[Ask]) -> list[Ask]:
        """Return the asks for which nothing was found, as `answers` says."""
        for signed, part, _ in self.found[self._listed :]:
            about = self._current.get(part.product)
            if about is None:
                about = self._current[part.product] = {}
            about[part.commitment] = signed.is_current
        self._listed = len(self.found)
        return [ask for ask in asks if not self._is_met(ask)]

    def _is_met(self, ask: Ask) -> bool:
        product, pinned = ask
        found = self._current.get(product)
        if found is None:
            return False
        return True in found.values() if pinned is None else pinned in found

    def keep(self, found: Sequence[Held], log: VerifiedLog, asks: Sequence[Ask]) -> None:
        """Take what was verified before of what is asked; over the limit, a product is told alone.

        `found` is of these products and no others.
        """
        try:
            self.count.add(log.origin, [part.commitment for _, part, _ in found])
        except LimitError:
            self._keep_some(found, log, asks)
        else:
            self.found.extend(found)

    def _keep_some(self, found: Sequence[Held], log: VerifiedLog, asks: Sequence[Ask]) -> None:
        by_product: dict[str, list[Held]] = {}
        for each in found:
            by_product.setdefault(each.part.product, []).append(each)
        for ask in asks:
            some = by_product.pop(ask.product, [])
            try:
                self.count.add(log.origin, [each.part.commitment for each in some])
            except LimitError as error:
                self.blame([ask], error)
                continue
            self.found.extend(some)

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


def shown(reason: object) -> str:
    """Return a reason as it is told to people, whoever wrote it."""
    return showable(str(reason))[:MAX_REASON_CHARS]


def absent(origin: str, ask: Ask, *, is_partner: bool) -> str:
    """Return that nobody shows a product, and what can be done about it."""
    pinned = f" with commitment {ask.pinned}" if ask.pinned is not None else ""
    how = f"bcca request {origin} --product {ask.product}" if is_partner else "bcca request"
    return shown(
        f"no statement for {ask.product} of {origin}{pinned}: neither it nor anybody met who buys "
        f"of it shows one here; there may be none, or it is not shared with this node: ask for it "
        f"(`{how}`)"
    )


def _distinct(items: Iterable[Item]) -> list[Item]:
    """Return items without what is repeated: it would be verified again and change nothing."""
    return list({each.envelope: each for each in items}.values())


def _verified(
    items: Iterable[Item], log: VerifiedLog, product: str
) -> tuple[list[Held], BccaError | None]:
    """Return the footprints in `items` that hold, and why the last other one does not."""
    kept: list[Held] = []
    refused = None
    for item in items:
        try:
            kept += _part(item, log, product)
        except BccaError as error:
            refused = error
    return kept, refused


def _part(item: Item, log: VerifiedLog, product: str) -> list[Held]:
    """Return the footprint in `item`; raises StatementError for another product."""
    found = held.hold(item.envelope, log)
    if found is None:
        return []
    if found.part.product != product:
        raise StatementError(
            f"statement {found.part.commitment} of {found.part.issuer} is about "
            f"{found.part.product}, where {product} was asked"
        )
    return [found]
