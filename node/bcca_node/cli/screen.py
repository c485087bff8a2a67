"""What is shown: text for people, JSON for programs, and nothing in it that a terminal obeys.

Names and reasons come from strangers. Markup is off everywhere, controls are escaped.
"""

import json
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table

from bcca_protocol.wire import showable

WIDE = 200  # columns of a pipe: what a program reads is not to be broken into lines
MOST_ROWS = 30  # of one table, for people: --json has them all
MAX_NAMES = 20  # of what there is instead, in one message


def console(*, stderr: bool = False, markup: bool = False) -> Console:
    """Return where to print: the terminal as it is, or a wide sheet where there is none."""
    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else WIDE
    return Console(file=file, width=width, markup=markup, emoji=False, highlight=False)


def say(*lines: str) -> None:
    """Print lines of a result."""
    for line in lines:
        console().print(showable(line), soft_wrap=True)


def tell(*lines: str) -> None:
    """Print lines that are no result: what is under way, what was refused."""
    for line in lines:
        console(stderr=True).print(showable(line), soft_wrap=True)


def put_json(value: object) -> None:
    """Print one JSON document on one line."""
    # What `showable` writes for a control character is how JSON escapes it.
    sys.stdout.write(showable(json.dumps(value, ensure_ascii=False)) + "\n")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> None:
    """Print a table; the last `numbers` columns are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        right = place >= len(columns) - numbers
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(showable, row))
    console().print(table)


def show(drawn: RenderableType) -> None:
    """Print what `picture` has drawn, its markup its own and names in it escaped."""
    console(markup=True).print(drawn)


def listed(names: Sequence[str]) -> str:
    """Return names parted by commas, the first MAX_NAMES of them."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def shortened(text: str, most: int) -> str:
    """Return at most so many characters of a text, and whether there were more."""
    return text if len(text) <= most else f"{text[:most]}…"
