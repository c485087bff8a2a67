"""A node in one file, taken while it serves and publishes (SPEC 14.3).

The database is copied as it stands at one instant, the files after it: keys are written before the
log names them, so no key of the copy is missing. No passphrase is needed; seeds stay sealed.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import structs

from bcca_node.ledger import archive, checkup, log
from bcca_node.ledger.archive import DATABASE, KEYS, POLICY, SETTINGS, Manifest, Member
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.keystore import Keystore
from bcca_node.ledger.node import Node
from bcca_node.ledger.trust import ENDED
from bcca_node.settings import Settings
from bcca_node.storage import logs, transfer, witnessed
from bcca_node.storage.database import Database
from bcca_node.storage.tables import SCHEMA_VERSION
from bcca_protocol import merkle, period
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.keys import Role
from bcca_protocol.wire import b64


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """What a backup file holds; `digest` is the SHA-256 of the file."""

    origin: str
    size: int
    made: str
    digest: str

    @classmethod
    def of(cls, manifest: Manifest, digest: str) -> "BackedUp":
        """Return what a manifest says, of a file with that digest."""
        told = {"origin": manifest.origin, "made": manifest.made, "digest": digest}
        return cls(size=int(manifest.size), **told)


def backup(node: Node, file: Path) -> BackedUp:
    """Write all of `node` into `file`, mode 0600; return what is in it.

    Raises UnusableError for a file that is there already and for a node whose log does not hold
    together, UnavailableError or OSError where there is no room; then there is no file.
    """
    if file.exists():
        raise UnusableError(f"{file} is there already: name another, backups are not overwritten")
    if not file.parent.is_dir():
        raise UnusableError(f"{file.parent} is no folder: make it, or name another")
    with TemporaryDirectory(prefix=".bcca-", dir=file.parent) as made:
        folder = Path(made)
        _copy_tables(node, folder)
        _copy_files(node.settings.data, folder)
        _mark(folder)
        origin, size, root = checked(folder)
        manifest = Manifest(
            format="bcca/v1 backup",
            made=period.text_at(node.clock()),
            members=tuple(_members(folder)),
            origin=origin,
            root=b64(root),
            schema=str(SCHEMA_VERSION),
            size=str(size),
        )
        digest = sha256()
        try:
            written = _hashed(archive.pieces(manifest, folder), digest.update)
            write_whole(file, written, mode=0o600)
        except RefusedError as error:
            raise UnusableError(f"{node.settings.data}: {error}: it cannot be kept") from error
    return BackedUp.of(manifest, digest.hexdigest())


def checked(folder: Path) -> tuple[str, int, bytes]:
    """Return origin, size and root of the log in a folder; raises UnusableError if it is broken."""
    settings = structs.replace(Settings.load(folder, {}), database="")
    with closing(Node.open(settings)) as node:
        wrong = next(checkup.problems(node), None)
        if wrong is not None:
            raise UnusableError(f"the log of {node.origin} does not hold together: {wrong}")
        with node.database.read() as session:
            size = logs.size(session)
            return node.origin, size, merkle.root_hash(size, log.subtree(session, size))


def _copy_tables(node: Node, folder: Path) -> None:
    with node.database.read() as session:
        transfer.write_copy(session, folder / DATABASE)


def _copy_files(data: Path, folder: Path) -> None:
    """Copy what a node has beside its database; the settings and keys it cannot do without."""
    ended = sorted((data / ENDED).glob("*.txt"))
    if ended:
        (folder / ENDED).mkdir()
    optional = [each for each in (data / POLICY,) if each.exists()]
    for each in (data / SETTINGS, data / KEYS, *optional, *ended):
        shutil.copyfile(each, folder / each.relative_to(data))


def _mark(folder: Path) -> None:
    """Say in the copy that it is one: its log asks first, and its witness keys cosign no more.

    It is in the file, so it also counts for whoever unpacks it by hand (SPEC 5.7 and 5.11).
    """
    keys = Keystore.read(folder).keys
    with closing(Database(f"sqlite:///{folder / DATABASE}")) as copy, copy.write() as session:
        logs.set_restored(session, is_restored=True)
        for each in keys:
            if each.role is Role.WITNESS:
                witnessed.forget(session, each.key.encode())


def _members(folder: Path) -> Iterator[Member]:
    policy = [POLICY] if (folder / POLICY).exists() else []
    ended = (f"{ENDED}/{each.name}" for each in (folder / ENDED).glob("*.txt"))
    for name in (SETTINGS, KEYS, *policy, *sorted(ended), DATABASE):
        with (folder / name).open("rb") as content:
            yield archive.member(name, content)


def _hashed(pieces: Iterator[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece
