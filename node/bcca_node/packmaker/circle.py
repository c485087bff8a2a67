"""The partners of a node, as a run asks them: signed, so that they show what they have granted."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from bcca_node.ledger.node import Node
from bcca_node.sharing.sealing import Pair
from bcca_node.storage import partners
from bcca_node.storage.partners import Partner
from bcca_protocol.keys import Role
from bcca_protocol.verify import VerifiedLog

MAX_SEAL_KEYS = 4  # of either side, the newest: whoever rotates each year is found for four


class Circle:
    """Who is a partner; those whose keys are not believed are as good as strangers."""

    def __init__(self, node: Node, found: Iterable[Partner]) -> None:
        """Know these partners of a node."""
        self._node = node
        self._partners: Mapping[str, Partner] = {
            each.origin: each for each in found if not each.refused
        }

    @classmethod
    def of(cls, node: Node) -> Self:
        """Return the partners of a node as they are now."""
        with node.database.read() as session:
            return cls(node, partners.every(session))

    def keys(self) -> dict[str, tuple[str, ...]]:
        """Return where each partner is and the keys by which it is known, by origin."""
        return {
            origin: (each.url, each.log_key, each.request_key, each.seal_key)
            for origin, each in self._partners.items()
        }

    def audience(self, origin: str | None) -> str | None:
        """Return for whom a request to `origin` is signed: nobody, where it is no partner."""
        return origin if origin in self._partners else None

    def urls(self) -> dict[str, str]:
        """Return the base URL of each partner's node that has one."""
        return {origin: each.url.rstrip("/") for origin, each in self._partners.items() if each.url}

    def pairs(self, log: VerifiedLog) -> Iterator[Pair]:
        """Yield what this node may share with the owner of a log, the newest keys first.

        Nothing, where that is no partner or this node's keys are closed.
        """
        if log.origin not in self._partners or self._node.keyring is None:
            return
        theirs = [
            each.key
            for each in reversed(log.history.keys)
            if each.role is Role.SEAL and not each.void and each.good_until is None
        ]
        for key in theirs[:MAX_SEAL_KEYS]:
            for own in self._node.keyring.seals[:MAX_SEAL_KEYS]:
                yield Pair.of(own, key, issuer=log.origin, recipient=self._node.origin)
