"""One witness asked to cosign one head, in rounds: it may know another size than was thought.

The request and its answers are those of c2sp.org/tlog-witness (SPEC 5.8).
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from bcca_node.network.client import Answer, Fetcher
from bcca_protocol.checkpoint import verify_cosignature
from bcca_protocol.errors import (
    ConflictError,
    MalformedError,
    RefusedError,
    SignatureError,
    UnavailableError,
)
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.policy import WitnessLine
from bcca_protocol.wire import decimal_int, showable
from bcca_protocol.witness import PLAIN, TREE_SIZE, AddCheckpoint

Prove = Callable[[int], Awaitable[tuple[bytes, ...]]]
"""A smaller size -> the consistency proof from there to the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A head as witnesses are shown it: its note, its size, and how it grew from smaller ones."""

    note: Note
    size: int
    prove: Prove

    @property
    def own(self) -> Note:
        """The note with the signatures of its log alone, be they by a newer key than is known."""
        origin = self.note.text.partition("\n")[0]
        own = tuple(each for each in self.note.signatures if each.name == origin)
        return Note(text=self.note.text, signatures=own)


class Asking:
    """One head, one witness, and `most_told`: the largest size that it has said it knows."""

    def __init__(self, fetcher: Fetcher, head: Shown, line: WitnessLine) -> None:
        """Ask the witness of `line`."""
        self.fetcher = fetcher
        self.line = line
        self.most_told = 0
        self._head = head

    @property
    def url(self) -> str:
        """Where it is asked; raises UnavailableError."""
        if self.line.url is None:
            raise UnavailableError("the policy has no URL for it")
        return self.line.url.rstrip("/")

    async def submit(self, known: int, *, rounds: int) -> NoteSignature:
        """Return its verified cosignature; `known` is the size that it probably saw last.

        Raises ConflictError where it has seen more, and other BccaErrors.
        """
        old = known
        for _ in range(rounds):
            request = AddCheckpoint(
                old=old, proof=await self._proof(old), note=self._head.own.encode()
            )
            answer = await self.fetcher.post(
                f"{self.url}/add-checkpoint",
                request.encode(),
                content_type=PLAIN,
                limit=MAX_CHECKPOINT_BYTES,
            )
            said = text_of(answer.body)
            if answer.status == HTTPStatus.OK:
                lines = said.removesuffix("\n").split("\n")
                return self.cosignature(map(NoteSignature.parse, lines))
            old = self._size_told(answer, said)
        raise UnavailableError(f"after {rounds} rounds, it still names another size: {old}")

    def cosignature(self, signatures: Iterable[NoteSignature]) -> NoteSignature:
        """Return that of `signatures` with which it cosigns the head; raises SignatureError."""
        for each in signatures:
            if each.is_by(self.line.key):
                verify_cosignature(each, self._head.note.text, self.line.key)
                return each
        raise SignatureError(f"its answer is not signed by {self.line.key.label}")

    async def _proof(self, old: int) -> tuple[bytes, ...]:
        return () if old == self._head.size else await self._head.prove(old)

    def _size_told(self, answer: Answer, said: str) -> int:
        """Return the size that it says it knows, no larger than the head."""
        if (answer.status, answer.content_type) != (HTTPStatus.CONFLICT, TREE_SIZE):
            words = showable(said[:200].strip())
            raise RefusedError(f"answered {answer.status}{words and f': {words}'}")
        told = decimal_int(said.removesuffix("\n"), "size known to a witness")
        self.most_told = max(told, self.most_told)
        if told > self._head.size:
            raise ConflictError(
                f"it has seen {told} entries of this log, here are {self._head.size}"
            )
        return told


def text_of(body: bytes) -> str:
    """Return what a witness answers; raises MalformedError."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"its answer is not UTF-8: {error}") from error
