"""Processes that a bench starts beside itself, and the ports on which they listen."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
START_SECONDS = 30.0
LOOK_SECONDS = 0.5  # between two looks at the memory of some processes: a look takes milliseconds

_BCCA = "import sys; from bcca_node.entry import main; sys.exit(main())"


def bcca_serve(data: Path, *more: str) -> list[str]:
    """Return the command that serves a node's folder, as its operator does."""
    return [sys.executable, "-c", _BCCA, "serve", "--data", str(data), *more]


@contextmanager
def running(
    command: Sequence[str], stderr: int, told: Mapping[str, str], given: Sequence[int] = ()
) -> Iterator[int]:
    """Run a command, `told` more variables, until the context ends; yield the process's id.

    It is `given` some open files by their numbers, such as sockets on which others may ask already.
    """
    environment = {**os.environ, **told}
    with subprocess.Popen(command, env=environment, stderr=stderr, pass_fds=given) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


class Memory:
    """The most that this process and those that it starts held together; use it as a context.

    `but` are processes that are somebody else's part of the measurement.
    """

    def __init__(self, but: Collection[int] = ()) -> None:
        """Look at nothing yet."""
        self._but = frozenset(but)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.first_mb = self.peak_mb = 0

    def __enter__(self) -> Self:
        """Look now, and every now and then."""
        self.first_mb = self.peak_mb = self._held()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            self.peak_mb = max(self.peak_mb, self._held())

    def _held(self) -> int:
        return sum(map(_private_kb, _family(os.getpid()) - self._but)) // 1024


def _family(first: int) -> set[int]:
    """Return a process and all that it started, and those."""
    started: dict[int, list[int]] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(each.read_text().rpartition(")")[2].split()[1])
            started.setdefault(parent, []).append(int(each.parent.name))
    found, left = set[int](), [first]
    while left:
        found.add(one := left.pop())
        left += started.get(one, [])
    return found


def _private_kb(process: int) -> int:
    """Return what a process holds; what it shares with others counts by its share."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def free_port() -> int:
    """Return a port on which nobody listens."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens, all different."""
    with ExitStack() as held:
        free = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in free]


def wait_for(port: int) -> None:
    """Return once somebody listens there; ends the bench if nobody does in time."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            with socket.create_connection((HOST, port)):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}")
