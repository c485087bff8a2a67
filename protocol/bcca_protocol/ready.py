"""Whether a result may be declared by its rules, and every reason why not (SPEC 9.8)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from bcca_protocol import period, shares
from bcca_protocol.aggregate import Totals
from bcca_protocol.allowing import called, is_mandatory
from bcca_protocol.assurance import Weighed
from bcca_protocol.cumulative import Leaf
from bcca_protocol.graph import Source, Term, double_claims
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import number, plain
from bcca_protocol.results import Substitute
from bcca_protocol.rules import RuleSet
from bcca_protocol.ruletext import Block
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.substituted import Substituted, is_unsigned_footprint, replaced_by


class Reason(NamedTuple):
    """One reason that keeps a result from being declared: which of the rules', and in words."""

    code: Block
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the rules say of a result: it is ready where nothing `blocks` it."""

    rules: RuleSet
    blocks: tuple[Reason, ...]

    @property
    def is_ready(self) -> bool:
        """Whether nothing blocks it."""
        return not self.blocks

    def tell(self) -> str:
        """Return in words whether it is ready, and what nobody has confirmed of the rules."""
        by = f"by the rules {self.rules.name}, version {self.rules.version}"
        if self.blocks:
            count = len(self.blocks)
            return f"not declaration-ready {by}: {count} {'reason' if count == 1 else 'reasons'}"
        unsure = ", as far as these are confirmed" if self.rules.unconfirmed else ""
        return f"declaration-ready {by}{unsure}"


def judge(
    rules: RuleSet,
    totals: Totals,
    stated: FootprintRollUp,
    witnesses: Mapping[str, int],
    beside: Iterable[Reason] = (),
) -> Verdict:
    """Return whether `stated`, made of `totals`, may be declared by `rules`.

    `witnesses` is how many cosigned the tree that was read, by origin. `beside` is what only who
    made it can know.
    """
    seen = _Seen(rules, totals, stated)
    found = dict.fromkeys(
        (
            *seen.missing(),
            *seen.fed(),
            *seen.sources(),
            *_watched(rules, witnesses),
            *_whole(rules, stated),
            *beside,
        )
    )
    return Verdict(rules=rules, blocks=tuple(each for each in found if each.code in rules.blocks))


def adverse(weighed: Iterable[Weighed]) -> Iterator[Reason]:
    """Yield whom a verifier that is believed contradicts."""
    yield from (Reason("adverse", each.tell()) for each in weighed if each.is_adverse)


class _Seen:
    """What a result is made of, looked at once for each kind of reason."""

    def __init__(self, rules: RuleSet, totals: Totals, stated: FootprintRollUp) -> None:
        self._rules = rules
        self._stated = stated
        self._graph = totals.graph
        self._reached = sorted(totals.vectors)
        self._called = called((self._graph.parts[index] for index in self._reached), rules)

    def missing(self) -> Iterator[Reason]:
        """Yield every gap; what must be company-specific apart, also where something stands in."""
        graph = self._graph
        for edge in self._stated.manifest or ():
            index = graph.index.get(edge.consumer)
            gap = edge.resolved.gap
            if index is None or (gap is None and edge.resolved.substitute is None):
                continue
            bought = next(each for each in graph.parts[index].bought if each.line == edge.line)
            what = f"{edge.amount} {bought.unit} of {bought.product} of {bought.origin}"
            if is_mandatory(bought.product, self._rules, self._called):
                yield Reason("mandatory", f"{what} must be company-specific, and no statement is")
            if gap is not None:
                yield Reason("gap", f"{what} is missing: {gap.reason}")

    def fed(self) -> Iterator[Reason]:
        """Yield what feeds an input and is not its current statement."""
        graph = self._graph
        for index in self._reached:
            for term in graph.terms[index]:
                bought, source = graph.parts[index].bought[term.line], graph.sources[term.supplier]
                yield from self._fed_by(bought, term, source)

    def _fed_by(self, bought: Bought, term: Term, source: Source) -> Iterator[Reason]:
        what = f"{bought.product} of {bought.origin}"
        if term.why is not None:
            yield Reason(term.why.code, term.why.words)
        if isinstance(source, Substituted):
            yield from self._stood_in(what, source.stated)

    def _stood_in(self, what: str, stated: Substitute) -> Iterator[Reason]:
        """Yield what is to be said of a substitute; rules may know of no unsigned footprints."""
        factor = stated.factor
        is_unsigned = is_unsigned_footprint(stated)
        kind = "an unsigned footprint" if is_unsigned else "a value"
        value = f"{kind} of {factor.source} ({factor.dataset})"
        if is_unsigned:
            yield Reason("unsigned", f"{what}: {value} stands in: {stated.reason}")
        if not is_unsigned or self._rules.unsigned is None:
            yield Reason("default", f"{what}: {value} stands in: {stated.reason}")
        if factor.kind == "proxy":
            yield Reason("proxy", f"{what}: {value} of something else stands in")
        replaced = replaced_by(stated)
        if replaced:
            over = f"signed statement {' and '.join(replaced)}"
            yield Reason("replaced", f"{what}: {value} goes over {over}: {stated.reason}")

    def sources(self) -> Iterator[Reason]:
        """Yield what is to be said of each statement, whatever it feeds."""
        parts = [self._graph.parts[index] for index in self._reached]
        for index in self._reached:
            source = self._graph.sources[index]
            if isinstance(source, Substituted):
                continue
            part = source.fact
            what = f"statement {part.commitment} of {part.issuer} for {part.product}"
            if source.introduced:
                yield Reason("introduced", f"log {part.issuer}: known by introduction alone")
            if isinstance(source, Leaf):
                yield from _hidden(source, what, self._rules)
            yield from self._aged(part, what)
            yield from self._mixed(part, what)
        for claim, one, other in double_claims(parts):
            words = f"{claim}, by {one.commitment} and {other.commitment}"
            yield Reason("claimed", f"an electricity certificate is claimed twice: {words}")

    def _aged(self, part: Part, what: str) -> Iterator[Reason]:
        days = self._rules.max_age_days
        if days is None:
            return
        last = period.moment(self._stated.reference_date) - timedelta(days=days)
        if period.moment(part.period.end) < last:
            ended = f"is about the time until {part.period.end}"
            yield Reason("old", f"{what} {ended}, where the rules allow {days} days")

    def _mixed(self, part: Part, what: str) -> Iterator[Reason]:
        method = self._stated.method
        if part.gwp != method.gwp:
            yield Reason("methods", f"{what} is in {part.gwp}, the roll-up in {method.gwp}")
        if part.recycling != method.recycling:
            mixed = f"{part.recycling}, the roll-up by {method.recycling}"
            yield Reason("methods", f"{what} counts recycling by {mixed}")


def _hidden(leaf: Leaf, what: str, rules: RuleSet) -> Iterator[Reason]:
    """Yield what a supplier's own roll-up says of itself: nobody here has repeated it."""
    stated = leaf.signed.fact.statement
    yield Reason("cumulative", f"{what}: what it is made of is not shown, its total is a claim")
    if stated.incomplete:
        yield Reason("gap", f"{what}: it is incomplete, as its issuer says")
    if number(stated.weights.default):
        kg = stated.weights.default
        yield Reason("default", f"{what}: {kg} kg CO2e of it are no statement's, as it says")
    unsigned = shares.unsigned(stated.weights)
    if unsigned:
        words = f"{what}: {plain(unsigned)} kg CO2e of it are of unsigned footprints, as it says"
        yield Reason("unsigned", words)
        if rules.unsigned is None:
            yield Reason("default", words)


def _watched(rules: RuleSet, witnesses: Mapping[str, int]) -> Iterator[Reason]:
    for origin, count in sorted(witnesses.items()):
        if count < rules.min_witnesses:
            asked = f"{count} witnesses, where the rules ask for {rules.min_witnesses}"
            yield Reason("witnesses", f"log {origin}: cosigned by {asked}")


def _whole(rules: RuleSet, stated: FootprintRollUp) -> Iterator[Reason]:
    """Yield what is to be said of the roll-up as a whole."""
    over = number(stated.exempted_percent) - rules.cut_off_percent
    if over > rules.cut_off_percent * _ROUNDING:
        allowed = plain(rules.cut_off_percent)
        words = f"{stated.exempted_percent} % are cut off, where the rules allow {allowed} %"
        yield Reason("exempted", words)
    electricity = stated.method.electricity
    if electricity != rules.electricity:
        words = f"electricity is counted {electricity}-based, where the rules say"
        yield Reason("methods", f"{words} {rules.electricity}-based")
    yield from (Reason("unconfirmed", each) for each in rules.unconfirmed)


_ROUNDING: Final = Decimal("1e-12")  # a quotient of sums in 34 digits is nearer than that
