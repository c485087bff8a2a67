"""Suppliers that do not answer, and who holds copies: believed for their signatures, and told."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bcca_node.app import create_server
from bcca_node.demo.loopback import Loopback, listen, url_of
from bcca_node.ledger import mirror
from bcca_node.ledger.node import Node, found
from bcca_node.ledger.publish import publish
from bcca_node.ledger.trust import FILE as POLICY
from bcca_node.ledger.witnessing import witness
from bcca_node.network.lines import decode_lines
from bcca_node.packmaker import collect, held
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.routes import MAX_COPIES, Routes
from bcca_node.settings import Settings
from bcca_node.storage import logs
from bcca_node.storage.witnessed import origin_hash
from bcca_protocol import checkpoint, period, tiles
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.inventory import Supplier
from bcca_protocol.keys import Role
from bcca_protocol.note import Note

HEAD, LIAR, HONEST, FOIL, REFINERY = "pack", "cathode", "cell", "foil", "refinery"
WITNESSES = ("cell", "cathode", "foil", "mine", "refinery")
CHECKPOINT, STATEMENTS = "/log/checkpoint", "/statements"
DAY = 86_400


def bought_by(market: Any, customer: str, seller: str, product: str) -> str:
    """Let `customer` sell 4 kg of its own made of 1 kg of `product`, having collected that."""
    line = market.bought(seller, product, "1")
    sold = market.sold("4", by=customer, inputs=[line])
    node = market.member(customer).node
    with node.database.read() as session:
        log = held.own_log(node, session, node.trust.required(), at=node.clock())
        roots = held.own_parts(session, sold, log)
    plan = Plan(period=roots[0].part.period, at=node.clock())
    collected = market.ask(lambda fetcher: collect.collect(node, fetcher, roots, plan))
    assert collected.troubles == {}
    return str(sold)


def goes_down(market: Any, lies: Any, name: str = LIAR) -> None:
    """Let a node answer nothing but errors under its log, its statements and its own copies."""
    for path in (CHECKPOINT, STATEMENTS, "/.well-known/bcca.json"):
        market.lies(path, lies.answers(b"", 503), by=name)


def mirrored(market: Any, at: str, of: str = LIAR) -> str:
    """Return the URL of the copy that `at` holds of the log of another."""
    return mirror.url_of(market.member(at).url, market.origin(of))


def path_of(market: Any, of: str = LIAR) -> str:
    return f"/mirror/{origin_hash(market.origin(of))}"


def seen_long_ago(market: Any, days: int, of: str = LIAR) -> bytes:
    """Return the newest head of a log as all witnesses have seen it so many days ago."""
    return seen(market, days * DAY, of)


def seen(market: Any, seconds_ago: int, of: str = LIAR) -> bytes:
    """Return the newest head of a log as all witnesses have seen it so many seconds ago."""
    with market.member(of).node.database.read() as session:
        head = logs.published_head(session)
    assert head is not None
    note = Note.parse(head.note)
    cosigned = [
        checkpoint.cosign(note.text, node.keys.signer(Role.WITNESS), at=node.clock() - seconds_ago)
        for node in (market.member(name).node for name in WITNESSES if name != of)
    ]
    return Note(text=note.text, signatures=(note.signatures[0], *cosigned)).encode().encode()


def test_a_supplier_that_is_down_is_read_from_a_customers_copy_and_that_is_said(
    market: Any, lies: Any
) -> None:
    product = market.sold("7")
    bought_by(market, HONEST, LIAR, product)
    goes_down(market, lies)

    outcome = market.run(market.pack(market.bought(LIAR, product, "3")))

    collected = outcome.run.sum.collected
    assert (outcome.gaps, outcome.total, outcome.report.total) == ([], 27 + 21, 27 + 21)
    assert collected.troubles == {}
    assert collected.copied[market.origin(LIAR)].urls == (mirrored(market, HONEST),)
    assert "answered 503" in collected.copied[market.origin(LIAR)].reason
    assert collected.logs[market.origin(LIAR)].via is not None


def test_a_supplier_whose_statements_alone_are_down_is_read_from_its_own_log_and_a_copy(
    market: Any, lies: Any
) -> None:
    product = market.sold("7")
    bought_by(market, HONEST, LIAR, product)
    market.lies(STATEMENTS, lies.answers(b"", 503))

    outcome = market.run(market.pack(market.bought(LIAR, product, "1")))

    collected = outcome.run.sum.collected
    assert (outcome.gaps, outcome.total) == ([], 27 + 7)
    assert collected.logs[market.origin(LIAR)].via is None
    assert collected.copied[market.origin(LIAR)].urls == (mirrored(market, HONEST),)


def test_a_tier_2_that_is_down_is_read_from_the_copy_of_the_tier_1_that_buys_of_it(
    market: Any, lies: Any
) -> None:
    metal = market.sold("2", by=REFINERY)
    paint = bought_by(market, FOIL, REFINERY, metal)
    goes_down(market, lies, REFINERY)

    outcome = market.run(market.pack(market.bought(FOIL, paint, "1")))

    origin = market.origin(REFINERY)
    assert (outcome.gaps, outcome.total) == ([], 27 + 4 + 2)
    assert outcome.run.sum.collected.copied[origin].urls == (mirrored(market, FOIL, REFINERY),)
    assert outcome.report.evidence.introduced[origin] == market.origin(FOIL)


def test_a_statement_that_a_buyer_names_is_found_in_a_copy(market: Any, lies: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)
    bought_by(market, HONEST, LIAR, product)
    goes_down(market, lies)
    market.lies(
        f"{path_of(market)}/statements", lies.answers(market.lines()), by=HONEST
    )  # the customer's index is empty, the statement itself is there

    line = market.bought(LIAR, product, "1", statement=item.commitment)
    outcome = market.run(market.pack(line))

    assert (outcome.gaps, outcome.total) == ([], 27 + 7)


def test_a_copy_shows_the_public_statements_of_a_product_in_the_authors_form(
    market: Any, lies: Any
) -> None:
    product = market.sold("7")
    bought_by(market, HONEST, LIAR, product)
    url = mirrored(market, HONEST)

    theirs = market.items(product)

    assert decode_lines(market.fetch(f"{url}/statements?product={product}")) == theirs
    commitment = theirs[0].commitment
    assert market.fetch(f"{url}/statements/{commitment}") == theirs[0].envelope


def test_a_supplier_that_is_down_and_copied_nowhere_is_a_gap(market: Any, lies: Any) -> None:
    product = market.sold("7")
    goes_down(market, lies)

    reason = market.gap(product)

    assert f"{market.member(LIAR).url}{CHECKPOINT}: answered 503" in reason


def test_a_supplier_that_lies_is_not_replaced_by_a_copy(market: Any, lies: Any) -> None:
    product = market.sold("7")
    bought_by(market, HONEST, LIAR, product)
    market.lies(CHECKPOINT, lies.answers(market.fetch(market.member(FOIL).url + CHECKPOINT)))

    reason = market.gap(product)

    assert "not of" in reason


def changed(market: Any) -> dict[str, bytes]:
    """Return what a mirror may make of the liar's log."""
    with market.member(LIAR).node.database.read() as session:
        entries = logs.entries(session, 0, 100_000)
    node = market.member(LIAR).node
    huge = Checkpoint(origin=node.origin, size=10**18, root=bytes(32))
    note = checkpoint.sign_checkpoint(huge, node.keys.log_signers)
    cosigned = [
        checkpoint.cosign(note.text, each.keys.signer(Role.WITNESS), at=each.clock())
        for each in (market.member(name).node for name in WITNESSES if name != LIAR)
    ]
    true = market.fetch(market.member(LIAR).url + CHECKPOINT)
    root = true.split(b"\n")[2]
    return {
        "huge": note.with_signatures(cosigned).encode().encode(),
        "unsigned": true.partition(b"\n\n")[0] + b"\n\n",
        "other base64": true.replace(root, root[:-2] + b"9=", 1),
        "wrong size": true.replace(b"\n%d\n" % len(entries), b"\n%d\n" % (len(entries) + 1)),
        "separator": true.replace(b"\n", "\u2028".encode(), 1),
        "entries": tiles.encode_entries([*entries[last_tile(len(entries)).index * 256 : -1], b"x"]),
    }


