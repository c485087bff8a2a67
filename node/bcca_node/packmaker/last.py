"""What a run leaves in its process, so that the next one looks only at what changed (SPEC 9.3)."""

from dataclasses import dataclass, field
from typing import NamedTuple

from bcca_node.packmaker.walk import Walk
from bcca_protocol.cones import Known
from bcca_protocol.graph import Graph


class Since(NamedTuple):
    """A graph of an earlier run, and the commitments of what has changed of it since.

    All else is what it was, and fed by what fed it.
    """

    graph: Graph
    changed: frozenset[str]


@dataclass(slots=True, repr=False)
class Last:
    """The walk upstream of the run before, the graph of it, and the sums that are known.

    One run at a time uses it, and leaves its own. It holds all that was read: some 10 kB for each
    statement.
    """

    walk: Walk | None = None
    graph: Graph | None = None
    known: Known = field(default_factory=Known)

    def take(self) -> tuple[Walk | None, Graph | None]:
        """Return the walk and its graph; they are not here until a run leaves others."""
        found = self.walk, self.graph
        self.walk = self.graph = None
        return found
