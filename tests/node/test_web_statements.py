"""Statements over HTTP: what is public and published, and nothing tells apart what is not."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published, publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import descriptor
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.network.limits import MAX_BATCH
from bcca_node.network.lines import Item, decode_lines, encode_batch, encode_lines
from bcca_node.sharing import shelf
from bcca_node.sharing.caller import NOBODY
from bcca_node.storage import copies, logs, seen, statements
from bcca_node.storage.copies import Copy
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol import verify
from bcca_protocol.errors import LimitError
from bcca_protocol.inventory import Input
from bcca_protocol.policy import verify_checkpoint
from bcca_protocol.proof import TlogProof
from bcca_protocol.statement import PartialFootprint

Part = Callable[..., PartialFootprint]
Ask = Callable[..., httpx.Response]
NOTHING = {"error": "there is nothing here"}
URN = "urn:bcca:case:t:"


def release(node: Node, *predicates: PartialFootprint) -> list[Published]:
    """Publish, with a quorum."""

    async def submit() -> None:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            assert (await witness(node, fetcher)).published

    publish(node, predicates)
    asyncio.run(submit())
    return publish(node, predicates)


def lines(answer: httpx.Response) -> list[Item]:
    assert answer.status_code == 200
    return decode_lines(answer.content)


def test_a_statement_is_served_as_it_was_signed(network: list[Node], part: Part, ask: Ask) -> None:
    node = network[0]
    [made] = release(node, part(node.origin))

    answer = ask(node, f"/statements/{made.commitment}")

    with node.database.read() as session:
        own = statements.get(session, made.commitment)
    assert own is not None
    assert answer.content == own.envelope
    assert answer.headers["content-type"] == "application/json"


def test_a_served_statement_verifies_alone_and_in_bulk(
    network: list[Node], part: Part, ask: Ask
) -> None:
    node = network[0]
    made = release(node, *(part(node.origin, f"P{index}") for index in range(20)))
    head = verify_checkpoint(
        ask(node, "/log/checkpoint").text, node.log_key, node.trust.required(), at=node.clock()
    )
    with node.database.read() as session:
        log = verify.verify_log(head, logs.entries(session, 0, head.checkpoint.size))

    for each in made:
        envelope = ask(node, f"/statements/{each.commitment}").content
        proof = TlogProof.parse(ask(node, f"/statements/{each.commitment}/proof").text)
        alone = verify.verify_alone(envelope, proof, head, log)
        bulk = verify.verify_in_bulk(envelope, log)

        assert alone.fact == bulk.fact
        assert proof.extra == log_entry(node, each.index)


def log_entry(node: Node, index: int) -> bytes:
    with node.database.read() as session:
        return logs.entries(session, index, index + 1)[0]


def test_what_is_not_shown_is_not_told_from_what_does_not_exist(
    network: list[Node], part: Part, ask: Ask
) -> None:
    node = network[0]
    shared = [
        part(node.origin, "P1", sharing="downstream"),
        part(node.origin, "P2", sharing="direct"),
    ]
    hidden = [each.commitment for each in release(node, *shared)]
    hidden += [each.commitment for each in publish(node, [part(node.origin, "pending")])]

    for tail in ("", "/proof", "/evidence"):
        absent = ask(node, f"/statements/{'ab' * 32}{tail}")
        assert absent.headers["vary"] == "signature-input"
        for commitment in (*hidden, "AB" * 32, "x"):
            answer = ask(node, f"/statements/{commitment}{tail}")
            assert (answer.status_code, answer.json()) == (404, NOTHING)
            assert answer.headers == absent.headers
    assert lines(ask(node, "/statements/batch", body=encode_batch([*hidden, "ab" * 32]))) == []
    assert lines(ask(node, "/statements?since=0")) == []
    for product in ("P1", "P2", "pending", "none"):
        assert lines(ask(node, f"/statements?product={URN}{product}")) == []


def test_current_statements_of_a_product_are_neither_corrected_nor_pending(
    network: list[Node], part: Part, ask: Ask
) -> None:
    node = network[0]
    [first, other] = release(node, part(node.origin), part(node.origin, "P2"))
    correction = part(node.origin, kg=3, corrects=first.commitment)

    [pending] = publish(node, [correction])
    before = lines(ask(node, f"/statements?product={URN}P1"))
    release(node, correction)
    after = lines(ask(node, f"/statements?product={URN}P1"))

    assert [each.commitment for each in before] == [first.commitment]
    assert [each.commitment for each in after] == [pending.commitment]
    all_of_them = [first.commitment, other.commitment, pending.commitment]
    since = lines(ask(node, "/statements?since=0"))
    assert [each.commitment for each in since] == all_of_them


def test_synchronising_resumes_where_it_was(network: list[Node], part: Part, ask: Ask) -> None:
    node = network[0]
    made = release(node, *(part(node.origin, f"P{index}") for index in range(600)))

    whole = lines(ask(node, "/statements?since=0"))

    assert [each.index for each in whole] == [each.index for each in made]
    for start in (0, 6, 7, 261, 262, 605):
        rest = lines(ask(node, f"/statements?since={start}"))
        assert rest == [each for each in whole if each.index >= start]
    assert lines(ask(node, f"/statements?since={10**18}")) == []


@pytest.mark.parametrize(
    "query",
    ["", "?since=", "?since=-1", "?since=1e3", "?since=%D9%A1", "?since=07", "?product=x&since=1"],
)
def test_a_question_that_is_none_is_refused_in_one_sentence(
    node: Node, ask: Ask, query: str
) -> None:
    answer = ask(node, f"/statements{query}")

    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b'{"commitments":[1]}', 400),
        (b'{"commitments":["AB"]}', 400),
        (b'{"commitments": []}', 400),
        (b'{"commitments":[],"commitments":[]}', 400),
        (b"[" * 10_000, 400),
        (b'"' + b"x" * 10_000_000 + b'"', 413),
        (encode_batch(["ab" * 32] * (MAX_BATCH + 1)), 413),
    ],
    ids=["empty", "number", "not hex", "space", "twice", "deep", "long", "many"],
)
def test_a_batch_that_is_none_is_refused(node: Node, ask: Ask, body: bytes, status: int) -> None:
    answer = ask(node, "/statements/batch", body=body)

    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


def test_a_batch_answers_each_statement_once(network: list[Node], part: Part, ask: Ask) -> None:
    node = network[0]
    made = release(node, *(part(node.origin, f"P{index}") for index in range(5)))
    asked = [made[3].commitment, made[1].commitment, made[3].commitment]

    found = lines(ask(node, "/statements/batch", body=encode_batch(asked)))

    assert [each.commitment for each in found] == [made[1].commitment, made[3].commitment]


def test_evidence_is_everything_upstream_that_is_held_and_may_be_shown(
    network: list[Node], part: Part, ask: Ask, bought: Callable[..., Input]
) -> None:
    node, mine = network[0], network[1]
    buys = (bought("cell", node), bought("ore", mine), bought("salt", mine))
    cell = part(node.origin, "cell", buys=(bought("ore", mine), bought("cell", node)))
    ore, salt = release(mine, part(mine.origin, "ore"), part(mine.origin, "salt", sharing="direct"))
    hold(node, mine, ore, salt)
    made = release(node, cell, part(node.origin, "pack", buys=buys), part(node.origin, "other"))

    found = lines(ask(node, f"/statements/{made[1].commitment}/evidence"))

    assert [(each.commitment, each.origin) for each in found] == [
        (made[1].commitment, node.origin),
        (made[0].commitment, node.origin),
        (ore.commitment, mine.origin),
    ]


def hold(node: Node, supplier: Node, *made: Published) -> None:
    """Put statements of a supplier where collecting puts them."""
    with supplier.database.read() as session:
        own = statements.find(session, [each.commitment for each in made])
    fetched = [
        FetchedStatement(
            commitment=each.commitment,
            vkey=supplier.log_key.encode(),
            origin=supplier.origin,
            index=each.index,
            product=each.product,
            sharing=each.sharing,
            envelope=each.envelope,
        )
        for each in own
    ]
    with node.database.write() as session:
        seen.put_statements(session, fetched)


def test_evidence_over_its_limit_ends_without_a_count(
    network: list[Node], part: Part, bought: Callable[..., Input]
) -> None:
    node = network[0]
    chain = [part(node.origin, "P0")]
    chain += [part(node.origin, f"P{i}", buys=(bought(f"P{i - 1}", node),)) for i in range(1, 5)]
    top = release(node, *chain)[-1].commitment

    whole, cut = (shelf.evidence(node, NOBODY, top, limit=limit) for limit in (5, 4))

    assert whole is not None
    assert cut is not None
    assert len(decode_lines(b"".join(encode_lines(whole)))) == 5
    with pytest.raises(LimitError, match="evidence: over 4 statements"):
        b"".join(encode_lines(cut))


def test_the_descriptor_names_keys_places_and_whom_a_public_statement_names(
    network: list[Node], part: Part, ask: Ask, bought: Callable[..., Input]
) -> None:
    node, mine, hidden = network[:3]
    secret = part(node.origin, "secret", sharing="direct", buys=(bought("ore", hidden),))
    release(node, part(node.origin, buys=(bought("ore", mine),)), secret)
    copy = Copy(
        origin="far.example",
        vkey="far.example+key",
        size=1,
        root=bytes(32),
        note="",
        url="https://far.example",
        introduced_by=mine.origin,
        checked_at=1,
    )
    with node.database.write() as session:
        copies.put(session, copy, before=None)

    found = descriptor.decode(ask(node, descriptor.PATH).content)

    url = node.settings.url
    assert (found.origin, found.log, found.statements, found.witness) == (
        node.origin,
        f"{url}/log",
        f"{url}/statements",
        f"{url}/witness",
    )
    assert [(each.role, each.vkey, each.index) for each in found.keys] == [
        (each.role, each.key.encode(), str(each.index)) for each in node.keystore.keys
    ]
    assert found.peers == {mine.origin: mine.settings.url}


def test_a_descriptor_may_grow(node: Node, ask: Ask) -> None:
    body = json.loads(ask(node, descriptor.PATH).content)
    grown = json.dumps({**body, "colour": "red"}, indent=1).encode()

    assert descriptor.decode(grown) == descriptor.decode(ask(node, descriptor.PATH).content)


@pytest.mark.parametrize(
    ("origin", "path", "did"),
    [
        ("cathode.example", "/.well-known/did.json", "did:web:cathode.example"),
        ("cathode.example/eu/1", "/eu/1/did.json", "did:web:cathode.example:eu:1"),
    ],
)
def test_did_web_lists_the_keys_where_it_looks_for_them(
    new_node: Callable[..., Node], ask: Ask, origin: str, path: str, did: str
) -> None:
    document = ask(new_node(origin), path).json()

    methods = [each["id"] for each in document["verificationMethod"]]
    curves = [each["publicKeyJwk"]["crv"] for each in document["verificationMethod"]]
    assert document["id"] == did
    assert document["assertionMethod"] == methods[:4]
    assert document["keyAgreement"] == methods[4:]
    assert curves == ["Ed25519"] * 4 + ["X25519"]


def test_health_is_told(node: Node, ask: Ask) -> None:
    assert ask(node, "/healthz").json() == {"status": "ok"}
