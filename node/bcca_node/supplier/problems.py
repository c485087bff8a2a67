"""Everything that is wrong with what somebody handed over, told at once."""

from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

MAX_SHOWN = 200  # more than anyone mends before trying again


class Problems:
    """What is wrong with `what` so far, each problem once and in the order it was met."""

    def __init__(self, what: str) -> None:
        """Start with nothing wrong."""
        self._what = what
        self._found: dict[str, None] = {}

    def __len__(self) -> int:
        """Return how many problems there are."""
        return len(self._found)

    def add(self, where: str, problem: str) -> None:
        """Note a problem at a place."""
        self._found[showable(f"{where}: {problem}")] = None

    def refuse(self) -> None:
        """Return if nothing is wrong, else raise UnusableError naming all of it."""
        match list(self._found):
            case []:
                return
            case [only]:
                raise UnusableError(f"{self._what}: {only}")
            case found:
                lines = [f"{self._what}: {len(found)} problems", *found[:MAX_SHOWN]]
                if len(found) > MAX_SHOWN:
                    lines.append(f"and {len(found) - MAX_SHOWN} more")
                raise UnusableError("\n  ".join(lines))
