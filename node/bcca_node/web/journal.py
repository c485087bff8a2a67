"""What happened, one JSON object a line: SPEC 13.1.

A request's line has the template of its route, never its path or query: an invitation's identifier
is a secret. No line has a payload, a header or a signature, and an exception is told by its type
and place alone: its message may quote what was asked.
"""

import logging
import traceback
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import msgspec

MAX_FRAMES = 20  # of an exception, the innermost
MAX_MESSAGE_CHARS = 2_000  # of one line; it is one sentence


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line; `id` is the request's, `caller` the name of the key that signed it."""

    time: str
    level: str
    what: str
    id: str = ""
    method: str = ""
    route: str = ""
    status: int = 0
    ms: float = 0.0
    caller: str = ""
    error: str = ""
    where: tuple[str, ...] = ()


class Journal(logging.Handler):
    """Writes lines to a stream, its own about requests and those of every logger."""

    def __init__(self, stream: BinaryIO) -> None:
        """Write to `stream`."""
        super().__init__()
        self._stream = stream
        self._encoder = msgspec.json.Encoder()
        self._turn = Lock()

    def write(self, line: Line) -> None:
        """Write a line, whole; where that cannot be, nobody can be told."""
        encoded = self._encoder.encode(line) + b"\n"
        with self._turn:
            try:
                self._stream.write(encoded)
                self._stream.flush()
            except OSError:
                return

    def emit(self, record: logging.LogRecord) -> None:
        """Write what a logger was told."""
        error = record.exc_info[1] if record.exc_info else None
        self.write(
            Line(
                time=written(record.created),
                level=record.levelname.lower(),
                what=" ".join(record.getMessage().split())[:MAX_MESSAGE_CHARS],
                id=getattr(record, "request", ""),
                error=type(error).__name__ if error is not None else "",
                where=where(error),
            )
        )


def written(at: float) -> str:
    """Return a time as it stands in a line."""
    return (
        datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
    )


def where(error: BaseException | None) -> tuple[str, ...]:
    """Return where an exception came from, the innermost last, without what was in any variable."""
    if error is None:
        return ()
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    return tuple(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in frames)
