"""`bcca doctor`: what is wrong with a node, in words."""

from contextlib import closing
from pathlib import Path

import typer

from bcca_node.cli import checks, reach
from bcca_node.cli.checks import Finding
from bcca_node.cli.given import DataOption, JsonOption
from bcca_node.cli.screen import put_json, say
from bcca_protocol.errors import UnusableError

WELL, WRONG = 0, 1

_EXAMPLE = "Example: bcca doctor --data node"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog=_EXAMPLE)(doctor)


def doctor(data: DataOption, as_json: JsonOption = False) -> int:
    """Say what is wrong, and how to mend it.

    It looks at settings, keys, policy, database, log and clock, and asks the witnesses and logs of
    the policy whether they are there. Nothing is changed. The exit status is 0 if all is well.
    """
    if not data.is_dir():
        raise UnusableError(f"{data}: there is no such folder; run `bcca init` to set up a node")
    found = sorted(_look(data), key=lambda each: not each.wrong)
    wrong = [each for each in found if each.wrong]
    if as_json:
        put_json({"well": not wrong, "findings": [each._asdict() for each in found]})
    else:
        for each in found:
            say(f"{'WRONG' if each.wrong else 'ok':<5} {each.about}: {each.text}")
    return WRONG if wrong else WELL


def _look(data: Path) -> list[Finding]:
    settings, found = checks.settings(data)
    findings = [found, *checks.keys(data, None if settings is None else settings.origin)]
    node, refused = (None, []) if settings is None else checks.opened(settings)
    findings += refused
    if node is None:
        return findings + checks.policy(data, None)[1]
    with closing(node):
        trusted, said = checks.policy(data, node)
        findings += [*said, *checks.database(node, trusted)]
        return findings if trusted is None else findings + reach.look(node, trusted)
