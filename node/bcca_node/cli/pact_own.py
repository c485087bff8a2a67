"""`bcca pact list`: which statements PACT partners are served as footprints, and which not."""

from collections.abc import Iterator
from typing import NamedTuple

import typer
from sqlmodel import Session

from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.screen import put_json, say, show_table
from bcca_node.ledger.node import Node
from bcca_node.pact import rendering, shelf
from bcca_node.storage import logs, pactshelf, statements
from bcca_node.storage.statements import OwnStatement

_SHORT = 16  # digits of a commitment, as other lists have


class Row(NamedTuple):
    """A statement: the footprint it gives, or why it gives none."""

    product: str
    commitment: str
    id: str
    status: str
    sharing: str
    why: str


def add(group: typer.Typer) -> None:
    """Add the command to those of PACT."""
    group.command("list", epilog="Example: bcca pact list --data node")(list_own)


def list_own(data: DataOption, as_json: JsonOption = False) -> None:
    """List the statements of this node with the footprints they give, or why they give none.

    Who may see which is what was granted: `bcca partners grant pact:NAME`.
    """
    with open_node(data) as node:
        shelf.refresh(node)
        with node.database.read() as session:
            rows = list(_rows(node, session))
    if as_json:
        put_json([row._asdict() for row in rows])
        return
    if not rows:
        say("Nothing is published, so there is nothing to serve.")
        return
    told = [(row.product, row.commitment[:_SHORT], row.status, row.id or row.why) for row in rows]
    show_table(("product", "statement", "status", "footprint, or why there is none"), told)


def _rows(node: Node, session: Session) -> Iterator[Row]:
    start, size = 0, logs.size(session)
    while page := statements.page(session, start, size):
        yield from (_row(node, session, own) for own in page)
        start = page[-1].index + 1


def _row(node: Node, session: Session, own: OwnStatement) -> Row:
    card = pactshelf.known(session, own.commitment)
    if card is not None:
        status = "Deprecated" if card.deprecated else "Active"
        return Row(own.product, own.commitment, card.id, status, own.sharing, "")
    why = rendering.unserved(session, node, own)
    return Row(own.product, own.commitment, "", "not served", own.sharing, why)
