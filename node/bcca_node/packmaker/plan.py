"""How a run of a pack maker goes, and how far it is."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from bcca_protocol.choices import StandIns, nobody
from bcca_protocol.period import Span
from bcca_protocol.rules import RuleSet, neutral

CONCURRENCY = 16  # suppliers asked at once: more gained nothing on two cores
SUPPLIER_SECONDS = 120.0  # for all that one supplier answers in one round
MAX_AGE = 86_400  # seconds since a quorum last saw a log: a witness sees most every few hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: tiers begun, suppliers read of those asked, statements verified."""

    tiers: int
    suppliers: int
    asked: int
    statements: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run goes: for which period, from which POSIX second, how many suppliers at once.

    A supplier has `supplier_seconds` for all that it answers in one round. A log that no quorum
    has seen for over `max_age` seconds is shown to its witnesses again, and else not current; while
    `is_offline` nobody is asked, and what this node keeps is read however old. Heavy steps are done
    by `executor`, or by so many `workers` (None: one per core).
    """

    period: Span
    at: int
    concurrency: int = CONCURRENCY
    supplier_seconds: float = SUPPLIER_SECONDS
    max_age: int = MAX_AGE
    on_progress: OnProgress = lambda _: None
    rules: RuleSet = field(default_factory=neutral)
    stand_ins: StandIns = nobody
    is_offline: bool = False
    workers: int | None = None
    executor: Executor | None = None
