"""Statements of others that this node holds, and hands on where their authors let it (SPEC 13.5).

Whether one is current, its log says. What may not be seen is not told apart from what is not held.
"""

from sqlmodel import Session

from bcca_node.ledger import mirror
from bcca_node.ledger.node import Node
from bcca_node.network.lines import Item
from bcca_node.sharing import access, accesslog
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import listed
from bcca_node.storage.listed import Kept
from bcca_node.storage.witnessed import origin_hash


def statements(node: Node, caller: Caller, hashed: str, product: str) -> list[Item] | None:
    """Return what a caller may see of a product of the log whose origin hashes to `hashed`.

    By index; None where there is no copy of the log.
    """
    with node.database.read() as session:
        rights = access.rights(session, node, caller)
        copy = mirror.shown(node, session, hashed)
        if copy is None:
            return None
        found = listed.kept_of(session, copy.vkey, product)
        rights.meet(session, found)  # as long, whether anything hidden is held or nothing
        shown = [each for each in found if rights.sees_fetched(session, each)]
        items = [_item(session, each) for each in shown]
    accesslog.note(node, caller, shown, "copies")
    return items


def statement(node: Node, caller: Caller, hashed: str, commitment: str) -> bytes | None:
    """Return the envelope of a statement of that log, None if it is not held or not shown."""
    with node.database.read() as session:
        rights = access.rights(session, node, caller)
        found = listed.kept(session, commitment)
        is_seen = rights.sees_fetched(session, found or _absent(commitment))
        if found is None or not is_seen or origin_hash(found.origin) != hashed:
            return None
        envelope = listed.kept_envelope(session, found)
    accesslog.note(node, caller, [found], "copy")
    return envelope


def held(node: Node, hashed: str, product: str, pinned: str | None) -> list[Item]:
    """Return all that this node itself holds of a product, and the pinned statement."""
    me = Caller(kind=Kind.OPERATOR, origin=node.origin)
    items = statements(node, me, hashed, product) or []
    if pinned is None or pinned in {item.commitment for item in items}:
        return items
    envelope = statement(node, me, hashed, pinned)
    return (
        items if envelope is None else [*items, Item(commitment=pinned, index=0, envelope=envelope)]
    )


def _absent(commitment: str) -> Kept:
    """Return what stands in for a statement that is not here: it costs what a hidden one does."""
    return Kept(commitment, vkey="", origin="", index=0, product="", sharing="direct")


def _item(session: Session, each: Kept) -> Item:
    envelope = listed.kept_envelope(session, each)
    return Item(commitment=each.commitment, index=each.index, envelope=envelope)
