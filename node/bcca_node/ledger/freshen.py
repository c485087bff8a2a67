"""Fresh times for a head of somebody else's log: its witnesses are asked to look again (SPEC 6.5).

Whoever reads a log may show its head to the witnesses; its owner need not run anything for it.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from bcca_node.ledger.quorum import collect
from bcca_node.network.client import Fetcher
from bcca_node.storage import witnessed
from bcca_protocol import policy
from bcca_protocol.checkpoint import verify_cosignature
from bcca_protocol.errors import BccaError, ConflictError, MalformedError, UnavailableError
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES, MAX_NOTE_SIGNATURES
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.policy import Policy, VerifiedCheckpoint, WitnessLine
from bcca_protocol.wire import decimal_int
from bcca_protocol.witness import PLAIN, TREE_SIZE, AddCheckpoint

ROUNDS = 2  # the first may tell which size the witness knows

Prove = Callable[[int], Awaitable[tuple[bytes, ...]]]
"""A smaller size -> the consistency proof from there to the head."""


async def freshen(
    fetcher: Fetcher, head: VerifiedCheckpoint, trusted: Policy, prove: Prove, *, at: int
) -> VerifiedCheckpoint:
    """Return `head` with the latest times that the witnesses of `trusted` give it.

    It is shown to each of them, and what each shows to everybody is read. A witness that does not
    answer, or that has seen more of the log, adds nothing; then `head` may come back as it was.
    """
    lines = [each for each in trusted.witnesses.values() if each.key.name != head.key.name]
    asking = {line.name: _Asking(fetcher, head, line, prove).answer() for line in lines}
    found, _ = await collect(trusted, asking)
    note = _renewed(head.note, list(found.values()))
    fresh = policy.verify_checkpoint(note.encode(), head.key, trusted, at=at)
    return fresh if fresh.time > head.time else head


class _Asking:
    """One head, one witness."""

    def __init__(
        self, fetcher: Fetcher, head: VerifiedCheckpoint, line: WitnessLine, prove: Prove
    ) -> None:
        self._fetcher = fetcher
        self._head = head
        self._line = line
        self._prove = prove

    async def answer(self) -> NoteSignature:
        """Return the witness's newest cosignature of the head; raises BccaError."""
        try:
            return await self._submitted()
        except BccaError:
            # Perhaps it takes heads from its logs alone, and shows what it has seen.
            return await self._shown()

    async def _submitted(self) -> NoteSignature:
        size = self._head.checkpoint.size
        old = size
        for _ in range(ROUNDS):
            answer = await self._fetcher.post(
                f"{self._url}/add-checkpoint",
                await self._request(old),
                content_type=PLAIN,
                limit=MAX_CHECKPOINT_BYTES,
            )
            text = _text(answer.body)
            if answer.status == HTTPStatus.OK:
                return self._cosignature(text.removesuffix("\n").split("\n"))
            if (answer.status, answer.content_type) != (HTTPStatus.CONFLICT, TREE_SIZE):
                break
            old = decimal_int(text.removesuffix("\n"), "size known to a witness")
            if old > size:
                raise ConflictError(f"{self._line.name} has seen {old} entries, not {size}")
        raise UnavailableError(f"{self._line.name} does not cosign this head")

    async def _shown(self) -> NoteSignature:
        """Return what the witness shows to everybody (c2sp.org/tlog-witness, monitoring)."""
        hashed = witnessed.origin_hash(self._head.checkpoint.origin)
        found = await self._fetcher.get(
            f"{self._url}/{hashed}/checkpoint", limit=MAX_CHECKPOINT_BYTES
        )
        note = Note.parse(_text(found))
        if note.text != self._head.note.text:
            raise ConflictError(f"{self._line.name} has seen another head last")
        return self._cosignature([each.encode() for each in note.signatures])

    async def _request(self, old: int) -> bytes:
        size, note = self._head.checkpoint.size, self._head.note
        proof = () if old == size else await self._prove(old)
        own = tuple(each for each in note.signatures if each.name == self._head.key.name)
        asked = AddCheckpoint(
            old=old, proof=proof, note=Note(text=note.text, signatures=own).encode()
        )
        return asked.encode()

    def _cosignature(self, lines: list[str]) -> NoteSignature:
        for each in map(NoteSignature.parse, lines):
            if each.is_by(self._line.key):
                verify_cosignature(each, self._head.note.text, self._line.key)
                return each
        raise UnavailableError(f"{self._line.name} answers with nothing of its own")

    @property
    def _url(self) -> str:
        if self._line.url is None:
            raise UnavailableError(f"the policy has no URL for {self._line.name}")
        return self._line.url.rstrip("/")


def _renewed(note: Note, found: list[NoteSignature]) -> Note:
    """Return `note` with the lines in `found` in the place of older ones by the same keys."""
    fresh = {(each.name, each.key_id) for each in found}
    kept = [each for each in note.signatures if (each.name, each.key_id) not in fresh]
    return Note(text=note.text, signatures=(*kept[: MAX_NOTE_SIGNATURES - len(found)], *found))


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"not UTF-8: {error.reason}") from error
