"""Whom a verifier believes (c2sp.org/tlog-policy), and what they must have said (SPEC 6.1).

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <member>...
    quorum <name>
    verifier <origin>

The last is ours: whose opinions count, by the origin of a log line above it (SPEC 8.4).
Items are parted by spaces and tabs; `#` begins a line of comment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Final, Self

from bcca_protocol.checkpoint import Checkpoint, verify_cosignature
from bcca_protocol.ending import EndNote
from bcca_protocol.errors import BccaError, PolicyError, QuorumError, SignatureError, refused_at
from bcca_protocol.keys import Algorithm, VerifierKey
from bcca_protocol.limits import MAX_CLOCK_SKEW_SECONDS, MAX_POLICY_BYTES
from bcca_protocol.note import Note, verify_note
from bcca_protocol.policytext import Draft, Group, LogLine, WitnessLine, lines_of

__all__ = [
    "Group",
    "LogLine",
    "Policy",
    "VerifiedCheckpoint",
    "WitnessLine",
    "verify_checkpoint",
]

_MAKER: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Logs and end notes by origin, witnesses and groups by name, and the name of the quorum.

    `verifiers` are the origins whose opinions count (SPEC 8.4).
    """

    logs: Mapping[str, LogLine]
    witnesses: Mapping[str, WitnessLine]
    groups: Mapping[str, Group]
    quorum: str
    verifiers: frozenset[str] = frozenset()
    ends: Mapping[str, EndNote] = field(default_factory=dict)  # in no text: they stand beside it

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the policy in `text`.

        Raises PolicyError, which names the line, also for a policy that survives no lying witness.
        """
        if len(text.encode(errors="replace")) > MAX_POLICY_BYTES:
            raise PolicyError(f"policy: over {MAX_POLICY_BYTES} bytes")
        draft = Draft()
        last = 0
        for last, items in lines_of(text):
            try:
                draft.add(items)
            except BccaError as error:
                raise PolicyError(f"policy, line {last}: {error}") from error
        if draft.quorum is None:
            raise PolicyError(f"policy, line {last}: the last, and none was a quorum; add one")
        policy = cls(
            logs=draft.logs,
            witnesses=draft.witnesses,
            groups=draft.groups,
            quorum=draft.quorum,
            verifiers=frozenset(draft.verifiers),
        )
        if policy.survives < 1:
            raise PolicyError(
                f"policy: {policy.rule}: two quorums may share {policy.survives + 1} witnesses, "
                f"so f = {max(policy.survives, 0)} liars are survived, where 1 is the least"
            )
        return policy

    @property
    def survives(self) -> int:
        """How many lying witnesses the quorum survives, whoever they are (SPEC 6.1.2).

        Two quorums for two trees of one size share at least this many witnesses and one more. Of
        the n members of a group, two sets of k share at least 2k - n; each of these again shares
        at least what two quorums of its own do, and nobody is a member twice.
        """
        shared = dict.fromkeys(self.witnesses, 1)
        for group in self.groups.values():
            common = max(2 * group.threshold - len(group.members), 0)
            shared[group.name] = sum(sorted(shared[name] for name in group.members)[:common])
        return shared[self.quorum] - 1

    def is_quorum(self, names: Iterable[str]) -> bool:
        """Say whether the witnesses called `names` are enough."""
        seen = set(self.witnesses.keys() & names)
        for group in self.groups.values():
            if sum(name in seen for name in group.members) >= group.threshold:
                seen.add(group.name)
        return self.quorum in seen

    @property
    def rule(self) -> str:
        """The quorum in words."""
        group = self.groups.get(self.quorum)
        if group is None:
            return f"quorum {self.quorum}, one witness"
        return f"quorum {self.quorum}, k = {group.threshold} of n = {len(group.members)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCheckpoint:
    """A head that its log signed and a quorum cosigned; made by `verify_checkpoint` alone."""

    maker: InitVar[object]
    checkpoint: Checkpoint
    note: Note
    key: VerifierKey
    time: int  # POSIX: a quorum has seen nothing that contradicts it, then or later
    witnesses: tuple[str, ...]  # the names in the policy

    def __post_init__(self, maker: object) -> None:
        """Only `verify_checkpoint` has the right `maker`."""
        if maker is not _MAKER:
            raise TypeError("a verified checkpoint is made by verify_checkpoint alone")


def verify_checkpoint(
    text: str, log_key: VerifierKey, policy: Policy, *, at: int | None = None
) -> VerifiedCheckpoint:
    """Return the head in `text`, signed by `log_key` and believed under `policy` (SPEC 6.1.3).

    Raises MalformedError, LimitError, SignatureError or QuorumError. With `at`, cosignatures from
    over MAX_CLOCK_SKEW_SECONDS after it are ignored.
    """
    what = f"checkpoint of {log_key.name}"
    # 1. It is a signed note whose text is a checkpoint.
    with refused_at(what, "1 (note)"):
        note = Note.parse(text)
        checkpoint = Checkpoint.parse(note.text)
    # 2. It is of the log for which the key speaks.
    with refused_at(what, "2 (origin)"):
        if (checkpoint.origin, Algorithm.ED25519) != (log_key.name, log_key.algorithm):
            raise SignatureError(
                f"checkpoint of {checkpoint.origin!r}, not of {log_key.encode()!r}"
            )
    # 3. That log signed it.
    with refused_at(what, "3 (log signature)"):
        verify_note(note, (log_key,))
    # 4. Every cosignature by a witness of the policy holds.
    with refused_at(what, "4 (cosignatures)"):
        cosigned = _cosignatures(note, policy)
    # 5. Those who count are a quorum: not the log itself, and nobody from the future.
    times = _counted(cosigned, log_key, at)
    with refused_at(what, "5 (quorum)"):
        if not policy.is_quorum(times.keys()):
            seen = f"size {checkpoint.size}: cosigned by {', '.join(times) or 'nobody'}"
            raise QuorumError(f"{seen}, which is not the {policy.rule}")
    # 6. Its time is the latest at which, or after which, a quorum cosigned.
    return VerifiedCheckpoint(
        maker=_MAKER,
        checkpoint=checkpoint,
        note=note,
        key=log_key,
        time=_quorum_time(times, policy),
        witnesses=tuple(name for name in policy.witnesses if name in times),
    )


def _cosignatures(note: Note, policy: Policy) -> list[tuple[WitnessLine, int]]:
    """Return who of the policy cosigned when; raises SignatureError if one does not verify."""
    known = {(each.key.name, each.key.id): each for each in policy.witnesses.values()}
    return [
        (witness, verify_cosignature(signature, note.text, witness.key))
        for signature in note.signatures
        if (witness := known.get((signature.name, signature.key_id))) is not None
    ]


def _counted(
    cosigned: Iterable[tuple[WitnessLine, int]], log_key: VerifierKey, at: int | None
) -> dict[str, int]:
    """Return the latest time of each witness whose cosignature counts."""
    times: dict[str, int] = {}
    for witness, time in cosigned:
        own = witness.key.name == log_key.name or witness.key.public == log_key.public
        early = at is not None and time > at + MAX_CLOCK_SKEW_SECONDS
        if not own and not early:
            times[witness.name] = max(time, times.get(witness.name, 0))
    return times


def _quorum_time(times: Mapping[str, int], policy: Policy) -> int:
    """Return the largest t such that the witnesses who cosigned at or after t are a quorum."""
    return max(
        time
        for time in times.values()
        if policy.is_quorum({name for name, other in times.items() if other >= time})
    )
