"""Whom this node believes: DATA/policy.txt, read again when it has changed."""

from pathlib import Path

from bcca_protocol.errors import PolicyError, UnusableError
from bcca_protocol.policy import Policy

FILE = "policy.txt"


class Trust:
    """The policy of a data folder; a node works without one, but publishes nothing."""

    def __init__(self, data: Path) -> None:
        """Look at `data`/policy.txt whenever somebody asks."""
        self._path = data / FILE
        self._read: tuple[tuple[int, int], Policy] | None = None

    def policy(self) -> Policy | None:
        """Return the policy as it is now, None if there is none; raises PolicyError."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if self._read is None or self._read[0] != stamp:
                self._read = stamp, Policy.parse(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise PolicyError(f"{self._path}: cannot be read: {error}") from error
        except PolicyError as error:
            raise PolicyError(f"{self._path}: {error}") from error
        return self._read[1]

    def required(self) -> Policy:
        """Return the policy; raises UnusableError where there is none."""
        policy = self.policy()
        if policy is None:
            raise UnusableError(f"{self._path} is not there: it says whom this node believes")
        return policy
