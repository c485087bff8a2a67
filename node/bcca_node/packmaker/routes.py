"""Where the log of a supplier is, and with which key it is verified (SPEC 6.1.4).

The policy names direct suppliers. Whoever is further upstream, or a partner that the policy does
not name, is introduced: a statement names its log's key, and a partner's own word or a descriptor
hints at a URL. The key decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from bcca_node.ledger.copied import LOG, Address
from bcca_node.packmaker.holders import MAX_CUSTOMERS, Holders
from bcca_node.packmaker.source import ReadLog
from bcca_protocol import unlogged
from bcca_protocol.errors import UnavailableError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.partial import Part
from bcca_protocol.policy import Policy

MAX_COPIES = 32  # nodes that are asked for a copy of one log beside those that the policy names
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

    def has_no_log(self, origin: str) -> bool:
        """Say whether that is all they say: `origin` has none (SPEC 4.2)."""
        return all(unlogged.is_unlogged(origin, each) for each in self.keys)


class Routes:
    """The logs that a run may read, and who may hand on what of which supplier."""

    def __init__(self, trusted: Policy, partners: Mapping[str, str] | None = None) -> None:
        """Know the logs of the policy, and the base URLs of partners by origin."""
        self._trusted = trusted
        self._partners = dict(partners or {})
        self._named: dict[str, _Naming] = {}
        self._origins: dict[str, str] = {}
        self._members = _members(trusted)
        self._peers: list[str] = []
        self._holders = Holders(self._partners)

    def learn(self, tier: Iterable[Part], logs: Mapping[str, ReadLog]) -> None:
        """Take the names that a tier's statements give; names of earlier tiers stay."""
        bases = {origin: _base(read) for origin, read in logs.items() if read.address.url}
        self._origins = {base: origin for origin, base in bases.items()}
        self._origins |= {url: origin for origin, url in self._partners.items()}
        parts = sorted(tier, key=lambda each: (each.issuer, each.product, each.commitment))
        # Whoever was said to have no log may have one by now, as those further up know.
        named = {o: n for o, n in self._named.items() if not n.has_no_log(o)}
        fresh: dict[str, _Naming] = {}
        noted = 0
        for at, part in enumerate(parts):
            for bought in part.bought:
                if bought.origin in named:
                    continue
                naming = fresh.get(bought.origin)
                if naming is None:
                    naming = fresh[bought.origin] = _Naming(part.issuer, [])
                if bought.key not in naming.keys:
                    naming.keys.append(bought.key)
                if naming.url is None and not self._is_located(bought.origin):
                    self._holders.note(parts[noted:at], bases)
                    noted = at
                    above = self._holders.of_inputs(part, bases.get(part.issuer))
                    naming.url = self._hint(bought.origin, above, logs)
        self._holders.note(parts[noted:], bases)
        self._named = fresh | named
        abouts = [logs[origin].about for origin in sorted(logs)]
        peers = zip_longest(*(sorted(about.peers.values()) for about in abouts))
        # One of each in turn: who names many takes no place from who names one.
        self._peers = [url for url in chain.from_iterable(peers) if url is not None]

    def address(self, origin: str) -> Address:
        """Return where to read the log of `origin`.

        Raises UnavailableError where nobody says where it is, MalformedError for a key that is
        none.
        """
        found = self.key_of(origin)
        if not found.url:
            raise UnavailableError(_nowhere(origin))
        return found

    def key_of(self, origin: str) -> Address:
        """Return what `address` would, without a URL where nobody says where the log is.

        Raises UnavailableError where nobody names its key either, and for who has no log.
        """
        line = self._trusted.logs.get(origin)
        naming = self._named.get(origin)
        hint = self._partners.get(origin) or (None if naming is None else naming.url)
        url = "" if hint is None else hint.rstrip("/") + LOG
        if line is not None and (line.url or url):
            return Address(origin=origin, key=line.key, url=line.url or url, introduced_by=None)
        if naming is None:
            raise UnavailableError(_nowhere(origin))
        keys = [each for each in naming.keys if not unlogged.is_unlogged(origin, each)]
        if not keys:
            raise UnavailableError(_unlogged(origin, naming.introducer))
        key, *others = keys
        return Address(
            origin=origin,
            key=VerifierKey.parse(key),
            url=url,
            introduced_by=naming.introducer,
            also_named=tuple(others),
        )

    def without_log(self, origin: str) -> str:
        """Return that a supplier has no log, by the word of who buys of it; "" where it may."""
        naming = self._named.get(origin)
        if naming is None or origin in self._trusted.logs:
            return ""
        return _unlogged(origin, naming.introducer) if naming.has_no_log(origin) else ""

    def keepers(self, origin: str, *, but: str) -> Keepers:
        """Return who may hold a copy of the log of `origin`, the likeliest first.

        Left out are its own node and that at `but`.
        """
        out = {self.key_of(origin).url.removesuffix(LOG), but.rstrip("/")}
        customers = _bases(self._holders.customers(origin), out)[:MAX_CUSTOMERS]
        partners = [url for url in self._holders.above(origin) if self._is_partner(url)]
        near = _bases([*customers, *partners, *self._members], out)
        others = _bases(self._peers, out | set(near))
        return Keepers(near=near, others=others[: MAX_COPIES - len(customers)])

    def handers_on(self, origin: str, product: str, *, but: str) -> list[str]:
        """Return the base URLs of nodes below a product, which may show what its maker does not.

        Partners, to whom this node is somebody, come first. Left out is the node at `but`.
        """
        out = {self.key_of(origin).url.removesuffix(LOG), but.rstrip("/")}
        found = _bases(self._holders.of(origin, product), out)
        partners = [url for url in found if self._is_partner(url)]
        others = [url for url in found if not self._is_partner(url)]
        return partners + others[:MAX_CUSTOMERS]

    def origin_at(self, base: str) -> str | None:
        """Return whose node is at a base URL, of those that were met and of partners."""
        return self._origins.get(base)

    def _is_located(self, origin: str) -> bool:
        """Say whether the policy itself says where a log is, so that no hint counts."""
        line = self._trusted.logs.get(origin)
        return line is not None and bool(line.url)

    def _hint(self, origin: str, above: Iterable[str], logs: Mapping[str, ReadLog]) -> str | None:
        """Return where one of the nodes at some base URLs says that a supplier is."""
        met = (logs.get(self._origins.get(base, "")) for base in above)
        hints = (each.about.peers.get(origin) for each in met if each is not None)
        return next(filter(None, hints), None)

    def _is_partner(self, base: str) -> bool:
        return self._origins.get(base) in self._partners


def _base(read: ReadLog) -> str:
    return read.address.url.removesuffix(LOG)


def _nowhere(origin: str) -> str:
    return f"log {origin}: neither the policy nor a customer of it says where it is"


def _unlogged(origin: str, buyer: str) -> str:
    return (
        f"{origin} has no log, says {buyer}, who buys of it: state a value (`--substitute`), "
        "import a factor, or read its PACT footprint (`bcca pact pull`)"
    )


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
