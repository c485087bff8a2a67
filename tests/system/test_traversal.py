"""How far a run goes up: loops, endless chains, suppliers that answer twice differently."""

import time
from typing import Any

import pytest

from bcca_node.packmaker import told, walk
from bcca_protocol.errors import LimitError, UnproductiveError
from bcca_protocol.inventory import Interval

HEAD, LIAR, HONEST, FOIL, CELL = "pack", "cathode", "cell", "foil", "urn:bcca:t:cell"


def loop(market: Any, there: str, back: str) -> tuple[str, str]:
    """Publish two products of two companies that need each other; return them."""
    scrap, foil = market.new_urn(LIAR), market.new_urn(FOIL)
    market.publish(LIAR, market.part(LIAR, scrap, "7", [market.bought(FOIL, foil, there)]))
    market.publish(FOIL, market.part(FOIL, foil, "4", [market.bought(LIAR, scrap, back)]))
    return scrap, foil


def test_a_loop_across_companies_is_solved_exactly(market: Any) -> None:
    scrap, _ = loop(market, "0.5", "0.5")

    outcome = market.run(market.pack(market.bought(LIAR, scrap, "1")))

    # scrap = 7 + foil / 2, foil = 4 + scrap / 2
    assert outcome.total == outcome.report.total == 27 + 12
    assert outcome.gaps == []


@pytest.mark.parametrize(("there", "back"), [("2", "0.5"), ("2", "3"), ("1", "1")])
def test_an_unproductive_loop_across_companies_is_refused_by_the_names_of_its_products(
    market: Any, there: str, back: str
) -> None:
    products = loop(market, there, back)
    pack = market.pack(market.bought(LIAR, products[0], "1"))
    began = time.monotonic()

    with pytest.raises(UnproductiveError) as refused:
        market.run(pack)

    assert time.monotonic() - began < 15
    for product, name in zip(products, (LIAR, FOIL), strict=True):
        assert f"{product} of {market.origin(name)}" in str(refused.value)


def test_a_loop_back_to_the_pack_maker_itself_is_solved_exactly(market: Any) -> None:
    pack, scrap = market.new_urn(HEAD), market.new_urn(LIAR)
    lines = [market.bought(LIAR, scrap, "0.5")]
    market.publish(LIAR, market.part(LIAR, scrap, "7", [market.bought(HEAD, pack, "0.5")]))
    market.publish(HEAD, market.part(HEAD, pack, "1", lines))

    outcome = market.run(pack)

    assert outcome.total * 3 == 18  # pack = 1 + scrap / 2, scrap = 7 + pack / 2
    assert outcome.gaps == []


def chain(market: Any, length: int) -> str:
    """Let the liar enter products, each made of the next; return the first."""
    products = [market.new_urn(LIAR) for _ in range(length)]
    lines = [[market.bought(LIAR, each, "1")] for each in products[1:]]
    market.publish(
        LIAR,
        *(
            market.part(LIAR, product, "1", inputs)
            for product, inputs in zip(products, [*lines, []], strict=True)
        ),
    )
    return str(products[0])


def test_a_chain_longer_than_any_is_cut_where_it_is_too_long(
    market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MAX_ROUNDS", 20)
    first = chain(market, 30)

    outcome = market.run(market.pack(market.bought(LIAR, first, "1")))

    [reason] = outcome.gaps
    assert "20" in reason
    assert outcome.total == outcome.report.total == 27 + 19
    assert outcome.stated.incomplete


@pytest.mark.parametrize("limit", ["MAX_OF_ONE", "MAX_STATEMENTS"])
def test_a_supplier_that_brings_more_than_anybody_may_is_its_own_gap_and_ends_no_run(
    market: Any, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(told, limit, 20)
    monkeypatch.setattr(told, "SURE_OF_ONE", 10)
    flood, little = market.new_urn(LIAR), market.sold("4")
    parts = [market.part(LIAR, flood, "7", batch=f"b{number}") for number in range(25)]
    market.publish(LIAR, *parts)
    honest = market.sold("5", by=HONEST)
    buys = [(LIAR, flood), (LIAR, little), (HONEST, honest)]

    found = market.collect(market.pack(*(market.bought(*each, "1") for each in buys)))

    assert found.troubles.keys() == {(market.origin(LIAR), flood)}
    assert "statements in one run" in found.troubles[market.origin(LIAR), flood]
    assert {honest, little} <= {each.part.product for each in found.reached.values()}


def test_a_run_that_others_have_filled_has_room_for_what_one_more_supplier_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(told, "MAX_STATEMENTS", 20)
    monkeypatch.setattr(told, "SURE_OF_ONE", 3)
    count = told.Count()
    count.add("liar.example", map(str, range(20)))
    count.add("liar.example", map(str, range(20)))  # the same again is no more

    count.add("honest.example", "abc")

    with pytest.raises(LimitError, match=r"honest\.example: over 3 statements"):
        count.add("honest.example", "d")
    with pytest.raises(LimitError, match=r"liar\.example"):
        count.add("liar.example", ["20"])


def test_a_supplier_that_answers_twice_differently_is_taken_at_all_it_said(
    market: Any, lies: Any
) -> None:
    """The second answer has a statement that is the better choice for a tier that was done."""
    product = market.new_urn(LIAR)
    last = market.part(LIAR, product, "7").period
    year = int(last.start[:4]) - 1
    earlier = Interval(start=f"{year}-01-01T00:00:00Z", end=last.start)
    [old, new] = market.publish(
        LIAR,
        market.part(LIAR, product, "7", period=earlier),
        market.part(LIAR, product, "5", period=last),
    )
    items = {item.commitment: item for item in market.items(product)}
    pinned = market.bought(LIAR, product, "1", statement=old.commitment)
    module = market.sold("4", by=HONEST, inputs=[pinned])
    pack = market.pack(market.bought(LIAR, product, "1"), market.bought(HONEST, module, "1"))
    first, second = (
        lies.answers(market.lines(*each)) for each in ([items[old.commitment]], items.values())
    )
    market.lies("/statements", lies.in_turn(lies.answers(b""), first, second))

    outcome = market.run(pack)

    assert new.commitment in outcome.run.sum.collected.reached
    assert outcome.total == outcome.report.total == 27 + 4 + 7 + 5
    assert outcome.gaps == []


def test_a_statement_withheld_in_one_round_and_shown_in_the_next_feeds_both(
    market: Any, lies: Any
) -> None:
    product, other = market.new_urn(LIAR), market.new_urn(LIAR)
    market.publish(LIAR, market.part(LIAR, product, "7"))
    [item] = market.items(product)
    pinned = market.bought(LIAR, product, "1", statement=item.commitment)
    market.publish(LIAR, market.part(LIAR, other, "4", [pinned]))
    pack = market.pack(*(market.bought(LIAR, each, "1") for each in (product, other)))
    empty = lies.answers(market.lines())
    others = lies.answers(market.lines(*market.items(other)))
    market.lies("/statements", lies.in_turn(empty, others, None))

    outcome = market.run(pack)

    assert outcome.gaps == []
    assert outcome.total == outcome.report.total == 27 + 7 + 4 + 7
