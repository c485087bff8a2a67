"""PACT footprints of others, as they came: the very bytes, and what was found wrong with them.

Nobody signed them, so they are kept apart from statements. A footprint never changes but for its
status: what comes under a known id with other content is kept beside what came first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec
from sqlmodel import Field, Session, SQLModel, and_, col, delete, func, or_, select

from bcca_node.storage.tables import Whole

_IDS = 500  # footprints of one query: databases take some thousands of values


class Trust(StrEnum):
    """How far what came is believed; each level is counted apart."""

    UNSIGNED = "unsigned"  # a third party's word over HTTPS, and nobody's signature
    SIGNED = "signed"  # it carries a statement that its issuer's log holds, and says the same


class Weight(StrEnum):
    """How grave a problem is."""

    FATAL = "fatal"  # its numbers cannot be relied on: it feeds nothing unless somebody accepts it
    WARNING = "warning"  # it breaks a rule, and its numbers can be read all the same


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with a field, by its path such as `pcf.dqi.temporalDQR`, in one sentence."""

    field: str
    told: str
    weight: Weight = Weight.WARNING


class Term(StrEnum):
    """By what a footprint is found: one of its ids, or one that it replaces, in small letters."""

    PRODUCT = "product"
    COMPANY = "company"
    REPLACED = "replaced"


class ForeignRow(SQLModel, table=True):
    """One content of one footprint of one partner; `statement` is the one it claims to carry."""

    __tablename__ = "foreign_footprint"

    partner: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    number: int = Field(sa_type=Whole, unique=True)
    received: int = Field(sa_type=Whole)
    content: bytes
    problems: bytes
    trust: str
    deprecated: bool
    statement: str = Field(index=True)
    examined: int = Field(sa_type=Whole)
    told: str
    accepted: int | None = Field(default=None, sa_type=Whole)
    why: str


class ForeignTermRow(SQLModel, table=True):
    """An id of a product or a company that a footprint of a partner names, in small letters."""

    __tablename__ = "foreign_term"

    kind: str = Field(primary_key=True)
    term: str = Field(primary_key=True)
    partner: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A footprint as it came from a partner (`pact:NAME`), and what is known of it.

    `id` is its own, in small letters; `digest` the SHA-256 of `content` in hex. `statement` is the
    commitment of the signed statement that it claims to carry, else empty; `examined` is when that
    was looked into last, 0 if never, and `told` why it is not believed. `accepted` is when somebody
    said that it may be used in spite of its fatal problems, and `why`.
    """

    partner: str
    id: str
    digest: str
    number: int = 0
    received: int
    content: bytes
    problems: tuple[Problem, ...] = ()
    trust: Trust = Trust.UNSIGNED
    is_deprecated: bool = False
    statement: str = ""
    examined: int = 0
    told: str = ""
    accepted: int | None = None
    why: str = ""

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """Its grave problems."""
        return tuple(each for each in self.problems if each.weight is Weight.FATAL)

    @property
    def is_usable(self) -> bool:
        """Say whether its numbers may stand in for something that is missing."""
        return not self.is_deprecated and (not self.fatal or self.accepted is not None)


_PROBLEMS = msgspec.json.Decoder(tuple[Problem, ...])


def put(session: Session, footprint: Foreign, terms: Iterable[tuple[Term, str]]) -> Foreign:
    """Keep what came, under the next number; return it as it is kept."""
    newest = session.exec(select(func.max(col(ForeignRow.number)))).one()
    kept = replace(footprint, number=int(newest or 0) + 1)
    session.add(_row(kept))
    for kind, term in sorted(set(terms)):
        session.add(
            ForeignTermRow(
                kind=kind, term=term, partner=kept.partner, id=kept.id, digest=kept.digest
            )
        )
    session.flush()
    return kept


def update(session: Session, footprint: Foreign) -> None:
    """Keep what has become known of a footprint that is there."""
    session.merge(_row(footprint))
    session.flush()


def get(session: Session, partner: str, pf_id: str, digest: str) -> Foreign | None:
    """Return a footprint as it is kept now, None where it is no more."""
    row = session.get(ForeignRow, (partner, pf_id, digest))
    return None if row is None else _foreign(row)


def contents(session: Session, partner: str, pf_id: str) -> list[Foreign]:
    """Return all that came of a partner under one id, the first first."""
    chosen = select(ForeignRow).where(
        col(ForeignRow.partner) == partner, col(ForeignRow.id) == pf_id.lower()
    )
    return [_foreign(row) for row in session.exec(chosen.order_by(col(ForeignRow.number)))]


def called(session: Session, beginning: str, limit: int = 2) -> list[Foreign]:
    """Return the first `limit` footprints whose id or digest begins so."""
    start = beginning.lower()
    end = start + "g"  # after every digit of an id
    chosen = select(ForeignRow).where(
        or_(
            and_(col(ForeignRow.id) >= start, col(ForeignRow.id) < end),
            and_(col(ForeignRow.digest) >= start, col(ForeignRow.digest) < end),
        )
    )
    rows = session.exec(chosen.order_by(col(ForeignRow.number)).limit(limit))
    return [_foreign(row) for row in rows]


def every(
    session: Session, partner: str | None = None, *, last: int | None = None
) -> list[Foreign]:
    """Return all that came, of everybody or of one partner, or the `last` so many of it.

    What came first stands first.
    """
    chosen = select(ForeignRow).order_by(col(ForeignRow.number).desc()).limit(last)
    if partner is not None:
        chosen = chosen.where(col(ForeignRow.partner) == partner)
    return [_foreign(row) for row in session.exec(chosen)][::-1]


def of_products(session: Session, products: Sequence[str]) -> list[Foreign]:
    """Return what came about any of these product ids, however their letters are written."""
    named = select(ForeignTermRow.partner, ForeignTermRow.id, ForeignTermRow.digest).where(
        col(ForeignTermRow.kind) == Term.PRODUCT,
        col(ForeignTermRow.term).in_(sorted({each.lower() for each in products})),
    )
    keys = sorted(set(session.exec(named)))
    rows = [session.get(ForeignRow, key) for key in keys]
    found = [_foreign(row) for row in rows if row is not None]
    return sorted(found, key=lambda each: each.number)


def is_replaced(session: Session, partner: str, pf_id: str) -> bool:
    """Say whether another footprint of a partner takes the place of this one."""
    return bool(replacing(session, [(partner, pf_id)]))


def replacing(
    session: Session, footprints: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Return id and digest of what takes the place of footprints, by their partner and id.

    Of several that is what came last.
    """
    wanted = sorted(set(footprints))
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for first in range(0, len(wanted), _IDS):
        block = wanted[first : first + _IDS]
        chosen = (
            select(ForeignTermRow)
            .where(
                col(ForeignRow.partner) == col(ForeignTermRow.partner),
                col(ForeignRow.id) == col(ForeignTermRow.id),
                col(ForeignRow.digest) == col(ForeignTermRow.digest),
                col(ForeignTermRow.kind) == Term.REPLACED,
                col(ForeignTermRow.term).in_([pf_id for _, pf_id in block]),
                col(ForeignTermRow.id) != col(ForeignTermRow.term),
            )
            .order_by(col(ForeignRow.number))
        )
        asked = set(block)
        found |= {
            (row.partner, row.term): (row.id, row.digest)
            for row in session.exec(chosen)
            if (row.partner, row.term) in asked
        }
    return found


