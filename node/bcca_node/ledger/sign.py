"""From a predicate to a signed statement that every verifier would accept."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

import msgspec

from bcca_node.ledger.keystore import Keyring
from bcca_node.storage.statements import Place
from bcca_protocol import partial, rollup, statement, wire
from bcca_protocol.entry import NONCE_BYTES, StatementEntry
from bcca_protocol.envelope import Envelope, sign, verify_envelope
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.keys import Role
from bcca_protocol.limits import MAX_STATEMENT_BYTES
from bcca_protocol.statement import (
    FOOTPRINT,
    IN_TOTO,
    OPINION,
    PARTIAL_FOOTPRINT,
    Digest,
    FootprintRollUp,
    Opinion,
    OpinionStatement,
    PartialFootprint,
    PartialStatement,
    RollUpStatement,
    Statement,
    Subject,
)
from bcca_protocol.verify import PAYLOAD_TYPE, entry_of
from bcca_protocol.wire import b64

Predicate: TypeAlias = PartialFootprint | FootprintRollUp | Opinion

NO_NONCE = "A" * 22 + "=="  # stands in predicates until they are signed: 16 zero bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """A statement ready to be entered: `envelope` is what is served, `entry` what is logged."""

    predicate: Predicate
    envelope: bytes
    entry: StatementEntry

    @property
    def commitment(self) -> str:
        """The name of the statement everywhere."""
        return self.entry.commitment.hex()


def sign_statement(
    predicate: Predicate, origin: str, keyring: Keyring, key_index: int
) -> SignedStatement:
    """Return the statement of `predicate`; the same predicate gives the same bytes.

    Whatever nonce it has is replaced. `key_index` is the entry that added the statement key.
    Raises UnusableError for what a verifier would refuse.
    """
    if predicate.issuer != origin:
        raise UnusableError(
            f"draft of {predicate.product.id}: issued by {predicate.issuer}, this node is {origin}"
        )
    predicate = msgspec.structs.replace(predicate, nonce=_nonce(predicate, keyring.secret))
    payload = wire.encode(_statement(predicate))
    signer = keyring.signer(Role.STATEMENT)
    try:
        envelope = sign(PAYLOAD_TYPE, payload, signer)
        verify_envelope(envelope, (signer.key,))
        entry = entry_of(envelope, key_index)
        _require_content(payload, entry.commitment.hex())
        encoded = envelope.encode()
        _require_size(encoded)
    except BccaError as error:
        raise UnusableError(f"draft of {predicate.product.id}: {error}") from error
    return SignedStatement(predicate=predicate, envelope=encoded, entry=entry)


def predicate_of(envelope: bytes) -> Predicate:
    """Return the predicate in an envelope of this node's own."""
    return statement.decode(Envelope.parse(envelope).payload).predicate


def place_of(predicate: Predicate) -> Place:
    """Return what a predicate will compete for with others of its period."""
    site = None if predicate.site is None else predicate.site.id
    return Place(_kind(predicate), predicate.product.id, site, predicate.batch)


def _kind(predicate: Predicate) -> str:
    match predicate:
        case PartialFootprint():
            return PARTIAL_FOOTPRINT
        case FootprintRollUp():
            return FOOTPRINT
        case Opinion():
            return OPINION


def _nonce(predicate: Predicate, secret: bytes) -> str:
    """Return what nobody without `secret` can guess, and what the same content always gives."""
    bare = wire.encode(_statement(msgspec.structs.replace(predicate, nonce="")))
    return b64(hmac.digest(secret, bare, sha256)[:NONCE_BYTES])


def _statement(predicate: Predicate) -> Statement:
    product = predicate.product.id
    digest = Digest(sha256=sha256(product.encode()).hexdigest())
    subject = (Subject(digest=digest, name=product),)
    match predicate:
        case PartialFootprint():
            return PartialStatement(type=IN_TOTO, subject=subject, predicate=predicate)
        case FootprintRollUp():
            return RollUpStatement(type=IN_TOTO, subject=subject, predicate=predicate)
        case Opinion():
            return OpinionStatement(type=IN_TOTO, subject=subject, predicate=predicate)


def _require_content(payload: bytes, commitment: str) -> None:
    """Return if verifiers read `payload` and find its content in order (SPEC 6.3, steps 5, 7)."""
    match statement.decode(payload):
        case PartialStatement(predicate=predicate):
            partial.reduce(predicate, commitment)
        case RollUpStatement(predicate=predicate):
            rollup.reduce(predicate, commitment)
        case OpinionStatement(predicate=predicate):
            rollup.reduce_opinion(predicate, commitment)


def _require_size(envelope: bytes) -> None:
    if len(envelope) > MAX_STATEMENT_BYTES:
        raise UnusableError(f"{len(envelope)} bytes when signed, over {MAX_STATEMENT_BYTES}")
