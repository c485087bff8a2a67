"""A small real network with one liar in it: six companies over HTTP on loopback, no mocks.

The pack maker buys of the cell maker, the cathode maker and the foil maker; these buy of the mine
and of the refinery. Five of them witness for each other. The cathode maker lies: its app answers
some paths as it likes, or its true log and keys enter what no honest node would sign.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.system import pact_ground

from bcca_node.demo.network import Ground, Member, Network, Seat
from bcca_node.ledger import log
from bcca_node.ledger.copied import LOG, Address
from bcca_node.ledger.copying import Reader
from bcca_node.ledger.publish import Published, publish
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.network.limits import Patience
from bcca_node.network.lines import Item, decode_lines, encode_lines
from bcca_node.packmaker import collect, explain, held
from bcca_node.packmaker.bundling import write_bundle
from bcca_node.packmaker.collect import Collected
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.run import Run, roll_up
from bcca_node.storage import statements
from bcca_node.storage.database import Database
from bcca_node.storage.statements import OwnStatement
from bcca_node.supplier.case_drafts import last_full_year
from bcca_protocol import envelope, footprint, issue, own, period, policy, statement, verify, wire
from bcca_protocol.audit import Report, audit
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import BccaError
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Supplier
from bcca_protocol.keys import Role
from bcca_protocol.proof import TlogProof
from bcca_protocol.results import Gap
from bcca_protocol.statement import (
    PARTIAL_FOOTPRINT,
    FootprintRollUp,
    Method,
    PartialFootprint,
    Producer,
    Product,
)
from bcca_protocol.verify import PAYLOAD_TYPE, VerifiedLog

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
SCRYPT_N = 2**4  # tests are not worth a guess
LITTLE = Patience(connect=1.5, read=0.7, total=1.5, stream=1.5)
BOUND_SECONDS = 30.0  # for a run whose liar uses up all of that, on a machine that is busy
TRIES = 5  # a witness on a machine that is busy may not answer in time

HEAD, HONEST, LIAR, FOIL, MINE, REFINERY = "pack", "cell", "cathode", "foil", "mine", "refinery"
SELLS = {HEAD: (HONEST, LIAR, FOIL), HONEST: (MINE,), LIAR: (REFINERY,), FOIL: (REFINERY,)}
SEATS = [
    Seat(id=name, name=f"{name.title()} maker", suppliers=frozenset(SELLS.get(name, ())))
    for name in (HEAD, HONEST, LIAR, FOIL, MINE, REFINERY)
]
CELL, ORE = "urn:bcca:t:cell", "urn:bcca:t:ore"

T = TypeVar("T")
Lie = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]


class Mouth:
    """The app of a node, with lies on some of its paths; it remembers what it was asked."""

    def __init__(self, honest: ASGIApp) -> None:
        self._honest = honest
        self.lies: dict[str, Lie] = {}
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        self.asked.append(path)
        lie = self.lies.get(path)
        if lie is None:
            await self._honest(scope, receive, send)
        else:
            await lie(self._honest, scope, receive, send)


class Lies:
    """The ways in which an app answers what it should not."""

    @staticmethod
    def answers(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Lie:
        """Answer with these bytes."""

        async def lie(_: ASGIApp, __: Scope, ___: Receive, send: Send) -> None:
            await send(_start(status, headers or {}))
            await send({"type": "http.response.body", "body": body})

        return lie

    @staticmethod
    def changes(change: Callable[[bytes], bytes]) -> Lie:
        """Answer what an honest app would, changed."""

        async def lie(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
            pieces: list[bytes] = []

            async def catch(message: Message) -> None:
                pieces.append(message.get("body", b""))

            await honest(scope, receive, catch)
            await send(_start(200, {}))
            await send({"type": "http.response.body", "body": change(b"".join(pieces))})

        return lie

    @staticmethod
    def in_turn(*lies: Lie | None) -> Lie:
        """Answer each request by the next lie, None being the truth; the last one stays."""
        left = list(lies)

        async def lie(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
            now = left.pop(0) if len(left) > 1 else left[0]
            if now is None:
                await honest(scope, receive, send)
            else:
                await now(honest, scope, receive, send)

        return lie

    @staticmethod
    def hangs() -> Lie:
        """Answer nothing, until the asker goes away."""

        async def lie(_: ASGIApp, __: Scope, receive: Receive, ___: Send) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        return lie

    @staticmethod
    def never_ends(piece: bytes, seconds: float = 0.0) -> Lie:
        """Answer with `piece` again and again, so many seconds apart."""

        async def lie(_: ASGIApp, __: Scope, receive: Receive, send: Send) -> None:
            await send(_start(200, {}))
            leaving = asyncio.ensure_future(_gone(receive))
            while not leaving.done():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(seconds)

        return lie

    @staticmethod
    def breaks_off(body: bytes, announced: int) -> Lie:
        """Announce so many bytes, send fewer, and close the connection."""

        async def lie(_: ASGIApp, __: Scope, ___: Receive, send: Send) -> None:
            await send(_start(200, {"content-length": str(announced)}))
            await send({"type": "http.response.body", "body": body, "more_body": True})
            raise ConnectionAbortedError

        return lie

    @staticmethod
    def redirects(location: str) -> Lie:
        """Send the asker elsewhere."""
        return Lies.answers(b"", 302, {"location": location})


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a run, and of the audit of its bundle."""

    run: Run
    report: Report
    bundle: list[bytes]
    seconds: float

    @property
    def stated(self) -> FootprintRollUp:
        return self.run.statement

    @property
    def total(self) -> Decimal:
        return footprint.total(footprint.decode(self.stated.footprint))

    @property
    def gaps(self) -> list[str]:
        """Return why each input that nothing feeds is missing."""
        resolved = [edge.resolved.gap for edge in self.stated.manifest or ()]
        return [gap.reason for gap in resolved if isinstance(gap, Gap)]


