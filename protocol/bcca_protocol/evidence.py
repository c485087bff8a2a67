"""The logs and statements of a bundle, in the order in which one introduces the next (SPEC 11).

The policy names some logs. A verified statement names the logs of its suppliers, and so on up to
the mine: these are trusted by introduction, under the same quorum, and counted apart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bcca_protocol import policy, verify
from bcca_protocol.bundle import Contents, LogLine, StatementLine
from bcca_protocol.errors import AuthorshipError, ConflictError, MalformedError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.partial import Part
from bcca_protocol.policy import Policy
from bcca_protocol.verify import Fact, Signed, Verified, VerifiedLog
from bcca_protocol.wire import unb64


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Verified logs by origin, signed facts by commitment, and who introduced which log."""

    logs: Mapping[str, VerifiedLog]
    facts: Mapping[str, Signed[Fact]]
    introduced: Mapping[str, str]

    def parts(self) -> dict[str, Signed[Part]]:
        """Return the partial footprints by commitment."""
        return {name: each for name, each in self.facts.items() if verify.is_part(each)}


def read_evidence(found: Contents, trusted: Policy, *, at: int | None = None) -> Evidence:
    """Return every log and statement of a bundle, verified under `trusted` (SPEC 11.2, 11.3).

    Raises AuthorshipError for a log that neither the policy nor a verified statement names,
    ConflictError where statements name it with keys that are not its own, and what `verify` raises.
    """
    reader = _Reader(found, trusted, at)
    named = {origin: Naming((line.key.encode(),), "") for origin, line in trusted.logs.items()}
    while True:
        reachable = {o: naming for o, naming in named.items() if o in reader.waiting}
        if not reachable:
            break
        named = namings([fact for o, how in reachable.items() for fact in reader.read(o, how)])
    if reader.waiting:
        raise AuthorshipError(
            f"log {min(reader.waiting)}: neither in the policy nor named by a verified statement"
        )
    if reader.statements:
        raise AuthorshipError(f"a statement of {min(reader.statements)}, whose log is not here")
    return Evidence(logs=reader.logs, facts=reader.facts, introduced=reader.introduced)


class Naming(NamedTuple):
    """The keys by which one tier names a log, and who did so first (nobody: the policy)."""

    keys: tuple[str, ...]
    introducer: str

    def require_one_log(self, log: VerifiedLog) -> None:
        """Raise ConflictError unless every key is that log's: one may follow another, no more."""
        for key in self.keys:
            if key not in log.log_keys:
                raise ConflictError(
                    f"log {log.origin}: its customers name it with {key} and "
                    f"{log.head.key.encode()}, which are not both its own"
                )


def namings(facts: Iterable[Verified[Fact]]) -> dict[str, Naming]:
    """Return how the statements of one tier name the logs of their suppliers."""
    named: dict[str, Naming] = {}
    for part in (each.fact for each in facts if isinstance(each.fact, Part)):
        for bought in part.bought:
            before = named.get(bought.origin, Naming((), part.issuer))
            if bought.key not in before.keys:
                named[bought.origin] = before._replace(keys=(*before.keys, bought.key))
    return named


class _Reader:
    """What is still to be read, and what was."""

    def __init__(self, found: Contents, trusted: Policy, at: int | None) -> None:
        self.waiting: dict[str, LogLine] = {}
        self.statements: dict[str, list[StatementLine]] = {}
        self.logs: dict[str, VerifiedLog] = {}
        self.facts: dict[str, Signed[Fact]] = {}
        self.introduced: dict[str, str] = {}
        self._trusted = trusted
        self._at = at
        for line in found.logs:
            if self.waiting.setdefault(line.origin, line) is not line:
                raise MalformedError(f"bundle: two logs of {line.origin}")
        for each in found.statements:
            self.statements.setdefault(each.origin, []).append(each)

    def read(self, origin: str, naming: Naming) -> list[Signed[Fact]]:
        """Verify one log and its statements; return their facts."""
        line = self.waiting.pop(origin)
        if line.key not in naming.keys:
            who = naming.introducer or "the policy"
            raise ConflictError(
                f"log {origin}: {who} names it with key {naming.keys[0]}, the bundle has {line.key}"
            )
        if naming.introducer:
            self.introduced[origin] = naming.introducer
        key = VerifierKey.parse(line.key)
        head = policy.verify_checkpoint("\n".join(line.checkpoint), key, self._trusted, at=self._at)
        entries = [entry.encode() for entry in line.entries]
        log = verify.verify_log(head, entries, introduced=bool(naming.introducer))
        naming.require_one_log(log)
        self.logs[origin] = log
        return [self._statement(each, log) for each in self.statements.pop(origin, [])]

    def _statement(self, line: StatementLine, log: VerifiedLog) -> Signed[Fact]:
        signed = verify.verify_signed(unb64(line.envelope, "bundle: envelope"), log)
        if str(signed.index) != line.index:
            raise MalformedError(
                f"statement {signed.fact.commitment}: entry {signed.index} of {log.origin}, the "
                f"bundle has index {line.index}"
            )
        if self.facts.setdefault(signed.fact.commitment, signed) is not signed:
            raise MalformedError(f"bundle: statement {signed.fact.commitment} stands twice")
        return signed
