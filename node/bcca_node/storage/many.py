"""Many rows written at once, without the steps that SQLAlchemy takes for each of them."""

from collections.abc import Iterable, Mapping
from itertools import islice
from operator import itemgetter
from typing import Any

from sqlalchemy import TextClause
from sqlmodel import Session

MAX_ROWS = 10_000  # written at once: some megabytes
CACHE_KB = 16_384  # of SQLite's pages: half the time of 100,000 rows with its usual 2,000


def execute(session: Session, statement: TextClause, rows: Iterable[Mapping[str, Any]]) -> None:
    """Execute a statement of two names or more for each of some rows; the values go as they are.

    SQLAlchemy looks at each value of each row; the database's own driver need not.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":  # an index that is written all over is read once then
        connection.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KB}")
    compiled = statement.compile(dialect=connection.dialect)
    order = compiled.positiontup
    values = itemgetter(*order) if order else dict
    left = iter(rows)
    while few := [values(each) for each in islice(left, MAX_ROWS)]:
        connection.exec_driver_sql(compiled.string, few)
