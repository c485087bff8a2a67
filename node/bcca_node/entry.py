"""The program `bcca`: Ctrl-C ends it without a stack, even while the rest is still imported."""

import logging
import signal
import sys
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(INTERRUPTED)


signal.signal(signal.SIGINT, _end)

import bcca_node  # noqa: E402
from bcca_node import cli  # noqa: E402  # after the handler: it takes a second
from bcca_node.packmaker.sweeps import sweep_rarely  # noqa: E402


def main() -> int:
    """Run the command line; from here on Ctrl-C is the commands' own to handle."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sweep_rarely()
    # A command says once what went wrong; `bcca serve`, which has no end to say it at, logs.
    logging.getLogger(bcca_node.__name__).addHandler(logging.NullHandler())
    return cli.main()
