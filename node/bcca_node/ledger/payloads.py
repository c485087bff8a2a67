"""Statements of this node that its log holds and its database lost, fetched back from others.

A customer's copy of a public statement is believed because it hashes to the very entry.
"""

import asyncio
from collections.abc import Sequence

from bcca_node.ledger import ended
from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import own_statement
from bcca_node.network.client import Fetcher
from bcca_node.storage import lost, statements
from bcca_node.storage.lost import Lost
from bcca_node.storage.statements import OwnStatement
from bcca_protocol import statement
from bcca_protocol.entry import StatementEntry, parse_entry
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import AuthorshipError, BccaError
from bcca_protocol.limits import MAX_STATEMENT_BYTES
from bcca_protocol.verify import entry_of

AT_ONCE = 256  # asked for before they are stored: of usual statements, 4 MB


async def find(node: Node, fetcher: Fetcher, places: Sequence[str]) -> int:
    """Ask at `places`, URLs before a commitment, for all that is lost; return how much was found.

    A place that fails, or shows something else, is asked for the next one all the same.
    """
    with node.database.read() as session:
        missing = lost.everything(session) if places else []
        ends = ended.read(session) if missing else {}
    count = 0
    for start in range(0, len(missing), AT_ONCE):
        few = missing[start : start + AT_ONCE]
        answers = await asyncio.gather(*(_find(fetcher, places, each) for each in few))
        found = [own for own in answers if own is not None]
        with node.database.write() as session:
            still = {each.commitment for each in lost.find(session, [it.commitment for it in few])}
            own = [each for each in found if each.commitment in still]
            for each in own:
                at = ends.get(ended.handle_of(each))
                statements.add(session, [each])
                if at is not None:
                    statements.end(session, each.commitment, at)
            lost.drop(session, [each.commitment for each in own])
        count += len(own)
    return count


async def _find(fetcher: Fetcher, places: Sequence[str], wanted: Lost) -> OwnStatement | None:
    for place in places:
        url = f"{place}/{wanted.commitment}"
        try:
            body = await fetcher.find(url, limit=MAX_STATEMENT_BYTES)
            if body is not None:
                return _own(body, wanted)
        except BccaError:
            continue
    return None


def _own(body: bytes, wanted: Lost) -> OwnStatement:
    """Return the statement in `body`; raises AuthorshipError unless it is the one of the entry."""
    envelope, entry = Envelope.parse(body), parse_entry(wanted.line)
    if not isinstance(entry, StatementEntry) or entry_of(envelope, entry.key) != entry:
        raise AuthorshipError(f"{wanted.commitment}: not what entry {wanted.index} says")
    predicate = statement.decode(envelope.payload).predicate
    return own_statement(wanted.commitment, wanted.index, predicate, envelope.encode())
