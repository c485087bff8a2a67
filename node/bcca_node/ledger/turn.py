"""The one way into this node's log: whoever has the turn enters lines, and their head is signed.

Lines, tiles and signed head become durable together with whatever else the turn's session writes,
or not at all (SPEC 5.8).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlmodel import Session

from bcca_node.ledger import alarm, log
from bcca_node.ledger.keylines import KeyRecord
from bcca_node.ledger.node import Node
from bcca_node.storage import logs
from bcca_protocol.entry import KeyAdd
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Role


class Turn:
    """The only right to append, as long as the transaction of `session` lasts."""

    def __init__(self, node: Node, session: Session, size: int) -> None:
        """Append behind `size` entries."""
        self._node = node
        self.session = session
        self.signers = node.keys.log_signers
        self.first = size
        self.lines: list[str] = []

    @property
    def next(self) -> int:
        """The index of the next entry."""
        return self.first + len(self.lines)

    def enter(self, lines: Sequence[str]) -> int:
        """Add `lines` to what is entered at the end of the turn; return the index of the first.

        Raises UnusableError where this process may not append yet.
        """
        self._node.clearance.require(self._node.origin, self.first)
        first = self.next
        self.lines.extend(lines)
        return first


@contextmanager
def turn(node: Node, *, for_keys: bool = False) -> Iterator[Turn]:
    """Yield the turn; at its end all of it is in the log under a signed head.

    Raises UnusableError if the log has ended, or if the keys are closed, another node's, changed
    since they were read, or good no longer, unless the turn is `for_keys` to be replaced;
    ConflictError while an alarm stands, UnavailableError for a database that cannot be written.
    """
    _ = node.keys
    with node.database.write() as session:
        alarm.require_none(session, node.origin)
        size = logs.size(session)
        _require_keys(node, session, good=not for_keys)
        held = Turn(node, session, size)
        yield held
        if held.lines:
            log.append(session, held.lines, size)
            log.sign(session, held.signers, held.next)
    node.clearance.grow(held.next)


def _require_keys(node: Node, session: Session, *, good: bool) -> None:
    """Return if what this process signs with is what the log has; raises UnusableError."""
    end = node.trust.ends().get(node.origin)
    if end is not None:
        raise UnusableError(
            f"log {node.origin}: its owner ended it with {end.size} entries, so nothing is entered "
            f"any more: publish as {end.successor.name}"
        )
    node.keystore.require_unchanged(node.settings.data)
    for each in node.keystore.unconfirmed:
        if _adds(session, each):
            raise UnusableError(
                f"log {node.origin}: entry {each.index} has added {each.key.label} since this "
                "process began: start it again"
            )
    for role in (Role.LOG, Role.STATEMENT):
        record = node.keystore.record(role)
        _require_key(session, record)
        if good and record.ended is not None:
            raise UnusableError(
                f"log {node.origin}: its {role} key {record.key.label} is {record.state}, and "
                f"there is no newer one: run `bcca keys rotate {role}`"
            )


def _require_key(session: Session, key: KeyRecord) -> None:
    """Return if the log added `key` where the keys say so; raises UnusableError."""
    if not _adds(session, key):
        raise UnusableError(
            f"log {key.key.name}: of {logs.size(session)} entries, entry {key.index} does not add "
            f"{key.key.label}: the database and the keys are of two nodes"
        )


def _adds(session: Session, key: KeyRecord) -> bool:
    """Say whether the log adds `key` where the keys say so."""
    line = KeyAdd(role=key.role, key=key.key).encode()
    return logs.entries(session, key.index, key.index + 1) == [line.encode()]
