"""Who may hold what: the customers of a supplier, and the nodes below each of its products.

Nearly every run ends without anybody asking, so that tiers are only noted at first.
"""

from collections.abc import Mapping, Sequence

from bcca_protocol.partial import Part

MAX_CUSTOMERS = 16  # nodes that were named a customer, or are below a product, that are asked


class Holders:
    """Base URLs of nodes by what they may hold, as the tiers of a walk tell it."""

    def __init__(self, partners: Mapping[str, str]) -> None:
        """Know the base URLs of partners by origin: they come first."""
        self._partners = partners
        self._noted: list[tuple[Sequence[Part], Mapping[str, str]]] = []
        self._customers: dict[str, dict[str, None]] = {}
        self._above: dict[tuple[str, str], tuple[str, ...]] = {}
        self._origins: dict[str, str] = {}  # of those that were met, by base URL

    def note(self, tier: Sequence[Part], bases: Mapping[str, str]) -> None:
        """Take the parts of a tier, sorted, and the base URLs of their makers met so far."""
        self._noted.append((tier, bases))

    def customers(self, origin: str) -> list[str]:
        """Return the nodes of those whose statements name a supplier, in the order of tiers."""
        self._learn()
        return list(self._customers.get(origin, ()))

    def above(self, origin: str) -> list[str]:
        """Return the nodes below any product of a supplier."""
        self._learn()
        return [url for about, found in self._above.items() if about[0] == origin for url in found]

    def of(self, origin: str, product: str) -> tuple[str, ...]:
        """Return the nodes below a product, the nearest first."""
        self._learn()
        return self._above.get((origin, product), ())

    def of_inputs(self, part: Part, base: str | None) -> tuple[str, ...]:
        """Return the nodes that may hold what feeds a part: its maker's at `base`, those below."""
        below = self.of(part.issuer, part.product)
        if self._partners:
            below = tuple(sorted(below, key=self._is_partner, reverse=True))
        partners = sum(map(self._is_partner, below)) if self._partners else 0
        own = () if base is None else (base,)
        return _joined(own, below[: partners + MAX_CUSTOMERS])

    def _learn(self) -> None:
        """Look at the tiers that were noted since."""
        noted, self._noted = self._noted, []
        for tier, bases in noted:
            self._origins |= {base: origin for origin, base in bases.items()}
            self._origins |= {url: origin for origin, url in self._partners.items()}
            for part in tier:
                self._learn_from(part, bases.get(part.issuer))

    def _learn_from(self, part: Part, base: str | None) -> None:
        found = self.of_inputs(part, base)
        for bought in part.bought:
            if base is not None:
                self._customers.setdefault(bought.origin, {})[base] = None
            about = bought.origin, bought.product
            before = self._above.get(about, ())
            self._above[about] = _joined(before, found) if before else found

    def _is_partner(self, base: str) -> bool:
        return self._origins.get(base) in self._partners


def _joined(first: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """Return both, each once."""
    return tuple(dict.fromkeys(first + others))
