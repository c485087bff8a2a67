"""What a run lacks, and what it had to do without: the same for people and for programs."""

from collections.abc import Iterator
from dataclasses import dataclass

from bcca_node.packmaker import explain
from bcca_node.packmaker.run import Run
from bcca_protocol import period
from bcca_protocol.partial import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A bought line that nothing feeds: so much of what, from whom, why, and what needs it."""

    product: str
    supplier: str
    amount: str
    unit: str
    consumer: Part
    reason: str
    dependents: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A supplier whose own node did not answer, and the copies that were read instead."""

    supplier: str
    as_of: str
    urls: tuple[str, ...]
    reason: str


def gaps_in(run: Run) -> Iterator[Gap]:
    """Yield what is missing, in the order of the manifest."""
    totals = run.sum.totals
    graph = totals.graph
    for edge in run.statement.manifest or ():
        if edge.resolved.gap is None:
            continue
        consumer = graph.parts[graph.index[edge.consumer]]
        bought = next(each for each in consumer.bought if each.line == edge.line)
        yield Gap(
            product=bought.product,
            supplier=bought.origin,
            amount=edge.amount,
            unit=bought.unit,
            consumer=consumer,
            reason=edge.resolved.gap.reason,
            dependents=tuple(explain.dependents(totals, bought.product, bought.origin)),
        )


def copied_in(run: Run) -> list[Copied]:
    """Return the suppliers whose copies were read."""
    collected = run.sum.collected
    return [
        Copied(
            supplier=origin,
            as_of=period.text_at(collected.logs[origin].log.head.time),
            urls=each.urls,
            reason=each.reason,
        )
        for origin, each in sorted(collected.copied.items())
    ]


def troubles_beside(run: Run, gaps: list[Gap]) -> dict[tuple[str, str], str]:
    """Return what went wrong with a supplier without leaving a gap."""
    told = {(gap.supplier, gap.product) for gap in gaps}
    return {where: why for where, why in run.sum.collected.troubles.items() if where not in told}
