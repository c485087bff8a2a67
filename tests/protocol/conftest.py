"""A small network in memory: companies with keys and logs, witnesses, statements, and lies."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import pytest

from bcca_protocol import (
    bundle,
    checkpoint,
    footprint,
    issue,
    manifest,
    merkle,
    own,
    period,
    policy,
    statement,
    verify,
)
from bcca_protocol.__main__ import main
from bcca_protocol.aggregate import Totals, aggregate
from bcca_protocol.bundle import Body, Header, RuleSet, StatementLine
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.choices import StandIns, nobody
from bcca_protocol.columns import Way
from bcca_protocol.cumulative import is_roll_up, leaf
from bcca_protocol.demand import Demand, demand
from bcca_protocol.entry import Genesis, KeyAdd, Status, StatusEntry, status_handle
from bcca_protocol.envelope import Envelope, pae
from bcca_protocol.exemption import cut_off, statements_in
from bcca_protocol.footprint import Components, Footprint, Stages
from bcca_protocol.graph import Chooser, Graph, Leaf, Offer, Term, chooser, connect
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval, Supplier
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.manifest import Frame
from bcca_protocol.note import Note
from bcca_protocol.partial import Part
from bcca_protocol.period import Span
from bcca_protocol.policy import Policy, VerifiedCheckpoint
from bcca_protocol.proof import TlogProof
from bcca_protocol.quantity import plain
from bcca_protocol.results import ReadLog
from bcca_protocol.rules import RuleSet as Rules
from bcca_protocol.rules import neutral
from bcca_protocol.statement import FootprintRollUp, Method, PartialFootprint, Producer, Product
from bcca_protocol.verify import Signed, Verified, VerifiedLog
from bcca_protocol.wire import b64, unb64

AT = 1_780_000_000
PERIOD = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")


@cache
def signer(name: str, use: str, algorithm: Algorithm = Algorithm.ED25519) -> SeedSigner:
    """Return the signer that a name and a use always get."""
    seed = hashlib.sha256(f"{name} {use}".encode()).digest()
    return SeedSigner(name=name, algorithm=algorithm, seed=seed)


@cache
def parsed(text: str) -> Policy:
    """Return a policy, each read once."""
    return Policy.parse(text)


def witness(number: int) -> SeedSigner:
    """Return the signer of one of the test's witnesses."""
    return signer(f"witness{number}.example", "witness", Algorithm.ED25519_COSIGNATURE)


@dataclass(kw_only=True)
class Company:
    """One organisation: its keys and its log; entry 2 adds its statement key."""

    origin: str
    lines: list[bytes] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the log with genesis, log key and statement key."""
        self.log_key = signer(self.origin, "log")
        self.statement_key = signer(self.origin, "statement")
        self.recovery_key = signer(self.origin, "recovery")
        recovery_hash = hashlib.sha256(self.recovery_key.key.public).digest()
        self.enter(Genesis(recovery_hash=recovery_hash).encode())
        self.enter(KeyAdd(role=Role.LOG, key=self.log_key.key).encode())
        self.enter(KeyAdd(role=Role.STATEMENT, key=self.statement_key.key).encode())

    @property
    def supplier(self) -> Supplier:
        """How a customer's statement names this company."""
        return Supplier(origin=self.origin, key=self.log_key.key.encode())

    def enter(self, line: str) -> int:
        """Append one entry; return its index."""
        self.lines.append(line.encode())
        return len(self.lines) - 1

    def issue(self, predicate: PartialFootprint) -> bytes:
        """Sign and enter a predicate as it is; return the envelope."""
        envelope = issue.issue(predicate, self.statement_key, b"secret of " + self.origin.encode())
        return self.enter_envelope(envelope)

    def enter_envelope(self, envelope: Envelope, key_index: int = 2) -> bytes:
        """Enter any envelope; return its bytes."""
        self.enter(verify.entry_of(envelope, key_index).encode())
        self.envelopes.append(envelope.encode())
        return self.envelopes[-1]

    def index_of(self, envelope: bytes) -> int:
        """Return the index of the statement's entry."""
        entry = verify.entry_of(Envelope.parse(envelope), 2).encode().encode()
        return self.lines.index(entry)

    def note(
        self, size: int | None = None, witnesses: Sequence[int] = (1, 2, 3, 4, 5), at: int = AT
    ) -> Note:
        """Return a checkpoint over the first `size` entries, signed and cosigned."""
        lines = self.lines[: len(self.lines) if size is None else size]
        root = merkle.Tree(map(merkle.leaf_hash, lines)).root()
        head = Checkpoint(origin=self.origin, size=len(lines), root=root)
        signed = checkpoint.sign_checkpoint(head, [self.log_key])
        cosigned = [checkpoint.cosign(head.encode(), witness(n), at=at + n) for n in witnesses]
        return signed.with_signatures(cosigned)

    def proof(self, index: int, size: int | None = None) -> TlogProof:
        """Return the inclusion proof of one entry."""
        note = self.note(size)
        tree = merkle.Tree(map(merkle.leaf_hash, self.lines))
        end = len(self.lines) if size is None else size
        path = merkle.prove_inclusion(index, end, tree.subtree)
        return TlogProof(index=index, path=path, checkpoint=note.encode(), extra=None)


