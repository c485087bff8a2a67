"""What partners told of statements that are no longer what they were, and who was told by us."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlmodel import Session, col, func, select, update

from bcca_node.storage.dealings import GrantRow, NewsRow, RequestRow, ToldRow
from bcca_node.storage.statements import in_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a partner told of a statement of `issuer`; `id` is the event's own."""

    id: str
    partner: str
    at: int
    kind: str
    issuer: str
    commitment: str
    successor: str
    product: str
    seen: bool = False


def put(session: Session, news: News) -> None:
    """Keep news until somebody has read it."""
    session.merge(NewsRow(**asdict(news)))
    session.flush()


def unread(session: Session) -> list[News]:
    """Return what nobody has read yet, the oldest first."""
    return _chosen(session, unread_only=True)


def every(session: Session) -> list[News]:
    """Return all that was told, the oldest first."""
    return _chosen(session, unread_only=False)


def unread_count(session: Session, partner: str) -> int:
    """Return how much of what a partner told nobody has read."""
    chosen = select(func.count()).where(
        col(NewsRow.partner) == partner, col(NewsRow.seen).is_(False)
    )
    return int(session.exec(chosen).one())


def about(session: Session, commitment: str) -> list[News]:
    """Return what was told of a statement, the oldest first."""
    chosen = select(NewsRow).where(col(NewsRow.commitment) == commitment)
    return [_news(row) for row in session.exec(chosen.order_by(col(NewsRow.at)))]


def mark(session: Session, ids: Sequence[str]) -> None:
    """Note that news was read."""
    for few in in_parts(ids):
        session.exec(update(NewsRow).where(col(NewsRow.id).in_(few)).values(seen=True))


def given_to(session: Session, commitment: str) -> set[str]:
    """Return the partners to whom a statement was granted by name, or that it answered."""
    granted = select(GrantRow.partner).where(
        col(GrantRow.about) == commitment, col(GrantRow.taken_back).is_(False)
    )
    answered = select(RequestRow.partner).where(
        col(RequestRow.commitment) == commitment, col(RequestRow.incoming)
    )
    return {*session.exec(granted), *session.exec(answered)}


def told(session: Session, partner: str, commitment: str) -> set[str]:
    """Return the endings of a statement of which a partner was told."""
    chosen = select(ToldRow.kind).where(
        col(ToldRow.partner) == partner, col(ToldRow.commitment) == commitment
    )
    return set(session.exec(chosen))


def set_told(session: Session, partner: str, commitment: str, kind: str) -> None:
    """Note that a partner is told of an ending: nobody is told twice."""
    session.add(ToldRow(partner=partner, commitment=commitment, kind=kind))
    session.flush()


def _chosen(session: Session, *, unread_only: bool) -> list[News]:
    chosen = select(NewsRow).order_by(col(NewsRow.at), col(NewsRow.id))
    if unread_only:
        chosen = chosen.where(col(NewsRow.seen).is_(False))
    return [_news(row) for row in session.exec(chosen)]


def _news(row: NewsRow) -> News:
    return News(
        id=row.id,
        partner=row.partner,
        at=row.at,
        kind=row.kind,
        issuer=row.issuer,
        commitment=row.commitment,
        successor=row.successor,
        product=row.product,
        seen=row.seen,
    )
