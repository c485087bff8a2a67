"""With what a walk upstream goes, and what it learns on its way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.packmaker.choices import Choices
from bcca_node.packmaker.circle import Circle
from bcca_node.packmaker.hands import Hands
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.routes import Routes
from bcca_node.packmaker.told import Ask, Count
from bcca_protocol.verify import VerifiedLog


class Means(NamedTuple):
    """Whose walk it is, who asks others, and who does the heavy steps.

    `pass_over` lets Python's sweeps pass over all that was read by then.
    """

    node: Node
    fetcher: Fetcher
    hands: Hands
    pass_over: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ground:
    """What a walk learns: where logs are, which statements there are, and what was asked of whom.

    `logs` are those that were verified before it.
    """

    routes: Routes
    choices: Choices
    asked: dict[str, set[Ask]] = field(default_factory=dict)
    count: Count = field(default_factory=Count)
    logs: Mapping[str, VerifiedLog] = field(default_factory=dict)

    @classmethod
    def new(cls, node: Node, plan: Plan, circle: Circle) -> Self:
        """Return what is known at first: the policy, and partners."""
        routes = Routes(node.trust.required(), circle.urls())
        return cls(routes=routes, choices=Choices(plan))

    def again(self, logs: Mapping[str, VerifiedLog]) -> Self:
        """Return the same for another walk, which makes its own choices."""
        return replace(self, choices=self.choices.again(), logs=logs)
