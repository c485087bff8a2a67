"""The logs and statements of a bundle, in the order in which one introduces the next (SPEC 11).

The policy names some logs. A verified statement names the logs of its suppliers, and so on up to
the mine: these are trusted by introduction, under the same quorum, and counted apart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bcca_protocol import policy, statement, verify
from bcca_protocol.assurance import is_opinion
from bcca_protocol.bundle import Contents, LogLine, StatementLine
from bcca_protocol.cumulative import is_roll_up
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import AuthorshipError, ConflictError, MalformedError
from bcca_protocol.facts import Fact
from bcca_protocol.keys import VerifierKey
from bcca_protocol.note import Note
from bcca_protocol.partial import Part
from bcca_protocol.policy import Policy
from bcca_protocol.rollup import Opinion, RollUp
from bcca_protocol.statement import OpinionStatement
from bcca_protocol.verify import Signed, Verified, VerifiedLog
from bcca_protocol.wire import unb64


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Verified logs by origin, signed facts by commitment, and who introduced which log.

    `aside` counts by origin the opinions of logs that nobody here names: they were not looked at.
    """

    logs: Mapping[str, VerifiedLog]
    facts: Mapping[str, Signed[Fact]]
    introduced: Mapping[str, str]
    aside: Mapping[str, int] = field(default_factory=dict)

    def parts(self) -> dict[str, Signed[Part]]:
        """Return the partial footprints by commitment."""
        return {name: each for name, each in self.facts.items() if verify.is_signed_part(each)}

    def roll_ups(self) -> dict[str, Verified[RollUp]]:
        """Return the roll-ups by commitment."""
        return {name: each for name, each in self.facts.items() if is_roll_up(each)}

    def opinions(self) -> list[Verified[Opinion]]:
        """Return the opinions."""
        return [each for each in self.facts.values() if is_opinion(each)]

    def times(self) -> list[int]:
        """Return when a quorum saw each log; one that ended says nothing new, however old it is."""
        going = [log.head.time for log in self.logs.values() if not log.has_ended]
        return going or [log.head.time for log in self.logs.values()]

    def tell_logs(self, trusted: Policy) -> str:
        """Return in words what was read of logs."""
        entries = sum(log.history.size for log in self.logs.values())
        ended = [origin for origin, log in self.logs.items() if log.has_ended]
        return (
            f"{len(self.logs)} logs with {entries} entries, each cosigned by the {trusted.rule}, "
            f"which survives {trusted.survives} lying; {len(self.introduced)} by introduction"
            + (f"; ended by their owners: {', '.join(ended)}" if ended else "")
        )

    def tell_statements(self) -> str:
        """Return in words what was verified of statements."""
        lines = sum(len(each.fact.bought) for each in self.parts().values())
        return (
            f"{len(self.facts)} signed, entered under a valid key, own sums recomputed; "
            f"{lines} bought lines"
        )


def read_evidence(found: Contents, trusted: Policy, *, at: int | None = None) -> Evidence:
    """Return every log and statement of a bundle, verified under `trusted` (SPEC 11.2, 11.3).

    Raises AuthorshipError for a log that neither the policy nor a verified statement names,
    ConflictError for one that they name with another key only, and what `verify` raises.
    """
    reader = _Reader(found, trusted, at)
    reachable = reader.known()
    while reachable:
        facts = [fact for o, who in reachable.items() for fact in reader.read(o, who)]
        reachable = reader.named(facts)
    aside = reader.set_aside()
    reader.require_all_read()
    return Evidence(logs=reader.logs, facts=reader.facts, introduced=reader.introduced, aside=aside)


class _Reader:
    """What is still to be read, and what was."""

    def __init__(self, found: Contents, trusted: Policy, at: int | None) -> None:
        self.waiting: dict[str, LogLine] = {}
        self.statements: dict[str, list[StatementLine]] = {}
        self.logs: dict[str, VerifiedLog] = {}
        self.facts: dict[str, Signed[Fact]] = {}
        self.introduced: dict[str, str] = {}
        self._misnamed: dict[str, str] = {}
        self._trusted = trusted
        self._at = at
        for line in found.logs:
            if self.waiting.setdefault(line.origin, line) is not line:
                raise MalformedError(f"bundle: two logs of {line.origin}")
        for each in found.statements:
            self.statements.setdefault(each.origin, []).append(each)

    def known(self) -> dict[str, str]:
        """Return the logs here that the policy names, introduced by nobody."""
        here = [origin for origin in self._trusted.logs if origin in self.waiting]
        for origin in here:
            key, line = self._trusted.logs[origin].key, self.waiting[origin]
            # While one log key gives way to the next, both sign, and either may be named.
            signed = Note.parse("\n".join(line.checkpoint)).signatures
            if key.encode() != line.key and not any(each.is_by(key) for each in signed):
                raise ConflictError(_other_key(line, key.encode(), "the policy"))
        return dict.fromkeys(here, "")

    def named(self, facts: Iterable[Signed[Fact]]) -> dict[str, str]:
        """Return whose statement names which waiting log, with the key it has here.

        Another key feeds nothing and voids nothing: else one liar could void everybody's bundles.
        """
        found: dict[str, str] = {}
        for part in (each.fact for each in facts if isinstance(each.fact, Part)):
            for bought in part.bought:
                line = self.waiting.get(bought.origin)
                if line is not None and line.key == bought.key:
                    found.setdefault(bought.origin, part.issuer)
                elif line is not None:
                    why = _other_key(line, bought.key, part.issuer)
                    self._misnamed.setdefault(bought.origin, why)
        return found

    def set_aside(self) -> dict[str, int]:
        """Leave logs that nobody names and that bring nothing but opinions; count these by origin.

        Who does not believe a verifier can still check everything else (SPEC 11.2).
        """
        aside = {
            origin: len(brought)
            for origin in self.waiting
            if (brought := self.statements.get(origin)) and all(map(_is_opinion, brought))
        }
        for origin in aside:
            del self.waiting[origin], self.statements[origin]
        return aside

    def require_all_read(self) -> None:
        """Raise AuthorshipError or ConflictError for a log or a statement that is left over."""
        if self.waiting:
            origin = min(self.waiting)
            if origin in self._misnamed:
                raise ConflictError(self._misnamed[origin])
            raise AuthorshipError(
                f"log {origin}: neither in the policy nor named by a verified statement"
            )
        if self.statements:
            raise AuthorshipError(f"a statement of {min(self.statements)}, whose log is not here")

    def read(self, origin: str, introducer: str) -> list[Signed[Fact]]:
        """Verify one log and its statements; return their facts."""
        line = self.waiting.pop(origin)
        if introducer:
            self.introduced[origin] = introducer
            key = VerifierKey.parse(line.key)
        else:
            key = self._trusted.logs[origin].key
        head = policy.verify_checkpoint("\n".join(line.checkpoint), key, self._trusted, at=self._at)
        entries = [entry.encode() for entry in line.entries]
        end = self._trusted.ends.get(origin)
        log = verify.verify_log(head, entries, introduced=bool(introducer), end=end)
        if line.key not in log.log_keys:
            raise ConflictError(_other_key(line, key.encode(), "the policy"))
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


def _is_opinion(line: StatementLine) -> bool:
    envelope = Envelope.parse(unb64(line.envelope, "bundle: envelope"))
    return isinstance(statement.decode(envelope.payload), OpinionStatement)


def _other_key(line: LogLine, key: str, who: str) -> str:
    return f"log {line.origin}: {who} names it with key {key}, the bundle has {line.key}"
