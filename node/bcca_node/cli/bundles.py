"""`bcca bundle`: the file that proves a total."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli import products
from bcca_node.cli.aggregate import ProductArgument
from bcca_node.cli.given import DataOption, open_node
from bcca_node.cli.screen import say, tell
from bcca_node.ledger import trust
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.node import Node
from bcca_node.packmaker import bundling
from bcca_node.storage import partners
from bcca_protocol import period
from bcca_protocol.audit import Report
from bcca_protocol.errors import UnusableError
from bcca_protocol.quantity import plain

DONE, INCOMPLETE = 0, 3

_BUNDLE = "Example: bcca bundle P001 -o pack.bcca.jsonl --for auditor.example --data node"
SELF = "self"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bundle", epilog=_BUNDLE)(write_bundle)


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
    recipe: Annotated[
        bool, typer.Option("--recipe", help="Hand over a secret recipe with it.")
    ] = False,
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
        unsealed = bundling.make(node, found, made=made, recipient=to, recipe=recipe)
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


def _amount(report: Report) -> str:
    return f"{plain(report.amount)} {report.unit} of {report.product}"


def _evidence(report: Report) -> str:
    return f"{len(report.evidence.facts)} statements, {len(report.evidence.logs)} logs"
