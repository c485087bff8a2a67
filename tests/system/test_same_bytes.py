"""The signed bytes of a roll-up follow from the statements alone: not from who works, nor when.

The nonce follows from the node's secret and the rest (SPEC 4.3), so it is the same too. What may
differ between two runs over the same statements is which trees were read: `logs`, and with them
`referenceDate`, and the nonce over both. Such a result is not entered again. Offline a gap says
that nobody was asked.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from bcca_node.ledger import status
from bcca_node.packmaker import adding, collect, run
from bcca_node.packmaker.filling import fill
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.secrecy import Keeping
from bcca_node.storage import statements
from bcca_node.supplier.case_drafts import last_full_year
from bcca_protocol import issue, statement, wire
from bcca_protocol.entry import Status
from bcca_protocol.envelope import Envelope
from bcca_protocol.inventory import Interval
from bcca_protocol.statement import FootprintRollUp

HEAD, HONEST, LIAR, FOIL, MINE, REFINERY = "pack", "cell", "cathode", "foil", "mine", "refinery"
SUPPLIERS = (HONEST, LIAR, FOIL, MINE, REFINERY)
STATEMENTS, CHECKPOINT = "/statements", "/log/checkpoint"
TABLES = ("segment", "statements_read", "proven", "fetched")
DELAYS = (0.0, 0.01, 0.03, 0.06, 0.1)  # seconds of a supplier before each answer


def years_ago(years: int) -> Interval:
    year = int(last_full_year(datetime.now(UTC)).start[:4]) - years
    return Interval(start=f"{year}-01-01T00:00:00Z", end=f"{year + 1}-01-01T00:00:00Z")


def a_pack_of_every_kind(market: Any) -> Order:
    """Return an order of a pack fed by whatever feeds one, with a gap; everybody is another's.

    There are partial and cumulative footprints, current, corrected, lagging and expired ones, a
    value of the maker's own, and something that nobody has ever spoken of.
    """
    ore = market.sold("5.3", by=MINE)
    housing, label, gap = market.new_urn(REFINERY), market.new_urn(HONEST), market.new_urn(FOIL)
    of_ore = [market.bought(MINE, ore, "0.4")]
    market.publish(REFINERY, market.part(REFINERY, housing, "1.1", of_ore, sharing="direct"))
    node = market.member(REFINERY).node
    secret = Order(
        product=housing, amount=None, at=node.clock(), keeping=Keeping.SECRET, sharing="public"
    )
    market.ask(lambda fetcher: run.roll_up(node, fetcher, secret))
    some = [market.sold(f"{n}.1", inputs=[market.bought(MINE, ore, f"0.{n}")]) for n in (3, 7)]
    more = [market.bought(REFINERY, housing, "0.3"), market.bought(MINE, ore, "0.9")]
    foil, film = market.sold("4.7", by=FOIL, inputs=more), market.new_urn(FOIL)
    market.publish(FOIL, *(market.part(FOIL, film, "2", period=years_ago(n)) for n in (2, 1, 6)))
    wire_ = market.new_urn(HONEST)
    [old] = market.publish(HONEST, market.part(HONEST, wire_, "9"))
    better = market.part(HONEST, wire_, "1.7")
    market.publish(HONEST, status.replacing(better, old.commitment, Status.CORRECTED))
    expired = market.sold("0.6", by=HONEST, period=years_ago(7))
    pack = market.pack(
        *(market.bought(LIAR, each, "0.7") for each in some),
        *(market.bought(FOIL, each, "1.3") for each in (foil, film, gap)),
        *(market.bought(HONEST, each, "0.11") for each in (wire_, expired, label)),
    )
    own = OwnValue(asked=label, kg="3.3", unit=None, reason="LCA of 2024", replaces=False)
    head = market.member(HEAD).node
    return Order(product=pack, amount=None, at=head.clock(), own_values=(own,))


def stated(market: Any, order: Order, **plan: Any) -> FootprintRollUp:
    """Return what a run comes to, without entering it."""
    node = market.member(HEAD).node
    root = run._root(node, order)  # noqa: SLF001  # the run itself would enter the result
    told = Plan(period=root.part.period, at=order.at, rules=order.rules, **plan)
    read = market.ask(lambda fetcher: collect.collect(node, fetcher, [root], told))
    found = fill(node, read, order.own_values, order.rules, root.part.period)
    return run.state(node, adding.add_up(node, found, root, order), at=order.at)


def payload(market: Any, order: Order, **plan: Any) -> bytes:
    """Return the very bytes that a run would sign."""
    secret = market.member(HEAD).node.keys.secret
    return wire.encode(statement.of(issue.with_nonce(stated(market, order, **plan), secret)))


def entered(market: Any, commitment: str) -> bytes:
    """Return the signed payload that stands in the pack maker's log."""
    with market.member(HEAD).node.database.read() as session:
        found = statements.get(session, commitment)
    assert found is not None
    return Envelope.parse(found.envelope).payload


