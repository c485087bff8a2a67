"""A pack maker's office: what it buys of itself and of a supplier, added up and recalled."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from tests.conftest import footprint_of

from bcca_node.demo.network import Ground, Network, Seat
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.recalled import Recalled, recall
from bcca_node.packmaker.run import Run, roll_up
from bcca_protocol.footprint import Components
from bcca_protocol.inventory import Activity, Factor, Input
from bcca_protocol.own import with_footprint
from bcca_protocol.statement import PartialFootprint, Site

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
MAKER = Seat(id="maker", name="Maker", suppliers=frozenset({"oxide"}))
SUPPLIER = Seat(id="oxide", name="Oxide Ltd")


@dataclass(frozen=True)
class Office:
    """Two companies on loopback; each test has products of its own, apart by a number."""

    network: Network
    numbers: Iterator[int]

    @property
    def node(self) -> Node:
        return self.network.members["maker"].node

    def desk(self) -> "Desk":
        """Return products that no other test has."""
        return Desk(self, f"{next(self.numbers)}-")


@dataclass(frozen=True)
class Desk:
    """Statements with names of their own, and what they add up to."""

    office: Office
    mark: str

    def urn(self, name: str) -> str:
        return f"urn:bcca:case:t:{self.mark}{name}"

    def sells(self, name: str, *lines: Activity | Input, by: str = "maker", **told: Any) -> None:
        """Publish a partial footprint, its sums written in."""
        node = self.office.network.members[by].node
        own = tuple(each for each in lines if isinstance(each, Activity))
        buys = tuple(each for each in lines if isinstance(each, Input))
        country = told.pop("country", None)
        site = None if country is None else Site(id=f"site-{country}", country=country)
        made = footprint_of(
            node.origin, self.mark + name, activities=own, inputs=buys, site=site, **told
        )
        self._publish(node, [with_footprint(made)])

    def buys(self, name: str, amount: str, *, of: str = "maker", **told: Any) -> Input:
        """Return a bought line, in kg unless told."""
        supplier = self.office.network.members[of].supplier
        given = {"unit": "kg", "stages": "keep", "id": f"buys-{name}", **told}
        return Input(product=self.urn(name), supplier=supplier, amount=amount, **given)

    def run(self, name: str, **told: Any) -> Run:
        """Add a product up, whoever is missing."""
        node = self.office.network.members[told.pop("by", "maker")].node
        amount = told.pop("amount", None)
        order = Order(
            product=self.urn(name),
            amount=None if amount is None else Decimal(amount),
            at=node.clock(),
            **told,
        )

        async def rolled_up() -> Run:
            async with Fetcher(guard.hosts_of(node.trust.required())) as fetcher:
                return await roll_up(node, fetcher, order)

        return asyncio.run(rolled_up())

    def recalled(self, name: str, **told: Any) -> Recalled:
        """Add a product up, and recall what stands behind it."""
        self.run(name, **told)
        return recall(self.office.node, self.urn(name))

    def _publish(self, node: Node, predicates: Sequence[PartialFootprint]) -> None:
        publish(node, predicates)

        async def published() -> bool:
            async with Fetcher(guard.hosts_of(node.trust.required())) as fetcher:
                return (await witness(node, fetcher)).published

        assert asyncio.run(published())


def line(name: str, amount: str, per: str, **told: Any) -> Activity:
    """Return an own line of so many kg at so many kg CO2e each."""
    factor: dict[str, Any] = {
        "kind": "secondary",
        "source": "a database",
        "dataset": f"{name} data",
        "geography": "GLO",
        "unit": told.get("unit", "kg"),
        "gas": "co2e",
        "values": Components(fossil=per),
        **told.pop("factor", {}),
    }
    given = {
        "kind": "material",
        "stage": "production",
        "unit": "kg",
        "amount_kind": "calculated",
        **told,
    }
    return Activity(id=name, name=name, amount=amount, factor=Factor(**factor), **given)


@contextmanager
def opened(folder: Path) -> Iterator[Office]:
    """Yield an office whose two companies serve, know and witness each other."""
    ground = Ground(
        folder=folder / "nodes", aside=folder / "more", passphrase=PASSPHRASE, scrypt_n=16
    )
    with Network(ground, [MAKER, SUPPLIER], head="maker") as network:
        yield Office(network, count())
