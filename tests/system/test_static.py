"""A supplier that is a folder of files: published from its desk, collected from any web server."""

import asyncio
import functools
import http.server
import shutil
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from bcca_node.app import create_server
from bcca_node.demo.loopback import Loopback, listen, url_of
from bcca_node.demo.sharing import partner_of
from bcca_node.ledger import guard, keys, status
from bcca_node.ledger.node import Node, init
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.ledger.words import from_words
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.packmaker.bundling import write_bundle
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.run import Run, roll_up
from bcca_node.packmaker.standing import since_last
from bcca_node.settings import Settings
from bcca_node.sharing import static
from bcca_node.storage import grants, leaving, partners
from bcca_node.storage.grants import Grant
from bcca_node.storage.partners import PartnerRole
from bcca_protocol import footprint, issue, own, period
from bcca_protocol.audit import audit
from bcca_protocol.entry import Status
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval, Supplier
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.quantity import plain
from bcca_protocol.standing import Standing
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product

T = TypeVar("T")

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
ORE, FOIL, PACK = "urn:bcca:t:ore", "urn:bcca:t:foil", "urn:bcca:t:pack"


class Place:
    """A folder behind a web server that knows nothing of what it serves."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url


class Quiet(http.server.SimpleHTTPRequestHandler):
    """The web server of the standard library, and no lines about it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Files:
    """The least that serves files over ASGI: no types, no lengths told twice, no listings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = self._folder / unquote(scope["raw_path"].decode()).lstrip("/")
        status, body = (200, path.read_bytes()) if path.is_file() else (404, b"no")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "public"
    folder.mkdir()
    if getattr(request, "param", "asgi") == "asgi":
        with Loopback() as loopback:
            listener = listen()
            config = uvicorn.Config(Files(folder), log_level="warning", lifespan="off")
            loopback.serve(uvicorn.Server(config), listener)
            yield Place(folder, url_of(listener))
        return
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Place(folder, f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
        thread.join()


class Town:
    """A pack maker and four witnesses that run; suppliers that are folders, and do not."""

    def __init__(self, folder: Path, loopback: Loopback, place: Place) -> None:
        self._folder = folder
        self.place = place
        self.recovery: dict[str, SeedSigner] = {}
        self.pack = self._served("pack.example", loopback)
        self.witnesses = [self._served(f"w{n}.example", loopback) for n in range(4)]
        self.mine = self._set_up("mine.example", place.url)
        self.mill = self._set_up("mill.example", f"{place.url}/mill")
        self.all = [self.pack, *self.witnesses, self.mine, self.mill]
        lines = [f"log {each.log_key.encode()} {each.settings.url}/log" for each in self.all]
        for number, each in enumerate(self.witnesses):
            key = each.keystore.record(Role.WITNESS).key.encode()
            lines.append(f"witness w{number} {key} {each.settings.url}/witness")
        self.policy = "\n".join([*lines, "group g 3 w0 w1 w2 w3", "quorum g", ""])
        for each in self.all:
            (each.settings.data / "policy.txt").write_text(self.policy, encoding="utf-8")

    def say(self, node: Node, *predicates: PartialFootprint) -> list[str]:
        """Publish from the desk, with witnesses over HTTP."""
        self.ask(node, guard.clear)
        done = publish(node, predicates)
        self.cosign(node)
        return [each.commitment for each in done]

    def cosign(self, node: Node) -> None:
        assert self.ask(node, witness).published

    def run(self) -> Run:
        """Return what the pack maker's run comes to."""
        order = Order(product=PACK, amount=None, at=self.pack.clock())
        return self.ask(self.pack, lambda node, fetcher: roll_up(node, fetcher, order))

    def ask(self, node: Node, work: Callable[[Node, Fetcher], Coroutine[Any, Any, T]]) -> T:
        """Return what comes of a node's asking others."""

        async def ask() -> T:
            async with Fetcher(hosts_of(node.trust.required())) as fetcher:
                return await work(node, fetcher)

        return asyncio.run(ask())

    def seal(self, *makers: Node, to: Node | None = None) -> None:
        """Let static suppliers show all they say to `to`, the pack maker, and publish folders."""
        to = to or self.pack
        for maker in makers:
            for node, other in ((maker, to), (to, maker)):
                with node.database.write() as session:
                    partners.put(session, partner_of(other, [PartnerRole.CUSTOMER]))
            with maker.database.write() as session:
                everything = grants.Scope.ALL
                given = Grant(partner=to.origin, scope=everything, about="", given=maker.clock())
                grants.put(session, given)
            folder = self.place.folder / ("mill" if maker is self.mill else "")
            static.place(maker, folder, to=[to.origin])

    def sealed(self, maker: Node) -> list[Path]:
        """Return the sealed files of a maker."""
        folder = self.place.folder / ("mill" if maker is self.mill else "")
        return sorted((folder / "sealed").iterdir())

    def gaps(self, run: Run) -> list[str]:
        resolved = [edge.resolved.gap for edge in run.statement.manifest or ()]
        return [gap.reason for gap in resolved if gap is not None]

    def close(self) -> None:
        for each in self.all:
            each.close()

    def _served(self, origin: str, loopback: Loopback) -> Node:
        listener: socket.socket = listen()
        node = self._set_up(origin, url_of(listener))
        loopback.serve(create_server(node), listener)
        return node

    def _set_up(self, origin: str, url: str) -> Node:
        settings = Settings(data=self._folder / origin, origin=origin, name=origin, url=url)
        seed = from_words(init(settings, PASSPHRASE, scrypt_n=2**4))
        self.recovery[origin] = SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=seed)
        return Node.open(settings, PASSPHRASE)


