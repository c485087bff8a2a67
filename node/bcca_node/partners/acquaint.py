"""Who is met by an invitation, as a partner: which keys it has then, and which are refused.

Nothing here asks anybody or keeps anything (SPEC 13.10).
"""

from dataclasses import replace

from bcca_node.ledger.node import Node
from bcca_node.partners import identifiers
from bcca_node.partners.event import Accepted, new_id
from bcca_node.partners.invitation import Invitation, PartnerKeys, seconds
from bcca_node.partners.proving import Look
from bcca_node.storage.partners import Partner, PartnerRole
from bcca_protocol import period
from bcca_protocol.errors import MalformedError, RefusedError, UnusableError
from bcca_protocol.keys import Role, VerifierKey
from bcca_protocol.policy import LogLine


def own_keys(node: Node) -> PartnerKeys:
    """Return the keys by which partners know this node."""
    return PartnerKeys(
        log=node.log_key,
        request=node.keystore.record(Role.REQUEST).key,
        seal=node.keystore.record(Role.SEAL).key,
    )


def require_for(node: Node, found: Invitation) -> None:
    """Return if an invitation is for this node, and still open; raises RefusedError."""
    now = period.text_at(node.clock())
    if found.origin == node.origin:
        raise RefusedError(f"this invitation is by {node.origin}, which is this node itself")
    if found.recipient not in (None, node.origin):
        raise RefusedError(
            f"this invitation is for {found.recipient}, and this node is {node.origin}"
        )
    if node.clock() >= seconds(found.expires):
        raise RefusedError(
            f"this invitation expired {found.expires} and now is {now}: "
            f"ask {found.origin} for a new one"
        )


def require_believed(
    before: Partner | None, line: LogLine | None, found: Invitation, seen: Look
) -> None:
    """Return if nothing that was believed before speaks against the keys of an invitation.

    `before` is the partner if it is one, `line` what the policy says. Raises RefusedError.
    """
    if seen.is_false:
        raise RefusedError(
            f"the invitation names keys that the log of {found.origin} contradicts, so it is not "
            f"accepted: {seen.why}"
        )
    # The log was read under the key that was believed before: so the log itself says it.
    if seen.keys is not None:
        return
    if line is not None and line.key.encode() != found.log_key:
        raise RefusedError(
            f"the invitation says that {found.origin} has log key {found.log_key}, the policy says "
            f"{line.key.encode()}, and its log does not tell ({seen.why}): try again later"
        )
    if before is None or not differ(before, found.keys):
        return
    raise RefusedError(
        f"{found.origin} is a partner with request key {before.request_key}, and this invitation "
        f"is by {found.request_key}, which its log does not prove ({seen.why}): ask it, over "
        "another way, and if it has new keys accept with --new-keys"
    )


def inviting(found: Invitation, seen: Look, before: Partner | None, now: int) -> Partner:
    """Return who invites, as a partner."""
    keys = seen.keys or found.keys
    roles = frozenset({PartnerRole(found.inviter)})
    return Partner(
        origin=found.origin,
        name=found.name,
        url=found.url,
        log_key=keys.log.encode(),
        request_key=keys.request.encode(),
        seal_key=keys.seal.encode(),
        roles=roles if before is None else before.roles | roles,
        ids=_ids(found.ids, before),
        since=now if before is None else before.since,
        proven_at=None if seen.keys is None else now,
        invitation=found.id,
    )


def invited(
    found: Invitation, event: Accepted, before: Partner | None, line: LogLine | None, now: int
) -> Partner:
    """Return who accepts, as a partner: not believed while the policy has another log key."""
    roles = frozenset({PartnerRole(found.invited)})
    contradicted = before is None and line is not None and line.key.encode() != event.log_key
    return Partner(
        origin=event.origin,
        name=event.name,
        url=event.url,
        log_key=event.log_key,
        request_key=event.request_key,
        seal_key=event.seal_key,
        roles=roles if before is None else before.roles | roles,
        ids=_ids(event.ids, before),
        since=now if before is None else before.since,
        proven_at=None if before is None else before.proven_at,
        refused=f"the policy names another log key than {event.log_key}" if contradicted else "",
        invitation=event.invitation,
    )


def proven(known: Partner, seen: Look, now: int) -> Partner:
    """Return a partner as it is known once somebody looked into its log.

    Who was proven is refused for what its own log says, never for what somebody else answers.
    """
    if seen.keys is not None:
        return replace(
            known,
            log_key=seen.keys.log.encode(),
            request_key=seen.keys.request.encode(),
            seal_key=seen.keys.seal.encode(),
            proven_at=now,
            refused="",
        )
    if seen.is_read or (seen.is_false and known.proven_at is None):
        return replace(known, refused=seen.why)
    return known


def is_to_be_proven(known: Partner, before: int) -> bool:
    """Say whether to look into the log of a partner that was last proven `before` then, or never.

    Who was proven once and has no good key now may have a new one; who never was is refused.
    """
    if known.proven_at is None:
        return not known.refused
    return bool(known.refused) or known.proven_at <= before


def differ(known: Partner, keys: PartnerKeys) -> bool:
    """Say whether a partner is known by other keys; which seal key it has is its own affair."""
    return (known.log_key, known.request_key) != (keys.log.encode(), keys.request.encode())


def taken_over(before: Partner, key: VerifierKey) -> str:
    """Return what the operator is told of who claims the name of a partner, or of a refused one."""
    now = f"is refused ({before.refused})" if before.refused else f"has {before.request_key}"
    return (
        f"accepted in the name of {before.origin} by {key.encode()}, while that partner {now}: "
        "if it is they, `bcca partners end` it and invite it again"
    )


def accepted(node: Node, invitation: str, now: int) -> Accepted:
    """Return what this node tells whose invitation it accepts.

    Raises UnusableError for an identifier in its settings that nobody can bear.
    """
    keys = own_keys(node)
    return Accepted(
        id=new_id(),
        at=period.text_at(now),
        invitation=invitation,
        origin=node.origin,
        name=node.settings.name,
        url=node.settings.url,
        log_key=keys.log.encode(),
        request_key=keys.request.encode(),
        seal_key=keys.seal.encode(),
        ids=identifiers.all_checked(node.settings.ids),
    )


def _ids(claimed: tuple[str, ...], before: Partner | None) -> tuple[tuple[str, str], ...]:
    """Return the identifiers that are claimed; how one was checked stays known.

    Raises MalformedError for one that nobody can bear.
    """
    how = {} if before is None else dict(before.ids)
    try:
        return tuple((name, how.get(name, "")) for name in identifiers.all_checked(claimed))
    except UnusableError as error:
        raise MalformedError(str(error)) from error
