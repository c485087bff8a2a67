"""Statements of others by the hundred: as they came, packed, and what they were found to say.

A segment is written once, when all in it was verified, together with how far its log was read: a
run that is killed goes on where it was. What a statement says is kept beside it, so that nothing is
verified twice; it is read again from the envelope where this program keeps it in another form.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BindParameter, Text, bindparam, text
from sqlmodel import Field, Session, SQLModel

from bcca_node.storage import many, pages
from bcca_node.storage.pages import Line
from bcca_node.storage.tables import Whole

MAX_ASKED = 500  # names in one query: databases take some 30,000 values


class SegmentRow(SQLModel, table=True):
    """Some statements of the log that `vkey` signs, from entry `first` on.

    `content` is a page (`storage.pages`); `facts` is what `packmaker.facts` makes of each line.
    """

    __tablename__ = "segment"

    vkey: str = Field(primary_key=True)
    first: int = Field(sa_type=Whole, primary_key=True)
    content: bytes
    indices: bytes
    facts: bytes


class ReadRow(SQLModel, table=True):
    """Up to which entry the statements of the log that `vkey` signs were asked for, as whom."""

    __tablename__ = "statements_read"

    vkey: str = Field(primary_key=True)
    asked_as: str = Field(primary_key=True)
    size: int = Field(sa_type=Whole)
    at: int = Field(sa_type=Whole)


class ProvenRow(SQLModel, table=True):
    """A statement of others whose own signature was checked too."""

    __tablename__ = "proven"
    __table_args__ = {"sqlite_with_rowid": False}

    commitment: str = Field(primary_key=True)
    vkey: str = Field(primary_key=True)


class Segment(NamedTuple):
    """What is to be kept of one page: `lines` are of the statements that hold, in its order."""

    first: int
    content: bytes
    lines: Sequence[Line]
    facts: bytes


def _some(name: str) -> BindParameter[str]:
    return bindparam(name, expanding=True, type_=Text())


_PUT = text(
    "INSERT INTO segment (vkey, first, content, indices, facts) "
    "VALUES (:vkey, :first, :content, :indices, :facts) ON CONFLICT (vkey, first) DO UPDATE SET "
    "content = excluded.content, indices = excluded.indices, facts = excluded.facts"
)
_LISTED = ("commitment", "index", "product", "sharing")
_READ = text(
    "INSERT INTO statements_read (vkey, asked_as, size, at) VALUES (:vkey, :asked_as, :size, :at) "
    "ON CONFLICT (vkey, asked_as) DO UPDATE SET size = excluded.size, at = excluded.at"
)
_SIZE = text("SELECT size FROM statements_read WHERE vkey = :vkey AND asked_as = :asked_as")
_KEPT = text("SELECT count(*) FROM fetched WHERE vkey = :vkey")
_OF = text(
    'SELECT commitment, "index" FROM fetched WHERE vkey = :vkey AND product IN :products'
).bindparams(_some("products"))
_FIRSTS = text("SELECT first FROM segment WHERE vkey = :vkey ORDER BY first")
_FACTS = text("SELECT facts FROM segment WHERE vkey = :vkey AND first = :first")
_PUT_FACTS = text("UPDATE segment SET facts = :facts WHERE vkey = :vkey AND first = :first")
_CONTENT = text("SELECT content, indices FROM segment WHERE vkey = :vkey AND first = :first")
_HOLDING = text(
    "SELECT content, indices FROM segment WHERE vkey = :vkey AND first <= :index "
    "ORDER BY first DESC LIMIT 1"
)
_PROVEN = text(
    "SELECT commitment FROM proven WHERE vkey = :vkey AND commitment IN :names"
).bindparams(_some("names"))

_INDICES = msgspec.msgpack.Decoder(list[int])


def put(session: Session, origin: str, vkey: str, segment: Segment) -> None:
    """Keep a segment of the log of `origin` that `vkey` signs, and list what is in it, once."""
    lines = segment.lines
    asked = {
        "vkey": vkey,
        "first": segment.first,
        "content": segment.content,
        "indices": msgspec.msgpack.encode([line.entry for line in lines]),
        "facts": segment.facts,
    }
    session.connection().execute(_PUT, asked)
    common = {"vkey": vkey, "origin": origin, "envelope": b""}
    many.insert(session, "fetched", _LISTED, lines, common)


def put_read(session: Session, vkey: str, asked_as: str, size: int, *, at: int) -> None:
    """Keep that all statements before entry `size` were asked for as `asked_as`, at a second."""
    asked = {"vkey": vkey, "asked_as": asked_as, "size": size, "at": at}
    session.connection().execute(_READ, asked)


def read(session: Session, vkey: str, asked_as: str) -> int:
    """Return up to which entry the statements of a log were asked for, 0 where they never were."""
    found = session.connection().execute(_SIZE, {"vkey": vkey, "asked_as": asked_as}).scalar()
    return 0 if found is None else int(found)


def count(session: Session, vkey: str) -> int:
    """Return how many statements of a log are kept."""
    return int(session.connection().execute(_KEPT, {"vkey": vkey}).scalar_one())


def of_products(session: Session, vkey: str, products: Sequence[str]) -> dict[str, int]:
    """Return the commitment and index of every statement kept of some products of a log."""
    found: dict[str, int] = {}
    for start in range(0, len(products), MAX_ASKED):
        asked = {"vkey": vkey, "products": list(products[start : start + MAX_ASKED])}
        found.update((name, at) for name, at in session.connection().execute(_OF, asked))
    return found


def firsts(session: Session, vkey: str) -> list[int]:
    """Return the first entry of each segment of a log."""
    return [int(first) for first in session.connection().execute(_FIRSTS, {"vkey": vkey}).scalars()]


def facts(session: Session, vkey: str, first: int) -> bytes:
    """Return what a segment was found to say, as it was kept."""
    asked = {"vkey": vkey, "first": first}
    return bytes(session.connection().execute(_FACTS, asked).scalar_one())


def put_facts(session: Session, vkey: str, first: int, found: bytes) -> None:
    """Keep in another form what a segment was found to say."""
    asked = {"vkey": vkey, "first": first, "facts": found}
    session.connection().execute(_PUT_FACTS, asked)


def content(session: Session, vkey: str, first: int) -> tuple[bytes, list[int]]:
    """Return the page of a segment, and the entry of each of its lines."""
    row = session.connection().execute(_CONTENT, {"vkey": vkey, "first": first}).one()
    return bytes(row[0]), _INDICES.decode(row[1])


def envelope(session: Session, vkey: str, index: int) -> bytes:
    """Return the envelope at an entry of a log, which is kept in a segment."""
    row = session.connection().execute(_HOLDING, {"vkey": vkey, "index": index}).one()
    return _in(row, index)


def envelopes(session: Session, vkey: str) -> "Envelopes":
    """Return the envelopes of a log's segments; asked for in order, each is unpacked once."""
    return Envelopes(session, vkey)


