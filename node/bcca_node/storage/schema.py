"""The form of the tables: made where there are none, brought up to date in one transaction."""

from collections.abc import Iterator, Sequence

from sqlalchemy import MetaData, Text, inspect, text
from sqlmodel import AutoString, Session, SQLModel, select

from bcca_node.storage import (
    copies,
    dealings,  # noqa: F401  # its tables are made with the others
    factors,  # noqa: F401  # as above
    feed,
    foreign,  # noqa: F401  # as above
    pactclients,  # noqa: F401  # as above
    pactevents,  # noqa: F401  # as above, with those of what it names
    pactshelf,  # noqa: F401  # as above
    pressed,  # noqa: F401  # as above
    recipes,  # noqa: F401  # as above
    rulesets,  # noqa: F401  # as above
    runs,  # noqa: F401  # as above
    segments,  # noqa: F401  # as above
)
from bcca_node.storage.copies import Copy, TileContent
from bcca_node.storage.tables import SCHEMA_VERSION, HeadRow, SchemaVersion
from bcca_protocol import merkle, tiles
from bcca_protocol.errors import RefusedError, UnusableError

_FIRST = 1  # the version of the first release
_NAMED = 3  # the first with a table of the suppliers that statements name; 4 and 5 add tables alone
# A log as that kept it: its entries as one bundle, without the tiles above them.
_SEEN = text("SELECT origin, vkey, size, root, note, entries, url, introduced_by FROM seen_log")
# Heads as that kept them, without the key under which they were met.
_HEADS = text("SELECT origin, size, root, note FROM head_1")
_PAGE = 256  # statements in memory at a time: with 17 kB each, about 4 MB
# What named suppliers before there was a table of names.
_NAMING = tuple(
    text(
        f"SELECT commitment, envelope FROM {table} WHERE commitment > :last "  # noqa: S608 - ours
        f"ORDER BY commitment LIMIT {_PAGE}"
    )
    for table in ("statement", "fetched")
)


def is_current(session: Session, name: str) -> bool:
    """Say whether the tables of the database `name` are there in the form of this program.

    Raises UnusableError for a form that an older program cannot know.
    """
    found = _version(session)
    if found is not None and not _FIRST <= found <= SCHEMA_VERSION:
        raise UnusableError(
            f"database {name}: its tables have version {found}, this program knows those up to "
            f"{SCHEMA_VERSION}: run the program that made it"
        )
    return found == SCHEMA_VERSION


def make(session: Session) -> None:
    """Make the tables, or bring up to date those of an older version."""
    found = _version(session)  # whoever had the turn before may have done it
    if found == SCHEMA_VERSION:
        return
    if found == _FIRST:
        session.execute(text("ALTER TABLE head RENAME TO head_1"))
    _made_for(session).create_all(session.connection(), checkfirst=True)
    if found == _FIRST:
        _convert_heads(session)
        _convert_seen(session)
    if found is not None and found < _NAMED:
        _find_named(session)
    session.execute(text("DELETE FROM schema_version"))
    session.add(SchemaVersion(version=SCHEMA_VERSION))


def _version(session: Session) -> int | None:
    if not inspect(session.connection()).has_table(str(SchemaVersion.__tablename__)):
        return None
    return session.exec(select(SchemaVersion.version)).first()


def _made_for(session: Session) -> MetaData:
    """Return the tables; in PostgreSQL text sorts by code point, as it does in SQLite."""
    if session.connection().dialect.name == "sqlite":
        return SQLModel.metadata
    made = MetaData()
    for table in SQLModel.metadata.sorted_tables:
        for column in table.to_metadata(made).columns:
            column.autoincrement = False  # every number is given
            if isinstance(column.type, AutoString):
                column.type = Text(collation="C")
    return made


def _convert_heads(session: Session) -> None:
    """Take over the heads that version 1 has met, under no key until they are met again."""
    for origin, size, root, note in session.execute(_HEADS):
        session.add(_head(origin, size, root, note=note, vkey=""))
    session.execute(text("DROP TABLE head_1"))


def _convert_seen(session: Session) -> None:
    """Turn the logs that version 1 has seen into copies: nothing that was seen is forgotten."""
    for origin, vkey, size, root, note, bundle, url, introduced_by in session.execute(_SEEN).all():
        session.merge(_head(origin, size, root, note=note, vkey=vkey))
        try:
            grown = list(_tiles(tiles.decode_entries(bundle, size)))
        except RefusedError:
            continue  # not as it was written: it is fetched anew, and held against the head
        copy = Copy(
            origin=origin,
            vkey=vkey,
            size=size,
            root=root,
            note=note,
            url=url,
            introduced_by=introduced_by,
            checked_at=0,
        )
        copies.put(session, copy, grown, before=None)
    session.execute(text("DROP TABLE seen_log"))


def _find_named(session: Session) -> None:
    """Note whom the statements that are here name as suppliers: version 3 first keeps that."""
    for chosen in _NAMING:
        last = ""
        while rows := session.execute(chosen, {"last": last}).all():
            last = rows[-1].commitment
            feed.put_named(session, ((name, feed.suppliers_in(found)) for name, found in rows))


def _head(origin: str, size: int, root: bytes, *, note: str, vkey: str) -> HeadRow:
    held = len(note.encode())
    return HeadRow(origin=origin, size=size, root=root, vkey=vkey, held=held, note=note)


def _tiles(entries: Sequence[bytes]) -> Iterator[TileContent]:
    tree = merkle.Tree(map(merkle.leaf_hash, entries))
    for tile in tiles.tiles_for(len(entries)):
        first = tile.index * tiles.TILE_WIDTH
        if tile.level == tiles.ENTRIES:
            content = tiles.encode_entries(entries[first : first + tile.width])
        else:
            content = tiles.encode_tile(tile, tree.subtree)
        yield tile.level, tile.index, content
