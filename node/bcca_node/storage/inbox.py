"""Events of partners that were taken, and how far those were fetched that partners keep here."""

from sqlmodel import Session, col, delete, func, select

from bcca_node.storage.dealings import PulledRow, ReceivedRow


def digest(session: Session, partner: str, event: str) -> bytes | None:
    """Return the digest of an event that was taken from a partner."""
    row = session.get(ReceivedRow, (partner, event))
    return None if row is None else row.digest


def put(session: Session, partner: str, event: str, digest: bytes, at: int) -> None:
    """Note that an event of a partner is taken."""
    session.add(ReceivedRow(partner=partner, event=event, digest=digest, at=at))
    session.flush()


def count_since(session: Session, partner: str, since: int) -> int:
    """Return how many events of a partner were taken since then."""
    chosen = select(func.count()).where(
        col(ReceivedRow.partner) == partner, col(ReceivedRow.at) > since
    )
    return int(session.exec(chosen).one())


def prune(session: Session, before: int) -> None:
    """Forget which events were taken before that time."""
    session.exec(delete(ReceivedRow).where(col(ReceivedRow.at) < before))


def pulled(session: Session, partner: str) -> int:
    """Return the number of the last event that was fetched from a partner, 0 before the first."""
    row = session.get(PulledRow, partner)
    return 0 if row is None else row.number


def set_pulled(session: Session, partner: str, number: int) -> None:
    """Note up to which number the events of a partner were fetched."""
    session.merge(PulledRow(partner=partner, number=number))
