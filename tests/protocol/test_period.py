from datetime import UTC, datetime, timedelta, timezone

import pytest

from bcca_protocol import period
from bcca_protocol.errors import StatementError
from bcca_protocol.inventory import Interval
from bcca_protocol.period import Span

YEAR = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")


def days(first: int, last: int) -> Span:
    """Return the span from one day of January to another."""
    return Span(f"2025-01-{first:02d}T00:00:00Z", f"2025-01-{last:02d}T00:00:00Z")


def test_a_time_reads_back_what_it_writes() -> None:
    for time in ("2025-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "1970-01-01T00:00:00Z"):
        assert period.text(period.moment(time)) == time


def test_a_moment_elsewhere_is_written_in_utc_and_whole_seconds() -> None:
    shanghai = timezone(timedelta(hours=8))
    at = datetime(2025, 1, 1, 7, 59, 59, 999_999, tzinfo=shanghai)

    assert period.text(at) == "2024-12-31T23:59:59Z"
    assert period.moment("2024-12-31T23:59:59Z") == datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        "2025-02-30T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-01-00T00:00:00Z",
        "2025-01-01T25:00:00Z",
        "2025-01-01T00:60:00Z",
        "2025-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_a_time_that_never_was_is_refused(time: str) -> None:
    with pytest.raises(StatementError, match=f"time {time}: "):
        period.moment(time)


def test_a_span_ends_after_it_starts() -> None:
    assert period.span(YEAR, "period") == Span(YEAR.start, YEAR.end)
    for end in (YEAR.start, "2024-12-31T23:59:59Z"):
        with pytest.raises(StatementError, match=f"period: ends {end}, not after its start"):
            period.span(Interval(start=YEAR.start, end=end), "period")


@pytest.mark.parametrize("side", ["start", "end"])
def test_a_span_of_a_time_that_never_was_is_refused(side: str) -> None:
    times = {"start": YEAR.start, "end": YEAR.end, side: "2025-02-30T00:00:00Z"}

    with pytest.raises(StatementError, match="2025-02-30"):
        period.span(Interval(**times), "period")


def test_a_statement_may_be_used_from_its_start_until_three_years_after_its_period() -> None:
    assert period.validity(YEAR, None) == Span(YEAR.start, "2029-01-01T00:00:00Z")


def test_three_years_after_a_leap_day_is_the_first_of_march() -> None:
    leap = Interval(start="2023-03-01T00:00:00Z", end="2024-02-29T12:00:00Z")

    assert period.validity(leap, None).end == "2027-03-01T12:00:00Z"


def test_a_given_validity_is_kept_up_to_three_years_to_the_second() -> None:
    longest = Interval(start="2026-03-01T00:00:00Z", end="2029-01-01T00:00:00Z")
    shorter = Interval(start="2026-03-01T00:00:00Z", end="2026-04-01T00:00:00Z")

    for given in (longest, shorter):
        assert period.validity(YEAR, given) == Span(given.start, given.end)


def test_a_validity_longer_than_three_years_is_refused() -> None:
    longer = Interval(start=YEAR.start, end="2029-01-01T00:00:01Z")

    with pytest.raises(
        StatementError,
        match=r"ends 2029-01-01T00:00:01Z, more than 3 years .* end 2026-01-01T00:00:00Z",
    ):
        period.validity(YEAR, longer)


def test_a_validity_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(StatementError, match="validity: ends"):
        period.validity(YEAR, Interval(start=YEAR.end, end=YEAR.start))


def test_two_spans_share_the_seconds_that_lie_in_both() -> None:
    every = [days(first, last) for first in range(1, 7) for last in range(first + 1, 8)]
    for one in every:
        for other in every:
            shared = {
                day
                for day in range(1, 8)
                if one.start <= f"2025-01-{day:02d}T00:00:00Z" < one.end
                and other.start <= f"2025-01-{day:02d}T00:00:00Z" < other.end
            }

            assert one.overlap_with(other) == len(shared) * 86_400
