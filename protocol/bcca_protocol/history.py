"""What a log's entries say together: which key was valid at which index, what became of what.

Entries are read in order, all of them, from index 0 (SPEC 5.4 to 5.6). Time is an index: a thief
can set back a clock, but cannot put an entry before others under a cosigned checkpoint.
"""

from binascii import a2b_base64, b2a_base64, hexlify, unhexlify
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from typing import Self

import msgspec

from bcca_protocol.entry import (
    Entry,
    Genesis,
    KeyAdd,
    KeyCompromised,
    KeyRetire,
    StatementEntry,
    Status,
    StatusEntry,
    compromised_message,
    parse_entry,
)
from bcca_protocol.errors import AuthorshipError, LimitError, MalformedError, RefusedError
from bcca_protocol.keys import Algorithm, Role, VerifierKey
from bcca_protocol.limits import MAX_LOG_ENTRIES, MAX_LOG_KEYS
from bcca_protocol.merkle import HASH_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One key of a log and the indices at which it is valid: after `added`, before `retired`.

    A stolen key is valid up to `good_until`; a `void` one, added by whoever stole another, never.
    """

    role: Role
    key: VerifierKey
    added: int
    retired: int | None = None
    good_until: int | None = None
    void: bool = False

    def require_valid(self, at: int, what: str) -> None:
        """Return if `what`, at index `at`, may use the key, else raise AuthorshipError."""
        if self.void:
            raise AuthorshipError(f"{what}: void, added by whoever held a stolen key")
        if at <= self.added:
            raise AuthorshipError(f"{what}: the key was added later, at entry {self.added}")
        if self.good_until is not None and at > self.good_until:
            raise AuthorshipError(f"{what}: compromised after entry {self.good_until}")
        if self.retired is not None and at >= self.retired:
            raise AuthorshipError(f"{what}: retired at entry {self.retired}")


class StatementRecord(msgspec.Struct, frozen=True, gc=False):
    """The first entry of a commitment: of millions, and a Struct is made in half the time."""

    index: int
    key: int
    signature_hash: bytes

    def entry(self, commitment: bytes) -> StatementEntry:
        """Return the entry of which this is the record."""
        return StatementEntry(
            commitment=commitment, key=self.key, signature_hash=self.signature_hash
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRecord:
    """The strongest status of a handle, and the index of the first entry that states it."""

    index: int
    entry: StatusEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the `size` entries of one log say.

    Nothing counts from index `broken` on, where an entry is unknown or malformed; and then nothing
    of this log is current.
    """

    origin: str
    size: int
    genesis: Genesis | None
    statements: Mapping[bytes, StatementRecord]
    statuses: Mapping[bytes, StatusRecord]
    broken: int | None
    _keys: Mapping[int, KeyRecord]

    @classmethod
    def read(cls, origin: str, log_key: VerifierKey, entries: Iterable[bytes]) -> Self:
        """Return the history of `entries`, the whole log of `origin` that `log_key` signs.

        Raises LimitError over MAX_LOG_ENTRIES, AuthorshipError if the log has keys of its own and
        `log_key` is not one of them that is still valid at its end.
        """
        reader = _Reader(origin=origin)
        size, broken = reader.read(islice(entries, MAX_LOG_ENTRIES + 1))
        if size > MAX_LOG_ENTRIES:
            raise LimitError(f"log {origin}: over {MAX_LOG_ENTRIES} entries")
        history = cls(
            origin=origin,
            size=size,
            genesis=reader.genesis,
            statements=reader.statements,
            statuses=reader.statuses,
            broken=broken,
            _keys=reader.keys,
        )
        history._require_log_key(log_key)
        return history

    @property
    def keys(self) -> tuple[KeyRecord, ...]:
        """The keys of this log in the order of their entries."""
        return tuple(self._keys.values())

    def key_at(self, add_index: int, at_index: int, role: Role) -> VerifierKey:
        """Return the key added at `add_index` if it is valid for `role` at `at_index`.

        Raises AuthorshipError, which says why not.
        """
        what = f"log {self.origin}: entry {at_index} by key {add_index}"
        if self.broken is not None and at_index >= self.broken:
            raise AuthorshipError(f"{what}: nothing counts from the malformed entry {self.broken}")
        found = self._keys.get(add_index)
        if found is None:
            raise AuthorshipError(f"{what}: entry {add_index} adds no key")
        if found.role is not role:
            raise AuthorshipError(f"{what}: a {found.role} key, where a {role} key belongs")
        found.require_valid(at_index, what)
        return found.key

    def status_of(self, handle: bytes) -> Status | None:
        """Return the strongest status entered for `handle`, or None."""
        found = self.statuses.get(handle)
        return None if found is None else found.entry.status

    def _require_log_key(self, log_key: VerifierKey) -> None:
        """Raise AuthorshipError unless `log_key` may sign for all that was read."""
        own = {record.key: record for record in self.keys if record.role is Role.LOG}
        if not own:
            return
        if log_key not in own:
            names = ", ".join(key.label for key in own)
            raise AuthorshipError(
                f"log {self.origin}: signed by {log_key.label}, but its log keys are {names}"
            )
        end = self.size if self.broken is None else self.broken
        own[log_key].require_valid(end, f"log {self.origin}: its end by {log_key.label}")


