"""Asking witnesses to cosign this node's head, and publishing it once a quorum has.

A head leaves the node only with its quorum (SPEC 5.8); until then its statements are pending.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from sqlmodel import Session

from bcca_node.ledger import guard, log
from bcca_node.ledger.guard import TooFewError
from bcca_node.ledger.node import Node
from bcca_node.ledger.quorum import GRACE_SECONDS, collect
from bcca_node.network.client import Answer, Fetcher
from bcca_node.storage import logs, witnessed
from bcca_node.storage.logs import Head
from bcca_node.storage.witnessed import Cosigned
from bcca_protocol.checkpoint import verify_cosignature
from bcca_protocol.errors import (
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
from bcca_protocol.note import Note, NoteSignature, cosigned_at
from bcca_protocol.policy import Policy, WitnessLine, verify_checkpoint
from bcca_protocol.wire import decimal_int, showable
from bcca_protocol.witness import PLAIN, TREE_SIZE, AddCheckpoint

ROUNDS = 3  # the first may tell the size that a witness knows, another request may change it


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """What came of asking: who cosigned the head of `size`, and why every other did not.

    `most_told` is the largest size that a witness says it knows.
    """

    size: int
    published: bool
    rule: str
    cosigned: tuple[str, ...]
    refused: Mapping[str, str]
    most_told: int = 0

    def __str__(self) -> str:
        """Return it in one sentence."""
        asked = len(self.cosigned) + len(self.refused)
        state = "published" if self.published else "pending"
        reasons = "".join(f"; {name}: {why}" for name, why in self.refused.items())
        return (
            f"{state}: tree of {self.size}, {len(self.cosigned)} of {asked} witnesses cosigned "
            f"({self.rule}){reasons}"
        )


async def witness(node: Node, fetcher: Fetcher, *, grace: float = GRACE_SECONDS) -> Witnessed:
    """Have the newest head cosigned, and publish it if a quorum does.

    A head that is published already gets fresh times. `grace` is how many seconds a witness may
    be slower than a quorum. Raises UnusableError where there is no policy or no log, and what
    `guard.clear` raises, but where too few witnesses answer: that is in the answer, like all that
    a witness does wrong.
    """
    policy = node.trust.required()
    done, newest = await _round(node, fetcher, policy, grace)
    for _ in range(ROUNDS - 1):
        if newest > done.size:
            done, newest = await _round(node, fetcher, policy, grace)
    if done.most_told > newest:
        # Two copies of this node run, or a witness lies: whoever lies has no head to show.
        await guard.watch(node, fetcher)
    return done


async def _round(
    node: Node, fetcher: Fetcher, policy: Policy, grace: float
) -> tuple[Witnessed, int]:
    """Return what came of asking for the newest head, and the size of the newest by then."""
    with node.database.read() as session:
        head, published = logs.last_head(session), logs.published_head(session)
    if head is None:
        raise UnusableError(f"log {node.origin}: it is empty, there is nothing to witness")
    if not head.published:
        try:
            # It may have been signed on top of an old copy: then nobody is to see it.
            await guard.clear(node, fetcher)
        except TooFewError as error:
            with node.database.write() as session:
                _remember(session, head, {}, error.silent, node.clock())
            return _unasked(head, policy, error), head.size
    before = 0 if published is None else published.size
    asking = _Asking(node, fetcher, head, before)
    # A log's own cosignature never counts for itself.
    lines = [line for line in policy.witnesses.values() if line.key.name != node.origin]
    asked = {line.name: asking.ask(line) for line in lines}
    found, refused = await collect(policy, asked, grace=grace)
    have = {**_earlier(head, lines), **found}
    note = _cosigned(head, have.values())
    done = _is_believed(note, node.key_of(note), policy, node.clock())
    with node.database.write() as session:
        if done or not head.published:
            logs.put_head(session, replace(head, note=note, published=done))
        _remember(session, head, found, refused, node.clock())
        now, newest = logs.published_head(session), logs.size(session)
    result = Witnessed(
        size=head.size,
        published=done or (now is not None and before < now.size >= head.size),
        rule=policy.rule,
        cosigned=tuple(line.name for line in lines if line.name in have),
        refused={name: why for name, why in refused.items() if name not in have},
        most_told=asking.most_told,
    )
    return result, newest


def _unasked(head: Head, policy: Policy, error: TooFewError) -> Witnessed:
    """Return what is to be said where it is not even known that the head is the newest."""
    return Witnessed(
        size=head.size, published=False, rule=policy.rule, cosigned=(), refused=error.silent
    )


class _Asking:
    """One head, to be cosigned by everyone; `known` is the size they probably saw last."""

    def __init__(self, node: Node, fetcher: Fetcher, head: Head, known: int) -> None:
        self._node = node
        self._fetcher = fetcher
        self._head = head
        self._known = known
        self.most_told = 0  # the largest size that a witness says it knows

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
        note = _cosigned(self._head, ())
        return AddCheckpoint(old=old, proof=proof, note=note).encode()

    def _size_told(self, answer: Answer, text: str) -> int:
        """Return the size that a witness says it knows (c2sp.org/tlog-witness)."""
        if answer.status != HTTPStatus.CONFLICT or answer.content_type != TREE_SIZE:
            raise RefusedError(f"answered {answer.status}: {showable(text[:200].strip())}")
        told = decimal_int(text.removesuffix("\n"), "size known to a witness")
        self.most_told = max(told, self.most_told)
        if told > self._head.size:
            raise ConflictError(
                f"it has seen {told} entries of this log, here are {self._head.size}: "
                "if no other process publishes now, run `bcca log recover`"
            )
        return told


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


def _earlier(head: Head, lines: Sequence[WitnessLine]) -> dict[str, NoteSignature]:
    """Return who cosigned a pending head before: they may have been too few, and are not now."""
    given = () if head.published else Note.parse(head.note).signatures
    return {line.name: each for line in lines for each in given if each.is_by(line.key)}


def _remember(
    session: Session,
    head: Head,
    found: Mapping[str, NoteSignature],
    refused: Mapping[str, str],
    at: int,
) -> None:
    """Store how far every witness is that was asked, and why it is no further."""
    for name, signature in found.items():
        time = cosigned_at(signature)
        done = Cosigned(witness=name, size=head.size, time=time, asked_at=at, refused="")
        witnessed.put_cosigned(session, done)
    for name, why in refused.items():
        behind = Cosigned(witness=name, size=0, time=0, asked_at=at, refused=why)
        witnessed.put_cosigned(session, behind)


def _cosigned(head: Head, cosignatures: Iterable[NoteSignature]) -> str:
    """Return the note of `head` with its log's signatures and these under it."""
    note = Note.parse(head.note)
    origin = note.text.partition("\n")[0]  # a newer key may have signed than this process knows
    own = (each for each in note.signatures if each.name == origin)
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
