"""What partners may see here beyond what everybody may, and the auditors that were appointed.

Times are POSIX seconds; what has no `until` holds until it is taken back.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, delete, select

from bcca_node.storage.dealings import AppointmentRow, GrantRow
from bcca_node.storage.tables import StatementRow
from bcca_protocol.period import Span


class Scope(StrEnum):
    """How much one grant is about."""

    STATEMENT = "statement"  # one, by its commitment
    PRODUCT = "product"  # all of a product, by its URN
    ALL = "all"  # whatever this node has stated and will state


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What `partner` may see: `about` is a commitment, a URN, or empty, as the scope says.

    One that was taken back is kept, and ended when it was.
    """

    partner: str
    scope: Scope
    about: str
    given: int
    until: int | None = None
    why: str = ""
    taken_back: bool = False

    def holds(self, at: int) -> bool:
        """Say whether it holds at POSIX second `at`."""
        return self.until is None or self.until > at


class Corrected(NamedTuple):
    """A grant of one statement that entry `ended` of this log has revoked or corrected."""

    grant: Grant
    ended: int
    product: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """An auditor, known by its request key, who may see what `recipient` may.

    The recipient is this node itself or a partner; `product` is empty where it is about all.
    """

    recipient: str
    auditor: str
    product: str
    request_key: str
    given: int
    until: int | None = None


def put(session: Session, grant: Grant) -> None:
    """Keep a grant, in the place of an earlier one of the same to the same partner."""
    session.merge(GrantRow(**asdict(grant)))
    session.flush()


def get(session: Session, partner: str, scope: Scope, about: str) -> Grant | None:
    """Return a grant to a partner, be it live, over or taken back."""
    row = session.get(GrantRow, (partner, scope, about))
    return None if row is None else _grant(row)


def drop(session: Session, partner: str, scope: Scope, about: str, *, at: int) -> bool:
    """Take a grant back at POSIX second `at`; return whether there was one.

    That it was is kept, so that only its giver renews it.
    """
    row = session.get(GrantRow, (partner, scope, about))
    if row is None or row.taken_back:
        return False
    row.until, row.taken_back = at if row.until is None else min(at, row.until), True
    session.add(row)
    session.flush()
    return True


def covering(session: Session, partner: str, commitment: str, product: str) -> list[Grant]:
    """Return all that was ever granted to a partner of a statement about `product`.

    Live, over and taken back.
    """
    names = (Scope.STATEMENT, commitment), (Scope.PRODUCT, product), (Scope.ALL, "")
    found = (get(session, partner, scope, about) for scope, about in names)
    return [each for each in found if each is not None]


def corrected(session: Session, size: int, at: int) -> list[Corrected]:
    """Return the live grants of statements that an entry below `size` has ended."""
    ended = col(StatementRow.ended)
    chosen = (
        select(GrantRow, StatementRow)
        .join(StatementRow, col(StatementRow.commitment) == col(GrantRow.about))
        .where(
            col(GrantRow.scope) == Scope.STATEMENT,
            _holds(col(GrantRow.until), at),
            ended.is_not(None),
            ended < size,
        )
        .order_by(ended, col(GrantRow.partner))
    )
    return [
        Corrected(_grant(row), own.ended, own.product, Span(own.period_start, own.period_end))
        for row, own in session.exec(chosen)
        if own.ended is not None
    ]


def of(session: Session, partner: str) -> list[Grant]:
    """Return the grants to a partner, live or over, by scope and what they are about."""
    chosen = select(GrantRow).where(
        col(GrantRow.partner) == partner, col(GrantRow.taken_back).is_(False)
    )
    ordered = chosen.order_by(col(GrantRow.scope), col(GrantRow.about))
    return [_grant(row) for row in session.exec(ordered)]


def live(session: Session, partner: str, at: int) -> list[tuple[Scope, str]]:
    """Return the scope and subject of each grant to a partner that holds at POSIX second `at`."""
    chosen = select(GrantRow.scope, GrantRow.about).where(
        col(GrantRow.partner) == partner, _holds(col(GrantRow.until), at)
    )
    return [(Scope(scope), about) for scope, about in session.exec(chosen)]


def appoint(session: Session, appointment: Appointment) -> None:
    """Keep an appointment, in the place of an earlier one of the same auditor for the same."""
    session.merge(AppointmentRow(**asdict(appointment)))
    session.flush()


def dismiss(session: Session, recipient: str, auditor: str, product: str | None = None) -> bool:
    """End the appointment for a product (empty: that for all), or every one of an auditor.

    Return whether there was one.
    """
    found = [
        each
        for each in appointments(session, recipient)
        if each.auditor == auditor and product in (None, each.product)
    ]
    for each in found:
        session.delete(session.get(AppointmentRow, (recipient, auditor, each.product)))
    session.flush()
    return bool(found)


def appointments(session: Session, recipient: str | None = None) -> list[Appointment]:
    """Return the appointments by one recipient, or all; live or not."""
    chosen = select(AppointmentRow)
    if recipient is not None:
        chosen = chosen.where(col(AppointmentRow.recipient) == recipient)
    ordered = chosen.order_by(
        col(AppointmentRow.recipient), col(AppointmentRow.auditor), col(AppointmentRow.product)
    )
    return [_appointment(row) for row in session.exec(ordered)]


def appointed(session: Session, request_key: str, at: int) -> Sequence[Appointment]:
    """Return the appointments of whom a request key names that hold at POSIX second `at`."""
    chosen = select(AppointmentRow).where(
        col(AppointmentRow.request_key) == request_key, _holds(col(AppointmentRow.until), at)
    )
    ordered = chosen.order_by(col(AppointmentRow.recipient), col(AppointmentRow.product))
    return [_appointment(row) for row in session.exec(ordered)]


def forget(session: Session, partner: str) -> tuple[int, int]:
    """Drop all that was granted to a partner, and whatever it appointed or was appointed for.

    Return how many grants and appointments there were.
    """
    granted = session.exec(delete(GrantRow).where(col(GrantRow.partner) == partner)).rowcount
    by_it_or_of_it = or_(
        col(AppointmentRow.recipient) == partner, col(AppointmentRow.auditor) == partner
    )
    return granted, session.exec(delete(AppointmentRow).where(by_it_or_of_it)).rowcount


def _holds(until: Mapped[int | None], at: int) -> ColumnElement[bool]:
    return or_(until.is_(None), until > at)


def _grant(row: GrantRow) -> Grant:
    return Grant(**{**row.model_dump(), "scope": Scope(row.scope)})


def _appointment(row: AppointmentRow) -> Appointment:
    return Appointment(**row.model_dump())
