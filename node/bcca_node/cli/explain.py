"""`bcca explain` and `bcca bundle`: where a total comes from, and the file that proves it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli import picture, products
from bcca_node.cli.aggregate import ProductArgument
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.screen import put_json, say, show, tell
from bcca_node.ledger import trust
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.node import Node
from bcca_node.packmaker import bundling, explain
from bcca_node.packmaker.explain import Branch, Contribution
from bcca_node.storage import partners
from bcca_protocol import footprint, period
from bcca_protocol.audit import Report, Step
from bcca_protocol.errors import UnusableError
from bcca_protocol.quantity import plain

DONE, INCOMPLETE = 0, 3

_EXPLAIN = "Example: bcca explain P001 --data node"
_BUNDLE = "Example: bcca bundle P001 -o pack.bcca.jsonl --for auditor.example --data node"
SELF = "self"


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
    recipient: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="ORIGIN",
            help="Who is to read it: a partner, an auditor you appointed, or `self` for all of it. "
            "Without it: whoever, so only what is public.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
) -> int:
    """Write all an auditor needs into one file.

    Whole logs and signed statements, sealed. What its reader may not see is withheld, and named.
    It is checked first, as an auditor would with `bcca-verify`, and that needs no network. The
    exit status is 3 if something is withheld: the total cannot be recomputed as a whole then.
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
        to = _recipient(node, recipient)
        unsealed = bundling.make(node, found, made=made, recipient=to)
        report = bundling.check(node, unsealed)
        write_whole(out, bundling.seal(node, unsealed))
    say(f"{out}: {plain(report.total)} kg CO2e for {_amount(report)}, {_evidence(report)}")
    tell(*_withheld(report, out, product, data), *report.unverified)
    tell(f"Check it with: bcca-verify {out} --policy {data / trust.FILE}")
    return INCOMPLETE if report.withheld else DONE


def _recipient(node: Node, named: str | None) -> str | None:
    """Return for whom a bundle is: this node itself, a partner by its name, or an origin."""
    if named is None or named == SELF:
        return None if named is None else node.origin
    with node.database.read() as session:
        found = [each.origin for each in partners.every(session) if each.name == named]
    return found[0] if len(found) == 1 else named


def _withheld(report: Report, out: Path, product: str, data: Path) -> Iterator[str]:
    """Yield a sentence if something is withheld, and which command would show it."""
    if not report.withheld:
        return
    count = f"withheld: {len(report.withheld)} of the statements that it was made from"
    if report.recipient is None:
        yield (
            f"{count}, since not everybody may see them: `bcca bundle {product} -o {out} --force "
            f"--data {data} --for ORIGIN` includes what that partner or auditor may see, and "
            "`--for self` everything"
        )
        return
    ways = []
    if any(each.line.origin == report.maker for each in report.withheld):
        ways.append(
            f"`bcca partners grant {report.recipient} --product {report.product} --data {data}` "
            "lets it see your own"
        )
    if any(each.line.origin != report.maker for each in report.withheld):
        ways.append(
            "what others share no further only an auditor may see that you appoint: "
            f"`bcca partners appoint {report.recipient} --data {data}`"
        )
    yield f"{count}, since {report.recipient} may not see them: {'; '.join(ways)}"


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
    return f"{plain(report.amount)} {report.unit} of {report.product}"


def _evidence(report: Report) -> str:
    return f"{len(report.evidence.facts)} statements, {len(report.evidence.logs)} logs"


def _as_json(report: Report) -> dict[str, object]:
    total = explain.total(report)
    return {
        "product": report.product,
        "maker": report.maker,
        "amount": plain(report.amount),
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
