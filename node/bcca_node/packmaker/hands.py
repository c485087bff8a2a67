"""Who does the heavy steps of a run: this process for a few, one process per core for many.

Starting processes takes as long as verifying some thousand statements, so a run starts none until
it knows of so many; from then on this process has its hands free for what only it can do. The steps
themselves (`packmaker.heavy`) do not know who does them.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple

from bcca_node.packmaker import heavy
from bcca_node.packmaker.sweeps import sweep_rarely

MANY = 1_500  # statements to verify: from here on, processes make up for their start
# A fork of a process with threads may hang. A server of forks has none, and reads the code once.
_START = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
_CODE = [heavy.__name__]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Hands:
    """Does steps aside, so that others go on meanwhile; use it as a context.

    `workers` is how many processes there may be (None: one per core, 1: none). An `executor` that
    is given does everything, and is not shut down.
    """

    def __init__(self, workers: int | None = None, executor: Executor | None = None) -> None:
        """Start nothing yet."""
        self._workers = (os.cpu_count() or 1) if workers is None else workers
        self._given = executor
        self._own: ProcessPoolExecutor | None = None
        self._expected = 0

    def __enter__(self) -> Self:
        """Wait for work."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes that were started; what nobody waits for any more is not begun."""
        if self._own is not None:
            self._own.shutdown(cancel_futures=True)

    def expect(self, statements: int) -> None:
        """Take note of so many more statements to come."""
        self._expected += statements
        if self._own is None and self._workers > 1 and self._expected >= MANY:
            context = get_context(_START)
            context.set_forkserver_preload(_CODE)
            self._own = ProcessPoolExecutor(
                self._workers, mp_context=context, initializer=sweep_rarely
            )
            for _ in range(self._workers):
                self._own.submit(int)  # each starts a process

    async def do(self, step: Callable[[*Ts], T], *values: *Ts) -> T:
        """Return what a step makes of some values; it raises what the step raises."""
        executor = self._given or self._own
        if executor is None:
            return await asyncio.to_thread(step, *values)
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, step, *values)
        except BrokenExecutor:  # a process was killed, for want of memory perhaps: this one goes on
            self._own, self._workers = None, 1
            return await asyncio.to_thread(step, *values)
