"""Static resources as HTTP asks for them: HEAD, what is known already, packed where asked."""

import gzip
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.storage import logs
from bcca_node.web.resource import accepts_gzip
from bcca_protocol.statement import PartialFootprint

Part = Callable[..., PartialFootprint]
Get = Callable[..., httpx.Response]
CHECKPOINT, TILE, BUNDLE = "/log/checkpoint", "/log/tile/0/000.p/16", "/log/tile/entries/000.p/16"
RESOURCES = (CHECKPOINT, TILE, BUNDLE, "/.well-known/bcca.json", "/bcca/did.json")


@pytest.fixture
def node(served: Callable[..., Node], part: Part) -> Node:
    """A served node whose ten statements are under a head that counts as published."""
    node = served("cathode.example/bcca")
    publish(node, [part(node.origin, f"P{index}") for index in range(10)])
    with node.database.write() as session:
        head = logs.last_head(session)
        assert head is not None
        logs.put_head(session, replace(head, published=True))
    return node


@pytest.fixture
def get(node: Node) -> Get:
    """Ask over HTTP, for what is there as it is unless told."""

    def send(path: str, method: str = "GET", **headers: str) -> httpx.Response:
        told = {"accept-encoding": "identity"}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(method, node.settings.url + path, headers=told)

    return send


@pytest.mark.parametrize("path", RESOURCES)
def test_head_answers_like_get_without_the_body(get: Get, path: str) -> None:
    whole, head = get(path), get(path, "HEAD")
    same = ("content-type", "content-length", "cache-control", "etag")

    assert (whole.status_code, head.status_code) == (200, 200)
    assert whole.content
    assert head.content == b""
    assert [head.headers[name] for name in same] == [whole.headers[name] for name in same]


def test_head_of_what_is_not_there_is_404(get: Get) -> None:
    assert get("/log/tile/0/000.p/17", "HEAD").status_code == 404
    assert get(f"/statements/{'0' * 64}", "HEAD").status_code == 404


@pytest.mark.parametrize("path", RESOURCES)
def test_whoever_has_it_already_is_told_so(get: Get, path: str) -> None:
    tag = get(path).headers["etag"]

    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = get(path, if_none_match=known)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert get(path, if_none_match='"other"').status_code == 200


def test_a_new_checkpoint_has_a_new_tag(node: Node, get: Get) -> None:
    tag = get(CHECKPOINT).headers["etag"]
    with node.database.write() as session:
        head = logs.published_head(session)
        assert head is not None
        logs.put_head(session, replace(head, note=head.note + "cosigned once more"))

    assert get(CHECKPOINT, if_none_match=tag).status_code == 200


def test_entries_come_packed_to_whoever_asks_for_that(get: Get) -> None:
    plain, packed = get(BUNDLE), get(BUNDLE, accept_encoding="br, gzip;q=0.8")
    length = int(packed.headers["content-length"])

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content  # the client unpacks
    assert length < len(plain.content)
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"
    assert packed.headers["etag"] != plain.headers["etag"]
    assert get(BUNDLE, "HEAD", accept_encoding="gzip").headers["content-length"] == str(length)


def test_one_bundle_is_always_packed_to_the_same_bytes(get: Get) -> None:
    def raw() -> bytes:
        with httpx.stream(
            "GET", str(get(BUNDLE).request.url), headers={"accept-encoding": "gzip"}
        ) as answer:
            return b"".join(answer.iter_raw())

    assert raw() == raw()
    assert gzip.decompress(raw()) == get(BUNDLE).content


def test_hashes_and_checkpoints_do_not_pack(get: Get) -> None:
    for path in (CHECKPOINT, TILE):
        answer = get(path, accept_encoding="gzip")
        assert "content-encoding" not in answer.headers
        assert "vary" not in answer.headers


def test_types_and_lifetimes_are_those_of_tlog_tiles(get: Get) -> None:
    kept = "public, max-age=31536000, immutable"

    def told(path: str) -> tuple[str, str]:
        headers = get(path).headers
        return headers["content-type"], headers["cache-control"]

    assert told(CHECKPOINT) == ("text/plain; charset=utf-8", "public, max-age=2")
    assert told(TILE) == told(BUNDLE) == ("application/octet-stream", kept)


def test_a_partial_tile_of_every_size_is_served(get: Get) -> None:
    whole = get(TILE).content

    for width in range(1, 17):
        assert get(f"/log/tile/0/000.p/{width}").content == whole[: 32 * width]
        assert get(f"/log/tile/entries/000.p/{width}").status_code == 200


@pytest.mark.parametrize(
    ("asked", "packed"),
    [
        ([], False),
        (["gzip"], True),
        (["x-gzip"], True),
        (["GZIP"], True),
        (["deflate", "gzip"], True),
        (["gzip;q=0"], False),
        (["gzip;q=0.000"], False),
        (["gzip ; q=0.001"], True),
        (["gzip;q=0.5, identity"], False),
        (["gzip;q=0.5, identity;q=0.5"], True),
        (["*"], True),
        (["*;q=0"], False),
        (["gzip;q=0, *"], False),
        (["identity;q=0, *;q=0.1"], True),
        (["identity"], False),
        (["br, zstd"], False),
        (["gzip;q=2"], False),
        (["gzip;q=0.1234"], False),
        (["gzip;level=9"], False),
        (["gzip;q=1;q=1"], False),
        (["gzip;q=\u0661"], False),
        ([",,;,"], False),
        ([""], False),
    ],
)
def test_what_is_packed_follows_the_weights_that_are_asked_for(
    asked: list[str], *, packed: bool
) -> None:
    assert accepts_gzip(asked) is packed
