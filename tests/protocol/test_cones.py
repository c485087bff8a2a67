"""Adding up again: only what is downstream of a change, and the same digits to the last."""

from decimal import Decimal
from typing import Any

import pytest

from bcca_protocol import cones, manifest
from bcca_protocol.aggregate import Totals, aggregate
from bcca_protocol.cones import Known
from bcca_protocol.demand import demand
from bcca_protocol.entry import Status
from bcca_protocol.exemption import cut_off, statements_in
from bcca_protocol.inventory import Amount
from bcca_protocol.quantity import ONE
from bcca_protocol.wire import encode

TIERS = 30


def vectors(totals: Totals) -> dict[str, tuple[Decimal, ...]]:
    """Return what each part weighs, digits and all."""
    return {totals.graph.parts[i].commitment: vector for i, vector in totals.vectors.items()}


def same(chain: Any, known: Known) -> tuple[int, int]:
    """Add up with what is known, and without; return how much was computed, how much reused."""
    graph = chain.graph()
    with_it, without = aggregate(graph, known=known), aggregate(graph)
    assert str(vectors(with_it)) == str(vectors(without))
    return known.computed, known.reused


@pytest.fixture
def ladder(chain: Any) -> Any:
    """A chain of suppliers, each of whom buys a third of a kg of the one before."""
    chain.sells("p0", "1.7")
    for tier in range(1, TIERS):
        chain.sells(
            f"p{tier}", "0.3", chain.buys(f"p{tier - 1}", "0.3333"), output=Amount("0.7", "kg")
        )
    return chain


def test_the_same_again_computes_nothing(ladder: Any) -> None:
    known = Known()

    assert same(ladder, known) == (TIERS, 0)
    assert same(ladder, known) == (0, TIERS)


@pytest.mark.parametrize("tier", [0, 7, TIERS - 1])
def test_a_correction_computes_what_is_downstream_of_it_alone(ladder: Any, tier: int) -> None:
    known = Known()
    same(ladder, known)
    [old] = [p.commitment for p in ladder.graph().parts if p.product.endswith(f":p{tier}")]
    ladder.status(f"p{tier}", old, Status.CORRECTED)
    inputs = [ladder.buys(f"p{tier - 1}", "0.3333")] if tier else []
    ladder.sells(f"p{tier}", "0.9", *inputs, output=Amount("0.7", "kg"))
    computed, reused = same(ladder, known)

    assert computed == TIERS - tier  # what is new, and all above it
    assert reused == tier + 1  # all below it, and what it corrected, which feeds nobody any more


def test_products_that_need_each_other_are_known_together(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("acid", "1", chain.buys("salt", "0.5"), chain.buys("ore", "0.1"))
    chain.sells("salt", "3", chain.buys("acid", "0.5"))
    chain.sells("cell", "1", chain.buys("acid", "1"), chain.buys("salt", "1"))
    known = Known()

    assert same(chain, known) == (4, 0)
    assert same(chain, known) == (0, 4)


def test_another_column_is_another_vector(chain: Any) -> None:
    chain.sells("ore", "2")
    known = Known()
    same(chain, known)
    chain.sells("foil", "1", chain.buys("ore", "1", stages="endOfLife"))

    assert same(chain, known) == (2, 0)


def test_a_roll_up_has_the_same_bytes_whatever_is_known(ladder: Any) -> None:
    known = Known()
    graph = ladder.graph()
    top = max(graph.index.values(), key=lambda i: int(graph.parts[i].product.rpartition(":p")[2]))
    made_of = next(iter(ladder.companies.values()))
    frame = ladder.frame(next(iter(statements_in(made_of.envelopes).values())), ladder.companies)
    stated = []
    for each in (None, known, known):
        totals = aggregate(graph, [top], each)
        stated.append(encode(manifest.state(totals, demand(totals, top, ONE), frame)))

    assert stated[0] == stated[1] == stated[2]


def test_what_is_cut_off_is_another_part_though_its_commitment_is_the_same(ladder: Any) -> None:
    envelopes = [each for company in ladder.companies.values() for each in company.envelopes]
    graph = ladder.graph()
    top = max(graph.index.values(), key=lambda i: int(graph.parts[i].product.rpartition(":p")[2]))
    known = Known()
    found, dropped = [], []
    for each in (None, known, known):
        totals = aggregate(graph, [top], each)
        needed = demand(totals, top, ONE)
        cut = cut_off(totals, needed, Decimal(3), statements_in(envelopes), each)
        found.append(str(vectors(cut.totals)))
        dropped.append(len(cut.dropped))

    assert dropped[0] == dropped[1] == dropped[2] > 0
    assert found[0] == found[1] == found[2]
    assert known.computed == 0


def test_too_much_that_stood_before_is_forgotten_at_once(
    ladder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cones, "MAX_KNOWN", 1)
    graph, known = ladder.graph(), Known()
    number = {part.product.rpartition(":")[2]: i for i, part in enumerate(graph.parts)}
    for root in (f"p{TIERS - 1}", "p0", f"p{TIERS - 1}"):
        aggregate(graph, [number[root]], known)

    assert (known.computed, known.reused) == (TIERS - 1, 1)  # what was made last is not forgotten
