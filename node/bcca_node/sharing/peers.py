"""Where this node's suppliers are, for whom it may matter: a hint for finding tier n (SPEC 13.2).

Named are the suppliers that statements name which the caller may see here, so that a descriptor
tells nothing that these do not.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlmodel import Session

from bcca_node.ledger import identity
from bcca_node.ledger.node import Node
from bcca_node.network.descriptor import Descriptor
from bcca_node.sharing import access
from bcca_node.sharing.access import KNOWN, Reach, Rights
from bcca_node.sharing.caller import NOBODY, Caller, Kind
from bcca_node.storage import copies, feed, logs
from bcca_protocol.policy import Policy


def describe(node: Node, caller: Caller) -> Descriptor:
    """Return what `/.well-known/bcca.json` says to a caller.

    It is read again once somebody has committed, or a second is over: asking often costs nothing.
    """
    # All whom nobody knows see the same.
    name = ("peers", caller if caller.kind in KNOWN else NOBODY)
    peers = node.memo.get(node.moment(), name, _Peers, lambda: _peers(node, caller))
    return identity.descriptor(node, peers.urls)


def known(node: Node) -> Descriptor:
    """Return what this node knows of itself: all that it holds shows where others are."""
    return describe(node, Caller(kind=Kind.OPERATOR, origin=node.origin))


class _Peers(NamedTuple):
    """Where those suppliers are that a caller may know of."""

    urls: dict[str, str]


class _Since(NamedTuple):
    """What everybody may know of after so many changes of the database, under a policy."""

    changes: int
    policy: Policy | None
    peers: _Peers


class Public:
    """What one node says to everybody, found out once until somebody commits or its policy changes.

    What nobody was granted ends with no second, as what `describe` says to those who are known.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._since: _Since | None = None

    def known(self, node: Node) -> Descriptor | None:
        """Return what `describe` would, None where something may have changed."""
        since = self._since
        if since is None or since.changes != node.database.changes():
            return None
        if since.policy is not node.trust.policy():
            return None
        return identity.descriptor(node, since.peers.urls)

    def describe(self, node: Node, caller: Caller) -> Descriptor:
        """Return what a caller is told that is not known; it takes as long as some queries."""
        # Asked for first: at worst something newer is kept for what was older, and found out anew.
        changes, policy = node.database.changes(), node.trust.policy()
        peers = _peers(node, caller)
        self._since = None if changes is None else _Since(changes, policy, peers)
        return identity.descriptor(node, peers.urls)


def _peers(node: Node, caller: Caller) -> _Peers:
    with node.database.read() as session:
        rights = access.rights(session, node, caller)
        urls = _urls(session, node)
        head = logs.published_head(session)
        size = 0 if head is None else head.size
        named = set(_named(session, rights, urls, size))
    return _Peers({origin: urls[origin] for origin in sorted(named)})


def _urls(session: Session, node: Node) -> dict[str, str]:
    """Return where the nodes are that this one knows, by origin: the policy's word counts first."""
    urls = copies.urls(session)
    policy = node.trust.policy()
    for origin, line in () if policy is None else policy.logs.items():
        if line.url is not None:
            urls[origin] = line.url.removesuffix("/log")
    urls.pop(node.origin, None)
    return urls


def _named(session: Session, rights: Rights, origins: Iterable[str], size: int) -> Iterator[str]:
    """Yield those of `origins` that a statement names which may be seen."""
    named = feed.publicly_named(session, size)
    if rights.kind in KNOWN:
        named |= _granted(session, rights.granted, size)
    yield from named.intersection(origins)
    for origin in sorted(set(origins) - named) if rights.kind in KNOWN else ():
        if (
            rights.granted.everything and any(True for _ in feed.own_naming(session, origin, size))
        ) or (_is_handed_on(session, rights, origin)):
            yield origin


def _granted(session: Session, granted: Reach, size: int) -> set[str]:
    """Return the suppliers that granted statements name, looked for from what was granted."""
    names = granted.statements | {name for name, _ in granted.bounded}
    found = feed.named_by(session, granted.products, names, size)
    return {origin for origin, own in found if granted.has(own)}


def _is_handed_on(session: Session, rights: Rights, origin: str) -> bool:
    kept = list(feed.kept_naming(session, origin))
    rights.meet(session, kept)
    return any(rights.sees_fetched(session, each) for each in kept)
