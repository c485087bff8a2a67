"""Everything that is wrong with what somebody handed over, told at once."""

from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

MAX_SHOWN = 200  # more than anyone mends before trying again


class Problems:
    """What is wrong with `what` so far, each problem once."""

    def __init__(self, what: str) -> None:
        """Start with nothing wrong."""
        self.what = what
        self._places: dict[str, int] = {}
        self._found: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        """Return how many problems there are."""
        return len(self._found)

    def add(self, where: str, problem: str, *, row: int = 0) -> None:
        """Note a problem at a place, which may have rows."""
        place = self._places.setdefault(where, len(self._places))
        at = f"{where} row {row}" if row else where
        self._found.setdefault(showable(f"{at}: {problem}"), (place, row))

    def refuse(self) -> None:
        """Return if nothing is wrong, else raise UnusableError naming all of it, place by place."""
        match sorted(self._found, key=self._found.__getitem__):
            case []:
                return
            case [only]:
                raise UnusableError(f"{self.what}: {only}")
            case found:
                lines = [f"{self.what}: {len(found)} problems", *found[:MAX_SHOWN]]
                if len(found) > MAX_SHOWN:
                    lines.append(f"and {len(found) - MAX_SHOWN} more")
                raise UnusableError("\n  ".join(lines))
