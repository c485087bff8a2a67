"""The published log as a folder of static files (c2sp.org/tlog-tiles)."""

from pathlib import Path

from sqlmodel import Session

from bcca_node.ledger import log
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.node import Node
from bcca_node.storage import logs
from bcca_node.storage.logs import Head
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES
from bcca_protocol.note import Note, verify_note
from bcca_protocol.tiles import tiles_for

CHECKPOINT = "checkpoint"  # its path under the log's prefix (c2sp.org/tlog-tiles)


def export(node: Node, folder: Path) -> int:
    """Write the published log into `folder`; return its size.

    Tiles first, the checkpoint last: whoever reads meanwhile finds all that it promises. A folder
    with an earlier export is brought up to date. Raises UnusableError, also for a folder that
    holds anything else.
    """
    with node.database.read() as session:
        head = logs.published_head(session)
        if head is None:
            raise UnusableError(
                f"log {node.origin}: nothing of it is published yet, run `bcca publish` first"
            )
        try:
            _require_ours(node, session, folder, head)
            for tile in tiles_for(head.size):
                path = folder / tile.encode()
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, log.content(session, tile, head.size) or b"")
            write_whole(folder / CHECKPOINT, head.note.encode())
        except OSError as error:
            raise UnusableError(f"{folder}: cannot be written: {error}") from error
    return head.size


def _require_ours(node: Node, session: Session, folder: Path, head: Head) -> None:
    """Return if `folder` is empty or not there, or holds an earlier export of this very log."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    path = folder / CHECKPOINT
    try:
        with path.open("rb") as file:
            note = Note.parse(file.read(MAX_CHECKPOINT_BYTES).decode())
        verify_note(note, (node.log_key,))
        earlier = Checkpoint.parse(note.text)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnusableError(
            f"{folder}: not an empty folder, nor an earlier export: name another"
        ) from error
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