def last_tile(size: int) -> tiles.Tile:
    """Return the bundle that holds the last entries of a log."""
    return [each for each in tiles.tiles_for(size) if each.level == tiles.ENTRIES][-1]


HOSTILE: dict[str, Callable[[Any, dict[str, bytes]], dict[str, Any]]] = {
    "a size of 10^18": lambda lies, b: {"checkpoint": lies.answers(b["huge"])},
    "nobody's signature": lambda lies, b: {"checkpoint": lies.answers(b["unsigned"])},
    "non-canonical base64": lambda lies, b: {"checkpoint": lies.answers(b["other base64"])},
    "a wrong size": lambda lies, b: {"checkpoint": lies.answers(b["wrong size"])},
    "a line separator": lambda lies, b: {"checkpoint": lies.answers(b["separator"])},
    "an endless head": lambda lies, _: {"checkpoint": lies.never_ends(b"x" * 1000)},
    "a head that hangs": lambda lies, _: {"checkpoint": lies.hangs()},
    "slow bytes": lambda lies, _: {"tile": lies.never_ends(b"\0", 0.05)},
    "endless tiles": lambda lies, _: {"tile": lies.never_ends(b"\0" * 60_000)},
    "cut tiles": lambda lies, _: {"tile": lies.changes(lambda body: body[:-1])},
    "long tiles": lambda lies, _: {"tile": lies.changes(lambda body: body + b"\0\0")},
    "other entries": lambda lies, b: {"tile": lies.answers(b["entries"])},
    "no tiles": lambda lies, _: {"tile": lies.answers(b"", 404)},
    "a tile elsewhere": lambda lies, _: {"tile": lies.redirects("http://169.254.169.254/")},
    "no statements": lambda lies, _: {"statements": lies.answers(b'{"count":"0"}\n')},
    "cut statements": lambda lies, _: {"statements": lies.changes(lambda body: body[:-5])},
    "endless statements": lambda lies, _: {"statements": lies.never_ends(b"{}\n" * 999)},
}
WITHOUT_END = {name for name in HOSTILE if "endless" in name} | {"a head that hangs", "slow bytes"}


