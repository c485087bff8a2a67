"""Asking witnesses to cosign this node's head, and publishing it once a quorum has.

A head leaves the node only with its quorum (SPEC 5.8); until then its statements are pending.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlmodel import Session

from bcca_node.ledger import guard, log
from bcca_node.ledger.asking import Asking, Shown
from bcca_node.ledger.guard import TooFewError
from bcca_node.ledger.node import Node
from bcca_node.ledger.quorum import GRACE_SECONDS, collect
from bcca_node.network.client import Fetcher
from bcca_node.storage import logs, witnessed
from bcca_node.storage.logs import Head
from bcca_node.storage.witnessed import Cosigned
from bcca_protocol.errors import ConflictError, QuorumError, SignatureError, UnusableError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.limits import MAX_CLOCK_SKEW_SECONDS
from bcca_protocol.merkle import prove_consistency
from bcca_protocol.note import Note, NoteSignature, cosigned_at
from bcca_protocol.policy import Policy, WitnessLine, verify_checkpoint

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
    # A log's own cosignature never counts for itself.
    lines = [line for line in policy.witnesses.values() if line.key.name != node.origin]
    shown = _shown(node, head)
    askings = [Asking(fetcher, shown, line) for line in lines]
    asked = {each.line.name: _cosignature(node, each, before) for each in askings}
    found, refused = await collect(policy, asked, grace=grace)
    have = _earlier(head, lines) | found
    note = shown.own.with_signatures(have.values()).encode()
    done = _is_believed(note, node.key_of(note), policy, node.clock())
    with node.database.write() as session:
        if done or not head.published:
            logs.put_head(session, replace(head, note=note, published=done))
        _remember(session, head, found, refused, node.clock())
        now, newest = logs.published_head(session), logs.size(session)
    return Witnessed(
        size=head.size,
        published=done or (now is not None and before < now.size >= head.size),
        rule=policy.rule,
        cosigned=tuple(line.name for line in lines if line.name in have),
        refused={name: why for name, why in refused.items() if name not in have},
        most_told=max((each.most_told for each in askings), default=0),
    ), newest


def _unasked(head: Head, policy: Policy, error: TooFewError) -> Witnessed:
    """Return what is to be said where it is not even known that the head is the newest."""
    return Witnessed(
        size=head.size, published=False, rule=policy.rule, cosigned=(), refused=error.silent
    )


def _shown(node: Node, head: Head) -> Shown:
    """Return the head as witnesses are shown it, with the proofs of this node's own log."""

    async def prove(old: int) -> tuple[bytes, ...]:
        with node.database.read() as session:
            return prove_consistency(old, head.size, log.subtree(session, head.size))

    return Shown(note=Note.parse(head.note), size=head.size, prove=prove)


async def _cosignature(node: Node, asking: Asking, known: int) -> NoteSignature:
    """Return the cosignature of a witness that probably saw `known` last; raises BccaError."""
    try:
        signature = await asking.submit(known, rounds=ROUNDS)
    except ConflictError as error:
        raise ConflictError(
            f"{error}: if no other process publishes now, run `bcca log recover`"
        ) from error
    ahead = cosigned_at(signature) - node.clock()
    if ahead > MAX_CLOCK_SKEW_SECONDS:
        raise SignatureError(f"its clock is {ahead} s ahead of ours, so it does not count")
    return signature


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


def _is_believed(note: str, key: VerifierKey, policy: Policy, at: int) -> bool:
    """Say whether verifiers with our policy would believe the head."""
    try:
        verify_checkpoint(note, key, policy, at=at)
    except QuorumError:
        return False
    return True
