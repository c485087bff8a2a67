"""`bcca chase`: what a result lacks, what that could cost, and asking for it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import typer

from bcca_node.cli import mail, products
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.partner_names import end_of
from bcca_node.cli.screen import listed, put_json, say, tell
from bcca_node.cli.wanted import PURPOSE, DueOption, PurposeOption
from bcca_node.ledger.node import Node
from bcca_node.packmaker import asking
from bcca_node.packmaker.asking import Asked, Wish
from bcca_node.packmaker.chase import Item, chase
from bcca_node.packmaker.explain import shown
from bcca_node.packmaker.recalled import Recalled, recall
from bcca_protocol.quantity import plain

DONE, INCOMPLETE = 0, 3
_MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "bound": "its bound",
        "substitute": "the value in its place",
        "its own value": "what is used now",
        "its own word": "its issuer's word",
    }
)

_EXAMPLE = "Example: bcca chase P001 --send --due 2027-01-31 --data node"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("chase", epilog=_EXAMPLE)(chase_product)


def chase_product(
    data: DataOption,
    product: Annotated[
        str | None,
        typer.Argument(metavar="[PRODUCT]", help="A URN, the last part of one, or a name."),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Ask those suppliers that are partners for it.")
    ] = False,
    purpose: PurposeOption = PURPOSE,
    due: DueOption = None,
    as_json: JsonOption = False,
) -> int:
    """List what a result lacks, ranked by how much an answer could move it.

    Missing, stood in for, expired, of a sibling site, or signed by nobody. What nothing bounds
    comes first, by lines and mass; an estimate is called one, and is never added. Without a
    product it is the one that was added up last. The exit status is 3 while something is left, or
    a request is not delivered yet.
    """
    wish = Wish(purpose=purpose, due=None if due is None else end_of(due, "--due"))
    with mail.writing(data) if send else open_node(data) as node:
        found = products.last_rolled_up(node) if product is None else products.find(node, product)
        recalled = recall(node, found)
        items = chase(recalled)
        asked, trouble = _send(node, recalled, items, wish) if send else (None, [])
    if as_json:
        put_json(_as_json(recalled, items, asked, delivered=not trouble))
    else:
        _print(recalled, items, asked)
    tell(*trouble)
    return INCOMPLETE if items or trouble else DONE


def _send(
    node: Node, recalled: Recalled, items: list[Item], wish: Wish
) -> tuple[list[Asked], list[str]]:
    begun = mail.last(node)
    asked = asking.ask(node, recalled, items, wish)
    return asked, mail.send(node, {each.origin for each in asked if each.is_new}, begun)


def _print(recalled: Recalled, items: list[Item], asked: list[Asked] | None) -> None:
    if not items:
        say(f"Nothing is left to chase: all that feeds {recalled.report.product} is signed")
        return
    said = {} if asked is None else {(each.origin, each.product): each for each in asked}
    for number, each in enumerate(items, start=1):
        say(
            f"{number}. {each.kind}: {_amounts(each)} of {each.product} from {each.supplier}: "
            f"{_worth(each)}",
            f"   {each.reason}",
            f"   feeds {_lines(each)} of "
            f"{listed([f'{part.name} of {part.producer}' for part in each.buyers])}",
        )
        found = said.get((each.supplier, each.product))
        if found is not None:
            say(f"   {found.words}")
    if asked is not None:
        _print_strangers(asked)


def _print_strangers(asked: list[Asked]) -> None:
    """Print who is no partner: nobody but its own customers can ask it."""
    strangers = sorted({each.origin for each in asked if each.is_stranger})
    if strangers:
        say(f"No partners of this node: {listed(strangers)}")
        tell("`bcca partners invite` each, or ask whoever buys of it to ask: they are named above")


def _worth(item: Item) -> str:
    match item.measure:
        case "none":
            return "nobody can tell how much it could move: nothing comparable is bought"
        case "estimate":
            return (
                f"not bounded; perhaps up to {_kg(item)}, an estimate: as {item.like}, the most "
                "intensive of its like here"
            )
        case _:
            return f"{_kg(item)}, by {_MEASURES[item.measure]}"


def _kg(item: Item) -> str:
    return "an unknown amount" if item.kg is None else f"{shown(item.kg)} kg CO2e"


def _amounts(item: Item) -> str:
    return " and ".join(f"{plain(amount)} {unit}" for unit, amount in item.amounts.items())


def _lines(item: Item) -> str:
    return "1 line" if item.lines == 1 else f"{item.lines} lines"


def _as_json(
    recalled: Recalled, items: list[Item], asked: list[Asked] | None, *, delivered: bool
) -> dict[str, object]:
    return {
        "product": recalled.report.product,
        "commitment": recalled.commitment,
        "total": plain(recalled.total),
        "items": [_item(each) for each in items],
        "asked": None
        if asked is None
        else [
            {
                "supplier": each.origin,
                "product": each.product,
                "request": each.request,
                "new": each.is_new,
                "partner": not each.is_stranger,
                "words": each.words,
            }
            for each in asked
        ],
        "delivered": delivered,
    }


def _item(each: Item) -> dict[str, object]:
    return {
        "kind": each.kind,
        "product": each.product,
        "supplier": each.supplier,
        "lines": each.lines,
        "amounts": {unit: plain(amount) for unit, amount in each.amounts.items()},
        "massKg": None if each.mass_kg is None else plain(each.mass_kg),
        "kg": None if each.kg is None else plain(each.kg),
        "measure": each.measure,
        "bounded": each.is_bounded,
        "like": each.like or None,
        "reason": each.reason,
        "buyers": [
            {"product": part.product, "supplier": part.issuer, "statement": part.commitment}
            for part in each.buyers
        ],
    }
