"""The program `bcca`: Ctrl-C ends it without a stack, even while the rest is still imported."""

import signal
import sys
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(INTERRUPTED)


signal.signal(signal.SIGINT, _end)

from bcca_node import cli  # noqa: E402  # after the handler: it takes a second


def main() -> int:
    """Run the command line; from here on Ctrl-C is the commands' own to handle."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()
