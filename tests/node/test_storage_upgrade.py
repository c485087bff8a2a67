"""A database of version 1 becomes one of this version as it is opened, whole or not at all."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from bcca_node.ledger import log
from bcca_node.storage import copies, heads, logs, statements, witnessed
from bcca_node.storage.copies import Copy
from bcca_node.storage.database import Database
from bcca_protocol import merkle, tiles
from bcca_protocol.errors import UnavailableError
from bcca_protocol.merkle import HASH_BYTES, Tree
from bcca_protocol.tiles import Tile

# As the first release made its tables.
VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE entry ("index" INTEGER NOT NULL, line VARCHAR NOT NULL, PRIMARY KEY ("index"));
CREATE TABLE tile (level INTEGER NOT NULL, "index" INTEGER NOT NULL, hashes BLOB NOT NULL,
    PRIMARY KEY (level, "index"));
CREATE TABLE checkpoint (size INTEGER NOT NULL, root BLOB NOT NULL, note VARCHAR NOT NULL,
    published BOOLEAN NOT NULL, PRIMARY KEY (size));
CREATE INDEX ix_checkpoint_published ON checkpoint (published);
CREATE TABLE statement (commitment VARCHAR NOT NULL, "index" INTEGER NOT NULL,
    kind VARCHAR NOT NULL, product VARCHAR NOT NULL, site VARCHAR, batch VARCHAR,
    period_start VARCHAR NOT NULL, period_end VARCHAR NOT NULL, sharing VARCHAR NOT NULL,
    ended INTEGER, envelope BLOB NOT NULL, PRIMARY KEY (commitment), UNIQUE ("index"));
CREATE INDEX ix_statement_product ON statement (product);
CREATE TABLE draft (id VARCHAR NOT NULL, product VARCHAR NOT NULL, kind VARCHAR NOT NULL,
    predicate BLOB NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_draft_product ON draft (product);
CREATE TABLE witnessed (origin_hash VARCHAR NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
    note VARCHAR NOT NULL, PRIMARY KEY (origin_hash));
CREATE TABLE head (origin VARCHAR NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
    note VARCHAR NOT NULL, PRIMARY KEY (origin, size, root));
CREATE TABLE seen_log (origin VARCHAR NOT NULL, vkey VARCHAR NOT NULL, size INTEGER NOT NULL,
    root BLOB NOT NULL, note VARCHAR NOT NULL, entries BLOB NOT NULL, url VARCHAR,
    introduced_by VARCHAR, PRIMARY KEY (origin, vkey));
CREATE TABLE fetched (commitment VARCHAR NOT NULL, vkey VARCHAR NOT NULL, origin VARCHAR NOT NULL,
    "index" INTEGER NOT NULL, product VARCHAR NOT NULL, sharing VARCHAR NOT NULL,
    envelope BLOB NOT NULL, PRIMARY KEY (commitment, vkey));
CREATE INDEX ix_fetched_product ON fetched (product);
INSERT INTO schema_version VALUES (1);
"""
LINES = [f"line {index}".encode() for index in range(300)]
TREE = Tree(map(merkle.leaf_hash, LINES))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database of version 1: three entries of its own, a log seen, a head witnessed."""
    path = tmp_path / "node.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript(VERSION_1)
        own = Tree(map(merkle.leaf_hash, LINES[:3]))
        hashes = b"".join(merkle.leaf_hash(line) for line in LINES[:3])
        made.executemany("INSERT INTO entry VALUES (?, ?)", enumerate(map(bytes.decode, LINES[:3])))
        made.execute("INSERT INTO tile VALUES (0, 0, ?)", (hashes,))
        made.execute("INSERT INTO checkpoint VALUES (3, ?, 'own note', 1)", (own.root(),))
        made.execute("INSERT INTO draft VALUES ('d', 'p', 'k', x'7b7d')")
        made.execute("INSERT INTO head VALUES ('mine.example', 9, zeroblob(32), 'met')")
        made.execute("INSERT INTO head VALUES ('cathode.example', 7, zeroblob(32), 'm\u00e9t')")
        made.execute(
            "INSERT INTO witnessed VALUES (?, 9, zeroblob(32), 'cosigned')",
            (witnessed.origin_hash("mine.example"),),
        )
        bundle = tiles.encode_entries(LINES)
        seen = ("cathode.example", "cathode.example+key", 300, TREE.root(), "seen note", bundle)
        made.execute("INSERT INTO seen_log VALUES (?, ?, ?, ?, ?, ?, 'https://c', NULL)", seen)
        broken = ("broken.example", "broken.example+key", 7, bytes(32), "note", b"\0\1")
        made.execute("INSERT INTO seen_log VALUES (?, ?, ?, ?, ?, ?, NULL, 'x')", broken)
        made.commit()
    return path


def test_its_own_log_goes_on_where_it_was(file: Path) -> None:
    with closing(Database(f"sqlite:///{file}")) as database, database.write() as session:
        assert logs.entries(session, 0, 9) == LINES[:3]
        assert logs.published_head(session) == logs.Head(
            size=3, root=TREE.root(3), note="own note", published=True
        )
        assert [each.id for each in statements.drafts(session)] == ["d"]

        log.append(session, ["line 3"])

        assert merkle.root_hash(4, log.subtree(session, 4)) == TREE.root(4)


def test_what_it_has_seen_of_others_is_not_forgotten(file: Path) -> None:
    with closing(Database(f"sqlite:///{file}")) as database, database.read() as session:
        copy = copies.get(session, "cathode.example", "cathode.example+key")
        assert copy == Copy(
            origin="cathode.example",
            vkey="cathode.example+key",
            size=300,
            root=TREE.root(),
            note="seen note",
            url="https://c",
            introduced_by=None,
            checked_at=0,
        )
        assert copies.entries(session, copy) == LINES

        def read(tile: Tile) -> bytes:
            kept = copies.tile(session, copy.origin, copy.vkey, tile.level, tile.index)
            return kept[: tile.width * HASH_BYTES]

        assert merkle.root_hash(300, tiles.subtree_from(read, 300)) == TREE.root()
        met = heads.at_size(session, "cathode.example", 300)
        assert [(each.root, each.vkey) for each in met] == [(TREE.root(), "cathode.example+key")]
        assert [each.vkey for each in heads.at_size(session, "mine.example", 9)] == [""]
        assert witnessed.note(session, sha256(b"mine.example").hexdigest()) == "cosigned"


def test_a_log_that_was_not_kept_whole_is_fetched_anew_and_its_head_stays(file: Path) -> None:
    with closing(Database(f"sqlite:///{file}")) as database, database.read() as session:
        assert copies.get(session, "broken.example", "broken.example+key") is None
        assert [each.note for each in heads.at_size(session, "broken.example", 7)] == ["note"]


def test_the_heads_it_has_met_are_kept_under_no_key_until_they_are_met_again(file: Path) -> None:
    with closing(Database(f"sqlite:///{file}")) as database, database.read() as session:
        assert [
            (each.size, each.vkey, each.note) for each in heads.every(session, "mine.example")
        ] == [(9, "", "met")]
    with closing(sqlite3.connect(file)) as found:
        held = found.execute("SELECT held FROM head WHERE size < 10 ORDER BY size").fetchall()
        tables = {name for (name,) in found.execute("SELECT name FROM sqlite_schema")}

    assert held == [(4,), (4,), (3,)]  # bytes, not characters; the first is of a log seen
    assert not tables & {"head_1", "seen_log"}


def test_it_is_upgraded_once(file: Path) -> None:
    for _ in range(2):
        Database(f"sqlite:///{file}").close()

    with closing(sqlite3.connect(file)) as found:
        assert found.execute("SELECT version FROM schema_version").fetchall() == [(5,)]


def test_an_upgrade_that_fails_half_way_leaves_version_1(file: Path) -> None:
    with closing(sqlite3.connect(file)) as made:
        before = list(made.iterdump())
        made.execute("CREATE TABLE alarm (unlike, ours)")  # what the upgrade stumbles over
        made.execute("CREATE INDEX ix_copy_origin_hash ON alarm (unlike)")
        made.commit()

    with pytest.raises(UnavailableError, match="ix_copy_origin_hash already exists"):
        Database(f"sqlite:///{file}")

    with closing(sqlite3.connect(file)) as found:
        found.execute("DROP TABLE alarm")
        assert list(found.iterdump()) == before
    Database(f"sqlite:///{file}").close()
