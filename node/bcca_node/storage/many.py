"""Many rows written at once, without the steps that SQLAlchemy takes for each of them."""

from collections.abc import Iterable, Sequence
from itertools import chain, islice

from sqlmodel import Session

MAX_VALUES = 3_500  # of one statement: databases take some 30,000, and it gains nothing more
CACHE_KB = 16_384  # of SQLite's pages: half the time of 100,000 rows with its usual 2,000


def insert(
    session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Put rows into a table, a value for each of its `columns`; what is there stays as it is.

    The values go to the database's own driver as they are. Many go in one statement: SQLite's
    driver waits for its turn among the threads after each, for 5 ms where another is busy.
    """
    connection = session.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:  # an index that is written all over is read once then
        connection.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KB}")
    row = f"({', '.join(['?' if is_sqlite else '%s'] * len(columns))})"
    names = ", ".join(f'"{each}"' for each in columns)
    left = iter(rows)
    while few := list(islice(left, MAX_VALUES // len(columns))):
        connection.exec_driver_sql(
            f'INSERT INTO "{table}" ({names}) VALUES {", ".join([row] * len(few))} '  # noqa: S608 - names of ours
            "ON CONFLICT DO NOTHING",
            tuple(chain.from_iterable(few)),
        )
