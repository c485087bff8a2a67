"""`bcca partners deliveries`: what is on its way to partners, and what was given up."""

from typing import Annotated

import typer

from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.screen import put_json, say, show_table
from bcca_node.partners import event as events
from bcca_node.partners import outbox
from bcca_node.partners.event import (
    Accepted,
    AuditorEvent,
    Event,
    PartsEvent,
    RequestEvent,
    StatementEvent,
)
from bcca_node.storage.outbox import Delivery
from bcca_protocol import period
from bcca_protocol.errors import RefusedError, UnusableError

WELL, DEAD = 0, 3


def add(group: typer.Typer) -> None:
    """Add the command."""
    group.command("deliveries", epilog="Example: bcca partners deliveries --again 12 --data node")(
        deliveries
    )


def deliveries(
    data: DataOption,
    again: Annotated[
        int | None,
        typer.Option("--again", metavar="NUMBER", help="Begin anew with this one."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List what waits to be delivered to partners, and what was given up after 72 hours.

    `bcca serve` delivers. The exit status is 3 if something was given up.
    """
    with open_node(data) as node:
        if again is not None:
            with node.database.write() as session:
                begun = outbox.again(session, again, node.clock())
            if begun is None:
                raise UnusableError(
                    f"delivery {again}: nothing of that number waits or was given up: "
                    "`bcca partners deliveries` lists them"
                )
        with node.database.read() as session:
            found = [*outbox.dead(session), *outbox.waiting(session)]
    dead = sum(each.state == "dead" for each in found)
    if as_json:
        put_json({"deliveries": [_as_json(each) for each in found]})
    elif not found:
        say("Everything was delivered.")
    else:
        show_table(
            ("number", "state", "partner", "what", "since", "tries", "last"), map(_row, found)
        )
    return DEAD if dead else WELL


def what(body: bytes) -> str:
    """Return in a few words what an event says."""
    try:
        event: Event = events.decode(body)
    except RefusedError:
        return "of another version"
    match event:
        case Accepted():
            return "invitation accepted"
        case RequestEvent():
            return f"request {event.request[:8]}: {event.kind}"
        case PartsEvent():
            count = len(event.pairs)
            return f"{count} part number{'' if count == 1 else 's'} {event.kind}"
        case StatementEvent():
            return f"statement {event.commitment[:8]} of {event.product} {event.kind}"
        case AuditorEvent():
            return f"auditor {event.auditor} {event.kind}"


def _row(each: Delivery) -> tuple[str, ...]:
    since = period.text_at(each.begun)
    said = what(each.body), since, str(each.attempts), each.told
    return str(each.number), each.state, each.partner, *said


def _as_json(each: Delivery) -> dict[str, object]:
    return {
        "number": each.number,
        "state": each.state,
        "partner": each.partner,
        "event": each.event,
        "what": what(each.body),
        "since": period.text_at(each.begun),
        "tries": each.attempts,
        "nextAt": period.text_at(each.next_at) if each.state == "waiting" else None,
        "lastError": each.told or None,
    }
