"""Whether a partner's keys are those of its log: only the log itself says so (SPEC 13.10).

A key that somebody claims is taken over by nobody. What the log has added is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bcca_node.ledger.copied import LOG, Address
from bcca_node.ledger.copying import Reader
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.partners.invitation import PartnerKeys
from bcca_protocol.errors import (
    AuthorshipError,
    BccaError,
    ConflictError,
    RefusedError,
    SignatureError,
)
from bcca_protocol.history import KeyRecord
from bcca_protocol.keys import Role, VerifierKey
from bcca_protocol.readlog import VerifiedLog
from bcca_protocol.wire import showable

PATIENCE = 60.0  # seconds for the entries of one log; what came is gone on with the next time


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a partner says of itself; `known` is a log key that is believed already, if any is."""

    origin: str
    url: str
    keys: PartnerKeys
    known: VerifierKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the log said: its keys as they are now, or why not; `is_false` if it contradicts.

    `is_read` if that is its own word: its signature, its quorum and all its entries were verified.
    """

    keys: PartnerKeys | None = None
    why: str = ""
    is_false: bool = False
    is_read: bool = False


async def look(
    node: Node, fetcher: Fetcher, claim: Claim, *, patience: float | None = PATIENCE
) -> Look:
    """Read the log of who claims those keys under this node's policy, and compare.

    The key of the policy comes before the one believed, and that before the one claimed. Raises
    PolicyError for a policy that cannot be read.
    """
    trusted = node.trust.policy()
    if trusted is None:
        return Look(why=f"{node.settings.data / 'policy.txt'} is not there, so no log is believed")
    line = trusted.logs.get(claim.origin)
    key = claim.keys.log if claim.known is None else claim.known
    address = Address(
        origin=claim.origin,
        key=key if line is None else line.key,
        url=claim.url + LOG if line is None or line.url is None else line.url.rstrip("/"),
        introduced_by=claim.origin if line is None else None,
    )
    reader = Reader(node=node, fetcher=fetcher, trusted=trusted, at=node.clock(), patience=patience)
    try:
        return _compare(await reader.read(address), claim.keys)
    except (SignatureError, ConflictError, AuthorshipError) as error:
        return Look(why=showable(str(error)), is_false=True)
    except BccaError as error:
        return Look(why=showable(str(error)))


def _compare(log: VerifiedLog, claimed: PartnerKeys) -> Look:
    if log.history.broken is not None:
        why = f"log {log.origin}: nothing counts from entry {log.history.broken} on"
        return Look(why=why, is_read=True)
    try:
        return Look(
            is_read=True,
            keys=PartnerKeys(
                log=_newest(log, Role.LOG, claimed.log),
                request=_newest(log, Role.REQUEST, claimed.request),
                seal=_newest(log, Role.SEAL, claimed.seal),
            ),
        )
    except RefusedError as error:
        return Look(why=str(error), is_false=True, is_read=True)


def _newest(log: VerifiedLog, role: Role, claimed: VerifierKey) -> VerifierKey:
    """Return the newest good key of a role; raises AuthorshipError if the log lacks `claimed`."""
    added = [each for each in log.history.keys if each.role is role]
    if claimed not in {each.key for each in added}:
        names = ", ".join(each.key.label for each in added) or "none"
        raise AuthorshipError(
            f"log {log.origin}: its {role} keys are {names}, and {claimed.label} was claimed"
        )
    good = list(_good(added, log.history.size))
    if not good:
        raise AuthorshipError(f"log {log.origin}: none of its {role} keys is good any more")
    return good[-1].key


def _good(records: Iterable[KeyRecord], size: int) -> Iterable[KeyRecord]:
    for each in records:
        try:
            each.require_valid(size, each.key.label)
        except AuthorshipError:
            continue
        yield each
