"""What a witness answers to add-checkpoint, a pure function (SPEC 5.7; c2sp.org/tlog-witness).

old <size its asker believes it cosigned last>
<base64 hash>           of the consistency proof, at most 63 lines
<empty line>
<checkpoint with its signatures>
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from bcca_protocol.checkpoint import Checkpoint, cosign
from bcca_protocol.errors import LimitError, MalformedError, ProofError, RefusedError
from bcca_protocol.keys import Signer, VerifierKey
from bcca_protocol.limits import MAX_ADD_CHECKPOINT_BYTES, MAX_PROOF_HASHES
from bcca_protocol.merkle import EMPTY_ROOT, HASH_BYTES, verify_consistency
from bcca_protocol.note import Note, verify_note
from bcca_protocol.wire import b64, decimal_int, unb64

PLAIN = "text/plain; charset=utf-8"
TREE_SIZE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessState:
    """The last tree of a log that a witness cosigned."""

    size: int
    root: bytes


NOTHING_YET = WitnessState(size=0, root=EMPTY_ROOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCheckpoint:
    """A request to cosign the checkpoint in `note`, whose tree begins with the `old` one."""

    old: int
    proof: tuple[bytes, ...]
    note: str

    def encode(self) -> bytes:
        """Return the body of the request."""
        proof = "".join(f"{b64(each)}\n" for each in self.proof)
        return f"old {self.old}\n{proof}\n{self.note}".encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Return the request that encodes to `body`; raises MalformedError or LimitError."""
        if len(body) > MAX_ADD_CHECKPOINT_BYTES:
            raise LimitError(f"add-checkpoint: {len(body)} bytes, over {MAX_ADD_CHECKPOINT_BYTES}")
        try:
            head, _, note = body.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise MalformedError(f"add-checkpoint: not UTF-8: {error}") from error
        first, *hashes = head.split("\n")
        if len(hashes) > MAX_PROOF_HASHES:
            raise LimitError(f"add-checkpoint: {len(hashes)} hashes, over {MAX_PROOF_HASHES}")
        request = cls(
            old=decimal_int(first.removeprefix("old "), "add-checkpoint: old size"),
            proof=tuple(unb64(each, "add-checkpoint: hash", HASH_BYTES) for each in hashes),
            note=note,
        )
        if request.encode() != body:
            raise MalformedError("add-checkpoint: not old size, hashes, empty line, checkpoint")
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer, and what is to be stored before it is sent.

    `note` is whatever the log signed. With `checkpoint` it carries the cosignature too: replace
    the last head by both, in one step with a check that it still has the size it had. Without,
    it is a refused request and may be evidence: keep it.
    """

    status: int
    body: str
    content_type: str = PLAIN
    checkpoint: Checkpoint | None = None
    note: Note | None = None


def answer(
    request: bytes,
    logs: Mapping[str, VerifierKey],
    last: Callable[[str], WitnessState | None],
    signer: Signer,
    at: int,
) -> Answer:
    """Return what to answer to `request` at POSIX second `at`, checked in the order of C2SP.

    `last` returns what this witness cosigned last for an origin of `logs`.
    """
    # 1. It is a request with a checkpoint in it.
    try:
        asked = AddCheckpoint.parse(request)
        note = Note.parse(asked.note)
        checkpoint = Checkpoint.parse(note.text)
    except RefusedError as error:
        return Answer(status=400, body=f"{error}\n")
    # 2. The log is known.
    key = logs.get(checkpoint.origin)
    if key is None:
        return Answer(status=404, body=f"no log {checkpoint.origin!r} is witnessed here\n")
    # 3. That log signed it.
    try:
        verify_note(note, (key,))
    except RefusedError as error:
        return Answer(status=403, body=f"{error}\n")
    note = _signed_by(key, note)
    # 4. It continues what was cosigned last.
    known = last(checkpoint.origin) or NOTHING_YET
    refusal = _refusal(asked, checkpoint, known, note)
    if refusal is not None:
        return refusal
    # 5. Cosign; the same tree again, for its fresh time.
    cosignature = cosign(note.text, signer, at=at)
    return Answer(
        status=200,
        body=f"{cosignature.encode()}\n",
        checkpoint=checkpoint,
        note=note.with_signatures((cosignature,)),
    )


def _signed_by(key: VerifierKey, note: Note) -> Note:
    """Return `note` with one line of `key` alone: nobody else's are known to hold."""
    return Note(
        text=note.text, signatures=(next(each for each in note.signatures if each.is_by(key)),)
    )


def _refusal(
    asked: AddCheckpoint, checkpoint: Checkpoint, known: WitnessState, note: Note
) -> Answer | None:
    """Return why a checkpoint that its log signed is not cosigned, or None."""
    if asked.old > checkpoint.size:
        body = f"old size {asked.old}, checkpoint of size {checkpoint.size}\n"
        return Answer(status=400, body=body, note=note)
    if asked.old != known.size:
        return Answer(status=409, body=f"{known.size}\n", content_type=TREE_SIZE, note=note)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        body = f"root {checkpoint.root.hex()} of size 0, which has {EMPTY_ROOT.hex()}\n"
        return Answer(status=422, body=body, note=note)
    try:
        verify_consistency(asked.old, checkpoint.size, asked.proof, known.root, checkpoint.root)
    except ProofError as error:
        return Answer(status=422, body=f"{error}\n", note=note)
    return None
