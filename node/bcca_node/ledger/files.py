"""Files that are there whole or not at all, also after a power cut."""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_whole(path: Path, content: bytes | Iterable[bytes], mode: int = 0o644) -> None:
    """Put `content`, or its pieces, at `path`, in the place of what was there.

    Its folder exists.
    """
    pieces = [content] if isinstance(content, bytes) else content
    # In a container every process has the same number, and a killed one leaves its file behind.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(_create(temporary, path, mode), "wb") as out:
            out.writelines(pieces)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _create(temporary: Path, path: Path, mode: int) -> int:
    """Open a new file; raises OSError of the name that somebody gave."""
    try:
        return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_changed(path: Path, content: bytes) -> bool:
    """Put `content` at `path` unless that is what it says already; say whether it was written.

    Its folder is made if it is not there.
    """
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return True


@contextmanager
def only_writer(folder: Path, mode: int = 0o777) -> Iterator[None]:
    """Make `folder` and hold it, so that processes which write into it take turns."""
    while True:
        folder.mkdir(mode, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(folder, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def own(folder: Path) -> None:
    """Close `folder` to every other account.

    Where it is another account's, it stays as it is: what is not for everybody is in files with
    mode 0600.
    """
    with suppress(PermissionError):
        folder.chmod(0o700)


def _is_at(folder: Path, descriptor: int) -> bool:
    """Say whether `folder` is still the one that was opened: who had the turn may remove it."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
