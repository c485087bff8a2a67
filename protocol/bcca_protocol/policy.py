"""Whom a verifier believes (c2sp.org/tlog-policy), and what they must have said (SPEC 6.1).

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <member>...
    quorum <name>

Items are parted by spaces and tabs; `#` begins a line of comment.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Final, Self

from bcca_protocol.checkpoint import Checkpoint, verify_cosignature
from bcca_protocol.ending import EndNote
from bcca_protocol.errors import BccaError, PolicyError, QuorumError, SignatureError, refused_at
from bcca_protocol.keys import Algorithm, VerifierKey
from bcca_protocol.limits import MAX_CLOCK_SKEW_SECONDS, MAX_POLICY_BYTES, MAX_POLICY_LINES
from bcca_protocol.note import Note, verify_note
from bcca_protocol.wire import decimal_int

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all but the tab and the line feed
_BLANK = re.compile(r"[ \t]+")
_MAKER: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A log that is believed to speak for its owner."""

    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessLine:
    """A witness, under the name that only this policy gives it."""

    name: str
    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group that has seen what at least `threshold` of its members have seen."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Logs and end notes by origin, witnesses and groups by name, and the name of the quorum."""

    logs: Mapping[str, LogLine]
    witnesses: Mapping[str, WitnessLine]
    groups: Mapping[str, Group]
    quorum: str
    ends: Mapping[str, EndNote] = field(default_factory=dict)  # in no text: they stand beside it

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the policy in `text`.

        Raises PolicyError, which names the line, also for a policy that survives no lying witness.
        """
        if len(text.encode(errors="replace")) > MAX_POLICY_BYTES:
            raise PolicyError(f"policy: over {MAX_POLICY_BYTES} bytes")
        draft = _Draft()
        last = 0
        for last, items in _lines(text):
            try:
                draft.add(items)
            except BccaError as error:
                raise PolicyError(f"policy, line {last}: {error}") from error
        if draft.quorum is None:
            raise PolicyError(f"policy, line {last}: the last, and none was a quorum; add one")
        policy = cls(
            logs=draft.logs, witnesses=draft.witnesses, groups=draft.groups, quorum=draft.quorum
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


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A policy while it is read."""

    logs: dict[str, LogLine] = field(default_factory=dict)
    witnesses: dict[str, WitnessLine] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str | None = None
    keys: set[bytes | str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)

    def add(self, items: list[str]) -> None:
        """Add what one line says."""
        match items:
            case ["log", vkey, *url] if len(url) <= 1:
                key = self._key(vkey, Algorithm.ED25519)
                if key.name in self.logs:
                    raise PolicyError(f"log {key.name} is named twice")
                self.logs[key.name] = LogLine(key=key, url=_url(url))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._require_new(name)
                key = self._key(vkey, Algorithm.ED25519_COSIGNATURE)
                self.witnesses[name] = WitnessLine(name=name, key=key, url=_url(url))
            case ["group", name, threshold, *members] if members:
                self._add_group(name, threshold, tuple(members))
            case ["quorum", name]:
                self._set_quorum(name)
            case _:
                raise PolicyError(f"{items[0]!r} and {len(items) - 1} items: no known line")

    def _add_group(self, name: str, threshold: str, members: tuple[str, ...]) -> None:
        self._require_new(name)
        for member in members:
            self._require_known(member)
            if member in self.members:
                raise PolicyError(f"{member!r} is a member twice")
            self.members.add(member)
        words = {"any": 1, "all": len(members)}
        k = words[threshold] if threshold in words else decimal_int(threshold, "threshold")
        if not 1 <= k <= len(members):
            raise PolicyError(f"group {name!r}: {k} of {len(members)} members")
        self.groups[name] = Group(name=name, threshold=k, members=members)

    def _set_quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise PolicyError(f"a second quorum, {name!r} after {self.quorum!r}")
        if name == "none":
            raise PolicyError("quorum none: k = 0 of n = 0, so f = 0 liars are survived")
        self._require_known(name)
        self.quorum = name

    def _key(self, vkey: str, algorithm: Algorithm) -> VerifierKey:
        """Return the key; no other line may have it, nor one that notes call the same."""
        key = VerifierKey.parse(vkey)
        if key.algorithm is not algorithm:
            raise PolicyError(f"{key.label} is {key.algorithm.name}, not {algorithm.name}")
        if not self.keys.isdisjoint((key.public, key.label)):
            raise PolicyError(f"the public key of {key.label} stands on an earlier line")
        self.keys |= {key.public, key.label}
        return key

    def _require_new(self, name: str) -> None:
        if name == "none" or name in self.witnesses or name in self.groups:
            raise PolicyError(f"the name {name!r} is taken")

    def _require_known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise PolicyError(f"{name!r} is no witness or group of an earlier line")


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the items of each line that says something."""
    for number, line in enumerate(text.split("\n"), 1):
        if number > MAX_POLICY_LINES:
            raise PolicyError(f"policy, line {number}: at most {MAX_POLICY_LINES} are read")
        if _CONTROL.search(line):
            raise PolicyError(f"policy, line {number}: a control character in {line[:80]!r}")
        items = [item for item in _BLANK.split(line) if item]
        if items and not items[0].startswith("#"):
            yield number, items


def _url(given: list[str]) -> str | None:
    if given and not given[0].startswith(("https://", "http://")):
        raise PolicyError(f"{given[0]!r} is not a URL of http or https")
    return given[0] if given else None
