"""The statements that a log has entered, read and kept by the hundred (SPEC 5.5).

Nearly all lines of a log are of this one kind. Each is still checked in every byte: what is read
here is what `entry.parse_entry` reads, at a tenth of the price.
"""

from array import array
from binascii import a2b_base64, b2a_base64, hexlify, unhexlify
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bcca_protocol.entry import StatementEntry
from bcca_protocol.errors import MalformedError
from bcca_protocol.limits import MAX_TREE_SIZE
from bcca_protocol.merkle import HASH_BYTES
from bcca_protocol.wire import decimal_int

PREFIX = b"bcca/v1 statement "

# Where the parts of a line stand: 64 hex digits, the key between two spaces, 44 of base64.
_COMMITMENT = slice(18, 82)
_KEY = slice(82, -44)
_SIGNATURE = slice(-44, None)
_B64_CHARS = 44  # of 32 bytes: 43, and an equals sign


class StatementRecord(msgspec.Struct, frozen=True, gc=False):
    """The first entry of a commitment."""

    index: int
    key: int
    signature_hash: bytes

    def entry(self, commitment: bytes) -> StatementEntry:
        """Return the entry of which this is the record."""
        return StatementEntry(
            commitment=commitment, key=self.key, signature_hash=self.signature_hash
        )


class Columns(NamedTuple):
    """What some lines say: commitments in hex, keys, and the base64 of all signature hashes."""

    commitments: Sequence[bytes]
    keys: Sequence[int]
    signatures: bytes

    def first(self, count: int) -> "Columns":
        """Return the first `count` of them."""
        return Columns(
            self.commitments[:count], self.keys[:count], self.signatures[: count * _B64_CHARS]
        )


class Entered(Mapping[bytes, StatementRecord]):
    """The record of each commitment: of its first entry, for later ones are void."""

    def __init__(self) -> None:
        """Begin with none."""
        self._places: dict[bytes, int] = {}  # commitment in hex -> place in the columns
        self._indices = array("Q")
        self._keys = array("Q")
        self._signatures = bytearray()
        self.void: list[int] = []  # indices of entries whose commitment had been entered before

    def __getitem__(self, commitment: bytes) -> StatementRecord:
        """Return the record of a commitment."""
        place = self._places[hexlify(commitment)]
        start = place * _B64_CHARS
        hashed = a2b_base64(self._signatures[start : start + _B64_CHARS])
        return StatementRecord(self._indices[place], self._keys[place], hashed)

    def __iter__(self) -> Iterator[bytes]:
        """Yield every commitment, by index."""
        return map(unhexlify, self._places)

    def __len__(self) -> int:
        """Return how many commitments there are."""
        return len(self._places)

    def spans(self) -> dict[int, tuple[int, int]]:
        """Return of each key, named by its add index, its first and its last entry."""
        backwards = self._keys[::-1]
        return {
            key: (self._indices[self._keys.index(key)], self._indices[~backwards.index(key)])
            for key in sorted(set(self._keys))
        }

    def enter(self, indices: Sequence[int], read: Columns) -> None:
        """Enter what was `read` of the lines at `indices`."""
        places = range(len(self._indices), len(self._indices) + len(indices))
        found = list(map(self._places.setdefault, read.commitments, places))
        if found != list(places):
            pairs = zip(indices, found, places, strict=True)
            self.void += [index for index, first, place in pairs if first != place]
        self._indices.extend(indices)
        self._keys.extend(read.keys)
        self._signatures += read.signatures


def read_statements(lines: Sequence[bytes]) -> Columns | None:
    """Return what `lines` say, which begin with PREFIX; None if one is not in its one form."""
    commitments = [line[_COMMITMENT] for line in lines]
    middles = [line[_KEY] for line in lines]
    signatures = b"".join([line[_SIGNATURE] for line in lines])
    try:
        numbers = {middle: _key(middle) for middle in set(middles)}
        if not _are_hex(b"".join(commitments)) or not _are_hashes(signatures, len(lines)):
            return None
    except (ValueError, MalformedError):
        return None
    return Columns(commitments, [numbers[middle] for middle in middles], signatures)


def columns_of(entry: StatementEntry) -> Columns:
    """Return what an entry says that was read alone."""
    hashed = b2a_base64(entry.signature_hash, newline=False)
    return Columns([hexlify(entry.commitment)], [entry.key], hashed)


def _key(middle: bytes) -> int:
    """Return the number between two spaces; raises MalformedError, ValueError.

    Where there are both, the line is long enough for its parts not to overlap.
    """
    number = decimal_int(middle[1:-1].decode(), "key add")
    if middle != b" %d " % number or number > MAX_TREE_SIZE:
        raise MalformedError(f"key add: {number} between {middle!r}")
    return number


def _are_hex(joined: bytes) -> bool:
    """Say whether these are lower-case hex digits alone; raises ValueError for odd ones."""
    return hexlify(unhexlify(joined)) == joined


def _are_hashes(joined: bytes, count: int) -> bool:
    """Say whether this is the base64 of `count` hashes, each as it is written by itself.

    With an A, six bits of nothing, for each equals sign it is the base64 of 33 bytes each, of
    which the last is 0.
    """
    padded = bytearray(joined)
    if padded[_B64_CHARS - 1 :: _B64_CHARS] != b"=" * count:
        return False
    padded[_B64_CHARS - 1 :: _B64_CHARS] = b"A" * count
    hashes = a2b_base64(padded)
    is_plain = hashes[HASH_BYTES :: HASH_BYTES + 1] == bytes(count)
    return is_plain and b2a_base64(hashes, newline=False) == padded
