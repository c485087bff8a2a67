"""Tokens: what a PACT client gets for its id and secret, and who holds one (SPEC 16.3).

A token is 256 random bits that say nothing; that it is good is looked up each time, so that it
stops at once with its secret and its partner.
"""

import hmac
import secrets
from dataclasses import dataclass, field

from bcca_node.ledger.node import Node
from bcca_node.pact import clients
from bcca_node.storage import pactclients
from bcca_node.storage.pactclients import Held, PactPartner

SECONDS = 3_600  # a token: short enough that a stolen one is soon worth nothing
MAX_CREDENTIAL_CHARS = 512  # of an id, a secret or a token that is looked up: ours are under 110

_NOBODY = clients.digest("")  # compared where there is no such client: that takes as long


class NoTokenError(Exception):
    """A token that opens nothing; `is_expired` if it was good once, and its client is still."""

    def __init__(self, *, is_expired: bool = False) -> None:
        """Say which."""
        super().__init__("expired" if is_expired else "unknown")
        self.is_expired = is_expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new token and for how many seconds it is good."""

    partner: PactPartner
    token: str = field(repr=False)
    seconds: int


def verify(node: Node, client_id: str, secret: str) -> bool:
    """Say whether somebody may come in by these; whatever is wrong with them, the same is done."""
    with node.database.read() as session:
        found = pactclients.client(session, client_id)
        partner = pactclients.get(session, "" if found is None else found.partner)
    expected = _NOBODY if found is None else found.digest
    is_same = hmac.compare_digest(clients.digest(secret), expected)
    return is_same and found is not None and partner is not None and found.is_good(node.clock())


def issue(node: Node, client_id: str) -> Issued | None:
    """Return a new token of a client whose secret was verified, None where it is no more.

    It is good for an hour, and no longer than the credentials. Raises UnavailableError.
    """
    now = node.clock()
    token = secrets.token_urlsafe(clients.SECRET_BYTES)
    with node.database.write() as session:
        found = pactclients.client(session, client_id)  # it may have been revoked just now
        partner = None if found is None else pactclients.get(session, found.partner)
        if found is None or partner is None or not found.is_good(now):
            return None
        until = min(now + SECONDS, found.expires)
        pactclients.put_token(session, clients.digest(token), client_id, expires=until, at=now)
    return Issued(partner=partner, token=token, seconds=until - now)


def holder(node: Node, token: str) -> PactPartner:
    """Return whose a token is; raises NoTokenError."""
    digest = clients.digest(token)
    found = node.memo.get(node.moment(), ("pact", digest), Held, lambda: _held(node, digest))
    now = node.clock()
    if not found.client.is_good(now):
        raise NoTokenError
    if now >= found.expires:
        raise NoTokenError(is_expired=True)
    return found.partner


def _held(node: Node, digest: str) -> Held:
    """Return whose a token is, as it is kept; raises NoTokenError, so that nobody fills a memo."""
    with node.database.read() as session:
        found = pactclients.held(session, digest)
    if found is None:
        raise NoTokenError
    return found
