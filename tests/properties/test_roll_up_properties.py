"""What must hold of every network of products, each signed, logged, verified and added up."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bcca_protocol import checkpoint, footprint, issue, manifest, merkle, own, shares, verify
from bcca_protocol.aggregate import Totals, aggregate
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.demand import contributions, demand
from bcca_protocol.entry import Genesis, KeyAdd
from bcca_protocol.errors import UnproductiveError
from bcca_protocol.footprint import STAGES, Components, Stages
from bcca_protocol.graph import chooser, connect
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval, Supplier
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.manifest import Frame
from bcca_protocol.partial import Part
from bcca_protocol.period import Span
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.quantity import plain
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product
from bcca_protocol.verify import Verified, is_part

PERIOD = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
METHOD = Method(standards=(), gwp="AR6", recycling="cutOff", electricity="market")
CLOSE = Fraction(1, 10**30)
ONE_UNIT = Amount("1", "kg")

few = settings(max_examples=20, deadline=None, derandomize=True, database=None)
many = settings(few, max_examples=100)


# A network in plain words, and what of it is signed.


@dataclass(frozen=True, kw_only=True)
class Line:
    """An own line: amount x kg CO2e a unit."""

    amount: str
    kg: str
    unit: Any = "kg"
    stage: Any = "production"
    measured: bool = False
    specific: bool = False


@dataclass(frozen=True, kw_only=True)
class Buy:
    """An input: so much of the product of that number."""

    of: int
    amount: str
    unit: Any = "kg"
    yield_: str | None = None
    stages: Any = "keep"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A product: its lines, its inputs, and for how much of it they stand."""

    lines: tuple[Line, ...]
    buys: tuple[Buy, ...] = ()
    declared: Amount = ONE_UNIT
    output: Amount = ONE_UNIT


Network = tuple[Node, ...]


@cache
def signer(name: str, use: str, algorithm: Algorithm = Algorithm.ED25519) -> SeedSigner:
    seed = hashlib.sha256(f"{name} {use}".encode()).digest()
    return SeedSigner(name=name, algorithm=algorithm, seed=seed)


@cache
def witnesses() -> tuple[tuple[SeedSigner, ...], Policy]:
    found = tuple(signer(f"w{n}", "witness", Algorithm.ED25519_COSIGNATURE) for n in range(3))
    lines = [f"witness {each.key.name} {each.key.encode()}" for each in found]
    return found, Policy.parse("\n".join([*lines, "group g all w0 w1 w2", "quorum g", ""]))


def predicate(node: Node, number: int, makers: Sequence[str]) -> PartialFootprint:
    lines = [
        Activity(
            id=f"own{i}", name="own", stage=line.stage, kind="material", amount=line.amount,
            unit=line.unit, amount_kind="measured" if line.measured else "calculated",
            factor=Factor(
                kind="supplierSpecific" if line.specific else "secondary", source="s", dataset="d",
                geography="GLO", unit=line.unit, gas="co2e", values=Components(fossil=line.kg),
            ),
        )
        for i, line in enumerate(node.lines)
    ]  # fmt: skip
    inputs = [
        Input(
            id=f"buy{i}", product=f"urn:test:p{buy.of}", amount=buy.amount, unit=buy.unit,
            supplier=Supplier(
                origin=makers[buy.of], key=signer(makers[buy.of], "log").key.encode()
            ),
            stages=buy.stages, yield_=buy.yield_,
        )
        for i, buy in enumerate(node.buys)
    ]  # fmt: skip
    return own.with_footprint(
        PartialFootprint(
            issuer=makers[number], nonce=issue.UNSET_NONCE,
            product=Product(id=f"urn:test:p{number}", name=f"p{number}"),
            producer=Producer(name="p"), period=PERIOD, sharing="public",
            declared_unit=node.declared, output=node.output, method=METHOD,
            activities=tuple(lines), inputs=tuple(inputs), footprint=Stages(),
        )
    )  # fmt: skip


