"""Partners that speak PACT, the clients by which they come in, and the tokens that these hold.

Of what this node issues, secrets and tokens alike, only SHA-256 is kept: both are 256 random bits,
so that no slow hash is needed. What a partner issued to this node is sealed (`pact.secrets`).
Times are POSIX seconds.
"""

from dataclasses import asdict, dataclass, field

from sqlmodel import Field, Session, SQLModel, col, delete, func, select

from bcca_node.storage.partners import Partner
from bcca_node.storage.tables import Whole

PREFIX = "pact:"  # a ':' is in no origin, so that no partner of another kind has such a name
MAX_TOKENS = 1_000  # live ones of a client; the oldest go first: some ask for one before each call
KEPT_SECONDS = 86_400  # after its end a token is still known as expired, not as an unknown one


class PactPartnerRow(SQLModel, table=True):
    """A PACT partner: where its host is, and what it issued to this node."""

    __tablename__ = "pact_partner"

    name: str = Field(primary_key=True)
    url: str
    auth_url: str
    client_id: str
    sealed: str
    since: int = Field(sa_type=Whole)
    ended: int | None = Field(default=None, sa_type=Whole)


class PactClientRow(SQLModel, table=True):
    """A client id that this node issued, and the digest of its secret."""

    __tablename__ = "pact_client"

    client_id: str = Field(primary_key=True)
    partner: str = Field(index=True)
    digest: str
    created: int = Field(sa_type=Whole)
    expires: int = Field(sa_type=Whole)
    revoked: int | None = Field(default=None, sa_type=Whole)


