"""Times and spans of time in statements (SPEC 4.4)."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from bcca_protocol.errors import StatementError
from bcca_protocol.inventory import Interval
from bcca_protocol.limits import MAX_KEPT_PERIODS, MAX_VALIDITY_YEARS

_MIDNIGHT_AFTER = "24"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_YEAR = 9999  # times are written with four digits, and sort as written


class Span(NamedTuple):
    """A span of time [start, end) as written: this form sorts as the times do."""

    start: str
    end: str

    def overlaps(self, other: "Span") -> bool:
        """Say whether both spans share any time."""
        return self.start < other.end and other.start < self.end

    def overlap_with(self, other: "Span") -> int:
        """Return the seconds both spans share."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return (moment(end) - moment(start)) // timedelta(seconds=1) if start < end else 0


def moment(time: str) -> datetime:
    """Return the moment a `wire.Time` writes; raises StatementError for 30 February."""
    if time[11:13] == _MIDNIGHT_AFTER:  # newer libraries read it, older ones refuse
        raise StatementError(f"time {time}: there is no hour 24")
    try:
        return datetime.fromisoformat(time)
    except ValueError as error:
        raise StatementError(f"time {time}: {error}") from error


def text(at: datetime) -> str:
    """Return `at` as statements write it: UTC, whole seconds."""
    return at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def text_at(seconds: int) -> str:
    """Return the POSIX time `seconds` as statements write it; raises StatementError after 9999."""
    try:
        return text(_EPOCH + timedelta(seconds=seconds))
    except OverflowError as error:
        raise StatementError(
            f"POSIX time {seconds}: not before the year {LAST_YEAR + 1}"
        ) from error


@lru_cache(MAX_KEPT_PERIODS)
def span(interval: Interval, what: str) -> Span:
    """Return the span of `interval`; raises StatementError unless it ends after it starts."""
    if moment(interval.start) >= moment(interval.end):
        raise StatementError(f"{what}: ends {interval.end}, not after its start {interval.start}")
    return Span(interval.start, interval.end)


@lru_cache(MAX_KEPT_PERIODS)
def validity(period: Interval, given: Interval | None) -> Span:
    """Return when a statement may be used: as given, else three years from its period's end.

    Raises StatementError for a validity that outlasts those three years.
    """
    latest = _years_after(period.end, MAX_VALIDITY_YEARS)
    if given is None:
        return Span(period.start, latest)
    written = span(given, "validity")
    if written.end > latest:
        raise StatementError(
            f"validity: ends {written.end}, more than {MAX_VALIDITY_YEARS} years after the "
            f"period's end {period.end}"
        )
    return written


def _years_after(time: str, years: int) -> str:
    year, rest = int(time[:4]) + years, time[4:]
    if year > LAST_YEAR:
        raise StatementError(f"period: ends {time}, too late for any validity")
    leap_day = rest.startswith("-02-29")
    return f"{year:04d}{'-03-01' + rest[6:] if leap_day else rest}"
