"""The log over HTTP: static resources, and no more than the published head implies."""

import asyncio
from collections.abc import Callable, Iterator

import httpx
import pytest

from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.storage import logs, witnessed
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.limits import MAX_ADD_CHECKPOINT_BYTES
from bcca_protocol.merkle import root_hash
from bcca_protocol.note import Note
from bcca_protocol.policy import verify_checkpoint
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.tiles import ENTRIES, Tile, decode_entries, subtree_from, tiles_for

Part = Callable[..., PartialFootprint]
Ask = Callable[..., httpx.Response]
NOTHING = {"error": "there is nothing here"}
BEYOND = (  # 306 entries
    "tile/0/001.p/51",  # of the pending head
    "tile/entries/001.p/51",
    "tile/0/001",
    "tile/1/000.p/2",
    "tile/2/000.p/1",
    "tile/0/002.p/1",
    "tile/0/000.p/0",
    "tile/0/000.p/256",
    "tile/0/000.p/010",
    "tile/0/0",
    "tile/64/000",
    "tile/x/000",
    "tile/0/../checkpoint",
    "tile/0/x001/x000/000",
    "tile/" + "9" * 400,
    "tile/",
    "entries",
)


@pytest.fixture
def publisher(network: list[Node], part: Part) -> Iterator[Node]:
    """A node with 300 published statements and one that is pending."""
    node = network[0]

    async def submit() -> None:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            assert (await witness(node, fetcher)).published

    publish(node, [part(node.origin, f"P{index}") for index in range(300)])
    asyncio.run(submit())
    publish(node, [part(node.origin, "later")])
    yield node


def test_the_whole_log_is_read_from_its_tiles(publisher: Node, ask: Ask) -> None:
    answer = ask(publisher, "/log/checkpoint")
    head = verify_checkpoint(answer.text, publisher.log_key, publisher.trust.required())
    size = head.checkpoint.size
    entries: list[bytes] = []

    def read(tile: Tile) -> bytes:
        return ask(publisher, f"/log/{tile.encode()}").content

    for tile in tiles_for(size):
        content = read(tile)
        if tile.level == ENTRIES:
            entries += decode_entries(content, tile.width)

    with publisher.database.read() as session:
        assert entries == logs.entries(session, 0, 306)
    assert size == 306
    assert root_hash(size, subtree_from(read, size)) == head.checkpoint.root


def test_tiles_are_kept_for_ever_and_checkpoints_for_seconds(publisher: Node, ask: Ask) -> None:
    checkpoint, tile = ask(publisher, "/log/checkpoint"), ask(publisher, "/log/tile/0/000")

    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.headers["cache-control"] == "public, max-age=2"
    assert tile.headers["content-type"] == "application/octet-stream"
    assert tile.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert len(tile.content) == 8192


def test_what_the_published_head_does_not_imply_is_not_there(publisher: Node, ask: Ask) -> None:
    for path in BEYOND:
        answer = ask(publisher, f"/log/{path}")

        assert (path, answer.status_code, answer.json()) == (path, 404, NOTHING)


def test_a_log_without_a_published_head_serves_nothing(node: Node, ask: Ask) -> None:
    for path in ("checkpoint", "tile/0/000.p/6", "tile/entries/000.p/6", "tile/0/000.p/1"):
        assert ask(node, f"/log/{path}").status_code == 404


def test_a_witness_shows_what_it_cosigned_last(
    publisher: Node, network: list[Node], ask: Ask
) -> None:
    path = f"/witness/{witnessed.origin_hash(publisher.origin)}/checkpoint"

    note = Note.parse(ask(network[1], path).text)

    key = network[1].keystore.keys[3].key
    assert Checkpoint.parse(note.text).size == 306
    assert [each.name for each in note.signatures] == [publisher.origin, key.name]
    assert ask(network[1], path.replace("witness/", "witness/x")).json() == NOTHING


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"old 0\n\n", 400),
        (b"\xff" * 100, 400),
        (b"old 0\n\nother.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n", 400),
        (b"x" * (MAX_ADD_CHECKPOINT_BYTES + 1), 413),
    ],
    ids=["empty", "no note", "no text", "no signature", "too long"],
)
def test_a_request_that_is_none_is_refused(node: Node, ask: Ask, body: bytes, status: int) -> None:
    assert ask(node, "/witness/add-checkpoint", body=body).status_code == status


def test_a_method_that_a_resource_has_not_is_refused_like_everything_else(
    node: Node, ask: Ask
) -> None:
    for path in ("/log/checkpoint", "/healthz", "/statements"):
        answer = ask(node, path, body=b"x")

        assert (path, answer.status_code) == (path, 405)
        assert answer.json() == {"error": "method not allowed"}
        assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_nothing_is_served_that_needs_a_browser(node: Node, ask: Ask, path: str) -> None:
    answer = ask(node, path)

    assert (answer.status_code, answer.json()) == (404, NOTHING)


def test_a_locked_node_says_no_more_than_that_it_cannot(
    new_node: Callable[..., Node], ask: Ask
) -> None:
    answer = ask(new_node(locked=True), "/witness/add-checkpoint", body=b"old 0\n\n")

    assert answer.status_code == 503
    assert answer.json() == {"error": "this node cannot do that now"}
