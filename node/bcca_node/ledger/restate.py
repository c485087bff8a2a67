"""A result computed anew: the statement that stands, or one that corrects it."""

from collections.abc import Collection
from typing import TypeVar

import msgspec

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import Predicate, place_of, predicate_of
from bcca_node.storage import statements
from bcca_protocol.limits import MAX_TREE_SIZE

P = TypeVar("P", bound=Predicate)

_MADE_BY_PUBLISHING = frozenset({"nonce", "corrects", "follows"})


def restate(node: Node, predicate: P, *, beside: Collection[str] = ()) -> P:
    """Return what to publish for `predicate`, which itself names no earlier statement.

    Where one stands for the same place and period: that one if it says the same, fields `beside`
    the result apart, else `predicate` as its correction. Where none does: `predicate`.
    """
    with node.database.read() as session:
        found = statements.current(session, [predicate.product.id], MAX_TREE_SIZE)
    place, period = place_of(predicate), predicate.period
    for own in found:
        if own.place != place or own.span != (period.start, period.end):
            continue
        standing = predicate_of(own.envelope)
        apart = _MADE_BY_PUBLISHING.union(beside)
        same = msgspec.structs.replace(predicate, **{n: getattr(standing, n) for n in apart})
        if isinstance(standing, type(predicate)) and standing == same:
            return standing
        return msgspec.structs.replace(predicate, corrects=own.commitment)
    return predicate
