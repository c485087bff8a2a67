"""The published log as a folder of static files (c2sp.org/tlog-tiles)."""

from pathlib import Path

from bcca_node.ledger import log
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.node import Node
from bcca_node.storage import logs
from bcca_protocol.errors import UnusableError
from bcca_protocol.tiles import tiles_for


def export(node: Node, folder: Path) -> int:
    """Write the published log into `folder`; return its size.

    Tiles first, the checkpoint last: whoever reads meanwhile finds all that it promises. A folder
    with an earlier export is brought up to date. Raises UnusableError.
    """
    with node.database.read() as session:
        head = logs.published_head(session)
        if head is None:
            raise UnusableError(f"log {node.origin}: nothing of it is published yet")
        try:
            for tile in tiles_for(head.size):
                path = folder / tile.encode()
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, log.content(session, tile, head.size) or b"")
            write_whole(folder / "checkpoint", head.note.encode())
        except OSError as error:
            raise UnusableError(f"{folder}: cannot be written: {error}") from error
    return head.size
