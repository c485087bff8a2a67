"""One organisation's node: its settings, its data and its keys. A process may hold twenty."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from bcca_node.ledger import keystore, log
from bcca_node.ledger.keystore import SCRYPT_N, Keyring, Keystore
from bcca_node.ledger.trust import Trust
from bcca_node.settings import Settings
from bcca_node.storage import logs
from bcca_node.storage.database import Database, is_there
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.keys import Role, VerifierKey


def system_clock() -> int:
    """Return the time in POSIX seconds."""
    return int(time.time())


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node with its database open; without `keyring` it reads and serves, and signs nothing."""

    settings: Settings
    database: Database
    keystore: Keystore
    trust: Trust
    keyring: Keyring | None = None
    clock: Callable[[], int] = system_clock

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
        keyring = None if passphrase is None else keys.open(passphrase)
        if not is_there(settings.database_url):
            raise UnusableError(
                f"{settings.database_url} is not there, and this node was set up: restore it"
            )
        return cls(
            settings=settings,
            database=Database(settings.database_url),
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
        """The key that verifies this node's checkpoints."""
        return self.keystore.record(Role.LOG).key

    @property
    def keys(self) -> Keyring:
        """The open keys; raises UnusableError if nobody gave the passphrase."""
        if self.keyring is None:
            raise UnusableError(f"node {self.origin}: its keys are closed, give the passphrase")
        return self.keyring

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def init(settings: Settings, passphrase: str, *, scrypt_n: int = SCRYPT_N) -> str:
    """Set up a new node in its data folder; return its recovery key in words, kept nowhere else.

    Raises UnusableError if there is a node, or something of one.
    """
    settings.require_none()
    keystore.require_none(settings.data, passphrase)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.database_url)
    try:
        # Whoever sets up the same node at the same time waits here, and is then refused.
        with database.write() as session:
            if logs.size(session):
                raise UnusableError(f"{settings.database_url} holds a log already")
            keys, words = keystore.create(
                settings.data, settings.origin, passphrase, scrypt_n=scrypt_n
            )
            try:
                log.append(session, keys.entries())
                log.sign(session, keys.open(passphrase).signer(Role.LOG))
                settings.save()
            except BccaError:
                (settings.data / keystore.FILE).unlink()  # keys that nothing was begun with
                raise
    finally:
        database.close()
    return words
