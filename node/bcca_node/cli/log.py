"""`bcca log`: this node's log as others read it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli import log_status, recover
from bcca_node.cli.given import DataOption, open_node
from bcca_node.cli.screen import say
from bcca_node.ledger import log
from bcca_node.ledger.export import export
from bcca_node.storage import logs, statements
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.wire import decimal_int, showable

_EXAMPLE = "Example: bcca log export public/log --data node"
_PROVE = "Example: bcca log prove 6 --data node > entry-6.tlog-proof"


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="This node's log.")
    group.command("export", epilog=_EXAMPLE)(export_log)
    group.command("prove", epilog=_PROVE)(prove)
    group.command("recover", epilog=recover.EXAMPLE)(recover.recover_log)
    group.command("status", epilog=log_status.EXAMPLE)(log_status.status)
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


def prove(
    entry: Annotated[
        str, typer.Argument(metavar="COMMITMENT|INDEX", help="Of a statement, or of any entry.")
    ],
    data: DataOption,
) -> None:
    """Print the proof that an entry is in the published log (c2sp.org/tlog-proof@v1).

    Whoever has it needs this node's log key and a policy to check it, and nothing else; a
    statement itself goes beside it.
    """
    with open_node(data) as node, node.database.read() as session:
        head = logs.published_head(session)
        own = statements.get(session, entry)
        found = _index(entry) if own is None else own.index
        size = 0 if head is None else head.size
        if head is None or found is None or found >= size:
            raise UnusableError(
                f"entry {showable(entry[:80])!r}: of no statement here, and not below the "
                f"{size} entries that are published"
            )
        sys.stdout.write(log.prove(session, found, head).encode())


def _index(text: str) -> int | None:
    try:
        return decimal_int(text, "index")
    except RefusedError:
        return None
