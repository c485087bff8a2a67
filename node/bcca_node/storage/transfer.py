"""Every row of a database, from one that is read as it stands into one that is new.

A copy is an SQLite file, wherever the original is: one unchanging state of it (SPEC 14.3).
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Column, LargeBinary, Table, insert, select, text
from sqlmodel import AutoString, Session, SQLModel

from bcca_node.storage.database import Database
from bcca_node.storage.tables import SchemaVersion
from bcca_protocol.errors import UnusableError

BATCH = 500  # rows in memory at a time: with statements of 17 kB, about 8 MB

_FORM = "SELECT type, name, tbl_name, sql FROM sqlite_schema"

Rows: TypeAlias = Sequence[Mapping[str, object]]


def rows(session: Session) -> Iterator[tuple[Table, Rows]]:
    """Yield every row of every table, a batch at a time."""
    for table in SQLModel.metadata.sorted_tables:
        if table.name != SchemaVersion.__tablename__:
            found = session.execute(select(table).execution_options(yield_per=BATCH))
            for batch in found.mappings().partitions():
                yield table, [dict(row) for row in batch]


def put(session: Session, table: Table, batch: Rows) -> None:
    """Enter rows in a table that does not have them."""
    session.execute(insert(table), batch)


def write_copy(session: Session, path: Path) -> None:
    """Put what `session` sees into a new SQLite file at `path`, which is whole once this returns.

    Raises UnavailableError where it cannot be written.
    """
    target = Database(f"sqlite:///{path}")
    try:
        for table, batches in groupby(rows(session), key=itemgetter(0)):
            with target.write() as writing:
                for _, batch in batches:
                    put(writing, table, batch)
    finally:
        target.close()


def require_copy(path: Path) -> None:
    """Return if the SQLite file at `path` is as `write_copy` makes them, else raise UnusableError.

    Nothing of it is run before: no view, trigger or default of somebody else's, and every value is
    of the type of its column.
    """
    try:
        with closing(sqlite3.connect(path)) as found:
            found.execute("PRAGMA trusted_schema = OFF")
            if set(found.execute(_FORM)) != _our_form():
                raise UnusableError(f"{path.name}: its tables are not those of this version")
            wrong = str(found.execute("PRAGMA integrity_check(1)").fetchone()[0])
            if wrong != "ok":
                raise UnusableError(f"{path.name}: {wrong}")
            for table in SQLModel.metadata.sorted_tables:
                _require_types(found, table, path.name)
    except sqlite3.DatabaseError as error:
        raise UnusableError(f"{path.name}: {error}") from error


def _our_form() -> set[tuple[object, ...]]:
    """Return what a new database of this version consists of."""
    database = Database("sqlite://")
    try:
        with database.read() as session:
            return {tuple(row) for row in session.execute(text(_FORM))}
    finally:
        database.close()


def _require_types(found: sqlite3.Connection, table: Table, name: str) -> None:
    """Return if every value is of its column's type, which SQLite alone does not ask for."""
    kinds = [f'typeof("{column.name}") not in ({_kinds(column)})' for column in table.columns]
    wrong = f'SELECT count(*) FROM "{table.name}" WHERE {" OR ".join(kinds)}'  # noqa: S608 - ours
    count = found.execute(wrong).fetchone()[0]
    if count:
        raise UnusableError(f"{name}: {count} rows of {table.name} hold what no column of it holds")


def _kinds(column: Column[object]) -> str:
    match column.type:
        case AutoString():
            kind = "'text'"
        case LargeBinary():
            kind = "'blob'"
        case _:
            kind = "'integer'"
    return f"{kind}, 'null'" if column.nullable else kind