@dataclass(kw_only=True)
class Market:
    """Companies, a policy with five witnesses of which four must agree, and shortcuts."""

    companies: dict[str, Company] = field(default_factory=dict)

    def company(self, origin: str) -> Company:
        """Return the company of that origin, founded at first use."""
        return self.companies.setdefault(origin, Company(origin=origin))

    @property
    def policy(self) -> Policy:
        """Return the policy that knows every company."""
        return parsed(self.policy_text())

    def policy_text(self, quorum: int = 4, logs: Sequence[str] | None = None) -> str:
        """Return a policy as text, by default with every company's log."""
        known = self.companies.values() if logs is None else map(self.company, logs)
        lines = [f"log {c.log_key.key.encode()}" for c in known]
        lines += [f"witness w{n} {witness(n).key.encode()}" for n in range(1, 6)]
        return "\n".join([*lines, f"group all-five {quorum} w1 w2 w3 w4 w5", "quorum all-five", ""])

    def head(self, company: Company) -> VerifiedCheckpoint:
        """Return the company's newest checkpoint, verified."""
        return policy.verify_checkpoint(company.note().encode(), company.log_key.key, self.policy)

    def log(self, company: Company) -> VerifiedLog:
        """Return the company's whole log, verified."""
        return verify.verify_log(self.head(company), company.lines)

    def facts(self) -> list[Verified[Part]]:
        """Return every partial footprint of every company, verified in bulk."""
        found: list[Verified[Part]] = []
        for company in self.companies.values():
            log = self.log(company)
            for envelope in company.envelopes:
                fact = verify.verify_in_bulk(envelope, log)
                if isinstance(fact.fact, Part):
                    found.append(fact)  # type: ignore[arg-type]  # narrowed by its fact
        return found

    def signed(self) -> list[Signed[Part]]:
        """Return every partial footprint of every company, verified alone."""
        found: list[Signed[Part]] = []
        for company in self.companies.values():
            log = self.log(company)
            for envelope in company.envelopes:
                index = verify.verify_in_bulk(envelope, log).index
                fact = verify.verify_alone(envelope, company.proof(index), self.head(company), log)
                if isinstance(fact.fact, Part):
                    found.append(fact)  # type: ignore[arg-type]  # narrowed by its fact
        return found


def factor(fossil: str, unit: str = "kg", **more: Any) -> Factor:
    """Return a secondary factor of so much fossil kg CO2e per unit."""
    fields = {
        "kind": "secondary", "source": "test", "dataset": "test", "geography": "GLO",
        "unit": unit, "gas": "co2e", "values": Components(fossil=fossil),
    }  # fmt: skip
    return msgspec.convert({**fields, **more}, Factor)


def activity(line: str, amount: str, fossil: str, unit: str = "kg", **more: Any) -> Activity:
    """Return an own line."""
    fields: dict[str, Any] = {
        "id": line, "name": f"line {line}", "stage": "production", "kind": "material",
        "amount": amount, "unit": unit, "amount_kind": "calculated", "factor": factor(fossil, unit),
    }  # fmt: skip
    return Activity(**{**fields, **more})


