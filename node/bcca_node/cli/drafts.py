"""`bcca import` and `bcca publish`: from a supplier's files to signed statements."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli import mail, witnesses
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.published import Outcome
from bcca_node.cli.requests import ID_DIGITS
from bcca_node.cli.screen import put_json, show_table, tell
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published
from bcca_node.network.desk import is_open
from bcca_node.partners import requests
from bcca_node.partners.requests import Remark
from bcca_node.sharing import recipients, static
from bcca_node.sharing.static import Placed
from bcca_node.storage import logs
from bcca_node.storage.requests import State
from bcca_node.storage.statements import Draft
from bcca_node.supplier import drafts
from bcca_node.supplier.case_drafts import last_full_year
from bcca_node.supplier.imports import read_drafts
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Interval, Supplier

DraftsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[DRAFT]...", help="Which; all there are.")
]
StaticOption = Annotated[
    Path | None,
    typer.Option("--static", metavar="DIR", help="Show it in a folder for any web server."),
]
ToOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PARTNER", help="Seal for this partner what it was granted."),
]
AnswerOption = Annotated[
    bool, typer.Option("--answer", help="Accept all new requests for what this publishes.")
]

_IMPORT = "Example: bcca import cases/nmc622_pack --data node --period 2025"
_PUBLISH = "Example: bcca publish --data node"


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("import", epilog=_IMPORT)(import_drafts)
    app.command("publish", epilog=_PUBLISH)(publish)


def import_drafts(
    path: Annotated[
        Path, typer.Argument(metavar="CASE_DIR|FILE.json", help="A case folder, or drafts.")
    ],
    data: DataOption,
    period: Annotated[
        int | None,
        typer.Option(
            metavar="YEAR", min=1900, max=2999, help="Of a case folder; the last full year."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read footprints as drafts, to be looked at and then published.

    What is wrong with them is told all at once, and nothing is kept. A draft of the same product
    and period as an earlier one takes its place.
    """
    if period is not None and path.is_file():
        raise UnusableError(f"--period is for case folders, {path} says its own: leave it out")
    with open_node(data) as node:
        read = read_drafts(
            path,
            itself=Supplier(origin=node.origin, key=node.log_key.encode()),
            name=node.settings.name,
            period=last_full_year(datetime.now(UTC)) if period is None else _year(period),
        )
        kept = drafts.keep(node, read)
    rows = [
        {
            "draft": draft.id,
            "name": each.product.name,
            "product": each.product.id,
            "start": each.period.start,
            "end": each.period.end,
        }
        for draft, each in zip(kept, read, strict=True)
    ]
    if as_json:
        put_json(rows)
        return
    show_table(("draft", "name", "product", "from", "to"), [tuple(row.values()) for row in rows])
    many, them = ("draft", "it") if len(kept) == 1 else ("drafts", "them")
    tell(f"{len(kept)} {many}: sign and publish {them} with `bcca publish`.")


def publish(
    data: DataOption,
    named: DraftsArgument = None,
    folder: StaticOption = None,
    to: ToOption = None,
    answer: AnswerOption = False,
    as_json: JsonOption = False,
) -> int:
    """Sign drafts, log them, and have witnesses cosign.

    What is entered is durable. It is pending until a quorum has cosigned, and then published; run
    it again, without drafts too, to ask for what is pending. While `bcca serve` runs, that process
    signs, and no passphrase is needed. With --static, a folder then shows all that is published:
    what is new is written, the rest is left alone; whoever asks finds it at the url of the
    settings, where some web server or object store shows the folder. With --to, what a partner was
    granted is there too, sealed so that it alone can read it; from then on every --static keeps
    that up to date, which takes the passphrase. It answers the requests that you accepted, and
    says who else asks for it; with --answer all those are accepted.
    """
    window = _Window(folder=folder, to=to or [])
    with open_node(data) as node:
        window.require(node)
        asked = witnesses.named_by(node)  # refused before all else
        chosen = drafts.choose(node, named or [])
        done = (
            drafts.publish_at_desk(node, chosen) if is_open(data) else _enter(node, chosen, asked)
        )
        witnessed = witnesses.cosigned(node, asked)
        names = [each.commitment for each in done]
        if answer:
            _accept(node, names)
        outcome = Outcome(
            entered=done,
            witnessed=witnessed,
            answered=[*mail.answered(node, names), *_asked_too(node, names)],
            folder=folder,
            placed=window.fill(node),
        )
    outcome.show(node, as_json=as_json)
    return outcome.status


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """The folder that shows what is published, if any, and for whom more is sealed there."""

    folder: Path | None
    to: Sequence[str]

    def require(self, node: Node) -> None:
        """Refuse before all else what cannot be shown or sealed; raises UnusableError."""
        if self.folder is not None:
            static.require_ours(node, self.folder)
        elif self.to:
            raise UnusableError(
                f"--to {self.to[0]}: files are sealed in a folder: name it with --static"
            )
        for origin in self.to:
            recipients.require(node, origin)

    def fill(self, node: Node) -> Placed | None:
        """Bring the folder up to date; there is nothing to show before anything is published."""
        if self.folder is None:
            return None
        with node.database.read() as session:
            if logs.published_head(session) is None:
                return None
        if not self.to and not recipients.any_sealed_for(node):
            return static.place(node, self.folder)
        with open_node(node.settings.data, keys=True) as opened:
            return static.place(opened, self.folder, self.to)


def _accept(node: Node, published: Collection[str]) -> None:
    """Accept the new requests that ask for what was published."""
    for each in requests.unanswered(node, published):
        if each.state is State.NEW:
            requests.act(node, each, Remark(kind="accepted"))


def _asked_too(node: Node, published: Collection[str]) -> list[str]:
    """Return who else asks for what was published, and how that is answered."""
    left = requests.unanswered(node, published)
    return [
        f"{each.partner} asks for {each.part or each.product}, and that is {each.state}: "
        f"`bcca inbox accept {each.id[:ID_DIGITS]}` answers it"
        for each in left
        if each.agreed == 0 or each.state is not State.ACCEPTED or _was_published(node)
    ]


def _was_published(node: Node) -> bool:
    """Say whether all that was entered is published, so that what was accepted had its answer."""
    with node.database.read() as session:
        head = logs.published_head(session)
        return head is not None and head.size == logs.size(session)


def _year(year: int) -> Interval:
    return Interval(start=f"{year}-01-01T00:00:00Z", end=f"{year + 1}-01-01T00:00:00Z")


def _enter(node: Node, chosen: Sequence[Draft], named: Collection[str]) -> list[Published]:
    """Enter what was chosen in this process, which needs the passphrase for that alone."""
    if not chosen:
        return []
    with open_node(node.settings.data, keys=True) as opened:
        witnesses.clear(opened, named)
        return drafts.publish_drafts(opened, chosen)
