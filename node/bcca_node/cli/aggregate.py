"""`bcca aggregate`: a pack maker's run, from asking suppliers to a published total."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bcca_node.cli import document, outcome, products
from bcca_node.cli.battery import BatteryOption, described
from bcca_node.cli.given import DataOption, JsonOption, age, hosts, open_node
from bcca_node.cli.kept import RecipeOption, SharingOption, shared
from bcca_node.cli.missing import gaps_in
from bcca_node.cli.offline import OfflineOption
from bcca_node.cli.ruled import CutOffOption, RulesOption, chosen
from bcca_node.cli.run_names import NameOption
from bcca_node.cli.screen import console, put_json, say
from bcca_node.cli.substitutes import SubstituteOption, parsed
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import State
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import plan, runs
from bcca_node.packmaker.plan import OnProgress
from bcca_node.packmaker.run import Order, Run, roll_up
from bcca_node.supplier.cases import positive_number
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Role

DONE, INCOMPLETE = 0, 3

ProductArgument = Annotated[
    str, typer.Argument(metavar="PRODUCT", help="A URN, the last part of one, or a name.")
]
AmountOption = Annotated[
    str | None, typer.Option(help="How much of it; one declared unit unless told.")
]
AgeOption = Annotated[
    str, typer.Option(help="Ask anew for logs that no quorum has seen for longer, as 12h, 30d.")
]

_EXAMPLE = "Example: bcca aggregate P001 --amount 1 --data node"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("aggregate", epilog=_EXAMPLE)(aggregate)


def aggregate(
    product: ProductArgument,
    data: DataOption,
    amount: AmountOption = None,
    max_age: AgeOption = "1d",
    rules: RulesOption = None,
    cut_off: CutOffOption = None,
    substitute: SubstituteOption = None,
    battery: BatteryOption = None,
    recipe: RecipeOption = None,
    sharing: SharingOption = None,
    offline: OfflineOption = False,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> int:
    """Ask every supplier, verify, add up, sign and publish.

    Suppliers of suppliers are asked too, up to the mine; partners with a signature, so that they
    show what they have granted. Where one does not answer, or shows its customers alone what it
    says, copies of its log and statements at other nodes are read. One that is down or lies stops
    nobody else: what is missing is told first, and the exit status is 3. Whether the result may
    be declared by the rules, and every reason why not, is told with it.
    """
    so_much = None if amount is None else _amount(amount)
    oldest = age(max_age, "--max-age")
    ruled = chosen(rules, cut_off)
    own_values = parsed(substitute)
    stated = described(battery)
    shown_to = shared(sharing)
    with open_node(data, keys=True) as node:
        found = products.find(node, product)
        runs.require_name(node, name)
        with _watching() as on_progress:
            order = Order(
                product=found,
                amount=so_much,
                at=node.clock(),
                max_age=oldest,
                rules=ruled,
                own_values=own_values,
                battery=stated,
                keeping=recipe,
                sharing=shown_to,
                is_offline=offline,
                on_progress=on_progress,
            )
            run = asyncio.run(_run(node, order))
        kept = runs.keep(node, run, order, name).name
    return _told(run, kept, as_json=as_json)


def _told(run: Run, kept: str, *, as_json: bool) -> int:
    """Print what came of a run, which is kept under that name; return the exit status."""
    gaps = list(gaps_in(run))
    if as_json:
        put_json(document.as_json(run, gaps) | {"run": kept})
    else:
        outcome.print_run(run, gaps)
        say(f"kept as run {kept}")
    is_published = run.published is not None and run.published.state is State.PUBLISHED
    return DONE if is_published and not run.statement.incomplete else INCOMPLETE


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

        def progress(now: plan.Progress) -> None:
            said = f"tier {now.tiers}, {now.statements} statements verified, suppliers read"
            bar.update(task, description=said, total=now.asked, completed=now.suppliers)

        yield progress


def _amount(text: str) -> Decimal:
    try:
        return positive_number(text)
    except UnusableError as error:
        raise UnusableError(f"--amount: {error}") from error
