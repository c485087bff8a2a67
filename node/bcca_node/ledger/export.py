"""The published log as a folder of static files (c2sp.org/tlog-tiles)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlmodel import Session

from bcca_node.ledger import log
from bcca_node.ledger.files import only_writer, write_changed
from bcca_node.ledger.node import Node
from bcca_node.storage import logs
from bcca_node.storage.logs import Head
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES
from bcca_protocol.note import Note, verify_note
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH, Tile, tiles_for

CHECKPOINT = "checkpoint"  # its path under the log's prefix (c2sp.org/tlog-tiles)


def export(node: Node, folder: Path) -> int:
    """Write the published log into `folder`; return its size.

    A folder with an earlier export is brought up to date, and what has not changed is not written
    again. Raises UnusableError, also for a folder that holds anything else.
    """
    with node.database.read() as session:
        published(node, session)  # else not even the folder is made
    try:
        with only_writer(folder), node.database.read() as session:
            head = published(node, session)
            if any(folder.iterdir()) and not (folder / CHECKPOINT).exists():
                raise UnusableError(
                    f"{folder}: not an empty folder, nor an earlier export: name another"
                )
            place(session, folder, head, size_before(node, session, folder, head))
    except OSError as error:
        raise UnusableError(f"{folder}: cannot be written: {error}") from error
    return head.size


def published(node: Node, session: Session) -> Head:
    """Return the newest head that may leave the node; raises UnusableError where there is none."""
    head = logs.published_head(session)
    if head is None:
        raise UnusableError(
            f"log {node.origin}: nothing of it is published yet, run `bcca publish` first"
        )
    return head


def size_before(node: Node, session: Session, folder: Path, head: Head) -> int:
    """Return how many entries an earlier export in `folder` has, 0 where there is none.

    Raises UnusableError for one of another log, or of a tree with which `head` does not begin.
    """
    path = folder / CHECKPOINT
    try:
        with path.open("rb") as file:
            note = Note.parse(file.read(MAX_CHECKPOINT_BYTES).decode())
        verify_note(note, node.log_keys)
        earlier = Checkpoint.parse(note.text)
    except FileNotFoundError:
        return 0
    except (UnicodeDecodeError, RefusedError) as error:
        raise UnusableError(
            f"{path}: not of the log {node.origin}: {error}: name another folder"
        ) from error
    if earlier.size > head.size or earlier.root != merkle.root_hash(
        earlier.size, log.subtree(session, head.size)
    ):
        raise UnusableError(
            f"{path}: a tree of {earlier.size} entries with which the {head.size} here do not "
            "begin: restore the newer database, or name another folder"
        )
    return earlier.size


def place(session: Session, folder: Path, head: Head, before: int) -> int:
    """Bring the log in `folder` from `before` entries up to `head`; return how many files changed.

    Tiles first, the checkpoint last: whoever reads meanwhile finds all that it promises. Where
    nothing is new, every file is compared.
    """
    trusted = before if before < head.size else 0
    changed = 0
    for tile in _tiles(session, head.size):
        path = folder / tile.encode()
        if _end(tile) > trusted or not path.exists():
            changed += write_changed(path, log.content(session, tile, head.size) or b"")
    changed += write_changed(folder / CHECKPOINT, head.note.encode())
    for tile in tiles_for(head.size):
        if tile.width == TILE_WIDTH:  # readers of an older checkpoint fall back to it
            shutil.rmtree(folder / f"{tile.encode()}.p", ignore_errors=True)
    return changed


def _tiles(session: Session, size: int) -> Iterator[Tile]:
    """Yield the tiles of `size` entries, and the partial ones of every smaller published size.

    Where the full tile is there, nobody needs the partial ones.
    """
    yield from (tile for tile in tiles_for(size) if tile.width == TILE_WIDTH)
    level, unit = 0, 1
    while unit <= size:
        index = size // (unit * TILE_WIDTH)
        first = index * TILE_WIDTH
        for count in logs.published_counts(session, unit, first):
            if count * unit <= size:
                if level == 0:
                    yield Tile(level=ENTRIES, index=index, width=count - first)
                yield Tile(level=level, index=index, width=count - first)
        level, unit = level + 1, unit * TILE_WIDTH


def _end(tile: Tile) -> int:
    """Return how many entries a log has at least that has `tile`."""
    unit: int = TILE_WIDTH ** max(tile.level, 0)
    return (tile.index * TILE_WIDTH + tile.width) * unit
