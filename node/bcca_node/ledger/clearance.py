"""Whether this process may append: only once witnesses have said that the log is the newest.

A copy restored from a backup looks like the log itself. Appending to it would sign a second tree
of one size (SPEC 5.11), so every process asks before its first append.
"""

from bcca_protocol.errors import UnusableError


class Clearance:
    """Nothing is appended before it is granted; it lasts as long as the process."""

    def __init__(self) -> None:
        """Nothing is granted yet."""
        self._size: int | None = None
        self._is_confirmed = False

    @property
    def is_granted(self) -> bool:
        """Say whether this process may append."""
        return self._size is not None

    @property
    def is_confirmed(self) -> bool:
        """Say whether witnesses were asked, or the log was begun by this very process."""
        return self._is_confirmed

    def grant(self, size: int, *, confirmed: bool = True) -> None:
        """Allow appending behind `size` entries, of which nobody has seen more.

        Not `confirmed` is a log that nobody was ever shown: witnesses are still to be asked.
        """
        self._size, self._is_confirmed = size, confirmed

    def grow(self, size: int) -> None:
        """Remember that the log has `size` entries now: it never has fewer again."""
        if self._size is not None:
            self._size = max(size, self._size)

    def require(self, origin: str, size: int) -> None:
        """Return if the log of `size` entries may be appended to.

        Raises UnusableError before that is granted, and for a log that has shrunk since.
        """
        if self._size is None:
            raise UnusableError(
                f"log {origin}: nobody has confirmed yet that these {size} entries are all there "
                "are, and a restored copy must not grow a second time: ask the witnesses first"
            )
        if size < self._size:
            raise UnusableError(
                f"log {origin}: {self._size} entries were here before, now there are {size}: the "
                "database was put back while it was in use; stop this process, then run "
                "`bcca log recover`"
            )
