"""Public statements by the hundred, packed once and answered as they are kept (SPEC 13.13).

A page that is full never changes, like a full tile of the log. The last one grows with the log, and
is packed anew when it is asked for after that.
"""

from contextlib import suppress

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.storage import listed, logs, pages, pressed, served
from bcca_node.storage.pages import WIDTH
from bcca_node.storage.pressed import Pressed
from bcca_protocol.errors import UnavailableError


def kept(node: Node, number: int) -> tuple[bytes, bool] | None:
    """Return what `page` does of a page that is packed as it stands now, and of no great length.

    None where it takes longer to say, or where there is none.
    """
    found = served.page(node.database, number)
    end = (number + 1) * WIDTH
    if found.content is None or found.size is None or number * WIDTH >= found.published:
        return None
    if found.size < min(found.published, end):
        return None
    return found.content, found.size == end


def page(node: Node, number: int) -> tuple[bytes, bool] | None:
    """Return a page, and whether it is full and stays as it is; None behind the published head.

    None too where its statements are larger than a page may be: they are in the stream.
    """
    with node.database.read() as session:
        head = logs.published_head(session)
        size = 0 if head is None else head.size
        if number * WIDTH >= size:
            return None
        found, is_new = made(session, number, size)
    if found is None:
        return None
    if is_new:
        with suppress(UnavailableError), node.database.write() as session:
            pressed.put(session, number, found)
    return found.content, found.size == (number + 1) * WIDTH


def made(session: Session, number: int, size: int) -> tuple[Pressed | None, bool]:
    """Return a page of the first `size` entries, and whether it was packed just now."""
    end = min(size, (number + 1) * WIDTH)
    kept = pressed.get(session, number)
    if kept is not None and kept.size >= end:
        return kept, False
    envelopes = [envelope for _, _, envelope in listed.public_page(session, number * WIDTH, end)]
    if not pages.fits(envelopes):
        return None, False
    return Pressed(end, pages.pack(envelopes)), True