class PactTokenRow(SQLModel, table=True):
    """A token that this node issued, by its digest."""

    __tablename__ = "pact_token"

    digest: str = Field(primary_key=True)
    client_id: str = Field(index=True)
    expires: int = Field(sa_type=Whole, index=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PactPartner:
    """An organisation whose system speaks PACT: `url` is the base of its data actions.

    `auth_url` is the base under which it issues tokens; `client_id` and `sealed` are what it issued
    to this node, both empty where it issued nothing. It is a partner until it is `ended`.
    """

    name: str
    url: str
    auth_url: str
    client_id: str = ""
    sealed: str = field(default="", repr=False)
    since: int
    ended: int | None = None

    @property
    def origin(self) -> str:
        """Return what it is called wherever a partner has an origin."""
        return PREFIX + self.name

    @property
    def refused(self) -> str:
        """Return why its keys are not believed: it has none, so nothing."""
        return ""

    @property
    def is_asked(self) -> bool:
        """Say whether this node has what it needs to ask its host."""
        return bool(self.client_id and self.sealed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PactClient:
    """Credentials of a partner: good until they expire or are `revoked`."""

    client_id: str
    partner: str
    digest: str = field(repr=False)
    created: int
    expires: int
    revoked: int | None = None

    def is_good(self, at: int) -> bool:
        """Say whether somebody may come in by them at POSIX second `at`."""
        return self.revoked is None and at < self.expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Whose a token is, by which client, and until when."""

    partner: PactPartner
    client: PactClient
    expires: int


Named = Partner | PactPartner  # whoever has an origin here


def name_of(origin: str) -> str:
    """Return the name of a PACT partner that is called so; `pact:` need not be written."""
    return origin.removeprefix(PREFIX)


def is_pact(origin: str) -> bool:
    """Say whether an origin is a PACT partner's."""
    return origin.startswith(PREFIX)


def get(session: Session, name: str) -> PactPartner | None:
    """Return the partner of a name or origin, None where there is none, or no more."""
    row = session.get(PactPartnerRow, name_of(name))
    return None if row is None or row.ended is not None else _partner(row)


def every(session: Session) -> list[PactPartner]:
    """Return all partners that are not ended, by name."""
    chosen = select(PactPartnerRow).where(col(PactPartnerRow.ended).is_(None))
    return [_partner(row) for row in session.exec(chosen.order_by(PactPartnerRow.name))]


def count(session: Session) -> int:
    """Return how many partners are not ended."""
    chosen = select(func.count()).select_from(PactPartnerRow)
    return session.exec(chosen.where(col(PactPartnerRow.ended).is_(None))).one()


def put(session: Session, partner: PactPartner) -> None:
    """Keep a partner, in the place of what was known of that name."""
    session.merge(PactPartnerRow(**asdict(partner)))
    session.flush()


def client(session: Session, client_id: str) -> PactClient | None:
    """Return credentials by their id, good or not."""
    row = session.get(PactClientRow, client_id)
    return None if row is None else _client(row)


def clients(session: Session, name: str) -> list[PactClient]:
    """Return the credentials of a partner, good or not, the oldest first."""
    chosen = select(PactClientRow).where(col(PactClientRow.partner) == name_of(name))
    ordered = chosen.order_by(col(PactClientRow.created), col(PactClientRow.client_id))
    return [_client(row) for row in session.exec(ordered)]


def every_client(session: Session) -> dict[str, list[PactClient]]:
    """Return the credentials of all partners by their names, the oldest first."""
    found: dict[str, list[PactClient]] = {}
    ordered = select(PactClientRow).order_by(
        col(PactClientRow.created), col(PactClientRow.client_id)
    )
    for row in session.exec(ordered):
        found.setdefault(row.partner, []).append(_client(row))
    return found


def put_client(session: Session, issued: PactClient) -> None:
    """Keep credentials, in the place of what was known of that id."""
    session.merge(PactClientRow(**asdict(issued)))
    session.flush()


def drop_clients(session: Session, name: str) -> int:
    """Forget the credentials of a partner and their tokens; return how many credentials."""
    for each in clients(session, name):
        drop_tokens(session, each.client_id)
    chosen = delete(PactClientRow).where(col(PactClientRow.partner) == name_of(name))
    return session.exec(chosen).rowcount


def put_token(session: Session, digest: str, client_id: str, *, expires: int, at: int) -> None:
    """Keep a token, and forget what is long over, and the oldest of a client that has too many."""
    session.exec(delete(PactTokenRow).where(col(PactTokenRow.expires) < at - KEPT_SECONDS))
    mine = select(PactTokenRow.digest).where(col(PactTokenRow.client_id) == client_id)
    oldest = mine.order_by(col(PactTokenRow.expires).desc(), col(PactTokenRow.digest))
    over = list(session.exec(oldest.offset(MAX_TOKENS - 1)))
    if over:
        session.exec(delete(PactTokenRow).where(col(PactTokenRow.digest).in_(over)))
    session.add(PactTokenRow(digest=digest, client_id=client_id, expires=expires))
    session.flush()


def drop_tokens(session: Session, client_id: str) -> None:
    """Forget the tokens of a client: whoever has one is a stranger."""
    session.exec(delete(PactTokenRow).where(col(PactTokenRow.client_id) == client_id))


def drop_every_token(session: Session) -> None:
    """Forget all tokens."""
    session.exec(delete(PactTokenRow))


def held(session: Session, digest: str) -> Held | None:
    """Return whose a token is, live or over; None where its partner is no more."""
    chosen = (
        select(PactTokenRow, PactClientRow, PactPartnerRow)
        .join(PactClientRow, col(PactClientRow.client_id) == col(PactTokenRow.client_id))
        .join(PactPartnerRow, col(PactPartnerRow.name) == col(PactClientRow.partner))
        .where(col(PactTokenRow.digest) == digest, col(PactPartnerRow.ended).is_(None))
    )
    found = session.exec(chosen).first()
    if found is None:
        return None
    token, issued, partner = found
    return Held(partner=_partner(partner), client=_client(issued), expires=token.expires)


def _partner(row: PactPartnerRow) -> PactPartner:
    return PactPartner(**row.model_dump())


def _client(row: PactClientRow) -> PactClient:
    return PactClient(**row.model_dump())
