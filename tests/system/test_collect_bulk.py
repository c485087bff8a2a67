"""Statements read log by log: once, as far as they are new, and the same result whoever does it."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from sqlalchemy import text

from bcca_node.cli import offline
from bcca_node.ledger import status
from bcca_node.packmaker import adding, collect, run
from bcca_node.packmaker.collect import Collected
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.plan import Plan
from bcca_node.storage import segments
from bcca_protocol import wire
from bcca_protocol.entry import Status

HEAD, HONEST, LIAR, MINE = "pack", "cell", "cathode", "mine"
STATEMENTS = "/statements"
TABLES = ("segment", "statements_read", "proven", "fetched")


def read(market: Any, pack: str, **plan: Any) -> tuple[Collected, bytes]:
    """Return what a run collects, and the very bytes that it would sign."""
    node = market.member(HEAD).node
    order = Order(product=pack, amount=None, at=node.clock())
    root = run._root(node, order)  # noqa: SLF001  # the run itself would enter the result
    told = Plan(period=root.part.period, at=order.at, **plan)
    found = market.ask(lambda fetcher: collect.collect(node, fetcher, [root], told))
    stated = run.state(node, adding.add_up(node, found, root, order), at=order.at)
    return found, wire.encode(stated)


def forget(market: Any) -> None:
    """Take from the pack maker all statements of others that it keeps."""
    with market.member(HEAD).node.database.write() as session:
        for table in TABLES:
            session.execute(text(f"DELETE FROM {table}"))  # noqa: S608  # ours


def kept(market: Any, of: str = LIAR) -> tuple[int, int]:
    """Return up to which entry a log's statements were read, and how many are kept."""
    vkey = market.member(of).node.log_key.encode()
    with market.member(HEAD).node.database.read() as session:
        return segments.read(session, vkey, ""), segments.count(session, vkey)


def ways(market: Any) -> list[tuple[str, str]]:
    """Return which statement the pack maker has found to feed which."""
    with market.member(HEAD).node.database.read() as session:
        return [(row.consumer, row.fed) for row in session.execute(text("SELECT * FROM feed"))]


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def test_the_signed_bytes_are_the_same_whoever_works_in_whatever_order_cold_and_warm(
    market: Any, processes: ProcessPoolExecutor
) -> None:
    ore = market.sold("5", by=MINE)
    some = [market.sold(f"{n}.1", inputs=[market.bought(MINE, ore, f"0.{n}")]) for n in range(1, 6)]
    pack = market.pack(*(market.bought(LIAR, each, "0.7") for each in some))
    ways: list[dict[str, Any]] = [
        {"workers": 1, "concurrency": 1},
        {"workers": 1, "concurrency": 16},
        {"executor": processes},
    ]
    with ThreadPoolExecutor(3) as threads:
        results = set()
        for way in [*ways, {"executor": threads}]:
            forget(market)
            results.add(read(market, pack, **way)[1])  # cold
            results.add(read(market, pack, **way)[1])  # warm

    assert len(results) == 1