@dataclass(frozen=True, kw_only=True)
class Ways:
    """What each way of checking says of a statement; None: it holds."""

    bulk: str | None
    alone: str | None


@dataclass(kw_only=True)
class Market:
    """The network, who lies in it, and what a test does with both."""

    network: Network
    mouths: dict[str, Mouth] = field(default_factory=dict)
    is_patient: bool = True
    _count: Iterator[int] = field(default_factory=lambda: count(1))
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)

    def __post_init__(self) -> None:
        """Give every app a mouth, and let the honest ones publish."""
        hosts = guard.hosts_of(self.member(HEAD).node.trust.required())
        self._patient, self._impatient = Fetcher(hosts), Fetcher(hosts, patience=LITTLE)
        for fetcher in (self._patient, self._impatient):
            self._runner.run(fetcher.__aenter__())
        for name, member in self.network.members.items():
            self.mouths[name] = Mouth(member.server.config.loaded_app)
            member.server.config.loaded_app = self.mouths[name]
        self.publish(MINE, self.part(MINE, ORE, "5"))
        self.publish(HONEST, self.part(HONEST, CELL, "3", [self.bought(MINE, ORE, "2")]))

    def member(self, name: str) -> Member:
        return self.network.members[name]

    def origin(self, name: str) -> str:
        return self.member(name).node.origin

    def new_urn(self, name: str) -> str:
        """Return a product that nobody has spoken of."""
        return f"urn:bcca:t:{name}-{next(self._count)}"

    def close(self) -> None:
        """Leave no connection open."""
        for fetcher in (self._patient, self._impatient):
            self._runner.run(fetcher.__aexit__())
        self._runner.close()

    def ask(self, work: Callable[[Fetcher], Coroutine[Any, Any, T]], *, hurried: bool = False) -> T:
        """Return what came of asking other nodes, `hurried` with little patience."""
        return self._runner.run(work(self._impatient if hurried else self._patient))

    # What companies say.

    def part(
        self, name: str, product: str, kg: str, inputs: Sequence[Input] = (), **more: Any
    ) -> PartialFootprint:
        """Return a partial footprint of 1 kg whose one own line is `kg` of something at 1."""
        told: dict[str, Any] = {
            "issuer": self.origin(name),
            "nonce": issue.UNSET_NONCE,
            "product": Product(id=product, name=product.rsplit(":", 1)[-1]),
            "producer": Producer(name=f"{name.title()} maker"),
            "period": last_full_year(datetime.now(UTC)),
            "sharing": "public",
            "declared_unit": Amount(amount="1", unit="kg"),
            "output": Amount(amount="1", unit="kg"),
            "method": Method(standards=(), gwp="AR6", recycling="cutOff", electricity="market"),
            "activities": (self.activity("L1", kg),),
            "inputs": tuple(inputs),
            "footprint": Stages(),
        }
        made = PartialFootprint(**{**told, **more})
        return made if "footprint" in more else own.with_footprint(made)

    @staticmethod
    def activity(line: str, kg: str, fossil: str = "1", **more: Any) -> Activity:
        factor = Factor(
            kind="secondary",
            source="test",
            dataset="test",
            geography="GLO",
            unit="kg",
            gas="co2e",
            values=Components(fossil=fossil),
        )
        told: dict[str, Any] = {
            "id": line, "name": f"line {line}", "stage": "production", "kind": "material",
            "amount": kg, "unit": "kg", "amount_kind": "measured", "factor": factor,
        }  # fmt: skip
        return Activity(**{**told, **more})

    def bought(self, seller: str, product: str, amount: str, **more: Any) -> Input:
        told: dict[str, Any] = {
            "id": f"I-{product.rsplit(':', 1)[-1]}", "product": product, "amount": amount,
            "unit": "kg", "stages": "keep", "supplier": self.member(seller).supplier,
        }  # fmt: skip
        return Input(**{**told, **more})

    # How they publish it.

    def publish(self, name: str, *predicates: PartialFootprint) -> list[Published]:
        """Publish as an honest node does."""
        made = publish(self.member(name).node, predicates)
        self._have_published(name)
        return made

    def _have_published(self, name: str) -> None:
        """Have a head cosigned; as a node does by itself, ask again whoever did not answer."""
        told = self.cosigned(name)
        for _ in range(TRIES - 1):
            if told.published:
                return
            told = self.cosigned(name)
        assert told.published

    def cosigned(self, name: str) -> Witnessed:
        node = self.member(name).node
        return self.ask(lambda fetcher: witness(node, fetcher))

    def sold(self, kg: str = "7", *, by: str = LIAR, **more: Any) -> str:
        """Publish a partial footprint of a new product, in order in every way; return its URN."""
        product = self.new_urn(by)
        self.publish(by, self.part(by, product, kg, **more))
        return product

    def payload(self, predicate: PartialFootprint, *, by: str = LIAR) -> bytes:
        """Return what `by` would sign."""
        secret = self.member(by).node.keys.secret
        return wire.encode(statement.of(issue.with_nonce(predicate, secret)))

    def signed(self, payload: bytes, *, by: str = LIAR) -> Envelope:
        return envelope.sign(
            PAYLOAD_TYPE, payload, self.member(by).node.keys.signer(Role.STATEMENT)
        )

    def enter(
        self, made: Envelope, product: str, *, by: str = LIAR, key: int | None = None
    ) -> bytes:
        """Enter any envelope in the true log of `by`, to be served by its true app."""
        [entered] = self.enter_all([(made, product)], by=by, key=key)
        return entered

    def enter_all(
        self, many: Sequence[tuple[Envelope, str]], *, by: str = LIAR, key: int | None = None
    ) -> list[bytes]:
        """Enter any envelopes, each about a product, under one checkpoint."""
        node = self.member(by).node
        index = node.keystore.record(Role.STATEMENT).index if key is None else key
        entries = [verify.entry_of(made, index) for made, _ in many]
        span = last_full_year(datetime.now(UTC))
        with node.database.write() as session:
            first = log.append(session, [entry.encode() for entry in entries])
            rows = [
                OwnStatement(
                    commitment=entry.commitment.hex(),
                    index=at,
                    kind=PARTIAL_FOOTPRINT,
                    product=product,
                    site=None,
                    batch=None,
                    period_start=span.start,
                    period_end=span.end,
                    sharing="public",
                    envelope=made.encode(),
                )
                for at, (entry, (made, product)) in enumerate(
                    zip(entries, many, strict=True), first
                )
            ]
            statements.add(session, rows)
            log.sign(session, node.keys.log_signers)
        self._have_published(by)
        return [row.envelope for row in rows]

    def append(self, *lines: str, by: str = LIAR) -> int:
        """Append any lines to the true log of `by`; return the index of the first."""
        node = self.member(by).node
        with node.database.write() as session:
            first = log.append(session, lines)
            log.sign(session, node.keys.log_signers)
        self._have_published(by)
        return first

    def items(self, product: str, *, of: str = LIAR) -> list[Item]:
        """Return what `of` truly shows of a product."""
        url = f"{self.member(of).url}/statements?product={product}"
        return decode_lines(self.fetch(url))

    def fetch(self, url: str) -> bytes:
        return self.ask(lambda fetcher: fetcher.get(url, limit=10_000_000))

    def loses_patience(self) -> None:
        """Give suppliers little time in every run, until the test ends."""
        self.is_patient = False

    def lies(self, path: str, lie: Lie, *, by: str = LIAR) -> None:
        """Let `by` lie on one path, until the test ends."""
        self.mouths[by].lies[path] = lie

    @staticmethod
    def lines(*items: Item) -> bytes:
        """Return a stream of statements."""
        return b"".join(encode_lines(items))

    def shows(self, *items: Item, by: str = LIAR) -> None:
        """Let `by` show these items, whatever product is asked for."""
        self.lies("/statements", Lies.answers(self.lines(*items)), by=by)

    # How it is checked.

    def both_ways(self, shown: bytes, *, proof_of: str, of: str = LIAR) -> Ways:
        """Return what checking in bulk and alone says of an envelope, over HTTP.

        `proof_of` is the commitment whose proof `of` is asked for.
        """
        read = self.read_log(of)
        proof = TlogProof.parse(
            self.fetch(f"{self.member(of).url}/statements/{proof_of}/proof").decode()
        )
        trusted = self.member(HEAD).node.trust.required()
        head = policy.verify_checkpoint(proof.checkpoint, self.member(of).node.log_key, trusted)
        return Ways(
            bulk=_refusal(lambda: verify.verify_in_bulk(shown, read)),
            alone=_refusal(lambda: verify.verify_alone(shown, proof, head, read)),
        )

    def read_log(self, of: str = LIAR) -> VerifiedLog:
        """Return a log, read and verified over HTTP as the pack maker does."""
        member, head = self.member(of), self.member(HEAD).node
        address = Address(
            origin=member.node.origin,
            key=member.node.log_key,
            url=member.url + LOG,
            introduced_by=None,
        )
        trusted, at = head.trust.required(), head.clock()

        async def read(fetcher: Fetcher) -> VerifiedLog:
            reader = Reader(node=head, fetcher=fetcher, trusted=trusted, at=at)
            return await reader.read(address)

        return self.ask(read)

    def pack(self, *inputs: Input) -> str:
        """Publish a pack of 1 kg own, 2 kg of cells (at 13 each) and `inputs`; return its URN."""
        product = self.new_urn(HEAD)
        cells = self.bought(HONEST, CELL, "2")
        self.publish(HEAD, self.part(HEAD, product, "1", [cells, *inputs]))
        return product

    def run(self, pack: str, *, concurrency: int = 16) -> Outcome:
        """Return what the pack maker's run comes to, and its audit."""
        node = self.member(HEAD).node
        order = Order(product=pack, amount=None, at=node.clock(), concurrency=concurrency)
        began = time.monotonic()
        run = self.ask(lambda fetcher: roll_up(node, fetcher, order), hurried=not self.is_patient)
        seconds = time.monotonic() - began
        bundle = self.bundle(pack)
        report = audit(bundle, node.trust.required())
        return Outcome(run=run, report=report, bundle=bundle, seconds=seconds)

    def bundle(self, pack: str) -> list[bytes]:
        """Return the pack maker's bundle about its newest roll-up."""
        node = self.member(HEAD).node
        return list(write_bundle(node, pack, made=period.text_at(node.clock())))

    def collect(self, pack: str, **plan: Any) -> Collected:
        """Return what the pack maker reads for a pack, and no more."""
        node = self.member(HEAD).node
        with node.database.read() as session:
            log = held.own_log(node, session, node.trust.required(), at=node.clock())
            roots = held.own_parts(session, pack, log)
        told = Plan(period=roots[0].part.period, at=node.clock(), **plan)
        return self.ask(
            lambda fetcher: collect.collect(node, fetcher, roots, told),
            hurried=not self.is_patient,
        )

    def trouble(self, product: str) -> str:
        """Return what goes wrong with `product` of the liar, and with nothing else."""
        found = self.collect(self.pack(self.bought(LIAR, product, "3")))
        names = {each.part.product for each in found.reached.values()}
        assert found.troubles.keys() == {(self.origin(LIAR), product)}
        assert {CELL, ORE} <= names
        return found.troubles[self.origin(LIAR), product]

    def gap(self, product: str, *, seller: str = LIAR, **more: Any) -> str:
        """Return why a pack made of `product` has a gap where that belongs.

        The run goes on without it, in bounded time: the cells are in, the total is incomplete, the
        bundle says so to an auditor, and names what is missing, from whom, and for what.
        """
        pack = self.pack(self.bought(seller, product, "3", **more))
        return self.gap_of(self.run(pack), product, self.origin(seller), {pack})

    def gap_of(
        self, outcome: Outcome, product: str, origin: str, needed_by: set[str], total: str = "27"
    ) -> str:
        """Return why `product` is the one thing missing in `outcome`; the rest comes to `total`."""
        [reason] = outcome.gaps
        [missing] = [each for each in outcome.report.unverified if each.startswith("missing: ")]
        assert outcome.seconds < BOUND_SECONDS
        assert outcome.stated.incomplete
        assert outcome.report.incomplete
        assert outcome.total == outcome.report.total == Decimal(total)
        assert self.dependents(outcome, product, origin) == needed_by
        assert all(each in missing for each in (product, origin, reason))
        assert any(each in missing for each in needed_by)
        assert wire.showable(reason) == reason
        return reason

    def dependents(self, outcome: Outcome, product: str, origin: str | None = None) -> set[str]:
        """Return the products whose value needs `product` of the liar, or of `origin`."""
        origin = origin or self.origin(LIAR)
        found = explain.dependents(outcome.run.sum.totals, product, origin)
        return {part.product for part in found}


