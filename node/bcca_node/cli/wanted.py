"""What is asked for, as commands are given it: a period, a product."""

import re
from typing import Annotated

import typer

from bcca_protocol import period
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.inventory import Interval
from bcca_protocol.wire import URN, showable

PURPOSE = "product carbon footprint"  # what most data is asked for

DueOption = Annotated[
    str | None, typer.Option("--due", metavar="DATE", help="Until the end of which day.")
]
PurposeOption = Annotated[str, typer.Option("--purpose", help="What for.")]

_URN = re.compile(URN)
_YEAR = re.compile(r"[12][0-9]{3}")
_DAY = re.compile(r"[12][0-9]{3}-[01][0-9]-[0-3][0-9]")


def read_period(text: str) -> Interval:
    """Return the period of a year, or from one day to before another; raises UnusableError."""
    start, _, end = text.partition("/")
    if _YEAR.fullmatch(text):
        start, end = f"{text}-01-01", f"{int(text) + 1}-01-01"
    if not (_DAY.fullmatch(start) and _DAY.fullmatch(end)):
        raise UnusableError(
            f"--period {showable(text[:80])}: write a year such as 2025, or the first day and the "
            "day after the last: 2025-04-01/2026-04-01"
        )
    found = Interval(f"{start}T00:00:00Z", f"{end}T00:00:00Z")
    try:
        period.span(found, "--period")
    except RefusedError as error:
        raise UnusableError(str(error)) from error
    return found


def require_urn(product: str) -> None:
    """Return if that can be a product; raises UnusableError."""
    if not _URN.match(product):
        raise UnusableError(
            f"--product {showable(product[:80])!r}: write the URN of a product, as "
            "urn:bcca:part:mill:al-15"
        )
