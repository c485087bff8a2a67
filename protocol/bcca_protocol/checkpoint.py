"""Checkpoints: heads of a log's tree, signed and cosigned (SPEC 5.2; c2sp.org/tlog-checkpoint).

    <origin>
    <tree size>
    <base64 of the root hash>
    [extension lines]

A checkpoint is the text of a note; cosignatures say when a witness saw it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from bcca_protocol import note
from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.keys import Algorithm, Signer, VerifierKey
from bcca_protocol.limits import MAX_ORIGIN_BYTES, MAX_TREE_SIZE
from bcca_protocol.merkle import HASH_BYTES
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.wire import b64, decimal_int, unb64

_LINE = re.compile(r"[^\x00-\x1f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log claims to hold: `size` entries under `root`."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        for line in (self.origin, *self.extensions):
            if not _LINE.fullmatch(line):
                raise MalformedError(f"checkpoint: line {line[:80]!r} is empty or holds a control")
        if len(self.origin.encode()) > MAX_ORIGIN_BYTES:
            raise LimitError(
                f"checkpoint: origin {self.origin[:60]!r}… over {MAX_ORIGIN_BYTES} bytes"
            )
        if not 0 <= self.size <= MAX_TREE_SIZE:
            raise LimitError(
                f"checkpoint of {self.origin!r}: size {self.size}, over {MAX_TREE_SIZE}"
            )
        if len(self.root) != HASH_BYTES:
            raise MalformedError(
                f"checkpoint of {self.origin!r}: root of {len(self.root)} bytes, not {HASH_BYTES}"
            )

    def encode(self) -> str:
        """Return the text that the log signs."""
        lines = (self.origin, str(self.size), b64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the checkpoint that encodes to `text`; raises MalformedError or LimitError."""
        match text.split("\n"):
            case [origin, size, root, *extensions, ""]:
                checkpoint = cls(
                    origin=origin,
                    size=decimal_int(size, "checkpoint size"),
                    root=unb64(root, "checkpoint root", HASH_BYTES),
                    extensions=tuple(extensions),
                )
            case _:
                raise MalformedError(f"checkpoint: {text[:80]!r} is not origin, size, root")
        if checkpoint.encode() != text:
            raise MalformedError("checkpoint: not in the form it would be written in")
        return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, signers: Iterable[Signer]) -> Note:
    """Return `checkpoint` signed by its log's keys, several while one replaces another."""
    signers = tuple(signers)
    for signer in signers:
        if signer.key.name != checkpoint.origin:
            raise UnusableError(f"key {signer.key.label} does not sign for {checkpoint.origin}")
    return note.sign(checkpoint.encode(), signers)


def cosign(text: str, signer: Signer, *, at: int) -> NoteSignature:
    """Return the cosignature of a checkpoint's text at POSIX second `at`.

    It says: of this log, nothing seen by then contradicts this (c2sp.org/tlog-cosignature).
    """
    key = signer.key
    if key.algorithm is not Algorithm.ED25519_COSIGNATURE:
        raise UnusableError(f"{key.label} is a key of type {key.algorithm.name}, not a cosigner's")
    signed = signer.sign(note.cosigned_message(text, at))
    blob = at.to_bytes(note.TIME_BYTES) + signed
    return NoteSignature(name=key.name, key_id=key.id, blob=blob)


def verify_cosignature(signature: NoteSignature, text: str, key: VerifierKey) -> int:
    """Return the POSIX second at which `key` cosigned `text`, or raise SignatureError."""
    if key.algorithm is not Algorithm.ED25519_COSIGNATURE:
        raise SignatureError(f"not cosigned by {key.label}: its type is {key.algorithm.name}")
    note.verify_signature(signature, text, key)
    return note.cosigned_at(signature)
