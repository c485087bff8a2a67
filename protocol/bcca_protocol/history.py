"""What a log's entries say together: which key was valid at which index, what became of what.

Entries are read in order, all of them, from index 0 (SPEC 5.4 to 5.6). Time is an index: a thief
can set back a clock, but cannot put an entry before others under a cosigned checkpoint.
"""

import re
from binascii import a2b_base64, unhexlify
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice

import msgspec

from bcca_protocol import entered
from bcca_protocol.entered import Entered
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


class StatusRecord(msgspec.Struct, frozen=True, gc=False):
    """The strongest status of a handle, and the index of the first entry that states it."""

    index: int
    handle: bytes
    status: Status
    successor: bytes | None

    @property
    def entry(self) -> StatusEntry:
        """The entry of which this is the record."""
        return StatusEntry(handle=self.handle, status=self.status, successor=self.successor)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the `size` entries of one log say.

    Nothing counts from index `broken` on, where an entry is unknown or malformed; and then nothing
    of this log is current.
    """

    origin: str
    size: int
    genesis: Genesis | None
    statements: Entered
    statuses: Mapping[bytes, StatusRecord]
    broken: int | None
    _keys: Mapping[int, KeyRecord]

    @classmethod
    def read(cls, origin: str, log_key: VerifierKey, entries: Iterable[bytes]) -> "History":
        """Return the history of `entries`, the whole log of `origin` that `log_key` signs.

        Raises LimitError over MAX_LOG_ENTRIES, AuthorshipError if the log has keys of its own and
        `log_key` is not one of them that is still valid at its end.
        """
        reading = Reading(origin=origin)
        rest = iter(entries)
        while block := list(islice(rest, BLOCK)):
            reading.take(block)
        history = reading.history()
        history.require_log_key(log_key)
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
        return None if found is None else found.status

    def require_log_key(self, log_key: VerifierKey) -> None:
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


BLOCK = 256  # entries read together: their lines stay in the processor's cache
_STATUS = re.compile(
    rb"bcca/v1 status ([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=) "
    rb"(revoked|corrected|superseded) (-|[0-9a-f]{64})"
)
_STATUSES: Mapping[bytes, Status] = {each.encode(): each for each in Status}


@dataclass(slots=True, kw_only=True)
class Reading:
    """A history while it is read, some entries at a time, in order and from index 0."""

    origin: str
    size: int = 0
    broken: int | None = None
    genesis: Genesis | None = None
    keys: dict[int, KeyRecord] = field(default_factory=dict)
    statements: Entered = field(default_factory=Entered)
    statuses: dict[bytes, StatusRecord] = field(default_factory=dict)
    publics: set[bytes] = field(default_factory=set)
    notices: int = 0

    def take(self, entries: Sequence[bytes]) -> None:
        """Read the next entries, best BLOCK of them; raises LimitError over MAX_LOG_ENTRIES."""
        if self.size + len(entries) > MAX_LOG_ENTRIES:
            raise LimitError(f"log {self.origin}: over {MAX_LOG_ENTRIES} entries")
        if self.broken is None:
            self.broken = self._read_block(self.size, entries)
        self.size += len(entries)

    def history(self) -> History:
        """Return what the entries so far say."""
        return History(
            origin=self.origin,
            size=self.size,
            genesis=self.genesis,
            statements=self.statements,
            statuses=self.statuses,
            broken=self.broken,
            _keys=self.keys,
        )

    def _read_block(self, first: int, block: Sequence[bytes]) -> int | None:
        """Read entries from index `first` on; return the index of the first malformed one."""
        indices: Sequence[int] = range(first, first + len(block))
        plain = [line for line in block if line.startswith(entered.PREFIX)]
        others: list[tuple[int, bytes]] = []
        if not first or len(plain) < len(block):
            is_plain = [bool(i) and block[i - first].startswith(entered.PREFIX) for i in indices]
            others = [(i, block[i - first]) for i in indices if not is_plain[i - first]]
            indices = [i for i in indices if is_plain[i - first]]
            plain = [block[i - first] for i in indices]
        # What one statement says does not depend on the entries before it.
        read = entered.read_statements(plain)
        if read is None:
            return self._read_each(enumerate(block, first))
        broken = self._read_each(others)
        count = len(indices) if broken is None else bisect_left(indices, broken)
        self.statements.enter(indices[:count], read.first(count))
        return broken

    def _read_each(self, lines: Iterable[tuple[int, bytes]]) -> int | None:
        """Read entries one by one; return the index of the first malformed one."""
        for index, line in lines:
            if index and self._read_status(index, line):
                continue
            try:
                self._enter(index, parse_entry(line.decode()))
            except (RefusedError, UnicodeDecodeError):
                return index
        return None

    def _read_status(self, index: int, line: bytes) -> bool:
        """Read a plain status without the general parser; return False to leave it to that."""
        match = _STATUS.fullmatch(line)
        if match is None:
            return False
        handle, status, successor = match.groups()
        after = None if successor == b"-" else unhexlify(successor)
        self._state(StatusRecord(index, a2b_base64(handle), _STATUSES[status], after))
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
            case StatementEntry():
                self.statements.enter([index], entered.columns_of(entry))
            case StatusEntry(handle=handle, status=status, successor=successor):
                self._state(StatusRecord(index, handle, status, successor))

    def _state(self, record: StatusRecord) -> None:
        known = self.statuses.setdefault(record.handle, record)
        if known is not record and record.status.outweighs(known.status):
            self.statuses[record.handle] = record

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
