"""A node as a folder of files, behind a web server that knows nothing of what it serves."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bcca_node.ledger import log
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.turn import turn
from bcca_node.network import descriptor
from bcca_node.network.lines import decode_lines
from bcca_node.sharing import static
from bcca_node.storage import logs, statements
from bcca_node.storage.logs import Head
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.errors import UnusableError
from bcca_protocol.note import Note
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.tiles import TILE_WIDTH, decode_entries, tiles_for
from bcca_protocol.wire import b64

Part = Callable[..., PartialFootprint]
URL = "https://files.example/cathode"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "public"


@pytest.fixture
def node(new_node: Callable[..., Node]) -> Node:
    return new_node("cathode.example/bcca", url=URL)


def published(node: Node, *predicates: PartialFootprint) -> list[str]:
    """Publish, as if a quorum had cosigned; return the commitments."""
    done = publish(node, predicates)
    with node.database.write() as session:
        head = logs.last_head(session)
        assert head is not None
        logs.put_head(session, replace(head, published=True))
    return [each.commitment for each in done]


def said(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder by its path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def listed(folder: Path, product: str) -> list[str]:
    """Return the commitments in the list of a product."""
    name = hashlib.sha256(f"urn:bcca:case:t:{product}".encode()).hexdigest()
    body = (folder / "products" / f"{name}.jsonl").read_bytes()
    return [each.commitment for each in decode_lines(body)]


def size_in(folder: Path) -> int:
    return Checkpoint.parse(Note.parse((folder / "log/checkpoint").read_text()).text).size


def test_a_folder_holds_who_it_is_its_log_its_statements_and_its_products(
    node: Node, part: Part, folder: Path
) -> None:
    names = published(node, part(node.origin, "P1"), part(node.origin, "P2"))
    placed = static.place(node, folder)

    about = descriptor.decode((folder / ".well-known/bcca.json").read_bytes())
    assert about.origin == node.origin
    assert about.log == "https://files.example/cathode/log"
    assert about.statements == "https://files.example/cathode/statements"
    assert about.products == "https://files.example/cathode/products"
    assert about.witness is None
    assert (
        json.loads((folder / "bcca/did.json").read_bytes())["id"] == "did:web:cathode.example:bcca"
    )
    assert names_in(folder / "statements") == sorted(names)
    assert (listed(folder, "P1"), listed(folder, "P2")) == ([names[0]], [names[1]])
    assert (placed.size, placed.statements, placed.products) == (8, 2, 2)
    assert size_in(folder) == 8
    for tile in tiles_for(8):
        assert (folder / "log" / tile.encode()).exists()


def test_every_kind_of_database_makes_a_folder(
    new_node: Callable[..., Node], new_url: Callable[[], str], part: Part, folder: Path
) -> None:
    node = new_node("cathode.example/bcca", url=URL, database=new_url())
    (old,) = published(node, part(node.origin))
    static.place(node, folder)
    (new,) = published(node, part(node.origin, kg=3, corrects=old))
    placed = static.place(node, folder)

    assert (placed.size, placed.statements, placed.products) == (9, 2, 1)
    assert listed(folder, "P1") == [new]


def test_what_a_killed_process_left_behind_stands_in_nobodys_way(
    node: Node, part: Part, folder: Path
) -> None:
    """Killed before its first checkpoint, within a file; in a container every process is 1."""
    published(node, part(node.origin))
    static.place(node, folder)
    whole = said(folder)
    (folder / "log/checkpoint").unlink()
    half = folder / "log" / f".checkpoint.{os.getpid()}"
    half.write_bytes(b"half")

    static.place(node, folder)

    assert {path: body for path, body in said(folder).items() if path in whole} == whole


@pytest.mark.parametrize(
    "origin",
    ["a.example/../../up", "a.example/./b", "a.example/log/checkpoint", "a.example/sealed"],
)
def test_an_origin_that_is_no_path_writes_nothing_outside(
    new_node: Callable[..., Node], part: Part, tmp_path: Path, origin: str
) -> None:
    node = new_node(origin, url=URL)
    published(node, part(node.origin))
    static.place(node, tmp_path / "site" / "public")

    found = said(tmp_path / "site")
    assert all(path.startswith("public/") for path in found)
    assert not any(path.endswith("did.json") for path in found)
    assert not any("sealed" in path for path in found)


def test_what_has_not_changed_is_not_written_again(node: Node, part: Part, folder: Path) -> None:
    published(node, part(node.origin))
    static.place(node, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    again = static.place(node, folder)

    assert again.written == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_only_what_is_new_is_written(node: Node, part: Part, folder: Path) -> None:
    published(node, part(node.origin, "P1"))
    static.place(node, folder)
    before = said(folder)
    (name,) = published(node, part(node.origin, "P2"))

    static.place(node, folder)

    after = said(folder)
    changed = {path for path in after if before.get(path) != after[path]}
    product = hashlib.sha256(b"urn:bcca:case:t:P2").hexdigest()
    assert changed == {
        "log/checkpoint",
        "log/tile/0/000.p/8",
        "log/tile/entries/000.p/8",
        f"statements/{name}",
        f"products/{product}.jsonl",
        "pages/0",
    }
    assert before.keys() <= after.keys()


def test_what_somebody_deleted_or_changed_is_mended(node: Node, part: Part, folder: Path) -> None:
    published(node, part(node.origin))
    static.place(node, folder)
    before = said(folder)
    for path in before:
        if path == "log/tile/0/000.p/7":
            (folder / path).write_bytes(b"something else")
        elif path.startswith(("statements/", "products/", "log/tile/entries")):
            (folder / path).unlink()

    static.place(node, folder)

    assert said(folder) == before


def test_a_correction_leaves_the_list_and_stays_a_file(
    node: Node, part: Part, folder: Path
) -> None:
    (old,) = published(node, part(node.origin))
    static.place(node, folder)
    (new,) = published(node, part(node.origin, kg=3, corrects=old))
    static.place(node, folder)

    assert listed(folder, "P1") == [new]
    assert names_in(folder / "statements") == sorted([old, new])


def test_what_is_not_public_or_not_yet_published_is_not_in_the_folder(
    node: Node, part: Part, folder: Path
) -> None:
    (public,) = published(
        node, part(node.origin, "P1"), part(node.origin, "P2", sharing="downstream")
    )[:1]
    (pending,) = publish(node, [part(node.origin, "P3")])
    static.place(node, folder)

    assert names_in(folder / "statements") == [public]
    assert len(names_in(folder / "products")) == 1
    assert size_in(folder) == pending.index
    assert all(pending.commitment.encode() not in content for content in said(folder).values())


def test_a_reader_meanwhile_finds_all_that_the_checkpoint_promises(
    node: Node, part: Part, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look at the folder after every single file that is put in its place."""
    first, second = published(node, part(node.origin, "P1"), part(node.origin, "P2"))
    published(node, part(node.origin, "P3"))
    static.place(node, folder)
    with turn(node) as held:  # as many entries as fill the tile
        held.enter([f"bcca/v1 statement {index:064x} 2 {b64(bytes(32))}" for index in range(300)])
    published(node, part(node.origin, "P1", kg=3, corrects=first))
    published(node, part(node.origin, "P2", year=2026, follows=second), part(node.origin, "P4"))
    seen: set[int] = set()
    honest = Path.replace

    def put(path: Path, target: Path) -> Path:
        done = honest(path, target)
        seen.add(require_whole(node, folder))
        return done

    monkeypatch.setattr(Path, "replace", put)
    static.place(node, folder)

    assert len(seen) == 2
    assert require_whole(node, folder) == max(seen)


