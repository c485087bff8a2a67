"""`bcca request`: asking partners for data, and what came of it."""

from typing import Annotated

import typer

from bcca_node.cli import answers, mail
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.partner_names import PartnerArgument, called, end_of
from bcca_node.cli.screen import listed, put_json, say, show_table, tell
from bcca_node.cli.shorthand import SendByDefault
from bcca_node.cli.wanted import PURPOSE, DueOption, PurposeOption, read_period, require_urn
from bcca_node.ledger.node import Node
from bcca_node.pact import inquiry
from bcca_node.partners import requests, views
from bcca_node.partners.event import RequestKind, Wanted
from bcca_node.partners.requests import Remark
from bcca_node.partners.views import View
from bcca_node.storage import requests as stored
from bcca_node.storage.news import News
from bcca_node.storage.requests import Request, State
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

ID_DIGITS = 8  # of an id, where people read it: among ten thousand requests still the only one

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The request; its first digits do.")]
WordsArgument = Annotated[str, typer.Argument(metavar="TEXT", help="The words.")]
FetchOption = Annotated[
    bool, typer.Option("--fetch", help="First ask partners what they keep for this node.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Those that are done with, too.")]

DONE, WAITING = 0, 3
_OVER = (State.WITHDRAWN, State.FULFILLED)


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Ask partners for data.", cls=SendByDefault)
    group.command(
        "send", epilog="Example: bcca request cathode.example/bcca --part NMC-622 --period 2025"
    )(send)
    group.command("list", epilog="Example: bcca request list --data node")(list_requests)
    group.command("show", epilog="Example: bcca request show 3f9a --data node")(show)
    group.command("read", epilog="Example: bcca request read 3f9a --data node")(read)
    group.command("comment", epilog="Example: bcca request comment 3f9a 'the site in Kotka'")(
        comment
    )
    group.command("remind", epilog="Example: bcca request remind 3f9a --data node")(remind)
    group.command("withdraw", epilog="Example: bcca request withdraw 3f9a --data node")(withdraw)
    app.add_typer(group, name="request")


def send(
    partner: PartnerArgument,
    data: DataOption,
    when: Annotated[
        str,
        typer.Option("--period", metavar="YEAR", help="A year, or 2025-04-01/2026-04-01."),
    ],
    part: Annotated[str | None, typer.Option(help="Your part number of what you buy.")] = None,
    product: Annotated[
        str | None, typer.Option(metavar="URN", help="The supplier's product, if you know it.")
    ] = None,
    purpose: PurposeOption = PURPOSE,
    due: DueOption = None,
    as_json: JsonOption = False,
) -> int:
    """Ask a partner for the footprint of a part; `send` need not be written.

    The partner is reminded a week and a day before it is due. A month after it was due, a request
    that nobody has answered expires. Exit status 3: it is kept, and not delivered yet.
    """
    if part is None and product is None:
        raise UnusableError("say what: --part with your number, --product with its URN, or both")
    if product is not None:
        require_urn(product)
    wanted = Wanted(
        period=read_period(when),
        purpose=purpose,
        part=part,
        product=product,
        due=None if due is None else end_of(due, "--due"),
    )
    with mail.writing(data) as node:
        begun = mail.last(node)
        asked = requests.ask(node, called(node, partner).origin, wanted)
        trouble = mail.send(node, {asked.partner}, begun)
        shown = _view(node, asked)
    return _answer(shown, f"asked {shown.name} for {what(shown)}", trouble, as_json=as_json)


def list_requests(
    data: DataOption,
    partner: Annotated[str | None, typer.Option(metavar="ORIGIN", help="Of one partner.")] = None,
    everything: AllOption = False,
    fetch: FetchOption = False,
    as_json: JsonOption = False,
) -> None:
    """List what this node has asked for, and where each request stands."""
    tell(*(mail.fetch(data) if fetch else ()))
    with open_node(data) as node, node.database.read() as session:
        origin = None if partner is None else called(node, partner).origin
        found = stored.chosen(session, incoming=False, partner=origin)
        views_ = [
            views.view(node, session, each)
            for each in found
            if everything or each.state not in (State.WITHDRAWN, State.EXPIRED)
        ]
    show_list(views_, as_json=as_json)


