"""Footprints of PACT as they are served: rendered once, found by terms, read in their order.

Every footprint stands in a *stream*: of what is public, the one without a name; else of its
product. A walk goes by stream and, in it, from the newest on, and only through streams that the
caller may see: what is hidden is not read, so it costs nothing and shows in no count.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, select, tuple_
from sqlalchemy.orm import Mapped, aliased
from sqlmodel import Session, col, insert, update

from bcca_node.storage.pactrows import PactContentRow, PactFootprintRow, PactMarkRow, PactTermRow

PUBLIC = ""  # the stream of what everybody may see; no product has that name


class Term(IntEnum):
    """What a footprint is found by."""

    ANY = 0  # every footprint has it once
    PRODUCT = 1
    COMPANY = 2
    CLASSIFICATION = 3
    GEOGRAPHY = 4


class Card(msgspec.Struct, frozen=True, gc=False):
    """A footprint as far as it is listed; it is shared like its statement."""

    place: int
    id: str
    commitment: str
    product: str
    sharing: str
    stream: str
    deprecated: bool
    changed: int
    size: int


class Made(NamedTuple):
    """A footprint that was made, with the terms by which it is found."""

    card: Card
    handle: bytes
    valid_start: int
    valid_end: int
    terms: Mapping[Term, Sequence[str]]
    content: bytes


class Spot(NamedTuple):
    """How far a walk has come: what is behind it comes next."""

    stream: str
    back: int


_LEAST, _MOST = -(2**63), 2**63 - 1
BEGINNING = Spot(PUBLIC, _LEAST)


class Wanted(NamedTuple):
    """Which footprints: those that have one of the values of each term, and are valid so.

    Bounds of validity are in POSIX seconds.
    """

    terms: Mapping[Term, Sequence[str]]
    starts_by: int | None = None
    starts_after: int | None = None
    ends_from: int | None = None
    ends_before: int | None = None
    deprecated: bool | None = None


CARD: list[Mapped[Any]] = [col(getattr(PactFootprintRow, name)) for name in Card.__struct_fields__]
# The first of these that is asked for leads: fewest footprints have its values.
_LEADING = (Term.PRODUCT, Term.CLASSIFICATION, Term.GEOGRAPHY, Term.COMPANY)
_IS_VALID = and_(
    col(PactFootprintRow.valid_start).between(bindparam("starts_from"), bindparam("starts_by")),
    col(PactFootprintRow.valid_end).between(bindparam("ends_from"), bindparam("ends_by")),
    col(PactFootprintRow.deprecated).in_(bindparam("states", expanding=True)),
)
# Written down once: to build a query takes longer than to answer it.
_LED = (
    select(*CARD)
    .join(PactTermRow, col(PactFootprintRow.place) == -col(PactTermRow.back))
    .where(
        col(PactTermRow.kind) == bindparam("kind"),
        col(PactTermRow.value) == bindparam("value"),
        _IS_VALID,
    )
    .order_by(col(PactTermRow.stream), col(PactTermRow.back))
    .limit(bindparam("limit"))
)
_BEHIND = tuple_(col(PactTermRow.stream), col(PactTermRow.back)) > tuple_(
    bindparam("stream"), bindparam("back")
)
_IN_ANY = _LED.where(_BEHIND)
_IN_SOME = _LED.where(col(PactTermRow.stream).in_(bindparam("streams", expanding=True)))
_IN_ONE = _LED.where(
    col(PactTermRow.stream) == bindparam("stream"), col(PactTermRow.back) > bindparam("back")
)
_NAMED = (
    select(*CARD)
    .where(
        col(PactFootprintRow.commitment).in_(bindparam("names", expanding=True)),
        col(PactFootprintRow.stream) != PUBLIC,
        _IS_VALID,
    )
    .order_by(col(PactFootprintRow.commitment))
)
_CONTENTS = select(col(PactContentRow.place), col(PactContentRow.content)).where(
    col(PactContentRow.place).in_(bindparam("places", expanding=True))
)


def mark(session: Session) -> int:
    """Return of how many entries the footprints are here."""
    row = session.get(PactMarkRow, 1)
    return 0 if row is None else row.size


def set_mark(session: Session, size: int) -> None:
    """Note of how many entries the footprints are here."""
    session.merge(PactMarkRow(id=1, size=size))


def put(session: Session, made: Sequence[Made]) -> None:
    """Keep footprints that were made."""
    if not made:
        return
    session.exec(insert(PactFootprintRow), params=[_row(each) for each in made])
    contents = [{"place": each.card.place, "content": each.content} for each in made]
    session.exec(insert(PactContentRow), params=contents)
    terms = [
        {"kind": kind, "value": value, "stream": each.card.stream, "back": -each.card.place}
        for each in made
        for kind, values in {Term.ANY: ("",), **each.terms}.items()
        for value in dict.fromkeys(values)
    ]
    session.exec(insert(PactTermRow), params=terms)


def with_handle(session: Session, handle: bytes) -> Card | None:
    """Return the footprint whose end the log would tell under `handle`."""
    found = _cards(session, select(*CARD).where(col(PactFootprintRow.handle) == handle))
    return found[0] if found else None


def deprecate(session: Session, card: Card, content: bytes, *, at: int) -> None:
    """Note that entry `at` ended the statement of a footprint, whose bytes are now `content`."""
    changed = {"deprecated": True, "changed": at, "size": len(content)}
    card_of, bytes_of = col(PactFootprintRow.place), col(PactContentRow.place)
    session.exec(update(PactFootprintRow).where(card_of == card.place).values(**changed))
    session.exec(update(PactContentRow).where(bytes_of == card.place).values(content=content))


def known(session: Session, commitment: str) -> Card | None:
    """Return the footprint of a statement."""
    chosen = select(*CARD).where(col(PactFootprintRow.commitment) == commitment)
    found = _cards(session, chosen)
    return found[0] if found else None


def with_id(session: Session, name: str) -> Card | None:
    """Return the footprint with an id."""
    found = _cards(session, select(*CARD).where(col(PactFootprintRow.id) == name))
    return found[0] if found else None


def changed(session: Session, start: int, limit: int) -> list[Card]:
    """Return the footprints that entries from `start` on made or ended, in that order."""
    by = col(PactFootprintRow.changed)
    chosen = select(*CARD).where(by >= start).order_by(by, col(PactFootprintRow.place))
    return _cards(session, chosen.limit(limit))


def contents(session: Session, places: Sequence[int]) -> dict[int, bytes]:
    """Return the bytes of footprints by their places."""
    found = session.connection().execute(_CONTENTS, {"places": places}).all()
    return {row[0]: row[1] for row in found}


def walk(session: Session, wanted: Wanted, after: Spot, limit: int) -> list[Card]:
    """Return the first footprints behind a spot, in whatever stream."""
    return _led(session, wanted, _IN_ANY, after._asdict(), limit)


def within(
    session: Session, wanted: Wanted, streams: Sequence[str], after: Spot, limit: int
) -> list[Card]:
    """Return the first footprints of a few streams behind a spot."""
    found: list[Card] = []
    if after.stream in streams:
        found = _led(session, wanted, _IN_ONE, after._asdict(), limit)
    rest = [stream for stream in streams if stream > after.stream]
    if rest and len(found) < limit:
        # Without a spot: else all streams behind it are read, for those that are asked for.
        found += _led(session, wanted, _IN_SOME, {"streams": rest}, limit - len(found))
    return found


def named(session: Session, wanted: Wanted, commitments: Sequence[str]) -> list[Card]:
    """Return those of `commitments` that are wanted and not public, by commitment."""
    chosen = _NAMED.where(*(_has(kind, values) for kind, values in wanted.terms.items()))
    return _cards(session, chosen, {"names": commitments, **_bounds(wanted)})


def spot_of(card: Card) -> Spot:
    """Return where a walk is that has come to a footprint."""
    return Spot(card.stream, -card.place)


def _led(
    session: Session, wanted: Wanted, chosen: Select[Any], told: Mapping[str, object], limit: int
) -> list[Card]:
    """Return the first footprints of a walk: each value that leads is walked by itself."""
    leading = next((kind for kind in _LEADING if kind in wanted.terms), Term.ANY)
    others = [_has(kind, each) for kind, each in wanted.terms.items() if kind is not leading]
    if others:
        chosen = chosen.where(*others)
    given = {**told, **_bounds(wanted), "kind": int(leading), "limit": limit}
    values = wanted.terms.get(leading, ("",))
    if len(values) == 1:
        return _cards(session, chosen, {**given, "value": values[0]})
    found = {
        spot_of(card): card
        for value in values
        for card in _cards(session, chosen, {**given, "value": value})
    }
    return [found[spot] for spot in sorted(found)][:limit]


def _bounds(wanted: Wanted) -> dict[str, object]:
    """Return the parameters of _IS_VALID."""
    after, before = wanted.starts_after, wanted.ends_before
    return {
        "starts_from": _LEAST if after is None else after + 1,
        "starts_by": _MOST if wanted.starts_by is None else wanted.starts_by,
        "ends_from": _LEAST if wanted.ends_from is None else wanted.ends_from,
        "ends_by": _MOST if before is None else before - 1,
        "states": (False, True) if wanted.deprecated is None else (wanted.deprecated,),
    }


def _has(kind: Term, values: Sequence[str]) -> ColumnElement[bool]:
    term = aliased(PactTermRow)
    return exists().where(
        col(term.kind) == int(kind),
        col(term.value).in_(values),
        col(term.stream) == col(PactFootprintRow.stream),
        col(term.back) == -col(PactFootprintRow.place),
    )


def _cards(
    session: Session, chosen: Select[Any], told: Mapping[str, object] | None = None
) -> list[Card]:
    return [Card(*row) for row in session.connection().execute(chosen, told or {}).all()]


def _row(made: Made) -> dict[str, object]:
    return {
        **{name: getattr(made.card, name) for name in Card.__struct_fields__},
        "handle": made.handle,
        "valid_start": made.valid_start,
        "valid_end": made.valid_end,
    }