def bought(
    line: str, company: Company, product: str, amount: str, unit: str = "kg", **more: Any
) -> Input:
    """Return an input line."""
    fields: dict[str, Any] = {
        "id": line, "product": product, "supplier": company.supplier, "amount": amount,
        "unit": unit, "stages": "keep",
    }  # fmt: skip
    return Input(**{**fields, **more})


def part(
    company: Company,
    product: str,
    activities: Sequence[Activity] = (),
    inputs: Sequence[Input] = (),
    **more: Any,
) -> PartialFootprint:
    """Return a partial footprint whose own sums are right unless `footprint` is given."""
    fields: dict[str, Any] = {
        "issuer": company.origin,
        "nonce": issue.UNSET_NONCE,
        "product": Product(id=product, name=product.rsplit(":", 1)[-1]),
        "producer": Producer(name=company.origin),
        "period": PERIOD,
        "sharing": "public",
        "declared_unit": Amount(amount="1", unit="kg"),
        "output": Amount(amount="1", unit="kg"),
        "method": Method(
            standards=("ISO 14067",), gwp="AR6", recycling="cutOff", electricity="market"
        ),
        "activities": tuple(activities),
        "inputs": tuple(inputs),
        "footprint": Stages(),
    }
    made = PartialFootprint(**{**fields, **more})
    return made if "footprint" in more else own.with_footprint(made)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `bcca-verify` in this process; return exit status, stdout, stderr."""

    def with_arguments(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return with_arguments


@pytest.fixture
def market() -> Market:
    """A network with nobody in it yet."""
    return Market()


# What the roll-up's tests add: supply chains in which every product has a short name.

SPAN = Span(PERIOD.start, PERIOD.end)


def urn(name: str) -> str:
    """Return the URN of the product of that short name."""
    return f"urn:test:{name}"


def commitment_of(envelope: bytes) -> str:
    """Return the name of a statement."""
    found = Envelope.parse(envelope)
    return hashlib.sha256(pae(found.payload_type, found.payload)).hexdigest()


def predicate_of(envelope: bytes) -> Any:
    """Return what an envelope says."""
    return statement.decode(Envelope.parse(envelope).payload).predicate


@dataclass(frozen=True, kw_only=True)
class Added:
    """A supply chain added up, asked by short names."""

    totals: Totals

    @property
    def graph(self) -> Graph:
        """Return what feeds what."""
        return self.totals.graph

    def index(self, name: str) -> int:
        """Return the number of the one part of that product."""
        (found,) = (i for i, part in enumerate(self.graph.parts) if part.product == urn(name))
        return found

    def footprint(self, name: str, way: Way = "market") -> Footprint:
        """Return the cumulative footprint of one declared unit."""
        return self.totals.footprint(self.index(name), way)

    def total(self, name: str, way: Way = "market") -> Decimal:
        """Return kg CO2e of one declared unit, excluding uptake."""
        return footprint.total(self.footprint(name, way))

    def tally(self, name: str) -> Mapping[str, Decimal]:
        """Return the sums of absolute contributions of one declared unit."""
        return self.totals.tally(self.index(name))

    def missing(self, name: str) -> Mapping[str, str]:
        """Return why which lines of the part are not fed."""
        return self.graph.missing[self.index(name)]

    def needed(self, name: str, amount: str = "1") -> Demand:
        """Return what so much of a product needs."""
        return demand(self.totals, self.index(name), Decimal(amount))


@dataclass(kw_only=True)
class Chain(Market):
    """A market in which product `cell` is made by `cell.example`, if nobody else is named.

    Whoever adds up follows `rules`, and puts in what `stand_ins` states where nothing is signed.
    """

    rules: Rules = field(default_factory=neutral)
    stand_ins: StandIns = nobody

    def maker(self, name: str, by: str | None = None) -> Company:
        """Return the company that makes a product."""
        return self.company(by or f"{name.lower()}.example")

    def sells(
        self, name: str, kg: str = "0", *inputs: Input, by: str | None = None, **more: Any
    ) -> str:
        """Issue a part with one own line of so many kg CO2e; return its commitment."""
        company = self.maker(name, by)
        lines = more.pop("activities", (activity("own", "1", kg),))
        return commitment_of(company.issue(part(company, urn(name), lines, inputs, **more)))

    def buys(self, name: str, amount: str = "1", *, by: str | None = None, **more: Any) -> Input:
        """Return an input line; its id is the product's name, if no `line` is given."""
        line = more.pop("line", name)
        return bought(line, self.maker(name, by), urn(name), amount, **more)

    def status(self, name: str, commitment: str, what: Status) -> None:
        """Enter what became of a statement."""
        company = self.maker(name)
        (envelope,) = (e for e in company.envelopes if commitment_of(e) == commitment)
        nonce = unb64(predicate_of(envelope).nonce, "nonce")
        handle = status_handle(nonce, bytes.fromhex(commitment))
        company.enter(StatusEntry(handle=handle, status=what, successor=None).encode())

    def wired(self, terms: Sequence[Sequence[Term]]) -> Graph:
        """Return a graph wired by hand: copies p0, p1, ... of one part of 1 kg CO2e a kg."""
        if not self.companies:
            self.sells("p", "1")
        (source,) = self.facts()
        parts = tuple(
            msgspec.structs.replace(
                source.fact, commitment=f"{i:064x}", name=f"p{i}", product=urn(f"p{i}")
            )
            for i in range(len(terms))
        )
        return Graph(
            parts=parts,
            sources=(source,) * len(parts),
            terms=tuple(map(tuple, terms)),
            missing=({},) * len(parts),
            index={part.commitment: i for i, part in enumerate(parts)},
        )

    def impostor(self, name: str) -> Supplier:
        """Return the maker of a product as one names it who does not know its log key."""
        company = self.maker(name)
        return Supplier(
            origin=company.origin, key=signer(company.origin, "another log").key.encode()
        )

    def introduced(self) -> list[Verified[Part]]:
        """Return every part as one finds it whose policy knows no log."""
        found: list[Verified[Part]] = []
        for company in self.companies.values():
            log = verify.verify_log(self.head(company), company.lines, introduced=True)
            signed = (verify.verify_signed(each, log) for each in company.envelopes)
            found += filter(verify.is_part, signed)
        return found

    def leaves(self) -> list[Leaf]:
        """Return every roll-up that was published, as what may feed an input."""
        found: list[Leaf] = []
        for company in self.companies.values():
            log = self.log(company)
            signed = [verify.verify_signed(each, log) for each in company.envelopes]
            found += [leaf(each) for each in signed if is_roll_up(each)]
        return found

    def rule(self, offers: Iterable[Offer]) -> Chooser:
        """Return the rule of SPEC 9.1 for a root of the usual period."""
        return chooser(offers, SPAN, self.rules, self.stand_ins)

    def graph(self, facts: Iterable[Offer] | None = None, choose: Chooser | None = None) -> Graph:
        """Return what feeds what, by the rule of SPEC 9.1 if no other is given."""
        here: list[Offer] = [*self.facts(), *self.leaves()]
        found = here if facts is None else list(facts)
        return connect(found, choose or self.rule(found))

    def added(self, *roots: str, graph: Graph | None = None) -> Added:
        """Add up the products named and all upstream of them; by default every product."""
        whole = graph or self.graph()
        numbers = [i for i, part in enumerate(whole.parts) if part.product in map(urn, roots)]
        return Added(totals=aggregate(whole, numbers if roots else None))

    def total(self, name: str) -> str:
        """Return kg CO2e of one declared unit, everything upstream included, as text."""
        return plain(self.added(name).total(name))

    def frame(self, made_of: PartialFootprint, origins: Iterable[str]) -> Frame:
        """Return what a roll-up of a part says beside its numbers; logs are read as they are."""
        read = [(origin, self.company(origin).lines) for origin in sorted(origins)]
        return Frame(
            issuer=made_of.issuer,
            product=made_of.product,
            producer=made_of.producer,
            site=made_of.site,
            batch=made_of.batch,
            method=made_of.method,
            sharing=made_of.sharing,
            period=made_of.period,
            reference_date=period.text_at(AT + 2),  # four of five witnesses have cosigned by then
            logs=tuple(
                ReadLog(
                    origin=origin,
                    size=str(len(lines)),
                    root=b64(merkle.Tree(map(merkle.leaf_hash, lines)).root()),
                )
                for origin, lines in read
            ),
            rules=self.rules,
        )

    def rolled_up(self, name: str, amount: str = "1") -> FootprintRollUp:
        """Return the roll-up of a product, neither issued nor entered."""
        added = self.added(name)
        root = added.graph.parts[added.index(name)]
        company = self.company(root.issuer)
        (made_of,) = (e for e in company.envelopes if commitment_of(e) == root.commitment)
        issuers = {added.graph.parts[i].issuer for i in added.totals.vectors} - {""}
        frame = self.frame(predicate_of(made_of), issuers)
        needed = added.needed(name, amount)
        envelopes = (each for one in self.companies.values() for each in one.envelopes)
        cut = cut_off(added.totals, needed, self.rules.cut_off_percent, statements_in(envelopes))
        return manifest.state(cut.totals, needed, frame)

    def publish(self, rolled: FootprintRollUp) -> str:
        """Enter a roll-up in its issuer's log, whatever it says; return its commitment."""
        company = self.company(rolled.issuer)
        envelope = issue.issue(rolled, company.statement_key, b"secret of the pack maker")
        return commitment_of(company.enter_envelope(envelope))

    def evidence(
        self, rolled: FootprintRollUp, *, truth: FootprintRollUp | None = None
    ) -> tuple[Header, list[Body]]:
        """Publish a roll-up; return header and body of its bundle, logs as they are then.

        It carries the statements that `truth`, if given, was made from.
        """
        commitment = self.publish(rolled)
        edges = (truth or rolled).manifest or ()
        named = {commitment, *(edge.consumer for edge in edges)}
        named |= {edge.resolved.commitment for edge in edges if edge.resolved.commitment}
        named |= self._commitments(rolled.issuer, rolled.product.id)
        found = [
            (company, company.index_of(envelope), envelope)
            for _, company in sorted(self.companies.items())
            for envelope in company.envelopes
            if commitment_of(envelope) in named
        ]
        body: list[Body] = [RuleSet.of(self.rules)]
        body += [self.log_line(origin) for origin in sorted({c.origin for c, _, _ in found})]
        body += [
            StatementLine(origin=company.origin, index=str(index), envelope=b64(envelope))
            for company, index, envelope in found
        ]
        header = Header(
            format=bundle.FORMAT,
            maker=rolled.issuer,
            product=rolled.product.id,
            roll_up=commitment,
            made="2026-06-01T00:00:00Z",
        )
        return header, body

    def log_line(self, origin: str) -> bundle.LogLine:
        """Return a company's log as a bundle carries it."""
        company = self.company(origin)
        key = company.log_key.key.encode()
        return bundle.log_line(origin, key, company.note(), company.lines)

    def sealed(self, header: Header, body: Iterable[Body]) -> list[bytes]:
        """Return the lines of a bundle, sealed by its maker."""
        maker = self.company(header.maker)
        return list(bundle.write(header, body, maker.statement_key, 2))

    def bundle(self, name: str, amount: str = "1") -> list[bytes]:
        """Roll a product up, publish it; return the lines of its bundle."""
        return self.sealed(*self.evidence(self.rolled_up(name, amount)))

    def _commitments(self, origin: str, product: str) -> set[str]:
        envelopes = self.company(origin).envelopes
        found = (e for e in envelopes if isinstance(predicate_of(e), PartialFootprint))
        return {commitment_of(e) for e in found if predicate_of(e).product.id == product}


@pytest.fixture
def chain() -> Chain:
    """A market of supply chains with nobody in it yet."""
    return Chain()


@pytest.fixture
def line() -> Callable[..., Activity]:
    """Write an own line: id, amount, fossil kg CO2e per unit, unit, and whatever else."""
    return activity


@pytest.fixture
def per() -> Callable[..., Factor]:
    """Write a factor: fossil kg CO2e, unit, and whatever else."""
    return factor


@pytest.fixture
def signs() -> Callable[..., SeedSigner]:
    """Return the signer that a name and a use always get."""
    return signer


@pytest.fixture
def cosigns() -> Callable[[int], SeedSigner]:
    """Return the signer of one of the five witnesses."""
    return witness
