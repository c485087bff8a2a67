"""Fresh times for a head of somebody else's log: its witnesses are asked to look again (SPEC 6.5).

Whoever reads a log may show its head to the witnesses; its owner need not run anything for it.
"""

from bcca_node.ledger.asking import Asking, Prove, Shown, text_of
from bcca_node.ledger.quorum import collect
from bcca_node.network.client import Fetcher
from bcca_node.storage import witnessed
from bcca_protocol import policy
from bcca_protocol.errors import BccaError, ConflictError
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES, MAX_NOTE_SIGNATURES
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.policy import Policy, VerifiedCheckpoint

ROUNDS = 2  # the first may tell which size the witness knows


async def freshen(
    fetcher: Fetcher, head: VerifiedCheckpoint, trusted: Policy, prove: Prove, *, at: int
) -> VerifiedCheckpoint:
    """Return `head` with the latest times that the witnesses of `trusted` give it.

    It is shown to each of them, and what each shows to everybody is read. A witness that does not
    answer, or that has seen more of the log, adds nothing; then `head` may come back as it was.
    """
    lines = [each for each in trusted.witnesses.values() if each.key.name != head.key.name]
    shown = Shown(note=head.note, size=head.checkpoint.size, prove=prove)
    asked = {line.name: _answer(Asking(fetcher, shown, line), head) for line in lines}
    found, _ = await collect(trusted, asked)
    note = _renewed(head.note, list(found.values()))
    fresh = policy.verify_checkpoint(note.encode(), head.key, trusted, at=at)
    return fresh if fresh.time > head.time else head


async def _answer(asking: Asking, head: VerifiedCheckpoint) -> NoteSignature:
    """Return a witness's newest cosignature of the head; raises BccaError."""
    try:
        return await asking.submit(head.checkpoint.size, rounds=ROUNDS)
    except BccaError:
        # Perhaps it takes heads from its logs alone, and shows what it has seen.
        return await _on_show(asking, head)


async def _on_show(asking: Asking, head: VerifiedCheckpoint) -> NoteSignature:
    """Return what a witness shows to everybody (c2sp.org/tlog-witness, monitoring)."""
    hashed = witnessed.origin_hash(head.checkpoint.origin)
    found = await asking.fetcher.get(
        f"{asking.url}/{hashed}/checkpoint", limit=MAX_CHECKPOINT_BYTES
    )
    note = Note.parse(text_of(found))
    if note.text != head.note.text:
        raise ConflictError("it has seen another head last")
    return asking.cosignature(note.signatures)


def _renewed(note: Note, found: list[NoteSignature]) -> Note:
    """Return `note` with the lines in `found` in the place of older ones by the same keys."""
    fresh = {(each.name, each.key_id) for each in found}
    kept = [each for each in note.signatures if (each.name, each.key_id) not in fresh]
    return Note(text=note.text, signatures=(*kept[: MAX_NOTE_SIGNATURES - len(found)], *found))
