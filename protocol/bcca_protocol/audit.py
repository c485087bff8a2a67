"""A bundle checked and recomputed with nothing but a policy: the report (SPEC 11)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from bcca_protocol import bundle, footprint, manifest, merkle, period
from bcca_protocol.aggregate import Totals
from bcca_protocol.bundle import Contents
from bcca_protocol.caveats import caveats
from bcca_protocol.demand import Demand
from bcca_protocol.errors import AuthorshipError, ProofError, StatementError
from bcca_protocol.evidence import Evidence, read_evidence
from bcca_protocol.footprint import Footprint
from bcca_protocol.policy import Policy
from bcca_protocol.quantity import number, plain
from bcca_protocol.repeat import Repeated, repeat
from bcca_protocol.results import ReadLog
from bcca_protocol.rollup import RollUp
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.verify import VerifiedLog
from bcca_protocol.wire import b64
from bcca_protocol.withheld import Hidden, read_withheld


class Step(NamedTuple):
    """One thing that was checked, and what it showed."""

    number: int
    what: str
    found: str


OnStep = Callable[[Step], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a bundle proves. `unverified` comes first wherever it is shown.

    `total` is kg CO2e excluding biogenic uptake for `amount` of `unit`, as the roll-up states it
    with `footprint`. All of it was recomputed, unless something is `withheld`: then that is true
    of what is in `repeated` alone. Every log was seen by a quorum at `as_of` or later; the bundle
    is looked at from `at` (both POSIX seconds).
    """

    product: str
    maker: str
    recipient: str | None
    amount: Decimal
    unit: str
    total: Decimal
    footprint: Footprint
    incomplete: bool
    evidence: Evidence
    as_of: int
    at: int
    unverified: tuple[str, ...]
    withheld: tuple[Hidden, ...]
    repeated: Repeated | None

    @property
    def totals(self) -> Totals:
        """What was added up; raises StatementError if that is nothing."""
        return self._repeated.totals

    @property
    def needed(self) -> Demand:
        """What the amount needs; raises StatementError if nothing was added up."""
        return self._repeated.needed

    @property
    def recomputed(self) -> Footprint:
        """What was recomputed of `footprint`: all of it, if nothing is withheld."""
        return {} if self.repeated is None else self.repeated.footprint

    @property
    def claimed(self) -> Footprint:
        """The rest of `footprint`: its maker's claim of what is withheld, and all upstream."""
        return footprint.difference(self.footprint, self.recomputed)

    @property
    def _repeated(self) -> Repeated:
        if self.repeated is None:
            raise StatementError(
                f"{self.product}: the statement it begins with is withheld: nothing was added up"
            )
        return self.repeated


def audit(
    lines: Iterable[bytes],
    trusted: Policy,
    *,
    at: int | None = None,
    on_step: OnStep = lambda _: None,
) -> Report:
    """Return what the bundle in `lines` proves under `trusted`, its total recomputed.

    Without `at` the bundle is looked at from the newest time at which a quorum saw one of its logs.
    `on_step` hears of each step as it holds. Raises what the step that fails raises (SPEC 11).
    """
    # 1. The file is whole: lines in their one form, as many as its end counts, with its digest.
    found = bundle.read(lines)
    on_step(Step(1, "file", f"{found.end.lines} lines with SHA-256 {found.end.sha256}"))
    # 2. Every log is known or introduced, cosigned by a quorum, and hashes to its root.
    # 3. Every statement is signed, entered under a valid key, canonical, and sums up.
    evidence = _evidence(found.contents, trusted, at, on_step)
    # 4. The maker sealed the file.
    maker = found.contents.header.maker
    bundle.verify_seal(found, _log_of(evidence, maker).history)
    on_step(Step(4, "seal", f"by {maker}, with a statement key valid at its log's end"))
    # 5. The roll-up and all it was made from are current; it was made from trees that are here.
    # 6. Recomputed from the statements, every number of it is the same.
    return _report(found.contents, evidence, at, on_step)


def examine(
    found: Contents, trusted: Policy, *, at: int | None = None, on_step: OnStep = lambda _: None
) -> Report:
    """Return what `audit` would, of contents that are no file yet: steps 2, 3, 5 and 6."""
    return _report(found, _evidence(found, trusted, at, on_step), at, on_step)


def _evidence(found: Contents, trusted: Policy, at: int | None, on_step: OnStep) -> Evidence:
    evidence = read_evidence(found, trusted, at=at)
    on_step(Step(2, "logs", evidence.tell_logs(trusted)))
    on_step(Step(3, "statements", evidence.tell_statements()))
    return evidence


