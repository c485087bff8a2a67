"""What is wanted of a run."""

from dataclasses import dataclass, field
from decimal import Decimal

from bcca_node.packmaker.last import Last
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.plan import CONCURRENCY, MAX_AGE, OnProgress
from bcca_node.packmaker.secrecy import Keeping
from bcca_protocol.period import Span
from bcca_protocol.results import Battery
from bcca_protocol.rules import RuleSet, neutral
from bcca_protocol.statement import Sharing


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted: so much of one of this node's products, by which rules, from second `at`.

    `own_values` are what its maker states for what is missing, `battery` is what the amount is;
    `period` is the one that is wanted, the latest unless told. What the `last` run of the same left
    is not looked at, nor computed, again. With `keeps_whole`, an incomplete result is not entered
    over a complete one, nor for the words alone in which it says why something is missing.
    """

    product: str
    amount: Decimal | None
    at: int
    concurrency: int = CONCURRENCY
    max_age: int = MAX_AGE
    on_progress: OnProgress = lambda _: None
    rules: RuleSet = field(default_factory=neutral)
    own_values: tuple[OwnValue, ...] = ()
    battery: Battery | None = None
    keeping: Keeping | None = None
    sharing: Sharing | None = None
    is_offline: bool = False
    period: Span | None = None
    last: Last | None = None
    keeps_whole: bool = False
