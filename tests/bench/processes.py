"""Processes that a bench starts beside itself, and the ports on which they listen."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

HOST = "127.0.0.1"
START_SECONDS = 30.0

_BCCA = "import sys; from bcca_node.entry import main; sys.exit(main())"


def bcca_serve(data: Path, *more: str) -> list[str]:
    """Return the command that serves a node's folder, as its operator does."""
    return [sys.executable, "-c", _BCCA, "serve", "--data", str(data), *more]


@contextmanager
def running(command: Sequence[str], stderr: int, told: Mapping[str, str]) -> Iterator[int]:
    """Run a command, `told` more variables, until the context ends; yield the process's id."""
    with subprocess.Popen(command, env={**os.environ, **told}, stderr=stderr) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


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
