"""`bcca pact`: footprints of PACT, read from partners and shown to them."""

import asyncio
from typing import Annotated

import typer

from bcca_node.cli import pact_deliveries, pact_foreign, pact_own
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.pact_foreign import Successors, as_rows, in_json
from bcca_node.cli.partner_names import pact_called
from bcca_node.cli.screen import put_json, say, show_table, tell
from bcca_node.cli.shorthand import ListByDefault
from bcca_node.ledger.node import Node
from bcca_node.network.desk import is_open
from bcca_node.pact import asking, latest, post
from bcca_node.pact import pull as pulling
from bcca_node.pact.pull import Pulled
from bcca_node.storage import pactevents
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.pactevents import Wanted
from bcca_protocol import period

DONE, INCOMPLETE = 0, 3

PartnerArgument = Annotated[
    str, typer.Argument(metavar="PARTNER", help="A PACT partner, such as mill or pact:mill.")
]
ProductOption = Annotated[
    list[str] | None,
    typer.Option("--product", metavar="URN", help="A product id; may be given several times."),
]
_ASK = "Example: bcca pact ask mill --product urn:gtin:4712345060507 --data node"
_PULL = "Example: bcca pact pull mill --status Active --data node"


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="PACT: footprints from and for other systems.", cls=ListByDefault)
    group.command("pull", epilog=_PULL)(pull)
    group.command("ask", epilog=_ASK)(ask)
    group.command("asked", epilog="Example: bcca pact asked --data node")(asked)
    pact_own.add(group)
    pact_foreign.add(group)
    pact_deliveries.add(group)
    app.add_typer(group, name="pact")


def pull(
    partner: PartnerArgument,
    data: DataOption,
    product: ProductOption = None,
    company: Annotated[
        list[str] | None, typer.Option("--company", metavar="URN", help="A company id.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Active or Deprecated; else both.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Read what a PACT partner's host shows this node, and keep it as it came.

    It is unsigned data of a third party, counted apart; what is wrong with it is told by field.
    What carries a signed statement is verified, and counts as signed. Exit status 3: not all of it
    could be read or kept.
    """
    query = [("productId", each) for each in product or ()]
    query += [("companyId", each) for each in company or ()]
    query += [] if status is None else [("status", status)]
    with open_node(data, keys=True) as node:
        found = pact_called(node, partner)
        came = asyncio.run(pulling.pull(node, found, query))
        with node.database.read() as session:
            after = latest.successors(session, came.footprints)
    if as_json:
        put_json(_pulled_json(found, came, after))
    else:
        _show_pulled(found, came, after)
    return INCOMPLETE if came.stopped or came.refused else DONE


def ask(
    partner: PartnerArgument,
    data: DataOption,
    product: ProductOption = None,
    comment: Annotated[str, typer.Option(help="What you say to it.")] = "",
    as_json: JsonOption = False,
) -> int:
    """Ask a PACT partner for footprints of products; it answers by an event, once.

    The answer comes while `bcca serve` runs: `bcca pact asked` shows it. Exit status 3: the request
    is kept, and not delivered yet.
    """
    with open_node(data, keys=not is_open(data)) as node:
        found = pact_called(node, partner)
        wanted = asking.ask(node, found, product or (), comment)
        trouble = _sent(node, found)
    if as_json:
        put_json(_wanted_json(wanted) | {"undelivered": trouble or None})
    else:
        say(f"asked {found.origin} for {len(product or ())} products: {wanted.event}")
        tell(*([trouble] if trouble else []))
    return INCOMPLETE if trouble else DONE


def asked(data: DataOption, as_json: JsonOption = False) -> None:
    """List what this node has asked of PACT partners, and what came of it."""
    with open_node(data) as node, node.database.read() as session:
        found = pactevents.all_wanted(session)
    if as_json:
        put_json({"asked": [_wanted_json(each) for each in found]})
        return
    if not found:
        say("Nothing was asked yet: `bcca pact ask`.")
        return
    rows = [
        (period.text_at(each.at), each.partner, each.state, _outcome(each), each.event)
        for each in found
    ]
    show_table(("asked", "of", "state", "answer", "event"), rows)


def _sent(node: Node, partner: PactPartner) -> str:
    """Send what waits, unless a serving node does; return what went wrong with this partner."""
    if node.keyring is None:
        return ""
    done = asyncio.run(post.deliver_due(node))
    return dict(done.troubles).get(partner.origin, "")


def _show_pulled(partner: PactPartner, came: Pulled, after: Successors) -> None:
    fatal = [each for each in came.footprints if each.fatal and each.accepted is None]
    signed = sum(1 for each in came.footprints if each.trust == "signed")
    if came.footprints:
        show_table(pact_foreign.COLUMNS, as_rows(came.footprints, after))
    say(
        f"{partner.origin}: {len(came.footprints)} footprints, {came.new} of them new, {signed} "
        f"signed, {len(fatal)} not usable as they are (`bcca pact show ID` says why)"
    )
    more = [f"and {came.more} more"] if came.more else []
    tell(*(f"not kept: {each}" for each in came.refused), *more)
    if came.stopped:
        tell(f"the list was not read to its end: {came.stopped}")


def _pulled_json(partner: PactPartner, came: Pulled, after: Successors) -> dict[str, object]:
    return {
        "partner": partner.origin,
        "new": came.new,
        "footprints": in_json(came.footprints, after),
        "refused": [*came.refused],
        "moreRefused": came.more,
        "stopped": came.stopped or None,
    }


def _outcome(wanted: Wanted) -> str:
    if wanted.code:
        return f"{wanted.code}: {wanted.message}"
    return ", ".join(wanted.footprints) + (f" ({wanted.message})" if wanted.message else "")


def _wanted_json(wanted: Wanted) -> dict[str, object]:
    return {
        "event": wanted.event,
        "partner": wanted.partner,
        "at": period.text_at(wanted.at),
        "state": wanted.state,
        "code": wanted.code or None,
        "message": wanted.message or None,
        "footprints": [*wanted.footprints],
    }