def test_what_is_kept_is_not_asked_for_again_and_only_what_is_new_is(market: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    _, first = read(market, pack)
    asked = market.mouths[LIAR].asked
    before, count = kept(market)
    asked.clear()

    _, again = read(market, pack)

    assert again == first
    assert STATEMENTS not in asked
    market.sold("8")
    read(market, pack)
    assert asked.count(STATEMENTS) == 1
    assert kept(market) == (before + 1, count + 1)


def test_what_another_program_kept_is_read_from_its_envelopes_again_once(market: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    _, first = read(market, pack)
    database = market.member(HEAD).node.database
    vkey = market.member(LIAR).node.log_key.encode()
    with database.write() as session:
        [begin, *_] = segments.firsts(session, vkey)
        ours = segments.facts(session, vkey, begin)
        segments.put_facts(session, vkey, begin, b"what an older program wrote")

    _, again = read(market, pack)

    assert again == first
    with database.read() as session:
        assert segments.facts(session, vkey, begin) == ours


def test_the_ways_upstream_are_written_once_and_again_where_they_changed(market: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    read(market, pack)
    assert ways(market)
    with market.member(HEAD).node.database.write() as session:
        session.execute(text("DELETE FROM feed"))

    read(market, pack)
    assert ways(market) == []  # nothing had changed
    other = market.pack(market.bought(LIAR, product, "2"))
    found, _ = read(market, other)

    [held] = _of(found, product)
    assert held.part.commitment in [fed for _, fed in ways(market)]


def test_a_kept_statement_that_was_revoked_since_feeds_nothing_any_more(market: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    found, _ = read(market, pack)
    [held] = _of(found, product)

    node = market.member(LIAR).node
    status.revoke(node, held.part.commitment)
    market.cosigned(LIAR)
    found, _ = read(market, pack)

    assert _of(found, product) == []


def test_a_kept_statement_that_was_corrected_since_gives_way(market: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    found, _ = read(market, pack)
    [old] = _of(found, product)

    part = market.part(LIAR, product, "6")
    market.publish(LIAR, status.replacing(part, old.part.commitment, Status.CORRECTED))
    found, _ = read(market, pack)
    [new] = _of(found, product)

    assert new.part.commitment != old.part.commitment
    assert new.envelope == b""  # it is kept with its hundred


def test_a_run_that_ends_early_goes_on_where_it_was(market: Any, lies: Any) -> None:
    """Three pages of entries; the second hangs until the supplier's time is up."""
    forget(market)
    parts = [market.part(LIAR, market.new_urn(LIAR), "7") for _ in range(520)]
    market.publish(LIAR, *parts)
    pack = market.pack(market.bought(LIAR, parts[-1].product.id, "1"))
    market.lies(STATEMENTS, lies.in_turn(None, lies.hangs()))
    market.loses_patience()
    found = market.collect(pack, supplier_seconds=4.0)
    assert found.troubles
    before, _ = kept(market)
    assert before % 256 == 0  # whole pages, as many as came

    market.mouths[LIAR].lies.clear()
    market.is_patient = True
    market.mouths[LIAR].asked.clear()
    found, _ = read(market, pack)
    size = market.read_log(LIAR).history.size
    assert _of(found, parts[-1].product.id)
    assert kept(market)[0] == size
    assert market.mouths[LIAR].asked.count(STATEMENTS) == -(-size // 256) - before // 256


def test_an_attack_a_page_that_is_none_stops_no_product_that_is_asked_for_by_itself(
    market: Any, lies: Any
) -> None:
    forget(market)
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    market.lies(STATEMENTS, lies.in_turn(lies.changes(lambda _: b"no page"), None))

    found, _ = read(market, pack)

    assert _of(found, product)


def test_offline_nobody_is_asked_and_what_is_kept_says_how_old_it_is(market: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    _, online = read(market, pack)
    for mouth in market.mouths.values():
        mouth.asked.clear()

    found, offline = read(market, pack, is_offline=True)

    assert offline == online
    assert not any(mouth.asked for mouth in market.mouths.values())
    assert market.origin(LIAR) in found.cached
    assert all(age >= 0 for age in found.cached.values())


def test_offline_what_was_never_read_is_missing_with_that_reason(market: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    forget(market)

    found, _ = read(market, pack, is_offline=True)

    assert any("nobody was asked" in why for why in _reasons(found))


def _of(found: Collected, product: str) -> list[Held]:
    return [each for each in found.reached.values() if each.part.product == product]


def _reasons(found: Collected) -> list[str]:
    choices = (
        found.choose(each.part, bought)
        for each in found.reached.values()
        for bought in each.part.bought
    )
    return [getattr(choice, "reason", "") for choice in choices]


def test_offline_a_run_enters_nothing_and_says_so(market: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    read(market, pack)
    node = market.member(HEAD).node
    order = Order(product=pack, amount=None, at=node.clock(), is_offline=True)

    done = market.ask(lambda fetcher: run.roll_up(node, fetcher, order))

    assert done.published is None
    assert "offline" in str(done.unentered)
    assert market.origin(LIAR) in str(offline.as_json(done)["fromCache"])
