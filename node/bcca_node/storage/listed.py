"""Statements without their envelopes: enough to tell who may see them, and as cheap as nothing.

What is not shown is not read: it costs what it would cost if it were not there.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Executable, Select, or_, select
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col

from bcca_node.storage import segments
from bcca_node.storage.statements import in_parts
from bcca_node.storage.tables import FetchedRow, StatementRow

PAGE = 256  # with their envelopes, of 17 kB each, about 4 MB


class Own(msgspec.Struct, frozen=True, gc=False):
    """A statement of this node, as far as it is listed."""

    commitment: str
    index: int
    product: str
    sharing: str


class Kept(msgspec.Struct, frozen=True, gc=False):
    """A statement of another node, as far as it is listed."""

    commitment: str
    vkey: str
    origin: str
    index: int
    product: str
    sharing: str


OWN: list[Mapped[Any]] = [
    col(each)
    for each in (
        StatementRow.commitment,
        StatementRow.index,
        StatementRow.product,
        StatementRow.sharing,
    )
]
_KEPT: list[Mapped[Any]] = [
    col(each)
    for each in (
        FetchedRow.commitment,
        FetchedRow.vkey,
        FetchedRow.origin,
        FetchedRow.index,
        FetchedRow.product,
        FetchedRow.sharing,
    )
]
_INDEX = col(StatementRow.index)
_WHOLE = col(StatementRow.commitment), _INDEX, col(StatementRow.envelope)


def find(session: Session, commitments: Sequence[str]) -> list[Own]:
    """Return those of `commitments` that are of this node, by index."""
    found = [
        own
        for few in in_parts(commitments)
        for own in _own(session, select(*OWN).where(col(StatementRow.commitment).in_(few)))
    ]
    return sorted(found, key=lambda own: own.index)


def current(session: Session, products: Sequence[str], size: int) -> list[Own]:
    """Return what nobody revoked or corrected among the first `size` entries, by index."""
    found = [
        own
        for few in in_parts(products)
        for own in _own(
            session,
            select(*OWN).where(
                col(StatementRow.product).in_(few),
                col(StatementRow.index) < size,
                or_(col(StatementRow.ended).is_(None), col(StatementRow.ended) >= size),
            ),
        )
    ]
    return sorted(found, key=lambda own: own.index)


def page(session: Session, start: int, end: int) -> list[Own]:
    """Return the first PAGE statements entered from index `start` to before `end`, by index."""
    index = col(StatementRow.index)
    chosen = select(*OWN).where(index.between(start, end - 1)).order_by(index)
    return _own(session, chosen.limit(PAGE))


def envelopes(session: Session, commitments: Sequence[str]) -> dict[str, bytes]:
    """Return the envelopes of statements of this node by commitment."""
    columns = col(StatementRow.commitment), col(StatementRow.envelope)
    return {
        commitment: envelope
        for few in in_parts(commitments)
        for commitment, envelope in session.connection().execute(
            select(*columns).where(columns[0].in_(few))
        )
    }


def envelopes_between(session: Session, first: int, last: int) -> list[tuple[str, int, bytes]]:
    """Return commitment, index and envelope of all entered from `first` to `last`, by index."""
    return _whole(session, select(*_WHOLE).where(_INDEX.between(first, last)))


def public_page(session: Session, start: int, end: int) -> list[tuple[str, int, bytes]]:
    """Return of the first PAGE public ones of `page` what `envelopes_between` does."""
    chosen = select(*_WHOLE).where(_INDEX.between(start, end - 1))
    chosen = chosen.where(col(StatementRow.sharing) == "public")
    return _whole(session, chosen.limit(PAGE))


def kept(session: Session, commitment: str) -> Kept | None:
    """Return a statement of another node by its commitment."""
    chosen = select(*_KEPT).where(col(FetchedRow.commitment) == commitment)
    found = _kept(session, chosen.order_by(col(FetchedRow.vkey)).limit(1))
    return found[0] if found else None


def kept_of(session: Session, vkey: str, product: str) -> list[Kept]:
    """Return the fetched statements of a product from the log that `vkey` signs, by index."""
    chosen = select(*_KEPT).where(col(FetchedRow.product) == product, col(FetchedRow.vkey) == vkey)
    return _kept(session, chosen.order_by(col(FetchedRow.index)))


def kept_envelope(session: Session, each: Kept) -> bytes:
    """Return the envelope of a statement of another node."""
    chosen = select(col(FetchedRow.envelope)).where(
        col(FetchedRow.commitment) == each.commitment, col(FetchedRow.vkey) == each.vkey
    )
    envelope: bytes = session.connection().execute(chosen).scalar_one()
    return envelope or segments.envelope(session, each.vkey, each.index)


def _own(session: Session, chosen: Executable) -> list[Own]:
    return [Own(*row) for row in session.connection().execute(chosen).all()]


def _whole(session: Session, chosen: Select[str, int, bytes]) -> list[tuple[str, int, bytes]]:
    found = session.connection().execute(chosen.order_by(_INDEX)).all()
    return [(commitment, index, envelope) for commitment, index, envelope in found]


def _kept(session: Session, chosen: Executable) -> list[Kept]:
    return [Kept(*row) for row in session.connection().execute(chosen).all()]