def verified(network: Network, makers: Sequence[str] = ()) -> list[Verified[Part]]:
    """Return the parts of a network, signed by their makers and verified from their logs."""
    makers = makers or ["all.example"] * len(network)
    found: list[Verified[Part]] = []
    for origin in sorted(set(makers)):
        key = signer(origin, "statement")
        made = [predicate(n, i, makers) for i, n in enumerate(network) if makers[i] == origin]
        envelopes = [issue.issue(each, key, b"secret") for each in made]
        lines = [
            Genesis(recovery_hash=bytes(32)).encode(),
            KeyAdd(role=Role.STATEMENT, key=key.key).encode(),
            *(verify.entry_of(each, 1).encode() for each in envelopes),
        ]
        entries = [line.encode() for line in lines]
        log = verify.verify_log(head(origin, entries), entries)
        signed = [verify.verify_signed(each.encode(), log) for each in envelopes]
        found += filter(is_part, signed)
    return found


def head(origin: str, entries: Sequence[bytes]) -> Any:
    root = merkle.Tree(map(merkle.leaf_hash, entries)).root()
    tree = Checkpoint(origin=origin, size=len(entries), root=root)
    cosigners, policy = witnesses()
    note = checkpoint.sign_checkpoint(tree, [signer(origin, "log")]).with_signatures(
        [checkpoint.cosign(tree.encode(), each, at=1_780_000_000) for each in cosigners]
    )
    return verify_checkpoint(note.encode(), signer(origin, "log").key, policy)


def added(facts: Sequence[Verified[Part]]) -> Totals:
    rule = chooser(facts, Span(PERIOD.start, PERIOD.end))
    return aggregate(connect(facts, rule))


def number_of(totals: Totals, product: int) -> int:
    (found,) = (
        i for i, part in enumerate(totals.graph.parts) if part.product == f"urn:test:p{product}"
    )
    return found


def values(totals: Totals, size: int) -> list[Fraction]:
    """Return kg CO2e per declared unit of each product, by its number in the network."""
    numbers = [number_of(totals, product) for product in range(size)]
    return [Fraction(footprint.total(totals.footprint(i))) for i in numbers]


def totals_of(network: Network, makers: Sequence[str] = ()) -> list[Fraction]:
    return values(added(verified(network, makers)), len(network))


def near(here: Sequence[Fraction], there: Sequence[Fraction]) -> bool:
    """Say whether numbers differ by no more than 1e-30 of themselves."""
    pairs = zip(here, there, strict=True)
    return all(abs(one - other) <= CLOSE * max(abs(one), abs(other)) for one, other in pairs)


# The same, independent of everything above: fractions and Gauss.


def coefficients(network: Network) -> list[list[Fraction]]:
    """Return how many declared units of each product one declared unit of each needs."""
    size = len(network)
    matrix = [[Fraction(0)] * size for _ in range(size)]
    for i, node in enumerate(network):
        for buy in node.buys:
            needed = Fraction(buy.amount) / Fraction(buy.yield_ or 1) / Fraction(node.output.amount)
            share = needed * Fraction(node.declared.amount)
            matrix[i][buy.of] += share / Fraction(network[buy.of].declared.amount)
    return matrix


def own_values(network: Network) -> list[Fraction]:
    return [
        sum((Fraction(line.amount) * Fraction(line.kg) for line in node.lines), Fraction(0))
        * Fraction(node.declared.amount)
        / Fraction(node.output.amount)
        for node in network
    ]


def inverse(matrix: list[list[Fraction]]) -> list[list[Fraction]] | None:
    """Return (I - matrix) inverted, by Gauss and Jordan with exchange of rows; None if singular."""
    size = len(matrix)
    rows = [
        [Fraction(i == j) - matrix[i][j] for j in range(size)]
        + [Fraction(i == j) for j in range(size)]
        for i in range(size)
    ]
    for column in range(size):
        below = [i for i in range(column, size) if rows[i][column]]
        if not below:
            return None
        rows[column], rows[below[-1]] = rows[below[-1]], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for i in range(size):
            if i != column:
                times = rows[i][column]
                rows[i] = [a - times * b for a, b in zip(rows[i], rows[column], strict=True)]
    return [row[size:] for row in rows]