def let_lie(market: Any, lies: Any, lie: str, members: list[str]) -> None:
    """Let these members lie about the liar's log, which is down."""
    tile = last_tile(size_of(market)).encode()
    for name, each in HOSTILE[lie](lies, changed(market)).items():
        for member in members:
            path = tile if name == "tile" else name
            market.lies(f"{path_of(market)}/{path}", each, by=member)
    goes_down(market, lies)
    if lie in WITHOUT_END:
        market.loses_patience()


@pytest.mark.parametrize("lie", HOSTILE)
def test_a_hostile_mirror_is_left_for_one_that_is_not(market: Any, lies: Any, lie: str) -> None:
    product = market.sold("7")
    for customer in (HONEST, FOIL):
        bought_by(market, customer, LIAR, product)
    let_lie(market, lies, lie, [name for name in WITNESSES if name != FOIL])

    began = time.monotonic()
    outcome = market.run(market.pack(market.bought(LIAR, product, "1")))

    assert time.monotonic() - began < 20
    assert (outcome.gaps, outcome.total) == ([], 27 + 7)
    assert mirrored(market, FOIL) in outcome.run.sum.collected.copied[market.origin(LIAR)].urls


def names_as_peers(market: Any, lies: Any, name: str, bases: list[str]) -> None:
    """Let the descriptor of a node say that suppliers of it are at these places."""

    def change(body: bytes) -> bytes:
        told = msgspec.json.decode(body)
        peers = {f"p{number}.example": base for number, base in enumerate(bases)}
        return msgspec.json.encode({**told, "peers": {**told.get("peers", {}), **peers}})

    market.lies("/.well-known/bcca.json", lies.changes(change), by=name)


@pytest.mark.parametrize("is_slow", [False, True], ids=["fast", "slow"])
@pytest.mark.parametrize("count", [4, 20])
def test_mirrors_that_one_liar_names_do_not_hide_the_copy_of_an_honest_customer(
    market: Any, lies: Any, count: int, *, is_slow: bool
) -> None:
    product, foil = market.sold("7"), market.sold("4", by=FOIL)
    module = bought_by(market, HONEST, LIAR, product)
    evil = [f"/evil{number}" for number in range(count)]
    names_as_peers(market, lies, FOIL, [market.member(FOIL).url + each for each in evil])
    for each in evil:  # the same head, seen later than that of the honest copy, and nothing more
        copy = each + path_of(market)
        market.lies(f"{copy}/checkpoint", lies.answers(seen(market, -1)), by=FOIL)
        tile = f"{copy}/{last_tile(size_of(market)).encode()}"
        market.lies(tile, lies.hangs() if is_slow else lies.answers(b"", 404), by=FOIL)
    goes_down(market, lies)
    pack = market.pack(market.bought(HONEST, module, "1"), market.bought(FOIL, foil, "1"))

    collected = market.collect(pack, supplier_seconds=8.0)

    assert any(f"{each}{path_of(market)}/checkpoint" in market.mouths[FOIL].asked for each in evil)
    assert collected.troubles == {}
    assert collected.copied[market.origin(LIAR)].urls == (mirrored(market, HONEST),)


