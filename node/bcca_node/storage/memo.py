"""What was read of the database and holds until somebody commits, for callers that come again.

`Database.changes` tells that somebody did, in whichever process. It is asked before what is kept is
read, so that at worst something newer is kept for an older state, and dropped the next time.
"""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Protocol, TypeVar

T = TypeVar("T")
P = TypeVar("P", bound="Content")

MAX_KEPT = 10_000  # answers: 10 MB of rights; all go at once, and are read again
MAX_BYTES = 16_000_000  # of pages: a dozen that are full
_FEWEST = 4  # pages: what is too large for so many is not kept
_EACH = 16_384  # bytes that a page counts beside its own: what it is asked by is the caller's


class Content(Protocol):
    """What is answered in bytes."""

    @property
    def content(self) -> bytes:
        """Return them."""


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


class Pages:
    """Keeps pages for one state of the database: those asked for last, as far as there is room."""

    def __init__(self, room: int = MAX_BYTES) -> None:
        """Keep none yet."""
        self._lock = Lock()
        self._room = room
        self._changes: int | None = None
        self._kept: dict[Hashable, Content] = {}
        self._bytes = 0

    def get(self, changes: int | None, name: Hashable, kind: type[P], read: Callable[[], P]) -> P:
        """Return what `read` does, or did after as many changes for `name`; it is of that `kind`.

        `changes` are asked for before anything is read; without, it is read anew.
        """
        if changes is None:
            return read()
        with self._lock:
            if changes != self._changes:
                self._changes, self._kept, self._bytes = changes, {}, 0
            found = self._kept.pop(name, None)
            if found is not None:
                self._kept[name] = found  # behind all that was asked for before
        if isinstance(found, kind):
            return found
        made = read()
        with self._lock:
            if changes == self._changes and name not in self._kept:
                self._keep(name, made)
        return made

    def _keep(self, name: Hashable, made: Content) -> None:
        if _price(made) * _FEWEST > self._room:
            return
        self._kept[name] = made
        self._bytes += _price(made)
        while self._bytes > self._room:
            oldest = self._kept.pop(next(iter(self._kept)))
            self._bytes -= _price(oldest)


def _price(page: Content) -> int:
    return _EACH + len(page.content)
