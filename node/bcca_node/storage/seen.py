"""Statements of other nodes, as they were read and verified."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from sqlmodel import Session, col, select

from bcca_node.storage import segments
from bcca_node.storage.segments import Envelopes
from bcca_node.storage.statements import in_parts
from bcca_node.storage.tables import FetchedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedStatement:
    """A statement of another node, found at `index` of the log that `vkey` signs."""

    commitment: str
    vkey: str
    origin: str
    index: int
    product: str
    sharing: str
    envelope: bytes


def put_statements(session: Session, statements: Sequence[FetchedStatement]) -> None:
    """Keep verified statements of others that are not kept yet."""
    for each in statements:
        if session.get(FetchedRow, (each.commitment, each.vkey)) is None:
            session.add(FetchedRow(**asdict(each)))
    session.flush()


def some(session: Session, commitments: Iterable[str]) -> Iterator[FetchedStatement]:
    """Yield each fetched statement of some commitments, once, by log and index.

    In that order each segment is unpacked once: asked for one after the other, a whole segment
    would be unpacked for each.
    """
    rows: list[FetchedRow] = []
    for few in in_parts(sorted(set(commitments))):
        rows += session.exec(select(FetchedRow).where(col(FetchedRow.commitment).in_(few)))
    rows.sort(key=lambda row: (row.vkey, row.index))
    given: set[str] = set()
    for vkey, of_one in groupby(rows, key=lambda row: row.vkey):
        packed = segments.envelopes(session, vkey)
        for row in of_one:
            if row.commitment not in given:
                given.add(row.commitment)
                yield _fetched(row, packed)


def of_log(session: Session, vkey: str, commitment: str) -> FetchedStatement | None:
    """Return a fetched statement of the log that `vkey` signs by its commitment."""
    row = session.get(FetchedRow, (commitment, vkey))
    return None if row is None else _fetched(row, segments.envelopes(session, vkey))


def statements_of(session: Session, vkey: str, product: str) -> list[FetchedStatement]:
    """Return the fetched statements of a product from the log that `vkey` signs, by index."""
    chosen = select(FetchedRow).where(
        col(FetchedRow.product) == product, col(FetchedRow.vkey) == vkey
    )
    packed = segments.envelopes(session, vkey)
    return [_fetched(row, packed) for row in session.exec(chosen.order_by(col(FetchedRow.index)))]


def all_of(session: Session, vkey: str) -> Iterator[FetchedStatement]:
    """Yield every fetched statement from the log that `vkey` signs, by index."""
    chosen = select(FetchedRow).where(col(FetchedRow.vkey) == vkey)
    packed = segments.envelopes(session, vkey)
    for row in session.exec(chosen.order_by(col(FetchedRow.index)).execution_options(yield_per=64)):
        yield _fetched(row, packed)


def _fetched(row: FetchedRow, packed: Envelopes) -> FetchedStatement:
    return FetchedStatement(
        commitment=row.commitment,
        vkey=row.vkey,
        origin=row.origin,
        index=row.index,
        product=row.product,
        sharing=row.sharing,
        envelope=row.envelope or packed.at(row.index),
    )
