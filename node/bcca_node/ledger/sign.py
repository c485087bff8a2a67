"""From a predicate to a signed statement that every verifier would accept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bcca_node.ledger.keystore import Keyring
from bcca_node.storage.statements import OwnStatement, Place
from bcca_protocol import issue, statement
from bcca_protocol.entry import StatementEntry
from bcca_protocol.envelope import Envelope, verify_envelope
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.facts import fact_in
from bcca_protocol.keys import Role
from bcca_protocol.limits import MAX_STATEMENT_BYTES
from bcca_protocol.statement import (
    FOOTPRINT,
    OPINION,
    PARTIAL_FOOTPRINT,
    FootprintRollUp,
    Opinion,
    PartialFootprint,
)
from bcca_protocol.verify import entry_of

Predicate: TypeAlias = PartialFootprint | FootprintRollUp | Opinion


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


def sign_statements(
    predicates: Sequence[Predicate], origin: str, keyring: Keyring, key_index: int
) -> list[SignedStatement]:
    """Return the statements of `predicates`; the same predicate gives the same bytes.

    Whatever nonces they have are replaced. `key_index` is the entry that added the statement key.
    The first signature is verified, which shows that signer and key fit; Ed25519 is deterministic.
    Raises UnusableError for what a verifier would refuse.
    """
    return [
        _sign(predicate, origin, keyring, key_index, is_first=number == 0)
        for number, predicate in enumerate(predicates)
    ]


def _sign(
    predicate: Predicate, origin: str, keyring: Keyring, key_index: int, *, is_first: bool
) -> SignedStatement:
    if predicate.issuer != origin:
        raise UnusableError(
            f"draft of {predicate.product.id}: issued by {predicate.issuer}, this node is {origin}"
        )
    signer = keyring.signer(Role.STATEMENT)
    try:
        issued = issue.issue(predicate, signer, keyring.secret)
        if is_first:
            verify_envelope(issued, (signer.key,))
        entry = entry_of(issued, key_index)
        found = statement.decode(issued.payload)
        fact_in(found, entry.commitment.hex())
        envelope = issued.encode()
        _require_size(envelope)
    except BccaError as error:
        raise UnusableError(f"draft of {predicate.product.id}: {error}") from error
    return SignedStatement(predicate=found.predicate, envelope=envelope, entry=entry)


def predicate_of(envelope: bytes) -> Predicate:
    """Return the predicate in an envelope of this node's own."""
    return statement.decode(Envelope.parse(envelope).payload).predicate


def place_of(predicate: Predicate) -> Place:
    """Return what a predicate will compete for with others of its period."""
    site = None if predicate.site is None else predicate.site.id
    return Place(_kind(predicate), predicate.product.id, site, predicate.batch)


def own_statement(
    commitment: str, index: int, predicate: Predicate, envelope: bytes
) -> OwnStatement:
    """Return what this node keeps of a statement of its own at entry `index`."""
    place = place_of(predicate)
    return OwnStatement(
        commitment=commitment,
        index=index,
        kind=place.kind,
        product=place.product,
        site=place.site,
        batch=place.batch,
        period_start=predicate.period.start,
        period_end=predicate.period.end,
        sharing=predicate.sharing,
        envelope=envelope,
    )


def _kind(predicate: Predicate) -> str:
    match predicate:
        case PartialFootprint():
            return PARTIAL_FOOTPRINT
        case FootprintRollUp():
            return FOOTPRINT
        case Opinion():
            return OPINION


def _require_size(envelope: bytes) -> None:
    if len(envelope) > MAX_STATEMENT_BYTES:
        raise UnusableError(f"{len(envelope)} bytes when signed, over {MAX_STATEMENT_BYTES}")
