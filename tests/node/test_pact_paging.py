"""Pages of footprints in every kind of database; what is hidden costs nothing and is not told."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bcca_node.pact import paging, quick
from bcca_node.pact.criteria import Criteria
from bcca_node.pact.paging import START, Cursor
from bcca_node.sharing.access import EVERYTHING, Reach, Rights
from bcca_node.sharing.caller import Kind
from bcca_node.storage import pactshelf
from bcca_node.storage.database import Database
from bcca_node.storage.pactshelf import PUBLIC, Card, Made, Term
from bcca_protocol.errors import MalformedError

DAY = 86_400
NOBODY = Rights(kind=Kind.PARTNER)
FRIEND = Rights(kind=Kind.PARTNER, granted=EVERYTHING)
BUYER = Rights(
    kind=Kind.PARTNER,
    granted=Reach(products=frozenset({"urn:p:7", "urn:p:9"}), statements=frozenset({f"{3:064x}"})),
)
HIDDEN = 3_000


def made(place: int, *, sharing: str = "public", product: str = "", size: int = 3) -> Made:
    product = product or f"urn:p:{place % 10}"
    card = Card(
        place=place,
        id=f"{place:032x}",
        commitment=f"{place:064x}",
        product=product,
        sharing=sharing,
        stream=PUBLIC if sharing == "public" else product,
        deprecated=place % 5 == 0,
        changed=place,
        size=size,
    )
    terms: dict[Term, Sequence[str]] = {
        Term.PRODUCT: (product, f"urn:alias:{product}"),
        Term.COMPANY: ("urn:c:us",),
        Term.GEOGRAPHY: ("de",) if place % 2 else ("fr",),
    }
    handle = place.to_bytes(32, "big")
    return Made(card, handle, place * DAY, (place + 10) * DAY, terms, b"{%d}" % place)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Forty footprints, every third of them for who was granted it."""
    with filled(f"sqlite:///{tmp_path / 'node.db'}") as found:
        yield found


@contextmanager
def filled(url: str) -> Iterator[Database]:
    with closing(Database(url)) as found:
        with found.write() as session:
            pactshelf.put(session, [made(n, sharing=sharing_of(n)) for n in range(1, 41)])
        yield found


def walked(database: Database, rights: Rights, query: bytes, limit: int) -> list[int]:
    """Return the places of a whole list, page after page, both ways alike."""
    criteria = Criteria.from_query(query)
    found: list[int] = []
    cursor: Cursor | None = START
    while cursor is not None:
        with database.read() as session:
            cards, after = paging.page(session, rights, criteria.wanted(), cursor, limit)
        if quick.is_quick(database, rights, criteria, cursor):
            same, then = quick.page(database, rights, criteria, cursor, limit)
            assert [each.card for each in same] == cards
            assert then == after
            assert [each.content for each in same] == [b"{%d}" % each.place for each in cards]
        assert len(cards) <= limit
        found += [card.place for card in cards]
        cursor = None if after is None else Cursor.parse(after.encode())
    return found


def seen_by(rights: Rights) -> set[int]:
    return {n for n in range(1, 41) if rights.sees(made(n, sharing=sharing_of(n)).card)}


def sharing_of(place: int) -> str:
    return "public" if place % 3 else "direct"


ASKED: dict[bytes, Callable[[int], object]] = {
    b"": lambda n: True,
    b"geography=DE": lambda n: n % 2,
    b"productId=urn:p:7&productId=urn:alias:urn:p:9": lambda n: n % 10 in (7, 9),
    b"companyId=urn:c:us&geography=fr&status=deprecated": lambda n: n % 10 == 0,
    b"validOn=1970-01-21T00:00:00Z": lambda n: 10 <= n <= 20,
    b"validAfter=1970-01-21T00:00:00Z": lambda n: n > 20,
    b"validBefore=1970-01-21T00:00:00Z": lambda n: n < 10,
    b"companyId=urn:c:them": lambda n: False,
}


def test_every_filter_is_every_page_of_what_is_seen(new_url: Callable[[], str]) -> None:
    with filled(new_url()) as database:
        for rights in (NOBODY, BUYER, FRIEND):
            for query, keeps in ASKED.items():
                wanted = {n for n in seen_by(rights) if keeps(n)}
                for limit in (2, 7, 100):
                    found = walked(database, rights, query, limit)
                    assert set(found) == wanted, query
                    assert len(found) == len(wanted)


def test_what_comes_while_a_list_is_read_moves_nothing(database: Database) -> None:
    with database.read() as session:
        first, after = paging.page(session, FRIEND, Criteria().wanted(), START, 10)
    with database.write() as session:
        pactshelf.put(session, [made(n) for n in range(100, 120)])
    rest: list[Card] = []
    while after is not None:
        with database.read() as session:
            some, after = paging.page(session, FRIEND, Criteria().wanted(), after, 10)
        rest += some

    assert sorted(card.place for card in first + rest) == list(range(1, 41))


def test_a_page_ends_where_it_would_be_too_long(database: Database) -> None:
    with database.write() as session:
        half = paging.MAX_PAGE_BYTES // 2 + 1
        pactshelf.put(session, [made(n, size=half) for n in range(200, 203)])

    with database.read() as session:
        cards, after = paging.page(session, NOBODY, Criteria().wanted(), START, 100)

    assert [card.place for card in cards] == [202]
    assert after == Cursor("", -202)


@pytest.mark.parametrize("text", ["", "zz", "5b", "7b7d", "5b22222c355d", "5b" * 9_000])
def test_a_cursor_that_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Cursor.parse(text)


def steps(database: Database, rights: Rights, query: bytes, after: Cursor = START) -> int:
    """Return how many thousandths of a page SQLite works for it, in its own instructions."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    with database.read() as session:
        driver = session.connection().connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(counted, 50)
        paging.page(session, rights, Criteria.from_query(query).wanted(), after, 10)
        driver.set_progress_handler(None, 0)
    return count


@pytest.mark.parametrize("query", [b"", b"companyId=urn:c:us", b"validAfter=2099-01-01T00:00:00Z"])
def test_hidden_footprints_make_no_page_slower(database: Database, query: bytes) -> None:
    before = [steps(database, rights, query) for rights in (NOBODY, BUYER)]

    with database.write() as session:
        hidden = [
            made(n, sharing="direct", product=f"urn:h:{n}") for n in range(1_000, 1_000 + HIDDEN)
        ]
        pactshelf.put(session, hidden)

    after = [steps(database, rights, query) for rights in (NOBODY, BUYER)]
    assert all(late <= early + 2 for early, late in zip(before, after, strict=True))


def test_a_late_page_costs_what_the_first_does(database: Database) -> None:
    with database.write() as session:
        pactshelf.put(session, [made(n) for n in range(1_000, 1_000 + HIDDEN)])

    first = steps(database, NOBODY, b"geography=de")
    late = steps(database, NOBODY, b"geography=de", Cursor("", -1_100))

    assert late <= first + 2