def unexamined(session: Session, partner: str, before: int, limit: int) -> list[Foreign]:
    """Return what claims to carry a statement, is unsigned, and was not looked into since."""
    chosen = select(ForeignRow).where(
        col(ForeignRow.partner) == partner,
        col(ForeignRow.statement) != "",
        col(ForeignRow.trust) == Trust.UNSIGNED,
        col(ForeignRow.examined) < before,
    )
    ordered = chosen.order_by(col(ForeignRow.examined), col(ForeignRow.number)).limit(limit)
    return [_foreign(row) for row in session.exec(ordered)]


def count(session: Session, partner: str | None = None) -> int:
    """Return how many contents are kept, of everybody or of one partner."""
    counted = select(func.count()).select_from(ForeignRow)
    if partner is not None:
        counted = counted.where(col(ForeignRow.partner) == partner)
    return session.exec(counted).one()


def drop(session: Session, partner: str) -> int:
    """Forget all that came of a partner; return how much that was."""
    session.exec(delete(ForeignTermRow).where(col(ForeignTermRow.partner) == partner))
    return session.exec(delete(ForeignRow).where(col(ForeignRow.partner) == partner)).rowcount


def _row(footprint: Foreign) -> ForeignRow:
    return ForeignRow(
        partner=footprint.partner,
        id=footprint.id,
        digest=footprint.digest,
        number=footprint.number,
        received=footprint.received,
        content=footprint.content,
        problems=msgspec.json.encode(footprint.problems),
        trust=footprint.trust,
        deprecated=footprint.is_deprecated,
        statement=footprint.statement,
        examined=footprint.examined,
        told=footprint.told,
        accepted=footprint.accepted,
        why=footprint.why,
    )


def _foreign(row: ForeignRow) -> Foreign:
    return Foreign(
        partner=row.partner,
        id=row.id,
        digest=row.digest,
        number=row.number,
        received=row.received,
        content=row.content,
        problems=_PROBLEMS.decode(row.problems),
        trust=Trust(row.trust),
        is_deprecated=row.deprecated,
        statement=row.statement,
        examined=row.examined,
        told=row.told,
        accepted=row.accepted,
        why=row.why,
    )
