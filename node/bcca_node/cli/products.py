"""Which product somebody means: by its URN, the last part of that, or its name."""

from bcca_node.cli.screen import listed
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.packmaker.bundling import newest_published
from bcca_node.storage import statements
from bcca_node.supplier import drafts
from bcca_protocol.errors import UnusableError
from bcca_protocol.limits import MAX_TREE_SIZE
from bcca_protocol.wire import showable


def find(node: Node, asked: str) -> str:
    """Return the URN of the one product of this node that `asked` means.

    Raises UnusableError, listing what there is, or what it may mean.
    """
    names = _names(node)
    if asked in names:
        return asked
    found = [urn for urn, name in names.items() if asked in (name, urn.rpartition(":")[2])]
    shown = repr(showable(asked[:200]))
    match found:
        case [only]:
            return only
        case []:
            there = listed([f"{urn} ({name})" for urn, name in names.items()]) or "none yet"
            raise UnusableError(f"{shown} is no product of {node.origin}: it has {there}")
        case _:
            raise UnusableError(f"{shown} fits several products, say which: {listed(found)}")


def last_rolled_up(node: Node) -> str:
    """Return the product of the newest published roll-up; raises UnusableError."""
    with node.database.read() as session:
        found = newest_published(session)
    if found is None:
        raise UnusableError(
            f"{node.origin} has no published roll-up yet: run `bcca aggregate PRODUCT` first"
        )
    return found.product


def _names(node: Node) -> dict[str, str]:
    """Return this node's products and what they are called, drafts included."""
    names = {each.product: drafts.read(each).product.name for each in drafts.choose(node, ())}
    with node.database.read() as session:
        products = statements.products(session)
        for each in statements.current(session, products, MAX_TREE_SIZE):
            names[each.product] = predicate_of(each.envelope).product.name
    return names