def exact(network: Network) -> list[Fraction] | None:
    """Return every product's value; None where some product needs more than there can be.

    I - A is productive if and only if its inverse exists and has nothing below zero.
    """
    needs = inverse(coefficients(network))
    if needs is None or any(value < 0 for row in needs for value in row):
        return None
    kg = own_values(network)
    return [sum((n * k for n, k in zip(row, kg, strict=True)), Fraction(0)) for row in needs]


# What networks there are.


def numbers(most: int, decimals: int = 4) -> st.SearchStrategy[str]:
    """Any plain number from zero to `most`, with a few decimals."""
    digits = st.integers(0, most * 10**decimals)
    return digits.map(lambda found: plain(Decimal(found).scaleb(-decimals)))


above_zero = st.integers(1, 90_000).map(lambda found: plain(Decimal(found).scaleb(-4)))
outputs = st.sampled_from(["2", "2.5", "7"]).map(lambda amount: Amount(amount, "kg"))
amounts_of_product = st.builds(Amount, above_zero, st.just("kg"))
lines = st.lists(
    st.builds(
        Line, amount=numbers(1000), kg=numbers(20), stage=st.sampled_from(STAGES),
        measured=st.booleans(), specific=st.booleans(),
    ),
    min_size=1, max_size=3,
).map(tuple)  # fmt: skip


@st.composite
def networks(
    draw: st.DrawFn, *, cyclic: bool = False, most: int = 6, stages: bool = True
) -> Network:
    """Any network; without cycles a product buys only of those with smaller numbers."""
    size = draw(st.integers(1, most))
    made = []
    for i in range(size):
        others = st.integers(0, size - 1 if cyclic else i - 1)
        buy = st.builds(
            Buy, of=others, amount=numbers(1, 3) if cyclic else numbers(20),
            yield_=st.none() | st.sampled_from(["0.95", "0.7", "1"]),
            stages=st.sampled_from(["keep", *STAGES]) if stages else st.just("keep"),
        )  # fmt: skip
        buys = st.just([]) if i == 0 and not cyclic else st.lists(buy, max_size=3)
        made.append(
            Node(
                lines=draw(lines),
                buys=tuple(draw(buys)),
                declared=draw(st.just(ONE_UNIT) | amounts_of_product),
                output=draw(st.just(ONE_UNIT) | (outputs if cyclic else amounts_of_product)),
            )
        )
    return tuple(made)


@many
@given(networks(cyclic=True))
def test_a_network_with_cycles_is_what_exact_fractions_say_or_refused(network: Network) -> None:
    expected = exact(network)
    facts = verified(network)

    if expected is None:
        with pytest.raises(UnproductiveError):
            added(facts)
    else:
        assert near(values(added(facts), len(network)), expected)


@few
@given(networks(most=7))
def test_a_network_without_cycles_is_what_exact_fractions_say(network: Network) -> None:
    expected = exact(network)

    assert expected is not None
    assert near(totals_of(network), expected)


@few
@given(networks(cyclic=True), st.integers(0, 5), above_zero)
def test_shares_sum_to_the_total_and_amounts_are_the_exact_ones(
    network: Network, root: int, amount: str
) -> None:
    needs = inverse(coefficients(network))
    assume(exact(network) is not None and root < len(network))
    assert needs is not None
    totals = added(verified(network))
    index = number_of(totals, root)

    needed = demand(totals, index, Decimal(amount))
    shares = contributions(totals, needed)

    scale = Fraction(amount) / Fraction(totals.graph.parts[index].declared)
    whole = totals.footprint(index)
    for cell in whole:
        parts = [Fraction(share[cell]) for share in shares.values() if cell in share]
        assert near([sum(parts, Fraction(0))], [Fraction(whole[cell]) * scale])
    found = [Fraction(needed.amounts[number_of(totals, i)]) for i in range(len(network))]
    declared = [Fraction(node.declared.amount) for node in network]
    exact_ones = [scale * n * d for n, d in zip(needs[root], declared, strict=True)]
    assert near(found, exact_ones)


