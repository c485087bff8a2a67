"""A result computed anew: the statement that stands, or one that corrects it."""

import msgspec

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import Predicate, place_of, predicate_of
from bcca_node.storage import statements
from bcca_protocol.issue import UNSET_NONCE
from bcca_protocol.limits import MAX_TREE_SIZE


def restate(node: Node, predicate: Predicate) -> Predicate:
    """Return what to publish for `predicate`, which itself names no earlier statement.

    Where one stands for the same place and period: that one if it says the same, else `predicate`
    as its correction. Where none does: `predicate`.
    """
    with node.database.read() as session:
        found = statements.current(session, [predicate.product.id], MAX_TREE_SIZE)
    place, period = place_of(predicate), predicate.period
    for own in found:
        if own.place == place and own.span == (period.start, period.end):
            standing = predicate_of(own.envelope)
            if _content(standing) == _content(predicate):
                return standing
            return msgspec.structs.replace(predicate, corrects=own.commitment)
    return predicate


def _content(predicate: Predicate) -> Predicate:
    return msgspec.structs.replace(predicate, nonce=UNSET_NONCE, corrects=None, follows=None)
