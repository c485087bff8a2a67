"""One shop with public and private statements, its supplier's, and all who may ask for them."""

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlmodel import Session
from tests.conftest import footprint_of

from bcca_node.demo.network import Ground, Network, Seat
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import lines, signatures, targets
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.network.signatures import Call
from bcca_node.storage import copies, feed, grants, partners, seen, statements, witnessed
from bcca_node.storage.copies import Copy
from bcca_node.storage.grants import Appointment, Grant, Scope
from bcca_node.storage.partners import Partner, PartnerRole
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol.inventory import Input, Supplier
from bcca_protocol.keys import Algorithm, Role, SeedSigner, Signer
from bcca_protocol.statement import PartialFootprint, Producer, Sharing

URN = "urn:bcca:case:t:"
ABSENT = "ab" * 32
VAULT = Supplier(
    origin="vault.example",
    key=SeedSigner(
        name="vault.example", algorithm=Algorithm.ED25519, seed=sha256(b"vault").digest()
    ).key.encode(),
)
# Who is fed by what: own statements of the shop, and those of its supplier.
FEEDS = {
    "open": ("ore", "brine"),
    "secret": ("salt", "acid"),
    "closed": ("rare",),
    "acid": ("deep",),
}
OWN: dict[str, Sharing] = {"open": "public", "secret": "direct", "closed": "downstream"}
HELD: dict[str, Sharing] = {
    "ore": "public",
    "brine": "downstream",
    "salt": "downstream",
    "acid": "direct",
    "deep": "downstream",
    "rare": "downstream",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shop:
    """A node that is asked over HTTP, by its callers; `names` are commitments."""

    node: Node
    mine: Node
    names: dict[str, str]
    callers: dict[str, Signer | None]
    client: httpx.Client
    nonces: Iterator[int]

    @property
    def copy(self) -> str:
        """The path of its copy of its supplier's log."""
        return f"/mirror/{witnessed.origin_hash(self.mine.origin)}"

    def ask(
        self,
        who: str | Signer,
        path: str,
        *,
        method: str = "GET",
        body: bytes = b"",
        **headers: str,
    ) -> httpx.Response:
        """Ask as one of the callers, or with a key."""
        url = targets.sent(self.node.settings.url + path)
        signer = self.callers[who] if isinstance(who, str) else who
        if signer is not None:
            headers |= signatures.sign(
                Call(method=method, target=url, body=body),
                signer=signer,
                audience=self.node.origin,
                created=self.node.clock(),
                nonce=f"nonce-{next(self.nonces)}",
            )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, url, content=body or None, headers=named)

    def seen(self, who: str | Signer, path: str, **asked: Any) -> tuple[int, bytes, list[Any]]:
        """Ask, and return all that the asker sees of the answer, but for the time."""
        answer = self.ask(who, path, **asked)
        headers = [each for each in answer.headers.multi_items() if each[0] != "date"]
        return answer.status_code, answer.content, headers

    def listed(self, who: str | Signer, path: str, **asked: Any) -> set[str]:
        """Return the names of the statements in an answer, whose count is right."""
        answer = self.ask(who, path, **asked)
        assert answer.status_code == 200
        known = {commitment: name for name, commitment in self.names.items()}
        return {known[each.commitment] for each in lines.decode_lines(answer.content)}

    def of(self, name: str) -> str:
        """Return how a product is asked for, by its name."""
        return "product=" + quote(f"{URN}{name}", safe="")

    def commitment(self, name: str) -> str:
        """Return the commitment of that name; what has none is not there."""
        return self.names.get(name, ABSENT)

    def meet(self, name: str, *given: tuple[Scope, str], until: int | None = None) -> Signer:
        """Make a partner with a key of its own and grants; return the key."""
        signer = key(name)
        with self.node.database.write() as session:
            partners.put(session, partner(signer, PartnerRole.CUSTOMER))
            for scope, about in given:
                grants.put(session, grant(signer.key.name, scope, about, until))
        return signer

    def appoint(
        self, name: str, *, by: str, product: str = "", until: int | None = None
    ) -> SeedSigner:
        """Make an auditor, appointed by an origin."""
        signer = key(name)
        appointment = Appointment(
            recipient=by,
            auditor=signer.key.name,
            product=product,
            request_key=signer.key.encode(),
            given=1,
            until=until,
        )
        with self.node.database.write() as session:
            grants.appoint(session, appointment)
            if by == self.node.origin:
                partners.put(session, partner(signer, PartnerRole.AUDITOR))
        return signer


def key(name: str) -> SeedSigner:
    """Return the request key that a name always gets here."""
    seed = sha256(name.encode()).digest()
    return SeedSigner(name=f"{name}.example", algorithm=Algorithm.ED25519, seed=seed)


def grant(origin: str, scope: Scope, about: str, until: int | None = None) -> Grant:
    return Grant(partner=origin, scope=scope, about=about, given=1, until=until, why="a test")


