"""What a pack maker holds: signed facts with the bytes they were read from, and its own log."""

from collections.abc import Container
from typing import NamedTuple

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.storage import logs, seen, statements
from bcca_protocol import cumulative, policy, verify
from bcca_protocol.choices import Offer
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.facts import Fact
from bcca_protocol.partial import Part
from bcca_protocol.policy import Policy
from bcca_protocol.statement import PARTIAL_FOOTPRINT
from bcca_protocol.verify import Verified, VerifiedLog


class Held(NamedTuple):
    """A verified statement that may feed an input, and its envelope; none where that is kept.

    `part` is the fact itself.
    """

    signed: Offer
    part: Part
    envelope: bytes


def hold(envelope: bytes, log: VerifiedLog) -> Held | None:
    """Return what `envelope` says if it is a footprint, partial or cumulative.

    Raises what `verify_signed` raises, and LimitError as `cumulative.leaf` does.
    """
    return as_offer(verify.verify_signed(envelope, log), envelope)


def as_offer(found: Verified[Fact], envelope: bytes) -> Held | None:
    """Return a verified statement as what may feed an input; raises as `cumulative.leaf` does."""
    if verify.is_part(found):
        return Held(found, found.fact, envelope)
    if cumulative.is_roll_up(found):
        leaf = cumulative.leaf(found)
        return Held(leaf, leaf.fact, envelope)
    return None


def own_log(node: Node, session: Session, trusted: Policy, *, at: int) -> VerifiedLog:
    """Return this node's own published log, verified like anybody else's.

    Raises UnusableError where nothing is published yet.
    """
    head = logs.published_head(session)
    if head is None:
        raise UnusableError(
            f"log {node.origin}: nothing is published yet; run `bcca publish` with witnesses up"
        )
    verified = policy.verify_checkpoint(head.note, node.key_of(head.note), trusted, at=at)
    entries = logs.entries(session, 0, head.size)
    return verify.verify_log(verified, entries, end=trusted.ends.get(node.origin))


def own_parts(session: Session, product: str, log: VerifiedLog) -> list[Held]:
    """Return this node's own current partial footprints of `product`."""
    found = statements.current(session, [product], log.history.size)
    kept = (hold(each.envelope, log) for each in found if each.kind == PARTIAL_FOOTPRINT)
    return [each for each in kept if each is not None]


def ended(
    session: Session, log: VerifiedLog, vkey: str, product: str, known: Container[str]
) -> list[Held]:
    """Return what was fetched of a product before, is not `known` now and is no longer current.

    A supplier shows it no more. It feeds nothing, and tells why nothing else does.
    """
    found = []
    for each in seen.statements_of(session, vkey, product):
        if each.commitment in known:
            continue
        try:
            held = hold(each.envelope, log)
        except RefusedError:
            continue
        if held is not None and not held.signed.is_current:
            found.append(held)
    return found
