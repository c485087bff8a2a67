"""Many rows at once: in few statements, in every kind of database."""

from collections.abc import Callable
from contextlib import closing

from sqlalchemy import event, text

from bcca_node.storage import many
from bcca_node.storage.database import Database

ROWS = [(f"s{n % 7}.example", f"{n:064x}") for n in range(7_001)]
COLUMNS = ("origin", "commitment")


def kept(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        found = session.connection().execute(text("SELECT origin, commitment FROM named")).all()
    return sorted((origin, name) for origin, name in found)


def test_rows_that_are_there_stay_and_all_others_are_put_in(new_url: Callable[[], str]) -> None:
    with closing(Database(new_url())) as database:
        for some in (ROWS[:10], ROWS, []):
            with database.write() as session:
                many.insert(session, "named", COLUMNS, some)

        assert kept(database) == sorted(ROWS)


def test_bytes_numbers_and_names_that_sql_knows_go_in_as_they_are(
    new_url: Callable[[], str],
) -> None:
    columns = ("commitment", "index", "product", "sharing", "vkey")
    row = (2**40, "urn:x:y:'; --\u20ac\"", "public", "a?%s:b+1")
    common = {"origin": "a.example", "envelope": b"\x00\xff"}

    with closing(Database(new_url())) as database:
        with database.write() as session:
            many.insert(session, "fetched", columns, [("a", *row), ("b", *row)], common)
        with database.read() as session:
            asked = text(
                'SELECT commitment, "index", product, sharing, vkey, envelope FROM fetched'
            )
            found = sorted(session.connection().execute(asked).all())

    assert [(*each[:-1], bytes(each[-1])) for each in found] == [
        ("a", *row, b"\x00\xff"),
        ("b", *row, b"\x00\xff"),
    ]


def test_thousands_of_rows_are_a_few_statements(new_url: Callable[[], str]) -> None:
    asked: list[str] = []
    with closing(Database(new_url())) as database, database.write() as session:
        event.listen(
            session.connection(),
            "before_cursor_execute",
            lambda _conn, _cursor, statement, _values, _context, _many: asked.append(statement),
        )
        many.insert(session, "named", COLUMNS, ROWS)

    inserts = [each for each in asked if each.startswith("INSERT")]
    assert len(inserts) == -(-len(ROWS) // many.MAX_ROWS)
