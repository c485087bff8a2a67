"""Whose appointments count (SPEC 13.9, rule 3): those by and of whom this node believes."""

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.storage import grants, partners
from bcca_node.storage.grants import Appointment


def appointed(session: Session, node: Node, vkey: str) -> list[Appointment]:
    """Return the appointments of who signs requests with `vkey` that hold now.

    An auditor that this node has appointed is its partner, with that key. One that a partner has
    appointed need not be, unless it was refused here: nobody vouches for a key that is not its own.
    """
    if not vkey or partners.is_refused(session, vkey):
        return []
    held = grants.appointed(session, vkey, node.clock())
    return [each for each in held if _counts(session, node, each)]


def _counts(session: Session, node: Node, each: Appointment) -> bool:
    is_own = each.recipient == node.origin
    believed = partners.get(session, each.auditor if is_own else each.recipient)
    if believed is None or believed.refused:
        return False
    return not is_own or believed.request_key == each.request_key
