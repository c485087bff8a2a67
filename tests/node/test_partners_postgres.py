"""Partners on PostgreSQL: from an invitation to a correction that is told, and who may see what."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcca_node.cli import main
from bcca_node.ledger.node import Node
from bcca_node.partners import outbox
from bcca_node.partners.notices import Notices
from bcca_node.partners.requests import fulfil
from bcca_node.sharing import access, peers
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.sharing.identify import identify
from bcca_node.storage import feed, grants, listed, logs, partners, seen, statements
from bcca_node.storage import outbox as deliveries
from bcca_node.storage.grants import Appointment, Grant, Scope
from bcca_node.storage.logs import Head
from bcca_node.storage.partners import Partner, PartnerRole
from bcca_node.storage.seen import FetchedStatement
from bcca_node.storage.statements import OwnStatement
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.statement import PartialFootprint

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - what `new_node` gives its keys
CUSTOMER, SUPPLIER = "cells.example", "mill.example"
URN = "urn:bcca:case:t:"
LIMIT = 1_000_000

Part = Callable[..., PartialFootprint]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Two companies whose tables are in PostgreSQL, and the commands that they type."""

    customer: Node
    supplier: Node
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def bcca(self, node: Node, *typed: object) -> str:
        """Type a command for a node; return what it said."""
        self.capsys.readouterr()
        status = main([*map(str, typed), "--data", str(node.settings.data)])
        said = self.capsys.readouterr()
        assert status == 0, said.err
        return said.out

    def told(self, node: Node, *typed: object) -> Any:
        """Type a command; return its JSON."""
        return json.loads(self.bcca(node, *typed, "--json"))

    def written(self, *predicates: PartialFootprint) -> Path:
        """Write what a supplier types: JSON without issuer and nonce."""
        path = self.folder / "drafts.json"
        drafts = [msgspec.to_builtins(each) for each in predicates]
        for each in drafts:
            del each["issuer"], each["nonce"]
        path.write_text(json.dumps(drafts), encoding="utf-8")
        return path

    def shown(self, commitment: str) -> bytes | None:
        """Return what the supplier shows its customer under a commitment."""

        async def get() -> bytes | None:
            url = f"{self.supplier.settings.url}/statements/{commitment}"
            async with outbox.caller(self.customer) as fetcher:
                return await fetcher.find(url, limit=LIMIT, audience=self.supplier.origin)

        return asyncio.run(get())


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCCA_PASSPHRASE", PASSPHRASE)


