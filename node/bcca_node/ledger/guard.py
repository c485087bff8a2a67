"""The restore guard: nobody may have seen more of this log than there is (SPEC 5.11).

A database put back from a backup, or a thief with the log key, shows here before anything is
signed on top of it.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from bcca_node.ledger import alarm
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.storage import logs, witnessed
from bcca_protocol.checkpoint import Checkpoint, verify_cosignature
from bcca_protocol.errors import (
    BccaError,
    ConflictError,
    MalformedError,
    SignatureError,
    UnavailableError,
    UnusableError,
)
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES
from bcca_protocol.note import Note
from bcca_protocol.policy import Policy, WitnessLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a witness has seen of this log: a head that this log signed, or nothing yet."""

    witness: str
    note: Note | None
    checkpoint: Checkpoint | None


class TooFewError(UnavailableError):
    """Too few witnesses answered; `silent` is why each of the others did not."""

    def __init__(self, what: str, silent: Mapping[str, str]) -> None:
        """Say in one sentence what was not done for it, and why."""
        reasons = "; ".join(f"{name}: {why}" for name, why in silent.items())
        super().__init__(f"{what} ({reasons})")
        self.silent = silent


async def clear(node: Node, fetcher: Fetcher) -> None:
    """Allow this process to append, once enough witnesses have seen no more than there is.

    Raises ConflictError where one has seen more or another tree, and while an alarm stands;
    TooFewError where too few answered; UnusableError without a policy, unless nobody was
    ever shown anything of this log.
    """
    if node.clearance.is_confirmed:
        return
    policy = node.trust.policy()
    if policy is None:
        _clear_unshown(node)
        return
    heard, silent = await ask(node, fetcher, policy)
    size = compare(node, heard)
    with node.database.read() as session:
        alarm.require_none(session, node.origin)
        restored = logs.restored(session)
    answered = {each.witness for each in heard} - {*silent}
    _require_enough(node, policy, answered, silent)
    if restored:
        _require_all(node, policy, answered, silent)
        with node.database.write() as session:
            logs.set_restored(session, False)
    node.clearance.grant(size)


async def watch(node: Node, fetcher: Fetcher) -> None:
    """Ask the witnesses again, and sound an alarm where `clear` would raise ConflictError.

    Raises that error. Too few answers are no error here.
    """
    heard, _ = await ask(node, fetcher, node.trust.required())
    compare(node, heard)


async def ask(node: Node, fetcher: Fetcher, policy: Policy) -> tuple[list[Heard], dict[str, str]]:
    """Return what the witnesses of `policy` have seen of this log, and why others did not say.

    One that shows less than it is known to have cosigned did not say what it has seen: somebody
    else answers for it, or it has forgotten. A head that it shows all the same is among the heard.
    """
    lines = _others(node, policy)
    with node.database.read() as session:
        cosigned = _cosigned(session, lines)
    answers = await asyncio.gather(*(_ask(node, fetcher, line) for line in lines))
    heard: list[Heard] = []
    silent: dict[str, str] = {}
    with node.database.read() as session:
        for line, answer in zip(lines, answers, strict=True):
            try:
                each = _heard(node, session, line, answer)
            except BccaError as error:
                silent[line.name] = str(error)
                continue
            shown = 0 if each.checkpoint is None else each.checkpoint.size
            if shown < cosigned[line.name]:
                silent[line.name] = (
                    f"it shows {shown} entries of this log, and has cosigned {cosigned[line.name]}:"
                    " somebody else answers for it, or it has forgotten"
                )
            if each.note is not None or line.name not in silent:
                heard.append(each)
    return heard, silent


def compare(node: Node, heard: Sequence[Heard]) -> int:
    """Return the size of the log, of whose beginning all is that was `heard` now or before.

    Raises ConflictError, after an alarm, where that is not so. The log is read after the
    witnesses were asked: what another process of this node entered meanwhile is no news.
    """
    with node.database.read() as session:
        size = logs.size(session)
        found = list(contradictions(node, session, heard))
        now = {note.text for _, note in found}
        before = next(alarm.known_heads(node, session, above=size), None)
        if before is not None and before.text not in now:
            what = alarm.contradiction(node, session, ["somebody"], before)
            found += [] if what is None else [(what, before)]
    if found:
        first, *_ = alarm.sound(node, found)
        raise ConflictError(f"log {node.origin}: {first.what}")
    return size


