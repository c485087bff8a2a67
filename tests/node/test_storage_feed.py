"""What feeds what is kept as it is collected; whom statements name, as they are published."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import text

from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.packmaker import held
from bcca_node.packmaker.collect import collect
from bcca_node.packmaker.plan import Plan
from bcca_node.storage import feed, logs, seen, statements
from bcca_node.storage.database import Database
from bcca_node.storage.logs import Head
from bcca_node.storage.seen import FetchedStatement
from bcca_node.storage.statements import OwnStatement
from bcca_protocol.inventory import Input
from bcca_protocol.period import Span
from bcca_protocol.statement import PartialFootprint

Part = Callable[..., PartialFootprint]
URN = "urn:bcca:case:t:"
PUBLISHED = Head(size=2, root=bytes(32), note="", published=True)


def own(commitment: str, index: int, envelope: bytes = b"") -> OwnStatement:
    return OwnStatement(
        commitment=commitment,
        index=index,
        kind="k",
        product=f"{URN}{commitment}",
        site=None,
        batch=None,
        period_start="a",
        period_end="b",
        sharing="direct",
        envelope=envelope,
    )


def kept(commitment: str, sharing: str, envelope: bytes = b"") -> FetchedStatement:
    return FetchedStatement(
        commitment=commitment,
        vkey="mine.example+key",
        origin="mine.example",
        index=1,
        product=f"{URN}{commitment}",
        sharing=sharing,
        envelope=envelope,
    )


async def released(node: Node, *predicates: PartialFootprint) -> list[str]:
    async with Fetcher(hosts_of(node.trust.required())) as fetcher:
        made = publish(node, predicates)
        await witness(node, fetcher)
    return [each.commitment for each in made]


def test_collecting_keeps_what_feeds_what_with_the_own_statements_at_the_top(
    network: list[Node], part: Part, bought: Callable[..., Input]
) -> None:
    node, mine = network[:2]
    buys = (bought("cell", node), bought("ore", mine))
    cell = part(node.origin, "cell", buys=(bought("salt", mine),))

    async def run() -> tuple[list[str], list[str]]:
        theirs = await released(mine, part(mine.origin, "ore"), part(mine.origin, "salt"))
        ours = await released(node, part(node.origin, "pack", buys=buys), cell)
        trusted, at = node.trust.required(), node.clock()
        with node.database.read() as session:
            log = held.own_log(node, session, trusted, at=at)
            roots = held.own_parts(session, f"{URN}pack", log)
        period = Span("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
        async with Fetcher(hosts_of(trusted)) as fetcher:
            for _ in range(2):  # nothing is kept twice
                await collect(node, fetcher, roots, Plan(period=period, at=at))
        return theirs, ours

    (ore, salt), (pack, made_cell) = asyncio.run(run())

    with node.database.read() as session:
        found = {
            name: [each.commitment for each in owns]
            for name, owns in feed.own_consumers(
                session, (ore, salt, made_cell), feed.PASSED_ON
            ).items()
        }
        naming = {each.commitment for each in feed.own_naming(session, mine.origin, 100)}
    assert found == {ore: [pack], salt: [made_cell], made_cell: [pack]}
    assert naming == {pack, made_cell}


@pytest.mark.parametrize(
    ("sharing", "through", "reaches"),
    [
        ("public", feed.PASSED_ON, True),
        ("downstream", feed.PASSED_ON, True),
        ("direct", feed.PASSED_ON, False),
        ("direct", feed.ANY_SHARING, True),
    ],
)
def test_the_way_up_passes_what_others_let_be_handed_on(
    new_url: Callable[[], str], sharing: str, through: tuple[str, ...], reaches: bool
) -> None:
    with closing(Database(new_url())) as database:
        with database.write() as session:
            statements.add(session, [own("top", 0), own("side", 1)])
            seen.put_statements(session, [kept("mid", sharing), kept("low", "downstream")])
            edges = [("top", "mid"), ("mid", "low"), ("low", "low"), ("low", "mid"), ("top", "mid")]
            feed.put(session, edges)
            logs.put_head(session, PUBLISHED)
        with database.read() as session:
            found = feed.own_consumers(session, ["low"], through)

    assert [each.commitment for each in found["low"]] == (["top"] if reaches else [])


def test_the_way_up_ends_at_the_own_statements(new_url: Callable[[], str]) -> None:
    with closing(Database(new_url())) as database, database.write() as session:
        statements.add(session, [own("top", 0), own("cell", 1)])
        seen.put_statements(session, [kept("low", "downstream")])
        feed.put(session, [("top", "cell"), ("cell", "low")])

        logs.put_head(session, PUBLISHED)
        session.flush()
        found = feed.own_consumers(session, ["low"], feed.ANY_SHARING)

    assert [each.commitment for each in found["low"]] == ["cell"]


def test_what_is_entered_and_not_published_shows_nothing_that_feeds_it(
    new_url: Callable[[], str],
) -> None:
    with closing(Database(new_url())) as database, database.write() as session:
        statements.add(session, [own("top", 1), own("pending", 2)])
        seen.put_statements(session, [kept("low", "downstream"), kept("side", "downstream")])
        feed.put(session, [("top", "low"), ("pending", "low"), ("pending", "side")])
        before = feed.own_consumers(session, ["low", "side"], feed.ANY_SHARING)
        logs.put_head(session, PUBLISHED)
        logs.put_head(session, replace(PUBLISHED, size=3, published=False))
        session.flush()
        found = feed.own_consumers(session, ["low", "side"], feed.ANY_SHARING)

    assert before == {"low": [], "side": []}
    assert [each.commitment for each in found["low"]] == ["top"]
    assert found["side"] == []


def test_everybody_may_know_of_suppliers_that_public_statements_name(
    new_url: Callable[[], str],
) -> None:
    with closing(Database(new_url())) as database, database.write() as session:
        open_to_all = [replace(own(name, at), sharing="public") for at, name in enumerate("abc")]
        statements.add(session, [*open_to_all, own("hidden", 3)])
        seen.put_statements(session, [kept("held", "public"), kept("kept", "downstream")])
        named = {"a": ["one.example"], "c": ["late.example"], "hidden": ["secret.example"]}
        named |= {"held": ["two.example"], "kept": ["three.example"]}
        feed.put_named(session, named.items())

        assert feed.publicly_named(session, 2) == {"one.example", "two.example"}


def test_whom_old_statements_name_is_found_as_the_database_is_brought_up_to_date(
    node: Node, part: Part, bought: Callable[..., Input], new_node: Callable[..., Node]
) -> None:
    mine = new_node("mine.example")
    publish(node, [part(node.origin, "pack", buys=(bought("ore", mine),)), part(node.origin)])
    with node.database.read() as session:
        named = session.execute(text("SELECT origin, commitment FROM named")).all()
        found = statements.page(session, 0, 100)
    publish(mine, [part(mine.origin, "ore", buys=(bought("pack", node),))])
    with mine.database.read() as session:
        [ore] = statements.page(session, 0, 100)
    with node.database.write() as session:
        seen.put_statements(
            session, [kept("ore", "public", ore.envelope), kept("other", "public", b"no envelope")]
        )
    node.database.close()
    with closing(sqlite3.connect(node.settings.data / "node.db")) as file:
        file.execute("DROP TABLE named")
        file.execute("UPDATE schema_version SET version = 2")
        file.commit()

    with closing(Database(node.settings.database_url)) as database, database.read() as session:
        after = session.execute(text("SELECT origin, commitment FROM named ORDER BY origin")).all()

    pack = next(each.commitment for each in found if each.product == f"{URN}pack")
    assert named == [(mine.origin, pack)]
    assert after == [(node.origin, "ore"), (mine.origin, pack)]
