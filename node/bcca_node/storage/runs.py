"""Every roll-up that was ever added up here: named, kept whole, frozen once somebody says so.

What a run was made of is kept once for all that are alike, under its SHA-256.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlmodel import Field, Index, Session, SQLModel, col, func, select

from bcca_node.storage import seen, statements
from bcca_node.storage.tables import FetchedRow, StatementRow, Whole
from bcca_protocol.errors import UnusableError


class RunContentRow(SQLModel, table=True):
    """What runs were made of and what came of them, packed."""

    __tablename__ = "run_content"

    digest: str = Field(primary_key=True)
    content: bytes


class RunRow(SQLModel, table=True):
    """A run; `year` is the model year for which it is frozen, one of a product in a year."""

    __tablename__ = "run"
    __table_args__ = (Index("ix_run_year", "product", "year", unique=True),)

    number: int = Field(sa_type=Whole, primary_key=True)
    name: str = Field(unique=True)
    product: str
    at: int = Field(sa_type=Whole)
    total: str
    incomplete: int = Field(sa_type=Whole)
    commitment: str | None
    year: str | None
    digest: str = Field(index=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run: kg CO2e as decimal text, the POSIX second, and the roll-up's name if it was entered.

    `year` is the model year for which it is frozen; then nothing changes it any more.
    """

    number: int
    name: str
    product: str
    at: int
    total: str
    incomplete: bool
    commitment: str | None
    digest: str
    year: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What is to be kept of a run: under a `name`, or under its number."""

    name: str | None
    product: str
    at: int
    total: str
    incomplete: bool
    commitment: str | None
    content: bytes


def put(session: Session, new: NewRun) -> StoredRun:
    """Keep a run under the next number, in place of one of its name that is not frozen.

    Raises UnusableError for the name of a frozen one.
    """
    number = int(session.exec(select(func.max(RunRow.number))).one() or 0) + 1
    name = str(number) if new.name is None else new.name
    before = _named(session, name)
    if before is not None:
        _require_free(before)
        session.delete(before)
        session.flush()
    digest = hashlib.sha256(new.content).hexdigest()
    if session.get(RunContentRow, digest) is None:
        session.add(RunContentRow(digest=digest, content=new.content))
    row = RunRow(
        number=number,
        name=name,
        product=new.product,
        at=new.at,
        total=new.total,
        incomplete=int(new.incomplete),
        commitment=new.commitment,
        year=None,
        digest=digest,
    )
    session.add(row)
    session.flush()
    if before is not None:
        _drop_unused(session, before.digest)
    return _stored(row)


def get(session: Session, name: str) -> StoredRun | None:
    """Return the run of that name."""
    row = _named(session, name)
    return None if row is None else _stored(row)


def every(session: Session, product: str | None = None) -> list[StoredRun]:
    """Return every run, of one product if that is told, in the order in which they were made."""
    chosen = select(RunRow).order_by(col(RunRow.number))
    if product is not None:
        chosen = chosen.where(col(RunRow.product) == product)
    return [_stored(row) for row in session.exec(chosen)]


def content(session: Session, run: StoredRun) -> bytes:
    """Return what was kept of a run, as it was packed."""
    row = session.get(RunContentRow, run.digest)
    return b"" if row is None else row.content


def require_free(session: Session, name: str) -> None:
    """Return if a run may be kept under `name`; raises UnusableError where a frozen one has it."""
    row = _named(session, name)
    if row is not None:
        _require_free(row)


def rename(session: Session, old: str, new: str) -> StoredRun:
    """Give a run another name; raises UnusableError where it is frozen, or the name is taken."""
    row = _required(session, old)
    _require_free(row)
    taken = _named(session, new)
    if taken is not None and taken is not row:
        frozen = "" if taken.year is None else f", frozen for {taken.year}"
        raise UnusableError(f"run {new}: there is one of that name{frozen}; choose another")
    row.name = new
    session.flush()
    return _stored(row)


def freeze(session: Session, name: str, year: str) -> StoredRun:
    """Freeze a run for a model year: nothing changes it from then on, and no other has that year.

    Raises UnusableError where one of the two is so already.
    """
    row = _required(session, name)
    if row.year == year:
        return _stored(row)
    _require_free(row)
    chosen = select(RunRow).where(col(RunRow.product) == row.product, col(RunRow.year) == year)
    other = session.exec(chosen).first()
    if other is not None:
        raise UnusableError(
            f"run {name}: {row.product} has run {other.name} frozen for {year} already; a frozen "
            "run stays, so name another year"
        )
    row.year = year
    session.flush()
    return _stored(row)


def remove(session: Session, name: str) -> None:
    """Forget a run; raises UnusableError for one that is frozen, and where there is none."""
    row = _required(session, name)
    _require_free(row)
    session.delete(row)
    session.flush()
    _drop_unused(session, row.digest)


def envelopes(session: Session, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield each statement that is held of some commitments, and its envelope; own ones first."""
    wanted = sorted(set(names))
    own = {each.commitment: each.envelope for each in statements.find(session, wanted)}
    yield from own.items()
    others = (name for name in wanted if name not in own)
    yield from ((each.commitment, each.envelope) for each in seen.some(session, others))


def of_product(session: Session, product: str) -> list[str]:
    """Return the commitments of all statements about a product that are held."""
    others = select(FetchedRow.commitment).where(col(FetchedRow.product) == product)
    own = select(StatementRow.commitment).where(col(StatementRow.product) == product)
    return sorted({*session.exec(others), *session.exec(own)})


def _named(session: Session, name: str) -> RunRow | None:
    return session.exec(select(RunRow).where(col(RunRow.name) == name)).first()


def _required(session: Session, name: str) -> RunRow:
    row = _named(session, name)
    if row is None:
        raise UnusableError(f"run {name}: there is none of that name; `bcca runs` lists them")
    return row


def _require_free(row: RunRow) -> None:
    if row.year is not None:
        raise UnusableError(
            f"run {row.name}: frozen for {row.year}, so it stays as it is, and keeps its name; "
            "choose another name"
        )


def _drop_unused(session: Session, digest: str) -> None:
    """Forget what no run is made of any more."""
    if session.exec(select(RunRow).where(col(RunRow.digest) == digest)).first() is None:
        row = session.get(RunContentRow, digest)
        if row is not None:
            session.delete(row)
            session.flush()


def _stored(row: RunRow) -> StoredRun:
    return StoredRun(
        number=row.number,
        name=row.name,
        product=row.product,
        at=row.at,
        total=row.total,
        incomplete=bool(row.incomplete),
        commitment=row.commitment,
        digest=row.digest,
        year=row.year,
    )
