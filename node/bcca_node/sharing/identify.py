"""Whose request key has signed a call (SPEC 13.9, rules 1 to 4)."""

from sqlmodel import Session

from bcca_node.ledger import keylines
from bcca_node.ledger.node import Node
from bcca_node.sharing.appointed import appointed
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import logs, partners
from bcca_node.storage.calltrim import ON_BEHALF
from bcca_protocol.keys import Role, VerifierKey


def identify(node: Node, key: VerifierKey) -> Caller:
    """Return who signs with `key`; the signature itself was verified before.

    Only keys known here give a name: what a key calls itself counts for nothing.
    """
    name = ("caller", key.encode())
    return node.memo.get(node.moment(), name, Caller, lambda: _known(node, key))


def _known(node: Node, key: VerifierKey) -> Caller:
    vkey = key.encode()
    with node.database.read() as session:
        if _is_own(node, session, key):
            return Caller(kind=Kind.OPERATOR, key=key, origin=node.origin)
        partner = partners.by_request_key(session, vkey)
        if partner is not None:
            return Caller(kind=Kind.PARTNER, key=key, origin=partner.origin)
        held = appointed(session, node, vkey)
    if not held:
        return Caller(kind=Kind.STRANGER, key=key)
    # A name that a partner gave is none without that partner's.
    name = f"{held[0].auditor}{ON_BEHALF}{held[0].recipient}"
    return Caller(kind=Kind.AUDITOR, key=key, origin=name)


def _is_own(node: Node, session: Session, key: VerifierKey) -> bool:
    """Say whether a key of this process is good in the log as it is now.

    Another process may have retired it since this one was started.
    """
    held = {each.index for each in node.keystore.good(Role.REQUEST) if each.key == key}
    if not held:
        return False
    there = keylines.read(logs.lines_like(session, keylines.BEGINNING))
    return any(index in there and there[index].ended is None for index in held)
