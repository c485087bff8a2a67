"""The tables of footprints as PACT has them; `storage.pactshelf` reads and writes them."""

from sqlmodel import Field, SQLModel

from bcca_node.storage.tables import Whole


class PactFootprintRow(SQLModel, table=True):
    """A footprint without its bytes: `place` is the entry of its statement, `changed` its last.

    Times are POSIX seconds; `handle` is the name under which the log says what became of it.
    """

    __tablename__ = "pact_footprint"

    place: int = Field(sa_type=Whole, primary_key=True)
    id: str = Field(unique=True)
    commitment: str = Field(unique=True)
    handle: bytes = Field(index=True)
    product: str
    sharing: str
    stream: str
    valid_start: int = Field(sa_type=Whole)
    valid_end: int = Field(sa_type=Whole)
    deprecated: bool
    changed: int = Field(sa_type=Whole, index=True)
    size: int = Field(sa_type=Whole)


class PactContentRow(SQLModel, table=True):
    """The bytes of a footprint, as they are sent."""

    __tablename__ = "pact_content"

    place: int = Field(sa_type=Whole, primary_key=True)
    content: bytes


class PactTermRow(SQLModel, table=True):
    """A term of a footprint, in small letters; `back` is minus its place: the newest first."""

    __tablename__ = "pact_term"
    __table_args__ = {"sqlite_with_rowid": False}

    kind: int = Field(sa_type=Whole, primary_key=True)
    value: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    back: int = Field(sa_type=Whole, primary_key=True)


class PactMarkRow(SQLModel, table=True):
    """Of how many entries of this node's log the footprints are here."""

    __tablename__ = "pact_mark"

    id: int = Field(sa_type=Whole, primary_key=True)
    size: int = Field(sa_type=Whole)