def test_the_own_copy_is_not_displaced_by_mirrors_that_one_liar_names(
    market: Any, lies: Any
) -> None:
    product, foil = market.sold("7"), market.sold("4", by=FOIL)
    module = market.sold("4", by=HONEST, inputs=[market.bought(LIAR, product, "1")])
    pack = market.pack(market.bought(HONEST, module, "1"), market.bought(FOIL, foil, "1"))
    assert market.run(pack).gaps == []
    evil = [f"/evil{number}" for number in range(4)]
    names_as_peers(market, lies, FOIL, [market.member(FOIL).url + each for each in evil])
    for each in evil:
        answer = lies.answers(seen(market, -1))
        market.lies(f"{each}{path_of(market)}/checkpoint", answer, by=FOIL)
    goes_down(market, lies)

    outcome = market.run(pack)

    copied = outcome.run.sum.collected.copied[market.origin(LIAR)]
    assert outcome.gaps == []
    assert copied.urls == (mirrored(market, HEAD),)


def test_who_names_many_mirrors_takes_no_place_from_who_names_one(market: Any) -> None:
    head = market.member(HEAD).node
    read = SimpleNamespace(address=SimpleNamespace(url="https://met.example/log"))
    many = {f"a{number}.example": f"https://evil{number}.example" for number in range(500)}
    one = {"b.example": "https://honest.example"}
    logs_read: Any = {
        "a.example": SimpleNamespace(about=SimpleNamespace(peers=many), **vars(read)),
        "b.example": SimpleNamespace(about=SimpleNamespace(peers=one), **vars(read)),
    }
    known = Routes(head.trust.required())
    known.learn([], logs_read)

    keepers = known.keepers(market.origin(LIAR), but=head.settings.url)

    assert len(keepers.others) == MAX_COPIES
    assert "https://honest.example" in keepers.others
    assert market.member(FOIL).url in keepers.near


@pytest.mark.parametrize(
    "lie", ["a size of 10^18", "a wrong size", "slow bytes", "other entries", "cut statements"]
)
def test_a_hostile_mirror_and_no_other_is_a_gap_with_the_suppliers_own_silence(
    market: Any, lies: Any, lie: str
) -> None:
    product = market.sold("7")
    bought_by(market, HONEST, LIAR, product)
    let_lie(market, lies, lie, [HONEST])

    reason = market.gap(product)

    assert f"{market.member(LIAR).url}{CHECKPOINT}: answered 503" in reason


def size_of(market: Any, of: str = LIAR) -> int:
    with market.member(of).node.database.read() as session:
        return logs.size(session)


def test_a_head_that_was_seen_long_ago_is_shown_to_its_witnesses_again(
    market: Any, lies: Any
) -> None:
    product = market.sold("7")
    market.lies(CHECKPOINT, lies.answers(seen_long_ago(market, 2)))

    outcome = market.run(market.pack(market.bought(LIAR, product, "1")))

    head = outcome.run.sum.collected.logs[market.origin(LIAR)].log.head
    assert (outcome.gaps, outcome.total) == ([], 27 + 7)
    assert abs(head.time - market.member(HEAD).node.clock()) < 60
    assert outcome.report.as_of > market.member(HEAD).node.clock() - DAY


@pytest.fixture
def stale(own_market: Any, lies: Any) -> Iterator[tuple[Any, str, str]]:
    """A tier-2 that corrected its statement and is down, and a tier-1 with an old copy of it.

    The copy is of before the correction, as witnesses saw it two days ago.
    """
    market = own_market
    metal = market.new_urn(REFINERY)
    [old] = market.publish(REFINERY, market.part(REFINERY, metal, "2"))
    paint = bought_by(market, LIAR, REFINERY, metal)
    head = seen_long_ago(market, 2, of=REFINERY)
    market.publish(REFINERY, market.part(REFINERY, metal, "200", corrects=old.commitment))
    goes_down(market, lies, REFINERY)
    market.lies(f"{path_of(market, REFINERY)}/checkpoint", lies.answers(head))
    yield market, paint, metal


