"""This node's own public statements by the hundred, packed once and kept."""

from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Field, Session, SQLModel

from bcca_node.storage.tables import Whole


class PressedRow(SQLModel, table=True):
    """The page of the entries from `number` times its width on, as of the first `size`."""

    __tablename__ = "pressed"

    number: int = Field(sa_type=Whole, primary_key=True)
    size: int = Field(sa_type=Whole)
    content: bytes


class Pressed(NamedTuple):
    """A page as it is kept: all public statements of it before entry `size`."""

    size: int
    content: bytes


_PUT = text(
    "INSERT INTO pressed (number, size, content) VALUES (:number, :size, :content) "
    "ON CONFLICT (number) DO UPDATE SET size = excluded.size, content = excluded.content "
    "WHERE pressed.size < excluded.size"
)


def get(session: Session, number: int) -> Pressed | None:
    """Return a page, None where it was not packed yet."""
    row = session.get(PressedRow, number)
    return None if row is None else Pressed(row.size, row.content)


def put(session: Session, number: int, pressed: Pressed) -> None:
    """Keep a page in the place of one that has less."""
    asked = {"number": number, **pressed._asdict()}
    session.connection().execute(_PUT, asked)
