"""Statements sealed to one recipient, in files at names that nobody else can guess (SPEC 13.12).

A web server that shows such files learns neither what is in them, nor about what, nor for whom.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal, Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bcca_node.network.lines import Item, decode_lines, encode_lines
from bcca_protocol import wire
from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.keys import KEY_BYTES, Algorithm, VerifierKey
from bcca_protocol.wire import HexDigest, Record, b64, unb64

FOLDER = "sealed"
MAX_SEALED_BYTES = 64 * 1024 * 1024  # of one file, opened whole: 2,000 usual statements
MIN_PADDED_BYTES = 32 * 1024  # one usual statement; longer ones are padded to twice that, and so on

_FORMAT: Final = "bcca/v1 sealed"
_SUITE: Final = "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305"  # RFC 9180, 7


class _File(Record, frozen=True):
    """A sealed file: `sealed` is the HPKE key and ciphertext, `tag` proves who sealed what."""

    format: Literal["bcca/v1 sealed"]
    suite: Literal["DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305"]
    sealed: str
    tag: HexDigest


_DECODER = msgspec.json.Decoder(_File)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An issuer and a recipient, and the secrets that the seal key of either gives with the other.

    One names the files, one tags what is in them.
    """

    issuer: str
    recipient: str
    _names: bytes = field(repr=False)
    _tags: bytes = field(repr=False)

    @classmethod
    def of(cls, own: X25519PrivateKey, other: VerifierKey, *, issuer: str, recipient: str) -> Self:
        """Return what the holder of `own` shares with that of `other`; raises UnusableError."""
        label = f"{_FORMAT}\n{issuer}\n{recipient}\n".encode()
        try:
            shared = own.exchange(_public(other))
        except ValueError as error:  # of low order: everybody would share it
            raise UnusableError(
                f"seal key {other.label}: of low order, so anybody reads what is sealed to it"
            ) from error
        made = HKDF(SHA256(), 2 * KEY_BYTES, salt=None, info=label).derive(shared)
        return cls(
            issuer=issuer, recipient=recipient, _names=made[:KEY_BYTES], _tags=made[KEY_BYTES:]
        )

    def name(self, product: str) -> str:
        """Return the name of the file about a product, under FOLDER."""
        return hmac.digest(self._names, product.encode(), sha256).hex()

    def tag(self, product: str, content: bytes) -> str:
        """Return what only these two can say of a content about a product."""
        digest = sha256(content).hexdigest()
        return hmac.digest(self._tags, f"{product}\n{digest}".encode(), sha256).hex()

    def info(self, product: str) -> bytes:
        """Return what a ciphertext is bound to: it opens as nothing else."""
        return f"{_FORMAT}\n{_SUITE}\n{self.issuer}\n{self.recipient}\n{product}\n".encode()


def require_usable(key: VerifierKey) -> None:
    """Return if something can be sealed to `key`; raises UnusableError."""
    Pair.of(X25519PrivateKey.generate(), key, issuer="", recipient="")


def seal(pair: Pair, to: VerifierKey, product: str, items: Iterable[Item]) -> bytes:
    """Return the file with `items` about a product, that the holder of `to` opens.

    Raises LimitError for more than a reader takes, UnusableError for a key that is none to seal to.
    """
    content = content_of(items)
    sealed = _suite().encrypt(_pad(content), _public(to), info=pair.info(product))
    tag = pair.tag(product, content)
    file = wire.encode(_File(format=_FORMAT, suite=_SUITE, sealed=b64(sealed), tag=tag))
    if len(file) > MAX_SEALED_BYTES:
        raise LimitError(
            f"{product}: its statements make a sealed file of {len(file)} bytes, where readers "
            f"take {MAX_SEALED_BYTES}: correct or withdraw what nobody needs"
        )
    return file


def is_of(file: bytes, pair: Pair, product: str, items: Iterable[Item]) -> bool:
    """Say whether a file that `pair` names holds just `items`, without opening it."""
    try:
        found = wire.decode(file, _DECODER, what="sealed file", limit=MAX_SEALED_BYTES)
    except (MalformedError, LimitError):
        return False
    return hmac.compare_digest(found.tag, pair.tag(product, content_of(items)))


def open_sealed(
    file: bytes, pair: Pair, product: str, keys: Sequence[X25519PrivateKey]
) -> list[Item]:
    """Return what a file at the name of `pair` says about a product, nothing of it verified yet.

    Raises MalformedError, LimitError, and SignatureError for a file that none of `keys` opens as
    sealed by this issuer, for this recipient, about this product.
    """
    what = f"sealed file of {pair.issuer} about {product}"
    found = wire.decode(file, _DECODER, what=what, limit=MAX_SEALED_BYTES)
    sealed, info = unb64(found.sealed, what), pair.info(product)
    opened = next(filter(None, (_opened(sealed, key, info) for key in keys)), None)
    if opened is None:
        raise SignatureError(
            f"{what}: none of the {len(keys)} seal keys of {pair.recipient} opens it, so it was "
            "sealed for somebody else, about something else, or has changed: ask for it anew"
        )
    content = _unpad(opened, what)
    if not hmac.compare_digest(found.tag, pair.tag(product, content)):
        raise SignatureError(
            f"{what}: its tag is {found.tag}, which {pair.issuer} would not have written for this "
            "content: somebody else sealed it"
        )
    return decode_lines(content)


def content_of(items: Iterable[Item]) -> bytes:
    """Return the lines that are sealed, as they would be served."""
    return b"".join(encode_lines(items))


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def _public(key: VerifierKey) -> X25519PublicKey:
    if key.algorithm is not Algorithm.X25519:
        raise UnusableError(f"{key.label}: not a seal key, nothing can be sealed to it")
    return X25519PublicKey.from_public_bytes(key.public)


def _opened(sealed: bytes, key: X25519PrivateKey, info: bytes) -> bytes | None:
    try:
        return _suite().decrypt(sealed, key, info=info)
    except InvalidTag:
        return None


def _pad(content: bytes) -> bytes:
    """Return `content` up to the next power of two in zero bytes: its length tells little."""
    size = max(MIN_PADDED_BYTES, 1 << (len(content) - 1).bit_length())
    return content.ljust(size, b"\0")


def _unpad(padded: bytes, what: str) -> bytes:
    content = padded.rstrip(b"\0")  # lines of JSON end in a line feed
    if not content or _pad(content) != padded:
        raise MalformedError(f"{what}: {len(padded)} bytes are not how {len(content)} are padded")
    return content
