"""Where this node's own log ends statements: the first entry that revoked or corrected each."""

from collections.abc import Mapping

from sqlmodel import Session

from bcca_node.ledger.sign import predicate_of
from bcca_node.storage import logs
from bcca_node.storage.statements import OwnStatement
from bcca_protocol.entry import Status, StatusEntry, parse_entry, status_handle
from bcca_protocol.errors import RefusedError
from bcca_protocol.wire import unb64

_BEGIN = "bcca/v1 status "


def read(session: Session, start: int = 0) -> Mapping[bytes, int]:
    """Return which handles the entries from `start` on end, each with the first that does."""
    found: dict[bytes, int] = {}
    for index, line in logs.lines_like(session, _BEGIN, start):
        try:
            entry = parse_entry(line)
        except RefusedError:
            break  # a broken log: nothing behind it counts (SPEC 5.6)
        if isinstance(entry, StatusEntry) and entry.status is not Status.SUPERSEDED:
            found.setdefault(entry.handle, index)
    return found


def handle_of(own: OwnStatement) -> bytes:
    """Return the name under which the log states what became of a statement (SPEC 5.5)."""
    nonce = unb64(predicate_of(own.envelope).nonce, "nonce")
    return status_handle(nonce, bytes.fromhex(own.commitment))
