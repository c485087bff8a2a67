"""Whom this node believes: DATA/policy.txt and DATA/ended/*.txt, read again when they changed.

An end note stands beside the policy: whoever puts it there says that this log has ended, and who
goes on (SPEC 5.9).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from bcca_protocol import succession
from bcca_protocol.ending import EndNote
from bcca_protocol.errors import PolicyError, RefusedError, UnusableError
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES
from bcca_protocol.policy import Policy

FILE = "policy.txt"
ENDED = "ended"

_Stamp: TypeAlias = tuple[tuple[str, int, int], ...]


class Trust:
    """The policy of a data folder; a node works without one, but publishes nothing."""

    def __init__(self, data: Path) -> None:
        """Look at `data` whenever somebody asks."""
        self._path = data / FILE
        self._folder = data / ENDED
        self._read: tuple[_Stamp, _Stamp, Policy] | None = None
        self._ends: tuple[_Stamp, Mapping[str, EndNote]] = ((), {})

    def policy(self) -> Policy | None:
        """Return the policy as it is now, None if there is none; raises PolicyError.

        A log that goes on where one of the policy ended counts as one of the policy.
        """
        try:
            stamp = _stamp(self._path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PolicyError(f"{self._path}: cannot be read: {error}") from error
        ends = tuple(self.ends().values())
        if self._read is None or self._read[:2] != (stamp, self._ends[0]):
            try:
                found = Policy.parse(self._path.read_text(encoding="utf-8"))
                self._read = stamp, self._ends[0], succession.believed(found, ends)
            except FileNotFoundError:
                return None
            except (OSError, ValueError) as error:
                raise PolicyError(f"{self._path}: cannot be read: {error}") from error
            except PolicyError as error:
                raise PolicyError(f"{self._path}: {error}") from error
        return self._read[2]

    def required(self) -> Policy:
        """Return the policy; raises UnusableError where there is none."""
        policy = self.policy()
        if policy is None:
            raise UnusableError(f"{self._path} is not there: it says whom this node believes")
        return policy

    def ends(self) -> Mapping[str, EndNote]:
        """Return the end notes by the origin of the log that they end; raises PolicyError."""
        try:
            paths = sorted(self._folder.glob("*.txt"))
            stamp = _stamp(*paths)
            if self._ends[0] != stamp:
                self._ends = stamp, succession.by_origin([_end(path) for path in paths])
        except OSError as error:
            raise PolicyError(f"{self._folder}: cannot be read: {error}") from error
        return self._ends[1]


def _end(path: Path) -> EndNote:
    """Return the end note in a file; raises OSError, PolicyError."""
    try:
        with path.open("rb") as file:
            return EndNote.parse(file.read(MAX_CHECKPOINT_BYTES + 1).decode())
    except (UnicodeDecodeError, RefusedError) as error:
        raise PolicyError(f"{path}: {error}") from error


def _stamp(*paths: Path) -> _Stamp:
    """Return what is another as soon as one of the files is."""
    return tuple((path.name, *_times(path)) for path in paths)


def _times(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
