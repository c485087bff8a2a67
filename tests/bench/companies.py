"""Companies with keys, logs and statements, made up in bulk for the benches beside this file.

Names, digits and the number of lines are those of a real pack's inventory; every value is made up
by hashing. What repeats in real data repeats here: the factors are those of a few data sets, and
no two amounts are alike.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bcca_protocol import checkpoint, issue, merkle, own, policy, proof, verify
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import Entry, Genesis, KeyAdd
from bcca_protocol.footprint import Components, Stage, Stages
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval, Supplier
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.merkle import Tree
from bcca_protocol.policy import Policy
from bcca_protocol.quantity import Unit
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product, Site

AT: Final = 1_780_000_000
STATEMENT_KEY: Final = 2  # the entry that adds it
PERIOD: Final = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
METHOD: Final = Method(
    standards=("ISO 14067:2018",), gwp="AR6", recycling="cutOff", electricity="market"
)
STAGES: Final[tuple[Stage, ...]] = ("rawMaterial", "production", "distribution", "endOfLife")
SOURCE: Final = (
    "made up, as long as what the pack of the demo names: its tool, institute and licence"
)
PLACES: Final = ("GLO", "RoW", "CN", "RER")
UNITS: Final[dict[str, Unit]] = {
    "market for nickel sulfate": "kg",
    "market for cobalt sulfate": "kg",
    "market for manganese sulfate": "kg",
    "market for lithium carbonate": "kg",
    "market for aluminium, wrought alloy": "kg",
    "market for copper, cathode": "kg",
    "market for sheet rolling, copper": "kg",
    "market for N-methyl-2-pyrrolidone": "kg",
    "market for neutralising agent, sodium hydroxide-equivalent": "kg",
    "market for polyethylene terephthalate, granulate, amorphous": "kg",
    "market for lithium hexafluorophosphate": "kg",
    "market for ethylene carbonate": "kg",
    "market for carbon black": "kg",
    "market for injection moulding": "kg",
    "market for ammonia, anhydrous, liquid": "kg",
    "market for chemical factory, organics": "piece",
    "market for electricity, medium voltage": "kWh",
    "market for electricity, high voltage, cobalt industry": "kWh",
    "market for heat, district or industrial, natural gas": "MJ",
    "heat production, natural gas, at industrial furnace >100kW": "MJ",
    "market group for transport, freight train": "tkm",
    "market for transport, freight, lorry >32 metric ton, EURO5": "tkm",
    "market for transport, freight, sea, container ship": "tkm",
    "market for wastewater, average": "m3",
}
KINDS: Final = {"kWh": "energy", "MJ": "energy", "tkm": "transport", "m3": "waste"}
AMOUNT_DIGITS: Final = (16, 9, 16, 6, 16, 7, 17, 6, 16, 10)  # half the pack's have 16 or so


def digits(what: str, count: int) -> str:
    """Return `count` decimal digits that a text always gets, none of them trailing zeros."""
    number = int.from_bytes(hashlib.sha256(what.encode()).digest()[:16], "big")
    return f"{number % 10**count:0{count}d}"[:-1] + "7"


def signer(name: str, use: str, algorithm: Algorithm = Algorithm.ED25519) -> SeedSigner:
    """Return the signer that a name and a use always get."""
    seed = hashlib.sha256(f"{name} {use}".encode()).digest()
    return SeedSigner(name=name, algorithm=algorithm, seed=seed)


WITNESSES: Final = tuple(
    signer(f"witness{n}.example", "witness", Algorithm.ED25519_COSIGNATURE) for n in range(1, 6)
)


@dataclass(kw_only=True)
class Company:
    """One organisation: its keys, its log, and the envelopes of the statements in it."""

    origin: str
    lines: list[bytes] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the log with genesis, log key and statement key."""
        self.log_key = signer(self.origin, "log")
        self.statement_key = signer(self.origin, "statement")
        recovery = hashlib.sha256(signer(self.origin, "recovery").key.public).digest()
        entries: tuple[Entry, ...] = (
            Genesis(recovery_hash=recovery),
            KeyAdd(role=Role.LOG, key=self.log_key.key),
            KeyAdd(role=Role.STATEMENT, key=self.statement_key.key),
        )
        self.lines += [entry.encode().encode() for entry in entries]
        self.supplier = Supplier(origin=self.origin, key=self.log_key.key.encode())

    def publish(self, predicate: PartialFootprint) -> None:
        """Write in the sums, sign, and enter."""
        made = own.with_footprint(predicate)
        envelope = issue.issue(made, self.statement_key, self.origin.encode())
        self.lines.append(verify.entry_of(envelope, STATEMENT_KEY).encode().encode())
        self.envelopes.append(envelope.encode())

    def checkpoint(self) -> str:
        """Return the cosigned checkpoint over the whole log."""
        root = Tree(map(merkle.leaf_hash, self.lines)).root()
        head = Checkpoint(origin=self.origin, size=len(self.lines), root=root)
        note = checkpoint.sign_checkpoint(head, [self.log_key])
        cosigned = [checkpoint.cosign(head.encode(), each, at=AT) for each in WITNESSES]
        return note.with_signatures(cosigned).encode()

    def proofs(self, head: str) -> list[str]:
        """Return the tlog-proof of every statement, under the checkpoint `head`."""
        tree = Tree(map(merkle.leaf_hash, self.lines))
        first, size = len(self.lines) - len(self.envelopes), len(self.lines)
        return [
            proof.TlogProof(
                index=index,
                path=merkle.prove_inclusion(index, size, tree.subtree),
                checkpoint=head,
            ).encode()
            for index in range(first, size)
        ]


