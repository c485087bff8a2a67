"""Asking again whoever is busy: a few times, later each time, and never all at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from secrets import SystemRandom
from typing import TypeVar

from bcca_node.network.client import BusyError

TRIES = 4  # in all: about two seconds, in which a burst of others is over
FIRST_SECONDS = 0.2  # doubled each time
MAX_SECONDS = 10.0  # of what a host asks for: the limit of whoever waits comes first

T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Return what `ask` returns, asked again while the other says that it is busy.

    Each wait is doubled and drawn anew, between half of it and one and a half, so that those who
    were sent away together do not come back together. Raises what `ask` raises, BusyError after
    TRIES.
    """
    draw = SystemRandom().uniform
    for tried in range(1, TRIES):
        try:
            return await ask()
        except BusyError as error:
            wait = max(FIRST_SECONDS * 2 ** (tried - 1), error.after)
            await asyncio.sleep(min(wait, MAX_SECONDS) * draw(0.5, 1.5))
    return await ask()
