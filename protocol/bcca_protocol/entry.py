"""The lines of a log, one an entry (SPEC 5.3): hashes and keys, never a number.

bcca/v1 genesis <b64 recovery hash> [<origin> <size> <b64 root> of a predecessor]
bcca/v1 key add <role> <vkey>
bcca/v1 key retire <index of its add>
bcca/v1 key compromised <index of its add> <last good index> <b64 recovery key> <b64 signature>
bcca/v1 statement <commitment> <index of the signing key's add> <b64 signature hash>
bcca/v1 status <b64 handle> revoked|corrected|superseded <commitment of its successor or ->
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.keys import KEY_BYTES, Algorithm, Role, VerifierKey, require_name
from bcca_protocol.limits import MAX_ENTRY_BYTES, MAX_TREE_SIZE
from bcca_protocol.merkle import HASH_BYTES
from bcca_protocol.wire import HEX_DIGEST, b64, decimal_int, unb64

NONCE_BYTES = 16
SIGNATURE_BYTES = 64  # RFC 8032, 5.1.6

# What a key of each role is. The recovery key is never added: genesis commits to it.
_ALGORITHM_OF: Mapping[str, Algorithm] = {
    Role.LOG: Algorithm.ED25519,
    Role.STATEMENT: Algorithm.ED25519,
    Role.REQUEST: Algorithm.ED25519,
    Role.WITNESS: Algorithm.ED25519_COSIGNATURE,
    Role.SEAL: Algorithm.X25519,
}
_HEX_DIGEST = re.compile(HEX_DIGEST)
_E = TypeVar("_E", bound=StrEnum)


class Status(StrEnum):
    """What became of a statement, the strongest first."""

    REVOKED = "revoked"
    CORRECTED = "corrected"
    SUPERSEDED = "superseded"

    def outweighs(self, other: "Status") -> bool:
        """Say whether this status replaces `other`: revoked > corrected > superseded."""
        order = tuple(Status)
        return order.index(self) < order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """The head at which another log ended that this one continues."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        require_name(self.origin)
        _require_index("predecessor's size", self.size)
        _require_bytes("predecessor's root", self.root, HASH_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """Entry 0: what the log's owner can prove to be even when every other key is stolen."""

    recovery_hash: bytes
    predecessor: Predecessor | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _require_bytes("recovery hash", self.recovery_hash, HASH_BYTES)

    def encode(self) -> str:
        """Return the entry as a line."""
        line = f"bcca/v1 genesis {b64(self.recovery_hash)}"
        if self.predecessor is None:
            return line
        before = self.predecessor
        return f"{line} {before.origin} {before.size} {b64(before.root)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAdd:
    """From here on, `key` is good for `role`."""

    role: Role
    key: VerifierKey

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        algorithm = _ALGORITHM_OF.get(self.role)
        if algorithm is not self.key.algorithm:
            needed = "never added" if algorithm is None else algorithm.name
            raise MalformedError(
                f"key add {self.role}: {self.key.label} is {self.key.algorithm.name}, "
                f"and a key of this role is {needed}"
            )

    def encode(self) -> str:
        """Return the entry as a line."""
        return f"bcca/v1 key add {self.role} {self.key.encode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRetire:
    """From here on, the key added at index `add` is good for nothing new."""

    add: int

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _require_index("key add", self.add)

    def encode(self) -> str:
        """Return the entry as a line."""
        return f"bcca/v1 key retire {self.add}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCompromised:
    """The key added at index `add` was stolen after index `last_good`; the recovery key says so."""

    add: int
    last_good: int
    recovery_key: bytes
    signature: bytes

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _require_index("key add", self.add)
        _require_index("last good index", self.last_good)
        _require_bytes("recovery key", self.recovery_key, KEY_BYTES)
        _require_bytes("signature", self.signature, SIGNATURE_BYTES)

    def encode(self) -> str:
        """Return the entry as a line."""
        signed = f"{b64(self.recovery_key)} {b64(self.signature)}"
        return f"bcca/v1 key compromised {self.add} {self.last_good} {signed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementEntry:
    """A statement is published, signed by the key added at index `key`."""

    commitment: bytes
    key: int
    signature_hash: bytes

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _require_bytes("commitment", self.commitment, HASH_BYTES)
        _require_index("key add", self.key)
        _require_bytes("signature hash", self.signature_hash, HASH_BYTES)

    def encode(self) -> str:
        """Return the entry as a line."""
        return f"bcca/v1 statement {self.commitment.hex()} {self.key} {b64(self.signature_hash)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEntry:
    """What became of the statement that only those who hold it can tell from its handle."""

    handle: bytes
    status: Status
    successor: bytes | None

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _require_bytes("status handle", self.handle, HASH_BYTES)
        if self.successor is not None:
            _require_bytes("successor", self.successor, HASH_BYTES)

    def encode(self) -> str:
        """Return the entry as a line."""
        successor = "-" if self.successor is None else self.successor.hex()
        return f"bcca/v1 status {b64(self.handle)} {self.status} {successor}"


Entry: TypeAlias = Genesis | KeyAdd | KeyRetire | KeyCompromised | StatementEntry | StatusEntry


def parse_entry(line: str) -> Entry:
    """Return the entry that encodes to `line`.

    Raises LimitError over MAX_ENTRY_BYTES, else MalformedError.
    """
    if len(line.encode(errors="replace")) > MAX_ENTRY_BYTES:
        raise LimitError(f"log entry: over {MAX_ENTRY_BYTES} bytes")
    entry = _parse(line)
    if entry.encode() != line:
        raise MalformedError(f"log entry {line!r}: written {entry.encode()!r}")
    return entry


def status_handle(nonce: bytes, commitment: bytes) -> bytes:
    """Return the name under which a log states what became of a statement."""
    _require_bytes("nonce", nonce, NONCE_BYTES)
    _require_bytes("commitment", commitment, HASH_BYTES)
    return hashlib.sha256(b"bcca/v1 status\n" + nonce + commitment).digest()


def compromised_message(origin: str, add: int, last_good: int) -> bytes:
    """Return what the recovery key signs to void a stolen key."""
    return f"bcca/v1 key compromised\n{origin}\n{add}\n{last_good}\n".encode()


def _parse(line: str) -> Entry:
    match line.split(" "):
        case ["bcca/v1", "genesis", recovery]:
            return Genesis(recovery_hash=unb64(recovery, "recovery hash"))
        case ["bcca/v1", "genesis", recovery, *before]:
            return Genesis(
                recovery_hash=unb64(recovery, "recovery hash"), predecessor=_predecessor(before)
            )
        case ["bcca/v1", "key", change, *fields]:
            return _parse_key(change, fields)
        case ["bcca/v1", "statement", commitment, key, signature_hash]:
            return StatementEntry(
                commitment=_unhex(commitment),
                key=decimal_int(key, "key add"),
                signature_hash=unb64(signature_hash, "signature hash"),
            )
        case ["bcca/v1", "status", handle, status, successor]:
            return StatusEntry(
                handle=unb64(handle, "status handle"),
                status=_member(Status, status),
                successor=None if successor == "-" else _unhex(successor),
            )
        case _:
            raise MalformedError(f"log entry {line[:80]!r}: of no known kind")


def _parse_key(change: str, fields: list[str]) -> KeyAdd | KeyRetire | KeyCompromised:
    match change, fields:
        case "add", [role, vkey]:
            return KeyAdd(role=_member(Role, role), key=VerifierKey.parse(vkey))
        case "retire", [add]:
            return KeyRetire(add=decimal_int(add, "key add"))
        case "compromised", [add, last_good, recovery_key, signature]:
            return KeyCompromised(
                add=decimal_int(add, "key add"),
                last_good=decimal_int(last_good, "last good index"),
                recovery_key=unb64(recovery_key, "recovery key"),
                signature=unb64(signature, "signature"),
            )
        case _:
            raise MalformedError(f"log entry: key {change[:80]!r} of {len(fields)} fields")


def _predecessor(fields: list[str]) -> Predecessor:
    match fields:
        case [origin, size, root]:
            return Predecessor(
                origin=origin,
                size=decimal_int(size, "predecessor's size"),
                root=unb64(root, "predecessor's root"),
            )
        case _:
            raise MalformedError(f"predecessor: {len(fields)} fields, where 3 belong")


def _member(kind: type[_E], text: str) -> _E:
    try:
        return kind(text)
    except ValueError as error:
        raise MalformedError(f"log entry: {text[:80]!r} is none of {', '.join(kind)}") from error


def _unhex(text: str) -> bytes:
    if not _HEX_DIGEST.fullmatch(text):
        raise MalformedError(f"commitment {text[:80]!r}: not 64 lower-case hex digits")
    return bytes.fromhex(text)


def _require_bytes(what: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise MalformedError(f"{what}: {len(value)} bytes, where {size} belong")


def _require_index(what: str, value: int) -> None:
    if not 0 <= value <= MAX_TREE_SIZE:
        raise MalformedError(f"{what}: {value}, which is not between 0 and {MAX_TREE_SIZE}")
