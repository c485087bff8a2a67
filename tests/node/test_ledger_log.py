"""The log at rest: appended to at its edge, it is the tree of all its entries."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcca_node.ledger import log
from bcca_node.storage import logs
from bcca_node.storage.database import Database
from bcca_node.storage.logs import Head
from bcca_protocol import merkle, tiles
from bcca_protocol.errors import ConflictError
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.merkle import Tree
from bcca_protocol.note import Note, verify_note
from bcca_protocol.tiles import Tile

LINES = [f"line {index}" for index in range(600)]
LEAVES = [merkle.leaf_hash(line.encode()) for line in LINES]
SIZES = (1, 2, 3, 6, 255, 256, 257, 511, 512, 513, 600)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'node.db'}")
    yield database
    database.close()


@pytest.mark.parametrize("step", [1, 7, 255, 256, 257, 300])
def test_the_root_is_the_same_however_entries_come(database: Database, step: int) -> None:
    tree = Tree(LEAVES)
    for start in range(0, 300, step):
        with database.write() as session:
            assert log.append(session, LINES[start : start + step]) == start
            size = logs.size(session)
            assert merkle.root_hash(size, log.subtree(session, size)) == tree.root(size)


def test_every_entry_is_proved_under_every_head(database: Database) -> None:
    tree = Tree(LEAVES)
    with database.write() as session:
        log.append(session, LINES)
        for size in SIZES:
            subtree = log.subtree(session, size)
            for index in range(0, size, 37):
                path = merkle.prove_inclusion(index, size, subtree)
                merkle.verify_inclusion(LEAVES[index], index, size, path, tree.root(size))


def test_every_head_continues_every_earlier_one(database: Database) -> None:
    tree = Tree(LEAVES)
    with database.write() as session:
        log.append(session, LINES)
        for new in SIZES:
            subtree = log.subtree(session, new)
            for old in (size for size in SIZES if size <= new):
                path = merkle.prove_consistency(old, new, subtree)
                merkle.verify_consistency(old, new, path, tree.root(old), tree.root(new))


@pytest.mark.parametrize("size", SIZES)
def test_every_tile_of_every_size_is_served_and_nothing_beyond(
    database: Database, size: int
) -> None:
    tree = Tree(LEAVES)
    with database.write() as session:
        log.append(session, LINES)
        for tile in tiles.tiles_for(size):
            first = tile.index * tiles.TILE_WIDTH
            entries = [line.encode() for line in LINES[first : first + tile.width]]
            served = log.content(session, tile, size)
            if tile.level == tiles.ENTRIES:
                assert served == tiles.encode_entries(entries)
            else:
                assert served == tiles.encode_tile(tile, tree.subtree)

        for level in (tiles.ENTRIES, 0, 1, 2):
            count = size // tiles.TILE_WIDTH ** max(level, 0)
            index, width = divmod(count, tiles.TILE_WIDTH)
            beyond = Tile(level=level, index=index, width=width + 1)
            assert log.content(session, beyond, size) is None


def test_appending_to_a_long_log_touches_its_edge_alone(database: Database) -> None:
    with database.write() as session:
        log.append(session, LINES)
        session.flush()
        before = logs.tile(session, 0, 0)
        session.expunge_all()

        log.append(session, ["one more"])

        assert [(row.level, row.index) for row in session.dirty] == [(0, 2)]
        assert logs.tile(session, 0, 0) == before


def test_two_trees_of_one_size_are_never_signed(database: Database) -> None:
    signer = SeedSigner(name="a.example", algorithm=Algorithm.ED25519, seed=bytes(32))
    with database.write() as session:
        log.append(session, LINES[:3])
        log.sign(session, signer)

    refused = pytest.raises(ConflictError, match="tree of size 3: signed with root")
    with refused, database.write() as session:
        logs.put_head(session, Head(size=3, root=bytes(32), note="another"))


def test_a_published_head_is_not_replaced_by_a_pending_one(database: Database) -> None:
    signer = SeedSigner(name="a.example", algorithm=Algorithm.ED25519, seed=bytes(32))
    with database.write() as session:
        log.append(session, LINES[:3])
        head = log.sign(session, signer)
        logs.put_head(session, Head(size=3, root=head.root, note="cosigned", published=True))
        log.sign(session, signer)

        published = logs.published_head(session)

    assert published == Head(size=3, root=head.root, note="cosigned", published=True)
    assert verify_note(Note.parse(head.note), (signer.key,)) == (signer.key,)


def test_a_log_as_another_implementation_writes_it(database: Database, shared: Path) -> None:
    folder = shared / "vectors/tlog-log-small"
    vectors = json.loads((folder / "vectors.json").read_bytes())
    with database.write() as session:
        log.append(session, [entry_of(index) for index in range(300)])
        for each in vectors["checkpoints"]:
            root = merkle.root_hash(each["size"], log.subtree(session, each["size"]))
            assert root == base64.b64decode(each["root"])
        for tile in tiles.tiles_for(300):
            assert log.content(session, tile, 300) == (folder / tile.encode()).read_bytes()


def entry_of(index: int) -> str:
    """Return the entry that the rule in vectors.json gives."""
    digest = hashlib.sha256(f"entry {index}".encode()).digest()
    length = 0 if index % 17 == 3 else digest[0] + digest[1] % 48
    return (digest.hex() * 5)[:length]
