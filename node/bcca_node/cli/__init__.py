"""The command line: `bcca`. Errors become one sentence and an exit status here, nowhere else.

Exit status: 0 done; 1 refused or unavailable; 2 unusable input or usage; 3 done, but incomplete.
"""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bcca_node import __version__
from bcca_node.cli import (
    aggregate,
    audit,
    backup,
    bundles,
    chase,
    demo,
    doctor,
    drafts,
    explain,
    factors,
    inbox,
    keys,
    log,
    pact,
    partners,
    requests,
    rulesets,
    runs,
    serve,
    setup,
    status,
)
from bcca_node.cli.screen import tell
from bcca_protocol.errors import BccaError, UnusableError

DONE, REFUSED, UNUSABLE, INCOMPLETE = range(4)

_GROUPS = (
    setup,
    drafts,
    status,
    serve,
    partners,
    requests,
    inbox,
    pact,
    aggregate,
    explain,
    bundles,
    chase,
    runs,
    factors,
    rulesets,
    log,
    audit,
    keys,
    backup,
    doctor,
    demo,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may not fit the terminal
    try:
        status = create_cli()(args=arguments, prog_name="bcca", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads any more; what Python flushes at its end has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except Exception as error:
        status, reason = _verdict(error)
        tell(*f"bcca: {reason}".split("\n"))  # several problems stand on lines of their own
    return status if isinstance(status, int) else DONE


def create_cli() -> typer.Typer:
    """Return the command line with every command."""
    app = typer.Typer(
        name="bcca",
        help="One organisation's node of the battery carbon chain.",
        epilog=(
            "Exit status: 0 done; 1 refused or unavailable; 2 unusable input; 3 done, but "
            "incomplete. Example: bcca demo"
        ),
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_bcca)
    for group in _GROUPS:
        group.add(app)
    return app


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bcca {__version__}")
        raise typer.Exit


def _bcca(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def _verdict(error: Exception) -> tuple[int, str]:
    """Return the exit status, and in one sentence what is wrong and what to do."""
    match error:
        case typer.TyperException():
            return UNUSABLE, f"{error.format_message()} (`bcca --help` tells more)"
        case typer.Abort():
            return UNUSABLE, "the input ended where an answer was needed"
        case UnusableError():
            return UNUSABLE, str(error)
        case BccaError():
            return REFUSED, str(error)
        case OSError():
            what = error.filename or type(error).__name__
            return UNUSABLE, f"{what}: {error.strerror or error}"
        case _:
            return REFUSED, _mistake(error)


def _mistake(error: Exception) -> str:
    """Return what to report where the program itself is wrong."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    return f"this is a mistake in bcca at {where}: {type(error).__name__}: {error}; report it"
