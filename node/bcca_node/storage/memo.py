"""What was read of the database and holds until somebody commits, for callers that come again.

`Database.changes` tells that somebody did, in whichever process. It is asked before what is kept is
read, so that at worst something newer is kept for an older state, and dropped the next time.
"""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import TypeVar

T = TypeVar("T")

MAX_KEPT = 10_000  # answers: 10 MB of rights; all go at once, and are read again


class Memo:
    """Keeps answers for one state of the database and one second of the clock."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._lock = Lock()
        self._moment: tuple[int, int] | None = None
        self._kept: dict[Hashable, object] = {}

    def get(
        self, moment: tuple[int, int] | None, name: Hashable, kind: type[T], read: Callable[[], T]
    ) -> T:
        """Return what `read` does, or did at the same moment for `name`; it is of that `kind`.

        Without a moment, where nobody knows of changes, it is read anew.
        """
        if moment is None:
            return read()
        with self._lock:
            if moment != self._moment or len(self._kept) >= MAX_KEPT:
                self._moment, self._kept = moment, {}
            kept = self._kept
        found = kept.get(name)
        if isinstance(found, kind):
            return found
        made = kept[name] = read()
        return made
