"""The program `bcca`: Ctrl-C ends it without a stack, even while the rest is still imported.

A process that a run starts reads the program's file again, and with it this module, which is why
the rest is imported by `main` alone: it takes a second.
"""

import logging
import signal
import sys
from importlib import import_module
from types import FrameType

from bcca_node.packmaker import sweeps

INTERRUPTED = 128 + signal.SIGINT


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(INTERRUPTED)


signal.signal(signal.SIGINT, _end)


def main() -> int:
    """Run the command line; once it is imported, Ctrl-C is the commands' own to handle."""
    sweeps.sweep_rarely()  # an import makes many objects, and all of them stay
    cli = import_module("bcca_node.cli")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sweeps.sweep_rarely()  # and nothing of what was imported is looked at again
    # A command says once what went wrong; `bcca serve`, which has no end to say it at, logs.
    logging.getLogger("bcca_node").addHandler(logging.NullHandler())
    return int(cli.main())
