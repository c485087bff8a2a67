"""`bcca explain`: where a published total comes from, and why any number in it is what it is."""

from typing import Annotated

import typer

from bcca_node.cli import explained, products, reviewed, whys
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.screen import put_json, say
from bcca_node.ledger.node import Node
from bcca_node.packmaker import results
from bcca_node.packmaker.recalled import Recalled, before, recall
from bcca_node.packmaker.review import review as review_of
from bcca_node.packmaker.why import why as why_of
from bcca_protocol.audit import Step
from bcca_protocol.errors import UnusableError
from bcca_protocol.quantity import plain

DONE, INCOMPLETE = 0, 3

_EXPLAIN = "Example: bcca explain P001 --why 'NMC622 oxide' --data node"

WhyOption = Annotated[
    str | None,
    typer.Option(
        "--why",
        metavar="OTHER",
        help="Walk one number down to signed lines, with its arithmetic: a product by its URN, "
        "the last part of that or its name, a statement, or an own line by its id, name or data "
        "set.",
    ),
]
ReviewOption = Annotated[
    bool, typer.Option("--review", help="What a reviewer asks first, answered on one screen.")
]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain", epilog=_EXPLAIN)(explain_product)


def explain_product(
    data: DataOption,
    product: Annotated[
        str | None,
        typer.Argument(metavar="[PRODUCT]", help="A URN, the last part of one, or a name."),
    ] = None,
    why: WhyOption = None,
    review: ReviewOption = False,
    as_json: JsonOption = False,
) -> int:
    """Show what a published total is made of.

    By product as a tree, by supplier, tier, country, kind of line and stage, in rows that sum to
    it; shares of it, per functional unit, how far it may be off. Everything is verified and added
    up again from what this node holds; nobody is asked. Without a product it is the one that was
    added up last. The exit status is 3 if inputs are missing.
    """
    if why is not None and review:
        raise UnusableError("--why and --review answer different questions: give one of them")
    steps: list[Step] = []
    with open_node(data) as node:
        found = products.last_rolled_up(node) if product is None else products.find(node, product)
        recalled = recall(node, found, on_step=steps.append)
        if why is not None:
            _tell_why(recalled, why, as_json=as_json)
        elif review:
            _tell_review(node, recalled, as_json=as_json)
        else:
            _tell_results(recalled, steps, as_json=as_json)
    return INCOMPLETE if recalled.report.incomplete else DONE


def _tell_why(recalled: Recalled, asked: str, *, as_json: bool) -> None:
    found = why_of(recalled, asked)
    if as_json:
        put_json(whys.as_json(recalled, found))
    else:
        whys.print_why(recalled, found)


def _tell_review(node: Node, recalled: Recalled, *, as_json: bool) -> None:
    answers = review_of(recalled, results.results(recalled), before(node, recalled))
    if as_json:
        put_json(reviewed.as_json(recalled, answers))
    else:
        reviewed.print_review(answers)


def _tell_results(recalled: Recalled, steps: list[Step], *, as_json: bool) -> None:
    found = results.results(recalled)
    if as_json:
        put_json(explained.as_json(recalled, found))
        return
    report = recalled.report
    say(*report.unverified)
    explained.print_results(recalled, found)
    say("", *(f"{step.what}: {step.found}" for step in steps))
    without = ", INCOMPLETE: without what is missing" if report.incomplete else ""
    amount = f"{plain(report.amount)} {report.unit} of {report.product}"
    say(f"{plain(report.total)} kg CO2e for {amount}, excluding uptake{without}")
