"""For whom this node seals files in a published folder, and what there is to seal."""

from sqlmodel import Session, col, select

from bcca_node.storage.dealings import SealedRow
from bcca_node.storage.tables import StatementRow


def add(session: Session, partner: str, at: int) -> None:
    """Note that files are sealed for a partner, from now on."""
    if session.get(SealedRow, partner) is None:
        session.add(SealedRow(partner=partner, since=at))
        session.flush()


def partners(session: Session) -> list[str]:
    """Return the origins of those for whom files are sealed."""
    return list(session.exec(select(SealedRow.partner).order_by(col(SealedRow.partner))))


def products(session: Session) -> list[str]:
    """Return the products of which any statement is not public."""
    chosen = select(StatementRow.product).where(col(StatementRow.sharing) != "public")
    return list(session.exec(chosen.distinct().order_by(col(StatementRow.product))))
