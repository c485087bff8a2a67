"""A page of footprints in one query, by one value of one term: what is asked most.

It brings the bytes with it, and takes a fourth of the time of `storage.pactshelf`.
"""

from typing import NamedTuple

from sqlalchemy import bindparam, select, tuple_
from sqlmodel import col

from bcca_node.storage.database import Database, Query
from bcca_node.storage.pactrows import PactContentRow, PactFootprintRow, PactTermRow
from bcca_node.storage.pactshelf import CARD, Card, Spot, Term

_STREAM, _BACK = col(PactTermRow.stream), col(PactTermRow.back)
_PAGE = (
    select(*CARD, col(PactContentRow.content))
    .join(PactTermRow, col(PactFootprintRow.place) == -_BACK)
    .join(PactContentRow, col(PactContentRow.place) == -_BACK)
    .where(
        col(PactTermRow.kind) == bindparam("kind"),
        col(PactTermRow.value) == bindparam("value"),
    )
    .order_by(_STREAM, _BACK)
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))  # SQLite has no limit without
)
_IN_ONE = Query(_PAGE.where(bindparam("stream") == _STREAM, bindparam("back") < _BACK))
_IN_ANY = Query(
    _PAGE.where(tuple_(_STREAM, _BACK) > tuple_(bindparam("stream"), bindparam("back")))
)


class Whole(NamedTuple):
    """A footprint with its bytes."""

    card: Card
    content: bytes


def walk(
    database: Database, term: tuple[Term, str], after: Spot, limit: int, *, in_one: bool
) -> list[Whole]:
    """Return the first footprints with a term of a value behind a spot.

    They are of whatever stream, or `in_one`: that of the spot.
    """
    kind, value = int(term[0]), term[1]
    told = {"kind": kind, "value": value, "limit": limit, "offset": 0, **after._asdict()}
    rows = database.look(_IN_ONE if in_one else _IN_ANY, **told)
    return [Whole(Card(*row[:-1]), row[-1]) for row in rows]