def require_whole(node: Node, folder: Path) -> int:
    """Return the size of the checkpoint in `folder`, once all it promises is found there."""
    size = size_in(folder)
    entries: list[bytes] = []
    for tile in tiles_for(size):
        path = folder / "log" / tile.encode()
        width = tile.width
        if not path.exists():  # the full one is there instead
            path, width = folder / "log" / replace(tile, width=TILE_WIDTH).encode(), TILE_WIDTH
        content = path.read_bytes()
        if tile.level < 0:
            entries += decode_entries(content, width)[: tile.width]
        else:
            assert len(content) == 32 * width
    with node.database.read() as session:
        assert entries == logs.entries(session, 0, size)
        for product in statements.products(session):
            for own in statements.current(session, [product], size):
                assert own.commitment in listed(folder, product.rpartition(":")[2])
                assert (folder / "statements" / own.commitment).read_bytes() == own.envelope
    return size


def test_a_folder_of_somebody_else_is_refused(
    node: Node, new_node: Callable[..., Node], part: Part, tmp_path: Path
) -> None:
    other = new_node("mine.example")
    published(node, part(node.origin))
    published(other, part(other.origin))
    static.place(other, tmp_path / "other")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/beach.jpg").write_bytes(b"sand")
    before = said(tmp_path / "other"), said(tmp_path / "photos")

    for name in ("other", "photos", "photos/beach.jpg"):
        with pytest.raises(UnusableError, match=name):
            static.place(node, tmp_path / name)
    with pytest.raises(UnusableError, match="name another"):
        static.place(node, node.settings.data)

    assert (said(tmp_path / "other"), said(tmp_path / "photos")) == before


def test_an_old_copy_does_not_take_back_what_the_folder_shows(
    node: Node, part: Part, folder: Path
) -> None:
    published(node, part(node.origin))
    static.place(node, folder)
    newest = said(folder)
    begun = Checkpoint(origin=node.origin, size=6, root=root_of(node, 6))
    note = sign_checkpoint(begun, node.keys.log_signers).encode()
    with node.database.write() as session:
        session.connection().exec_driver_sql("delete from checkpoint")
        logs.put_head(session, Head(size=6, root=begun.root, note=note, published=True))

    with pytest.raises(UnusableError, match="restore the newer database"):
        static.place(node, folder)

    assert said(folder) == newest


def root_of(node: Node, size: int) -> bytes:
    with node.database.read() as session:
        return merkle.root_hash(size, log.subtree(session, size))