def scaled(network: Network, times: str, *, factors: bool) -> Network:
    """Return a network in which every own amount, or every factor, is so many times as large."""

    def grown(line: Line) -> Line:
        if factors:
            return replace(line, kg=plain(Decimal(line.kg) * Decimal(times)))
        return replace(line, amount=plain(Decimal(line.amount) * Decimal(times)))

    return tuple(replace(node, lines=tuple(map(grown, node.lines))) for node in network)


@few
@given(networks(cyclic=True), above_zero, st.booleans())
def test_totals_are_linear_in_own_amounts_and_in_factors(
    network: Network, times: str, factors: bool
) -> None:
    assume(exact(network) is not None)
    once = totals_of(network)

    grown = totals_of(scaled(network, times, factors=factors))

    assert near(grown, [Fraction(times) * kg for kg in once])


@few
@given(networks(cyclic=True), st.data())
def test_what_two_sets_of_lines_give_together_is_what_they_give_alone(
    network: Network, data: st.DataObject
) -> None:
    assume(exact(network) is not None)
    others = [data.draw(lines) for _ in network]
    second = tuple(replace(n, lines=more) for n, more in zip(network, others, strict=True))
    both = tuple(replace(n, lines=n.lines + more) for n, more in zip(network, others, strict=True))

    alone = zip(totals_of(network), totals_of(second), strict=True)

    assert near(totals_of(both), [one + other for one, other in alone])


@few
@given(networks(most=5), above_zero, st.data())
def test_totals_are_linear_in_what_is_bought(
    network: Network, times: str, data: st.DataObject
) -> None:
    last = len(network) - 1
    assume(network[last].buys)
    none = replace(network[last], lines=(Line(amount="0", kg="0"),))
    grown = tuple(
        replace(buy, amount=plain(Decimal(buy.amount) * Decimal(times))) for buy in none.buys
    )

    before = totals_of((*network[:last], none))
    after = totals_of((*network[:last], replace(none, buys=grown)))

    assert near(after[last:], [before[last] * Fraction(times)])


@few
@given(networks(cyclic=True), st.randoms(use_true_random=False))
def test_the_order_in_which_parts_come_in_changes_no_digit(
    network: Network, chance: random.Random
) -> None:
    assume(exact(network) is not None)
    facts = verified(network)
    shuffled = list(facts)
    chance.shuffle(shuffled)

    here, there = added(facts), added(shuffled)

    assert [list(map(str, v)) for v in here.vectors.values()] == [
        list(map(str, v)) for v in there.vectors.values()
    ]
    assert (here.order, here.incomplete) == (there.order, there.incomplete)