@contextmanager
def founded(folder: Path, tables: Path) -> Iterator[Market]:
    for seat in SEATS:
        (data := folder / "nodes" / seat.id).mkdir(mode=0o700, parents=True)
        shutil.copy(tables, data / "node.db")
    ground = Ground(
        folder=folder / "nodes", aside=folder / "aside", passphrase=PASSPHRASE, scrypt_n=SCRYPT_N
    )
    with Network(ground, SEATS, head=HEAD) as network:
        market = Market(network=network)
        yield market
        market.close()


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the tables of a node and nothing in them: to make them takes long."""
    path = tmp_path_factory.mktemp("tables") / "node.db"
    Database(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def _market(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Iterator[Market]:
    with founded(tmp_path_factory.mktemp("market"), tables) as market:
        yield market


@pytest.fixture
def market(_market: Market) -> Iterator[Market]:
    """The network that tests share, each with products of its own; lies end with the test."""
    yield _market
    _market.is_patient = True
    for mouth in _market.mouths.values():
        mouth.lies.clear()
        mouth.asked.clear()


@pytest.fixture
def own_market(tmp_path: Path, tables: Path) -> Iterator[Market]:
    """A network that a test may ruin."""
    with founded(tmp_path, tables) as market:
        yield market


@pytest.fixture(scope="session")
def pact(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Iterator[pact_ground.Ground]:
    """The ground that all tests of PACT share; nodes on it are of a name each."""
    with pact_ground.founded(tmp_path_factory.mktemp("pact"), tables) as ground:
        yield ground


@pytest.fixture
def lies() -> type[Lies]:
    """The ways in which an app answers what it should not."""
    return Lies


@pytest.fixture
def supplier() -> Callable[..., Supplier]:
    """Name a supplier: the origin of a member, and any key."""

    def name(member: Member, key: str | None = None) -> Supplier:
        told = member.supplier
        return told if key is None else msgspec.structs.replace(told, key=key)

    return name


def _start(status: int, headers: Mapping[str, str]) -> Message:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _refusal(check: Callable[[], object]) -> str | None:
    try:
        check()
    except BccaError as error:
        return f"{type(error).__name__}: {error}"
    return None
