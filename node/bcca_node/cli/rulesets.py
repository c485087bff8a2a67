"""`bcca rules`: the rules that come with this program, to choose from and to copy."""

import sys
from typing import Annotated

import typer

from bcca_node.cli.given import JsonOption
from bcca_node.cli.screen import put_json, say
from bcca_node.packmaker import ruling
from bcca_protocol.quantity import plain
from bcca_protocol.rules import RuleSet

_EXAMPLE = "Example: bcca rules eu-draft > ours.toml"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rules", epilog=_EXAMPLE)(show_rules)


def show_rules(
    named: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Print the text of these.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the rules that a total may follow, or print the text of some, checked.

    Copy a text, give it a name of its own and change it: `bcca aggregate --rules FILE` follows it.
    """
    found = list(ruling.shipped().values()) if named is None else [ruling.load(named)]
    if as_json:
        put_json({"rules": [_as_json(each) for each in found]})
    elif named is None:
        for each in found:
            say(f"{each.name}, version {each.version}, {each.digest}")
            say(*(f"  unconfirmed: {sentence}" for sentence in each.unconfirmed))
    else:
        sys.stdout.write(found[0].text)  # as it is: nothing in it is obeyed by a terminal


def _as_json(rules: RuleSet) -> dict[str, object]:
    return {
        "name": rules.name,
        "version": rules.version,
        "digest": rules.digest,
        "cutOffPercent": plain(rules.cut_off_percent),
        "blocks": list(rules.blocks),
        "unconfirmed": list(rules.unconfirmed),
        "text": rules.text,
    }
