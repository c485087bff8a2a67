"""PACT partners: added, given credentials, and ended (SPEC 16.3)."""

import re
import secrets
from dataclasses import dataclass, field, replace
from hashlib import sha256
from urllib.parse import urlsplit

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.network.guard import host_of, is_loopback
from bcca_node.pact import secrets as sealing
from bcca_node.partners.invitation import require_base
from bcca_node.storage import leaving, pactclients, pactnews
from bcca_node.storage.leaving import Forgotten
from bcca_node.storage.pactclients import PactClient, PactPartner
from bcca_protocol.errors import MalformedError, UnusableError
from bcca_protocol.wire import showable

MAX_PARTNERS = 10_000  # as of others: a large buyer has some thousand suppliers
MAX_CLIENTS = 8  # credentials of one partner that are good at once: an old and a new one, fourfold
MAX_CLIENT_ID_CHARS = 255  # of one that another issued: it is a name
MAX_DAYS = 1_095  # credentials last three years at most: who has left still has them
DAYS = 365

NAME = r"\A[a-z0-9][a-z0-9.-]{0,62}\Z"
SECRET_BYTES = 32  # of a secret and of a token: nobody guesses 256 bits
_ID_BYTES = 16  # no two are alike
_DAY_SECONDS = 86_400

_NAME = re.compile(NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a partner comes in with; the secret is shown once, and kept nowhere."""

    partner: PactPartner
    client_id: str
    secret: str = field(repr=False)
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """What a partner issued to this node."""

    client_id: str
    secret: str = field(repr=False)


def get(session: Session, name: str) -> PactPartner | None:
    """Return the partner of a name, or of an origin such as `pact:buyer`; None where none is."""
    return pactclients.get(session, name)


def checked_name(text: str) -> str:
    """Return the name of a partner that is to be one; raises UnusableError."""
    name = pactclients.name_of(text)
    if not _NAME.match(name):
        raise UnusableError(
            f"--pact {showable(text[:80])!r}: write 1 to 63 small letters, digits, '.' and '-', "
            "the first a letter or a digit"
        )
    return name


def checked_base(url: str, option: str) -> str:
    """Return a base URL without slashes at its end; raises UnusableError, naming `option`.

    It is https: by http, whoever stands in between reads the secret. This machine may be http.
    """
    base = url.rstrip("/")
    try:
        require_base(base)
    except MalformedError as error:
        raise UnusableError(f"{option}: {error}") from error
    if urlsplit(base).scheme != "https" and not is_loopback(host_of(base)):
        raise UnusableError(
            f"{option} {showable(base[:200])}: begins with http, where PACT is spoken over https "
            "alone: write https://"
        )
    return base


def add(node: Node, session: Session, partner: PactPartner, theirs: Theirs | None) -> PactPartner:
    """Keep a new partner; return it with what it issued to this node sealed.

    Raises UnusableError for a name that is in use, and for a partner too many.
    """
    if pactclients.get(session, partner.name) is not None:
        raise UnusableError(
            f"{partner.origin} is a partner already: `bcca partners secret {partner.name}` gives "
            f"it new credentials, `bcca partners update {partner.name}` changes where it is"
        )
    if pactclients.count(session) >= MAX_PARTNERS:
        raise UnusableError(f"this node has {MAX_PARTNERS} PACT partners: end one first")
    kept = partner if theirs is None else sealed(node, partner, theirs)
    pactclients.put(session, kept)
    pactnews.begin(session, kept.origin)  # what was published before it can list
    return kept


def sealed(node: Node, partner: PactPartner, theirs: Theirs) -> PactPartner:
    """Return `partner` with what it issued to this node; raises UnusableError."""
    client_id = theirs.client_id
    is_plain = client_id.isascii() and client_id.isprintable() and ":" not in client_id
    if not 0 < len(client_id) <= MAX_CLIENT_ID_CHARS or not is_plain:
        raise UnusableError(
            f"--client-id {showable(client_id[:80])!r}: write 1 to {MAX_CLIENT_ID_CHARS} printable "
            "ASCII characters without ':'"
        )
    known = replace(partner, client_id=client_id)
    return replace(known, sealed=sealing.seal(node, known, theirs.secret))


def issue(session: Session, partner: PactPartner, *, days: int, at: int) -> Credentials:
    """Return new credentials of a partner; those it has go on until they expire or are revoked.

    Raises UnusableError for a time that is none, and where too many are good.
    """
    if not 0 < days <= MAX_DAYS:
        raise UnusableError(f"--days {days}: write 1 to {MAX_DAYS}")
    good = [each for each in pactclients.clients(session, partner.name) if each.is_good(at)]
    if len(good) >= MAX_CLIENTS:
        raise UnusableError(
            f"{partner.origin} has {len(good)} credentials that are good, and {MAX_CLIENTS} are "
            f"the most: `bcca partners revoke-secret {partner.name} {good[0].client_id}` first"
        )
    secret = secrets.token_urlsafe(SECRET_BYTES)
    made = PactClient(
        client_id=f"{partner.name}.{secrets.token_hex(_ID_BYTES)}",
        partner=partner.name,
        digest=digest(secret),
        created=at,
        expires=at + days * _DAY_SECONDS,
    )
    pactclients.put_client(session, made)
    return Credentials(
        partner=partner, client_id=made.client_id, secret=secret, expires=made.expires
    )


def revoke(session: Session, partner: PactPartner, client_id: str, *, at: int) -> None:
    """End credentials and every token that they were given; raises UnusableError."""
    found = pactclients.client(session, client_id)
    if found is None or found.partner != partner.name or found.revoked is not None:
        raise UnusableError(
            f"{showable(client_id[:120])!r} is no client id of {partner.origin} that is good: "
            f"`bcca partners show {partner.origin}` lists them"
        )
    pactclients.put_client(session, replace(found, revoked=at))
    pactclients.drop_tokens(session, client_id)


def end(node: Node, session: Session, partner: PactPartner) -> Forgotten:
    """Deal with a partner no more: its credentials and tokens end at once, as does all it has.

    Return what was dropped. Whoever has that name next begins with nothing.
    """
    pactclients.drop_clients(session, partner.name)
    found = leaving.forget(session, partner.origin)
    pactclients.put(session, replace(partner, client_id="", sealed="", ended=node.clock()))
    node.calls.forget(partner.origin, now=node.clock())
    return found


def digest(secret: str) -> str:
    """Return under what a secret or a token of 256 random bits is kept."""
    return sha256(secret.encode(errors="surrogateescape")).hexdigest()
