"""`bcca aggregate --every`: a run again and again, told where it says something else.

The first one is told as a run alone is. Of a later one that says what the last told one said,
nothing is printed and nothing is kept.
"""

import asyncio
import re
import signal
from collections.abc import Hashable
from dataclasses import replace
from typing import Annotated, Final, NamedTuple

import typer

from bcca_node.cli import rolled
from bcca_node.cli.given import age
from bcca_node.cli.screen import say, tell
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import State
from bcca_node.packmaker.last import Last
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.run import Run
from bcca_protocol import period
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.footprint import Stages

LEAST_SECONDS = 1  # a quiet run of a few suppliers takes a fraction of it
REFUSED = 1

EveryOption = Annotated[
    str | None,
    typer.Option(
        "--every",
        metavar="INTERVAL",
        help="Stay, run again as often (10m, 1h), and tell what changes; --name is of the first.",
    ),
]

_ADVICE = "the next run tries again"
_NUMBER: Final = re.compile(r"[0-9]+")


def interval(text: str, *, is_offline: bool) -> int:
    """Return the seconds from one run to the next; raises UnusableError."""
    seconds = age(text, "--every")
    if seconds < LEAST_SECONDS:
        raise UnusableError(
            f"--every {text}: runs follow each other no faster than every {LEAST_SECONDS}s"
        )
    if is_offline:
        raise UnusableError(
            f"--every {text}: with --offline nobody is asked what changed and nothing is entered; "
            "leave one of the two out"
        )
    return seconds


async def stay(node: Node, order: Order, seconds: int, name: str | None, *, as_json: bool) -> int:
    """Run an order every so many seconds, until SIGINT or SIGTERM; `name` is for the first run.

    Return the exit status of what was told last. Raises what the first run raises, and
    KeyboardInterrupt where that was interrupted; what a later one raises is told, as a run is.
    """
    loop, turns = asyncio.get_running_loop(), _Turns(node, order, name, as_json=as_json)
    working = asyncio.ensure_future(_repeat(turns, seconds))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, working.cancel)
    await asyncio.wait([working])
    if not working.cancelled():
        await working  # it never ends but by an error
    if turns.status is None:
        raise KeyboardInterrupt
    return turns.status


async def _repeat(turns: "_Turns", seconds: int) -> None:
    """Take turns, each so long after the last began, or at once where that took longer."""
    now = asyncio.get_running_loop().time
    while True:
        began = now()
        await turns.take()
        await asyncio.sleep(max(0.0, began + seconds - now()))


class _Turns:
    """Runs of one order, and what was told of them; `status` is None until something was."""

    def __init__(self, node: Node, order: Order, name: str | None, *, as_json: bool) -> None:
        self._node, self._as_json, self._name = node, as_json, name
        self._order = replace(order, last=Last(), keeps_whole=True)
        self._told: Hashable = None
        self.status: int | None = None

    async def take(self) -> None:
        """Run once, and tell it where it differs from what was told last."""
        order = replace(self._order, at=self._node.clock())
        try:
            run = await rolled.made(self._node, order, is_watched=self.status is None)
            self._tell(run, order)
        except BccaError as error:
            if self.status is None:
                raise
            self._tell_error(str(error))

    def _tell(self, run: Run, order: Order) -> None:
        said = _said(run)
        if said == self._told:
            return
        if self.status is not None and not self._as_json:
            say("", f"Another result at {period.text_at(order.at)}:")
        self.status = rolled.told(
            self._node, run, order, self._name, as_json=self._as_json, advice=_ADVICE
        )
        self._told, self._name = said, None

    def _tell_error(self, reason: str) -> None:
        said = _numberless(reason)
        if said != self._told:
            tell(f"bcca: {reason}; {_ADVICE}")
            self._told, self.status = said, REFUSED


class _Said(NamedTuple):
    """What of a run is told anew where it differs, reasons without the numbers in them."""

    commitment: str | None
    state: State | None
    unentered: str
    footprint: Stages
    missing: frozenset[tuple[str, str, str]]
    troubles: frozenset[tuple[str, str, str]]
    copied: frozenset[str]
    blocks: tuple[str, ...]


def _said(run: Run) -> _Said:
    """Return what a run says, and no more of it: all that it read is let go."""
    published, collected, stated = run.published, run.sum.collected, run.statement
    gaps = ((e.consumer, e.line, e.resolved.gap) for e in stated.manifest or ())
    return _Said(
        commitment=None if published is None else published.commitment,
        state=None if published is None else published.state,
        unentered=_numberless(run.unentered or ""),
        footprint=stated.footprint,
        missing=frozenset(
            (consumer, line, _numberless(gap.reason)) for consumer, line, gap in gaps if gap
        ),
        troubles=frozenset((*about, _numberless(why)) for about, why in collected.troubles.items()),
        copied=frozenset(collected.copied),
        blocks=tuple(sorted(each.code for each in run.verdict.blocks)),
    )


def _numberless(reason: str) -> str:
    """Return a reason without its numbers: how many seconds ago, of how many entries."""
    return _NUMBER.sub("", reason)
