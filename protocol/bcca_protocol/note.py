"""Signed notes: a text, and lines of who signed it (SPEC 5.2; c2sp.org/signed-note).

    <text, ends with a line feed>
    <empty line>
    — <key name> <base64 of key id and signature>

The empty line is the last one of the note, and what is signed ends before it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.keys import KEY_ID_BYTES, Algorithm, Signer, VerifierKey, require_name
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES, MAX_NOTE_SIGNATURES
from bcca_protocol.wire import b64, unb64

TIME_BYTES = 8  # a cosignature's time stands before its signature (c2sp.org/tlog-cosignature)

MAX_KEPT_SIGNATURES = 4_096  # true ones: of 600 heads with six each, shown again and again
_MAX_KEPT_CHARS = 512  # of a text that is kept with them, twice a usual head: 4 MB in all
_MAX_KEPT_BLOB = TIME_BYTES + 64  # the length of every true one

_TEXT = re.compile(r"[^\x00-\x09\x0b-\x1f\ud800-\udfff]*\n")  # no control but the line feed
_LINE = re.compile(r"— ([^ ]+) ([^ ]+)")
_MAX_TIME = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One line of a note: `— <name> <base64 of key id and blob>`, without its line feed."""

    name: str
    key_id: bytes
    blob: bytes

    def __post_init__(self) -> None:
        """Refuse what a note could not carry."""
        require_name(self.name)
        if len(self.key_id) != KEY_ID_BYTES or not self.blob:
            raise MalformedError(f"signature of {self.name}: no key id, or nothing after it")

    def encode(self) -> str:
        """Return the line."""
        return f"— {self.name} {b64(self.key_id + self.blob)}"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Return the signature that encodes to `line`, or raise MalformedError."""
        match = _LINE.fullmatch(line)
        if match is None:
            raise MalformedError(f"note: {line[:80]!r} is not a signature line")
        name, encoded = match.groups()
        raw = unb64(encoded, "signature of a note")
        return cls(name=name, key_id=raw[:KEY_ID_BYTES], blob=raw[KEY_ID_BYTES:])

    def is_by(self, key: VerifierKey) -> bool:
        """Return whether the line names `key`; whether it is true, `verify_signature` says."""
        return (self.name, self.key_id) == (key.name, key.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A text with at least one signature, none of them verified yet."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        if not _TEXT.fullmatch(self.text):
            raise MalformedError("note: its text holds a control, or does not end with a line feed")
        if not self.signatures:
            raise MalformedError("note: it has no signature")
        if len(self.signatures) > MAX_NOTE_SIGNATURES:
            raise LimitError(f"note: {len(self.signatures)} signatures, over {MAX_NOTE_SIGNATURES}")

    def encode(self) -> str:
        """Return the note as it is served."""
        lines = "".join(f"{signature.encode()}\n" for signature in self.signatures)
        return f"{self.text}\n{lines}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the note that encodes to `text`; raises MalformedError or LimitError."""
        if len(text) > MAX_CHECKPOINT_BYTES:
            raise LimitError(f"note: {len(text)} characters, over {MAX_CHECKPOINT_BYTES}")
        head, blank, tail = text.rpartition("\n\n")  # a text may hold empty lines, its end may not
        *lines, rest = tail.split("\n")
        if not blank or rest:
            raise MalformedError("note: no empty line before its signatures, or no last line feed")
        signatures = tuple(NoteSignature.parse(line) for line in lines[: MAX_NOTE_SIGNATURES + 1])
        note = cls(text=head + "\n", signatures=signatures)
        if note.encode() != text:
            raise MalformedError("note: not in the form it would be written in")
        return note

    def with_signatures(self, more: Iterable[NoteSignature]) -> Self:
        """Return the note with `more` lines under those it has."""
        return replace(self, signatures=(*self.signatures, *more))


def sign(text: str, signers: Iterable[Signer]) -> Note:
    """Return `text` signed by each of `signers`, in their order."""
    return Note(text=text, signatures=tuple(_sign(text, signer) for signer in signers))


def verify_note(note: Note, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return those of `keys` that signed `note`, in the order of its lines.

    Lines of other keys are ignored. Raises SignatureError if a line of one of `keys` does not
    verify, or if there is none (c2sp.org/signed-note).
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.id), key) != key:
            raise UnusableError(f"two different keys are both called {key.label}")
    signed: dict[VerifierKey, None] = {}
    for signature in note.signatures:
        signer = known.get((signature.name, signature.key_id))
        if signer is not None:
            verify_signature(signature, note.text, signer)
            signed[signer] = None
    if not signed:
        names = ", ".join(key.label for key in known.values())
        raise SignatureError(f"note: signed by none of the {len(known)} known keys: {names}")
    return tuple(signed)


def verify_signature(signature: NoteSignature, text: str, key: VerifierKey) -> None:
    """Return if `signature` is `key`'s and over `text`, else raise SignatureError."""
    if not signature.is_by(key):
        named = f"{signature.name}+{signature.key_id.hex()}"
        raise SignatureError(f"not signed by {key.label}: the line names {named}")
    if len(text) > _MAX_KEPT_CHARS or len(signature.blob) > _MAX_KEPT_BLOB:
        _require_signed(signature.blob, text, key)
    else:
        _require_signed_once(signature.blob, text, key)


def _require_signed(blob: bytes, text: str, key: VerifierKey) -> None:
    """Return if `blob` is `key`'s over `text`, else raise SignatureError."""
    if key.algorithm is Algorithm.ED25519_COSIGNATURE:
        key.verify(blob[TIME_BYTES:], cosigned_message(text, _time_in(blob, key.name)))
    else:
        key.verify(blob, text.encode())


def cosigned_message(text: str, at: int) -> bytes:
    """Return what a cosigner of `text` signs at POSIX second `at` (c2sp.org/tlog-cosignature).

    Raises UnusableError for a time that no cosignature can carry.
    """
    if not 0 < at <= _MAX_TIME:
        raise UnusableError(f"cosignature: time {at} is not between 1 and {_MAX_TIME}")
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def cosigned_at(signature: NoteSignature) -> int:
    """Return the POSIX second that a cosignature's blob begins with, or raise SignatureError."""
    return _time_in(signature.blob, signature.name)


@lru_cache(MAX_KEPT_SIGNATURES)
def _require_signed_once(blob: bytes, text: str, key: VerifierKey) -> None:
    """Do what `_require_signed` does; the same bytes are as true again, and no refusal is kept."""
    _require_signed(blob, text, key)


def _time_in(blob: bytes, name: str) -> int:
    at = int.from_bytes(blob[:TIME_BYTES])
    if not 0 < at <= _MAX_TIME:
        raise SignatureError(f"cosignature of {name}: time {at} is no time")
    return at


def _sign(text: str, signer: Signer) -> NoteSignature:
    key = signer.key
    if key.algorithm is not Algorithm.ED25519:
        raise UnusableError(f"{key.label} is a key of type {key.algorithm.name}, not ED25519")
    return NoteSignature(name=key.name, key_id=key.id, blob=signer.sign(text.encode()))