def contradictions(
    node: Node, session: Session, heard: Sequence[Heard]
) -> Iterator[tuple[str, Note]]:
    """Yield in words how heads that were `heard` contradict what is here, each head once."""
    heads: dict[str, list[Heard]] = {}
    for each in heard:
        if each.note is not None:
            heads.setdefault(each.note.text, []).append(each)
    for same in heads.values():
        note = same[0].note
        if note is not None:
            what = alarm.contradiction(node, session, [each.witness for each in same], note)
            if what is not None:
                yield what, note


def sure_hits(policy: Policy, answered: Collection[str]) -> int:
    """Return how many witnesses every possible quorum has among those who answered.

    More than can lie, and no head that a quorum has seen is unknown to all of them.
    """
    hits = {name: int(name in answered) for name in policy.witnesses}
    for group in policy.groups.values():
        fewest = sorted(hits[name] for name in group.members)
        hits[group.name] = sum(fewest[: group.threshold])
    return hits[policy.quorum]


def _clear_unshown(node: Node) -> None:
    """Allow appending without asking: there is nobody to ask, and nobody has seen anything."""
    with node.database.read() as session:
        size, shown = logs.size(session), logs.published_head(session) is not None
        if shown or witnessed.cosigned(session) or logs.restored(session):
            raise UnusableError(
                f"log {node.origin}: {node.settings.data / 'policy.txt'} is not there, so no "
                "witness can say that no newer copy of this log exists; put it back"
            )
    node.clearance.grant(size, confirmed=False)


def _require_enough(
    node: Node, policy: Policy, answered: Collection[str], silent: Mapping[str, str]
) -> None:
    """Raise TooFewError unless no quorum could have seen more than all who answered."""
    if sure_hits(policy, answered) <= policy.survives:
        raise TooFewError(
            f"log {node.origin}: only {len(answered)} witnesses said what they have seen of it, "
            "too few to know that no newer copy of it exists; nothing was entered",
            silent,
        )


def _require_all(
    node: Node, policy: Policy, answered: Collection[str], silent: Mapping[str, str]
) -> None:
    """Raise TooFewError unless every witness that can be asked has answered.

    After a restore the newest head may be one that only few have seen.
    """
    missing = {each.name for each in _others(node, policy) if each.url is not None} - {*answered}
    if missing:
        raise TooFewError(
            f"log {node.origin}: it was restored from a backup, so every witness has to say what "
            "it has seen; nothing was entered; try again when all answer, and take a witness that "
            "is gone for good out of policy.txt",
            silent,
        )


def _others(node: Node, policy: Policy) -> list[WitnessLine]:
    """Return the witnesses that are not this node: its own cosignature never counts."""
    return [each for each in policy.witnesses.values() if each.key.name != node.origin]


def _cosigned(session: Session, lines: Sequence[WitnessLine]) -> dict[str, int]:
    """Return how many entries of this log each witness is known to have cosigned."""
    told = witnessed.cosigned(session)
    sizes = {line.name: told[line.name].size if line.name in told else 0 for line in lines}
    for head in (logs.last_head(session), logs.published_head(session)):
        if head is not None:
            for line in lines:
                if _is_cosigned(Note.parse(head.note), line):
                    sizes[line.name] = max(head.size, sizes[line.name])
    return sizes


def _is_cosigned(note: Note, line: WitnessLine) -> bool:
    """Say whether a witness cosigned one of our heads, which may have come from a mirror."""
    for each in note.signatures:
        if each.is_by(line.key):
            try:
                verify_cosignature(each, note.text, line.key)
            except SignatureError:
                continue
            return True
    return False


async def _ask(node: Node, fetcher: Fetcher, line: WitnessLine) -> bytes | BccaError | None:
    try:
        if line.url is None:
            raise UnavailableError("the policy has no URL for it")
        hashed = witnessed.origin_hash(node.origin)
        url = f"{line.url.rstrip('/')}/{hashed}/checkpoint"
        return await fetcher.find(url, limit=MAX_CHECKPOINT_BYTES)
    except BccaError as error:
        return error


def _heard(
    node: Node, session: Session, line: WitnessLine, found: bytes | BccaError | None
) -> Heard:
    """Return what a witness showed; raises RefusedError for what this log did not sign."""
    if isinstance(found, BccaError):
        raise found
    if found is None:
        return Heard(witness=line.name, note=None, checkpoint=None)
    try:
        note = Note.parse(found.decode())
    except UnicodeDecodeError as error:
        raise MalformedError(f"its answer is not UTF-8: {error}") from error
    checkpoint = alarm.read_head(node, session, note)
    return Heard(witness=line.name, note=note, checkpoint=checkpoint)
