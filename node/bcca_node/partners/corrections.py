"""Who was granted one statement is granted what corrects it, on the same terms (SPEC 13.11)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.storage import grants, logs, statements
from bcca_node.storage.grants import Corrected, Grant, Scope
from bcca_node.storage.statements import OwnStatement
from bcca_protocol.entry import Status, StatusEntry, parse_entry
from bcca_protocol.errors import RefusedError

AT_ONCE = 100  # grants in one turn to write, which others wait for: some 50 ms


def extend(node: Node) -> int:
    """Grant what corrects a statement to whom that was granted; return how many grants that makes.

    A grant ends when the one before does. What was taken back stays so, and what is there, in
    whatever form, is left as it is: so this may be done again at any time.
    """
    with node.database.read() as session:
        if next(_missing(node, session), None) is None:
            return 0
    count = 0
    while True:  # what corrects may itself be corrected
        with node.database.write() as session:
            few = list(islice(_missing(node, session), AT_ONCE))
            for each in few:
                grants.put(session, each)
        count += len(few)
        if not few:
            return count


def _missing(node: Node, session: Session) -> Iterator[Grant]:
    head, at = logs.published_head(session), node.clock()
    if head is None:
        return
    found: dict[int, OwnStatement | None] = {}
    for each in grants.corrected(session, head.size, at):
        if each.ended not in found:
            found[each.ended] = _successor(session, each, head.size)
        successor = found[each.ended]
        if successor is None:
            continue
        name = successor.commitment
        if grants.get(session, each.grant.partner, Scope.STATEMENT, name) is None:
            yield replace(each.grant, about=name, given=at)


def _successor(session: Session, corrected: Corrected, size: int) -> OwnStatement | None:
    """Return the published statement of the same product and period that corrects this one."""
    [line] = logs.entries(session, corrected.ended, corrected.ended + 1)
    try:
        entry = parse_entry(line.decode())
    except RefusedError:
        return None
    if not isinstance(entry, StatusEntry) or entry.status is not Status.CORRECTED:
        return None
    own = None if entry.successor is None else statements.get(session, entry.successor.hex())
    if own is None or own.index >= size:
        return None
    same = own.product == corrected.product and own.span == corrected.span
    return own if same else None
