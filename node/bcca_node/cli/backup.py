"""`bcca backup` and `bcca restore`: a node in one file, and put back."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.screen import put_json, say
from bcca_node.ledger import backup as backups
from bcca_node.ledger import restore as restoring
from bcca_node.ledger.backup import BackedUp

_BACKUP = "Example: bcca backup /backup/bcca-2026-11-21.tar --data node"
_RESTORE = "Example: bcca restore /backup/bcca-2026-11-21.tar --data node"


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup", epilog=_BACKUP)(backup)
    app.command("restore", epilog=_RESTORE)(restore)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")],
    data: DataOption,
    as_json: JsonOption = False,
) -> None:
    """Write all of a node into one file: settings, sealed keys, policy, database.

    The node may serve and publish meanwhile. No passphrase is needed, and the file does not hold
    it: keep the two apart. Only you can read the file; whoever can change it can change whom the
    node believes.
    """
    with open_node(data) as node:
        made = backups.backup(node, file)
    if as_json:
        put_json({"file": str(file), **_told(made)})
    else:
        say(f"{file}: {made.origin} with a log of {made.size} entries, as of {made.made}")
        say(f"Its SHA-256 is {made.digest}")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `bcca backup` wrote.")],
    data: DataOption,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where to put the tables, if not where they were."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put a node back from its backup, into an empty folder.

    It serves at once. It publishes again once every witness has said that it knows no newer state
    of the log; where one does, `bcca log recover` fetches what is missing.
    """
    there = restoring.restore(file, data, environment=os.environ, database=database)
    if as_json:
        put_json({"data": str(data), **_told(there)})
        return
    say(f"{there.origin} is restored in {data}, with a log of {there.size} entries.")
    say(f"It is as of {there.made}; the SHA-256 of the file is {there.digest}")
    say("Invitations that were open are withdrawn: each may have been used since.")
    say("What partners may see, and your auditors, are as of then too, what you have taken back")
    say("since as well: look at them, `bcca partners list` and `bcca partners show`.")
    say("Before it publishes, its witnesses are asked whether they have seen a longer log.")
    say("As a witness of others it cosigns nothing until `bcca keys rotate witness` was run.")


def _told(of: BackedUp) -> dict[str, object]:
    return {"origin": of.origin, "size": of.size, "made": of.made, "sha256": of.digest}
