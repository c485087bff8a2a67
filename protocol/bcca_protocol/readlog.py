"""A whole log, hashed up to the head that its log and a quorum signed, and what it says (SPEC 6.2).

The only maker of `VerifiedLog`.
"""

from collections.abc import Sequence
from typing import Final

from bcca_protocol import ending, merkle
from bcca_protocol.ending import EndNote
from bcca_protocol.errors import ProofError
from bcca_protocol.history import History
from bcca_protocol.keys import Role
from bcca_protocol.policy import VerifiedCheckpoint

_MAKER: Final = object()


class VerifiedLog:
    """All entries of a log, hashed up to a root that the log and a quorum signed.

    Of a log that its owner ended, `history` is what counts: the entries up to the end.
    """

    __slots__ = ("has_ended", "head", "history", "introduced", "log_keys")

    def __init__(
        self,
        maker: object,
        head: VerifiedCheckpoint,
        history: History,
        *,
        introduced: bool,
        has_ended: bool = False,
    ) -> None:
        """Only `verify_log` has the right `maker`."""
        if maker is not _MAKER:
            raise TypeError("a verified log is made by bcca_protocol.readlog alone")
        self.head: Final = head
        self.history: Final = history
        self.introduced: Final = introduced
        # All that will ever count was read: however long ago T is, nothing can have come since.
        self.has_ended: Final = has_ended
        own = (record.key for record in history.keys if record.role is Role.LOG)
        self.log_keys: Final = frozenset(key.encode() for key in (head.key, *own))

    @property
    def origin(self) -> str:
        """Whose log it is."""
        return self.head.checkpoint.origin

    def under(self, head: VerifiedCheckpoint) -> "VerifiedLog":
        """Return the same log as another head of the same tree has it, seen later perhaps.

        Its entries are those that were hashed before. Raises ProofError for another tree, or a head
        by another key.
        """
        before = self.head
        if (head.checkpoint, head.key) != (before.checkpoint, before.key):
            raise ProofError(
                f"log {self.origin}: read as {before.checkpoint} of {before.key.encode()}, "
                f"the head is {head.checkpoint} of {head.key.encode()}"
            )
        return VerifiedLog(
            _MAKER, head, self.history, introduced=self.introduced, has_ended=self.has_ended
        )


def verify_log(
    head: VerifiedCheckpoint,
    entries: Sequence[bytes],
    *,
    introduced: bool = False,
    end: EndNote | None = None,
) -> VerifiedLog:
    """Return the log whose `entries` hash up to `head` (SPEC 6.2); nothing behind its end counts.

    Raises ProofError for another number of entries or another root, and for an end note
    AuthorshipError if it is not by this log's recovery key, ConflictError for another root there.
    """
    checkpoint = head.checkpoint
    if len(entries) != checkpoint.size:
        raise ProofError(
            f"log {checkpoint.origin}: {len(entries)} entries, its checkpoint has {checkpoint.size}"
        )
    tree = merkle.Tree(merkle.leaf_hashes(entries))
    root = tree.root()
    if root != checkpoint.root:
        raise ProofError(
            f"log {checkpoint.origin}: its entries hash to {root.hex()}, "
            f"its checkpoint has {checkpoint.root.hex()}"
        )
    has_ended = end is not None and _reaches_end(end, entries, tree)
    counted = entries if end is None else entries[: end.size]
    history = History.read(checkpoint.origin, head.key, counted)
    return VerifiedLog(_MAKER, head, history, introduced=introduced, has_ended=has_ended)


def _reaches_end(end: EndNote, entries: Sequence[bytes], tree: merkle.Tree) -> bool:
    """Say whether a log was read as far as its owner ended it (SPEC 5.9); raises if it was not."""
    end.require_by(ending.genesis_of(end.origin, entries))
    if end.size > len(entries):
        return False
    end.require_head(tree.root(end.size))
    return True
