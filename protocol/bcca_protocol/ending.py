"""End notes: how the owner of a log whose log key was stolen stops it (SPEC 5.9).

    bcca/v1 end
    <origin>
    <last good size>
    <base64 of the root at that size>
    <verifier key of the successor's log>
    <base64 of the recovery public key>

This is the text of a signed note (c2sp.org/signed-note) with one signature, by the recovery key:
the one key that no node holds, and to which entry 0 of the log commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from bcca_protocol import note
from bcca_protocol.entry import SIGNATURE_BYTES, Genesis, parse_entry
from bcca_protocol.errors import (
    AuthorshipError,
    ConflictError,
    MalformedError,
    RefusedError,
    UnusableError,
)
from bcca_protocol.keys import KEY_BYTES, Algorithm, Signer, VerifierKey, require_name
from bcca_protocol.limits import MAX_TREE_SIZE
from bcca_protocol.merkle import HASH_BYTES
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.wire import b64, decimal_int, unb64

HEADING = "bcca/v1 end"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndNote:
    """Nothing of log `origin` counts behind its first `size` entries; `successor` goes on.

    The recovery key that it names has signed it; whether that is the log's own, `require_by` says.
    """

    origin: str
    size: int
    root: bytes
    successor: VerifierKey
    recovery_key: bytes
    signature: bytes

    def __post_init__(self) -> None:
        """Refuse what could not be read back, and what its recovery key has not signed."""
        require_name(self.origin)
        if not 0 < self.size <= MAX_TREE_SIZE:
            raise MalformedError(f"end note: size {self.size} is not 1 to {MAX_TREE_SIZE}")
        _require_bytes("root", self.root, HASH_BYTES)
        _require_bytes("recovery key", self.recovery_key, KEY_BYTES)
        _require_bytes("signature", self.signature, SIGNATURE_BYTES)
        if self.successor.algorithm is not Algorithm.ED25519:
            raise MalformedError(f"end note: {self.successor.label} is no key of a log")
        if self.successor.name == self.origin or self.successor.public == self.recovery_key:
            raise MalformedError(
                f"end note of {self.origin}: {self.successor.label} is no successor: that is "
                "another origin, with a log key of its own"
            )
        self.key.verify(self.signature, self.text.encode())

    @property
    def key(self) -> VerifierKey:
        """The recovery key, under the name of the log."""
        return VerifierKey(name=self.origin, algorithm=Algorithm.ED25519, public=self.recovery_key)

    @property
    def text(self) -> str:
        """What the recovery key signs."""
        return _text(self.origin, self.size, self.root, self.successor, self.recovery_key)

    def encode(self) -> str:
        """Return the signed note."""
        key = self.key
        signed = NoteSignature(name=key.name, key_id=key.id, blob=self.signature)
        return Note(text=self.text, signatures=(signed,)).encode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the end note that encodes to `text`.

        Raises MalformedError, LimitError, or SignatureError where its recovery key has not signed.
        """
        found = Note.parse(text)
        heading, *lines = found.text.removesuffix("\n").split("\n")
        if heading != HEADING or (len(lines), len(found.signatures)) != (5, 1):
            raise MalformedError(
                f"end note: {1 + len(lines)} lines with {len(found.signatures)} signatures, where "
                f"{HEADING!r}, five more lines and one signature belong"
            )
        origin, size, root, successor, recovery = lines
        end = cls(
            origin=origin,
            size=decimal_int(size, "end note's size"),
            root=unb64(root, "end note's root"),
            successor=VerifierKey.parse(successor),
            recovery_key=unb64(recovery, "recovery key"),
            signature=found.signatures[0].blob,
        )
        if end.encode() != text:
            raise MalformedError("end note: not in the form it would be written in")
        return end

    def require_by(self, genesis: Genesis) -> None:
        """Return if the log that begins with `genesis` is its own, else raise AuthorshipError."""
        found = sha256(self.recovery_key).digest()
        if found != genesis.recovery_hash:
            raise AuthorshipError(
                f"end note of {self.origin}: signed by a recovery key with SHA-256 {b64(found)}, "
                f"the log's genesis has {b64(genesis.recovery_hash)}"
            )

    def require_head(self, root: bytes) -> None:
        """Return if the log's first `size` entries have `root`, else raise ConflictError."""
        if root != self.root:
            raise ConflictError(
                f"end note of {self.origin}: it ends with {self.size} entries of root "
                f"{self.root.hex()}, this log's first {self.size} have {root.hex()}"
            )


def sign_end(
    origin: str, size: int, root: bytes, successor: VerifierKey, signer: Signer
) -> EndNote:
    """Return the end note of a log; `signer` holds its recovery key.

    Raises UnusableError for a signer of another name or kind, MalformedError for no successor.
    """
    key = signer.key
    if (key.name, key.algorithm) != (origin, Algorithm.ED25519):
        raise UnusableError(f"end note of {origin}: {key.label} is not its recovery key")
    signed = note.sign(_text(origin, size, root, successor, key.public), [signer])
    return EndNote(
        origin=origin,
        size=size,
        root=root,
        successor=successor,
        recovery_key=key.public,
        signature=signed.signatures[0].blob,
    )


def genesis_of(origin: str, entries: Sequence[bytes]) -> Genesis:
    """Return entry 0 of a log; raises AuthorshipError where it commits to no recovery key."""
    try:
        first = parse_entry(entries[0].decode()) if entries else None
    except (RefusedError, UnicodeDecodeError):
        first = None
    if not isinstance(first, Genesis):
        raise AuthorshipError(f"log {origin}: its entry 0 commits to no recovery key")
    return first


def _text(origin: str, size: int, root: bytes, successor: VerifierKey, recovery_key: bytes) -> str:
    lines = (HEADING, origin, str(size), b64(root), successor.encode(), b64(recovery_key))
    return "".join(f"{line}\n" for line in lines)


def _require_bytes(what: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise MalformedError(f"end note: {what} of {len(value)} bytes, where {size} belong")
