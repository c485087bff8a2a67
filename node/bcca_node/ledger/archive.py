"""One file that holds a node: a tar archive, read only as this module would write it (SPEC 14.3).

The manifest comes first and says what follows, so that every later header is known before it is
read: no path, link or size of somebody else's is ever followed.
"""

import re
import tarfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from tarfile import BLOCKSIZE, RECORDSIZE, TarInfo
from typing import BinaryIO, Literal

import msgspec

from bcca_node.ledger.files import write_whole
from bcca_protocol import wire
from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.wire import HexDigest, Number, Origin, Record, Time, decimal_int, showable

MANIFEST, SETTINGS, KEYS, POLICY, DATABASE = (
    "manifest.json",
    "settings.toml",
    "keys.json",
    "policy.txt",
    "node.db",
)
MAX_MANIFEST_BYTES = 1024 * 1024  # names and digests of MAX_MEMBERS
MAX_MEMBERS = 1000  # an end note for each of a great many stolen logs
MAX_TEXT_BYTES = 1024 * 1024  # settings, keys, a policy, an end note
MAX_DATABASE_BYTES = 2**40  # a log of ten million statements takes a fifth of that

_ENDED = re.compile(r"ended/[A-Za-z0-9_][A-Za-z0-9._-]{0,80}\.txt")
_PIECE = 1024 * 1024  # bytes in memory at a time


class Member(Record, frozen=True):
    """A file of the archive."""

    name: str
    size: Number
    sha256: HexDigest


class Manifest(Record, frozen=True):
    """What the archive holds, and the log in it: `size` entries under `root`."""

    format: Literal["bcca/v1 backup"]
    made: Time
    members: tuple[Member, ...]
    origin: Origin
    root: str
    schema: Number
    size: Number


_DECODER = msgspec.json.Decoder(Manifest)


def member(name: str, content: BinaryIO) -> Member:
    """Return how a manifest speaks of a file."""
    digest, size = sha256(), 0
    while piece := content.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return Member(name=name, size=str(size), sha256=digest.hexdigest())


def pieces(manifest: Manifest, folder: Path) -> Iterator[bytes]:
    """Yield the archive of the files in `folder` that `manifest` names.

    Raises MalformedError or LimitError for what `unpack` would refuse.
    """
    _require_members(manifest.members)
    head = wire.encode(manifest)
    yield _header(MANIFEST, len(head)) + head + _padding(len(head))
    for each in manifest.members:
        size = _size(each)
        yield _header(each.name, size)
        with (folder / each.name).open("rb") as file:
            yield from _taken(file, size, each)
        yield _padding(size)
    yield bytes(_end(len(head), manifest.members))


def unpack(archive: BinaryIO, folder: Path) -> Manifest:
    """Write the files of an archive into `folder`, which is new; return its manifest.

    Raises MalformedError for any byte that `pieces` would not write, LimitError for too many.
    """
    manifest, length = _read_manifest(archive)
    _require_members(manifest.members)
    for each in manifest.members:
        path, size = folder / each.name, _size(each)
        if archive.read(BLOCKSIZE) != _header(each.name, size):
            raise MalformedError(f"{each.name}: what stands before it is not its header")
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(path, _taken(archive, size, each), mode=0o600)
        _require_padding(archive, size, each.name)
    end = _end(length, manifest.members)
    if archive.read(end + 1) != bytes(end):
        raise MalformedError("its end is missing, or something stands behind it")
    return manifest


def _read_manifest(archive: BinaryIO) -> tuple[Manifest, int]:
    """Return the manifest and its length; raises MalformedError, LimitError."""
    header = archive.read(BLOCKSIZE)
    try:
        size = TarInfo.frombuf(header, "ascii", "strict").size
    except (tarfile.TarError, ValueError) as error:
        raise MalformedError(f"this is no backup: {error}") from error
    if header != _header(MANIFEST, max(0, size)):
        raise MalformedError(
            f"this is no backup: it does not begin with {MANIFEST} as `bcca backup` writes it; an "
            "archive that was packed again does not either"
        )
    if size > MAX_MANIFEST_BYTES:
        raise LimitError(f"{MANIFEST}: {size} bytes, where at most {MAX_MANIFEST_BYTES} are read")
    content = archive.read(size)
    if len(content) < size:
        raise MalformedError(f"{MANIFEST}: it is cut off")
    _require_padding(archive, size, MANIFEST)
    return wire.decode(content, _DECODER, what=MANIFEST, limit=MAX_MANIFEST_BYTES), size


def _require_members(members: Sequence[Member]) -> None:
    """Return if these are the files of a node, each once and in their order."""
    names = [each.name for each in members]
    ended = [name for name in names if _ENDED.fullmatch(name)]
    if len(names) > MAX_MEMBERS:
        raise LimitError(f"{len(names)} files, where a node has at most {MAX_MEMBERS}")
    policy = [POLICY] if POLICY in names else []
    wanted = [SETTINGS, KEYS, *policy, *sorted(set(ended)), DATABASE]
    if names != wanted:
        other = next((a for a, b in zip(names, wanted, strict=False) if a != b), "the last")
        raise MalformedError(
            f"{MANIFEST}: {showable(other)[:80]!r} is no file of a node, or not here"
        )
    for each in members:
        limit = MAX_DATABASE_BYTES if each.name == DATABASE else MAX_TEXT_BYTES
        if _size(each) > limit:
            raise LimitError(f"{each.name}: {each.size} bytes, where at most {limit} are kept")


def _taken(file: BinaryIO, size: int, of: Member) -> Iterator[bytes]:
    """Yield `size` bytes of `file`; raises MalformedError unless they are those of the manifest."""
    digest = sha256()
    while size:
        piece = file.read(min(size, _PIECE))
        if not piece:
            raise MalformedError(f"{of.name}: it is cut off, {size} bytes are missing")
        size -= len(piece)
        digest.update(piece)
        yield piece
    if digest.hexdigest() != of.sha256:
        raise MalformedError(
            f"{of.name}: it hashes to {digest.hexdigest()}, the manifest says {of.sha256}"
        )


def _require_padding(archive: BinaryIO, size: int, name: str) -> None:
    padding = _padding(size)
    if archive.read(len(padding)) != padding:
        raise MalformedError(f"{name}: it is cut off, or goes on behind its end")


def _size(of: Member) -> int:
    return decimal_int(of.size, f"size of {of.name}")


def _header(name: str, size: int) -> bytes:
    told = TarInfo(name)
    told.size, told.mode = size, 0o600
    return told.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCKSIZE)


def _end(manifest: int, members: Sequence[Member]) -> int:
    """Return how many zero bytes end the archive: two blocks, and on to a whole record."""
    sizes = (manifest, *map(_size, members))
    total = sum(BLOCKSIZE + size + -size % BLOCKSIZE for size in sizes)
    return 2 * BLOCKSIZE + -(total + 2 * BLOCKSIZE) % RECORDSIZE
