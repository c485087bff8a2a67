"""`bcca log`: this node's log as others read it."""

from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli.given import DataOption, open_node
from bcca_node.cli.screen import say
from bcca_node.ledger.export import export

_EXAMPLE = "Example: bcca log export public/log --data node"


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="This node's log.")
    group.callback()(_log)
    group.command("export", epilog=_EXAMPLE)(export_log)
    app.add_typer(group, name="log")


def export_log(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="An empty folder, or an earlier export.")
    ],
    data: DataOption,
) -> None:
    """Write the published log as static files that any web server can serve (tlog-tiles).

    No passphrase is needed. An earlier export is brought up to date.
    """
    with open_node(data) as node:
        size = export(node, folder)
        say(f"{folder}: the log of {node.origin} with {size} entries")


def _log() -> None:
    """Keep `export` a command of its own, though it is the only one."""
