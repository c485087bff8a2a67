"""`bcca explain` and `bcca bundle`: where a total comes from, and the file that proves it."""

from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli import picture, products
from bcca_node.cli.aggregate import ProductArgument
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.screen import put_json, say, show, tell
from bcca_node.ledger import trust
from bcca_node.ledger.files import write_whole
from bcca_node.packmaker import bundling, explain
from bcca_node.packmaker.explain import Branch, Contribution
from bcca_protocol import footprint, period
from bcca_protocol.audit import Report, Step
from bcca_protocol.errors import UnusableError
from bcca_protocol.quantity import plain

DONE, INCOMPLETE = 0, 3

_EXPLAIN = "Example: bcca explain P001 --data node"
_BUNDLE = "Example: bcca bundle P001 -o pack.bcca.jsonl --data node"


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("explain", epilog=_EXPLAIN)(explain_product)
    app.command("bundle", epilog=_BUNDLE)(write_bundle)


def explain_product(
    data: DataOption,
    product: Annotated[
        str | None,
        typer.Argument(metavar="[PRODUCT]", help="A URN, the last part of one, or a name."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show what a published total is made of.

    By product as a tree, by supplier, by stage. Everything is verified and added up again from
    what this node holds; nobody is asked. Without a product it is the one that was added up last.
    The exit status is 3 if inputs are missing.
    """
    steps: list[Step] = []
    with open_node(data) as node:
        found = products.last_rolled_up(node) if product is None else products.find(node, product)
        made = period.text_at(node.clock())
        report = bundling.examine(node, found, made=made, on_step=steps.append)
    if as_json:
        put_json(_as_json(report))
    else:
        _print(report, steps)
    return INCOMPLETE if report.incomplete else DONE


def write_bundle(
    product: ProductArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write it.")],
    data: DataOption,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
) -> None:
    """Write all an auditor needs into one file.

    Whole logs and signed statements, sealed. It is checked first, as an auditor would with
    `bcca-verify`, and that needs no network.
    """
    if out.is_dir():
        raise UnusableError(f"{out} is a folder: name a file")
    if out.exists() and not out.is_file():
        raise UnusableError(f"{out} is no ordinary file: name another")
    if out.exists() and not force:
        raise UnusableError(f"{out} is there already: name another file, or add --force")
    if not out.absolute().parent.is_dir():
        raise UnusableError(f"{out}: its folder is not there: make it first")
    with open_node(data, keys=True) as node:
        found, made = products.find(node, product), period.text_at(node.clock())
        report = bundling.examine(node, found, made=made)
        write_whole(out, bundling.write_bundle(node, found, made=made))
    say(f"{out}: {plain(report.total)} kg CO2e for {_amount(report)}, {_evidence(report)}")
    tell(*report.unverified)
    tell(f"Check it with: bcca-verify {out} --policy {data / trust.FILE}")


def _print(report: Report, steps: list[Step]) -> None:
    say(*report.unverified)
    show(picture.tree(report))
    say("")
    show(picture.suppliers(report))
    say("")
    show(picture.stages(report))
    say("", *(f"{step.what}: {step.found}" for step in steps))
    without = ", INCOMPLETE: without what is missing" if report.incomplete else ""
    say(f"{plain(report.total)} kg CO2e for {_amount(report)}, excluding uptake{without}")


def _amount(report: Report) -> str:
    return f"{plain(report.needed.amount)} {report.unit} of {report.product}"


def _evidence(report: Report) -> str:
    return f"{len(report.evidence.facts)} statements, {len(report.evidence.logs)} logs"


def _as_json(report: Report) -> dict[str, object]:
    total = explain.total(report)
    return {
        "product": report.product,
        "maker": report.maker,
        "amount": plain(report.needed.amount),
        "unit": report.unit,
        "total": plain(report.total),
        "incomplete": report.incomplete,
        "unverified": list(report.unverified),
        "asOf": period.text_at(report.as_of),
        "stages": {s: plain(kg) for s, kg in footprint.by_stage(report.footprint).items()},
        "suppliers": [
            {"origin": origin, "name": name, "kg": plain(kg), "share": explain.share(kg, total)}
            for origin, name, kg in explain.by_supplier(report)
        ],
        "products": [_contribution(each) for each in explain.by_product(report)],
        "tree": _branch(explain.tree(report)),
    }


def _contribution(each: Contribution) -> dict[str, object]:
    return {
        "product": each.part.product,
        "name": each.part.name,
        "supplier": each.part.issuer,
        "introduced": each.introduced,
        "kg": plain(each.kg),
        "stages": {stage: plain(kg) for stage, kg in each.by_stage.items() if kg},
    }


def _branch(branch: Branch) -> dict[str, object]:
    return {
        "product": branch.part.product,
        "name": branch.part.name,
        "supplier": branch.part.issuer,
        "amount": plain(branch.amount),
        "unit": branch.part.unit,
        "kg": plain(branch.kg),
        "own": plain(branch.own),
        "smaller": plain(branch.told_as_one),
        "repeats": branch.repeats,
        "missing": list(branch.missing),
        "branches": [_branch(each) for each in branch.branches],
    }
