"""Proofs as files: an entry's path to a checkpoint (SPEC 5.2; c2sp.org/tlog-proof@v1).

    c2sp.org/tlog-proof@v1
    [extra <base64>]
    index <index>
    <base64 of each hash, from the leaf's sibling up>

    <checkpoint, with its signatures>

Reading proves nothing yet: verify the checkpoint, then the path of the entry's leaf hash to it.
"""

from dataclasses import dataclass
from typing import Self

from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.limits import MAX_PROOF_HASHES, MAX_TLOG_PROOF_BYTES, MAX_TREE_SIZE
from bcca_protocol.merkle import HASH_BYTES
from bcca_protocol.wire import b64, decimal_int, unb64

_HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """That the entry at `index` is in the tree of `checkpoint`, which is a note's text verbatim.

    `extra` is the application's, and nobody's signature covers it.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        if not 0 <= self.index < MAX_TREE_SIZE:
            raise LimitError(f"tlog-proof: index {self.index}, the last is {MAX_TREE_SIZE - 1}")
        if len(self.path) > MAX_PROOF_HASHES:
            raise LimitError(f"tlog-proof: {len(self.path)} hashes, over {MAX_PROOF_HASHES}")
        if any(len(each) != HASH_BYTES for each in self.path):
            raise MalformedError(f"tlog-proof: a hash of its path is not {HASH_BYTES} bytes long")
        if not self.checkpoint:
            raise MalformedError("tlog-proof: it has no checkpoint")

    def encode(self) -> str:
        """Return the text of the file."""
        extra = [] if self.extra is None else [f"extra {b64(self.extra)}"]
        lines = (_HEADER, *extra, f"index {self.index}", *map(b64, self.path), "")
        return "".join(f"{line}\n" for line in lines) + self.checkpoint

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the proof that encodes to `text`; raises MalformedError or LimitError."""
        if len(text) > MAX_TLOG_PROOF_BYTES:
            raise LimitError(f"tlog-proof: {len(text)} characters, over {MAX_TLOG_PROOF_BYTES}")
        head, _, checkpoint = text.partition("\n\n")
        header, *lines = head.split("\n")
        if header != _HEADER:
            raise MalformedError(f"tlog-proof: begins with {header[:80]!r}, not {_HEADER!r}")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = unb64(lines.pop(0).removeprefix("extra "), "extra of a tlog-proof")
        if not lines or not lines[0].startswith("index "):
            raise MalformedError(f"tlog-proof: no index, but {''.join(lines[:1])[:80]!r}")
        proof = cls(
            index=decimal_int(lines[0].removeprefix("index "), "index of a tlog-proof"),
            path=tuple(unb64(line, "hash of a tlog-proof", HASH_BYTES) for line in lines[1:]),
            checkpoint=checkpoint,
            extra=extra,
        )
        if proof.encode() != text:
            raise MalformedError("tlog-proof: not in the form it would be written in")
        return proof
