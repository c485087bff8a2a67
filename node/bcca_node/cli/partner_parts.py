"""`bcca partners parts`: a partner's part numbers beside ours, in and out as CSV."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli import mail
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.partner_names import PartnerArgument, known
from bcca_node.cli.screen import listed, put_json, say, show_table, tell
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.node import Node
from bcca_node.partners import parts, sheet
from bcca_node.partners.sheet import MAX_SHEET_BYTES
from bcca_node.storage import partners
from bcca_node.storage.pactclients import Named, is_pact
from bcca_node.storage.partners import Part, PartState
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

DONE, WAITING = 0, 3
EVERY = "*"  # what --confirm and --refuse are about where nothing is named

_EXAMPLE = "Example: bcca partners parts pack.example/bcca --import parts.csv --propose"
_STATES: Mapping[PartState, str] = {
    PartState.NOTED: "noted here: --propose tells the partner (--confirm for one of PACT)",
    PartState.PROPOSED: "proposed: waits for the partner",
    PartState.ASKED: "asked by the partner: --confirm or --refuse",
    PartState.CONFIRMED: "confirmed by both",
    PartState.REFUSED: "refused",
}


def add(group: typer.Typer) -> None:
    """Add the command to those of partners."""
    group.command("parts", epilog=_EXAMPLE)(list_parts)


def list_parts(
    partner: PartnerArgument,
    data: DataOption,
    source: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Take pairs from a CSV: theirs, ours."),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write all pairs as CSV; -: out."),
    ] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Tell the partner of pairs it was not told yet.")
    ] = False,
    confirm: Annotated[
        str | None,
        typer.Option(metavar="THEIRS", help="Confirm what the partner asks; '*' is all of it."),
    ] = None,
    refuse: Annotated[
        str | None, typer.Option(metavar="THEIRS", help="Refuse it; '*' is all that is asked.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List a partner's part numbers beside ours, or change them.

    A pair counts once both sides have said so: then a request for their number is one for our
    product. Columns of a CSV are `theirs` and `ours`, one of which is the product's URN.
    """
    tells = propose or confirm is not None or refuse is not None
    with mail.writing(data) if tells else open_node(data) as node:
        found = known(node, partner)
        begun = mail.last(node)
        done = [] if source is None else _imported(node, found, source)
        done += _answered(node, found, propose=propose, confirm=confirm, refuse=refuse)
        trouble = mail.send(node, {found.origin}, begun) if tells else []
        with node.database.read() as session:
            pairs = partners.parts(session, found.origin)
    if target is not None:
        _export(target, pairs)
    _show(pairs, done, is_shown=not done and target is None, as_json=as_json)
    tell(*trouble)
    return WAITING if trouble else DONE


def _imported(node: Node, partner: Named, source: Path) -> list[str]:
    """Keep the pairs of a file, and return in sentences how many; raises UnusableError."""
    found = sheet.read(_content(source), str(source))
    new = parts.note(node, partner, found.pairs)
    are = "pair is" if len(found.pairs) == 1 else "pairs are"
    done = [f"{new} of {len(found.pairs)} {are} new"]
    if found.is_gbk:
        done.append("read as GBK: if a character is wrong, save it as CSV UTF-8 and import again")
    return done


def _answered(
    node: Node, partner: Named, *, propose: bool, confirm: str | None, refuse: str | None
) -> list[str]:
    """Say what was asked for to the partner, and return it in sentences; raises UnusableError."""
    done = []
    if refuse is not None:
        _require_known(node, partner, refuse)
        done.append(f"refused: {parts.refuse(node, partner, _named(refuse))}")
    if confirm is not None:
        _require_asked(node, partner, confirm)
        done.append(f"confirmed: {parts.confirm(node, partner, _named(confirm))}")
    if propose:
        done.append(f"proposed: {parts.propose(node, partner)}")
    return done


def _require_known(node: Node, partner: Named, given: str) -> None:
    """Return if there is a pair of that part number of a partner's; raises UnusableError."""
    with node.database.read() as session:
        known = {each.theirs for each in partners.parts(session, partner.origin)}
    if given not in {EVERY, *known}:
        raise UnusableError(
            f"--refuse {showable(given[:80])!r}: no pair here has that part number of "
            f"{partner.origin}: see `bcca partners parts {partner.origin}`"
        )


def _require_asked(node: Node, partner: Named, given: str) -> None:
    """Return if a partner asks for that part number; raises UnusableError with those it asks.

    One that speaks PACT asks for none: what is noted is confirmed.
    """
    waiting = {PartState.ASKED}
    if is_pact(partner.origin):
        waiting.add(PartState.NOTED)
    with node.database.read() as session:
        pairs = partners.parts(session, partner.origin)
    asked = [each.theirs for each in pairs if each.state in waiting]
    if given not in {EVERY, *asked}:
        raise UnusableError(
            f"--confirm {showable(given[:80])!r}: {partner.origin} asks for "
            f"{listed(asked) or 'nothing that is not answered'}"
        )


def _named(given: str) -> str | None:
    return None if given == EVERY else given


def _content(source: Path) -> bytes:
    try:
        with source.open("rb") as file:
            return file.read(MAX_SHEET_BYTES + 1)
    except OSError as error:
        raise UnusableError(f"{source}: cannot be read: {error.strerror}") from error


def _export(target: Path, pairs: list[Part]) -> None:
    content = sheet.write(pairs)
    if str(target) == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        write_whole(target, content)
        tell(f"{target}: {len(pairs)} pairs")


def _show(pairs: list[Part], done: list[str], *, is_shown: bool, as_json: bool) -> None:
    if as_json:
        put_json([{"theirs": e.theirs, "ours": e.ours, "state": e.state} for e in pairs])
        return
    say(*done)
    if not is_shown:
        return
    if pairs:
        rows = [(each.theirs, each.ours, _STATES[each.state]) for each in pairs]
        show_table(("theirs", "ours", "state"), rows)
    else:
        say("There are no part numbers yet: --import FILE takes them from a CSV.")
