"""`--recipe` and `--sharing` of `bcca aggregate`: what others are told of a result, and who."""

from typing import Annotated, get_args

import typer

from bcca_node.packmaker.secrecy import Keeping
from bcca_protocol.errors import UnusableError
from bcca_protocol.statement import Sharing

RecipeOption = Annotated[
    Keeping | None,
    typer.Option(
        "--recipe",
        help="Whether the result tells what it is made of; as the last one did unless told.",
    ),
]
SharingOption = Annotated[
    str | None,
    typer.Option(
        "--sharing",
        metavar="|".join(get_args(Sharing)),
        help="Who may see the result; whoever may see the product's statement unless told.",
    ),
]


def shared(told: str | None) -> Sharing | None:
    """Return what `--sharing` says; raises UnusableError."""
    for each in get_args(Sharing):
        if told == each:
            found: Sharing = each
            return found
    if told is None:
        return None
    raise UnusableError(f"--sharing {told}: one of {', '.join(get_args(Sharing))}")
