"""The keys of a node: public parts for everybody, signers for who has the passphrase.

A role may have several keys, one after the other. A new key is written to the file before the log
adds it, so neither is ever without the other; what the log did not add counts for nothing, and is
gone at the next change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bcca_node.ledger import keyfile
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.keyfile import ALGORITHMS, Box, KeyFile, SealedKey
from bcca_node.ledger.keylines import KeyRecord
from bcca_node.ledger.words import from_words, to_words
from bcca_protocol import wire
from bcca_protocol.entry import Genesis, KeyAdd, Predecessor, parse_entry
from bcca_protocol.errors import MalformedError, RefusedError, UnusableError
from bcca_protocol.keys import KEY_BYTES, Algorithm, Role, SeedSigner, Signer, VerifierKey
from bcca_protocol.wire import b64

FILE: Final = keyfile.FILE
SCRYPT_N = 2**15  # with r = 8: 32 MB and a tenth of a second for each guess

_FIRST = len(ALGORITHMS)  # with so many keys a log begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """The open keys of a node: who signs now, and the secret its nonces are made with.

    `log_signers` sign the heads of the log: one key, and two while it gives way to the next.
    `seals` open what was sealed to this node: good keys before others, the newest first.
    """

    signers: Mapping[Role, Signer]
    secret: bytes
    log_signers: tuple[Signer, ...]
    seals: tuple[X25519PrivateKey, ...]

    def signer(self, role: Role) -> Signer:
        """Return who signs as `role`."""
        return self.signers[role]


class Keystore:
    """The public part of DATA/keys.json; `open` gives the rest."""

    def __init__(
        self,
        file: KeyFile,
        known: Mapping[int, KeyRecord] | None = None,
        written: bytes | None = None,
    ) -> None:
        """Read the verifier keys; of those behind the first ones, only what `known` has.

        `written` is how the file stands on the disk. Raises MalformedError where a role has none.
        """
        self._file = file
        self._written = wire.encode(file) if written is None else written
        self.origin = file.origin
        missing = ALGORITHMS.keys() - {each.role for each in file.keys}
        if missing:
            raise MalformedError(f"it has no {' and no '.join(sorted(missing))} key")
        held = [
            KeyRecord(role=each.role, key=VerifierKey.parse(each.vkey), index=each.index)
            for each in file.keys
        ]
        there = {} if known is None else known
        added = [e for e in held if e.index in there and there[e.index].key == e.key]
        kept = held if known is None else [e for e in held if e in held[:_FIRST] or e in added]
        self.keys = tuple(there[each.index] if each in added else each for each in kept)
        self.unconfirmed = tuple(each for each in held if each not in kept)

    @classmethod
    def read(cls, data: Path) -> "Keystore":
        """Return the keys of the data folder, closed; raises UnusableError."""
        path = data / FILE
        try:
            written = path.read_bytes()
            return cls(wire.read(written, keyfile.DECODER, what=FILE), written=written)
        except FileNotFoundError as error:
            raise UnusableError(f"{path} is not there: run `bcca init` first") from error
        except (OSError, RefusedError) as error:
            raise UnusableError(f"{path}: cannot be read: {error}") from error

    def confirmed(self, known: Mapping[int, KeyRecord]) -> "Keystore":
        """Return the keys that the log has added, and what became of each there.

        Those with which it began are kept: without them, database and keys are of two nodes.
        """
        return Keystore(self._file, known, self._written)

    def good(self, role: Role) -> tuple[KeyRecord, ...]:
        """Return the keys of `role` that are still good, the newest last."""
        return tuple(each for each in self.keys if each.role is role and each.ended is None)

    def record(self, role: Role) -> KeyRecord:
        """Return the newest good key of `role`, or the newest of all where none is good."""
        return (self.good(role) or [each for each in self.keys if each.role is role])[-1]

    def entries(self) -> list[str]:
        """Return the lines with which a log of these keys begins."""
        recovery, continues = self._file.recovery_hash, self._file.continues
        genesis = f"bcca/v1 genesis {recovery}" + (f" {continues}" if continues else "")
        added = (KeyAdd(role=each.role, key=each.key) for each in self.keys[:_FIRST])
        return [parse_entry(genesis).encode(), *(entry.encode() for entry in added)]

    def recovery(self, words: str) -> Signer:
        """Return the recovery key of this log; raises UnusableError for the words of another."""
        signer = SeedSigner(name=self.origin, algorithm=Algorithm.ED25519, seed=from_words(words))
        found = b64(sha256(signer.key.public).digest())
        if found != self._file.recovery_hash:
            raise UnusableError(
                f"these words are of a recovery key with SHA-256 {found}, the log of {self.origin} "
                f"began with {self._file.recovery_hash}: they are of another node"
            )
        return signer

    def unlock(self, passphrase: str) -> Box:
        """Return what opens the keys and seals new ones; raises UnusableError."""
        box = Box(passphrase, self._file.scrypt)
        box.secret(self._file.secret)
        return box

    def opened(self, box: Box) -> Keyring:
        """Return the open keys."""
        seeds = {each.vkey: box.seed(each) for each in self._file.keys}

        def signer(record: KeyRecord) -> Signer:
            algorithm, seed = ALGORITHMS[record.role], seeds[record.key.encode()]
            return SeedSigner(name=self.origin, algorithm=algorithm, seed=seed)

        # A seal key receives and does not sign.
        signing = [role for role in ALGORITHMS if role is not Role.SEAL]
        signers: dict[Role, Signer] = {role: signer(self.record(role)) for role in signing}
        logs = self.good(Role.LOG) or (self.record(Role.LOG),)
        ordered = sorted(
            (each for each in self.keys if each.role is Role.SEAL),
            key=lambda each: (each.ended is not None, -each.index),
        )
        return Keyring(
            signers=signers,
            secret=box.secret(self._file.secret),
            log_signers=tuple(map(signer, logs)),
            seals=tuple(
                X25519PrivateKey.from_private_bytes(seeds[each.key.encode()]) for each in ordered
            ),
        )

    def open(self, passphrase: str) -> Keyring:
        """Return the open keys; raises UnusableError for another passphrase."""
        return self.opened(self.unlock(passphrase))

    def changed(
        self, index: int, keys: Sequence[SealedKey], known: Mapping[int, KeyRecord], secret: str
    ) -> "Keystore":
        """Return the keys once the entries from `index` on are in the log.

        `keys` are the new ones, `known` all that the log has then; no `secret` leaves the old one.
        """
        left = {each.index for each in self.unconfirmed}
        file = msgspec.structs.replace(
            self._file,
            keys=(*(each for each in self._file.keys if each.index not in left), *keys),
            secret=secret or self._file.secret,
            changed=index,
        )
        return Keystore(file, known)

    def save(self, data: Path) -> None:
        """Write the file, in the place of the one that is there; raises UnusableError.

        Nobody else writes it meanwhile: what a kill left half-written is removed.
        """
        try:
            for left in data.glob(f".{FILE}.*"):
                left.unlink()
            write_whole(data / FILE, self._written, mode=0o600)
        except OSError as error:
            raise UnusableError(f"{data / FILE}: cannot be written: {error}") from error

    def require_unchanged(self, data: Path) -> None:
        """Return if the file is still the one that was read, else raise UnusableError."""
        try:
            same = (data / FILE).read_bytes() == self._written
        except OSError as error:
            raise UnusableError(f"{data / FILE}: cannot be read: {error}") from error
        if not same:
            raise UnusableError(
                f"{data / FILE} has changed since the process that signs read it: nothing is "
                "entered with keys that may have been retired; start it again (`bcca serve`)"
            )


def require_none(data: Path, passphrase: str) -> None:
    """Return if keys can be made in `data`; raises UnusableError if there are, or no passphrase."""
    if (data / FILE).exists():
        raise UnusableError(f"{data / FILE} is there already: its keys are not made anew")
    if not passphrase:
        raise UnusableError("the passphrase is empty: choose one that protects the keys")


def create(
    data: Path,
    origin: str,
    passphrase: str,
    *,
    scrypt_n: int = SCRYPT_N,
    continues: Predecessor | None = None,
) -> tuple[Keystore, str]:
    """Make the keys of a new node in `data`; return them and the recovery key in words.

    `continues` is the head at which a log ended that the new one goes on with. The words are
    nowhere else. Raises UnusableError as `require_none` does.
    """
    require_none(data, passphrase)
    cost = keyfile.cost(scrypt_n)
    box = Box(passphrase, cost)
    recovery = token_bytes(KEY_BYTES)
    public = SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=recovery).key.public
    genesis = Genesis(recovery_hash=sha256(public).digest(), predecessor=continues)
    _, _, hashed, *before = genesis.encode().split(" ", 3)
    file = KeyFile(
        version="1",
        origin=origin,
        scrypt=cost,
        recovery_hash=hashed,
        keys=tuple(box.forge(origin, role, index) for index, role in enumerate(ALGORITHMS, 1)),
        secret=box.forge_secret(),
        continues=before[0] if before else None,
    )
    keys = Keystore(file)
    keys.save(data)
    return keys, to_words(recovery)