def forget(market: Any) -> None:
    """Take from the pack maker all statements of others that it keeps."""
    with market.member(HEAD).node.database.write() as session:
        for table in TABLES:
            session.execute(text(f"DELETE FROM {table}"))  # noqa: S608  # ours


def delayed(seconds: float, order: random.Random | None) -> Callable[..., Awaitable[None]]:
    """Answer the truth late; by no pages and in any order of lines, where an `order` is given."""

    async def lie(honest: Any, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(seconds)
        if order is None or scope["path"] != STATEMENTS:
            await honest(scope, receive, send)
            return
        if b"page" in scope["query_string"]:
            await answer(send, 404, b"")
            return
        pieces: list[bytes] = []

        async def catch(message: Any) -> None:
            pieces.append(message.get("body", b""))

        await honest(scope, receive, catch)
        *items, count = b"".join(pieces).splitlines(keepends=True)
        order.shuffle(items)
        await answer(send, 200, b"".join([*items, count]))

    return lie


async def answer(send: Any, code: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": code, "headers": []})
    await send({"type": "http.response.body", "body": body})


def late(market: Any, seed: int, *, shuffled: bool) -> None:
    """Let every supplier answer late, another one last with each seed."""
    order = random.Random(seed)  # noqa: S311  # no secret
    for name, seconds in zip(SUPPLIERS, order.sample(DELAYS, len(DELAYS)), strict=True):
        for path in (STATEMENTS, CHECKPOINT):
            market.lies(path, delayed(seconds, order if shuffled else None), by=name)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def test_the_signed_payload_is_the_same_by_one_or_many_late_shuffled_cold_warm_and_offline(
    market: Any, processes: ProcessPoolExecutor
) -> None:
    order = a_pack_of_every_kind(market)
    node = market.member(HEAD).node
    ways: list[tuple[dict[str, Any], bool]] = [
        ({"workers": 1, "concurrency": 1}, False),
        ({"workers": 1, "concurrency": 16}, False),
        ({"workers": 1, "concurrency": 16}, True),
        ({"executor": processes, "concurrency": 16}, True),
    ]

    found = []
    for seed, (way, shuffled) in enumerate(ways):
        late(market, seed, shuffled=shuffled)
        forget(market)
        found.append(payload(market, order, **way))  # cold
        found.append(payload(market, order, **way))  # warm
    for mouth in market.mouths.values():
        mouth.lies.clear()
    offline = stated(market, order, is_offline=True)
    done = market.ask(lambda fetcher: run.roll_up(node, fetcher, order))

    assert set(found) == {entered(market, done.published.commitment)}
    resolved = [edge.resolved for edge in done.statement.manifest]
    assert len([each for each in resolved if each.gap]) == 1
    assert len([each for each in resolved if each.substitute]) == 1
    assert {each.code for each in done.verdict.blocks} == {"gap", "expired"}
    assert len(found) == 8
    # Nobody was asked for what is missing, and so it says: in words, and in nothing else.
    assert unexplained(offline) == unexplained(done.statement)


def test_other_trees_of_the_same_statements_change_their_names_and_dates_and_nothing_else(
    market: Any,
) -> None:
    order = a_pack_of_every_kind(market)
    node = market.member(HEAD).node
    first = market.ask(lambda fetcher: run.roll_up(node, fetcher, order))
    market.sold("8")  # of no matter for the pack

    then = stated(market, order)
    again = market.ask(lambda fetcher: run.roll_up(node, fetcher, order))

    before = stated_as(first.statement)
    changed = {name for name, value in stated_as(then).items() if before[name] != value}
    assert "logs" in changed
    assert changed <= {"logs", "reference_date", "nonce"}
    assert again.published.commitment == first.published.commitment


def unexplained(rolled: FootprintRollUp) -> bytes:
    """Return what is stated without why something is missing, and the nonce over that."""
    edges = []
    for each in rolled.manifest or ():
        gap = each.resolved.gap and msgspec.structs.replace(each.resolved.gap, reason="missing")
        resolved = msgspec.structs.replace(each.resolved, gap=gap)
        edges.append(msgspec.structs.replace(each, resolved=resolved))
    told = {"manifest": tuple(edges), "nonce": issue.UNSET_NONCE}
    return wire.encode(statement.of(msgspec.structs.replace(rolled, **told)))


def stated_as(rolled: FootprintRollUp) -> dict[str, Any]:
    return msgspec.structs.asdict(rolled)
