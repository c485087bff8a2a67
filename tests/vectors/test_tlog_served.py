"""The log that golang.org/x/mod wrote, behind a plain web server, as this node fetches others."""

import asyncio
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bcca_node.network import tlog
from bcca_node.network.client import Fetcher
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.keys import VerifierKey
from bcca_protocol.merkle import Tree
from bcca_protocol.note import Note, verify_note

SIZES = (0, 1, 2, 3, 5, 8, 255, 256, 257, 300)


class Quiet(SimpleHTTPRequestHandler):
    """Files, and nothing said about them."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture(scope="module")
def url(shared: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(shared / "vectors/tlog-log-small"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_fetched_and_hashes_to_its_checkpoint(
    shared: Path, url: str, size: int
) -> None:
    vectors = json.loads((shared / "vectors/tlog-log-small/vectors.json").read_bytes())
    key = VerifierKey.parse(vectors["logVkey"])

    async def fetch() -> tuple[str, tuple[bytes, ...]]:
        async with Fetcher({"127.0.0.1"}) as fetcher:
            text = await fetcher.get(f"{url}/checkpoints/{size}", limit=65_536)
            return text.decode(), await tlog.fetch_from(fetcher, url, 0, size)

    text, entries = asyncio.run(fetch())

    note = Note.parse(text)
    head = Checkpoint.parse(note.text)
    assert verify_note(note, [key]) == (key,)
    assert head.size == len(entries) == size
    assert Tree(map(merkle.leaf_hash, entries)).root() == head.root
