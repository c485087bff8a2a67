"""The keys of a node at rest: public parts for everybody, seeds under a passphrase.

DATA/keys.json has one derivation by scrypt (RFC 7914) for the whole file, and ChaCha20-Poly1305
(RFC 8439) around each seed, bound to the verifier key it belongs to.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from bcca_node.ledger.files import write_whole
from bcca_node.ledger.words import to_words
from bcca_protocol import wire
from bcca_protocol.entry import Genesis, KeyAdd
from bcca_protocol.errors import MalformedError, RefusedError, UnusableError
from bcca_protocol.keys import KEY_BYTES, Algorithm, Role, SeedSigner, Signer, VerifierKey
from bcca_protocol.wire import Record, b64, unb64

FILE = "keys.json"
SCRYPT_N = 2**15  # with r = 8: 32 MB and a tenth of a second for each guess
MAX_SCRYPT_N = 2**20  # with r = 8: 1 GB

_ALGORITHMS: Mapping[Role, Algorithm] = {
    Role.LOG: Algorithm.ED25519,
    Role.STATEMENT: Algorithm.ED25519,
    Role.REQUEST: Algorithm.ED25519,
    Role.WITNESS: Algorithm.ED25519_COSIGNATURE,
    Role.SEAL: Algorithm.X25519,
}
_SECRET = "nonce secret"  # noqa: S105 - what is sealed, not what opens it
_AEAD_NONCE_BYTES = 12  # RFC 8439, 2.8
_SALT_BYTES = 16
_R, _P = 8, 1  # RFC 7914, 2: n alone says how costly a guess is


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """The public part of a key, and the log entry that added it."""

    role: Role
    key: VerifierKey
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """The open keys of a node: one signer a role, and the secret its nonces are made with."""

    signers: Mapping[Role, Signer]
    secret: bytes

    def signer(self, role: Role) -> Signer:
        """Return who signs as `role`."""
        return self.signers[role]


class Keystore:
    """The public part of DATA/keys.json; `open` gives the rest."""

    def __init__(self, file: "_File") -> None:
        """Read the verifier keys; raises MalformedError where one is missing."""
        self._file = file
        self.origin = file.origin
        missing = _ALGORITHMS.keys() - {each.role for each in file.keys}
        if missing:
            raise MalformedError(f"it has no {' and no '.join(sorted(missing))} key")
        self.keys = tuple(
            KeyRecord(role=each.role, key=VerifierKey.parse(each.vkey), index=each.index)
            for each in file.keys
        )

    @classmethod
    def read(cls, data: Path) -> "Keystore":
        """Return the keys of the data folder, closed; raises UnusableError."""
        path = data / FILE
        try:
            return cls(wire.read(path.read_bytes(), _DECODER, what=FILE))
        except FileNotFoundError as error:
            raise UnusableError(f"{path} is not there: run `bcca init` first") from error
        except (OSError, RefusedError) as error:
            raise UnusableError(f"{path}: cannot be read: {error}") from error

    def record(self, role: Role) -> KeyRecord:
        """Return the newest key of `role`."""
        return next(each for each in reversed(self.keys) if each.role is role)

    def entries(self) -> list[str]:
        """Return the lines with which a log of these keys begins."""
        genesis = Genesis(recovery_hash=unb64(self._file.recovery_hash, "recovery hash"))
        added = (KeyAdd(role=each.role, key=each.key) for each in self.keys)
        return [genesis.encode(), *(entry.encode() for entry in added)]

    def open(self, passphrase: str) -> Keyring:
        """Return the open keys; raises UnusableError for another passphrase."""
        box = _box(passphrase, self._file.scrypt)
        seeds = {each.role: _unseal(box, each.sealed, each.vkey) for each in self._file.keys}
        del seeds[Role.SEAL]  # it receives and does not sign
        signers: dict[Role, Signer] = {
            role: SeedSigner(name=self.origin, algorithm=_ALGORITHMS[role], seed=seed)
            for role, seed in seeds.items()
        }
        return Keyring(signers=signers, secret=_unseal(box, self._file.secret, _SECRET))


def require_none(data: Path, passphrase: str) -> None:
    """Return if keys can be made in `data`; raises UnusableError if there are, or no passphrase."""
    if (data / FILE).exists():
        raise UnusableError(f"{data / FILE} is there already: its keys are not made anew")
    if not passphrase:
        raise UnusableError("the passphrase is empty: choose one that protects the keys")


def create(
    data: Path, origin: str, passphrase: str, *, scrypt_n: int = SCRYPT_N
) -> tuple[Keystore, str]:
    """Make the keys of a new node in `data`; return them and the recovery key in words.

    The words are nowhere else. Raises UnusableError as `require_none` does.
    """
    require_none(data, passphrase)
    kdf = _Scrypt(n=scrypt_n, r=_R, p=_P, salt=b64(token_bytes(_SALT_BYTES)))
    box = _box(passphrase, kdf)
    recovery = token_bytes(KEY_BYTES)
    public = SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=recovery).key.public
    file = _File(
        version="1",
        origin=origin,
        scrypt=kdf,
        recovery_hash=b64(sha256(public).digest()),
        keys=tuple(_make(box, origin, role, index) for index, role in enumerate(_ALGORITHMS, 1)),
        secret=_seal(box, token_bytes(KEY_BYTES), _SECRET),
    )
    write_whole(data / FILE, wire.encode(file), mode=0o600)
    return Keystore(file), to_words(recovery)


class _Scrypt(Record, frozen=True):
    n: int
    r: int
    p: int
    salt: str


class _Key(Record, frozen=True):
    role: Role
    vkey: str
    index: int
    sealed: str


class _File(Record, frozen=True):
    version: Literal["1"]
    origin: wire.Origin
    scrypt: _Scrypt
    recovery_hash: str
    keys: tuple[_Key, ...]
    secret: str


_DECODER = msgspec.json.Decoder(_File)


def _make(box: ChaCha20Poly1305, origin: str, role: Role, index: int) -> _Key:
    seed = token_bytes(KEY_BYTES)
    vkey = _verifier(origin, _ALGORITHMS[role], seed).encode()
    return _Key(role=role, vkey=vkey, index=index, sealed=_seal(box, seed, vkey))


def _verifier(origin: str, algorithm: Algorithm, seed: bytes) -> VerifierKey:
    if algorithm is not Algorithm.X25519:
        return SeedSigner(name=origin, algorithm=algorithm, seed=seed).key
    public = X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return VerifierKey(name=origin, algorithm=algorithm, public=public)


def _box(passphrase: str, kdf: _Scrypt) -> ChaCha20Poly1305:
    if not 1 < kdf.n <= MAX_SCRYPT_N or kdf.n.bit_count() != 1 or (kdf.r, kdf.p) != (_R, _P):
        raise UnusableError(f"{FILE}: scrypt of n = {kdf.n}, r = {kdf.r}, p = {kdf.p} is not ours")
    # One passphrase, however a keyboard composes its letters.
    typed = unicodedata.normalize("NFC", passphrase).encode(errors="surrogateescape")
    salt = unb64(kdf.salt, f"salt of {FILE}")
    return ChaCha20Poly1305(Scrypt(salt, KEY_BYTES, kdf.n, kdf.r, kdf.p).derive(typed))


def _seal(box: ChaCha20Poly1305, secret: bytes, label: str) -> str:
    nonce = token_bytes(_AEAD_NONCE_BYTES)
    return b64(nonce + box.encrypt(nonce, secret, label.encode()))


def _unseal(box: ChaCha20Poly1305, sealed: str, label: str) -> bytes:
    raw = unb64(sealed, f"{label} in {FILE}")
    try:
        return box.decrypt(raw[:_AEAD_NONCE_BYTES], raw[_AEAD_NONCE_BYTES:], label.encode())
    except InvalidTag as error:
        raise UnusableError(f"{FILE}: this passphrase does not open it") from error
