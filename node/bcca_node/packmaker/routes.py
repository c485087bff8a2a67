"""Where the log of a supplier is, and with which key it is verified (SPEC 6.1.4).

The policy names direct suppliers. Whoever is further upstream is introduced: a statement names
its log's key, and the descriptor of the statement's issuer hints at a URL. The key decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bcca_node.network.descriptor import Descriptor
from bcca_node.packmaker.source import LOG, Address
from bcca_protocol.errors import UnavailableError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.partial import Part
from bcca_protocol.policy import Policy


@dataclass(slots=True)
class _Naming:
    """A log as the statements of a tier name it, with one key or more, and where it may be."""

    introducer: str
    keys: list[str]
    url: str | None = None


class Routes:
    """The logs that a run may read."""

    def __init__(self, trusted: Policy) -> None:
        """Know the logs of the policy."""
        self._trusted = trusted
        self._named: dict[str, _Naming] = {}

    def learn(self, tier: Sequence[Part], abouts: Mapping[str, Descriptor]) -> None:
        """Take the names that a tier's statements give; names of earlier tiers stay."""
        fresh: dict[str, _Naming] = {}
        for part in sorted(tier, key=lambda each: (each.issuer, each.product, each.commitment)):
            about = abouts.get(part.issuer)
            for bought in part.bought:
                naming = fresh.setdefault(bought.origin, _Naming(part.issuer, []))
                if bought.key not in naming.keys:
                    naming.keys.append(bought.key)
                if about is not None and naming.url is None:
                    naming.url = about.peers.get(bought.origin)
        self._named = fresh | self._named

    def address(self, origin: str) -> Address:
        """Return where to read the log of `origin`.

        Raises UnavailableError where nobody says where it is, MalformedError for a key that is
        none.
        """
        line = self._trusted.logs.get(origin)
        naming = self._named.get(origin)
        hint = None if naming is None or naming.url is None else naming.url.rstrip("/") + LOG
        if line is not None and (url := line.url or hint) is not None:
            return Address(origin=origin, key=line.key, url=url, introduced_by=None)
        if naming is None or hint is None:
            raise UnavailableError(
                f"log {origin}: neither the policy nor a customer of it says where it is"
            )
        key, *others = naming.keys
        return Address(
            origin=origin,
            key=VerifierKey.parse(key),
            url=hint,
            introduced_by=naming.introducer,
            also_named=tuple(others),
        )
