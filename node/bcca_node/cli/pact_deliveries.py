"""`bcca pact deliveries`: events that are on their way to PACT partners, or were given up."""

import typer

from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.underway import AgainOption, UnderWay, show, unknown
from bcca_node.storage import pactsending
from bcca_node.storage.pactsending import Sending, Sent


def add(group: typer.Typer) -> None:
    """Add the command."""
    group.command("deliveries", epilog="Example: bcca pact deliveries --again 12 --data node")(
        deliveries
    )


def deliveries(data: DataOption, again: AgainOption = None, as_json: JsonOption = False) -> int:
    """List what waits to be delivered to PACT partners, and what was given up.

    That is what nobody took for 72 hours, and what was refused again and again for an hour.

    `bcca serve` delivers. The exit status is 3 if something was given up.
    """
    with open_node(data) as node:
        if again is not None:
            with node.database.write() as session:
                begun = pactsending.again(session, again, node.clock())
            if begun is None:
                raise unknown(again, "pact deliveries")
        with node.database.read() as session:
            found = pactsending.sendings(session, Sent.DEAD, Sent.WAITING)
    return show([_under_way(each) for each in found], as_json=as_json)


def _under_way(each: Sending) -> UnderWay:
    return UnderWay(
        number=each.number,
        state=each.state,
        partner=each.partner,
        event=each.event,
        what=each.what,
        since=each.created,
        tries=each.attempts,
        next_at=each.next_at,
        told=each.told,
    )
