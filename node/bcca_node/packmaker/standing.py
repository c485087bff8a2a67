"""What the last roll-up of a product was made of, and what of that is no longer current.

It is told with the next run: the statements themselves stay in the roll-up that used them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.packmaker import secrecy
from bcca_node.packmaker.bundling import newest_roll_up
from bcca_node.packmaker.collect import Collected
from bcca_node.storage import seen, statements
from bcca_node.storage.seen import FetchedStatement
from bcca_node.storage.statements import OwnStatement
from bcca_protocol import period, verify
from bcca_protocol.cumulative import Leaf
from bcca_protocol.entry import status_handle
from bcca_protocol.errors import RefusedError
from bcca_protocol.facts import Fact
from bcca_protocol.standing import Standing, standing
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.verify import Verified, VerifiedLog
from bcca_protocol.wire import unb64


@dataclass(frozen=True, slots=True, kw_only=True)
class NoLongerCurrent:
    """A statement that the roll-up `used_by` was made of, and what became of it since."""

    commitment: str
    product: str
    supplier: str
    standing: Standing
    reason: str
    used_by: str


def since_last(
    node: Node, collected: Collected, product: str, *, at: int
) -> tuple[NoLongerCurrent, ...]:
    """Return what the newest published roll-up of `product` used and is not current at `at`.

    Only logs that this run has read are looked at: what became of the others nobody knows, and
    their products are missing already.
    """
    with node.database.read() as session:
        last = newest_roll_up(session, product)
        if last is None:
            return ()
        rolled = predicate_of(last.envelope)
        if not isinstance(rolled, FootprintRollUp):
            return ()
        rolled = secrecy.whole(session, rolled)
        found = _LastTime(rolled, last.commitment, period.text_at(at), collected)
        return tuple(found.no_longer_current(_used(session, rolled)))


def _used(session: Session, rolled: FootprintRollUp) -> list[OwnStatement | FetchedStatement]:
    """Return the statements that a roll-up was made of, as far as they are still held."""
    named = {edge.consumer for edge in rolled.manifest or ()}
    named |= {e.resolved.commitment for e in rolled.manifest or () if e.resolved.commitment}
    own = statements.find(session, sorted(named))
    return [*own, *seen.some(session, named - {each.commitment for each in own})]


class _LastTime:
    """A roll-up as it was made, and the logs as they are now."""

    def __init__(
        self, rolled: FootprintRollUp, commitment: str, now: str, collected: Collected
    ) -> None:
        self._commitment = commitment
        self._now = now
        self._collected = collected
        self._then = rolled.reference_date
        self._read: Mapping[str, int] = {tree.origin: int(tree.size) for tree in rolled.logs}

    def no_longer_current(
        self, used: list[OwnStatement | FetchedStatement]
    ) -> Iterator[NoLongerCurrent]:
        """Yield what became of each statement since, where that is anything."""
        for each in used:
            own = self._collected.own
            origin = each.origin if isinstance(each, FetchedStatement) else own.origin
            log = self._log(origin)
            if log is None:
                continue
            try:
                found = self._verified(each, log)
            except RefusedError as error:  # such as its key, which was stolen before
                yield self._told(each, origin, Standing.UNKNOWN, str(error))
                continue
            now = standing(found, at=self._now)
            if self._is_news(found, now, each.envelope, log):
                yield self._told(each, origin, now, now.words)

    def _log(self, origin: str) -> VerifiedLog | None:
        if origin == self._collected.own.origin:
            return self._collected.own
        read = self._collected.logs.get(origin)
        return None if read is None else read.log

    def _verified(self, each: OwnStatement | FetchedStatement, log: VerifiedLog) -> Verified[Fact]:
        reached = self._collected.reached.get(each.commitment)
        if reached is None:
            return verify.verify_in_bulk(each.envelope, log)
        return reached.signed.signed if isinstance(reached.signed, Leaf) else reached.signed

    def _is_news(
        self, found: Verified[Fact], now: Standing, envelope: bytes, log: VerifiedLog
    ) -> bool:
        """Say whether a standing was not so yet when the roll-up was made."""
        match now:
            case Standing.REVOKED | Standing.CORRECTED | Standing.UNKNOWN:
                return True
            case Standing.EXPIRED:
                return self._then < found.fact.validity.end
            case Standing.SUPERSEDED:
                nonce = unb64(predicate_of(envelope).nonce, "nonce")
                handle = status_handle(nonce, bytes.fromhex(found.fact.commitment))
                return log.history.statuses[handle].index >= self._read.get(log.origin, 0)
            case Standing.CURRENT | Standing.NOT_YET_VALID:
                return False

    def _told(
        self,
        each: OwnStatement | FetchedStatement,
        origin: str,
        now: Standing,
        reason: str,
    ) -> NoLongerCurrent:
        return NoLongerCurrent(
            commitment=each.commitment,
            product=each.product,
            supplier=origin,
            standing=now,
            reason=reason,
            used_by=self._commitment,
        )
