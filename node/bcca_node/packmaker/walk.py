"""A walk upstream: round by round, the statements of one tier name the suppliers of the next.

Rounds, not arrival, decide who introduces whom, so that the result is the same whatever the
concurrency. A supplier that is down, or lies, stops nobody else: its products are missing, with the
reason.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from bcca_node.ledger.copying import Reader
from bcca_node.packmaker import held
from bcca_node.packmaker.circle import Circle
from bcca_node.packmaker.ground import Ground, Means
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.plan import Plan, Progress
from bcca_node.packmaker.stock import Stock, Terms
from bcca_node.packmaker.suppliers import Suppliers
from bcca_node.packmaker.told import Ask, Told, shown
from bcca_node.storage import feed, seen
from bcca_node.storage.feed import Ways
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol.choices import Choice, Chooser, Missing
from bcca_protocol.partial import Bought, Part
from bcca_protocol.substituted import Substituted

MAX_ROUNDS = 200  # tiers; the deepest chain in a published inventory has 15


class Walk:
    """One traversal: what is known, what was asked, and with whom something went wrong."""

    def __init__(self, means: Means, plan: Plan, ground: Ground | None = None) -> None:
        """Begin with the policy and partners, or on the `ground` of the walk before."""
        self._means, self._node, self.plan = means, means.node, plan
        self.trusted = self._node.trust.required()
        self.circle = Circle.of(self._node)
        self.ground = ground or Ground.new(self._node, plan, self.circle)
        self.choices = self.ground.choices
        self._stock = Stock(self._node.database)
        self.suppliers = self._suppliers()
        self._turn = asyncio.Semaphore(plan.concurrency)
        self.tiers = 0
        self.changed: frozenset[str] | None = None
        self.roots: Sequence[Held] = ()
        self.reached: dict[str, Held] = {}
        self.troubles: dict[tuple[str, str], str] = {}
        self._absent: dict[tuple[str, str], str] = {}
        with self._node.database.read() as session:
            self.own = held.own_log(self._node, session, self.trusted, at=plan.at)

    def _suppliers(self) -> Suppliers:
        plan, means = self.plan, self._means
        reader = Reader(
            node=means.node,
            fetcher=means.fetcher,
            trusted=self.trusted,
            at=plan.at,
            max_age=plan.max_age,
            before=self.ground.logs,
        )
        terms = Terms(
            stock=self._stock,
            hands=means.hands,
            seconds=plan.supplier_seconds,
            is_offline=plan.is_offline,
        )
        return Suppliers(reader, self.circle, terms, self.ground)

    @property
    def is_clean(self) -> bool:
        """Whether every input is fed, by a current statement that its own supplier showed."""
        suppliers, others = self.suppliers, self.ground.asked.keys() - {self._node.origin}
        is_amiss = self.troubles or self._absent or suppliers.copied or suppliers.handed_on
        return (
            self.choices.is_plain
            and not is_amiss
            and not self.plan.is_offline
            and self.tiers < MAX_ROUNDS
            and others <= suppliers.whole
        )

    async def follow(self, roots: Sequence[Held]) -> None:
        """Read tier after tier, until a tier names nothing new."""
        self.roots, tier = roots, list(roots)
        self.choices.know(tier)
        while tier and self.tiers < MAX_ROUNDS:
            self.tiers += 1
            self.reached |= {each.part.commitment: each for each in tier}
            await self._read_suppliers_of([each.part for each in tier if each.part.bought])
            # An answer may put another statement first for a tier that was done.
            tier = self._new(tier)
            if not tier and self.choices.settle():
                tier = self._new(self.reached.values())

    async def prove(self, roots: Sequence[Held]) -> None:
        """Check the own signature of all that was reached; without what fails, follow once more.

        What did not change was checked in the walk before.
        """
        while refused := await self._refused():
            self.changed = None
            for name, why in refused.items():
                part = self.choices.drop(name).part
                self.troubles[part.issuer, part.product] = shown(why)
            self.reached.clear()
            self.tiers = 0
            await self.follow(roots)
        await asyncio.to_thread(self._stock.remember)

    async def _refused(self) -> dict[str, str]:
        """Return which of what was reached its own key did not sign, and why, by commitment."""
        kept: dict[str, list[Held]] = {}
        for each in self._news():
            if not each.envelope:
                kept.setdefault(each.part.issuer, []).append(each)
        found = await asyncio.gather(
            *(
                self._stock.unproven(self.suppliers.logs[origin], kept[origin], self._means.hands)
                for origin in sorted(kept)
            )
        )
        return {name: why for each in found for name, why in each.items()}

    def _news(self) -> Iterable[Held]:
        """Return what was reached and is not as the walk before left it."""
        if self.changed is None:
            return self.reached.values()
        return [self.reached[name] for name in sorted(self.changed)]

    def beside(self) -> Iterator[Part]:
        """Yield what was read, feeds nothing and claims certificates, as it stands now."""
        for name in sorted(self.choices.known.keys() - self.reached.keys()):
            known = self.choices.known[name]
            if known.part.claims and known.signed.is_current:
                yield known.part

    def cached(self) -> dict[str, int]:
        """Return whose logs were read as this node holds them, and how many seconds old."""
        if not self.plan.is_offline:
            return {}
        logs = self.suppliers.logs
        return {o: max(0, self.plan.at - logs[o].log.head.time) for o in sorted(logs)}

    def chooser(self) -> Chooser:
        """Return what feeds each input of what was reached; a missing one says why."""
        choose, reached = self.choices.choose, self.reached
        troubles, absent = self.troubles, self._absent
        if self.choices.is_plain and self.tiers < MAX_ROUNDS:
            return choose  # all that it names was reached

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
            for name, each in ((each.part.commitment, each) for each in self._news())
            if each.envelope and each.part.issuer != self._node.origin
        ]
        ways = self._ways()
        with self._node.database.write() as session:
            seen.put_statements(session, kept)
            feed.put_walked(session, ways)

    def _ways(self) -> dict[str, Ways]:
        """Return by issuer what feeds, and whom name, the statements that were reached."""
        reached, fed, found = self.reached, self.choices.fed, dict[str, Ways]()
        issuers = {each.part.issuer for each in self._news()}
        for name, (_, part, _) in reached.items():
            if not part.bought or part.issuer not in issuers:
                continue
            ways = found.get(part.issuer)
            if ways is None:
                ways = found[part.issuer] = Ways([], [])
            origins = dict.fromkeys([bought.origin for bought in part.bought])
            ways.named.extend([(each, name) for each in origins])
            ways.fed.extend([(each, name) for each in fed.get(name, ()) if each in reached])
        return found

    def _new(self, consumers: Iterable[Held]) -> list[Held]:
        """Return what feeds the inputs of `consumers` and was not reached before."""
        known = self.choices.known
        return [known[n] for n in sorted(self.choices.feeding(consumers) - self.reached.keys())]

    async def _read_suppliers_of(self, parts: Sequence[Part]) -> None:
        """Ask every supplier of `parts` for what was not asked before, many at a time."""
        wanted: dict[str, list[Ask]] = {}
        for part in parts:
            for bought in part.bought:
                ask = Ask(product=bought.product, pinned=bought.pinned)
                asked = self.ground.asked.setdefault(bought.origin, set())
                if ask not in asked:
                    asked.add(ask)
                    wanted.setdefault(bought.origin, []).append(ask)
        self.ground.routes.learn(parts, dict(self.suppliers.logs))
        await asyncio.gather(*(self._read_supplier(o, wanted[o]) for o in sorted(wanted)))

    async def _read_supplier(self, origin: str, asks: Sequence[Ask]) -> None:
        """Take one supplier's answers; what goes wrong is its own trouble."""
        async with self._turn:
            if origin == self._node.origin:
                self.choices.know(self._own(asks))
            else:
                told = await self.suppliers.ask(origin, asks)
                self.choices.know(told.found)
                self.choices.know(self._ended(origin, asks))
                self.troubles |= {(origin, a.product): why for a, why in told.troubles.items()}
                absent = {
                    ask: why for ask, why in told.absent.items() if self.choices.lack(origin, ask)
                }
                self._absent |= {(origin, ask.product): why for ask, why in absent.items()}
        self._means.pass_over()
        self._tell()

    async def ask_again(self, origin: str, before: Self) -> Told | None:
        """Return what a supplier tells of all that it was asked; None if that is as `before`.

        Of this node's own statements all is told.
        """
        asks = sorted(self.ground.asked[origin], key=lambda each: (each.product, each.pinned or ""))
        async with self._turn:
            if origin == self._node.origin:
                return Told(self.ground.count, found=self._own(asks))
            read = before.suppliers.logs[origin]
            return await self.suppliers.ask_again(origin, asks, read)

    def _own(self, asks: Sequence[Ask]) -> list[Held]:
        products = sorted({ask.product for ask in asks})
        with self._node.database.read() as session:
            return [e for each in products for e in held.own_parts(session, each, self.own)]

    def _ended(self, origin: str, asks: Sequence[Ask]) -> list[Held]:
        """Return what a supplier showed before, and its log says is no longer current."""
        read = self.suppliers.logs.get(origin)
        if read is None or origin in self.suppliers.whole or self.plan.is_offline:
            return []
        vkey = read.address.key.encode()
        with self._node.database.read() as session:
            return [
                each
                for ask in asks
                for each in held.ended(session, read.log, vkey, ask.product, self.choices.known)
            ]

    def _tell(self) -> None:
        self.plan.on_progress(
            Progress(
                tiers=self.tiers,
                suppliers=len(self.suppliers.logs),
                asked=len(self.ground.asked),
                statements=len(self.choices.known),
            )
        )
