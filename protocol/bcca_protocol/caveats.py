"""What nobody can verify from a bundle, in words: it stands first in every report (SPEC 11)."""

from collections.abc import Iterable, Iterator

from bcca_protocol import period
from bcca_protocol.evidence import Evidence
from bcca_protocol.graph import Leaf, double_claims, order_of
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ZERO, exact, plain
from bcca_protocol.repeat import Repeated
from bcca_protocol.rollup import RollUp
from bcca_protocol.standing import Standing, standing
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
    parts = sorted(names.values(), key=order_of)
    yield from (each.tell() for each in hidden)
    yield from _missing(rolled, names)
    yield from _stood_in(rolled, names)
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


def _stood_in(rolled: RollUp, names: dict[str, Part]) -> Iterator[str]:
    """Yield each value that the maker put in place of a signed statement."""
    for edge in rolled.statement.manifest or ():
        stated = edge.resolved.substitute
        if stated is None:
            continue
        factor, consumer = stated.factor, names.get(edge.consumer)
        lines = () if consumer is None else consumer.bought
        line = next((each for each in lines if each.line == edge.line), None)
        what = f"line {edge.line}" if line is None else f"{line.product} of {line.origin}"
        yield (
            f"not signed: {edge.amount} {factor.unit} of {what}, bought for {edge.consumer}, have "
            f"a {factor.kind} value instead ({factor.dataset} of {factor.source}); why, in the "
            f"maker's words: {stated.reason}"
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
