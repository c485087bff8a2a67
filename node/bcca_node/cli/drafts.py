"""`bcca import` and `bcca publish`: from a supplier's files to signed statements."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli.given import DataOption, JsonOption, hosts, open_node
from bcca_node.cli.screen import put_json, say, show_table, tell
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network.client import Fetcher
from bcca_node.supplier import drafts
from bcca_node.supplier.case_drafts import last_full_year
from bcca_node.supplier.imports import read_drafts
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Interval, Supplier

DONE, PENDING = 0, 3

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
    tell(f"{len(kept)} drafts: sign and publish them with `bcca publish`.")


def publish(
    data: DataOption,
    named: Annotated[
        list[str] | None, typer.Argument(metavar="[DRAFT]...", help="Which; all there are.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Sign drafts, log them, and have witnesses cosign.

    What is entered is durable. It is pending until a quorum has cosigned, and then published; run
    it again, without drafts too, to ask for what is pending.
    """
    with open_node(data, keys=True) as node:
        policy = node.trust.policy()
        asked = None if policy is None else hosts(policy)  # refused before anything is signed
        chosen = drafts.choose(node, named or [])
        done = drafts.publish_drafts(node, chosen) if chosen else []
        witnessed = None if asked is None else asyncio.run(_witness(node, asked))
    state = "published" if witnessed is not None and witnessed.published else "pending"
    why = _why(node, witnessed)
    if as_json:
        put_json(_as_json(done, state, witnessed, why))
    else:
        say(*(f"{state} {each.commitment} {each.product}" for each in done))
        tell(why)
    return DONE if state == "published" else PENDING


def _year(year: int) -> Interval:
    return Interval(start=f"{year}-01-01T00:00:00Z", end=f"{year + 1}-01-01T00:00:00Z")


async def _witness(node: Node, named: Collection[str]) -> Witnessed:
    async with Fetcher(named) as fetcher:
        return await witness(node, fetcher)


def _why(node: Node, witnessed: Witnessed | None) -> str:
    if witnessed is None:
        return (
            f"pending: {node.settings.data / 'policy.txt'} is not there, so nobody was asked to "
            "cosign; write it and run `bcca publish` again"
        )
    again = "" if witnessed.published else "; run `bcca publish` again when they are there"
    return f"{witnessed}{again}"


def _as_json(
    done: list[Published], state: str, witnessed: Witnessed | None, why: str
) -> dict[str, object]:
    return {
        "state": state,
        "statements": [
            {
                "commitment": each.commitment,
                "product": each.product,
                "index": each.index,
                "state": state,
            }
            for each in done
        ],
        "size": None if witnessed is None else witnessed.size,
        "cosigned": [] if witnessed is None else list(witnessed.cosigned),
        "refused": {} if witnessed is None else dict(witnessed.refused),
        "why": why,
    }
