"""Where the log of a supplier is, and with which key it is verified (SPEC 6.1.4).

The policy names direct suppliers. Whoever is further upstream is introduced: a statement names
its log's key, and the descriptor of the statement's issuer hints at a URL. The key decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from bcca_node.ledger.copied import LOG, Address
from bcca_node.packmaker.source import ReadLog
from bcca_protocol.errors import UnavailableError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.partial import Part
from bcca_protocol.policy import Policy

MAX_COPIES = 32  # nodes that are asked for a copy of one log beside those that the policy names
MAX_CUSTOMERS = 16  # of these; the rest are whoever was named a supplier by those that were met
WITNESS = "/witness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepers:
    """The base URLs of nodes that may hold a copy of a log.

    `near` are its customers that were met and the nodes that the policy names, `others` are hints.
    """

    near: Sequence[str]
    others: Sequence[str]


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
        self._customers: dict[str, list[str]] = {}
        self._members = _members(trusted)
        self._peers: list[str] = []

    def learn(self, tier: Sequence[Part], logs: Mapping[str, ReadLog]) -> None:
        """Take the names that a tier's statements give; names of earlier tiers stay."""
        fresh: dict[str, _Naming] = {}
        for part in sorted(tier, key=lambda each: (each.issuer, each.product, each.commitment)):
            read = logs.get(part.issuer)
            about = None if read is None else read.about
            for bought in part.bought:
                naming = fresh.setdefault(bought.origin, _Naming(part.issuer, []))
                if bought.key not in naming.keys:
                    naming.keys.append(bought.key)
                if about is not None and naming.url is None:
                    naming.url = about.peers.get(bought.origin)
                if read is not None:
                    base = read.address.url.removesuffix(LOG)
                    self._customers.setdefault(bought.origin, []).append(base)
        self._named = fresh | self._named
        abouts = [logs[origin].about for origin in sorted(logs)]
        named = zip_longest(*(sorted(about.peers.values()) for about in abouts))
        # One of each in turn: who names many takes no place from who names one.
        self._peers = [url for url in chain.from_iterable(named) if url is not None]

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

    def keepers(self, origin: str, *, but: str) -> Keepers:
        """Return who may hold a copy of the log of `origin`, the likeliest first.

        Left out are its own node and that at `but`.
        """
        out = {self.address(origin).url.removesuffix(LOG), but.rstrip("/")}
        customers = _bases(self._customers.get(origin, []), out)[:MAX_CUSTOMERS]
        near = _bases([*customers, *self._members], out)
        others = _bases(self._peers, out | set(near))
        return Keepers(near=near, others=others[: MAX_COPIES - len(customers)])


def _bases(urls: Sequence[str], out: set[str]) -> list[str]:
    """Return each base URL once, without those in `out`."""
    found = dict.fromkeys(url.rstrip("/") for url in urls)
    return [each for each in found if each not in out]


def _members(trusted: Policy) -> list[str]:
    """Return the base URLs of the nodes that a policy names."""
    logs = [(line.url, LOG) for _, line in sorted(trusted.logs.items())]
    witnesses = [(line.url, WITNESS) for line in trusted.witnesses.values()]
    urls = [(url.rstrip("/"), suffix) for url, suffix in (*logs, *witnesses) if url is not None]
    return [url.removesuffix(suffix) for url, suffix in urls if url.endswith(suffix)]
