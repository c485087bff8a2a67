"""Pairs of part numbers, many at once: an event costs two queries, however many it brings."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict

from sqlalchemy import text, tuple_
from sqlmodel import Session, col, delete, func, select

from bcca_node.storage.dealings import PartRow
from bcca_node.storage.partners import Part, PartState

_PUT = text(
    "INSERT INTO part (partner, theirs, ours, state, changed) "
    "VALUES (:partner, :theirs, :ours, :state, :changed) "
    "ON CONFLICT (partner, theirs, ours) "
    "DO UPDATE SET state = excluded.state, changed = excluded.changed"
)
_DROP = text("DELETE FROM part WHERE partner = :partner AND theirs = :theirs AND ours = :ours")


def states(
    session: Session, partner: str, pairs: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], PartState]:
    """Return those of `pairs`, theirs and ours, that are here, each with its state."""
    named = tuple_(col(PartRow.theirs), col(PartRow.ours)).in_(list(pairs))
    chosen = select(PartRow.theirs, PartRow.ours, PartRow.state)
    found = session.exec(chosen.where(col(PartRow.partner) == partner, named))
    return {(theirs, ours): PartState(state) for theirs, ours, state in found}


def confirmed(session: Session, partner: str, names: Collection[str]) -> list[tuple[str, str]]:
    """Return the confirmed pairs, theirs and ours, whose number is one of `names`.

    Names are in small letters, and numbers in whatever case. All pairs of the partner are read.
    """
    chosen = select(PartRow.theirs, PartRow.ours).where(
        col(PartRow.partner) == partner, col(PartRow.state) == PartState.CONFIRMED
    )
    wanted = frozenset(names)  # SQLite knows small letters of ASCII alone
    return [(theirs, ours) for theirs, ours in session.exec(chosen) if theirs.lower() in wanted]


def has_confirmed(session: Session, partner: str) -> bool:
    """Say whether any pair with a partner is confirmed."""
    chosen = select(PartRow.ours).where(
        col(PartRow.partner) == partner, col(PartRow.state) == PartState.CONFIRMED
    )
    return session.exec(chosen.limit(1)).first() is not None


def counts(session: Session, partner: str) -> Mapping[PartState, int]:
    """Return how many pairs of a partner are in each state."""
    chosen = select(PartRow.state, func.count()).where(col(PartRow.partner) == partner)
    found = dict.fromkeys(PartState, 0)
    found |= {
        PartState(state): many for state, many in session.exec(chosen.group_by(PartRow.state))
    }
    return found


def put(session: Session, pairs: Iterable[Part]) -> None:
    """Keep pairs, each in the place of the same pair in another state."""
    rows = [{**asdict(each), "state": str(each.state)} for each in pairs]
    if rows:
        session.connection().execute(_PUT, rows)
        session.expire_all()


def drop(session: Session, partner: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Forget pairs, theirs and ours."""
    rows = [{"partner": partner, "theirs": theirs, "ours": ours} for theirs, ours in pairs]
    if rows:
        session.connection().execute(_DROP, rows)
        session.expire_all()


def drop_refused(session: Session, partner: str) -> None:
    """Forget which pairs of a partner were refused."""
    session.exec(
        delete(PartRow).where(
            col(PartRow.partner) == partner, col(PartRow.state) == PartState.REFUSED
        )
    )
    session.expire_all()


def called_here(session: Session, names: Collection[str], beginning: str) -> list[Part]:
    """Return the pairs that partners whose origin begins so have for any of our `names`."""
    chosen = select(PartRow).where(
        col(PartRow.ours).in_(names), col(PartRow.partner).startswith(beginning, autoescape=True)
    )
    ordered = chosen.order_by(col(PartRow.partner), col(PartRow.theirs), col(PartRow.ours))
    return [
        Part(**{**row.model_dump(), "state": PartState(row.state)}) for row in session.exec(ordered)
    ]
