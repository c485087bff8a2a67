"""A node with footprints to serve, without witnesses to wait for, and PACT partners that ask."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import msgspec
from tests.conftest import footprint_of

from bcca_node.app import create_app
from bcca_node.ledger import status
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.sign import Predicate
from bcca_node.pact import clients, model, tokens
from bcca_node.storage import grants, logs
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.pactclients import PactPartner
from bcca_protocol.footprint import Stages
from bcca_protocol.inventory import Amount, Input, Supplier
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.results import QualitySums, Rules, Weights
from bcca_protocol.statement import FootprintRollUp, PartialFootprint

URN = "urn:bcca:case:t:"
NOW = 1_790_000_000
NONE = "00000000-0000-0000-0000-000000000000"
MINE = SeedSigner(name="mine.example", algorithm=Algorithm.ED25519, seed=bytes([7]) * 32)


@dataclass(frozen=True)
class Shop:
    """A node, what is published on it, and its PACT partners by name."""

    node: Node
    partners: dict[str, PactPartner] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def publish(self, *predicates: Predicate) -> list[str]:
        """Publish, as if a quorum had cosigned; return the commitments."""
        made = publish(self.node, predicates)
        self.cosigned()
        return [each.commitment for each in made]

    def sells(self, *products: str, **told: Any) -> list[str]:
        """Publish a partial footprint of each product."""
        return self.publish(*(self.part(product, **told) for product in products))

    def part(self, product: str, **told: Any) -> PartialFootprint:
        return footprint_of(self.node.origin, product, **told)

    def revoke(self, commitment: str) -> None:
        status.revoke(self.node, commitment)
        with self.node.database.write() as session:
            size = logs.size(session)
            head = logs.last_head(session)
            assert head is not None
            assert head.size == size
        self.cosigned()

    def cosigned(self) -> None:
        with self.node.database.write() as session:
            head = logs.last_head(session)
            assert head is not None
            logs.put_head(session, replace(head, published=True))

    def meet(self, name: str, *given: tuple[Scope, str]) -> PactPartner:
        """Make a PACT partner, grant it what is given, and get it a token."""
        url = f"https://{name}.example"
        new = PactPartner(name=name, url=url, auth_url=url, since=NOW)
        with self.node.database.write() as session:
            partner = clients.add(self.node, session, new, None)
            made = clients.issue(session, partner, days=30, at=self.node.clock())
        for scope, about in given:
            self.grant(partner, scope, about)
        issued = tokens.issue(self.node, made.client_id)
        assert issued is not None
        self.partners[name], self.tokens[name] = partner, issued.token
        return partner

    def grant(self, partner: PactPartner, scope: Scope, about: str) -> None:
        with self.node.database.write() as session:
            grants.put(session, Grant(partner=partner.origin, scope=scope, about=about, given=NOW))


@dataclass(frozen=True)
class Counter:
    """A shop as a PACT partner asks it over HTTP, without a socket."""

    shop: Shop
    app: Any
    client: tuple[str, int] = ("203.0.113.7", 4711)

    def ask(
        self, who: str, path: str, *, base: str = "https://shop.example", **headers: str
    ) -> httpx.Response:
        told = {"authorization": f"Bearer {self.shop.tokens[who]}"} if who else {}

        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=self.client)
            async with httpx.AsyncClient(transport=transport) as http:
                return await http.get(base + path, headers={**told, **headers})

        return asyncio.run(request())

    def products(self, who: str, query: str = "") -> list[str]:
        """Return the products of a whole list, page after page, in small letters' order."""
        found = [each["productIds"][0].removeprefix(URN) for each in self.listed(who, query)]
        return sorted(found)

    def listed(self, who: str, query: str = "") -> list[dict[str, Any]]:
        """Return the footprints of a whole list, page after page, as they came."""
        found: list[dict[str, Any]] = []
        path: str | None = f"/3/footprints{query}"
        for _ in itertools.count():
            if path is None:
                return found
            answer = self.ask(who, path)
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] == "application/json"
            data = answer.json()["data"]
            found += data
            msgspec.json.decode(answer.content, type=dict[str, tuple[model.ProductFootprint, ...]])
            path = next_of(answer)
        raise AssertionError


def open_counter(shop: Shop) -> Counter:
    """Return the shop's app, to be asked."""
    return Counter(shop, create_app(shop.node))


def next_of(answer: httpx.Response) -> str | None:
    """Return where the next page of an answer is, below the host."""
    link = answer.headers.get("link")
    if link is None:
        return None
    assert link.startswith("<https://shop.example/3/footprints?")
    assert link.endswith('>; rel="next"')
    return str(link[len("<https://shop.example") :].partition(">")[0])


def buys(product: str) -> Input:
    """Return an input line of a supplier."""
    supplier = Supplier(origin=MINE.key.name, key=MINE.key.encode())
    return Input(
        id="ore", product=f"{URN}{product}", supplier=supplier, amount="1", unit="kg", stages="keep"
    )


def rolled(part: PartialFootprint, footprint: Stages, **told: Any) -> FootprintRollUp:
    """Write a roll-up of what a partial footprint is about."""
    common = {
        name: getattr(part, name)
        for name in ("issuer", "nonce", "product", "producer", "period", "sharing", "method")
    }
    sums = QualitySums(covered="8", technological="16", geographical="12", temporal="20")
    weights = Weights(
        absolute="10",
        primary="7.5",
        primary_amount="8",
        primary_factor="8",
        signed="9",
        introduced="0",
        limited="0",
        reasonable="0",
        default="1",
        gap_bound="0",
        quality=sums,
    )
    given: dict[str, Any] = {
        "declared_unit": Amount("1", "kg"),
        "exempted_percent": "1.5",
        "weights": weights,
        "rules": Rules(name="neutral", digest="ab" * 32),
        "reference_date": "2026-01-01T00:00:00Z",
        "logs": (),
        "manifest": (),
        **told,
    }
    return FootprintRollUp(footprint=footprint, **{**common, **given})


def names(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return the ids of footprints."""
    return [each["id"] for each in found]
