"""Who signs: verifier keys, their roles, and the one Ed25519 rule (SPEC 5.1).

Libraries disagree on the edge cases of Ed25519. Here the encoded y of the public key A and of the
signature's R is below p and is not one of the five values of low order; then the library decides.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.limits import MAX_ORIGIN_BYTES
from bcca_protocol.wire import b64, showable, unb64

KEY_BYTES = 32
KEY_ID_BYTES = 4

_P = 2**255 - 19
_Y_BITS = 2**255 - 1  # the top bit of an encoded point is the sign of x
_Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# The y of the points of order 4, 1, 2 and (two of them) 8: C2SP/CCTV ed25519, README.
_LOW_ORDER_Y = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})

_NAME = re.compile(r"[^\s+\ud800-\udfff]+")  # c2sp.org/signed-note: no Unicode space, no plus


class Role(StrEnum):
    """What one key is for: a key has one role."""

    LOG = "log"
    STATEMENT = "statement"
    REQUEST = "request"
    WITNESS = "witness"
    SEAL = "seal"
    RECOVERY = "recovery"


class Algorithm(IntEnum):
    """The type byte in front of a public key (c2sp.org/signed-note)."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    X25519 = 0xFF  # receives sealed files; the private types of C2SP carry a name of their own

    @property
    def prefix(self) -> bytes:
        """What stands before the public key in a verifier key."""
        return b"\xffx25519" if self is Algorithm.X25519 else bytes([self])


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A named public key: `<name>+<hex id>+<base64 of type and key>` (c2sp.org/signed-note)."""

    name: str
    algorithm: Algorithm
    public: bytes
    id: bytes = field(init=False, compare=False)
    _text: str = field(init=False, compare=False, repr=False)
    _loaded: Ed25519PublicKey | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no verifier may accept; load the key once for many signatures."""
        require_name(self.name)
        if len(self.public) != KEY_BYTES:
            raise MalformedError(
                f"verifier key {self.name!r}: {len(self.public)} bytes, not {KEY_BYTES}"
            )
        typed = self.algorithm.prefix + self.public
        identity = hashlib.sha256(self.name.encode() + b"\n" + typed).digest()[:KEY_ID_BYTES]
        object.__setattr__(self, "id", identity)
        object.__setattr__(self, "_text", f"{self.name}+{identity.hex()}+{b64(typed)}")
        object.__setattr__(self, "_loaded", self._load())

    def __reduce__(self) -> tuple[Callable[[str], "VerifierKey"], tuple[str]]:
        """Travel between processes as text."""
        return VerifierKey.parse, (self.encode(),)

    def _load(self) -> Ed25519PublicKey | None:
        if self.algorithm is Algorithm.X25519:
            return None
        if not _is_strict_point(self.public):
            raise MalformedError(
                f"verifier key {self.label}: {self.public.hex()} is of low order, or not below p"
            )
        return Ed25519PublicKey.from_public_bytes(self.public)

    @property
    def label(self) -> str:
        """`<name>+<hex id>`: how a signature names its key."""
        return f"{self.name}+{self.id.hex()}"

    def encode(self) -> str:
        """Return the verifier key as text."""
        return self._text

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that encodes to `text`, or raise MalformedError."""
        match text.split("+", 2):  # base64 may hold a plus, a name may not
            case [name, _, encoded]:
                key = cls._decode(name, unb64(encoded, f"key of {name[:80]!r}"))
            case _:
                raise MalformedError(f"verifier key {text[:80]!r}: not <name>+<id>+<key>")
        if key.encode() != text:
            raise MalformedError(f"verifier key {text[:400]!r} is written {key.encode()!r}")
        return key

    @classmethod
    def _decode(cls, name: str, typed: bytes) -> Self:
        for algorithm in Algorithm:
            if typed.startswith(algorithm.prefix):
                public = typed.removeprefix(algorithm.prefix)
                return cls(name=name, algorithm=algorithm, public=public)
        raise MalformedError(f"verifier key {name!r}: unknown type {typed[:1].hex()!r}")

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if this key signed `message`, else raise SignatureError."""
        if self._loaded is None:
            raise SignatureError(f"not signed by {self.label}: it receives and does not sign")
        if not _is_strict_point(signature[:KEY_BYTES]):
            raise SignatureError(f"not signed by {self.label}: R is of low order, or not below p")
        try:
            self._loaded.verify(signature, message)
        except InvalidSignature as error:
            raise SignatureError(f"not signed by {self.label}") from error


class Signer(Protocol):
    """Whatever signs with one key: a seed in memory, a token, a key service."""

    @property
    def key(self) -> VerifierKey:
        """The key that verifies what this signs."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSigner:
    """A signer that holds its Ed25519 seed in memory (RFC 8032, 5.1.5)."""

    name: str
    algorithm: Algorithm
    seed: bytes = field(repr=False)
    key: VerifierKey = field(init=False, compare=False)
    _private: Ed25519PrivateKey = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Derive the verifier key; raises UnusableError for what cannot sign."""
        if self.algorithm is Algorithm.X25519:
            raise UnusableError(f"seal key {self.name!r}: it receives and does not sign")
        if len(self.seed) != KEY_BYTES:
            raise UnusableError(f"seed of {self.name!r}: {len(self.seed)} bytes, not {KEY_BYTES}")
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        public = private.public_key().public_bytes_raw()
        key = VerifierKey(name=self.name, algorithm=self.algorithm, public=public)
        object.__setattr__(self, "_private", private)
        object.__setattr__(self, "key", key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature of `message`."""
        return self._private.sign(message)


def require_name(name: str) -> None:
    """Return if `name` may name a key, else raise MalformedError or LimitError."""
    if not _NAME.fullmatch(name) or showable(name) != name:
        raise MalformedError(f"key name {name[:80]!r}: empty, or holds a space, plus or control")
    if len(name.encode()) > MAX_ORIGIN_BYTES:
        raise LimitError(f"key name: {len(name.encode())} bytes, over {MAX_ORIGIN_BYTES}")


def _is_strict_point(encoded: bytes) -> bool:
    y = int.from_bytes(encoded, "little") & _Y_BITS
    return y < _P and y not in _LOW_ORDER_Y
