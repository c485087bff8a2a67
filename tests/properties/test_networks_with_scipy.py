"""Random networks with cycles, signed and added up here, against an independent solve in floats."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.sparse import coo_array, eye_array  # type: ignore[import-untyped]  # has no types
from scipy.sparse.linalg import spsolve  # type: ignore[import-untyped]  # as above

from bcca_protocol import checkpoint, footprint, issue, merkle, own, uncertainty, verify
from bcca_protocol.aggregate import aggregate
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.demand import demand
from bcca_protocol.entry import Genesis, KeyAdd
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.graph import chooser, connect
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval, Supplier
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.partial import Part
from bcca_protocol.period import Span
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.quantity import plain
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product
from bcca_protocol.verify import Verified, is_part

NETWORKS = 300
TOLERANCE = 1e-9
GAIN = 0.9  # of each product, over all it buys: below 1, so that every network is productive
ORIGIN = "all.example"
PERIOD = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
METHOD = Method(standards=(), gwp="AR6", recycling="cutOff", electricity="market")


def signer(use: str, algorithm: Algorithm = Algorithm.ED25519, name: str = ORIGIN) -> SeedSigner:
    seed = hashlib.sha256(f"{name} {use}".encode()).digest()
    return SeedSigner(name=name, algorithm=algorithm, seed=seed)


LOG, AUTHOR = signer("log"), signer("statement")
WITNESSES = [signer("w", Algorithm.ED25519_COSIGNATURE, f"w{n}.example") for n in range(3)]
POLICY = Policy.parse(
    "\n".join(
        [
            f"log {LOG.key.encode()}",
            *(f"witness w{n} {each.key.encode()}" for n, each in enumerate(WITNESSES)),
            "group g all w0 w1 w2\nquorum g\n",
        ]
    )
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A product: its own kg CO2e per declared unit, and how much of others a unit of it needs."""

    own: float
    needs: dict[int, float]
    predicate: PartialFootprint


def number(value: float) -> str:
    return plain(Decimal(f"{value:.6f}"))


def made(chance: random.Random, index: int, declared: Sequence[str]) -> Made:
    """Return product `index` of a network in which each product buys of any others and itself."""
    size = len(declared)
    output = number(chance.uniform(0.2, 30))
    scale = float(declared[index]) / float(output)
    lines, kg = [], 0.0
    for n in range(chance.randint(1, 3)):
        amount, value = number(chance.uniform(0, 100)), number(chance.uniform(0, 20))
        kg += float(amount) * float(value) * scale
        lines.append(own_line(f"own{n}", amount, value))
    inputs: list[Input] = []
    needs: dict[int, float] = {}
    for n, of in enumerate(chance.choices(range(size), k=chance.randint(0, 4))):
        rate = number(chance.uniform(0.5, 1))
        amount = number(GAIN / 4 * chance.random() * float(declared[of]) * float(rate) / scale)
        needs[of] = needs.get(of, 0) + float(amount) / float(rate) * scale / float(declared[of])
        inputs.append(input_line(f"buy{n}", of, amount, rate))
    predicate = PartialFootprint(
        issuer=ORIGIN, nonce=issue.UNSET_NONCE,
        product=Product(id=f"urn:test:p{index}", name=f"p{index}"),
        producer=Producer(name="p"), period=PERIOD, sharing="public",
        declared_unit=Amount(declared[index], "kg"), output=Amount(output, "kg"), method=METHOD,
        activities=tuple(lines), inputs=tuple(inputs), footprint=Stages(),
    )  # fmt: skip
    return Made(own=kg, needs=needs, predicate=own.with_footprint(predicate))


def own_line(line: str, amount: str, kg: str) -> Activity:
    factor = Factor(
        kind="secondary", source="s", dataset=f"d{kg[-1]}", geography="GLO", unit="kg",
        gas="co2e", values=Components(fossil=kg), gsd="1.1",
    )  # fmt: skip
    return Activity(
        id=line, name="own", stage="production", kind="material", amount=amount, unit="kg",
        amount_kind="calculated", factor=factor,
    )  # fmt: skip


