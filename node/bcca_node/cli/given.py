"""What every command is given: the data folder, and the passphrase from wherever it is."""

import getpass
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.ledger.node import Node
from bcca_node.network.guard import hosts_of
from bcca_node.settings import Settings
from bcca_protocol.errors import PolicyError, RefusedError, UnusableError
from bcca_protocol.policy import Policy

PASSPHRASE = "BCCA_PASSPHRASE"  # noqa: S105 - the name of a variable
PASSPHRASE_FILE = "BCCA_PASSPHRASE_FILE"  # noqa: S105
MAX_PASSPHRASE_BYTES = 64 * 1024  # whoever names another file by mistake learns it soon

DataOption = Annotated[
    Path,
    typer.Option("--data", envvar="BCCA_DATA", metavar="DIR", help="The node's data folder."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@contextmanager
def open_node(data: Path, *, keys: bool = False) -> Iterator[Node]:
    """Yield the node of a data folder, with its keys open if they are needed."""
    settings = Settings.load(data)
    with closing(Node.open(settings, asked_passphrase() if keys else None)) as node:
        yield node


def hosts(trusted: Policy) -> frozenset[str]:
    """Return the hosts that a policy names; raises PolicyError for a URL that is none."""
    try:
        return hosts_of(trusted)
    except RefusedError as error:
        raise PolicyError(f"policy.txt: {error}") from error


def asked_passphrase(*, twice: bool = False) -> str:
    """Return the passphrase of the environment, else what somebody types.

    Raises UnusableError where there is nobody to ask, and for two different answers.
    """
    given = given_passphrase()
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise UnusableError(
            f"the passphrase is missing: set {PASSPHRASE} or {PASSPHRASE_FILE}, "
            "or run this at a terminal"
        )
    typed = _ask("Passphrase: ")
    if twice and _ask("The same again: ") != typed:
        raise UnusableError("the two passphrases differ, so nothing was done: try again")
    return typed


def given_passphrase(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the passphrase of the environment, None if it has none; raises UnusableError."""
    if environment.get(PASSPHRASE):
        return environment[PASSPHRASE]
    named = environment.get(PASSPHRASE_FILE)
    if not named:
        return None
    try:
        with Path(named).open("rb") as file:
            content = file.read(MAX_PASSPHRASE_BYTES + 1).decode()
    except (OSError, ValueError) as error:
        raise UnusableError(f"{PASSPHRASE_FILE} {named}: cannot be read: {error}") from error
    if len(content) > MAX_PASSPHRASE_BYTES:
        raise UnusableError(f"{PASSPHRASE_FILE} {named}: over {MAX_PASSPHRASE_BYTES} bytes")
    return content.removesuffix("\n").removesuffix("\r")


def _ask(prompt: str) -> str:
    try:
        return getpass.getpass(prompt, stream=sys.stderr)
    except EOFError as error:
        raise UnusableError("no passphrase was typed") from error
