"""Two processes on one database, publishing at once: one tree, and no entry is lost."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from sqlmodel import Session

from bcca_node.ledger import checkup, log
from bcca_node.ledger.node import Node
from bcca_node.storage import logs, statements
from bcca_protocol import merkle, tiles
from bcca_protocol.merkle import Tree
from bcca_protocol.statement import PartialFootprint

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - what `new_node` gives its keys
WRITERS = 2
EACH = 32
# Opens the node of a folder, waits for a line, then publishes what it was given, one by one and in
# small batches, and writes what each was answered.
WRITER = """
import sys
import time
from pathlib import Path
import msgspec
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.settings import Settings
from bcca_node.storage import logs
from bcca_protocol.statement import PartialFootprint

node = Node.open(Settings.load(Path(sys.argv[1])), sys.argv[2])
parts = msgspec.json.decode(sys.stdin.readline(), type=list[PartialFootprint])
print("ready", flush=True)
sys.stdin.readline()
with node.database.read() as session:
    node.clearance.grant(logs.size(session))
while parts:
    few, parts = parts[:1 + len(parts) % 3], parts[1 + len(parts) % 3:]
    for each in publish(node, few):
        print(f'{{"commitment": "{each.commitment}", "index": {each.index}}}', flush=True)
    time.sleep(0.005)  # SQLite queues nobody: who waits has to find the moment between two turns
node.close()
"""


def test_two_processes_publishing_at_once_make_one_tree(
    new_node: Callable[..., Node],
    new_url: Callable[[], str],
    part: Callable[..., PartialFootprint],
) -> None:
    node = new_node(database=new_url())
    writers = [started(node) for _ in range(WRITERS)]
    for number, each in enumerate(writers):
        parts = [part(node.origin, f"P{number}-{index}") for index in range(EACH)]
        said(each, msgspec.json.encode(parts).decode())
    for each in writers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    answered = together(writers)

    assert len(answered) == WRITERS * EACH
    assert list(checkup.problems(node)) == []
    assert interleaved([each["index"] for each in answered])
    with node.database.read() as session:
        size = logs.size(session)
        entries = logs.entries(session, 0, size)
        assert size == 6 + WRITERS * EACH  # the genesis and the keys of five roles came first
        for each_answer in answered:
            own = statements.get(session, each_answer["commitment"])
            assert own is not None
            assert own.index == each_answer["index"]
            assert each_answer["commitment"].encode() in entries[own.index]
        require_exact(session, entries)


def require_exact(session: Session, entries: list[bytes]) -> None:
    """Hold every tile and the last head against the tree of the entries."""
    tree = Tree(map(merkle.leaf_hash, entries))
    for tile in tiles.tiles_for(tree.size):
        first = tile.index * tiles.TILE_WIDTH
        if tile.level == tiles.ENTRIES:
            expected = tiles.encode_entries(entries[first : first + tile.width])
        else:
            expected = tiles.encode_tile(tile, tree.subtree)
        assert log.content(session, tile, tree.size) == expected
    head = logs.last_head(session)
    assert head is not None
    assert (head.size, head.root) == (tree.size, tree.root())


def started(node: Node) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(node.settings.data), PASSPHRASE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(writer: subprocess.Popen[str], line: str) -> None:
    assert writer.stdin is not None
    writer.stdin.write(line + "\n")
    writer.stdin.flush()


def together(writers: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """Let all of them begin, and return what they were answered, writer by writer."""
    for each in writers:
        said(each, "go")
    answers = [each.communicate(timeout=60)[0] for each in writers]
    assert [each.returncode for each in writers] == [0] * len(writers)
    return [json.loads(line) for answer in answers for line in answer.splitlines()]


def interleaved(indices: list[int]) -> bool:
    """Say whether the writers came in between each other, and not one after the other."""
    return indices[0] > min(indices[EACH:]) or indices[EACH - 1] > min(indices[EACH:])
