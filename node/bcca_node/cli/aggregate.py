"""`bcca aggregate`: a pack maker's run, from asking suppliers to a published total."""

import asyncio
from decimal import Decimal
from typing import Annotated

import typer

from bcca_node.cli import products, rolled, standing
from bcca_node.cli.battery import BatteryOption, described
from bcca_node.cli.given import DataOption, JsonOption, age, open_node
from bcca_node.cli.kept import RecipeOption, SharingOption, shared
from bcca_node.cli.offline import OfflineOption
from bcca_node.cli.ruled import CutOffOption, RulesOption, chosen
from bcca_node.cli.run_names import NameOption
from bcca_node.cli.standing import EveryOption
from bcca_node.cli.substitutes import SubstituteOption, parsed
from bcca_node.packmaker import runs
from bcca_node.packmaker.order import Order
from bcca_node.supplier.cases import positive_number
from bcca_protocol.errors import UnusableError

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
    every: EveryOption = None,
    as_json: JsonOption = False,
) -> int:
    """Ask every supplier, verify, add up, sign and publish.

    Suppliers of suppliers are asked too, up to the mine; partners with a signature, so that they
    show what they have granted. Where one does not answer, or shows its customers alone what it
    says, copies of its log and statements at other nodes are read. One that is down or lies stops
    nobody else: what is missing is told first, and the exit status is 3. Whether the result may
    be declared by the rules, and every reason why not, is told with it.

    With --every it stays until Ctrl-C or SIGTERM, tells and keeps a later run where it says
    something else (with --json a line each), and corrects nothing complete by what is incomplete.
    """
    so_much = None if amount is None else _amount(amount)
    oldest, shown_to = age(max_age, "--max-age"), shared(sharing)
    ruled, own_values = chosen(rules, cut_off), parsed(substitute)
    stated = described(battery)
    pause = None if every is None else standing.interval(every, is_offline=offline)
    with open_node(data, keys=True) as node:
        runs.require_name(node, name)
        order = Order(
            product=products.find(node, product),
            amount=so_much,
            at=node.clock(),
            max_age=oldest,
            rules=ruled,
            own_values=own_values,
            battery=stated,
            keeping=recipe,
            sharing=shown_to,
            is_offline=offline,
        )
        if pause is not None:
            return asyncio.run(standing.stay(node, order, pause, name, as_json=as_json))
        run = asyncio.run(rolled.made(node, order))
        return rolled.told(node, run, order, name, as_json=as_json)


def _amount(text: str) -> Decimal:
    try:
        return positive_number(text)
    except UnusableError as error:
        raise UnusableError(f"--amount: {error}") from error