def partner(signer: Signer, role: PartnerRole) -> Partner:
    vkey = signer.key.encode()
    return Partner(
        origin=signer.key.name,
        name=signer.key.name,
        url="https://nobody.example",
        log_key=vkey,
        request_key=vkey,
        seal_key=vkey,
        roles=frozenset({role}),
        since=1,
    )


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop and its supplier with five witnesses; everybody who asks."""
    folder = tmp_path_factory.mktemp("shop")
    ground = Ground(folder=folder, aside=folder, passphrase="it protects a test", scrypt_n=2**4)  # noqa: S106
    seats = [
        Seat(id="shop", name="Shop", suppliers=frozenset({"mine"})),
        Seat(id="mine", name="Mine"),
    ]
    with Network(ground, seats, head="shop") as network, httpx.Client() as client:
        node, mine = network.members["shop"].node, network.members["mine"].node
        made = {**released(mine, HELD, mine), **released(node, OWN, mine)}
        with node.database.write() as session:
            hold(session, mine, [made[name] for name in HELD])
            feed.put(session, ((made[to], made[name]) for to in FEEDS for name in FEEDS[to]))
        [pending] = publish(node, [footprint(node, "pending", "public", mine)])
        told = {**made, "pending": pending.commitment}
        yield Shop(
            node=node,
            mine=mine,
            names=told,
            callers=callers(node, mine),
            client=client,
            nonces=count(),
        )


def callers(node: Node, mine: Node) -> dict[str, Signer | None]:
    """Return who asks, each made known to the node as far as it is."""
    found: dict[str, Signer | None] = {
        "nobody": None,
        "stranger": key("stranger"),
        "partner": key("partner"),
        "customer": key("customer"),
        "customer's auditor": key("audits-the-customer"),
        "own auditor": key("audits-the-shop"),
        "supplier": mine.keys.signer(Role.REQUEST),
        "witness": key("witness"),
        "operator": node.keys.signer(Role.REQUEST),
    }
    roles = {
        "partner": PartnerRole.CUSTOMER,
        "customer": PartnerRole.CUSTOMER,
        "supplier": PartnerRole.SUPPLIER,
        "witness": PartnerRole.WITNESS,
        "own auditor": PartnerRole.AUDITOR,
    }
    appointed = {"customer's auditor": ("customer.example", ""), "own auditor": (node.origin, URN)}
    with node.database.write() as session:
        for name, role in roles.items():
            signer = found[name]
            assert signer is not None
            partners.put(session, partner(signer, role))
        grants.put(session, grant("customer.example", Scope.PRODUCT, f"{URN}secret"))
        for name, (recipient, product) in appointed.items():
            signer = found[name]
            assert signer is not None
            appointment = Appointment(
                recipient=recipient,
                auditor=signer.key.name,
                product=f"{product}secret" if product else "",
                request_key=signer.key.encode(),
                given=1,
            )
            grants.appoint(session, appointment)
    return found


def released(node: Node, wanted: dict[str, Sharing], mine: Node) -> dict[str, str]:
    """Publish a statement of each name, with a quorum; return their commitments."""

    async def submit() -> None:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            assert (await witness(node, fetcher)).published

    made = publish(node, [footprint(node, name, wanted[name], mine) for name in wanted])
    asyncio.run(submit())
    return {name: each.commitment for name, each in zip(wanted, made, strict=True)}


def hold(session: Session, mine: Node, commitments: Sequence[str]) -> None:
    """Put statements of a supplier where collecting puts them, and copies of logs."""
    with mine.database.read() as reading:
        own = statements.find(reading, commitments)
    fetched = [
        FetchedStatement(
            commitment=each.commitment,
            vkey=mine.log_key.encode(),
            origin=mine.origin,
            index=each.index,
            product=each.product,
            sharing=each.sharing,
            envelope=each.envelope,
        )
        for each in own
    ]
    seen.put_statements(session, fetched)
    for origin, vkey, url in (
        (mine.origin, mine.log_key.encode(), mine.settings.url),
        (VAULT.origin, VAULT.key, "https://vault.example"),
    ):
        copy = Copy(
            origin=origin,
            vkey=vkey,
            size=1,
            root=bytes(32),
            note="a head\n",
            url=url,
            introduced_by=None,
            checked_at=1,
        )
        copies.put(session, copy, before=None)


def footprint(node: Node, name: str, sharing: Sharing, mine: Node) -> PartialFootprint:
    """Return a statement; the secret one names a supplier that no other does."""
    fed = Supplier(origin=mine.origin, key=mine.log_key.encode())
    bought = [(each, fed) for each in FEEDS.get(name, ())]
    bought += [("gold", VAULT)] if name == "secret" else []
    return footprint_of(
        node.origin,
        name,
        producer=Producer(name=node.settings.name),
        sharing=sharing,
        buys=tuple(
            Input(
                id=each,
                product=f"{URN}{each}",
                supplier=supplier,
                amount="1",
                unit="kg",
                stages="keep",
            )
            for each, supplier in bought
        ),
    )
