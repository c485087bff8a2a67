"""Everything upstream of some products, fetched supplier by supplier and verified.

Round by round: the statements of one tier name the suppliers of the next. Rounds, not arrival,
decide who introduces whom, so that the result is the same whatever the concurrency. A supplier
that is down, or lies, stops nobody else: its products are missing, with the reason.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from bcca_node.ledger.copying import Reader
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import held
from bcca_node.packmaker.choices import NOT_SIGNED, Choices
from bcca_node.packmaker.circle import Circle
from bcca_node.packmaker.hands import Hands
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.plan import Plan, Progress
from bcca_node.packmaker.routes import Routes
from bcca_node.packmaker.source import ReadLog
from bcca_node.packmaker.stock import Stock, Terms
from bcca_node.packmaker.suppliers import FromCopies, Suppliers
from bcca_node.packmaker.sweeps import passing_over
from bcca_node.packmaker.told import Ask, shown
from bcca_node.storage import feed, seen
from bcca_node.storage.feed import Ways
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol.choices import Choice, Chooser, Missing
from bcca_protocol.partial import Bought, Part
from bcca_protocol.rollup import Opinion
from bcca_protocol.substituted import Substituted
from bcca_protocol.verify import Verified, VerifiedLog

MAX_ROUNDS = 200  # tiers; the deepest chain in a published inventory has 15


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Collected:
    """What a run has read: `reached` are the parts that the roots are made of.

    `troubles` says by (origin, product) what went wrong with whom, `copied` by origin where copies
    stood in for a supplier that did not answer, `handed_on` by origin who handed on what a supplier
    does not show here itself. `cached` are the logs that were not asked for, with the seconds since
    a quorum last saw each; `proving` is how many seconds single signature checks took. `opinions`
    are of `verifiers`, whose logs these are. `beside` are current parts that were read, not
    reached, and claim electricity certificates.
    """

    own: VerifiedLog
    logs: Mapping[str, ReadLog]
    reached: Mapping[str, Held]
    troubles: Mapping[tuple[str, str], str]
    copied: Mapping[str, FromCopies]
    handed_on: Mapping[str, frozenset[str]]
    choose: Chooser
    cached: Mapping[str, int] = field(default_factory=dict)
    proving: float = 0.0
    opinions: tuple[Verified[Opinion], ...] = ()
    verifiers: Mapping[str, ReadLog] = field(default_factory=dict)
    beside: tuple[Part, ...] = ()


async def collect(node: Node, fetcher: Fetcher, roots: Sequence[Held], plan: Plan) -> Collected:
    """Return everything upstream of `roots`, this node's own.

    What is read is remembered in the node's database at the end. Raises UnusableError without a
    policy or a published log.
    """
    with Hands(plan.workers, plan.executor) as hands, passing_over() as pass_over:
        run = _Run(node, fetcher, plan, hands, pass_over)
        await run.follow(roots)
        began = monotonic()
        await run.prove(roots)
        proving = monotonic() - began
    await asyncio.to_thread(run.remember)
    return Collected(
        own=run.own,
        logs=run.suppliers.logs,
        reached=run.reached,
        troubles=run.troubles,
        copied=run.suppliers.copied,
        handed_on=run.suppliers.handed_on,
        choose=run.chooser(),
        cached=run.cached(),
        proving=proving,
        beside=tuple(run.beside()),
    )


class _Run:
    """One traversal: what is known, what was asked, and with whom something went wrong."""

    def __init__(
        self,
        node: Node,
        fetcher: Fetcher,
        plan: Plan,
        hands: Hands,
        pass_over: Callable[[], None],
    ) -> None:
        self._node = node
        self._pass_over = pass_over
        self._plan = plan
        trusted = node.trust.required()
        self._turn = asyncio.Semaphore(plan.concurrency)
        circle = Circle.of(node)
        self._routes = Routes(trusted, circle.urls())
        reader = Reader(
            node=node, fetcher=fetcher, trusted=trusted, at=plan.at, max_age=plan.max_age
        )
        self._stock, self._hands = Stock(node.database), hands
        terms = Terms(
            stock=self._stock,
            hands=hands,
            seconds=plan.supplier_seconds,
            is_offline=plan.is_offline,
        )
        self.suppliers = Suppliers(reader, self._routes, circle, terms)
        self._asked: dict[str, set[Ask]] = {}
        self._tiers = 0
        self._choices = Choices(plan)
        self.reached: dict[str, Held] = {}
        self.troubles: dict[tuple[str, str], str] = {}
        self._absent: dict[tuple[str, str], str] = {}
        with node.database.read() as session:
            self.own = held.own_log(node, session, trusted, at=plan.at)

    async def follow(self, roots: Sequence[Held]) -> None:
        """Read tier after tier, until a tier names nothing new."""
        tier = list(roots)
        self._choices.know(tier)
        while tier and self._tiers < MAX_ROUNDS:
            self._tiers += 1
            self.reached |= {each.part.commitment: each for each in tier}
            await self._read_suppliers_of([each.part for each in tier if each.part.bought])
            # An answer may put another statement first for a tier that was done.
            tier = self._new(tier)
            if not tier and self._choices.settle():
                tier = self._new(self.reached.values())

    async def prove(self, roots: Sequence[Held]) -> None:
        """Check the own signature of all that was reached; without what fails, follow once more."""
        while refused := await self._refused():
            for name, why in refused.items():
                part = self._choices.drop(name).part
                self.troubles[part.issuer, part.product] = shown(why)
            self.reached.clear()
            self._tiers = 0
            await self.follow(roots)
        await asyncio.to_thread(self._stock.remember)

    async def _refused(self) -> dict[str, str]:
        """Return which of what was reached its own key did not sign, and why, by commitment."""
        kept: dict[str, list[Held]] = {}
        for each in self.reached.values():
            if not each.envelope:
                kept.setdefault(each.part.issuer, []).append(each)
        found = await asyncio.gather(
            *(
                self._stock.unproven(self.suppliers.logs[origin], kept[origin], self._hands)
                for origin in sorted(kept)
            )
        )
        return {name: why for each in found for name, why in each.items()}

    def beside(self) -> Iterator[Part]:
        """Yield what was read, feeds nothing and claims certificates, as it stands now."""
        for name in sorted(self._choices.known.keys() - self.reached.keys()):
            known = self._choices.known[name]
            if known.part.claims and known.signed.is_current:
                yield known.part

    def cached(self) -> dict[str, int]:
        """Return whose logs were read as this node holds them, and how many seconds old."""
        if not self._plan.is_offline:
            return {}
        logs = self.suppliers.logs
        return {o: max(0, self._plan.at - logs[o].log.head.time) for o in sorted(logs)}

    def chooser(self) -> Chooser:
        """Return what feeds each input of what was reached; a missing one says why."""
        choose, reached = self._choices.choose, self.reached
        troubles, absent = self.troubles, self._absent

        def chosen(consumer: Part, bought: Bought) -> Choice:
            choice = choose(consumer, bought)
            if isinstance(choice, Missing):
                where = bought.origin, bought.product
                why = troubles.get(where) or absent.get(where)
                return choice if why is None else choice._replace(reason=why)
            if isinstance(choice, Substituted) or choice.fact.commitment in reached:
                return choice
            return Missing(f"{bought.product} of {bought.origin}: over {MAX_ROUNDS} tiers upstream")

        return chosen

    def remember(self) -> None:
        """Keep the statements that count, and what feeds what; logs were kept as they were read."""
        kept = [
            FetchedStatement(
                commitment=name,
                vkey=self.suppliers.logs[each.part.issuer].address.key.encode(),
                origin=each.part.issuer,
                index=each.signed.index,
                product=each.part.product,
                sharing=each.part.sharing,
                envelope=each.envelope,
            )
            for name, each in self.reached.items()
            if each.envelope and each.part.issuer != self._node.origin
        ]
        ways = self._ways()
        with self._node.database.write() as session:
            seen.put_statements(session, kept)
            feed.put_walked(session, ways)

    def _ways(self) -> dict[str, Ways]:
        """Return by issuer what feeds, and whom name, the statements that were reached."""
        choose, found = self._choices.choose, dict[str, Ways]()
        for name in sorted(self.reached):
            part = self.reached[name].part
            if not part.bought:
                continue
            ways = found.setdefault(part.issuer, Ways([], []))
            ways.named.append((name, {bought.origin for bought in part.bought}))
            for bought in part.bought:
                choice = choose(part, bought)
                if isinstance(choice, NOT_SIGNED):
                    continue
                if choice.fact.commitment in self.reached:
                    ways.fed.append((name, choice.fact.commitment))
        return found

    def _new(self, consumers: Iterable[Held]) -> list[Held]:
        """Return what feeds the inputs of `consumers` and was not reached before."""
        known = self._choices.known
        return [known[n] for n in sorted(self._choices.feeding(consumers) - self.reached.keys())]

    async def _read_suppliers_of(self, parts: Sequence[Part]) -> None:
        """Ask every supplier of `parts` for what was not asked before, many at a time."""
        wanted: dict[str, list[Ask]] = {}
        for part in parts:
            for bought in part.bought:
                ask = Ask(product=bought.product, pinned=bought.pinned)
                asked = self._asked.setdefault(bought.origin, set())
                if ask not in asked:
                    asked.add(ask)
                    wanted.setdefault(bought.origin, []).append(ask)
        self._routes.learn(parts, dict(self.suppliers.logs))
        await asyncio.gather(*(self._read_supplier(o, wanted[o]) for o in sorted(wanted)))

    async def _read_supplier(self, origin: str, asks: Sequence[Ask]) -> None:
        """Take one supplier's answers; what goes wrong is its own trouble."""
        async with self._turn:
            if origin == self._node.origin:
                self._read_own(asks)
            else:
                told = await self.suppliers.ask(origin, asks)
                self._choices.know(told.found)
                self._choices.know(self._ended(origin, asks))
                self.troubles |= {(origin, a.product): why for a, why in told.troubles.items()}
                absent = {
                    ask: why for ask, why in told.absent.items() if self._choices.lack(origin, ask)
                }
                self._absent |= {(origin, ask.product): why for ask, why in absent.items()}
        self._pass_over()
        self._tell()

    def _read_own(self, asks: Sequence[Ask]) -> None:
        with self._node.database.read() as session:
            for ask in asks:
                self._choices.know(held.own_parts(session, ask.product, self.own))

    def _ended(self, origin: str, asks: Sequence[Ask]) -> list[Held]:
        """Return what a supplier showed before, and its log says is no longer current."""
        read = self.suppliers.logs.get(origin)
        if read is None or origin in self.suppliers.whole or self._plan.is_offline:
            return []
        vkey = read.address.key.encode()
        with self._node.database.read() as session:
            return [
                each
                for ask in asks
                for each in held.ended(session, read.log, vkey, ask.product, self._choices.known)
            ]

    def _tell(self) -> None:
        self._plan.on_progress(
            Progress(
                tiers=self._tiers,
                suppliers=len(self.suppliers.logs),
                asked=len(self._asked),
                statements=len(self._choices.known),
            )
        )
