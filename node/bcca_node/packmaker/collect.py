"""Everything upstream of some products, fetched supplier by supplier and verified.

Round by round: the statements of one tier name the suppliers of the next. Rounds, not arrival,
decide who introduces whom, so that the result is the same whatever the concurrency. A supplier
that is down, or lies, stops nobody else: its products are missing, with the reason.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.network.lines import Item
from bcca_node.packmaker import held, source
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.routes import Routes
from bcca_node.packmaker.source import Address, ReadLog
from bcca_node.storage import seen
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol.errors import BccaError, LimitError, StatementError
from bcca_protocol.graph import Choice, Chooser, Missing, chooser
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span
from bcca_protocol.policy import Policy
from bcca_protocol.verify import VerifiedLog
from bcca_protocol.wire import showable

CONCURRENCY = 16  # suppliers asked at once: more gained nothing on two cores
SUPPLIER_SECONDS = 120.0  # for all that one supplier answers in one round
MAX_ROUNDS = 200  # tiers; the deepest chain in a published inventory has 15
MAX_STATEMENTS = 100_000  # of one run: 2 GB at 17 kB each while they are read
MAX_REASON_CHARS = 500  # of what somebody else's answer puts into our words


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: tiers begun, suppliers read of those asked, statements verified."""

    tiers: int
    suppliers: int
    asked: int
    statements: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run goes: for which period, from which POSIX second, how many suppliers at once.

    A supplier has `supplier_seconds` for all that it answers in one round.
    """

    period: Span
    at: int
    concurrency: int = CONCURRENCY
    supplier_seconds: float = SUPPLIER_SECONDS
    on_progress: OnProgress = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One product wanted of one supplier; `pinned` where the buyer names the statement."""

    product: str
    pinned: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a run has read: `reached` are the parts that the roots are made of.

    `troubles` says by (origin, product) what went wrong with whom.
    """

    own: VerifiedLog
    logs: Mapping[str, ReadLog]
    reached: Mapping[str, Held]
    troubles: Mapping[tuple[str, str], str]
    choose: Chooser


async def collect(node: Node, fetcher: Fetcher, roots: Sequence[Held], plan: Plan) -> Collected:
    """Return everything upstream of `roots`, this node's own.

    What is read is remembered in the node's database at the end. Raises UnusableError without a
    policy or a published log.
    """
    run = _Run(node, fetcher, plan)
    await run.follow(roots)
    run.remember()
    return Collected(
        own=run.own,
        logs=run.logs,
        reached=run.reached,
        troubles=run.troubles,
        choose=run.chooser(),
    )


class _Run:
    """One traversal: what is known, what was asked, and with whom something went wrong."""

    def __init__(self, node: Node, fetcher: Fetcher, plan: Plan) -> None:
        self._node = node
        self._fetcher = fetcher
        self._plan = plan
        self._policy: Policy = node.trust.required()
        self._turn = asyncio.Semaphore(plan.concurrency)
        self._routes = Routes(self._policy)
        self._asked: set[tuple[str, Ask]] = set()
        self._closed: dict[str, str] = {}
        self._tiers = 0
        self.logs: dict[str, ReadLog] = {}
        self.known: dict[str, Held] = {}
        self.reached: dict[str, Held] = {}
        self.troubles: dict[tuple[str, str], str] = {}
        with node.database.read() as session:
            self.own = held.own_log(node, session, self._policy, at=plan.at)

    async def follow(self, roots: Sequence[Held]) -> None:
        """Read tier after tier, until a tier names nothing new."""
        tier = list(roots)
        while tier and self._tiers < MAX_ROUNDS:
            self._tiers += 1
            self._know(tier)
            self.reached |= {each.part.commitment: each for each in tier}
            await self._read_suppliers_of([each.part for each in tier])
            # An answer may put another statement first for a tier that was done.
            tier = self._chosen_for(tier) or self._chosen_for(self.reached.values())

    def chooser(self) -> Chooser:
        """Return what feeds each input of what was reached; a missing one says why."""
        choose = self._chooser()

        def chosen(consumer: Part, bought: Bought) -> Choice:
            choice = choose(consumer, bought)
            if isinstance(choice, Missing) or choice.fact.commitment in self.reached:
                return choice
            return Missing(f"{bought.product} of {bought.origin}: over {MAX_ROUNDS} tiers upstream")

        return chosen

    def remember(self) -> None:
        """Keep the logs that were read, and the statements that count."""
        kept = [
            FetchedStatement(
                commitment=name,
                vkey=self.logs[each.part.issuer].address.key.encode(),
                origin=each.part.issuer,
                index=each.signed.index,
                product=each.part.product,
                sharing=each.part.sharing,
                envelope=each.envelope,
            )
            for name, each in self.reached.items()
            if each.part.issuer != self._node.origin
        ]
        with self._node.database.write() as session:
            for read in self.logs.values():
                seen.put_log(session, read.seen())
            seen.put_statements(session, kept)

    def _chosen_for(self, consumers: Iterable[Held]) -> list[Held]:
        """Return what feeds the inputs of `consumers` and was not reached before."""
        choose = self._chooser()
        chosen = (choose(each.part, b) for each in consumers for b in each.part.bought)
        found = {c.fact.commitment for c in chosen if not isinstance(c, Missing)}
        return [self.known[name] for name in sorted(found - self.reached.keys())]

    def _chooser(self) -> Chooser:
        """Return what feeds each input; a missing one says what went wrong with its supplier."""
        choose = chooser((each.signed for each in self.known.values()), self._plan.period)
        troubles = self.troubles

        def explained(consumer: Part, bought: Bought) -> Choice:
            choice = choose(consumer, bought)
            why = troubles.get((bought.origin, bought.product))
            return Missing(why) if why is not None and isinstance(choice, Missing) else choice

        return explained

    async def _read_suppliers_of(self, parts: Sequence[Part]) -> None:
        """Ask every supplier of `parts` for what was not asked before, many at a time."""
        wanted: dict[str, list[Ask]] = {}
        for part in parts:
            for bought in part.bought:
                ask = Ask(product=bought.product, pinned=bought.pinned)
                if (bought.origin, ask) not in self._asked:
                    self._asked.add((bought.origin, ask))
                    wanted.setdefault(bought.origin, []).append(ask)
        abouts = {origin: read.about for origin, read in self.logs.items()}
        self._routes.learn(parts, abouts)
        await asyncio.gather(*(self._read_supplier(o, wanted[o]) for o in sorted(wanted)))

    async def _read_supplier(self, origin: str, asks: Sequence[Ask]) -> None:
        """Read one supplier's answers; what goes wrong is its own trouble."""
        seconds = self._plan.supplier_seconds
        try:
            async with self._turn, asyncio.timeout(seconds):
                if origin == self._node.origin:
                    self._read_own(asks)
                elif await self._open(origin):
                    for ask in asks:
                        await self._read_product(self.logs[origin], ask)
                else:
                    self._blame(origin, asks, self._closed[origin])
        except TimeoutError:
            self._closed[origin] = f"{origin}: not done within {seconds:g} s"
            self._blame(origin, asks, self._closed[origin])
        self._tell()

    async def _open(self, origin: str) -> bool:
        """Read a supplier's log, once in a run; say whether its statements may be asked for."""
        if origin in self._closed or origin in self.logs:
            return origin not in self._closed
        try:
            self.logs[origin] = await self._read_log(self._routes.address(origin))
        except BccaError as error:
            self._closed[origin] = str(error)
        return origin in self.logs

    def _read_own(self, asks: Sequence[Ask]) -> None:
        with self._node.database.read() as session:
            for ask in asks:
                self._know(held.own_parts(session, ask.product, self.own))

    async def _read_log(self, address: Address) -> ReadLog:
        with self._node.database.read() as session:
            before = seen.log(session, address.origin, address.key.encode())
        return await source.read_log(self._fetcher, address, self._policy, before, at=self._plan.at)

    async def _read_product(self, read: ReadLog, ask: Ask) -> None:
        """Verify what a supplier says of one product; a refusal is of that product alone."""
        origin = read.address.origin
        try:
            items = await source.read_statements(self._fetcher, read, ask.product)
            if ask.pinned not in (None, *(item.commitment for item in items)):
                items.append(await source.read_statement(self._fetcher, read, str(ask.pinned)))
        except BccaError as error:
            self._blame(origin, [ask], str(error))
            return
        for item in items:
            try:
                self._know(_verified(item, read.log, ask.product))
            except BccaError as error:
                self._blame(origin, [ask], str(error))

    def _know(self, found: Iterable[Held]) -> None:
        self.known |= {each.part.commitment: each for each in found}
        if len(self.known) > MAX_STATEMENTS:
            raise LimitError(f"over {MAX_STATEMENTS} statements upstream")

    def _blame(self, origin: str, asks: Sequence[Ask], reason: str) -> None:
        for ask in asks:
            self.troubles[origin, ask.product] = showable(reason)[:MAX_REASON_CHARS]

    def _tell(self) -> None:
        self._plan.on_progress(
            Progress(
                tiers=self._tiers,
                suppliers=len(self.logs),
                asked=len({origin for origin, _ in self._asked}),
                statements=len(self.known),
            )
        )


def _verified(item: Item, log: VerifiedLog, product: str) -> list[Held]:
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
