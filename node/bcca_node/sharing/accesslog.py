"""Who was shown what, and when (SPEC 13.9, rule 9): of callers that sign, for the owner alone.

`Calls.fetched` reads it again.
"""

from collections.abc import Iterable

from bcca_node.ledger.node import Node
from bcca_node.sharing.access import Shared
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage.calls import Fetch
from bcca_node.storage.engines import QUICK_SECONDS


def note(
    node: Node,
    caller: Caller,
    shown: Iterable[Shared],
    how: str,
    *,
    patience: float = QUICK_SECONDS,
) -> None:
    """Keep that a caller is shown statements, before it is: nothing is shown that is not kept.

    Of who does not sign nothing is known, and nothing kept. Raises UnavailableError, BusyError
    after the `patience`, in seconds.
    """
    if caller.kind is Kind.NOBODY or caller.key is None:
        return
    at, label = node.clock(), caller.key.label
    fetches = [
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
    node.calls.note(fetches, now=at, patience=patience)