@pytest.fixture
def desk(
    served: Callable[..., Node],
    policy_of: Callable[..., str],
    postgresql: Callable[[], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Desk:
    """A customer and a supplier that have not met, and four witnesses, three of them a quorum."""
    companies = [served(name, database=postgresql()) for name in (CUSTOMER, SUPPLIER)]
    witnesses = [served(f"w{number}.example") for number in range(4)]
    for each in (*companies, *witnesses):
        policy = policy_of(companies, witnesses, 3)
        (each.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    return Desk(customer=companies[0], supplier=companies[1], folder=tmp_path, capsys=capsys)


def asked_twice(desk: Desk) -> list[str]:
    """Let both meet by an invitation that asks for a part, and ask for another; return the ids."""
    file = desk.folder / "mill.invitation"
    part = ("--part", f"AL-15={URN}AL-15", "--period", "2025")
    desk.bcca(desk.customer, "partners", "invite", "--for", SUPPLIER, *part, "-o", file)
    met = desk.told(desk.supplier, "partners", "accept", file)
    part = ("--part", "CU-8", "--period", "2025")
    later = desk.told(desk.customer, "request", SUPPLIER, *part)
    asked = [each["id"] for each in desk.told(desk.supplier, "inbox")["requests"]]

    assert (met["origin"], met["wanted"], later["delivered"]) == (CUSTOMER, 1, True)
    assert len(asked) == 2
    return sorted(asked, key=later["id"].__eq__)  # the later one last


def fulfilled(desk: Desk, later: str, *parts: PartialFootprint) -> None:
    """Let the supplier ask back about a request, accept it, and publish what answers both."""
    desk.bcca(desk.supplier, "inbox", "ask", later, "which width?")
    desk.bcca(desk.customer, "request", "comment", later, "600 mm")
    desk.bcca(desk.supplier, "inbox", "accept", later, "--product", f"{URN}CU-8")
    desk.bcca(desk.supplier, "import", desk.written(*parts))
    desk.bcca(desk.supplier, "publish")
    done = desk.told(desk.customer, "request", "list")
    pairs = desk.told(desk.supplier, "partners", "parts", CUSTOMER)

    assert {each["state"] for each in done} == {"fulfilled"}
    assert [(each["theirs"], each["ours"]) for each in pairs] == [("CU-8", f"{URN}CU-8")]


def test_from_an_invitation_to_a_correction_that_is_told_on_postgresql(
    desk: Desk, part: Part
) -> None:
    customer, supplier = desk.customer, desk.supplier
    first, later = asked_twice(desk)
    fulfilled(desk, later, *(part("x", name, sharing="direct") for name in ("AL-15", "CU-8")))
    read = desk.told(customer, "request", "read", first)
    log = desk.told(supplier, "partners", "log")
    file = desk.written(part("x", "AL-15", sharing="direct", kg=3))
    new = desk.told(supplier, "status", "correct", read["statement"], file)["successor"]
    fulfil(supplier)  # what a serving node does by itself: who may see a statement, its correction
    notices = Notices(supplier)
    told = notices.tell(), notices.tell()
    news = desk.told(customer, "inbox", "--fetch")["news"]
    before = desk.shown(new)
    desk.bcca(supplier, "partners", "end", CUSTOMER)
    after = desk.shown(new)

    assert (read["issuer"], read["kgCO2e"], read["standing"]) == (SUPPLIER, "6", "current")
    assert read["statement"] in {each["commitment"] for each in log}
    assert told == (1, 0)
    assert [(each["kind"], each["successor"]) for each in news] == [("corrected", new)]
    assert (before is not None, after) == (True, None)
    assert not (customer.settings.data / "node.db").exists()


# What feeds what: own statements, and those of others that are held.
FEEDS = {
    "secret": ("salt", "acid"),
    "open": ("brine",),
    "closed": ("rare",),
    "acid": ("deep",),
    "deep": ("acid", "deep"),  # suppliers that feed each other
    "pending": ("early",),
}
OWN = {"open": "public", "secret": "direct", "closed": "downstream", "pending": "direct"}
HELD = {
    "ore": "public", "brine": "downstream", "salt": "downstream", "acid": "direct",
    "deep": "downstream", "rare": "downstream", "early": "downstream",
}  # fmt: skip
PUBLIC, KNOWN = {"open", "ore"}, {"open", "ore", "brine"}
CUSTOMERS = KNOWN | {"secret", "salt"}
EVERYTHING = {*OWN, *HELD} - {"pending"}
SEES = {
    "stranger": PUBLIC,
    "partner": KNOWN,
    "refused": PUBLIC,
    "once": KNOWN,  # its grant is over
    "product": CUSTOMERS,
    "single": CUSTOMERS,
    "all": EVERYTHING - {"acid", "deep", "early"},
    "auditor": CUSTOMERS,  # of a customer
    "own-auditor": CUSTOMERS | {"acid", "deep"},
    "operator": EVERYTHING,
}
PARTNERS = ("partner", "refused", "once", "product", "single", "all", "own-auditor")
NOW = 1_800_000_000


def key(name: str) -> SeedSigner:
    seed = sha256(name.encode()).digest()
    return SeedSigner(name=f"{name}.example", algorithm=Algorithm.ED25519, seed=seed)


def partner(name: str) -> Partner:
    vkey = key(name).key.encode()
    return Partner(
        origin=f"{name}.example",
        name=name,
        url="https://nobody.example",
        log_key=vkey,
        request_key=vkey,
        seal_key=vkey,
        roles=frozenset({PartnerRole.CUSTOMER}),
        since=1,
        refused="its log says otherwise" if name == "refused" else "",
    )


def own(name: str, index: int) -> OwnStatement:
    return OwnStatement(
        commitment=name,
        index=index,
        kind="k",
        product=f"{URN}{name}",
        site=None,
        batch=None,
        period_start="a",
        period_end="b",
        sharing=OWN[name],
        envelope=b"",
    )


def kept(name: str, index: int) -> FetchedStatement:
    return FetchedStatement(
        commitment=name,
        vkey="mine.example+key",
        origin="mine.example",
        index=index,
        product=f"{URN}{name}",
        sharing=HELD[name],
        envelope=b"",
    )


@pytest.fixture
def shop(new_node: Callable[..., Node], postgresql: Callable[[], str]) -> Node:
    """A node with statements of its own and of others, and all who may see some of them."""
    node = new_node("shop.example", database=postgresql(), clock=lambda: NOW)
    with node.database.write() as session:
        first = logs.size(session)
        statements.add(session, [own(name, first + at) for at, name in enumerate(OWN)])
        seen.put_statements(session, [kept(name, at) for at, name in enumerate(HELD)])
        feed.put(session, [(top, low) for top in FEEDS for low in FEEDS[top]])
        size = first + len(OWN) - 1  # the last one is entered, and in no published head yet
        logs.put_head(session, Head(size=size, root=bytes(32), note="", published=True))
        for each in map(partner, PARTNERS):
            partners.put(session, each)
        product = f"{URN}secret"
        for name, scope, about, until in (
            ("product", Scope.PRODUCT, product, None),
            ("single", Scope.STATEMENT, "secret", NOW + 1),
            ("once", Scope.ALL, "", NOW),
            ("all", Scope.ALL, "", None),
            ("refused", Scope.ALL, "", None),
        ):
            made = Grant(partner=f"{name}.example", scope=scope, about=about, given=1, until=until)
            grants.put(session, made)
        for name, by in (("auditor", "product.example"), ("own-auditor", node.origin)):
            appointment = Appointment(
                recipient=by,
                auditor=f"{name}.example",
                product=product if by == node.origin else "",
                request_key=key(name).key.encode(),
                given=1,
            )
            grants.appoint(session, appointment)
    return node


def test_postgresql_shows_each_caller_what_sqlite_shows(shop: Node) -> None:
    callers = {who: identify(shop, key(who).key) for who in SEES}
    callers["operator"] = Caller(kind=Kind.OPERATOR, origin=shop.origin)

    assert {who: seen_by(shop, caller) for who, caller in callers.items()} == SEES


def seen_by(shop: Node, caller: Caller) -> set[str]:
    """Return what a caller may see, of the node's own and of what it holds of others."""
    assert peers.describe(shop, caller).peers == {}  # nobody here says where anybody is
    rights, size = access.standing(shop, caller)
    with shop.database.read() as session:
        mine = [each for each in listed.find(session, list(OWN)) if each.index < size]
        held = [each for name in HELD if (each := listed.kept(session, name)) is not None]
        rights.meet(session, held)
        rights.meet(session, [])  # of none, too
        return {each.commitment for each in mine if rights.sees(each)} | {
            each.commitment for each in held if rights.sees_fetched(session, each)
        }


def test_a_partner_that_goes_leaves_nothing_behind_on_postgresql(shop: Node) -> None:
    with shop.database.write() as session:
        deliveries.put(session, "product.example", "00" * 16, b"{}", NOW)
        forgotten = grants.forget(session, "product.example")
        dropped = deliveries.drop(session, "product.example")

    assert (forgotten, dropped) == ((1, 1), 1)
