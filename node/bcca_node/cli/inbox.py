"""`bcca inbox`: what partners ask of this node, and what they have told it."""

from dataclasses import replace
from typing import Annotated, get_args

import typer

from bcca_node.cli import mail
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.requests import (
    AllOption,
    FetchOption,
    IdArgument,
    WordsArgument,
    done,
    show_list,
    show_whole,
)
from bcca_node.cli.screen import put_json, say, tell
from bcca_node.cli.shorthand import ListByDefault
from bcca_node.pact import inquiry
from bcca_node.partners import requests, views
from bcca_node.partners.event import Reason
from bcca_node.partners.requests import Remark
from bcca_node.storage import news
from bcca_node.storage import requests as stored
from bcca_node.storage.news import News
from bcca_node.storage.requests import OPEN, State
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

REASONS = get_args(Reason)


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="What partners ask of this node and tell it.", cls=ListByDefault)
    group.command("list", epilog="Example: bcca inbox --data node")(list_inbox)
    group.command("show", epilog="Example: bcca inbox show 3f9a --data node")(show)
    group.command(
        "accept", epilog="Example: bcca inbox accept 3f9a --product urn:bcca:part:mill:al-15"
    )(accept)
    group.command("decline", epilog="Example: bcca inbox decline 3f9a --reason noData")(decline)
    group.command("ask", epilog="Example: bcca inbox ask 3f9a 'from which site?'")(ask)
    group.command("comment", epilog="Example: bcca inbox comment 3f9a 'in April'")(comment)
    app.add_typer(group, name="inbox")


def list_inbox(
    data: DataOption,
    everything: AllOption = False,
    fetch: FetchOption = False,
    seen: Annotated[
        bool, typer.Option("--seen", help="And list these news no more, but with --all.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the requests of partners that wait for this node, and unread news of theirs.

    Publishing a product answers the requests for it that you accepted, and those that came with an
    invitation that you accepted; what a partner may see anyway answers by itself.
    """
    tell(*(mail.fetch(data) if fetch else ()))
    waiting = (*OPEN, State.EXPIRED)
    with open_node(data) as node, node.database.read() as session:
        found = stored.chosen(session, incoming=True, states=() if everything else waiting)
        shown = [views.view(node, session, each) for each in found]
        told = news.every(session) if everything else news.unread(session)
    if seen:
        _read(data, told)
    if as_json:
        asked = [views.as_json(each) for each in shown]
        put_json({"requests": asked, "news": [_news(each) for each in told]})
        return
    show_list(shown, as_json=False)
    for each in told:
        by = f", now {each.successor}" if each.successor else ""
        at = period.text_at(each.at)
        say(f"{at}  {each.partner} {each.kind} {each.commitment} of {each.product}{by}")
    if told and not seen and not everything:
        tell("`bcca inbox --seen` lists these news no more.")


def show(request: IdArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Show a request and all that was said about it."""
    with open_node(data) as node, node.database.read() as session:
        found = requests.called(session, request, incoming=True)
        shown = views.view(node, session, found, is_whole=True)
        words = inquiry.in_words(session, found)
    if words and not as_json:  # what a PACT partner sent, where others write a comment
        said = (replace(e, text=words) if e.id == found.id else e for e in shown.said)
        shown = replace(shown, said=tuple(said))
    show_whole(shown, as_json=as_json)


def accept(
    request: IdArgument,
    data: DataOption,
    product: Annotated[
        str | None, typer.Option(metavar="URN", help="Which of your products it is.")
    ] = None,
    words: Annotated[str | None, typer.Option("--comment", help="And what you say to it.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Accept a request: it is answered as soon as its product is published for its period.

    What is published already answers it at once. The partner may then see that one statement, and
    what corrects it; not other sites', nor a later period's.
    """
    remark = Remark(kind="accepted", comment=words, product=product)
    return done(data, request, remark, incoming=True, as_json=as_json)


def decline(
    request: IdArgument,
    data: DataOption,
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(REASONS)}.")],
    words: Annotated[str | None, typer.Option("--comment", help="And why.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Decline a request, for a reason; unless it came by PACT, it may still be accepted later."""
    chosen: Reason | None = next((each for each in REASONS if each == reason), None)
    if chosen is None:
        raise UnusableError(f"--reason {showable(reason[:40])}: there are {', '.join(REASONS)}")
    remark = Remark(kind="declined", comment=words, reason=chosen)
    return done(data, request, remark, incoming=True, as_json=as_json)


def ask(
    request: IdArgument, words: WordsArgument, data: DataOption, as_json: JsonOption = False
) -> int:
    """Ask the customer back; its comment then answers."""
    return done(
        data, request, Remark(kind="question", comment=words), incoming=True, as_json=as_json
    )


def comment(
    request: IdArgument, words: WordsArgument, data: DataOption, as_json: JsonOption = False
) -> int:
    """Say something; the request stays where it is."""
    return done(
        data, request, Remark(kind="comment", comment=words), incoming=True, as_json=as_json
    )


def _read(data: DataOption, told: list[News]) -> None:
    """Note that somebody has read the news."""
    if told:
        with open_node(data) as node, node.database.write() as session:
            news.mark(session, [each.id for each in told])


def _news(told: News) -> dict[str, object]:
    return {
        "at": period.text_at(told.at),
        "partner": told.partner,
        "kind": told.kind,
        "issuer": told.issuer,
        "commitment": told.commitment,
        "successor": told.successor or None,
        "product": told.product,
    }
