"""Many rows written at once, without the steps that SQLAlchemy takes for each of them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

import msgspec
from sqlmodel import Session

MAX_ROWS = 50_000  # of one statement: 7 MB of JSON, 200 ms of SQLite's own work beside others
CACHE_KB = 16_384  # of SQLite's pages: half the time of 100,000 rows with its usual 2,000
_NOTHING: Mapping[str, object] = MappingProxyType({})


def insert(
    session: Session,
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | int]],
    common: Mapping[str, object] = _NOTHING,
) -> None:
    """Put rows into a table, with a value for each of `columns` and what is `common` to all.

    What is there stays as it is. Rows come in any order, and are put in the order of their columns,
    as trees are written fastest. The values go to the database's own driver as they are: to SQLite
    thousands in one statement, as JSON. Its driver waits for its turn among the threads after each
    statement, for 5 ms where another thread is busy.
    """
    connection = session.connection()
    names = ", ".join(f'"{each}"' for each in (*columns, *common))
    into, left = f'INSERT INTO "{table}" ({names})', iter(rows)  # names of ours
    if connection.dialect.name == "sqlite":
        # An index that is written all over is read once then.
        connection.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KB}")
        taken = [f"json_extract(value, '$[{place}]')" for place in range(len(columns))]
        values = ", ".join(taken + ["?"] * len(common))
        order = ", ".join(map(str, range(1, len(columns) + 1)))
        chosen = f"SELECT {values} FROM json_each(?) WHERE true ORDER BY {order}"  # noqa: S608 - as above
        put = f"{into} {chosen} ON CONFLICT DO NOTHING"
        while few := list(islice(left, MAX_ROWS)):
            told = msgspec.json.encode(few).decode()
            connection.exec_driver_sql(put, (*common.values(), told))
        return
    values = ", ".join(["%s"] * (len(columns) + len(common)))
    put = f"{into} VALUES ({values}) ON CONFLICT DO NOTHING"
    while several := [(*row, *common.values()) for row in islice(left, MAX_ROWS)]:
        connection.exec_driver_sql(put, several)
