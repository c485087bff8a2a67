"""The tables of whom a node deals with, what each may see, and what was asked and told.

Times are POSIX seconds. An empty text stands for "whatever": a key holds no null.
"""

from sqlmodel import Field, SQLModel

from bcca_node.storage.tables import Whole


class PartnerRow(SQLModel, table=True):
    """Another organisation that was invited or that invited: its keys, and what it is to this one.

    `roles` are separated by spaces, `ids` are a JSON array of each and how it was checked;
    `proven_at` is when its log was last seen to hold the keys, `refused` why they are not believed.
    """

    __tablename__ = "partner"

    origin: str = Field(primary_key=True)
    name: str
    url: str
    log_key: str
    request_key: str = Field(index=True)
    seal_key: str
    roles: str
    ids: str
    since: int = Field(sa_type=Whole)
    proven_at: int | None = Field(default=None, sa_type=Whole)
    refused: str = ""
    invitation: str = ""


class InvitationRow(SQLModel, table=True):
    """An invitation of this node, good once: `used_by` is whose key accepted it.

    `told` is what its operator has to know of that.
    """

    __tablename__ = "invitation"

    id: str = Field(primary_key=True)
    note: str
    created: int = Field(sa_type=Whole)
    expires: int = Field(sa_type=Whole)
    used_by: str | None = None
    withdrawn: bool = False
    told: str = ""


class PartRow(SQLModel, table=True):
    """A partner's part number beside the product it is here; `state` says who has confirmed it."""

    __tablename__ = "part"

    partner: str = Field(primary_key=True)
    theirs: str = Field(primary_key=True)
    ours: str = Field(primary_key=True)
    state: str
    changed: int = Field(sa_type=Whole)


class GrantRow(SQLModel, table=True):
    """What a partner may see beyond what everybody may: a statement, a product's, or all.

    One that was taken back stays, with `until` when that was: no old request renews it.
    """

    __tablename__ = "grant"

    partner: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    about: str = Field(primary_key=True)
    given: int = Field(sa_type=Whole)
    until: int | None = Field(default=None, sa_type=Whole)
    why: str
    taken_back: bool = False


class AppointmentRow(SQLModel, table=True):
    """An auditor who may see what `recipient` may, of one product or (empty) of all.

    The recipient is this node itself, or a partner that told so.
    """

    __tablename__ = "appointment"

    recipient: str = Field(primary_key=True)
    auditor: str = Field(primary_key=True)
    product: str = Field(primary_key=True)
    request_key: str = Field(index=True)
    given: int = Field(sa_type=Whole)
    until: int | None = Field(default=None, sa_type=Whole)


class RequestRow(SQLModel, table=True):
    """A request for data, from a partner (`incoming`) or to one, and where it stands.

    Whoever asks names it, so its name is the partner's too. `agreed` is when this node last
    accepted it, by its own clock (0: never); `reminded` is how many days before it is due the
    partner was last reminded.
    """

    __tablename__ = "request"

    partner: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    incoming: bool
    part: str
    wanted: str
    product: str = Field(index=True)
    period_start: str
    period_end: str
    purpose: str
    due: str
    state: str = Field(index=True)
    reason: str
    commitment: str
    created: int = Field(sa_type=Whole)
    changed: int = Field(sa_type=Whole)
    agreed: int = Field(default=0, sa_type=Whole)
    reminded: int = Field(default=0, sa_type=Whole)


class RequestEventRow(SQLModel, table=True):
    """One thing that `by` did to a request; it may arrive before the request itself."""

    __tablename__ = "request_event"

    partner: str = Field(primary_key=True)
    request: str = Field(primary_key=True)
    by: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    at: int = Field(sa_type=Whole)
    kind: str
    text: str
    reason: str
    product: str
    commitment: str


class DeliveryRow(SQLModel, table=True):
    """An event on its way to a partner: `state` is waiting, delivered or dead.

    `place` rises among the events for this partner alone, so that it tells nothing of others;
    `created` is since when it is tried, `told` what went wrong last.
    """

    __tablename__ = "delivery"

    number: int = Field(sa_type=Whole, primary_key=True)
    partner: str = Field(index=True)
    place: int = Field(sa_type=Whole)
    event: str = Field(index=True)
    body: bytes
    created: int = Field(sa_type=Whole)
    attempts: int = Field(sa_type=Whole)
    next_at: int = Field(sa_type=Whole)
    state: str = Field(index=True)
    told: str


class ReceivedRow(SQLModel, table=True):
    """An event of a partner that was taken: what comes again changes nothing."""

    __tablename__ = "received"

    partner: str = Field(primary_key=True)
    event: str = Field(primary_key=True)
    digest: bytes
    at: int = Field(sa_type=Whole)


class PulledRow(SQLModel, table=True):
    """Up to which number this node has pulled the events that a partner keeps for it."""

    __tablename__ = "pulled"

    partner: str = Field(primary_key=True)
    number: int = Field(sa_type=Whole)


class NewsRow(SQLModel, table=True):
    """What a partner told of a statement, its own or another's, until somebody has read it."""

    __tablename__ = "news"

    id: str = Field(primary_key=True)
    partner: str = Field(primary_key=True)
    at: int = Field(sa_type=Whole)
    kind: str
    issuer: str
    commitment: str = Field(index=True)
    successor: str
    product: str
    seen: bool = False


class ToldRow(SQLModel, table=True):
    """That a partner was told of an ending of a statement: nobody is told twice."""

    __tablename__ = "told"

    partner: str = Field(primary_key=True)
    commitment: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)


class FeedRow(SQLModel, table=True):
    """That one statement, own or fetched, was found to feed another: the way upstream."""

    __tablename__ = "feed"
    __table_args__ = {"sqlite_with_rowid": False}

    fed: str = Field(primary_key=True)
    consumer: str = Field(primary_key=True)


class NamedRow(SQLModel, table=True):
    """A supplier that a statement names, of this node or one that it holds."""

    __tablename__ = "named"
    __table_args__ = {"sqlite_with_rowid": False}

    origin: str = Field(primary_key=True)
    commitment: str = Field(primary_key=True, index=True)


class WalkedRow(SQLModel, table=True):
    """What was kept last of what feeds and names whom in the statements of one issuer."""

    __tablename__ = "walked"

    issuer: str = Field(primary_key=True)
    digest: bytes


class SealedRow(SQLModel, table=True):
    """A partner for whom this node seals files in the folder that it publishes, and since when."""

    __tablename__ = "sealed"

    partner: str = Field(primary_key=True)
    since: int = Field(sa_type=Whole)
