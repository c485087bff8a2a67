"""`bcca keys`: the public half of this node's keys."""

from typing import Annotated

import typer

from bcca_node.cli.given import DataOption, JsonOption
from bcca_node.cli.screen import put_json, say, show_table
from bcca_node.cli.setup import log_line
from bcca_node.ledger.keystore import Keystore
from bcca_node.settings import Settings

_EXAMPLE = "Example: bcca keys list --data node --policy-line"


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The public half of the keys.")
    group.callback()(_keys)
    group.command("list", epilog=_EXAMPLE)(list_keys)
    app.add_typer(group, name="keys")


def list_keys(
    data: DataOption,
    policy_line: Annotated[
        bool,
        typer.Option("--policy-line", help="Only the line with which others believe this log."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the keys by role, with the log entry that added each; no passphrase is needed."""
    keys = Keystore.read(data)
    if policy_line:
        say(log_line(Settings.load(data), keys))
    elif as_json:
        put_json(
            [
                {
                    "role": each.role.value,
                    "vkey": each.key.encode(),
                    "index": each.index,
                    "algorithm": each.key.algorithm.name,
                }
                for each in keys.keys
            ]
        )
    else:
        rows = [(each.role.value, str(each.index), each.key.encode()) for each in keys.keys]
        show_table(("role", "entry", "verifier key"), rows)


def _keys() -> None:
    """Keep `list` a command of its own, though it is the only one."""