def input_line(line: str, of: int, amount: str, rate: str) -> Input:
    return Input(
        id=line, product=f"urn:test:p{of}", amount=amount, unit="kg", yield_=rate, stages="keep",
        supplier=Supplier(origin=ORIGIN, key=LOG.key.encode()),
    )  # fmt: skip


def network(seed: int) -> list[Made]:
    chance = random.Random(seed)  # noqa: S311  # the same networks in each run
    declared = [chance.choice(["1", number(chance.uniform(0.1, 9))]) for _ in range(3 + seed % 10)]
    return [made(chance, i, declared) for i in range(len(declared))]


def verified(products: Sequence[Made]) -> list[Verified[Part]]:
    """Return the parts, signed by their maker and verified in bulk from its witnessed log."""
    envelopes = [issue.issue(each.predicate, AUTHOR, b"secret") for each in products]
    entries = [
        line.encode()
        for line in (
            Genesis(recovery_hash=bytes(32)).encode(),
            KeyAdd(role=Role.STATEMENT, key=AUTHOR.key).encode(),
            *(verify.entry_of(each, 1).encode() for each in envelopes),
        )
    ]
    root = merkle.Tree(map(merkle.leaf_hash, entries)).root()
    tree = Checkpoint(origin=ORIGIN, size=len(entries), root=root)
    note = checkpoint.sign_checkpoint(tree, [LOG]).with_signatures(
        [checkpoint.cosign(tree.encode(), each, at=1_780_000_000) for each in WITNESSES]
    )
    log = verify.verify_log(verify_checkpoint(note.encode(), LOG.key, POLICY), entries)
    found = [verify.verify_in_bulk(each.encode(), log) for each in envelopes]
    return [each for each in found if is_part(each)]


def solved(products: Sequence[Made]) -> Any:
    """Return kg CO2e per declared unit of each product: x = own + A x, solved by SuperLU."""
    entries = [(i, of, gain) for i, p in enumerate(products) for of, gain in p.needs.items()]
    rows, columns, gains = zip(*entries, strict=True) if entries else ((), (), ())
    size = len(products)
    a = coo_array((np.array(gains, dtype=float), (rows, columns)), shape=(size, size))
    return spsolve((eye_array(size) - a).tocsc(), np.array([each.own for each in products]))


def cycles(products: Sequence[Made]) -> bool:
    """Say whether some product needs itself, directly or through others."""
    reach = {i: set(p.needs) for i, p in enumerate(products)}
    for _ in products:
        reach = {i: found.union(*(reach[j] for j in found)) for i, found in reach.items()}
    return any(i in found for i, found in reach.items())


def test_300_random_networks_with_cycles_are_what_scipy_says() -> None:
    off, looped = [], 0
    for seed in range(NETWORKS):
        products = network(seed)
        facts = verified(products)

        totals = aggregate(connect(facts, chooser(facts, Span(PERIOD.start, PERIOD.end))))

        looped += cycles(products)
        names = [part.product for part in totals.graph.parts]
        for i, kg in enumerate(solved(products)):
            index = names.index(f"urn:test:p{i}")
            ours = float(footprint.total(totals.footprint(index)))
            if abs(ours - kg) > TOLERANCE * abs(kg):
                off.append((seed, i, ours, kg))

    assert off == []
    assert looped > NETWORKS // 2


def test_the_spreads_of_a_network_sum_to_its_total() -> None:
    """Every own line has a factor with a spread: so what spreads is all there is."""
    for seed in range(20):
        facts = verified(network(seed))
        totals = aggregate(connect(facts, chooser(facts, Span(PERIOD.start, PERIOD.end))))
        root = len(totals.graph.parts) - 1
        needed = demand(totals, root, totals.graph.parts[root].declared)

        found = uncertainty.spreads(totals, needed)

        total = Fraction(footprint.total(totals.footprint(root)))
        moved = sum((Fraction(each.kg) for each in found), Fraction(0))
        assert abs(moved - total) <= Fraction(1, 10**30) * total
