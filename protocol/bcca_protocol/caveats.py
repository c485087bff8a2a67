"""What nobody can verify from a bundle, in words: it stands first in every report (SPEC 11)."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from bcca_protocol import period, shares
from bcca_protocol.assurance import Assured, Level
from bcca_protocol.evidence import Evidence
from bcca_protocol.graph import Leaf, double_claims, order_of
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ZERO, exact, number, plain
from bcca_protocol.repeat import Repeated
from bcca_protocol.rollup import RollUp
from bcca_protocol.standing import Standing, standing
from bcca_protocol.substituted import is_unsigned_footprint, replaced_by, replaced_in
from bcca_protocol.withheld import Hidden


def caveats(
    rolled: RollUp,
    hidden: Iterable[Hidden],
    evidence: Evidence,
    repeated: Repeated | None,
    at: int,
) -> Iterator[str]:
    """Yield a sentence for each thing withheld, missing, out of its time or taken on trust.

    `repeated` is what was added up, None if nothing was.
    """
    names = {name: each.fact for name, each in evidence.parts().items()}
    aside = replaced_in(rolled.statement.manifest or ())
    parts = sorted((part for n, part in names.items() if n not in aside), key=order_of)
    yield from (each.tell() for each in hidden)
    yield from _missing(rolled, names)
    yield from _stood_in(rolled, names, evidence)
    yield from _unsigned(rolled)
    if repeated is not None:
        yield from _on_trust(repeated)
    now = period.text_at(at)
    for name, each in evidence.facts.items():
        match standing(each, at=now):
            case Standing.EXPIRED:
                yield f"expired: statement {name} was valid until {each.fact.validity.end}"
            case Standing.NOT_YET_VALID:
                yield f"not yet valid: statement {name} is so from {each.fact.validity.start}"
    for claim, one, other in double_claims(parts):
        yield (
            f"claimed twice: electricity certificate {claim}, by {one.commitment} of {one.issuer} "
            f"and {other.commitment} of {other.issuer}"
        )
    yield from _mixed_methods(rolled, parts)
    if evidence.introduced:
        yield (
            f"introduced: {len(evidence.introduced)} of {len(evidence.logs)} logs are not in this "
            "policy; their customers' statements name their keys, and nobody else here does"
        )


def doubts(
    rolled: RollUp, hidden: Collection[str], evidence: Evidence, assured: Assured
) -> Iterator[str]:
    """Yield what third parties object to, which opinions do not count, and what is mere claim.

    `hidden` are the statements that are withheld; `assured` is what opinions say to this reader.
    """
    yield from (f"adverse: {each.tell()}" for each in assured.weighed if each.is_adverse)
    for each in assured.weighed:
        if each.why_not and not each.is_adverse:
            yield f"not counted: {each.tell()}"
    for origin, count in sorted(evidence.aside.items()):
        yield f"not counted: {count} opinions of {origin}, whose log nobody here names"
    for tree in rolled.statement.logs if not hidden else ():
        if tree.origin not in evidence.logs and tree.origin not in evidence.aside:
            yield f"not here: {tree.size} entries of {tree.origin} were read, and nothing was used"
    weights = rolled.statement.weights
    stated: Mapping[Level, str] = {"limited": weights.limited, "reasonable": weights.reasonable}
    for level, text in stated.items():
        if number(text) > assured.kg[level]:
            yield (
                f"claimed: {text} kg CO2e gross are stated as under {level} assurance, where "
                f"opinions that are here and count by this policy give {plain(assured.kg[level])}"
            )


def _missing(rolled: RollUp, names: dict[str, Part]) -> Iterator[str]:
    for edge in rolled.statement.manifest or ():
        if edge.resolved.gap is not None:
            consumer = names.get(edge.consumer)
            if consumer is None:
                yield (
                    f"missing: line {edge.line} of {edge.consumer}, which is withheld: "
                    f"{edge.resolved.gap.reason}"
                )
                continue
            line = next(each for each in consumer.bought if each.line == edge.line)
            yield (
                f"missing: {edge.amount} {line.unit} of {line.product} of {line.origin}, bought "
                f"for {consumer.product} of {consumer.issuer}: {edge.resolved.gap.reason}"
            )


def _stood_in(rolled: RollUp, names: dict[str, Part], evidence: Evidence) -> Iterator[str]:
    """Yield each value that the maker put in place of a signed statement."""
    for edge in rolled.statement.manifest or ():
        stated = edge.resolved.substitute
        if stated is None:
            continue
        factor, consumer = stated.factor, names.get(edge.consumer)
        lines = () if consumer is None else consumer.bought
        line = next((each for each in lines if each.line == edge.line), None)
        what = f"line {edge.line}" if line is None else f"{line.product} of {line.origin}"
        value = f"a {factor.kind} value"
        if is_unsigned_footprint(stated):
            value = "a footprint that nobody signed"
        replaced = replaced_by(stated)
        kind = "own value over a signed statement" if replaced else "not signed"
        over = "".join(f"; {_told(name, evidence)}" for name in replaced)
        yield (
            f"{kind}: {edge.amount} {factor.unit} of {what}, bought for {edge.consumer}, have "
            f"{value} instead ({factor.dataset} of {factor.source}){over}; why, in the maker's "
            f"words: {stated.reason}"
        )


def _told(replaced: str, evidence: Evidence) -> str:
    """Return what is known here of a statement that an own value goes over."""
    signed = evidence.facts.get(replaced)
    if signed is None:
        return f"statement {replaced} is not in this file: that there is one is the maker's word"
    fact = signed.fact
    now = "current" if signed.is_current else f"no longer current ({signed.status})"
    return f"statement {replaced} of {fact.issuer} for {fact.product} is here, and {now}"


def _unsigned(rolled: RollUp) -> Iterator[str]:
    """Yield how much of the result unsigned footprints give, apart from defaults (SPEC 8.7)."""
    weights = rolled.statement.weights
    kg = shares.unsigned(weights)
    if kg:
        percent = shares.shares(weights).unsigned
        yield (
            f"not signed: unsigned footprints give {plain(kg)} of {weights.absolute} kg CO2e "
            f"gross ({percent:.1f} %), beside {weights.default} that defaults give"
        )


def _on_trust(repeated: Repeated) -> Iterator[str]:
    """Yield what the rules allow for want of something better, and what nobody here recomputed."""
    totals = repeated.totals
    graph = totals.graph
    reached = sorted(totals.vectors)
    for index in reached:
        for term in graph.terms[index]:
            if term.why is not None:
                yield (
                    f"{term.why.code}: {graph.parts[term.supplier].commitment} feeds "
                    f"{graph.parts[index].commitment}: {term.why.words}"
                )
    for index in reached:
        part = graph.parts[index]
        source = graph.sources[index]
        if isinstance(source, Leaf):
            yield (
                f"claimed: the cumulative footprint {part.commitment} of {part.product} is the "
                f"word of {part.issuer}; what it is made of is not in what was added up"
                + ("; it says that inputs are missing" if source.is_incomplete else "")
            )
    dropped = repeated.cut.dropped
    if dropped:
        with exact():
            kg = sum((line.kg for line in dropped), ZERO)
        yield (
            f"cut off: {len(dropped)} own lines with {plain(kg)} of {plain(repeated.cut.gross)} "
            "kg CO2e gross, which the rules allow"
        )


def _mixed_methods(rolled: RollUp, parts: list[Part]) -> Iterator[str]:
    """Yield where the methods of what was added up differ (accounting rules, 5 and 10)."""
    method = rolled.statement.method
    for part in parts:
        for what, here, there in (
            ("gwp", part.gwp, method.gwp),
            ("recycling", part.recycling, method.recycling),
        ):
            if here != there:
                yield (
                    f"mixed methods: {what} is {here} in {part.commitment} of {part.issuer}, "
                    f"{there} in the roll-up"
                )
