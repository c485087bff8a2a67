"""The log as a folder: every tile that any published size has, and nothing written twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bcca_node.ledger import log
from bcca_node.ledger.export import export
from bcca_node.ledger.node import Node
from bcca_node.ledger.turn import turn
from bcca_node.storage import logs
from bcca_protocol import tiles
from bcca_protocol.errors import UnusableError
from bcca_protocol.tiles import TILE_WIDTH
from bcca_protocol.wire import b64


@pytest.fixture
def node(new_node: Callable[..., Node], new_url: Callable[[], str]) -> Node:
    """A node on a database of each kind."""
    return new_node(database=new_url())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


def grow(node: Node, size: int, *, published: bool = True) -> None:
    """Bring a log to a size; a quorum has seen it there, unless told."""
    with turn(node) as held:
        lines = range(held.next, size)
        held.enter([f"bcca/v1 statement {n:064x} 2 {b64(n.to_bytes(32))}" for n in lines])
    with node.database.write() as session:
        head = logs.last_head(session)
        assert head is not None
        assert head.size == size
        if published:
            logs.put_head(session, replace(head, published=True))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def require_tiles(node: Node, folder: Path, size: int) -> None:
    """Every tile of a tree of `size` is there with its bytes, itself or as part of a full one."""
    for tile in tiles.tiles_for(size):
        with node.database.read() as session:
            content = log.content(session, tile, size)
        path = folder / tile.encode()
        if not path.exists():
            assert tile.width < TILE_WIDTH
            path = folder / replace(tile, width=TILE_WIDTH).encode()
        full = path.read_bytes()
        assert content is not None
        assert full[: len(content)] == content


def test_the_partial_tiles_of_every_published_size_are_there(node: Node, folder: Path) -> None:
    for size in (7, 9, 20):
        grow(node, size)
    export(node, folder)

    assert files(folder) == {
        "checkpoint",
        *(f"tile/{level}/000.p/{width}" for level in ("0", "entries") for width in (7, 9, 20)),
    }
    for size in (7, 9, 20):
        require_tiles(node, folder, size)


def test_what_was_pending_then_has_no_tiles(node: Node, folder: Path) -> None:
    grow(node, 7)
    grow(node, 8, published=False)
    grow(node, 9)
    grow(node, 11, published=False)
    export(node, folder)

    assert "tile/0/000.p/8" not in files(folder)
    assert "tile/0/000.p/11" not in files(folder)
    assert "tile/0/000.p/9" in files(folder)


def test_a_full_tile_takes_the_place_of_its_partial_ones(node: Node, folder: Path) -> None:
    for size in (7, 200):
        grow(node, size)
    export(node, folder)
    for size in (255, 256, 257, 300):
        grow(node, size)
    export(node, folder)

    assert files(folder) == {
        "checkpoint",
        "tile/0/000",
        "tile/entries/000",
        *(f"tile/{level}/001.p/{width}" for level in ("0", "entries") for width in (1, 44)),
        "tile/1/000.p/1",
    }
    for size in (7, 200, 255, 256, 257, 300):
        require_tiles(node, folder, size)


def test_at_every_level_each_width_that_was_published_is_there(node: Node, folder: Path) -> None:
    for size in (500, 511, 512, 513, 700, 1000, 1025):
        grow(node, size)
    export(node, folder)

    found = {path for path in files(folder) if path.startswith("tile/1/")}
    assert found == {f"tile/1/000.p/{width}" for width in (1, 2, 3, 4)}
    for size in (500, 511, 512, 513, 700, 1000, 1025):
        require_tiles(node, folder, size)


def test_only_what_is_new_is_written(node: Node, folder: Path) -> None:
    for size in (7, 300):
        grow(node, size)
    export(node, folder)
    before = {path: (folder / path).stat().st_mtime_ns for path in files(folder)}
    export(node, folder)
    assert {path: (folder / path).stat().st_mtime_ns for path in files(folder)} == before

    grow(node, 301)
    export(node, folder)
    after = {path: (folder / path).stat().st_mtime_ns for path in files(folder)}
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed == {"checkpoint", "tile/0/001.p/45", "tile/entries/001.p/45"}


def test_what_somebody_changed_is_mended_when_nothing_is_new(node: Node, folder: Path) -> None:
    grow(node, 300)
    export(node, folder)
    (folder / "tile/0/000").write_bytes(b"something else")
    (folder / "tile/entries/001.p/44").unlink()

    export(node, folder)

    require_tiles(node, folder, 300)


@pytest.mark.parametrize("there", ["photo.jpg", "tile/0/000"])
def test_a_folder_without_a_checkpoint_of_ours_is_left_alone(
    node: Node, folder: Path, there: str
) -> None:
    grow(node, 7)
    path = folder / there
    path.parent.mkdir(parents=True)
    path.write_bytes(b"somebody's")

    with pytest.raises(UnusableError, match="nor an earlier export: name another"):
        export(node, folder)

    assert files(folder) == {there}
