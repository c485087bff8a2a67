"""What every command is given: the data folder, and the passphrase from wherever it is."""

import getpass
import os
import re
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
RECOVERY = "BCCA_RECOVERY"
RECOVERY_FILE = "BCCA_RECOVERY_FILE"
MAX_PASSPHRASE_BYTES = 64 * 1024  # whoever names another file by mistake learns it soon

DataOption = Annotated[
    Path,
    typer.Option("--data", envvar="BCCA_DATA", metavar="DIR", help="The node's data folder."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


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


def age(text: str, option: str) -> int:
    """Return how many seconds an age such as 12h is; raises UnusableError, which names `option`."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise UnusableError(f"{option} {text}: write an age as 45s, 15m, 12h or 30d")
    return int(found[1]) * _SECONDS[found[2]]


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


def asked_recovery() -> str:
    """Return the recovery words of the environment, else what somebody types.

    Raises UnusableError where there is nobody to ask.
    """
    given = _given(RECOVERY, RECOVERY_FILE, os.environ)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise UnusableError(
            f"the recovery words are missing: set {RECOVERY} or {RECOVERY_FILE}, "
            "or run this at a terminal"
        )
    return _ask("Recovery words: ")


def given_passphrase(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the passphrase of the environment, None if it has none; raises UnusableError."""
    return _given(PASSPHRASE, PASSPHRASE_FILE, environment)


def _given(name: str, file_name: str, environment: Mapping[str, str]) -> str | None:
    """Return the secret in a variable, or in the file that another names; raises UnusableError."""
    if environment.get(name):
        return environment[name]
    named = environment.get(file_name)
    if not named:
        return None
    try:
        with Path(named).open("rb") as file:
            content = file.read(MAX_PASSPHRASE_BYTES + 1).decode()
    except (OSError, ValueError) as error:
        raise UnusableError(f"{file_name} {named}: cannot be read: {error}") from error
    if len(content) > MAX_PASSPHRASE_BYTES:
        raise UnusableError(f"{file_name} {named}: over {MAX_PASSPHRASE_BYTES} bytes")
    return content.removesuffix("\n").removesuffix("\r")


def _ask(prompt: str) -> str:
    try:
        return getpass.getpass(prompt, stream=sys.stderr)
    except EOFError as error:
        raise UnusableError(f"{prompt.rstrip(': ').lower()}: nothing was typed") from error
