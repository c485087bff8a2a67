"""Sets of emission factors that this node's operator has imported, each as it was written."""

from dataclasses import asdict, dataclass

from sqlmodel import Field, Session, SQLModel, col, select

from bcca_node.storage.tables import Whole


class FactorSetRow(SQLModel, table=True):
    """A set of factors: the text of the file it came from, which is read again at each use."""

    __tablename__ = "factor_set"

    name: str = Field(primary_key=True)
    digest: str
    imported_at: int = Field(sa_type=Whole)
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSet:
    """A set of factors as CSV text, its SHA-256, and the POSIX second of its import."""

    name: str
    digest: str
    imported_at: int
    content: str


def put(session: Session, imported: ImportedSet) -> None:
    """Keep a set, in place of one of the same name."""
    session.merge(FactorSetRow(**asdict(imported)))


def get(session: Session, name: str) -> ImportedSet | None:
    """Return the set of that name, None if there is none."""
    row = session.get(FactorSetRow, name)
    return None if row is None else _imported(row)


def every(session: Session) -> list[ImportedSet]:
    """Return every set, by name."""
    chosen = select(FactorSetRow).order_by(col(FactorSetRow.name))
    return [_imported(row) for row in session.exec(chosen)]


def remove(session: Session, name: str) -> bool:
    """Forget a set; return False if there is none of that name."""
    row = session.get(FactorSetRow, name)
    if row is None:
        return False
    session.delete(row)
    session.flush()
    return True


def _imported(row: FactorSetRow) -> ImportedSet:
    return ImportedSet(
        name=row.name, digest=row.digest, imported_at=row.imported_at, content=row.content
    )
