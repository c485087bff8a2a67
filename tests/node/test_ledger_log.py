"""The log at rest: appended to at its edge, it is the tree of all its entries."""

import base64
import hashlib
import json
import struct
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


def test_a_log_of_every_size_to_600_has_the_tiles_that_anybody_computes(
    database: Database,
) -> None:
    """Grown by one entry at a time; c2sp.org/tlog-tiles done again without any cleverness."""
    naive = Naive([line.encode() for line in LINES])
    with database.write() as session:
        for size in range(601):
            if size:
                log.append(session, LINES[size - 1 : size])
            assert logs.size(session) == size
            assert merkle.root_hash(size, log.subtree(session, size)) == naive.root(0, size)
            served = {
                tile.encode(): log.content(session, tile, size) for tile in tiles.tiles_for(size)
            }
            assert served == naive.tiles(size)


def test_every_partial_tile_of_every_earlier_size_is_served_under_the_newest(
    database: Database,
) -> None:
    naive = Naive([line.encode() for line in LINES])
    with database.write() as session:
        log.append(session, LINES)
        for size in range(601):
            for path, content in naive.tiles(size).items():
                assert log.content(session, Tile.parse(path), 600) == content


def test_a_log_of_70000_entries_has_the_tiles_that_anybody_computes(database: Database) -> None:
    lines = [f"line {index}" for index in range(70_000)]
    naive = Naive([line.encode() for line in lines])
    with database.write() as session:
        for start in range(0, 70_000, 9_999):
            log.append(session, lines[start : start + 9_999])
        served = {
            tile.encode(): log.content(session, tile, 70_000) for tile in tiles.tiles_for(70_000)
        }
        root = merkle.root_hash(70_000, log.subtree(session, 70_000))

    assert root == naive.root(0, 70_000)
    assert served == naive.tiles(70_000)
    assert [path for path in served if ".p/" in path] == [
        "tile/entries/273.p/112",
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]


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
        log.sign(session, (signer,))

    refused = pytest.raises(ConflictError, match="tree of size 3: signed with root")
    with refused, database.write() as session:
        logs.put_head(session, Head(size=3, root=bytes(32), note="another"))


def test_a_published_head_is_not_replaced_by_a_pending_one(database: Database) -> None:
    signer = SeedSigner(name="a.example", algorithm=Algorithm.ED25519, seed=bytes(32))
    with database.write() as session:
        log.append(session, LINES[:3])
        head = log.sign(session, (signer,))
        logs.put_head(session, Head(size=3, root=head.root, note="cosigned", published=True))
        log.sign(session, (signer,))

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


class Naive:
    """RFC 9162 2.1 and c2sp.org/tlog-tiles, written down once more for these tests alone."""

    def __init__(self, entries: list[bytes]) -> None:
        self.entries = entries
        self.known: dict[tuple[int, int], bytes] = {}

    def root(self, start: int, end: int) -> bytes:
        """Return MTH(D[start:end])."""
        if (start, end) not in self.known:
            self.known[start, end] = self._root(start, end)
        return self.known[start, end]

    def _root(self, start: int, end: int) -> bytes:
        if start == end:
            return hashlib.sha256().digest()
        if end - start == 1:
            return hashlib.sha256(b"\0" + self.entries[start]).digest()
        half = 1
        while half * 2 < end - start:
            half *= 2
        left, right = self.root(start, start + half), self.root(start + half, end)
        return hashlib.sha256(b"\1" + left + right).digest()

    def tiles(self, size: int) -> dict[str, bytes]:
        """Return every tile of a log of `size` entries by its path."""
        found: dict[str, bytes] = {}
        for index in range(-(-size // 256)):
            few = self.entries[256 * index : min(size, 256 * index + 256)]
            bundle = b"".join(struct.pack(">H", len(entry)) + entry for entry in few)
            found[self.path("entries", index, len(few))] = bundle
        for level in range(9):
            unit = 256**level
            for index in range(-(-(size // unit) // 256)):
                width = min(256, size // unit - 256 * index)
                starts = [unit * (256 * index + i) for i in range(width)]
                hashes = b"".join(self.root(start, start + unit) for start in starts)
                found[self.path(str(level), index, width)] = hashes
        return found

    @staticmethod
    def path(level: str, index: int, width: int) -> str:
        assert index < 1000
        return f"tile/{level}/{index:03d}" + ("" if width == 256 else f".p/{width}")
