"""How a run is named on the command line."""

from typing import Annotated

import typer

NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="What to keep this run as, in place of one of that name; by its number unless told.",
    ),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or its number.")]
