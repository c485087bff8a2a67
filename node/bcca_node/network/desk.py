"""The desk: a socket in the data folder through which a serving node publishes for its operator.

Whoever may enter the folder may publish: the socket has mode 0600, and nobody is asked for more.
"""

import http.client
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bcca_node.network.client import Answer
from bcca_protocol.errors import LimitError, UnavailableError
from bcca_protocol.wire import showable

FILE = "desk.sock"
MAX_PATH_BYTES = 100  # an address of a Unix socket has 104 to 108 bytes, depending on the system
MAX_ANSWER_BYTES = 64 * 1024 * 1024  # 200 bytes for each of 300,000 statements
SECONDS = 300.0  # for thousands of statements to be signed, or another writer's turn to end

_CREDENTIALS = struct.Struct("3i")  # of who listens, on Linux: process, user, group
_FOLDERS = Path("/proc/self/fd")  # where Linux shows an open folder under a short name


@contextmanager
def listening(data: Path) -> Iterator[socket.socket]:
    """Yield the socket at which a desk in `data` can be served; it is gone afterwards.

    One that a killed process left behind is replaced. Raises UnavailableError where another
    process serves it, and where no socket can be.
    """
    path = data / FILE
    if _is_long(data) and not _FOLDERS.is_dir():
        raise UnavailableError(
            f"{path}: a path of over {MAX_PATH_BYTES} bytes, too long for a socket, so there is "
            "no desk: `bcca publish` asks for the passphrase; or move the data folder"
        )
    if is_open(data):
        raise UnavailableError(f"{path}: another process of this node serves it already")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            own = _bind(listener, path)
        except OSError as error:
            raise UnavailableError(f"{path}: no socket can be there: {error.strerror}") from error
        try:
            yield listener
        finally:
            if path.exists() and path.stat().st_ino == own:
                path.unlink()


def is_open(data: Path) -> bool:
    """Say whether a process serves the desk of the node in `data`."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
            knocking.settimeout(SECONDS)
            _connect(knocking, data)
    except OSError:
        return False
    return True


def process(data: Path) -> str:
    """Return the number of the process that serves the desk in `data`, `?` where none is told."""
    with suppress(OSError, AttributeError), socket.socket(socket.AF_UNIX) as knocking:
        _connect(knocking, data)
        told = knocking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return str(_CREDENTIALS.unpack(told)[0])
    return "?"


def ask(data: Path, target: str, body: bytes | None = None) -> Answer:
    """Return what the desk answers to a GET, or to a POST of `body`, whatever its status.

    Raises UnavailableError where nobody serves it or the answer is cut off, LimitError.
    """
    connection = _Connection(data)
    try:
        connection.request("GET" if body is None else "POST", target, body)
        response = connection.getresponse()
        answer = response.read(MAX_ANSWER_BYTES + 1)
        if response.length and len(answer) <= MAX_ANSWER_BYTES:
            raise http.client.IncompleteRead(answer, response.length)  # killed while it answered
    except (OSError, http.client.HTTPException) as error:
        reason = showable(str(error)) or type(error).__name__
        raise UnavailableError(
            f"{data / FILE}: the serving node gave no answer ({reason}): it may have entered what "
            "was sent; ask again, nothing is entered twice"
        ) from error
    finally:
        connection.close()
    if len(answer) > MAX_ANSWER_BYTES:
        raise LimitError(f"{data / FILE}: an answer of over {MAX_ANSWER_BYTES} bytes")
    return Answer(
        status=response.status, content_type=response.getheader("content-type", ""), body=answer
    )


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, data: Path) -> None:
        super().__init__("desk", timeout=SECONDS)
        self._data = data

    def connect(self) -> None:
        """Connect to the socket in the folder instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        _connect(self.sock, self._data)


def _connect(client: socket.socket, data: Path) -> None:
    with _short(data) as folder:
        client.connect(str(folder / FILE))


def _bind(listener: socket.socket, path: Path) -> int:
    """Listen at `path`, which nobody else can reach at any time; return the file's number."""
    fresh = path.with_name(f".d{os.getpid()}")  # no longer than the name it gets
    fresh.unlink(missing_ok=True)
    try:
        with _short(path.parent) as folder:
            listener.bind(str(folder / fresh.name))
        fresh.chmod(0o600)
        listener.listen(socket.SOMAXCONN)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path.stat().st_ino


def _is_long(data: Path) -> bool:
    return len(os.fsencode((data / FILE).absolute())) > MAX_PATH_BYTES


@contextmanager
def _short(data: Path) -> Iterator[Path]:
    """Yield a path of the folder that is short enough for the address of a socket in it."""
    if not _is_long(data):
        yield data
        return
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _FOLDERS / str(folder)
    finally:
        os.close(folder)
