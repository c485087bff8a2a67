"""`bcca aggregate --offline`: nobody is asked, and what comes from the copies here says how old."""

from typing import Annotated

import typer

from bcca_node.cli.screen import say
from bcca_node.packmaker.run import Run

OfflineOption = Annotated[
    bool,
    typer.Option("--offline", help="Ask nobody: use what is kept here, and say how old it is."),
]

_HOUR = 3_600  # seconds


def as_json(run: Run) -> dict[str, object]:
    """Return the logs that were read as they are kept here, with their age in seconds."""
    cached = run.sum.collected.cached
    return {
        "fromCache": [
            {"supplier": origin, "ageSeconds": str(cached[origin])} for origin in sorted(cached)
        ]
    }


def print_cached(run: Run) -> None:
    """Print them for people."""
    cached = run.sum.collected.cached
    if cached:
        say("Nobody was asked; what is kept here was last seen by a quorum:")
    for origin in sorted(cached):
        say(f"  {origin}: {cached[origin] // _HOUR} h ago")
