"""DATA/keys.json as it stands on the disk (SPEC 14.1), and the box its seeds are sealed in.

One derivation by scrypt (RFC 7914) for the whole file, and ChaCha20-Poly1305 (RFC 8439) around
each seed, bound to the verifier key it belongs to.
"""

import unicodedata
from collections.abc import Mapping
from secrets import token_bytes
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from bcca_protocol import wire
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import KEY_BYTES, Algorithm, Role, SeedSigner, VerifierKey
from bcca_protocol.wire import Record, b64, showable, unb64

FILE = "keys.json"
MAX_SCRYPT_N = 2**20  # with r = 8: 1 GB

ALGORITHMS: Mapping[Role, Algorithm] = {
    Role.LOG: Algorithm.ED25519,
    Role.STATEMENT: Algorithm.ED25519,
    Role.REQUEST: Algorithm.ED25519,
    Role.WITNESS: Algorithm.ED25519_COSIGNATURE,
    Role.SEAL: Algorithm.X25519,
}
_SECRET = "nonce secret"  # noqa: S105 - what is sealed, not what opens it
_AEAD_NONCE_BYTES = 12  # RFC 8439, 2.8
_SEALED_BYTES = _AEAD_NONCE_BYTES + KEY_BYTES + 16  # the tag: RFC 8439, 2.8
_SALT_BYTES = 16
_R, _P = 8, 1  # RFC 7914, 2: n alone says how costly a guess is


class ScryptCost(Record, frozen=True):
    """How the key of the box is derived."""

    n: int
    r: int
    p: int
    salt: str


class SealedKey(Record, frozen=True):
    """A key, the log entry that adds it, and its seed."""

    role: Role
    vkey: str
    index: int
    sealed: str


class KeyFile(Record, frozen=True):
    """The file. `changed` is the log entry with which it was last written anew."""

    version: Literal["1"]
    origin: wire.Origin
    scrypt: ScryptCost
    recovery_hash: str
    keys: tuple[SealedKey, ...]
    secret: str
    continues: str | None = None
    changed: int = 0


DECODER = msgspec.json.Decoder(KeyFile)


class Box:
    """What the passphrase opens: it seals and unseals."""

    def __init__(self, passphrase: str, cost: ScryptCost) -> None:
        """Derive the key; raises UnusableError for costs that this program would not choose."""
        n = cost.n
        if not 1 < n <= MAX_SCRYPT_N or n.bit_count() != 1 or (cost.r, cost.p) != (_R, _P):
            raise UnusableError(
                f"{FILE}: scrypt of n = {n}, r = {cost.r}, p = {cost.p} is not ours"
            )
        # One passphrase, however a keyboard composes its letters.
        typed = unicodedata.normalize("NFC", passphrase).encode(errors="surrogateescape")
        salt = unb64(cost.salt, f"salt of {FILE}")
        self._box = ChaCha20Poly1305(Scrypt(salt, KEY_BYTES, n, _R, _P).derive(typed))

    def forge(self, origin: str, role: Role, index: int = 0) -> SealedKey:
        """Return a new key, its seed sealed; the log has it at `index` once that is entered."""
        seed = token_bytes(KEY_BYTES)
        vkey = _verifier(origin, ALGORITHMS[role], seed).encode()
        return SealedKey(role=role, vkey=vkey, index=index, sealed=self._seal(seed, vkey))

    def forge_secret(self) -> str:
        """Return a new secret for nonces, sealed."""
        return self._seal(token_bytes(KEY_BYTES), _SECRET)

    def seed(self, key: SealedKey) -> bytes:
        """Return the seed of a key; raises UnusableError if the passphrase was another."""
        return self._unseal(key.sealed, key.vkey)

    def secret(self, sealed: str) -> bytes:
        """Return the secret for nonces; raises UnusableError if the passphrase was another."""
        return self._unseal(sealed, _SECRET)

    def _seal(self, secret: bytes, label: str) -> str:
        nonce = token_bytes(_AEAD_NONCE_BYTES)
        return b64(nonce + self._box.encrypt(nonce, secret, label.encode()))

    def _unseal(self, sealed: str, label: str) -> bytes:
        raw = unb64(sealed, f"{label} in {FILE}")
        if len(raw) != _SEALED_BYTES:
            raise UnusableError(
                f"{FILE}: what is sealed as {showable(label)[:80]!r} has {len(raw)} bytes, where "
                f"{_SEALED_BYTES} belong: put the file back from a backup"
            )
        try:
            return self._box.decrypt(
                raw[:_AEAD_NONCE_BYTES], raw[_AEAD_NONCE_BYTES:], label.encode()
            )
        except InvalidTag as error:
            raise UnusableError(f"{FILE}: this passphrase does not open it") from error


def cost(n: int) -> ScryptCost:
    """Return how to derive the key of a new box."""
    return ScryptCost(n=n, r=_R, p=_P, salt=b64(token_bytes(_SALT_BYTES)))


def _verifier(origin: str, algorithm: Algorithm, seed: bytes) -> VerifierKey:
    if algorithm is not Algorithm.X25519:
        return SeedSigner(name=origin, algorithm=algorithm, seed=seed).key
    public = X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return VerifierKey(name=origin, algorithm=algorithm, public=public)
