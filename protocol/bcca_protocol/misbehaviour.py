"""Proofs that a log signed two trees that cannot both be its own (SPEC 5.10).

Two signed heads are enough where their sizes are equal. Where they differ, a consistency path
that leads to the newer root shows that its tree does not begin with the older one.
"""

from collections.abc import Iterable
from dataclasses import InitVar, dataclass
from hashlib import sha256
from typing import Final, Literal, Self

import msgspec

from bcca_protocol import merkle, wire
from bcca_protocol.checkpoint import Checkpoint, verify_cosignature
from bcca_protocol.errors import (
    LimitError,
    MalformedError,
    ProofError,
    SignatureError,
    refused_at,
)
from bcca_protocol.keys import Algorithm, VerifierKey
from bcca_protocol.limits import MAX_MISBEHAVIOUR_BYTES
from bcca_protocol.merkle import EMPTY_ROOT, HASH_BYTES, Subtree
from bcca_protocol.note import Note, verify_note
from bcca_protocol.policy import Policy
from bcca_protocol.wire import Record, b64, showable, unb64

FORMAT: Final = "bcca/v1 misbehaviour"

_MAKER: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehaviour:
    """Two notes that `key` is said to have signed; `path` is None where their sizes are equal.

    Nothing of it is verified yet.
    """

    key: VerifierKey
    older: Note
    newer: Note
    path: tuple[bytes, ...] | None = None

    @property
    def id(self) -> str:
        """The SHA-256 of the file, in hex: its name."""
        return sha256(self.encode()).hexdigest()

    def encode(self) -> bytes:
        """Return the file: one line of canonical JSON."""
        path = None if self.path is None else tuple(map(b64, self.path))
        file = _File(
            format=FORMAT,
            key=self.key.encode(),
            older=tuple(self.older.encode().split("\n")),
            newer=tuple(self.newer.encode().split("\n")),
            path=path,
        )
        return wire.encode(file) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return what encodes to `data`; raises MalformedError or LimitError.

        Notes are others' texts: what they may hold, their own format says, not SPEC 2.2.
        """
        if len(data) > MAX_MISBEHAVIOUR_BYTES:
            raise LimitError(f"misbehaviour: {len(data)} bytes, over {MAX_MISBEHAVIOUR_BYTES}")
        file = wire.read(data, _DECODER, what="misbehaviour")
        path = file.path
        found = cls(
            key=VerifierKey.parse(file.key),
            older=Note.parse("\n".join(file.older)),
            newer=Note.parse("\n".join(file.newer)),
            path=None if path is None else tuple(unb64(h, "path", HASH_BYTES) for h in path),
        )
        if found.encode() != data:
            raise MalformedError("misbehaviour: not in the one form it would be written in")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenMisbehaviour:
    """Two heads that one key signed and that no one tree has; made by this module alone."""

    maker: InitVar[object]
    evidence: Misbehaviour
    older: Checkpoint
    newer: Checkpoint
    what: str

    def __post_init__(self, maker: object) -> None:
        """Only `prove` has the right `maker`."""
        if maker is not _MAKER:
            raise TypeError("misbehaviour is proven by bcca_protocol.misbehaviour alone")

    @property
    def key(self) -> VerifierKey:
        """Who misbehaved."""
        return self.evidence.key

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.newer.origin

    def cosigners(self, policy: Policy) -> tuple[str, ...]:
        """Return which witnesses of `policy` cosigned both heads, and so lied too."""
        older, newer = (_cosigners(each, policy) for each in _notes(self.evidence))
        return tuple(name for name in policy.witnesses if name in older & newer)


def verify_misbehaviour(data: bytes) -> ProvenMisbehaviour:
    """Return what the file `data` proves; raises RefusedError where it proves nothing."""
    return prove(Misbehaviour.parse(data))


def prove(found: Misbehaviour) -> ProvenMisbehaviour:
    """Return `found` as a fact (SPEC 5.10), the step that fails in front of what is refused.

    Raises MalformedError, SignatureError or ProofError.
    """
    what = f"misbehaviour of {found.key.label}"
    # 1. Both notes are heads of the log for which the key speaks.
    with refused_at(what, "1 (heads)"):
        older, newer = (_head(each, found.key) for each in _notes(found))
    # 2. That key signed both.
    with refused_at(what, "2 (signatures)"):
        for each in _notes(found):
            verify_note(each, (found.key,))
    # 3. No tree has both.
    with refused_at(what, "3 (trees)"):
        said = _contradiction(older, newer, found.path)
    return ProvenMisbehaviour(maker=_MAKER, evidence=found, older=older, newer=newer, what=said)


def from_heads(key: VerifierKey, one: Note, other: Note) -> Misbehaviour:
    """Return the proof that two heads of one size have different roots, the smaller root first.

    Raises RefusedError where they prove nothing.
    """
    older, newer = sorted((one, other), key=lambda note: Checkpoint.parse(note.text).root)
    return prove(Misbehaviour(key=key, older=older, newer=newer)).evidence


def from_tree(key: VerifierKey, older: Note, newer: Note, tree: Subtree) -> Misbehaviour:
    """Return the proof that the tree of `newer`, which is `tree`, does not begin with `older`.

    Raises RefusedError where it does, or where `tree` is another one.
    """
    old, new = (Checkpoint.parse(each.text).size for each in (older, newer))
    if old == new:
        return from_heads(key, older, newer)
    path = merkle.prove_beginning(old, new, tree)
    return prove(Misbehaviour(key=key, older=older, newer=newer, path=path)).evidence


class _File(Record, frozen=True):
    """The file; a note is its lines, split at line feeds."""

    format: Literal["bcca/v1 misbehaviour"]
    key: str
    newer: tuple[str, ...]
    older: tuple[str, ...]
    path: tuple[str, ...] | None = None


_DECODER = msgspec.json.Decoder(_File)


def _notes(found: Misbehaviour) -> tuple[Note, Note]:
    return found.older, found.newer


def _head(note: Note, key: VerifierKey) -> Checkpoint:
    head = Checkpoint.parse(note.text)
    if (head.origin, Algorithm.ED25519) != (key.name, key.algorithm):
        raise SignatureError(f"a head of {showable(head.origin)}, not of {key.encode()}")
    return head


def _contradiction(older: Checkpoint, newer: Checkpoint, path: Iterable[bytes] | None) -> str:
    """Return in words why no tree has both heads, or raise ProofError."""
    if path is None:
        if older.size != newer.size or older.root == newer.root:
            raise ProofError(
                f"size {older.size} with root {older.root.hex()} and size {newer.size} with root "
                f"{newer.root.hex()}: without a path, one size with two roots belongs here"
            )
        return f"two trees of size {newer.size}: root {older.root.hex()} and {newer.root.hex()}"
    if older.size >= newer.size:
        raise ProofError(f"size {older.size} before {newer.size}: with a path, the smaller first")
    beginning, whole = merkle.beginning_roots(older.size, newer.size, path)
    if older.size and whole != newer.root:
        raise ProofError(
            f"a path to root {whole.hex()}, the tree of {newer.size} has {newer.root.hex()}"
        )
    if beginning == older.root:
        raise ProofError(f"the tree of {newer.size} begins with that of {older.size}")
    if older.size == 0:
        return f"a tree of nothing with root {older.root.hex()}, which has {EMPTY_ROOT.hex()}"
    return (
        f"a tree of {older.size} with root {older.root.hex()}, where the tree of {newer.size} "
        f"with root {newer.root.hex()} begins with {beginning.hex()}"
    )


def _cosigners(note: Note, policy: Policy) -> set[str]:
    """Return who of `policy` cosigned; what does not verify, anybody may have added."""
    known = {(each.key.name, each.key.id): each for each in policy.witnesses.values()}
    names = set()
    for signature in note.signatures:
        line = known.get((signature.name, signature.key_id))
        if line is None:
            continue
        try:
            verify_cosignature(signature, note.text, line.key)
        except SignatureError:
            continue
        names.add(line.name)
    return names
