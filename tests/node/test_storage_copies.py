"""Copies of other logs at rest: they grow at their edge, and never go back."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event

from bcca_node.ledger.growth import grow
from bcca_node.storage import copies, heads
from bcca_node.storage.copies import Copy
from bcca_node.storage.database import Database
from bcca_node.storage.witnessed import origin_hash
from bcca_protocol import merkle, tiles
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import ConflictError
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH

COPY = Copy(
    origin="mine.example",
    vkey="mine.example+key",
    size=7,
    root=b"7" * 32,
    note="note",
    url="https://mine.example",
    introduced_by="cathode.example",
    checked_at=1,
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'node.db'}")
    yield database
    database.close()


def test_a_copy_is_remembered_as_it_grows(database: Database) -> None:
    grown = replace(COPY, size=8, root=b"8" * 32, checked_at=2)
    with database.write() as session:
        assert copies.put(session, COPY, before=None)
        assert copies.put(session, COPY, before=COPY)
        assert copies.put(session, grown, before=COPY)

    with database.read() as session:
        assert copies.get(session, COPY.origin, COPY.vkey) == grown
        assert copies.every(session) == [grown]
        assert copies.of_hash(session, origin_hash("mine.example")) == [grown]
        assert copies.urls(session) == {"mine.example": "https://mine.example"}


def test_of_two_who_bring_a_copy_further_one_is_told_to_look_again(database: Database) -> None:
    grown = replace(COPY, size=8, root=b"8" * 32)
    with database.write() as session:
        copies.put(session, COPY, before=None)
        assert copies.put(session, grown, before=COPY)
        assert not copies.put(session, replace(grown, size=9), before=COPY)

    with database.read() as session:
        assert copies.get(session, COPY.origin, COPY.vkey) == grown


@pytest.mark.parametrize("size", [6, 7])
def test_a_rolled_back_log_and_another_tree_of_one_size_are_refused(
    database: Database, size: int
) -> None:
    with database.write() as session:
        copies.put(session, COPY, before=None)

    refused = pytest.raises(ConflictError, match=f"now of size {size}.*seen before with size 7")
    with refused, database.write() as session:
        copies.put(session, replace(COPY, size=size, root=b"x" * 32), before=COPY)


def test_a_log_introduced_with_a_false_key_stands_beside_the_true_one(database: Database) -> None:
    false = replace(COPY, vkey="mine.example+false", size=999)
    with database.write() as session:
        for each in (false, COPY):
            copies.put(session, each, before=None)

    with database.read() as session:
        assert copies.get(session, COPY.origin, COPY.vkey) == COPY
        assert copies.of_hash(session, origin_hash(COPY.origin)) == [false, COPY]


def bundles(entries: list[bytes], first: int) -> list[tuple[int, int, bytes]]:
    starts = range(first, len(entries), TILE_WIDTH)
    return [
        (ENTRIES, at // TILE_WIDTH, tiles.encode_entries(entries[at : at + TILE_WIDTH]))
        for at in starts
    ]


@pytest.mark.parametrize("step", [1, 100, 255, 256, 257, 600])
def test_a_copy_that_grows_in_steps_has_the_tiles_of_one_that_was_read_at_once(
    database: Database, step: int
) -> None:
    entries = [b"entry %d" % index for index in range(600)]
    tree = merkle.Tree(map(merkle.leaf_hash, entries))
    before: Copy | None = None
    for size in [*range(step, 600, step), 600][-40:]:
        first = 0 if before is None else before.size - before.size % TILE_WIDTH
        leaves = [merkle.leaf_hash(each) for each in entries[first:size]]
        with database.write() as session:
            edge = partial(copies.tile, session, COPY.origin, COPY.vkey)
            new = [*grow(edge, first, leaves), *bundles(entries[:size], first)]
            copy = replace(COPY, size=size, root=tree.root(size))
            assert copies.put(session, copy, new, before=before)
        before = copy

    assert before is not None
    with database.read() as session:
        assert copies.entries(session, before) == entries
        assert copies.entries(session, before, 512) == entries[512:]
        for tile in tiles.tiles_for(600):
            content = copies.tile(session, COPY.origin, COPY.vkey, tile.level, tile.index)
            if tile.level != ENTRIES:
                assert content == tiles.encode_tile(tile, tree.subtree)


def test_a_copy_that_grows_by_one_entry_writes_no_more_than_its_edge(database: Database) -> None:
    entries = [b"entry %d" % index for index in range(70_000)]
    tree = merkle.Tree(map(merkle.leaf_hash, entries))
    big = replace(COPY, size=69_999, root=tree.root(69_999))
    leaves = [merkle.leaf_hash(each) for each in entries]
    whole = [*grow(lambda *_: b"", 0, leaves[:-1]), *bundles(entries[:-1], 0)]
    with database.write() as session:
        copies.put(session, big, whole, before=None)
    written: list[int] = []

    with database.write() as session:
        connection = session.connection()
        event.listen(
            connection.engine,
            "before_cursor_execute",
            lambda *told: written.append(len(told[3]) if told[5] else 1),
        )
        first = 69_999 - 69_999 % TILE_WIDTH
        edge = partial(copies.tile, session, COPY.origin, COPY.vkey)
        new = [*grow(edge, first, leaves[first:]), *bundles(entries, first)]
        copies.put(session, replace(big, size=70_000, root=tree.root()), new, before=big)

    assert len(new) == 2  # the last bundle and the last tile of hashes
    assert sum(written) < 20


def test_what_is_parked_is_whole_bundles_apart_from_the_copy_until_it_grows(
    new_url: Callable[[], str],
) -> None:
    database = Database(new_url())
    entries = [b"entry %d" % index for index in range(1_000)]
    name = (COPY.origin, COPY.vkey)
    first = replace(COPY, size=300)
    with database.write() as session:
        assert copies.put(session, first, bundles(entries[:300], 0), before=None)
        copies.park(session, *name, 256, entries[256:900])

    with database.read() as session:
        assert copies.parked(session, *name, 256, 1_000) == (256, entries[256:768])
        assert copies.parked(session, *name, 256, 767) == (256, entries[256:512])
        assert copies.entries(session, first) == entries[:300]
        assert copies.entry_bytes(session, *name, 0) == 0
        assert copies.entry_bytes(session, *name, 256) == sum(map(len, entries[:256]))
    with database.write() as session:
        copies.park(session, *name, 0, entries[:256])
    with database.read() as session:
        assert copies.parked(session, *name, 256, 1_000)[0] == 0
    with database.write() as session:
        copies.put(session, replace(COPY, size=400), bundles(entries[:400], 256), before=first)
        assert not copies.unpark(session, *name)
    database.close()


def test_of_too_many_heads_the_smallest_give_way_in_each_database(
    new_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "MAX_HEADS", 2)
    database = Database(new_url())
    met = [Checkpoint(origin="mine.example", size=size, root=bytes(32)) for size in (3, 1, 2)]

    with database.write() as session:
        for each in met:
            heads.keep(session, each, "key", "a note")
        heads.keep(session, met[0], "key", "a note with more")

    with database.write() as session:
        kept = heads.roots(session, "mine.example", 9)
        assert [each.size for each in kept] == [2, 3]
        assert [heads.note(session, each) for each in kept] == ["a note", "a note with more"]
        [three] = heads.at_size(session, "mine.example", 3)
        heads.drop(session, three)
        assert heads.note(session, kept[1]) is None
    database.close()
