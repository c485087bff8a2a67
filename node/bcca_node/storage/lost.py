"""Statements of this node that its log holds, while what they said was lost with a database."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, delete, insert, select

from bcca_node.storage.statements import in_parts
from bcca_node.storage.tables import LostRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """An entry whose statement is not here: its line, for whoever finds the statement again."""

    commitment: str
    index: int
    line: str


def add(session: Session, found: Sequence[Lost]) -> None:
    """Note what is missing."""
    if found:
        rows = [{"commitment": x.commitment, "index": x.index, "line": x.line} for x in found]
        session.exec(insert(LostRow), params=rows)


def find(session: Session, commitments: Sequence[str]) -> list[Lost]:
    """Return those of `commitments` that are lost."""
    return [
        _lost(row)
        for few in in_parts(commitments)
        for row in session.exec(select(LostRow).where(col(LostRow.commitment).in_(few)))
    ]


def everything(session: Session) -> list[Lost]:
    """Return all that is lost, by index."""
    return [_lost(row) for row in session.exec(select(LostRow).order_by(col(LostRow.index)))]


def drop(session: Session, commitments: Sequence[str]) -> None:
    """Forget that these were lost: they are here again."""
    for few in in_parts(commitments):
        session.exec(delete(LostRow).where(col(LostRow.commitment).in_(few)))


def _lost(row: LostRow) -> Lost:
    return Lost(commitment=row.commitment, index=row.index, line=row.line)
