"""A small network in memory: companies with keys and logs, witnesses, statements, and lies."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from bcca_protocol import checkpoint, issue, merkle, own, policy, verify
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import Genesis, KeyAdd
from bcca_protocol.envelope import Envelope
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval, Supplier
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.note import Note
from bcca_protocol.partial import Part
from bcca_protocol.policy import Policy, VerifiedCheckpoint
from bcca_protocol.proof import TlogProof
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product
from bcca_protocol.verify import Signed, Verified, VerifiedLog

AT = 1_780_000_000
PERIOD = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")


def signer(name: str, use: str, algorithm: Algorithm = Algorithm.ED25519) -> SeedSigner:
    """Return the signer that a name and a use always get."""
    seed = hashlib.sha256(f"{name} {use}".encode()).digest()
    return SeedSigner(name=name, algorithm=algorithm, seed=seed)


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
        recovery = signer(self.origin, "recovery").key.public
        self.enter(Genesis(recovery_hash=hashlib.sha256(recovery).digest()).encode())
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

    def note(self, size: int | None = None, witnesses: Sequence[int] = (1, 2, 3, 4, 5)) -> Note:
        """Return a checkpoint over the first `size` entries, signed and cosigned."""
        lines = self.lines[: len(self.lines) if size is None else size]
        root = merkle.Tree(map(merkle.leaf_hash, lines)).root()
        head = Checkpoint(origin=self.origin, size=len(lines), root=root)
        signed = checkpoint.sign_checkpoint(head, [self.log_key])
        cosigned = [checkpoint.cosign(head.encode(), witness(n), at=AT + n) for n in witnesses]
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
        return Policy.parse(self.policy_text())

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
def market() -> Market:
    """A network with nobody in it yet."""
    return Market()
