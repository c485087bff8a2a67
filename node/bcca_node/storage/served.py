"""What whoever follows this node's log asks for first, and then by the hundred: one query each."""

from typing import NamedTuple

from sqlalchemy import bindparam, case, func, select
from sqlmodel import col

from bcca_node.storage.database import Database, Query
from bcca_node.storage.pressed import PressedRow
from bcca_node.storage.tables import CheckpointRow

MAX_IN_PASSING = 1024 * 1024  # bytes of a page that are read at once: in some 200 µs

_SIZE = col(CheckpointRow.size)
_CONTENT = col(PressedRow.content)
_LAST = {"limit": 1, "offset": 0}
_IS_SMALL = func.length(_CONTENT) <= bindparam("most")
_NOTE = Query(
    select(col(CheckpointRow.note))
    .where(col(CheckpointRow.published))
    .order_by(_SIZE.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))  # SQLite has no limit without
)
_PAGE = Query(
    select(_SIZE, col(PressedRow.size), case((_IS_SMALL, _CONTENT)))
    .outerjoin_from(CheckpointRow, PressedRow, col(PressedRow.number) == bindparam("number"))
    .where(col(CheckpointRow.published))
    .order_by(_SIZE.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))  # SQLite has no limit without
)


class Kept(NamedTuple):
    """How many entries are published, and of how many a page was packed, None where it was not.

    `content` is None then, and where it is over MAX_IN_PASSING.
    """

    published: int = 0
    size: int | None = None
    content: bytes | None = None


def note(database: Database) -> str | None:
    """Return the note of the largest published head, None where nothing is published."""
    rows = database.look(_NOTE, **_LAST)
    return str(rows[0][0]) if rows else None


def page(database: Database, number: int) -> Kept:
    """Return a page as it is kept."""
    rows = database.look(_PAGE, number=number, most=MAX_IN_PASSING, **_LAST)
    return Kept(*rows[0]) if rows else Kept()