@few
@given(networks(cyclic=True), st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_no_more_than_the_last_digits(
    network: Network, chance: random.Random
) -> None:
    assume(exact(network) is not None)

    def turned(node: Node) -> Node:
        own_lines, buys = list(node.lines), list(node.buys)
        chance.shuffle(own_lines)
        chance.shuffle(buys)
        return replace(node, lines=tuple(own_lines), buys=tuple(buys))

    assert near(totals_of(tuple(map(turned, network))), totals_of(network))


@few
@given(networks(cyclic=True), st.randoms(use_true_random=False))
def test_the_names_of_the_products_change_no_digit(network: Network, chance: random.Random) -> None:
    assume(exact(network) is not None)
    place = list(range(len(network)))
    chance.shuffle(place)
    moved = sorted(
        (
            (place[i], replace(n, buys=tuple(replace(b, of=place[b.of]) for b in n.buys)))
            for i, n in enumerate(network)
        ),
        key=lambda pair: pair[0],
    )
    totals = totals_of(tuple(node for _, node in moved))

    assert [totals[place[i]] for i in range(len(network))] == totals_of(network)


@few
@given(networks(cyclic=True), st.data())
def test_who_makes_what_changes_no_digit(network: Network, data: st.DataObject) -> None:
    assume(exact(network) is not None)
    names = st.sampled_from(["a.example", "b.example", "c.example"])
    makers = data.draw(st.lists(names, min_size=len(network), max_size=len(network)))

    assert totals_of(network, makers) == totals_of(network)


def tallies(totals: Totals, product: int) -> list[Fraction]:
    return list(map(Fraction, totals.tally(number_of(totals, product)).values()))


def shares_of(totals: Totals, product: int) -> list[Fraction]:
    """Return the shares of a product in percent, without its quality, which no line states."""
    part = totals.graph.parts[number_of(totals, product)]
    frame = Frame(
        issuer=part.issuer, product=Product(id=part.product, name="p"), producer=Producer("p"),
        site=None, batch=None, method=METHOD, sharing="public", period=PERIOD,
        reference_date=PERIOD.end, logs=(),
    )  # fmt: skip
    needed = demand(totals, number_of(totals, product), part.declared)
    found = shares.shares(manifest.state(totals, needed, frame).weights)
    return [Fraction(share) for share in found[:-1]]


@few
@given(networks(most=5), st.data())
def test_splitting_a_company_in_two_changes_neither_totals_nor_weights(
    network: Network, data: st.DataObject
) -> None:
    """One step of some product's process goes to a company of its own, upstream or down."""
    which = data.draw(st.integers(0, len(network) - 1))
    node = network[which]
    line, buy = (
        data.draw(st.integers(0, len(these))) for these in (node.lines, node.buys)
    )  # how many of them go
    amount = data.draw(above_zero)
    step = len(network)
    made = Amount(amount, "kg")
    outside = Node(lines=node.lines[:line], buys=node.buys[:buy], output=made)
    inside = replace(
        node, lines=node.lines[line:], buys=(Buy(of=step, amount=amount), *node.buys[buy:])
    )
    split = (*network[:which], inside, *network[which + 1 :], outside)
    makers = ["all.example"] * step + ["new.example"]

    before, after = added(verified(network)), added(verified(split, makers))

    assert near(values(after, len(split))[:step], values(before, step))
    for product in range(step):
        assert near(tallies(after, product), tallies(before, product))
        here, there = shares_of(after, product), shares_of(before, product)
        assert near(here, there)
        assert all(0 <= share <= 100 for share in here)


KG = {"kg": Fraction(1), "t": Fraction(1000), "g": Fraction(1, 1000)}
KWH = {"kWh": Fraction(1), "MJ": Fraction(5, 18), "MWh": Fraction(1000), "GJ": Fraction(2500, 9)}


def told(amount: str, unit: Any, table: dict[str, Fraction]) -> Amount:
    """Return an amount of a table's first unit in another one, where it has an end in decimals."""
    exactly = Fraction(amount) / table[unit]
    found = Decimal(exactly.numerator) / Decimal(exactly.denominator)
    assert Fraction(found) == exactly
    return Amount(plain(found), unit)


def bought_in(buy: Buy, unit: str, table: dict[str, Fraction]) -> Buy:
    amount = told(buy.amount, unit, table)
    return replace(buy, amount=amount.amount, unit=amount.unit)


@few
@given(networks(most=5), st.data())
def test_an_amount_in_another_unit_of_mass_is_the_same_amount(
    network: Network, data: st.DataObject
) -> None:
    def turned(buy: Buy) -> Buy:
        return bought_in(buy, data.draw(st.sampled_from(sorted(KG))), KG)

    other = tuple(replace(n, buys=tuple(map(turned, n.buys))) for n in network)

    assert near(totals_of(other), totals_of(network))


@few
@given(networks(most=4), st.lists(st.sampled_from(sorted(KWH)), min_size=4, max_size=4))
def test_energy_in_megajoules_is_the_same_energy(network: Network, units: list[str]) -> None:
    """Every product is energy, made and bought in kWh, or in any unit of it."""

    def node_in(node: Node, unit: str) -> Node:
        return replace(
            node,
            buys=tuple(bought_in(buy, unit, KWH) for buy in node.buys),
            declared=told(node.declared.amount, "kWh", KWH),
            output=told(node.output.amount, unit, KWH),
        )

    in_kwh = tuple(node_in(node, "kWh") for node in network)
    mixed = tuple(node_in(node, units[i]) for i, node in enumerate(network))

    assert near(totals_of(mixed), totals_of(in_kwh))


def by_paths(network: Network, product: int) -> Fraction:
    """Return what one declared unit emits, walking every path there is: diamonds many times."""
    node = network[product]
    per_output = Fraction(node.declared.amount) / Fraction(node.output.amount)
    own_kg = sum((Fraction(line.amount) * Fraction(line.kg) for line in node.lines), Fraction(0))
    bought = sum(
        (
            Fraction(buy.amount) / Fraction(buy.yield_ or 1)
            * by_paths(network, buy.of) / Fraction(network[buy.of].declared.amount)
            for buy in node.buys
        ),
        Fraction(0),
    )  # fmt: skip
    return (own_kg + bought) * per_output


@few
@given(networks(most=6))
def test_a_diamond_is_the_sum_of_its_paths(network: Network) -> None:
    last = len(network) - 1
    twice = [(Buy(of=i, amount="1"),) * 2 for i in range(last)]
    ladder = tuple(
        replace(node, buys=node.buys + more)
        for node, more in zip(network, [(), *twice], strict=True)
    )

    assert near(totals_of(ladder)[last:], [by_paths(ladder, last)])


@few
@given(networks(cyclic=True))
def test_naming_stages_moves_kilograms_and_makes_none(network: Network) -> None:
    assume(exact(network) is not None)
    kept = tuple(
        replace(node, buys=tuple(replace(buy, stages="keep") for buy in node.buys))
        for node in network
    )

    named, unnamed = added(verified(network)), added(verified(kept))

    assert near(values(named, len(network)), values(unnamed, len(network)))
    for product in range(len(network)):
        assert near(tallies(named, product), tallies(unnamed, product))
        end = [
            Fraction(footprint.by_stage(each.footprint(number_of(each, product)))["endOfLife"])
            for each in (named, unnamed)
        ]
        assert end[0] >= end[1] * (1 - CLOSE)


@few
@given(networks(cyclic=True))
def test_weights_are_within_the_whole_and_the_whole_within_what_is_emitted(
    network: Network,
) -> None:
    assume(exact(network) is not None)
    totals = added(verified(network))

    for index in totals.vectors:
        tally = totals.tally(index)
        emitted = footprint.total(totals.footprint(index))
        assert near([Fraction(tally["absolute"])], [Fraction(emitted)])
        for less, more in pairwise(("primary", "primary_amount", "absolute")):
            assert tally[less] <= tally[more]
        assert tally["primary"] <= tally["primary_factor"] <= tally["absolute"]


def test_the_exact_solve_of_this_test_knows_the_two_overlapping_loops() -> None:
    line = (Line(amount="1", kg="1"),)

    def node(*buys: Buy) -> Node:
        return Node(lines=line, buys=buys)

    back = node(Buy(of=0, amount="1.2"))
    two = (node(Buy(of=1, amount="0.6")), back)
    three = (node(Buy(of=1, amount="0.6"), Buy(of=2, amount="0.6")), back, back)

    assert exact(two) == [Fraction(40, 7), Fraction(55, 7)]
    assert exact(three) is None
    assert near(totals_of(two), [Fraction(40, 7), Fraction(55, 7)])
