"""A run as `bcca aggregate` makes, keeps and tells it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bcca_node.cli import document, outcome
from bcca_node.cli.given import hosts
from bcca_node.cli.missing import gaps_in
from bcca_node.cli.screen import console, put_json, say
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import State
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import plan, runs
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.plan import OnProgress
from bcca_node.packmaker.run import Run, roll_up
from bcca_protocol.keys import Role

DONE, INCOMPLETE = 0, 3


async def made(node: Node, order: Order, *, is_watched: bool = True) -> Run:
    """Return the run of an order; where it `is_watched`, a bar says how far it is."""
    signer = node.keys.signer(Role.REQUEST)  # partners show what they have granted
    with _watching(is_watched=is_watched) as on_progress:
        async with Fetcher(hosts(node.trust.required()), signer=signer) as fetcher:
            return await roll_up(node, fetcher, replace(order, on_progress=on_progress))


def told(
    node: Node,
    run: Run,
    order: Order,
    name: str | None,
    *,
    as_json: bool,
    advice: str = outcome.AGAIN,
) -> int:
    """Keep a run, and print what came of it; return the exit status."""
    kept = runs.keep(node, run, order, name).name
    gaps = list(gaps_in(run))
    if as_json:
        put_json(document.as_json(run, gaps) | {"run": kept})
    else:
        outcome.print_run(run, gaps, advice)
        say(f"kept as run {kept}")
    sys.stdout.flush()
    is_published = run.published is not None and run.published.state is State.PUBLISHED
    return DONE if is_published and not run.statement.incomplete else INCOMPLETE


@contextmanager
def _watching(*, is_watched: bool) -> Iterator[OnProgress]:
    """Yield who draws a bar while suppliers are asked, where somebody looks."""
    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    is_drawn = is_watched and out.is_terminal
    with Progress(
        *columns, TimeElapsedColumn(), console=out, transient=True, disable=not is_drawn
    ) as bar:
        task = bar.add_task("asking suppliers", total=None)

        def progress(now: plan.Progress) -> None:
            said = f"tier {now.tiers}, {now.statements} statements verified, suppliers read"
            bar.update(task, description=said, total=now.asked, completed=now.suppliers)

        yield progress
