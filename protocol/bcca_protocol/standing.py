"""What a verified statement is worth now: current, or why it no longer is (SPEC 6.5)."""

from enum import StrEnum
from typing import Final

from bcca_protocol.entry import Status
from bcca_protocol.facts import Fact
from bcca_protocol.period import Span
from bcca_protocol.verify import Verified


class Standing(StrEnum):
    """What a statement is worth, as of the checkpoint its log was read with and a moment."""

    CURRENT = "current"
    SUPERSEDED = "superseded"  # right for its own period: a later one follows
    NOT_YET_VALID = "notYetValid"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  # an entry that nobody can read may say anything of it
    CORRECTED = "corrected"
    REVOKED = "revoked"

    @property
    def words(self) -> str:
        """What to tell people behind "it is"."""
        return _WORDS[self]


_WORDS: Final = {
    Standing.CURRENT: "current",
    Standing.SUPERSEDED: "superseded",
    Standing.NOT_YET_VALID: "not yet valid",
    Standing.EXPIRED: "expired",
    Standing.CORRECTED: "corrected",
    Standing.UNKNOWN: "in a broken log",
    Standing.REVOKED: "revoked",
}


def standing(found: Verified[Fact], *, at: str) -> Standing:
    """Return what a statement is worth at `at`, a time as statements write it.

    It holds as of the checkpoint under which its log was read.
    """
    # Neither revoked nor corrected, and still not current: then its log is broken (SPEC 5.6).
    return standing_of(found.status, found.fact.validity, at=at, broken=not found.is_current)


def standing_of(
    status: Status | None, validity: Span, *, at: str, broken: bool = False
) -> Standing:
    """Return what a statement with this status and validity is worth, the worst of it.

    What was revoked or corrected stays so in a broken log too: a status never goes back.
    """
    entered = Standing.CURRENT if status is None else Standing(status)
    if entered in (Standing.REVOKED, Standing.CORRECTED):
        return entered
    if broken:
        return Standing.UNKNOWN
    if validity.end <= at:
        return Standing.EXPIRED
    return Standing.NOT_YET_VALID if at < validity.start else entered
