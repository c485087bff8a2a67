"""The tables of a node. Rows stay inside this package; what leaves it is frozen."""

from sqlalchemy import BigInteger, Dialect, Index, Integer, TypeDecorator
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel

SCHEMA_VERSION = 5


class Whole(TypeDecorator[int]):
    """A whole number of 64 bits: what strangers say of a log may be as large as any log can be."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[int]:
        """Return what holds it; in SQLite every whole number does, and a key is its row's own."""
        held = Integer() if dialect.name == "sqlite" else BigInteger()
        return dialect.type_descriptor(held)


class SchemaVersion(SQLModel, table=True):
    """Which form the tables have."""

    __tablename__ = "schema_version"

    version: int = Field(sa_type=Whole, primary_key=True)


class EntryRow(SQLModel, table=True):
    """One line of this node's log."""

    __tablename__ = "entry"

    index: int = Field(sa_type=Whole, primary_key=True)
    line: str


class TileRow(SQLModel, table=True):
    """The hashes of a tile, concatenated; the last tile of a level is still growing."""

    __tablename__ = "tile"

    level: int = Field(sa_type=Whole, primary_key=True)
    index: int = Field(sa_type=Whole, primary_key=True)
    hashes: bytes


class CheckpointRow(SQLModel, table=True):
    """A head this node signed; published once a quorum has cosigned it."""

    __tablename__ = "checkpoint"

    size: int = Field(sa_type=Whole, primary_key=True)
    root: bytes
    note: str
    published: bool = Field(index=True)


class StatementRow(SQLModel, table=True):
    """A statement of this node; `ended` is the first entry that revoked or corrected it."""

    __tablename__ = "statement"

    commitment: str = Field(primary_key=True)
    index: int = Field(sa_type=Whole, unique=True)
    kind: str
    product: str = Field(index=True)
    site: str | None
    batch: str | None
    period_start: str
    period_end: str
    sharing: str
    ended: int | None = Field(default=None, sa_type=Whole)
    envelope: bytes


class LostRow(SQLModel, table=True):
    """An entry of this node's log whose statement was lost with an earlier database."""

    __tablename__ = "lost"

    commitment: str = Field(primary_key=True)
    index: int = Field(sa_type=Whole)
    line: str


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
    size: int = Field(sa_type=Whole)
    root: bytes
    note: str


class HeadRow(SQLModel, table=True):
    """A head that somebody showed this node, with its log's signature: two may be a proof.

    The key is part of its name: whoever introduces an origin with a false key hides nothing.
    """

    __tablename__ = "head"
    __table_args__ = (Index("ix_head_of_key", "origin", "vkey", "size", "held"),)

    origin: str = Field(primary_key=True)
    size: int = Field(sa_type=Whole, primary_key=True)
    root: bytes = Field(primary_key=True)
    vkey: str = Field(primary_key=True)
    held: int = Field(sa_type=Whole)  # bytes of the note, which is read only where it is needed
    note: str


class MisbehaviourRow(SQLModel, table=True):
    """A proof that a log signed two trees that cannot both be, named by its SHA-256."""

    __tablename__ = "misbehaviour"

    id: str = Field(primary_key=True)
    origin: str = Field(index=True)
    found_at: int = Field(sa_type=Whole)
    evidence: bytes


class AlarmRow(SQLModel, table=True):
    """What the owner of this node has to know and to act on; `cleared_at` once that is done."""

    __tablename__ = "alarm"

    id: str = Field(primary_key=True)
    raised_at: int = Field(sa_type=Whole)
    what: str
    cleared_at: int | None = Field(default=None, sa_type=Whole)


class RestoredRow(SQLModel, table=True):
    """Stands here from a restore until every witness has said what it has seen of this log."""

    __tablename__ = "restored"

    id: int = Field(sa_type=Whole, primary_key=True)


class ForgottenRow(SQLModel, table=True):
    """A witness key of a node from a backup: what it has cosigned since is not known here."""

    __tablename__ = "forgotten"

    vkey: str = Field(primary_key=True)


class CosignedRow(SQLModel, table=True):
    """How far a witness has come with this node's own log, and why it has come no further."""

    __tablename__ = "cosigned"

    witness: str = Field(primary_key=True)
    size: int = Field(sa_type=Whole)
    time: int = Field(sa_type=Whole)
    asked_at: int = Field(sa_type=Whole)
    refused: str


class CopyRow(SQLModel, table=True):
    """Another log as far as it was read and believed: the head up to which its tiles are here.

    The key is part of its name: whoever introduces an origin with a false key blocks nobody.
    """

    __tablename__ = "copy"

    origin: str = Field(primary_key=True)
    vkey: str = Field(primary_key=True)
    origin_hash: str = Field(index=True)
    size: int = Field(sa_type=Whole)
    root: bytes
    note: str
    url: str | None
    introduced_by: str | None
    checked_at: int = Field(sa_type=Whole)


class CopyTileRow(SQLModel, table=True):
    """A tile or entry bundle (level -1) of a copy; the last of a level is still growing.

    A bundle of level -2 was fetched, and is believed by nobody yet.
    """

    __tablename__ = "copy_tile"

    origin: str = Field(primary_key=True)
    vkey: str = Field(primary_key=True)
    level: int = Field(sa_type=Whole, primary_key=True)
    index: int = Field(sa_type=Whole, primary_key=True)
    content: bytes


class FetchedRow(SQLModel, table=True):
    """Another node's statement, found in its log at `index`."""

    __tablename__ = "fetched"

    commitment: str = Field(primary_key=True)
    vkey: str = Field(primary_key=True)
    origin: str
    index: int = Field(sa_type=Whole)
    product: str = Field(index=True)
    sharing: str
    envelope: bytes
