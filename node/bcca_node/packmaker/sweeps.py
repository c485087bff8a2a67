"""How often Python looks for objects that hold each other in a circle and are no longer used."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# New objects before the youngest are looked at, and how often that is before the older ones are.
# What statements say has no circles, and stays until the end: of a run over 10,000 of them, sweeps
# at Python's own pace (700 objects) took a quarter of this process's time. These are some megabytes
# that may wait.
_SWEEPS = (50_000, 20, 10)


def sweep_rarely() -> None:
    """Let this process sweep as rarely as suits a run, and pass over all that is there already."""
    gc.freeze()
    gc.set_threshold(*_SWEEPS)


@contextmanager
def passing_over() -> Iterator[Callable[[], None]]:
    """Yield what lets sweeps pass over all that is there by then, until the end of the context.

    To look at each of some million objects but once takes a second, and finds nothing to free.
    """
    try:
        yield gc.freeze
    finally:
        gc.unfreeze()
