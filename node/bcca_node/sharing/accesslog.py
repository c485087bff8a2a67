"""Who was shown what, and when (SPEC 13.9, rule 9): of callers that sign, for the owner alone.

`Calls.fetched` reads it again.
"""

from collections.abc import Iterable

from bcca_node.ledger.node import Node
from bcca_node.sharing.access import Shared
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage.calls import Fetch


def note(node: Node, caller: Caller, shown: Iterable[Shared], how: str) -> None:
    """Keep that a caller is shown statements, before it is: nothing is shown that is not kept.

    Raises UnavailableError.
    """
    fetches = of(node, caller, shown, how)
    if fetches:
        node.calls.note(fetches, now=node.clock())


def of(node: Node, caller: Caller, shown: Iterable[Shared], how: str) -> list[Fetch]:
    """Return what is to be kept of statements that a caller is shown.

    Of who does not sign nothing is known, and nothing kept.
    """
    if caller.kind is Kind.NOBODY or caller.key is None:
        return []
    at, label = node.clock(), caller.key.label
    return [
        Fetch(
            origin=caller.origin or "",
            caller=label,
            commitment=each.commitment,
            product=each.product,
            how=how,
            at=at,
        )
        for each in shown
    ]
