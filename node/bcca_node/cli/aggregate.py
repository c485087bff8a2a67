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
from bcca_node.cli.given import DataOption, JsonOption, age, hosts, open_node
from bcca_node.cli.screen import console, listed, put_json, say, tell
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import State
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import collect, explain
from bcca_node.packmaker.collect import OnProgress
from bcca_node.packmaker.run import Order, Run, roll_up
from bcca_node.supplier.cases import positive_number
from bcca_protocol import footprint, period
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Role
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
    max_age: Annotated[
        str,
        typer.Option(help="Ask anew for logs that no quorum has seen for longer, as 12h, 30d."),
    ] = "1d",
    as_json: JsonOption = False,
) -> int:
    """Ask every supplier, verify, add up, sign and publish.

    Suppliers of suppliers are asked too, up to the mine; partners with a signature, so that they
    show what they have granted. Where one does not answer, or shows its customers alone what it
    says, copies of its log and statements at other nodes are read. One that is down or lies stops
    nobody else: what is missing is told first, and the exit status is 3.
    """
    so_much = None if amount is None else _amount(amount)
    oldest = age(max_age, "--max-age")
    with open_node(data, keys=True) as node:
        found = products.find(node, product)
        with _watching() as on_progress:
            order = Order(
                product=found,
                amount=so_much,
                at=node.clock(),
                max_age=oldest,
                on_progress=on_progress,
            )
            run = asyncio.run(_run(node, order))
    gaps = list(_gaps(run))
    if as_json:
        put_json(_as_json(run, gaps))
    else:
        _print(run, gaps)
    is_published = run.published is not None and run.published.state is State.PUBLISHED
    return DONE if is_published and not run.statement.incomplete else INCOMPLETE


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


async def _run(node: Node, order: Order) -> Run:
    signer = node.keys.signer(Role.REQUEST)  # partners show what they have granted
    async with Fetcher(hosts(node.trust.required()), signer=signer) as fetcher:
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
    _print_missing(run, gaps)
    if run.outdated:
        say(f"No longer current, and used by the last roll-up {run.outdated[0].used_by}:")
    for old in run.outdated:
        say(f"  {old.product} from {old.supplier}, statement {old.commitment}: {old.reason}")
    if run.sum.collected.copied:
        say("Read from copies, as their own nodes did not answer:")
    for each in _copied(run):
        urls = listed(each.urls)
        say(f"  {each.supplier}, current as of {each.as_of}: {urls}", f"    {each.reason}")
    for origin, by in sorted(run.sum.collected.handed_on.items()):
        say(f"Handed on, as it shows its customers alone: {origin}, by {listed(sorted(by))}")
    _print_total(run)
    if run.published is None:
        say("not entered in the log")
        tell(f"{run.unentered}; run this again when they answer")
    else:
        say(f"{run.published.state} {run.published.commitment}")
    if run.witnessed is not None and not run.witnessed.published:
        tell(f"{run.witnessed}; run `bcca publish` when they are there")


def _print_missing(run: Run, gaps: list[_Gap]) -> None:
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


def _print_total(run: Run) -> None:
    stated = run.statement
    declared = stated.declared_unit
    say(f"{stated.product.name} ({stated.product.id}), {declared.amount} {declared.unit}:")
    rolled = footprint.decode(stated.footprint)
    for stage, kg in footprint.by_stage(rolled).items():
        say(f"  {stage:<13} {plain(kg)} kg CO2e")
    without = ", INCOMPLETE: without what is missing" if stated.incomplete else ""
    say(f"  {'total':<13} {plain(footprint.total(rolled))} kg CO2e, excluding uptake{without}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copied:
    """A supplier whose own node did not answer, and the copies that were read instead."""

    supplier: str
    as_of: str
    urls: tuple[str, ...]
    reason: str


def _copied(run: Run) -> list[_Copied]:
    collected = run.sum.collected
    return [
        _Copied(
            supplier=origin,
            as_of=period.text_at(collected.logs[origin].log.head.time),
            urls=each.urls,
            reason=each.reason,
        )
        for origin, each in sorted(collected.copied.items())
    ]


def _troubles_beside(run: Run, gaps: list[_Gap]) -> dict[tuple[str, str], str]:
    """Return what went wrong with a supplier without leaving a gap."""
    told = {(gap.supplier, gap.product) for gap in gaps}
    return {where: why for where, why in run.sum.collected.troubles.items() if where not in told}


def _as_json(run: Run, gaps: list[_Gap]) -> dict[str, object]:
    stated, published = run.statement, run.published
    told = run.sum.collected.troubles.items()
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
        "missing": [_gap_as_json(each) for each in gaps],
        "troubles": [
            {"supplier": origin, "product": product, "reason": why}
            for (origin, product), why in told
        ],
        "noLongerCurrent": _outdated_as_json(run),
        "fromCopies": [
            {
                "supplier": each.supplier,
                "asOf": each.as_of,
                "via": list(each.urls),
                "reason": each.reason,
            }
            for each in _copied(run)
        ],
        "handedOn": [
            {"supplier": origin, "by": sorted(by)}
            for origin, by in sorted(run.sum.collected.handed_on.items())
        ],
        "suppliers": len(run.sum.collected.logs),
        "statements": len(run.sum.collected.reached),
        "commitment": None if published is None else published.commitment,
        "state": "not entered" if published is None else published.state.value,
        "notEntered": run.unentered,
        "witnessed": None if run.witnessed is None else str(run.witnessed),
    }


def _gap_as_json(gap: _Gap) -> dict[str, object]:
    return {
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


def _outdated_as_json(run: Run) -> list[dict[str, object]]:
    return [
        {
            "supplier": each.supplier,
            "product": each.product,
            "commitment": each.commitment,
            "standing": each.standing.value,
            "reason": each.reason,
            "usedBy": each.used_by,
        }
        for each in run.outdated
    ]
