"""One organisation's node: its settings, its data and its keys. A process may hold twenty."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from bcca_node.ledger import keylines, keystore, log
from bcca_node.ledger.clearance import Clearance
from bcca_node.ledger.files import only_writer, own
from bcca_node.ledger.keystore import SCRYPT_N, Keyring, Keystore
from bcca_node.ledger.trust import Trust
from bcca_node.settings import Settings
from bcca_node.storage import logs
from bcca_node.storage.calls import Calls
from bcca_node.storage.database import Database, is_there
from bcca_node.storage.engines import named
from bcca_node.storage.memo import Memo, Pages
from bcca_protocol.entry import Predecessor
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.keys import Role, VerifierKey
from bcca_protocol.note import Note, verify_note


def system_clock() -> int:
    """Return the time in POSIX seconds."""
    return int(time.time())


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node with its database open; without `keyring` it reads and serves, and signs nothing."""

    settings: Settings
    database: Database
    calls: Calls
    keystore: Keystore
    trust: Trust
    keyring: Keyring | None = None
    clock: Callable[[], int] = system_clock
    clearance: Clearance = field(default_factory=Clearance)
    memo: Memo = field(default_factory=Memo)
    pages: Pages = field(default_factory=Pages)

    @classmethod
    def open(
        cls,
        settings: Settings,
        passphrase: str | None = None,
        *,
        clock: Callable[[], int] = system_clock,
    ) -> Self:
        """Return the node of a data folder; raises UnusableError, UnavailableError."""
        keys = Keystore.read(settings.data)
        if keys.origin != settings.origin:
            raise UnusableError(
                f"{settings.data}: the settings say {settings.origin}, the keys are {keys.origin}'s"
            )
        box = None if passphrase is None else keys.unlock(passphrase)
        if not is_there(settings.database_url):
            raise UnusableError(
                f"{named(settings.database_url)} is not there, and this node was set up: restore it"
            )
        database = Database(settings.database_url)
        try:
            with database.read() as session:
                known = keylines.read(logs.lines_like(session, keylines.BEGINNING))
            keys = keys.confirmed(known)
            keyring = None if box is None else keys.opened(box)
        except BccaError:
            database.close()
            raise
        return cls(
            settings=settings,
            database=database,
            calls=Calls(settings.database_url),
            keystore=keys,
            trust=Trust(settings.data),
            keyring=keyring,
            clock=clock,
        )

    @property
    def origin(self) -> str:
        """Whose node it is: the name of its log and the issuer of its statements."""
        return self.settings.origin

    @property
    def log_key(self) -> VerifierKey:
        """The newest key that verifies this node's checkpoints."""
        return self.keystore.record(Role.LOG).key

    @property
    def log_keys(self) -> tuple[VerifierKey, ...]:
        """Every key that signed heads of this log, the newest last."""
        return tuple(each.key for each in self.keystore.keys if each.role is Role.LOG)

    def key_of(self, head: str) -> VerifierKey:
        """Return the newest key of this log that signed `head`: an older one may, alone.

        Raises SignatureError where none did.
        """
        signed = verify_note(Note.parse(head), self.log_keys)
        return next(each for each in reversed(self.log_keys) if each in signed)

    @property
    def keys(self) -> Keyring:
        """The open keys; raises UnusableError if nobody gave the passphrase."""
        if self.keyring is None:
            raise UnusableError(f"node {self.origin}: its keys are closed, give the passphrase")
        return self.keyring

    def moment(self) -> tuple[int, int] | None:
        """Return what `memo` keeps answers for; None where it can keep none."""
        changes = self.database.changes()
        return None if changes is None else (changes, self.clock())

    def close(self) -> None:
        """Close the database, and what is remembered of calls."""
        self.calls.close()
        self.database.close()


def found(
    settings: Settings,
    passphrase: str,
    *,
    scrypt_n: int = SCRYPT_N,
    clock: Callable[[], int] = system_clock,
    continues: Predecessor | None = None,
) -> Node:
    """Set up a new node as `init` does, and return it open and cleared to append.

    Nobody can have seen more of a log that this process has just begun.
    """
    init(settings, passphrase, scrypt_n=scrypt_n, continues=continues)
    node = Node.open(settings, passphrase, clock=clock)
    with node.database.read() as session:
        node.clearance.grant(logs.size(session))
    return node


def init(
    settings: Settings,
    passphrase: str,
    *,
    scrypt_n: int = SCRYPT_N,
    continues: Predecessor | None = None,
) -> str:
    """Set up a new node in its data folder; return its recovery key in words, kept nowhere else.

    Its log `continues` another from the head at which that ended, if there is one. Raises
    UnusableError if there is a node, or something of one.
    """
    settings.require_none()
    keystore.require_none(settings.data, passphrase)
    with only_writer(settings.data, mode=0o700):
        own(settings.data)
        return _begin(settings, passphrase, scrypt_n, continues)


def _begin(
    settings: Settings, passphrase: str, scrypt_n: int, continues: Predecessor | None
) -> str:
    """Begin the log and write the files of a new node; return its recovery key in words."""
    database = Database(settings.database_url)
    try:
        # Whoever sets up the same node at the same time waits, here too, and is then refused.
        with database.write() as session:
            if logs.size(session):
                raise UnusableError(f"{database.name} holds a log already")
            keys, words = keystore.create(
                settings.data,
                settings.origin,
                passphrase,
                scrypt_n=scrypt_n,
                continues=continues,
            )
            try:
                log.append(session, keys.entries())
                log.sign(session, keys.open(passphrase).log_signers)
                Calls(settings.database_url).begin()
                settings.save()
            except BccaError:
                (settings.data / keystore.FILE).unlink()  # keys that nothing was begun with
                raise
    finally:
        database.close()
    return words
