"""Events that are on their way to somebody, or were given up: one table for every kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from bcca_node.cli.screen import put_json, say, show_table
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

WELL, DEAD = 0, 3
COLUMNS = ("number", "state", "partner", "what", "since", "tries", "last")

AgainOption = Annotated[
    int | None, typer.Option("--again", metavar="NUMBER", help="Begin anew with this one.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """An event for a partner, tried `since` a POSIX second; `told` is what went wrong last."""

    number: int
    state: str
    partner: str
    event: str
    what: str
    since: int
    tries: int
    next_at: int
    told: str


def show(found: Sequence[UnderWay], *, as_json: bool) -> int:
    """Show what is under way, and return the exit status: 3 if something was given up."""
    if as_json:
        put_json({"deliveries": [_as_json(each) for each in found]})
    elif not found:
        say("Everything was delivered.")
    else:
        show_table(COLUMNS, map(_row, found))
    return DEAD if any(each.state == "dead" for each in found) else WELL


def unknown(number: int, command: str) -> UnusableError:
    """Return the refusal to begin anew with what neither waits nor was given up."""
    return UnusableError(
        f"delivery {number}: nothing of that number waits or was given up: "
        f"`bcca {command}` lists them"
    )


def _row(each: UnderWay) -> tuple[str, ...]:
    since = period.text_at(each.since)
    said = each.what, since, str(each.tries), showable(each.told)
    return str(each.number), each.state, each.partner, *said


def _as_json(each: UnderWay) -> dict[str, object]:
    return {
        "number": each.number,
        "state": each.state,
        "partner": each.partner,
        "event": each.event,
        "what": each.what,
        "since": period.text_at(each.since),
        "tries": each.tries,
        "nextAt": period.text_at(each.next_at) if each.state == "waiting" else None,
        "lastError": each.told or None,
    }