class Envelopes:
    """The envelopes of one log's segments; the segment asked for last stays unpacked."""

    def __init__(self, session: Session, vkey: str) -> None:
        """Nothing is unpacked yet."""
        self._session = session
        self._vkey = vkey
        self._now: Mapping[int, bytes] = {}

    def at(self, index: int) -> bytes:
        """Return the envelope at an entry."""
        if index not in self._now:
            asked = {"vkey": self._vkey, "index": index}
            row = self._session.connection().execute(_HOLDING, asked).one()
            self._now = dict(zip(_INDICES.decode(row[1]), pages.unpack(row[0]), strict=True))
        return self._now[index]


def proven(session: Session, vkey: str, names: Sequence[str]) -> set[str]:
    """Return which statements of a log had their own signature checked before."""
    found: set[str] = set()
    for few in _few(names):
        asked = {"vkey": vkey, "names": list(few)}
        found.update(session.connection().execute(_PROVEN, asked).scalars())
    return found


def put_proven(session: Session, vkey: str, names: Iterable[str]) -> None:
    """Keep that the own signatures of some statements of a log were checked."""
    many.insert(session, "proven", ("commitment",), ((name,) for name in names), {"vkey": vkey})


def _in(row: Any, index: int) -> bytes:
    at = _INDICES.decode(row[1]).index(index)
    return pages.unpack(row[0])[at]


def _few(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + MAX_ASKED] for start in range(0, len(names), MAX_ASKED))
