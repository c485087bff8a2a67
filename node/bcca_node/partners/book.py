"""Whom this node deals with: invited, accepted, proven by their logs (SPEC 13.10).

Nobody takes the place of a partner by claiming its name: keys change where its log says so, or
where the operator does.
"""

from dataclasses import dataclass, replace

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import Guard, hosts_of
from bcca_node.partners import acquaint, auditors, outbox, parts, proving, requests
from bcca_node.partners.event import Accepted, PartsEvent
from bcca_node.partners.invitation import Invitation, PartnerKeys, require_base, verify
from bcca_node.partners.proving import Claim
from bcca_node.storage import grants, leaving, partners
from bcca_node.storage import requests as stored
from bcca_node.storage.leaving import Forgotten
from bcca_node.storage.partners import Invited, Partner
from bcca_protocol.errors import (
    MalformedError,
    RefusedError,
    UnavailableError,
    UnusableError,
)
from bcca_protocol.keys import VerifierKey

MAX_PARTNERS = 10_000  # a large buyer has some thousand suppliers

# Whoever guesses learns nothing from which of these it is.
_NOT_OPEN = "this invitation is not open: ask who invited you for a new one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """What came of an invitation; `why` its keys are not proven yet, empty if they are.

    `parts` are what is `wanted`, by the customer's number, else by product.
    """

    partner: Partner
    wanted: int = 0
    why: str = ""
    is_known: bool = False
    parts: tuple[str, ...] = ()


def partner(session: Session, origin: str) -> Partner | None:
    """Return a partner whose keys are not refused."""
    found = partners.get(session, origin)
    return None if found is None or found.refused else found


def everybody(session: Session) -> list[Partner]:
    """Return all partners by origin, refused ones too."""
    return partners.every(session)


async def accept(
    node: Node,
    fetcher: Fetcher,
    text: str,
    *,
    fingerprint: str | None = None,
    new_keys: bool = False,
) -> Met:
    """Accept the invitation in `text`: keep the partner, what it asks for, and the answer to it.

    With `new_keys` a known partner may have other keys than before. Raises RefusedError for an
    invitation that does not hold, and for keys that the log or what is known here contradicts.
    """
    found = verify(text, expected=fingerprint)
    acquaint.require_for(node, found)
    with node.database.read() as session:
        before = partners.get(session, found.origin)
    if before is not None and before.refused:
        raise RefusedError(
            f"{found.origin} is a partner that is refused ({before.refused}), and what was agreed "
            "with it is for nobody else: `bcca partners end` it first, then accept"
        )
    if before is not None and before.invitation == found.id:
        return Met(partner=before, is_known=True)
    policy = node.trust.policy()
    # Whoever invites may be anybody: what is not to be asked by its word is no partner's place.
    Guard(() if policy is None else hosts_of(policy)).check_url(found.url)
    known = None if before is None or new_keys else VerifierKey.parse(before.log_key)
    claim = Claim(origin=found.origin, url=found.url, keys=found.keys, known=known)
    seen = await proving.look(node, fetcher, claim)
    line = None if policy is None else policy.logs.get(found.origin)
    acquaint.require_believed(None if new_keys else before, line, found, seen)
    now = node.clock()
    kept = acquaint.inviting(found, seen, before, now)
    with node.database.write() as session:
        if partners.get(session, found.origin) != before:
            raise UnavailableError(f"{found.origin} has become another meanwhile: try again")
        _keep(session, kept)
        for asked in found.wanted:
            requests.receive(session, kept, asked.request, asked.wanted, now)
        outbox.put(session, kept.origin, acquaint.accepted(node, found.id, now), now)
        _agree(node, session, kept.origin, found)
    names = tuple(each.wanted.part or each.wanted.product or "" for each in found.wanted)
    return Met(partner=kept, wanted=len(found.wanted), why=seen.why, parts=names)


def is_accepted(node: Node, event: Accepted, key: VerifierKey) -> bool:
    """Say whether `key` has accepted an invitation before; raises RefusedError if it is not open.

    Nobody waits for the turn to write because of who holds no invitation.
    """
    with node.database.read() as session:
        invited = partners.invitation(session, event.invitation)
    if invited is not None and invited.used_by == key.encode():
        return True
    if invited is None or not invited.is_open(node.clock()):
        raise RefusedError(_NOT_OPEN)
    return False


def take_acceptance(
    node: Node, session: Session, event: Accepted, key: VerifierKey
) -> Partner | None:
    """Keep who accepts an invitation of this node, and what it was asked for in it.

    `key` has signed the message. Who claims the name of a partner with other keys, or of a refused
    one, uses up the invitation, is told nothing and becomes nobody: None. Raises RefusedError for
    an invitation that is not open, MalformedError for keys that are not those of who accepts.
    """
    require_base(event.url)
    keys = PartnerKeys.of(event.origin, event.log_key, event.request_key, event.seal_key)
    if keys.request != key:
        raise MalformedError(
            f"accepted: by {keys.request.label}, in a message signed by {key.label}"
        )
    invited, now = partners.invitation(session, event.invitation), node.clock()
    if invited is not None and invited.used_by == key.encode():
        return partner(session, event.origin)  # the same once more
    if invited is None or not invited.is_open(now):
        raise RefusedError(_NOT_OPEN)
    found = verify(invited.note)
    if event.origin == node.origin or found.recipient not in (None, event.origin):
        raise RefusedError(_NOT_OPEN)
    before = partners.get(session, event.origin)
    if before is not None and (before.refused or acquaint.differ(before, keys)):
        _use(session, invited, key, told=acquaint.taken_over(before, key))
        return None
    policy = node.trust.policy()
    line = None if policy is None else policy.logs.get(event.origin)
    kept = acquaint.invited(found, event, before, line, now)
    _keep(session, kept)
    _use(session, invited, key, told=kept.refused)
    for asked in found.wanted:
        requests.sent(session, kept, asked.request, asked.wanted, now)
    if event.parts:
        told = PartsEvent(id=event.id, at=event.at, kind="proposed", pairs=event.parts)
        parts.take(node, session, kept.origin, told)
    return kept


async def prove(node: Node, fetcher: Fetcher, known: Partner) -> Partner:
    """Read a partner's log, and return the partner as it is known then.

    Keys that the log has added since take the place of older ones. Who was never proven and is
    contradicted is refused, and loses what it was granted: that was meant for somebody else. Who
    was proven before keeps its keys while its log cannot be read, and has none while the log says
    that none is good.
    """
    told = PartnerKeys.of(known.origin, known.log_key, known.request_key, known.seal_key)
    claim = Claim(origin=known.origin, url=known.url, keys=told)
    seen = await proving.look(node, fetcher, claim)
    with node.database.write() as session:
        now = partners.get(session, known.origin)
        if now is None or acquaint.differ(now, told):
            return known if now is None else now  # somebody else was faster
        proven = acquaint.proven(now, seen, node.clock())
        if proven.refused and proven.proven_at is None and not now.refused:
            proven = replace(proven, refused=proven.refused + _taken_back(node, session, now))
        if proven != now:
            partners.put(session, proven)
            auditors.follow(node, session, proven)
    return proven


def assure(node: Node, known: Partner, name: str, how: str) -> None:
    """Keep how the operator checked that an identifier is a partner's; empty takes it back.

    Raises UnusableError for an identifier that the partner never gave.
    """
    with node.database.write() as session:
        now = partners.get(session, known.origin)
        if now is None or name not in dict(now.ids):
            given = ", ".join(urn for urn, _ in known.ids) or "none"
            raise UnusableError(f"{known.origin} never said it is {name}: it gave {given}")
        ids = tuple((urn, how if urn == name else old) for urn, old in now.ids)
        partners.put(session, replace(now, ids=ids))


def end(node: Node, session: Session, origin: str) -> Forgotten | None:
    """Deal with a partner no more: it sees what everybody sees; return what was dropped.

    Nothing is left for whoever is a partner of that name next, it again or somebody else: no grant,
    appointment, request, event, or pair of part numbers. None where there was no partner.
    """
    if partners.get(session, origin) is None:
        return None
    dismissed = auditors.dismiss_in(node, session, origin)
    found = leaving.forget(session, origin)
    node.calls.forget(origin, now=node.clock())
    return replace(found, appointments=found.appointments + dismissed)


def withdraw(session: Session, invited: Invited) -> None:
    """Let nobody accept an invitation any more."""
    partners.put_invitation(session, replace(invited, withdrawn=True))


def _taken_back(node: Node, session: Session, refused: Partner) -> str:
    """Take back what was granted to who is refused; return the words for it."""
    dismissed = auditors.dismiss_in(node, session, refused.origin)
    granted, appointed = grants.forget(session, refused.origin)
    dropped = Forgotten(grants=granted, appointments=appointed + dismissed).words()
    return f"; taken back: {dropped}" if dropped else ""


def _agree(node: Node, session: Session, partner: str, found: Invitation) -> None:
    """Accept what an invitation asks for: its operator has accepted the whole of it."""
    for asked in found.wanted:
        request = stored.get(session, partner, asked.request)
        if request is not None:
            requests.agree(node, session, request)


def _keep(session: Session, kept: Partner) -> None:
    if partners.get(session, kept.origin) is None and partners.count(session) >= MAX_PARTNERS:
        raise RefusedError(f"this node has {MAX_PARTNERS} partners, and no place for more")
    partners.put(session, kept)


def _use(session: Session, invited: Invited, key: VerifierKey, *, told: str) -> None:
    partners.put_invitation(session, replace(invited, used_by=key.encode(), told=told))
