"""The tables of a node. Rows stay inside this package; what leaves it is frozen."""

from sqlmodel import Field, SQLModel

SCHEMA_VERSION = 1


class SchemaVersion(SQLModel, table=True):
    """Which form the tables have."""

    __tablename__ = "schema_version"

    version: int = Field(primary_key=True)


class EntryRow(SQLModel, table=True):
    """One line of this node's log."""

    __tablename__ = "entry"

    index: int = Field(primary_key=True)
    line: str


class TileRow(SQLModel, table=True):
    """The hashes of a tile, concatenated; the last tile of a level is still growing."""

    __tablename__ = "tile"

    level: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    hashes: bytes


class CheckpointRow(SQLModel, table=True):
    """A head this node signed; published once a quorum has cosigned it."""

    __tablename__ = "checkpoint"

    size: int = Field(primary_key=True)
    root: bytes
    note: str
    published: bool = Field(index=True)


class StatementRow(SQLModel, table=True):
    """A statement of this node; `ended` is the first entry that revoked or corrected it."""

    __tablename__ = "statement"

    commitment: str = Field(primary_key=True)
    index: int = Field(unique=True)
    kind: str
    product: str = Field(index=True)
    site: str | None
    batch: str | None
    period_start: str
    period_end: str
    sharing: str
    ended: int | None = None
    envelope: bytes


class DraftRow(SQLModel, table=True):
    """A predicate that waits to be published."""

    __tablename__ = "draft"

    id: str = Field(primary_key=True)
    product: str = Field(index=True)
    kind: str
    predicate: bytes


class WitnessedRow(SQLModel, table=True):
    """The last head of a log that this node cosigned, found by the SHA-256 of its origin."""

    __tablename__ = "witnessed"

    origin_hash: str = Field(primary_key=True)
    size: int
    root: bytes
    note: str


class HeadRow(SQLModel, table=True):
    """A head that somebody showed this node, with its log's signature: two may be a proof."""

    __tablename__ = "head"

    origin: str = Field(primary_key=True)
    size: int = Field(primary_key=True)
    root: bytes = Field(primary_key=True)
    note: str


class SeenLogRow(SQLModel, table=True):
    """Another node's log as far as it was read and verified.

    The key is part of its name: whoever introduces an origin with a false key blocks nobody.
    """

    __tablename__ = "seen_log"

    origin: str = Field(primary_key=True)
    vkey: str = Field(primary_key=True)
    size: int
    root: bytes
    note: str
    entries: bytes
    url: str | None
    introduced_by: str | None


class FetchedRow(SQLModel, table=True):
    """Another node's statement, found in its log at `index`."""

    __tablename__ = "fetched"

    commitment: str = Field(primary_key=True)
    vkey: str = Field(primary_key=True)
    origin: str
    index: int
    product: str = Field(index=True)
    sharing: str
    envelope: bytes
