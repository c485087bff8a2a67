"""This node's own statements at rest, and the drafts that will become some."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from sqlalchemy import select as select_columns
from sqlmodel import Session, col, delete, insert, or_, select, update

from bcca_node.storage.tables import DraftRow, StatementRow
from bcca_protocol.period import Span

PAGE = 256  # rows held in memory at a time: with statements of 17 kB, about 4 MB
MAX_VARIABLES = 500  # in one query; SQLite's own limit was 999 for long


class Place(NamedTuple):
    """What holds one current statement at a time."""

    kind: str
    product: str
    site: str | None
    batch: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A current statement as far as another one has to make room for it."""

    commitment: str
    place: Place
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStatement:
    """A statement of this node; `ended` is the first entry that revoked or corrected it."""

    commitment: str
    index: int
    kind: str
    product: str
    site: str | None
    batch: str | None
    period_start: str
    period_end: str
    sharing: str
    envelope: bytes
    ended: int | None = None

    @property
    def place(self) -> Place:
        """Return what it competes for with others of its period."""
        return Place(self.kind, self.product, self.site, self.batch)

    @property
    def span(self) -> Span:
        """Return the period it speaks of."""
        return Span(self.period_start, self.period_end)

    @property
    def claim(self) -> Claim:
        """Return what no other current statement may overlap."""
        return Claim(commitment=self.commitment, place=self.place, span=self.span)


_PLACE = (StatementRow.kind, StatementRow.product, StatementRow.site, StatementRow.batch)
_COLUMNS = tuple(each.name for each in fields(OwnStatement))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A predicate that waits to be published, as JSON."""

    id: str
    product: str
    kind: str
    predicate: bytes


def add(session: Session, statements: Sequence[OwnStatement]) -> None:
    """Keep statements that were entered in the log in this session."""
    if statements:
        session.exec(insert(StatementRow), params=[_row(each) for each in statements])


def get(session: Session, commitment: str) -> OwnStatement | None:
    """Return the statement of that commitment."""
    row = session.get(StatementRow, commitment)
    return None if row is None else _own(row)


def find(session: Session, commitments: Sequence[str]) -> list[OwnStatement]:
    """Return those of `commitments` that are here, in no order."""
    return [
        _own(row)
        for few in in_parts(commitments)
        for row in session.exec(select(StatementRow).where(col(StatementRow.commitment).in_(few)))
    ]


def current(session: Session, products: Sequence[str], size: int) -> list[OwnStatement]:
    """Return what nobody revoked or corrected among the first `size` entries, by index."""
    return [
        _own(row)
        for few in in_parts(products)
        for row in session.exec(
            select(StatementRow)
            .where(
                col(StatementRow.product).in_(few),
                col(StatementRow.index) < size,
                or_(col(StatementRow.ended).is_(None), col(StatementRow.ended) >= size),
            )
            .order_by(col(StatementRow.index))
        )
    ]


def claims(session: Session, places: Collection[Place], spans: Sequence[Span]) -> Iterator[Claim]:
    """Yield the current statements of `places` that may share time with one of `spans`."""
    if not spans:
        return
    span = (StatementRow.period_start, StatementRow.period_end)
    named = map(col, (StatementRow.commitment, *_PLACE, *span))
    chosen = select_columns(*named).where(
        col(StatementRow.ended).is_(None),
        col(StatementRow.period_start) < max(each.end for each in spans),
        col(StatementRow.period_end) > min(each.start for each in spans),
    )
    for few in in_parts(sorted({each.product for each in places})):
        rows = session.connection().execute(chosen.where(col(StatementRow.product).in_(few)))
        found: Iterable[Sequence[Any]] = (tuple(row) for row in rows)
        for commitment, *fields_of_place, start, end in found:
            place = Place(*fields_of_place)
            if place in places:
                yield Claim(commitment=commitment, place=place, span=Span(start, end))


def products(session: Session) -> list[str]:
    """Return the products that any statement is about."""
    return list(session.exec(select(StatementRow.product).distinct().order_by("product")))


def names(session: Session, sharing: str, size: int) -> list[str]:
    """Return the commitments of a sharing among the first `size` entries, by index."""
    index = col(StatementRow.index)
    chosen = select(StatementRow.commitment).where(StatementRow.sharing == sharing, index < size)
    return list(session.exec(chosen.order_by(index)))


def touched_since(session: Session, start: int) -> list[str]:
    """Return the products of which entries from index `start` on say anything."""
    since = or_(col(StatementRow.index) >= start, col(StatementRow.ended) >= start)
    chosen = select(StatementRow.product).where(since).distinct().order_by("product")
    return list(session.exec(chosen))


def newest(session: Session, kind: str, size: int) -> OwnStatement | None:
    """Return the statement of a kind, current and among the first `size` entries, that is last."""
    row = session.exec(
        select(StatementRow)
        .where(
            col(StatementRow.kind) == kind,
            col(StatementRow.index) < size,
            or_(col(StatementRow.ended).is_(None), col(StatementRow.ended) >= size),
        )
        .order_by(col(StatementRow.index).desc())
        .limit(1)
    ).first()
    return None if row is None else _own(row)


def page(session: Session, start: int, end: int) -> list[OwnStatement]:
    """Return the first PAGE statements entered from index `start` to before `end`, by index."""
    index = col(StatementRow.index)
    chosen = select(StatementRow).where(index >= start, index < end).order_by(index).limit(PAGE)
    return [_own(row) for row in session.exec(chosen)]


def end(session: Session, commitment: str, index: int) -> None:
    """Note that entry `index` revoked or corrected a statement; the first such entry counts."""
    session.exec(
        update(StatementRow)
        .where(col(StatementRow.commitment) == commitment, col(StatementRow.ended).is_(None))
        .values(ended=index)
    )


def ended(session: Session, index: int) -> Iterator[OwnStatement]:
    """Yield what entries up to `index` revoked or corrected, the last first."""
    by = col(StatementRow.ended)
    chosen = select(StatementRow).where(by <= index).order_by(by.desc())
    for row in session.exec(chosen.execution_options(yield_per=64)):
        yield _own(row)


def put_drafts(session: Session, drafts: Sequence[Draft]) -> None:
    """Keep drafts; one with the id of another replaces it."""
    for draft in drafts:
        session.merge(DraftRow(**asdict(draft)))


def drafts(session: Session) -> list[Draft]:
    """Return every draft, by product and id."""
    chosen = select(DraftRow).order_by(col(DraftRow.product), col(DraftRow.id))
    return [
        Draft(id=row.id, product=row.product, kind=row.kind, predicate=row.predicate)
        for row in session.exec(chosen)
    ]


def drop_drafts(session: Session, ids: Sequence[str]) -> None:
    """Forget drafts."""
    for few in in_parts(ids):
        session.exec(delete(DraftRow).where(col(DraftRow.id).in_(few)))


def in_parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield `values` a few at a time, as many as one query may name."""
    for start in range(0, len(values), MAX_VARIABLES):
        yield values[start : start + MAX_VARIABLES]


def _row(own: OwnStatement) -> dict[str, object]:
    return {name: getattr(own, name) for name in _COLUMNS}


def _own(row: StatementRow) -> OwnStatement:
    return OwnStatement(
        commitment=row.commitment,
        index=row.index,
        kind=row.kind,
        product=row.product,
        site=row.site,
        batch=row.batch,
        period_start=row.period_start,
        period_end=row.period_end,
        sharing=row.sharing,
        envelope=row.envelope,
        ended=row.ended,
    )