def policy_of(companies: Sequence[Company]) -> Policy:
    """Return the policy that knows these companies and five witnesses, of which four agree."""
    lines = [f"log {each.log_key.key.encode()}" for each in companies]
    lines += [f"witness w{n} {each.key.encode()}" for n, each in enumerate(WITNESSES)]
    return policy.Policy.parse(
        "\n".join([*lines, "group five 4 w0 w1 w2 w3 w4", "quorum five", ""])
    )


def factor(number: int) -> Factor:
    """Return one of the data sets: 17 digits by component, as databases print them."""
    names = tuple(UNITS)
    name, place = names[number % len(names)], PLACES[number // len(names) % len(PLACES)]
    dataset = f"{name}, {place}"
    return Factor(
        kind="secondary",
        source=SOURCE,
        dataset=dataset,
        geography=place,
        unit=UNITS[name],
        gas="co2e",
        gwp="AR6",
        values=Components(
            fossil=f"{number % 9 + 1}.{digits(dataset + 'fossil', 15)}",
            biogenic_non_co2=f"0.00{digits(dataset + 'biogenic', 16)}",
            land_use_change=f"0.00{digits(dataset + 'land', 17)}",
        ),
    )


FACTORS: Final = tuple(factor(n) for n in range(len(UNITS) * len(PLACES)))


def activity(product: int, line: int, stage: Stage) -> Activity:
    """Return own line `line` of a product: a data set, and an amount no other line has."""
    used = FACTORS[(product * 7 + line * 11) % len(FACTORS)]
    kind = KINDS.get(used.unit, "material")
    written = digits(f"{product} {line}", AMOUNT_DIGITS[line % len(AMOUNT_DIGITS)])
    return Activity(
        id=f"{line + 1}",
        name=used.dataset.rpartition(",")[0],
        stage=stage,
        kind=kind,  # type: ignore[arg-type]  # one of the literals
        amount=f"{line % 3}.{written}",
        unit=used.unit,
        amount_kind="calculated",
        factor=used,
    )


def bought(product: int, line: int, of: int, supplier: Company) -> Input:
    """Return input line `line` of a product: some tenth of a kg of product `of`."""
    return Input(
        id=f"{line + 1}",
        product=urn(of),
        supplier=supplier.supplier,
        amount=f"0.{digits(f'{product} {line}', 9)}",
        unit="kg",
        stages="keep",
    )


def urn(product: int) -> str:
    """Return the name of a product."""
    return f"urn:bcca:bench:product:{product:06d}"


def partial(
    company: Company,
    product: int,
    activities: Sequence[Activity],
    inputs: Sequence[Input],
    output: str = "1",
) -> PartialFootprint:
    """Return a partial footprint whose sums are still to be written in."""
    return PartialFootprint(
        issuer=company.origin,
        nonce=issue.UNSET_NONCE,
        product=Product(id=urn(product), name=f"cathode active material NMC622, grade {product}"),
        producer=Producer(name=f"Producer of {company.origin}"),
        period=PERIOD,
        sharing="public",
        site=Site(id=f"plant-{product % 3}", country="CN"),
        declared_unit=Amount(amount="1", unit="kg"),
        output=Amount(amount=output, unit="kg"),
        method=METHOD,
        activities=tuple(activities),
        inputs=tuple(inputs),
        footprint=Stages(),
    )
