"""A bundle checked and recomputed with nothing but a policy: the report (SPEC 11)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from bcca_protocol import assurance, bundle, footprint, period
from bcca_protocol.aggregate import Totals
from bcca_protocol.assurance import Assured, Reader
from bcca_protocol.bundle import Contents
from bcca_protocol.caveats import caveats, doubts
from bcca_protocol.cumulative import leaf
from bcca_protocol.demand import Demand
from bcca_protocol.errors import StatementError
from bcca_protocol.evidence import Evidence, read_evidence
from bcca_protocol.exemption import statements_in
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Source
from bcca_protocol.policy import Policy
from bcca_protocol.quantity import ZERO, number, plain
from bcca_protocol.ready import Verdict, adverse, judge
from bcca_protocol.recipe import reveal
from bcca_protocol.repeat import NO_STATEMENTS, Repeated, repeat
from bcca_protocol.results import Edge, Rules
from bcca_protocol.rollup import RollUp
from bcca_protocol.rules import RuleSet, digest_of, followed
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.substituted import replaced_in, replacing
from bcca_protocol.trees import check_trees, log_of
from bcca_protocol.wire import unb64
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
    of what is in `repeated` alone, and there is no `verdict` on whether it may be declared. Every
    log was seen by a quorum at `as_of` or later; the bundle is looked at from `at` (both POSIX
    seconds). `rules_are_here` says whether the file has the text of the rules; `replaced` has the
    edges whose own value goes over signed statements, and these; `assured` is what opinions that
    are here say, with the eyes of this policy.
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
    rules: RuleSet
    rules_are_here: bool
    verdict: Verdict | None
    assured: Assured
    replaced: tuple[tuple[Edge, tuple[str, ...]], ...]

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
                f"{self.product}: the statement it begins with is withheld, or lines are that the "
                "rules may cut off: nothing was added up"
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
    bundle.verify_seal(found, log_of(evidence, maker).history)
    on_step(Step(4, "seal", f"by {maker}, with a statement key valid at its log's end"))
    # 5. The roll-up and all it was made from are current; it was made from trees that are here.
    # 6. Recomputed from the statements, every number of it is the same.
    return _report(found.contents, trusted, evidence, at, on_step)


def examine(
    found: Contents, trusted: Policy, *, at: int | None = None, on_step: OnStep = lambda _: None
) -> Report:
    """Return what `audit` would, of contents that are no file yet: steps 2, 3, 5 and 6."""
    return _report(found, trusted, _evidence(found, trusted, at, on_step), at, on_step)


def _evidence(found: Contents, trusted: Policy, at: int | None, on_step: OnStep) -> Evidence:
    evidence = read_evidence(found, trusted, at=at)
    on_step(Step(2, "logs", evidence.tell_logs(trusted)))
    on_step(Step(3, "statements", evidence.tell_statements()))
    return evidence


def _report(
    found: Contents, trusted: Policy, evidence: Evidence, at: int | None, on_step: OnStep
) -> Report:
    rolled = _roll_up(found, evidence)
    rules = _rules(rolled.statement, found, evidence)
    hidden = read_withheld(found, rolled, evidence)
    check_trees(rolled.statement, found, evidence, hidden.values())
    on_step(Step(5, "roll-up", _tell_current(rolled, len(hidden))))
    envelopes = (unb64(line.envelope, "bundle: envelope") for line in found.statements)
    statements = statements_in(envelopes) if rules.cut_off_percent else NO_STATEMENTS
    repeated = repeat(rolled, evidence, hidden, rules, statements)
    seen = evidence.times()
    looked = max(seen) if at is None else at
    assured = _assured(rolled, evidence, repeated, trusted, looked)
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
        unverified=(
            *caveats(rolled, hidden.values(), evidence, repeated, looked),
            *doubts(rolled, hidden, evidence, assured),
        ),
        withheld=tuple(hidden.values()),
        repeated=repeated,
        rules=rules,
        rules_are_here=any(each.text == rules.text for each in found.rules),
        verdict=None if hidden else _verdict(rules, rolled, repeated, evidence, assured),
        assured=assured,
        replaced=tuple(replacing(rolled.statement.manifest or ())),
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
    rolled = _revealed(rolled, found)
    aside = replaced_in(rolled.statement.manifest or ())
    for name, each in evidence.facts.items():
        if not each.is_current and name not in aside:
            raise StatementError(f"statement {name} is not current: {each.status or 'broken log'}")
    return rolled


def _revealed(rolled: RollUp, found: Contents) -> RollUp:
    """Return a roll-up with its recipe, if the bundle hands that over (SPEC 8.10)."""
    for each in found.recipes:
        if each.roll_up != rolled.commitment:
            raise StatementError(
                f"a recipe for {each.roll_up}, where the bundle is about {rolled.commitment}"
            )
        rolled = reveal(rolled, each.recipe)
    return rolled


def _rules(rolled: FootprintRollUp, found: Contents, evidence: Evidence) -> RuleSet:
    """Return the rules that the roll-up follows, from their text in the bundle if it is there.

    Raises StatementError where it is not and nobody knows them, or where a text in the bundle is
    what no roll-up in it names (SPEC 9.8, 10.1).
    """
    facts = (each.fact for each in evidence.facts.values())
    named = {each.statement.rules for each in facts if isinstance(each, RollUp)}
    for each in found.rules:
        if Rules(name=each.name, digest=digest_of(each.text)) not in named:
            raise StatementError(
                f"the text of rules {each.name} is not what the roll-up names: it hashes to "
                f"{digest_of(each.text)}, the roll-up follows {rolled.rules.name} "
                f"({rolled.rules.digest})"
            )
    return followed(rolled.rules, [each.text for each in found.rules])


def _assured(
    rolled: RollUp,
    evidence: Evidence,
    repeated: Repeated | None,
    trusted: Policy,
    at: int,
) -> Assured:
    """Return what the opinions here say of the roll-up and of what it was made from (SPEC 8.4)."""
    reader = Reader(
        verifiers=trusted.verifiers, logs=evidence.logs, sizes={}, at=period.text_at(at)
    )
    root: dict[str, Source] = {rolled.commitment: leaf(evidence.roll_ups()[rolled.commitment])}
    if repeated is None:
        weighed = assurance.weigh(evidence.opinions(), root, reader)
        return Assured(tuple(weighed), {"limited": ZERO, "reasonable": ZERO})
    about = root | repeated.totals.sources()
    weighed = assurance.weigh(evidence.opinions(), about, reader)
    levels = assurance.levels(weighed)
    kg = assurance.confirmed(repeated.totals, repeated.needed, levels)
    return Assured(tuple(weighed), kg)


def _verdict(
    rules: RuleSet,
    rolled: RollUp,
    repeated: Repeated | None,
    evidence: Evidence,
    assured: Assured,
) -> Verdict | None:
    """Return whether the roll-up may be declared; None where nothing was added up."""
    if repeated is None:
        return None
    read = {tree.origin for tree in rolled.statement.logs}
    witnesses = {o: len(log.head.witnesses) for o, log in evidence.logs.items() if o in read}
    beside = adverse(assured.weighed)
    return judge(rules, repeated.totals, rolled.statement, witnesses, beside)
