"""`bcca aggregate`: a pack maker's run, from asking suppliers to a published total."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bcca_node.cli import products
from bcca_node.cli.given import DataOption, JsonOption, hosts, open_node
from bcca_node.cli.screen import console, listed, put_json, say, tell
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import State
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import collect, explain
from bcca_node.packmaker.collect import OnProgress
from bcca_node.packmaker.run import Order, Run, roll_up
from bcca_node.supplier.cases import positive_number
from bcca_protocol import footprint
from bcca_protocol.errors import UnusableError
from bcca_protocol.partial import Part
from bcca_protocol.quantity import plain

DONE, INCOMPLETE = 0, 3

ProductArgument = Annotated[
    str, typer.Argument(metavar="PRODUCT", help="A URN, the last part of one, or a name.")
]

_EXAMPLE = "Example: bcca aggregate P001 --amount 1 --data node"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("aggregate", epilog=_EXAMPLE)(aggregate)


def aggregate(
    product: ProductArgument,
    data: DataOption,
    amount: Annotated[
        str | None, typer.Option(help="How much of it; one declared unit unless told.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Ask every supplier, verify, add up, sign and publish.

    Suppliers of suppliers are asked too, up to the mine. One that is down or lies stops nobody
    else: what is missing is told first, and the exit status is 3.
    """
    so_much = None if amount is None else _amount(amount)
    with open_node(data, keys=True) as node:
        found = products.find(node, product)
        with _watching() as on_progress:
            run = asyncio.run(_run(node, found, so_much, on_progress))
    gaps = list(_gaps(run))
    if as_json:
        put_json(_as_json(run, gaps))
    else:
        _print(run, gaps)
    is_whole = not run.statement.incomplete and run.published.state is State.PUBLISHED
    return DONE if is_whole else INCOMPLETE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """A bought line that nothing feeds: so much of what, from whom, why, and what needs it."""

    product: str
    supplier: str
    amount: str
    unit: str
    consumer: Part
    reason: str
    dependents: tuple[Part, ...]


async def _run(node: Node, product: str, amount: Decimal | None, on_progress: OnProgress) -> Run:
    order = Order(product=product, amount=amount, at=node.clock(), on_progress=on_progress)
    async with Fetcher(hosts(node.trust.required())) as fetcher:
        return await roll_up(node, fetcher, order)


@contextmanager
def _watching() -> Iterator[OnProgress]:
    """Yield who draws a bar while suppliers are asked, where somebody looks."""
    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=out, transient=True, disable=not out.is_terminal
    ) as bar:
        task = bar.add_task("asking suppliers", total=None)

        def progress(now: collect.Progress) -> None:
            said = f"tier {now.tiers}, {now.statements} statements verified, suppliers read"
            bar.update(task, description=said, total=now.asked, completed=now.suppliers)

        yield progress


def _amount(text: str) -> Decimal:
    try:
        return positive_number(text)
    except UnusableError as error:
        raise UnusableError(f"--amount: {error}") from error


def _gaps(run: Run) -> Iterator[_Gap]:
    """Yield what is missing, in the order of the manifest."""
    totals = run.sum.totals
    graph = totals.graph
    for edge in run.statement.manifest or ():
        if edge.resolved.gap is None:
            continue
        consumer = graph.parts[graph.index[edge.consumer]]
        bought = next(each for each in consumer.bought if each.line == edge.line)
        yield _Gap(
            product=bought.product,
            supplier=bought.origin,
            amount=edge.amount,
            unit=bought.unit,
            consumer=consumer,
            reason=edge.resolved.gap.reason,
            dependents=tuple(explain.dependents(totals, bought.product, bought.origin)),
        )


def _print(run: Run, gaps: list[_Gap]) -> None:
    stated, published = run.statement, run.published
    if gaps:
        say("Missing, and not in the total:")
    for gap in gaps:
        needed = listed([f"{each.name} of {each.issuer}" for each in gap.dependents])
        say(
            f"  {gap.amount} {gap.unit} of {gap.product} from {gap.supplier}: {gap.reason}",
            f"    bought for {gap.consumer.name} of {gap.consumer.issuer}; needed by {needed}",
        )
    beside = _troubles_beside(run, gaps)
    if beside:
        say("Refused or not answered, and told here for that alone:")
        say(*(f"  {product} from {origin}: {why}" for (origin, product), why in beside.items()))
    declared = stated.declared_unit
    say(f"{stated.product.name} ({stated.product.id}), {declared.amount} {declared.unit}:")
    rolled = footprint.decode(stated.footprint)
    for stage, kg in footprint.by_stage(rolled).items():
        say(f"  {stage:<13} {plain(kg)} kg CO2e")
    without = ", INCOMPLETE: without what is missing" if stated.incomplete else ""
    say(f"  {'total':<13} {plain(footprint.total(rolled))} kg CO2e, excluding uptake{without}")
    say(f"{published.state} {published.commitment}")
    if run.witnessed is not None and not run.witnessed.published:
        tell(f"{run.witnessed}; run `bcca publish` when they are there")


def _troubles_beside(run: Run, gaps: list[_Gap]) -> dict[tuple[str, str], str]:
    """Return what went wrong with a supplier without leaving a gap."""
    told = {(gap.supplier, gap.product) for gap in gaps}
    return {where: why for where, why in run.sum.collected.troubles.items() if where not in told}


def _as_json(run: Run, gaps: list[_Gap]) -> dict[str, object]:
    stated, published = run.statement, run.published
    rolled = footprint.decode(stated.footprint)
    return {
        "product": stated.product.id,
        "name": stated.product.name,
        "amount": stated.declared_unit.amount,
        "unit": stated.declared_unit.unit,
        "total": plain(footprint.total(rolled)),
        "components": {c: plain(kg) for c, kg in footprint.by_component(rolled).items() if kg},
        "stages": {stage: plain(kg) for stage, kg in footprint.by_stage(rolled).items()},
        "incomplete": stated.incomplete,
        "missing": [
            {
                "product": gap.product,
                "supplier": gap.supplier,
                "amount": gap.amount,
                "unit": gap.unit,
                "consumer": gap.consumer.commitment,
                "reason": gap.reason,
                "dependents": [
                    {"product": each.product, "supplier": each.issuer} for each in gap.dependents
                ],
            }
            for gap in gaps
        ],
        "troubles": [
            {"supplier": origin, "product": product, "reason": why}
            for (origin, product), why in run.sum.collected.troubles.items()
        ],
        "suppliers": len(run.sum.collected.logs),
        "statements": len(run.sum.collected.reached),
        "commitment": published.commitment,
        "state": published.state.value,
        "witnessed": None if run.witnessed is None else str(run.witnessed),
    }