_STATEMENT = b"bcca/v1 statement "


@dataclass(slots=True, kw_only=True)
class _Reader:
    """A history while it is read."""

    origin: str
    genesis: Genesis | None = None
    keys: dict[int, KeyRecord] = field(default_factory=dict)
    statements: dict[bytes, StatementRecord] = field(default_factory=dict)
    statuses: dict[bytes, StatusRecord] = field(default_factory=dict)
    publics: set[bytes] = field(default_factory=set)
    notices: int = 0

    def read(self, entries: Iterator[bytes]) -> tuple[int, int | None]:
        """Return how many entries there are, and the index of the first malformed one if any."""
        size = 0
        for index, line in enumerate(entries):
            size = index + 1
            if index and line.startswith(_STATEMENT) and self._read_statement(index, line):
                continue
            try:
                self._enter(index, parse_entry(line.decode()))
            except (RefusedError, UnicodeDecodeError):
                return size + sum(1 for _ in entries), index
        return size, None

    def _read_statement(self, index: int, line: bytes) -> bool:
        """Read a plain line without the general parser; return False to leave it to that."""
        try:
            commitment = unhexlify(line[18:82])
            key = int(line[83:-45])
            signature_hash = a2b_base64(line[-44:])
        except ValueError:
            return False
        written = b"%b%b %d %b" % (
            _STATEMENT,
            hexlify(commitment),
            key,
            b2a_base64(signature_hash, newline=False),
        )
        if written != line or len(signature_hash) != HASH_BYTES or not 0 <= key < index:
            return False
        record = StatementRecord(index, key, signature_hash)
        self.statements.setdefault(commitment, record)
        return True

    def _enter(self, index: int, entry: Entry) -> None:
        if isinstance(entry, Genesis) is not (index == 0):
            raise MalformedError(f"log {self.origin}: genesis is entry 0, and only there")
        match entry:
            case Genesis():
                self.genesis = entry
            case KeyAdd():
                self._add(index, entry)
            case KeyRetire(add=add):
                found = self._key(add)
                if found.retired is None:
                    self.keys[add] = replace(found, retired=index)
            case KeyCompromised():
                self._void(index, entry)
            case StatementEntry(commitment=commitment, key=key, signature_hash=signature_hash):
                record = StatementRecord(index, key, signature_hash)
                self.statements.setdefault(commitment, record)
            case StatusEntry(handle=handle, status=status):
                known = self.statuses.get(handle)
                if known is None or status.outweighs(known.entry.status):
                    self.statuses[handle] = StatusRecord(index=index, entry=entry)

    def _key(self, add: int) -> KeyRecord:
        found = self.keys.get(add)
        if found is None:
            raise MalformedError(f"log {self.origin}: entry {add} adds no key")
        return found

    def _add(self, index: int, entry: KeyAdd) -> None:
        """Enter a key; one public key has one role and is added once, so that stolen is stolen."""
        if len(self.keys) == MAX_LOG_KEYS:
            raise LimitError(f"log {self.origin}: over {MAX_LOG_KEYS} keys")
        public = entry.key.public
        if public in self.publics or self._is_recovery_key(public):
            raise MalformedError(f"log {self.origin}: {entry.key.label} has its role already")
        self.publics.add(public)
        self.keys[index] = KeyRecord(role=entry.role, key=entry.key, added=index)

    def _void(self, index: int, entry: KeyCompromised) -> None:
        """Enter a notice of theft; one that names no earlier last good index changes nothing.

        Else whoever holds the log key could repeat it, and so void the keys that came after.
        """
        stolen = self._key(entry.add)
        self._require_recovery_signature(entry)
        if entry.last_good >= index:
            raise MalformedError(
                f"log {self.origin}: entry {index} calls {entry.last_good}, yet to come, good"
            )
        if stolen.good_until is not None and stolen.good_until <= entry.last_good:
            return
        self.keys[entry.add] = replace(stolen, good_until=entry.last_good)
        for added, record in self.keys.items():
            if added > entry.last_good and not record.void:
                self.keys[added] = replace(record, void=True)

    def _require_recovery_signature(self, entry: KeyCompromised) -> None:
        self.notices += 1
        if self.notices > MAX_LOG_KEYS:
            raise LimitError(f"log {self.origin}: over {MAX_LOG_KEYS} notices of stolen keys")
        if not self._is_recovery_key(entry.recovery_key):
            raise MalformedError(f"log {self.origin}: not the recovery key of its genesis")
        key = VerifierKey(name=self.origin, algorithm=Algorithm.ED25519, public=entry.recovery_key)
        key.verify(entry.signature, compromised_message(self.origin, entry.add, entry.last_good))

    def _is_recovery_key(self, public: bytes) -> bool:
        return self.genesis is not None and sha256(public).digest() == self.genesis.recovery_hash