def test_a_stale_copy_handed_on_by_tier_1_is_not_current(stale: tuple[Any, str, str]) -> None:
    market, paint, metal = stale
    pack = market.pack(market.bought(LIAR, paint, "1"))

    outcome = market.run(pack)

    reason = market.gap_of(outcome, metal, market.origin(REFINERY), {paint, pack}, "31")
    seen = period.text_at(market.member(HEAD).node.clock() - 2 * DAY)[:13]
    assert f"current as of {seen}" in reason
    assert "where 86400 s are allowed" in reason


def test_a_stale_copy_counts_for_whoever_allows_its_age_and_says_as_of_when(
    stale: tuple[Any, str, str],
) -> None:
    market, paint, metal = stale
    pack = market.pack(market.bought(LIAR, paint, "1"))

    collected = market.collect(pack, max_age=3 * DAY)

    head = collected.logs[market.origin(REFINERY)].log.head
    assert collected.troubles == {}
    assert metal in {each.part.product for each in collected.reached.values()}
    assert abs(head.time - (market.member(HEAD).node.clock() - 2 * DAY)) < 60
    assert collected.copied[market.origin(REFINERY)].urls == (mirrored(market, LIAR, REFINERY),)


def test_an_author_that_hides_its_newest_entries_is_not_current_once_witnesses_saw_more(
    own_market: Any, lies: Any
) -> None:
    market = own_market
    product = market.new_urn(LIAR)
    [old] = market.publish(LIAR, market.part(LIAR, product, "7"))
    hidden = seen_long_ago(market, 2)
    market.publish(LIAR, market.part(LIAR, product, "70", corrects=old.commitment))
    market.lies(CHECKPOINT, lies.answers(hidden))

    reason = market.gap(product)

    assert "current as of" in reason


@pytest.fixture
def ghost(own_market: Any, tmp_path: Path) -> Iterator[Node]:
    """A company that the liar has made up, with keys, a log and a server of its own."""
    with Loopback() as loopback:
        listener = listen()
        settings = Settings(
            data=tmp_path / "ghost", origin="ghost.example", name="Ghost", url=url_of(listener)
        )
        with closing(found(settings, "correct horse battery staple", scrypt_n=2**4)) as node:
            member = own_market.member(LIAR)
            path = member.node.settings.data / POLICY
            policy = f"log {node.log_key.encode()} {settings.url}/log\n" + path.read_text("utf-8")
            path.write_text(policy, "utf-8")  # so that the liar's descriptor says where it is
            (settings.data / POLICY).write_text(policy, "utf-8")
            loopback.serve(create_server(node), listener)
            yield node


def invented(market: Any, ghost: Node) -> str:
    """Let the ghost sell at almost nothing what the liar needs, and the liar sell on; return it."""
    ore = market.new_urn("ghost")
    part = market.part(LIAR, ore, "0.001", issuer=ghost.origin)
    publish(ghost, [part])
    market.ask(lambda fetcher: witness(ghost, fetcher))
    named = Supplier(origin=ghost.origin, key=ghost.log_key.encode())
    return str(market.sold("7", inputs=[market.bought(REFINERY, ore, "1", supplier=named)]))


def test_a_tier_4_that_tier_1_invents_is_a_gap_as_long_as_no_quorum_witnesses_it(
    own_market: Any, ghost: Node
) -> None:
    paint = invented(own_market, ghost)

    outcome = own_market.run(own_market.pack(own_market.bought(LIAR, paint, "1")))

    [reason] = outcome.gaps
    assert f"{ghost.settings.url}/log/checkpoint" in reason
    assert outcome.total == 27 + 7
    assert outcome.stated.incomplete


def test_a_tier_4_that_tier_1_invents_and_has_witnessed_counts_apart_under_its_name(
    own_market: Any, ghost: Node
) -> None:
    for name in WITNESSES:
        path = own_market.member(name).node.settings.data / POLICY
        text = path.read_text("utf-8")
        line = f"log {ghost.log_key.encode()} {ghost.settings.url}/log\n"
        path.write_text(text if line in text else line + text, "utf-8")
    paint = invented(own_market, ghost)

    outcome = own_market.run(own_market.pack(own_market.bought(LIAR, paint, "1")))

    assert outcome.gaps == []
    assert str(outcome.total) == "34.001"
    assert outcome.report.evidence.introduced["ghost.example"] == own_market.origin(LIAR)
    assert own_market.origin(LIAR) not in outcome.report.evidence.introduced
    assert float(outcome.stated.weights.introduced) > 0
