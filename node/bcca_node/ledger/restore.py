"""A node put back from its backup: into an empty folder, as a whole or not at all (SPEC 14.3)."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from msgspec import structs
from sqlmodel import Session

from bcca_node.ledger import archive
from bcca_node.ledger.archive import DATABASE, KEYS, MANIFEST, POLICY, SETTINGS, Manifest
from bcca_node.ledger.backup import BackedUp, checked
from bcca_node.ledger.files import only_writer, own, sync_folder
from bcca_node.ledger.trust import ENDED
from bcca_node.settings import Settings
from bcca_node.storage import logs, pactclients, partners, transfer
from bcca_node.storage.database import Database, claim, is_in, remove
from bcca_node.storage.tables import SCHEMA_VERSION
from bcca_protocol.errors import BccaError, MalformedError, UnusableError
from bcca_protocol.wire import b64, decimal_int

_STAGE = ".restoring"  # what a killed restore leaves in the folder, for the next to clear away


def restore(
    file: Path, data: Path, *, environment: Mapping[str, str], database: str | None = None
) -> BackedUp:
    """Put the node of a backup into `data`, an empty folder or none; return what is there now.

    Its tables go to `database`, else to where its settings say. It is marked: before it appends,
    every witness is asked (SPEC 5.11). No invitation is open any more, and no PACT token good: it
    may be used, or ended, by now.
    Raises UnusableError for anything else than a whole backup, and for a folder or a database with
    a node in it; then nothing is left of this one, but for an empty file of tables outside of
    `data`.
    """
    is_new = not data.exists()
    with _turn(data), ExitStack() as undo:
        folder = _stage(data, undo, is_new=is_new)
        manifest, digest = _unpacked(file, folder)
        told = {} if database is None else {"database": database}
        there = structs.replace(Settings.load(folder, environment, **told), data=data)
        if database is not None:
            _tell(folder, database)
        with _tables(there, undo) as session, closing(_copy(folder)) as copy:
            with copy.read() as reading:
                for table, batch in transfer.rows(reading):
                    transfer.put(session, table, batch)
            logs.set_restored(session, is_restored=True)
            partners.withdraw_open(session)
            pactclients.drop_every_token(session)
            _move(folder, data, undo)
        undo.pop_all()
        shutil.rmtree(folder)
    return BackedUp.of(manifest, digest)


def _unpacked(file: Path, folder: Path) -> tuple[Manifest, str]:
    """Unpack a backup into `folder`, and hold what is in it against its manifest.

    Raises UnusableError for anything else than a whole backup of this version.
    """
    try:
        with file.open("rb") as opened:
            manifest = archive.unpack(opened, folder)
            opened.seek(0)
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if decimal_int(manifest.schema, f"schema of {MANIFEST}") != SCHEMA_VERSION:
            raise MalformedError(
                f"its tables have version {manifest.schema}, this program's {SCHEMA_VERSION}: "
                "restore it with the program that made it"
            )
        transfer.require_copy(folder / DATABASE)
        origin, size, root = checked(folder)
    except OSError as error:
        raise UnusableError(f"{file}: cannot be read: {error}; nothing was restored") from error
    except BccaError as error:
        raise UnusableError(f"{file}: {error}; nothing was restored") from error
    found, said = (origin, str(size), b64(root)), (manifest.origin, manifest.size, manifest.root)
    if found != said:
        raise UnusableError(
            f"{file}: the manifest says {' '.join(said)}, the log in it has {' '.join(found)}; "
            "nothing was restored"
        )
    return manifest, digest


def _tell(folder: Path, database: str) -> None:
    """Write into the settings where the tables are."""
    settings = Settings.load(folder, {}, database=database)
    (folder / SETTINGS).unlink()
    settings.save()


@contextmanager
def _turn(data: Path) -> Iterator[None]:
    """Make `data` and hold it; who restores into it at the same time finds what is there then."""
    with ExitStack() as held:
        try:
            held.enter_context(only_writer(data, mode=0o700))
        except OSError as error:
            raise UnusableError(f"{data}: cannot be used: {error}") from error
        yield


def _stage(data: Path, undo: ExitStack, *, is_new: bool) -> Path:
    """Return an empty folder inside `data`; raises UnusableError where something else is there."""
    others = sorted(each.name for each in data.iterdir() if each.name != _STAGE)
    if others:
        raise UnusableError(
            f"{data}: {others[0]} is there already: name an empty folder, a backup replaces nothing"
        )
    if is_new:
        undo.callback(_remove_empty, data)
    undo.callback(_remove, data / _STAGE)
    _remove(data / _STAGE)
    (data / _STAGE).mkdir(mode=0o700)
    return data / _STAGE


def _remove(path: Path) -> None:
    """Remove what a restore has put at `path`, if anything."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # something of somebody else's is in it
        folder.rmdir()


@contextmanager
def _tables(settings: Settings, undo: ExitStack) -> Iterator[Session]:
    """Yield a session on a database without a log; raises UnusableError for one that has any."""
    url = settings.database_url
    # Elsewhere another restore may wait for its turn on the same file: without tables it may stay.
    if claim(url) and is_in(url, settings.data):
        undo.callback(remove, url)
    with closing(Database(url)) as database, database.write() as session:
        if logs.size(session):
            raise UnusableError(
                f"{database.name} holds a log already: name another with --database"
            )
        yield session


def _copy(folder: Path) -> Database:
    return Database(f"sqlite:///{folder / DATABASE}")


def _move(folder: Path, data: Path, undo: ExitStack) -> None:
    """Put the files of a node in their place, its settings last: with them there is a node."""
    own(data)
    for name in (KEYS, POLICY, ENDED, SETTINGS):
        if (folder / name).exists():
            undo.callback(_remove, data / name)
            (folder / name).rename(data / name)
    sync_folder(data)