def show(request: IdArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Show a request and all that was said about it."""
    with open_node(data) as node, node.database.read() as session:
        found = requests.called(session, request, incoming=False)
        shown = views.view(node, session, found, is_whole=True)
    show_whole(shown, as_json=as_json)


def read(request: IdArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Fetch the statement that answers a request, verify it, and show what it says.

    It is kept, and what it feeds can be added up.
    """
    answers.show(data, request, as_json=as_json)


def comment(
    request: IdArgument, words: WordsArgument, data: DataOption, as_json: JsonOption = False
) -> int:
    """Say something; if the supplier has asked something, this answers it."""
    return done(
        data, request, Remark(kind="comment", comment=words), incoming=False, as_json=as_json
    )


def remind(request: IdArgument, data: DataOption, as_json: JsonOption = False) -> int:
    """Remind the supplier, at most once a day."""
    return done(data, request, Remark(kind="reminder"), incoming=False, as_json=as_json)


def withdraw(request: IdArgument, data: DataOption, as_json: JsonOption = False) -> int:
    """No longer ask; an answer that is on its way arrives all the same."""
    return done(data, request, Remark(kind="withdrawn"), incoming=False, as_json=as_json)


def show_list(shown: list[View], *, as_json: bool) -> None:
    """Print requests, one a line."""
    if as_json:
        put_json([views.as_json(each) for each in shown])
        return
    rows = [
        (
            each.request.id[:ID_DIGITS],
            state_of(each),
            each.name,
            each.request.part or "-",
            listed(each.products) or "-",
            _years(each.request),
            day(each.request.due) or "-",
            each.request.purpose,
        )
        for each in shown
    ]
    columns = ("id", "state", "partner", "their part", "product", "period", "due", "purpose")
    if all(not each.request.incoming for each in shown):
        columns = ("id", "state", "partner", "our part", "product", "period", "due", "purpose")
    show_table(columns, rows)


def show_whole(shown: View, *, as_json: bool) -> None:
    """Print a request and what was said about it."""
    if as_json:
        put_json(views.as_json(shown, is_whole=True))
        return
    request = shown.request
    whose = "their part number" if request.incoming else "our part number"
    pairs = [
        ("request", request.id),
        ("from" if request.incoming else "to", f"{shown.name} ({request.partner})"),
        (whose, request.part),
        ("product", listed(shown.products)),
        ("period", _period(request)),
        ("purpose", request.purpose),
        ("due", request.due),
        ("state", state_of(shown)),
        ("reason", request.reason),
        ("answer", request.commitment),
        ("since", "" if shown.since is None else _since(shown.since)),
    ]
    show_table(("", ""), [(name, text) for name, text in pairs if text])
    for each in shown.said:
        words = each.text or each.reason or each.commitment
        say(f"{period.text_at(each.at)}  {each.by}  {each.kind}{f': {words}' if words else ''}")


def done(data: DataOption, name: str, remark: Remark, *, incoming: bool, as_json: bool) -> int:
    """Say something about a request, send it, and print where the request then stands."""
    if remark.product is not None:
        require_urn(remark.product)
    with mail.writing(data) as node:
        with node.database.read() as session:
            found = requests.called(session, name, incoming=incoming)
        _require_product(node, found, remark)
        begun = mail.last(node)
        settled = requests.act(node, found, remark)
        if incoming and remark.kind == "accepted":
            requests.fulfil(node)  # it may be published already
        trouble = mail.send(node, {settled.partner}, begun)
        with node.database.read() as session:
            now = stored.get(session, settled.partner, settled.id) or settled
        shown = _view(node, now)
    return _answer(
        shown, f"{_SAID[remark.kind]} {settled.id[:ID_DIGITS]}", trouble, as_json=as_json
    )


def state_of(shown: View) -> str:
    """Return the state of a request in words, and what became of its answer since."""
    if shown.since is not None:
        return f"{shown.request.state}, {shown.since.kind} since"
    return f"{shown.request.state}, overdue" if shown.is_overdue else str(shown.request.state)


def what(shown: View) -> str:
    """Return what a request is for, as its partner knows it."""
    request = shown.request
    return f"{request.part or request.product}, {_years(request)}"


def day(time: str) -> str:
    """Return the day of a time."""
    return time[:10]


_SAID: dict[RequestKind, str] = {
    "accepted": "accepted",
    "declined": "declined",
    "question": "asked back about",
    "comment": "commented on",
    "reminder": "reminded of",
    "withdrawn": "withdrew",
}


def _answer(shown: View, sentence: str, trouble: list[str], *, as_json: bool) -> int:
    if as_json:
        put_json({**views.as_json(shown), "delivered": not trouble})
    else:
        say(f"{sentence}: request {shown.request.id[:ID_DIGITS]} is {shown.request.state}")
    tell(*trouble)
    return WAITING if trouble else DONE


def _require_product(node: Node, found: Request, remark: Remark) -> None:
    """Return unless a request is accepted that nothing could answer; raises UnusableError."""
    if remark.kind != "accepted" or remark.product or found.state in _OVER:
        return
    with node.database.read() as session:
        inquiry.require_ours(session, found)
    if not _view(node, found).products:
        raise UnusableError(
            f"request {found.id[:ID_DIGITS]}: no product of this node is known for part "
            f"{showable(found.part)!r}, so nothing could answer it: add --product with its URN"
        )


def _since(told: News) -> str:
    by = f", now {told.successor}" if told.successor else ""
    return f"{told.kind} {period.text_at(told.at)}{by}: told by {told.partner}"


def _view(node: Node, request: Request) -> View:
    with node.database.read() as session:
        return views.view(node, session, request)


def _period(request: Request) -> str:
    """Return a whole period, empty where none was asked for."""
    is_given = bool(request.period_start)
    return f"{request.period_start} to {request.period_end}" if is_given else ""


def _years(request: Request) -> str:
    """Return a period as people write it: a year where it is one; PACT asks for none."""
    if not request.period_start:
        return "any"
    start, end = day(request.period_start), day(request.period_end)
    is_year = start.endswith("-01-01") and end == f"{int(start[:4]) + 1}-01-01"
    return start[:4] if is_year else f"{start}/{end}"
