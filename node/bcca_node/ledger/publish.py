"""Publishing: statements, entries, tiles and the next head in one transaction (SPEC 5.8)."""

from collections.abc import Sequence

from bcca_node.ledger.batch import Batch, Published, State
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import Predicate, SignedStatement, sign_statements
from bcca_node.ledger.turn import turn
from bcca_protocol.keys import Role

__all__ = ["Published", "State", "publish", "sign"]


def publish(node: Node, predicates: Sequence[Predicate]) -> list[Published]:
    """Sign and enter `predicates`, all or none; return where each stands, in their order.

    What was entered before is answered as it is, not entered twice. Raises UnusableError for what
    a verifier would refuse, and for two current statements that overlap.
    """
    signed = sign(node, predicates)
    with turn(node) as held:
        batch = Batch(held, signed)
        batch.enter(signed)
        batch.store()
        return batch.published(signed)


def sign(node: Node, predicates: Sequence[Predicate]) -> list[SignedStatement]:
    """Return the statements of `predicates`, signed and ready for a turn; raises UnusableError."""
    key = node.keystore.record(Role.STATEMENT)
    return sign_statements(predicates, node.origin, node.keys, key.index)
