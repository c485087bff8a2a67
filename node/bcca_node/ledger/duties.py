"""What is done again and again beside the serving of a node, in a thread with a loop of its own.

The database is waited for there, and no answer to anybody waits for it. Each duty goes on whatever
happens to it or to another.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import SystemRandom

from bcca_protocol.errors import BccaError

STOP_SECONDS = 10.0  # for what is under way; nobody waits longer for a hanging resolver

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What to do: `do` returns after how many seconds again, unless `wake` is set before."""

    do: Callable[[], Awaitable[float]]
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Duties:
    """Duties that are done from `start` to `stop`, each in its own time."""

    def __init__(
        self, name: str, duties: Sequence[Duty], *, of: str, retry: float, longest: float
    ) -> None:
        """Do them in a thread called `name`, for the node `of` that origin.

        A duty that fails is done again after `retry` seconds, twice as long after each more
        failure, and at the latest after `longest`.
        """
        self._duties = duties
        self._of = of
        self._retry = retry
        self._longest = longest
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._is_up = threading.Event()
        self._troubles: dict[int, str] = {}  # of each duty that failed last, in its words
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End whatever is under way."""
        self._is_up.wait()
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._keep())

    async def _keep(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_up.set()
        left = {asyncio.create_task(self._repeat(*each)) for each in enumerate(self._duties)}
        await self._ending.wait()
        while left:
            for each in left:
                each.cancel()  # once is not always enough: what just ended may swallow it
            _, left = await asyncio.wait(left, timeout=1.0)

    async def _repeat(self, number: int, duty: Duty) -> None:
        """Do a duty again and again, when it asks for it, or when it is woken.

        What fails is told when it begins to fail, and tried again, less and less often.
        """
        delay, chance = self._retry, SystemRandom()
        while True:
            try:
                wait = await duty.do()
                delay = self._retry
                self._troubles.pop(number, None)
            except BccaError as error:
                self._tell(number, str(error))
                wait, delay = delay, min(2 * delay, self._longest)
            except Exception:
                _LOGGER.exception("log %s: a mistake in bcca; report it", self._of)
                wait = self._longest
            with suppress(TimeoutError):
                # Nodes that were started together do not ask together.
                async with asyncio.timeout(wait * chance.uniform(0.75, 1.0)):
                    await duty.wake.wait()
                delay = self._retry
            duty.wake.clear()

    def _tell(self, number: int, why: str) -> None:
        """Tell why a duty fails, once: what all of them need is missing for each of them."""
        if why not in self._troubles.values():
            _LOGGER.warning("%s", why)
        self._troubles[number] = why
