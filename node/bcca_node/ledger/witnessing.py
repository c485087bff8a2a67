"""Asking witnesses to cosign this node's head, and publishing it once a quorum has.

A head leaves the node only with its quorum (SPEC 5.8); until then its statements are pending.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from bcca_node.ledger import log
from bcca_node.ledger.node import Node
from bcca_node.network.client import Answer, Fetcher
from bcca_node.storage import logs
from bcca_node.storage.logs import Head
from bcca_protocol.checkpoint import verify_cosignature
from bcca_protocol.errors import (
    BccaError,
    ConflictError,
    MalformedError,
    QuorumError,
    RefusedError,
    SignatureError,
    UnavailableError,
    UnusableError,
)
from bcca_protocol.keys import VerifierKey
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES, MAX_CLOCK_SKEW_SECONDS
from bcca_protocol.merkle import prove_consistency
from bcca_protocol.note import Note, NoteSignature
from bcca_protocol.policy import Policy, WitnessLine, verify_checkpoint
from bcca_protocol.wire import decimal_int, showable
from bcca_protocol.witness import PLAIN, TREE_SIZE, AddCheckpoint

GRACE_SECONDS = 1.0  # a quorum is enough: who is hardly slower may still join it
ROUNDS = 3  # the first may tell the size that a witness knows, another request may change it


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """What came of asking: who cosigned the head of `size`, and why every other did not."""

    size: int
    published: bool
    rule: str
    cosigned: tuple[str, ...]
    refused: Mapping[str, str]

    def __str__(self) -> str:
        """Return it in one sentence."""
        asked = len(self.cosigned) + len(self.refused)
        state = "published" if self.published else "pending"
        reasons = "".join(f"; {name}: {why}" for name, why in self.refused.items())
        return (
            f"{state}: tree of {self.size}, {len(self.cosigned)} of {asked} witnesses cosigned "
            f"({self.rule}){reasons}"
        )


async def witness(node: Node, fetcher: Fetcher) -> Witnessed:
    """Have the newest head cosigned, and publish it if a quorum does.

    A head that is published already gets fresh times. Raises UnusableError where there is no
    policy or no log; what a witness does wrong is in the answer.
    """
    policy = node.trust.required()
    with node.database.read() as session:
        head, published = logs.last_head(session), logs.published_head(session)
    if head is None:
        raise UnusableError(f"log {node.origin}: it is empty, there is nothing to witness")
    asking = _Asking(node, fetcher, head, 0 if published is None else published.size)
    # A log's own cosignature never counts for itself.
    lines = [line for line in policy.witnesses.values() if line.key.name != node.origin]
    found, refused = await _collect(policy, {line.name: asking.ask(line) for line in lines})
    cosigned = _cosigned(head, node.log_key, found.values())
    done = _is_believed(cosigned, node.log_key, policy, node.clock())
    if done:
        with node.database.write() as session:
            logs.put_head(session, replace(head, note=cosigned, published=True))
    return Witnessed(
        size=head.size,
        published=done,
        rule=policy.rule,
        cosigned=tuple(found),
        refused=refused,
    )


class _Asking:
    """One head, to be cosigned by everyone; `known` is the size they probably saw last."""

    def __init__(self, node: Node, fetcher: Fetcher, head: Head, known: int) -> None:
        self._node = node
        self._fetcher = fetcher
        self._head = head
        self._known = known

    async def ask(self, line: WitnessLine) -> NoteSignature:
        """Return the verified cosignature of a witness; raises BccaError."""
        if line.url is None:
            raise UnavailableError("the policy has no URL for it")
        old = self._known
        for _ in range(ROUNDS):
            answer = await self._fetcher.post(
                f"{line.url.rstrip('/')}/add-checkpoint",
                self._request(old),
                content_type=PLAIN,
                limit=MAX_CHECKPOINT_BYTES,
            )
            text = _text(answer)
            if answer.status == HTTPStatus.OK:
                return _cosignature(text, self._head, line, self._node.clock())
            old = self._size_told(answer, text)
        raise UnavailableError(f"after {ROUNDS} rounds, it still names another size: {old}")

    def _request(self, old: int) -> bytes:
        size = self._head.size
        with self._node.database.read() as session:
            proof = prove_consistency(old, size, log.subtree(session, size))
        note = _cosigned(self._head, self._node.log_key, ())
        return AddCheckpoint(old=old, proof=proof, note=note).encode()

    def _size_told(self, answer: Answer, text: str) -> int:
        """Return the size that a witness says it knows (c2sp.org/tlog-witness)."""
        if answer.status != HTTPStatus.CONFLICT or answer.content_type != TREE_SIZE:
            raise RefusedError(f"answered {answer.status}: {showable(text[:200].strip())}")
        told = decimal_int(text.removesuffix("\n"), "size known to a witness")
        if told > self._head.size:
            raise ConflictError(
                f"it has seen {told} entries of this log, here are {self._head.size}: "
                "restore the newer database"
            )
        return told


async def _collect(
    policy: Policy, asked: Mapping[str, Coroutine[object, object, NoteSignature]]
) -> tuple[dict[str, NoteSignature], dict[str, str]]:
    """Return who cosigned, and why every other did not; a quorum waits no longer than it must."""
    names = {asyncio.create_task(asking): name for name, asking in asked.items()}
    found: dict[str, NoteSignature] = {}
    refused: dict[str, str] = {}
    waiting = set(names)
    try:
        while waiting:
            grace = GRACE_SECONDS if policy.is_quorum(found) else None
            done, waiting = await asyncio.wait(
                waiting, timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                try:
                    found[names[task]] = task.result()
                except BccaError as error:
                    refused[names[task]] = str(error)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    refused |= {names[task]: "had not answered when the quorum was complete" for task in waiting}
    # In the order of the policy: who answers first is chance.
    return (
        {name: found[name] for name in asked if name in found},
        {name: refused[name] for name in asked if name in refused},
    )


def _cosignature(text: str, head: Head, line: WitnessLine, now: int) -> NoteSignature:
    """Return the line of `text` with which a witness cosigns `head`, verified."""
    signed = Note.parse(head.note).text
    for each in text.removesuffix("\n").split("\n"):
        signature = NoteSignature.parse(each)
        if signature.is_by(line.key):
            ahead = verify_cosignature(signature, signed, line.key) - now
            if ahead > MAX_CLOCK_SKEW_SECONDS:
                raise SignatureError(f"its clock is {ahead} s ahead of ours, so it does not count")
            return signature
    raise SignatureError(f"its answer is not signed by {line.key.label}")


def _cosigned(head: Head, key: VerifierKey, cosignatures: Iterable[NoteSignature]) -> str:
    """Return the note of `head` with its log's signature and these under it."""
    note = Note.parse(head.note)
    own = (each for each in note.signatures if each.is_by(key))
    return Note(text=note.text, signatures=(*own, *cosignatures)).encode()


def _is_believed(note: str, key: VerifierKey, policy: Policy, at: int) -> bool:
    """Say whether verifiers with our policy would believe the head."""
    try:
        verify_checkpoint(note, key, policy, at=at)
    except QuorumError:
        return False
    return True


def _text(answer: Answer) -> str:
    try:
        return answer.body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"its answer is not UTF-8: {error}") from error
