"""`bcca status`: what became of this node's statements, and saying so of one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli import witnesses
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.screen import put_json, say, show_table, tell
from bcca_node.ledger import status
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published, State, publish
from bcca_node.ledger.status import OwnStanding, Revoked
from bcca_node.ledger.witnessing import Witnessed
from bcca_node.storage.statements import Draft
from bcca_node.supplier import drafts
from bcca_node.supplier.case_drafts import last_full_year
from bcca_node.supplier.imports import read_drafts
from bcca_protocol.entry import Status
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Supplier
from bcca_protocol.statement import PartialFootprint

DONE, PENDING = 0, 3

CommitmentArgument = Annotated[
    str, typer.Argument(metavar="COMMITMENT", help="Of the statement, 64 hex digits.")
]
NewArgument = Annotated[
    str, typer.Argument(metavar="FILE|DRAFT", help="A file with one draft, or an imported one.")
]

_REVOKE = "Example: bcca status revoke COMMITMENT --data node"
_CORRECT = "Example: bcca status correct COMMITMENT again.json --data node"
_SUPERSEDE = "Example: bcca status supersede COMMITMENT next-year.json --data node"
_SHOW = "Example: bcca status show --data node"


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="What became of this node's statements.")
    group.callback()(_status)
    group.command("show", epilog=_SHOW)(show_status)
    group.command("revoke", epilog=_REVOKE)(revoke)
    group.command("correct", epilog=_CORRECT)(correct)
    group.command("supersede", epilog=_SUPERSEDE)(supersede)
    app.add_typer(group, name="status")


def show_status(
    data: DataOption,
    commitment: Annotated[
        str | None, typer.Argument(metavar="[COMMITMENT]", help="Of one statement; all there are.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each statement of this node is worth now; no passphrase is needed."""
    with open_node(data) as node:
        found = status.standings(node, commitment)
    if as_json:
        put_json([_standing(each) for each in found])
        return
    columns = ("status", "state", "entry", "product", "from", "to", "commitment")
    show_table(columns, [_row(each) for each in found])
    named = [each for each in found if each.successor is not None]
    say(*(f"{each.own.commitment} {each.words} by {each.successor}" for each in named))
    say(*(f"{each.own.commitment} void: {each.void}" for each in found if each.void is not None))


def revoke(data: DataOption, commitment: CommitmentArgument, as_json: JsonOption = False) -> int:
    """Take a statement back, for good.

    Whoever has added it up learns that with its next run. Nothing takes its place: to state the
    same period anew there is `bcca status correct`.
    """
    with open_node(data, keys=True) as node:
        asked = witnesses.named_by(node)
        status.standings(node, commitment)  # refused before anybody is asked
        witnesses.clear(node, asked)
        done = status.revoke(node, commitment)
        witnessed = witnesses.cosigned(node, asked)
    return _tell(node, Status.REVOKED, commitment, done, witnessed, as_json)


def correct(
    data: DataOption,
    commitment: CommitmentArgument,
    told: NewArgument,
    as_json: JsonOption = False,
) -> int:
    """Restate a period: the new statement takes the place of the old one, which was wrong."""
    return _replace(data, commitment, told, Status.CORRECTED, as_json)


def supersede(
    data: DataOption,
    commitment: CommitmentArgument,
    told: NewArgument,
    as_json: JsonOption = False,
) -> int:
    """State the next period: the old statement stays right for its own."""
    return _replace(data, commitment, told, Status.SUPERSEDED, as_json)


def _replace(data: Path, commitment: str, told: str, what: Status, as_json: bool) -> int:
    with open_node(data, keys=True) as node:
        asked = witnesses.named_by(node)
        status.standings(node, commitment)
        predicate, draft = _new(node, told)
        predicate = status.replacing(predicate, commitment, what)
        witnesses.clear(node, asked)
        (done,) = publish(node, [predicate])
        if draft is not None:
            drafts.forget(node, [draft])
        witnessed = witnesses.cosigned(node, asked)
    return _tell(node, what, commitment, done, witnessed, as_json)


def _new(node: Node, told: str) -> tuple[PartialFootprint, Draft | None]:
    """Return what a file says, or a draft; raises UnusableError unless it is one footprint."""
    path = Path(told)
    if path.is_dir():
        raise UnusableError(f"{path} is a folder: name a file with one draft, or a draft")
    if not path.is_file():
        (draft,) = drafts.choose(node, [told])
        return drafts.read(draft), draft
    found = read_drafts(
        path,
        itself=Supplier(origin=node.origin, key=node.log_key.encode()),
        name=node.settings.name,
        period=last_full_year(datetime.now(UTC)),
    )
    if len(found) != 1:
        raise UnusableError(f"{path}: {len(found)} drafts, where one takes the statement's place")
    return found[0], None


def _tell(
    node: Node,
    what: Status,
    commitment: str,
    done: Published | Revoked,
    witnessed: Witnessed | None,
    as_json: bool,
) -> int:
    published = witnessed is not None and witnessed.published
    state = State.PUBLISHED if published else State.PENDING
    successor = None if isinstance(done, Revoked) else done.commitment
    if as_json:
        put_json(
            {
                "state": state.value,
                "status": what.value,
                "commitment": commitment,
                "product": done.product,
                "index": done.index,
                "successor": successor,
                "witnessed": None if witnessed is None else str(witnessed),
            }
        )
    else:
        by = "" if successor is None else f" by {successor}"
        say(f"{state.value} {what.value} {commitment} {done.product}{by}")
        policy = node.settings.data / "policy.txt"
        tell(
            f"pending: {policy} is not there, so nobody was asked to cosign; write it and run "
            "`bcca publish`"
            if witnessed is None
            else f"{witnessed}{'' if published else '; run `bcca publish` when they are there'}"
        )
    return DONE if published else PENDING


def _standing(each: OwnStanding) -> dict[str, object]:
    return {
        "commitment": each.own.commitment,
        "product": each.own.product,
        "start": each.own.period_start,
        "end": each.own.period_end,
        "index": each.own.index,
        "status": each.standing.value,
        "state": each.state.value,
        "statusIndex": each.status_index,
        "successor": each.successor,
        "void": each.void,
    }


def _row(each: OwnStanding) -> tuple[str, ...]:
    own = each.own
    return (
        each.standing.words if each.void is None else "void",
        each.state.value,
        str(own.index),
        own.product,
        own.period_start,
        own.period_end,
        own.commitment,
    )


def _status() -> None:
    """Keep what follows a group of commands."""