@pytest.fixture
def town(tmp_path: Path, place: Place) -> Iterator[Town]:
    with Loopback() as loopback:
        made = Town(tmp_path / "nodes", loopback, place)
        yield made
        made.close()


def total(run: Run) -> str:
    return plain(footprint.total(footprint.decode(run.statement.footprint)))


def bought(seller: Node, product: str, amount: str = "2") -> Input:
    return Input(
        id=product,
        product=product,
        supplier=Supplier(origin=seller.origin, key=seller.log_key.encode()),
        amount=amount,
        unit="kg",
        stages="keep",
    )


def part(node: Node, product: str, kg: str, *inputs: Input, **more: Any) -> PartialFootprint:
    """Return 1 kg of a product whose one own line is `kg` of something at 1."""
    factor = Factor(
        kind="secondary", source="t", dataset="t", geography="GLO", unit="kg", gas="co2e",
        values=Components(fossil="1"),
    )  # fmt: skip
    line = Activity(
        id="L", name="line", stage="production", kind="material", amount=kg, unit="kg",
        amount_kind="measured", factor=factor,
    )  # fmt: skip
    told: dict[str, Any] = {
        "period": Interval("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        "sharing": "public",
    }
    return own.with_footprint(
        PartialFootprint(
            issuer=node.origin,
            nonce=issue.UNSET_NONCE,
            product=Product(id=product, name=product),
            producer=Producer(name=node.origin),
            declared_unit=Amount(amount="1", unit="kg"),
            output=Amount(amount="1", unit="kg"),
            method=Method(standards=(), gwp="AR6", recycling="cutOff", electricity="market"),
            activities=(line,),
            inputs=inputs,
            footprint=Stages(),
            **{**told, **more},
        )
    )


@pytest.mark.parametrize("place", ["http.server", "asgi"], indirect=True)
def test_a_pack_maker_collects_from_a_folder_and_the_bundle_holds(town: Town) -> None:
    town.say(town.mine, part(town.mine, ORE, "5"))
    static.place(town.mine, town.place.folder)
    town.say(town.pack, part(town.pack, PACK, "1", bought(town.mine, ORE)))
    run = town.run()
    bundle = list(write_bundle(town.pack, PACK, made=period.text_at(town.pack.clock())))
    report = audit(bundle, town.pack.trust.required())

    assert (total(run), run.statement.incomplete) == ("11", False)
    assert (plain(report.total), report.unverified) == ("11", ())
    assert run.sum.collected.copied == {}


def test_a_correction_in_a_folder_reaches_the_next_run(town: Town) -> None:
    (old,) = town.say(town.mine, part(town.mine, ORE, "5"))
    static.place(town.mine, town.place.folder)
    town.say(town.pack, part(town.pack, PACK, "1", bought(town.mine, ORE)))
    town.run()
    draft = status.replacing(part(town.mine, ORE, "6"), old, Status.CORRECTED)
    town.say(town.mine, draft)
    static.place(town.mine, town.place.folder)
    run = town.run()

    assert total(run) == "13"
    assert [(each.commitment, each.standing.value) for each in run.outdated] == [(old, "corrected")]


def test_what_a_folder_revokes_is_missing_and_said_to_be_revoked(town: Town) -> None:
    (old,) = town.say(town.mine, part(town.mine, ORE, "5"))
    static.place(town.mine, town.place.folder)
    town.say(town.pack, part(town.pack, PACK, "1", bought(town.mine, ORE)))
    town.run()
    status.revoke(town.mine, old)
    town.cosign(town.mine)
    static.place(town.mine, town.place.folder)
    run = town.run()

    assert town.gaps(run) == [f"no current statement for {ORE} of mine.example: revoked"]


@pytest.mark.parametrize("place", ["http.server", "asgi"], indirect=True)
def test_a_product_of_which_the_folder_never_spoke_is_missing_and_no_more(town: Town) -> None:
    town.say(town.mine, part(town.mine, ORE, "5"))
    static.place(town.mine, town.place.folder)
    inputs = bought(town.mine, ORE), bought(town.mine, FOIL)
    town.say(town.pack, part(town.pack, PACK, "1", *inputs))
    run = town.run()

    assert total(run) == "11"
    [gap] = town.gaps(run)
    assert gap.startswith(f"no statement for {FOIL} of mine.example: neither it nor anybody")
    assert run.sum.collected.troubles == {}


def test_a_pinned_statement_that_was_superseded_is_found_as_a_file(town: Town) -> None:
    (old,) = town.say(town.mine, part(town.mine, ORE, "5"))
    year = Interval("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
    follower = part(town.mine, ORE, "6", period=year)
    town.say(town.mine, status.replacing(follower, old, Status.SUPERSEDED))
    static.place(town.mine, town.place.folder)
    pinned = Input(**{**as_fields(bought(town.mine, ORE)), "statement": old})
    town.say(town.pack, part(town.pack, PACK, "1", pinned))
    run = town.run()

    assert (total(run), town.gaps(run)) == ("11", [])


@pytest.mark.parametrize("kind", ["cut", "entries", "envelope", "old", "gone"])
def test_an_attack_a_folder_that_somebody_changed_feeds_nothing_false(
    town: Town, kind: str
) -> None:
    (old,) = town.say(town.mine, part(town.mine, ORE, "5"))
    static.place(town.mine, town.place.folder)
    before = town.place.folder.with_name("before")
    shutil.copytree(town.place.folder, before)
    town.say(town.mine, status.replacing(part(town.mine, ORE, "6"), old, Status.CORRECTED))
    static.place(town.mine, town.place.folder)
    (listed,) = (town.place.folder / "products").iterdir()
    match kind:
        case "cut":
            listed.write_bytes(listed.read_bytes()[:-20])
        case "entries":
            bundle = town.place.folder / "log/tile/entries/000.p/9"
            bundle.write_bytes(bundle.read_bytes()[:-1] + b"x")
        case "envelope":
            listed.write_bytes(listed.read_bytes().replace(b"A", b"B", 1))
        case "old":
            listed.write_bytes((before / "products" / listed.name).read_bytes())
        case "gone":
            shutil.rmtree(town.place.folder / "products")
    shutil.rmtree(town.place.folder / "pages")  # what is read without them is a file per product
    town.say(town.pack, part(town.pack, PACK, "1", bought(town.mine, ORE)))
    run = town.run()

    assert (total(run), run.statement.incomplete) == ("1", True)
    said = {
        "cut": "cut off after",
        "entries": "its entries hash to",
        "envelope": "refused at step",
        "old": "corrected",
        "gone": "no statement for",
    }
    assert said[kind] in town.gaps(run)[0]


def test_what_expires_is_told_once_its_time_has_come(town: Town) -> None:
    short = Interval("2025-01-01T00:00:00Z", "2027-06-01T00:00:00Z")
    (ore,) = town.say(town.mine, part(town.mine, ORE, "5", validity=short))
    static.place(town.mine, town.place.folder)
    town.say(town.pack, part(town.pack, PACK, "1", bought(town.mine, ORE)))
    collected = town.run().sum.collected
    june, before = 1_811_808_000, 1_811_807_999  # 2027-06-01T00:00:00Z

    assert since_last(town.pack, collected, PACK, at=before) == ()
    (told,) = since_last(town.pack, collected, PACK, at=june)
    assert (told.commitment, told.supplier, told.reason) == (ore, "mine.example", "expired")


def test_an_attack_what_a_stolen_key_signed_is_said_to_be_no_longer_valid(town: Town) -> None:
    (good,) = town.say(town.mine, part(town.mine, FOIL, "1"))
    (stolen,) = town.say(town.mine, part(town.mine, ORE, "5"))
    static.place(town.mine, town.place.folder)
    inputs = bought(town.mine, ORE), bought(town.mine, FOIL)
    town.say(town.pack, part(town.pack, PACK, "1", *inputs))
    before = town.run()
    keys.compromise(town.mine, 2, 6, town.recovery["mine.example"], PASSPHRASE)
    town.cosign(town.mine)
    static.place(town.mine, town.place.folder)
    after = town.run()

    assert (total(before), total(after)) == ("13", "3")
    (told,) = after.outdated
    assert told.commitment == stolen != good
    assert told.standing is Standing.UNKNOWN
    assert "compromised after entry 6" in told.reason


def as_fields(told: Input) -> dict[str, Any]:
    return {name: getattr(told, name) for name in told.__struct_fields__}


@pytest.fixture
def secretive(town: Town) -> Town:
    """Two static suppliers that show what they say to the pack maker alone, and a pack of both."""
    town.say(town.mine, part(town.mine, ORE, "5", sharing="direct"))
    town.say(town.mill, part(town.mill, FOIL, "7", sharing="direct"))
    town.seal(town.mine, town.mill)
    made_of = bought(town.mine, ORE), bought(town.mill, FOIL)
    town.say(town.pack, part(town.pack, PACK, "1", *made_of))
    return town


def test_two_static_suppliers_seal_for_one_recipient_and_the_total_is_whole(
    secretive: Town,
) -> None:
    run = secretive.run()

    assert (total(run), run.statement.incomplete) == ("25", False)
    assert run.sum.collected.troubles == {}
    assert not list((secretive.place.folder / "statements").glob("*"))
    assert [len(secretive.sealed(each)) for each in (secretive.mine, secretive.mill)] == [1, 1]


def test_whoever_is_no_partner_finds_nothing_and_is_told_what_to_do(secretive: Town) -> None:
    with secretive.pack.database.write() as session:
        leaving.forget(session, secretive.mine.origin)

    run = secretive.run()

    [gap] = secretive.gaps(run)
    assert total(run) == "15"
    assert gap.startswith(f"no statement for {ORE} of mine.example: neither it nor anybody")
    assert "not shared with this node: ask for it (`bcca request`)" in gap


def test_a_sealed_file_for_another_partner_in_the_place_of_ours_is_refused_and_the_rest_stands(
    secretive: Town,
) -> None:
    [ours] = secretive.sealed(secretive.mine)
    secretive.seal(secretive.mine, to=secretive.witnesses[0])
    [theirs] = [each for each in secretive.sealed(secretive.mine) if each != ours]
    ours.write_bytes(theirs.read_bytes())

    run = secretive.run()

    [gap] = secretive.gaps(run)
    assert total(run) == "15"
    assert f"/sealed/{ours.name}: sealed file of mine.example about {ORE}" in gap
    assert "sealed for somebody else" in gap


@pytest.mark.parametrize("body", [b"", b"<html>not found</html>", b"{}"])
def test_garbage_in_the_place_of_a_sealed_file_is_refused(secretive: Town, body: bytes) -> None:
    [ours] = secretive.sealed(secretive.mine)
    ours.write_bytes(body)

    [gap] = secretive.gaps(secretive.run())

    assert f"sealed file of mine.example about {ORE}" in gap


def test_what_was_sealed_to_an_older_key_of_the_recipient_is_still_found(secretive: Town) -> None:
    keys.rotate(secretive.pack, Role.SEAL, PASSPHRASE)
    secretive.pack.close()
    secretive.pack = Node.open(secretive.pack.settings, PASSPHRASE)
    secretive.all[0] = secretive.pack
    secretive.cosign(secretive.pack)

    assert total(secretive.run()) == "25"


def test_what_a_maker_sealed_before_it_rotated_its_own_key_is_still_found(secretive: Town) -> None:
    keys.rotate(secretive.mine, Role.SEAL, PASSPHRASE)
    node = Node.open(secretive.mine.settings, PASSPHRASE)
    secretive.all.append(node)
    secretive.cosign(node)
    before = secretive.sealed(secretive.mine)
    shutil.rmtree(secretive.place.folder / "log")
    static.place(node, secretive.place.folder)
    [now] = secretive.sealed(secretive.mine)

    assert [now] != before
    assert total(secretive.run()) == "25"
    assert before[0].write_bytes(now.read_bytes())  # at the old name: tried after the new one
    now.unlink()
    assert "somebody else" in secretive.gaps(secretive.run())[0]
