"""What became of a statement: revoked, corrected, superseded, expired, too early, or nothing."""

from typing import Any

import pytest

from bcca_protocol.entry import Status
from bcca_protocol.inventory import Interval
from bcca_protocol.period import Span
from bcca_protocol.standing import Standing, standing, standing_of

BEFORE, DURING, AFTER = "2024-12-31T23:59:59Z", "2026-06-01T00:00:00Z", "2029-01-01T00:00:00Z"
VALID = Span("2025-01-01T00:00:00Z", "2029-01-01T00:00:00Z")


def of_ore(chain: Any, at: str = DURING) -> Standing:
    (found,) = (each for each in chain.facts() if each.fact.name == "ore")
    return standing(found, at=at)


def test_what_nothing_happened_to_is_current(chain: Any) -> None:
    chain.sells("ore", "2")

    assert of_ore(chain) is Standing.CURRENT


@pytest.mark.parametrize("what", list(Status))
def test_each_status_is_told_apart(chain: Any, what: Status) -> None:
    chain.status("ore", chain.sells("ore", "2"), what)

    assert of_ore(chain) == what.value


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (BEFORE, Standing.NOT_YET_VALID),
        (VALID.start, Standing.CURRENT),
        (DURING, Standing.CURRENT),
        (AFTER, Standing.EXPIRED),
    ],
)
def test_a_statement_is_valid_from_its_start_to_before_its_end(
    chain: Any, at: str, told: Standing
) -> None:
    chain.sells("ore", "2")

    assert of_ore(chain, at) is told


def test_a_validity_of_its_own_decides(chain: Any) -> None:
    short = Interval(start="2026-07-01T00:00:00Z", end="2026-08-01T00:00:00Z")
    chain.sells("ore", "2", validity=short)

    assert of_ore(chain) is Standing.NOT_YET_VALID
    assert of_ore(chain, short.end) is Standing.EXPIRED


def test_in_a_log_that_broke_nothing_is_known(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.maker("ore").enter("bcca/v2 something")

    assert of_ore(chain) is Standing.UNKNOWN


@pytest.mark.parametrize("at", [BEFORE, DURING, AFTER])
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("what", [Status.REVOKED, Status.CORRECTED])
def test_revoked_and_corrected_are_told_whatever_else_holds(
    what: Status, at: str, *, broken: bool
) -> None:
    assert standing_of(what, VALID, at=at, broken=broken) == what.value


def test_what_was_superseded_in_a_broken_log_may_have_been_revoked_unseen() -> None:
    told = standing_of(Status.SUPERSEDED, VALID, at=DURING, broken=True)

    assert told is Standing.UNKNOWN


def test_what_was_superseded_and_has_expired_is_expired() -> None:
    assert standing_of(Status.SUPERSEDED, VALID, at=AFTER) is Standing.EXPIRED


def test_every_standing_has_words_of_its_own() -> None:
    assert len({each.words for each in Standing}) == len(Standing)