def _report(found: Contents, evidence: Evidence, at: int | None, on_step: OnStep) -> Report:
    rolled = _roll_up(found, evidence)
    _check_rules(rolled.statement, found)
    hidden = read_withheld(found, rolled, evidence)
    _check_trees(rolled.statement, found, evidence, hidden.values())
    on_step(Step(5, "roll-up", _tell_current(rolled, len(hidden))))
    repeated = repeat(rolled, evidence, hidden)
    seen = evidence.times()
    looked = max(seen) if at is None else at
    report = Report(
        product=rolled.product,
        maker=found.header.maker,
        recipient=found.header.recipient,
        amount=number(rolled.statement.declared_unit.amount),
        unit=rolled.statement.declared_unit.unit,
        total=footprint.total(rolled.footprint),
        footprint=rolled.footprint,
        incomplete=rolled.statement.incomplete or bool(hidden),
        evidence=evidence,
        as_of=min(seen),
        at=looked,
        unverified=tuple(caveats(rolled, hidden.values(), evidence, looked)),
        withheld=tuple(hidden.values()),
        repeated=repeated,
    )
    on_step(Step(6, "recomputed", _tell_recomputed(report)))
    return report


def _tell_current(rolled: RollUp, hidden: int) -> str:
    """Return in words what is current: of what is withheld nobody here can say it."""
    if not hidden:
        return f"{rolled.commitment} is current, and so is what it is made from"
    return (
        f"{rolled.commitment} is current, and so is what is here of what it is made from; "
        f"{hidden} withheld"
    )


def _tell_recomputed(report: Report) -> str:
    if not report.withheld:
        return f"{plain(report.total)} kg CO2e, the same in every digit"
    here, claimed = footprint.total(report.recomputed), footprint.total(report.claimed)
    return (
        f"{plain(here)} kg CO2e from what is here; the other {plain(claimed)} of the stated "
        f"{plain(report.total)} are the maker's claim of what is withheld"
    )


def _log_of(evidence: Evidence, origin: str) -> VerifiedLog:
    try:
        return evidence.logs[origin]
    except KeyError:
        raise AuthorshipError(f"the log of {origin} is not in the bundle") from None


def _roll_up(found: Contents, evidence: Evidence) -> RollUp:
    """Return the roll-up the header names, current and of the maker (SPEC 11.5)."""
    header = found.header
    period.moment(header.made)
    signed = evidence.facts.get(header.roll_up)
    if signed is None or not isinstance(signed.fact, RollUp):
        raise StatementError(f"the bundle names roll-up {header.roll_up}, which is not in it")
    rolled = signed.fact
    if (rolled.issuer, rolled.product) != (header.maker, header.product):
        raise StatementError(
            f"the bundle is about {header.product} of {header.maker}, its roll-up about "
            f"{rolled.product} of {rolled.issuer}"
        )
    for name, each in evidence.facts.items():
        if not each.is_current:
            raise StatementError(f"statement {name} is not current: {each.status or 'broken log'}")
    return rolled


def _check_rules(rolled: FootprintRollUp, found: Contents) -> None:
    """Raise StatementError unless the roll-up follows the rules this verifier can repeat."""
    neutral = manifest.neutral_rules()
    if rolled.rules != neutral:
        raise StatementError(
            f"made by rules {rolled.rules.name} ({rolled.rules.digest}), this verifier repeats "
            f"{neutral.name} ({neutral.digest})"
        )
    for rules in found.rules:
        if "\n".join(rules.lines) != manifest.NEUTRAL_RULES:
            raise StatementError(f"the text of rules {rules.name} is not what the roll-up names")


def _check_trees(
    rolled: FootprintRollUp, found: Contents, evidence: Evidence, hidden: Iterable[Hidden]
) -> None:
    """Raise unless each tree the roll-up read is a beginning of a log that is here (SPEC 11.5).

    A log that nobody here names may be left out with what it entered.
    """
    entries = {line.origin: line.entries for line in found.logs}
    read = {tree.origin: tree for tree in rolled.logs}
    left_out = {each.line.origin for each in hidden if each.log is None}
    for tree in rolled.logs:
        if tree.origin not in left_out:
            _log_of(evidence, tree.origin)
            _check_tree(tree, entries[tree.origin])
    for signed in evidence.parts().values():
        tree_read = read.get(signed.fact.issuer)
        if tree_read is None or signed.index >= int(tree_read.size):
            raise StatementError(
                f"statement {signed.fact.commitment} is entry {signed.index} of "
                f"{signed.fact.issuer}, of which the roll-up read "
                f"{tree_read.size if tree_read else 0} entries"
            )


def _check_tree(tree: ReadLog, entries: tuple[str, ...]) -> None:
    size = int(tree.size)
    if size > len(entries):
        raise ProofError(f"log {tree.origin}: the roll-up read {size} entries of {len(entries)}")
    root = merkle.Tree(merkle.leaf_hash(entry.encode()) for entry in entries[:size]).root()
    if b64(root) != tree.root:
        raise ProofError(
            f"log {tree.origin}: its first {size} entries hash to {b64(root)}, the roll-up read "
            f"{tree.root}"
        )
