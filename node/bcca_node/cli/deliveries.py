"""`bcca partners deliveries`: what is on its way to partners, and what was given up."""

import typer

from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.underway import AgainOption, UnderWay, show, unknown
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
from bcca_protocol.errors import RefusedError


def add(group: typer.Typer) -> None:
    """Add the command."""
    group.command("deliveries", epilog="Example: bcca partners deliveries --again 12 --data node")(
        deliveries
    )


def deliveries(data: DataOption, again: AgainOption = None, as_json: JsonOption = False) -> int:
    """List what waits to be delivered to partners, and what was given up after 72 hours.

    `bcca serve` delivers. The exit status is 3 if something was given up.
    """
    with open_node(data) as node:
        if again is not None:
            with node.database.write() as session:
                begun = outbox.again(session, again, node.clock())
            if begun is None:
                raise unknown(again, "partners deliveries")
        with node.database.read() as session:
            found = [*outbox.dead(session), *outbox.waiting(session)]
    return show([_under_way(each) for each in found], as_json=as_json)


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


def _under_way(each: Delivery) -> UnderWay:
    return UnderWay(
        number=each.number,
        state=each.state,
        partner=each.partner,
        event=each.event,
        what=what(each.body),
        since=each.begun,
        tries=each.attempts,
        next_at=each.next_at,
        told=each.told,
    )
