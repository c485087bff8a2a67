"""PACT partners are told of footprints that are new or changed, each once (SPEC 16.4).

That is found in this node's own log, as far as it is published. Nobody is told of what it may not
see; whoever comes to see it later is told then.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.pact import cloudevents, shelf
from bcca_node.pact.cloudevents import Published
from bcca_node.pact.model import ACTIVE, DEPRECATED
from bcca_node.storage import grants, pactclients, pactfetch, pactnews, pactsending, pactshelf
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.pactsending import Letter
from bcca_node.storage.pactshelf import Card

MAX_NAMED = 500  # footprints in one event: 20 kB, and whoever fetches them is done in minutes
_PAGE = 1_000  # cards in memory at a time


@dataclass(frozen=True, slots=True)
class _Read:
    """How far a partner was told, and what it was granted then."""

    size: int
    granted: frozenset[tuple[str, str]]


class Notices:
    """Tells PACT partners what is new; remembers how far it has read for each."""

    def __init__(self, node: Node) -> None:
        """Tell for `node`."""
        self._node = node
        self._read: dict[tuple[str, int], _Read] = {}

    def tell(self) -> int:
        """Tell whoever was not told yet, and return how many events that makes.

        They are on their way when it is noted that their partner was told, or neither is. Raises
        UnavailableError where the database is not there.
        """
        shelf.refresh(self._node)
        with self._node.database.read() as session:
            known = [each for each in pactclients.every(session) if each.url]
            size = pactshelf.mark(session)
            granted = {each.name: self._granted(session, each) for each in known}
        return sum(self._told(each, _Read(size, granted[each.name])) for each in known)

    def _told(self, partner: PactPartner, now: _Read) -> int:
        name = partner.origin, partner.since
        before = self._read.get(name)
        if before == now:
            return 0
        with self._node.database.read() as session:
            start = pactnews.beginning(session, partner.origin)
            if before is not None and before.granted == now.granted:
                start = max(start, before.size)
            wanted = list(self._untold(session, partner, start, now.size))
        count = self._put(partner, wanted) if wanted else 0
        self._read[name] = now
        return count

    def _untold(
        self, session: Session, partner: PactPartner, start: int, size: int
    ) -> Iterator[Card]:
        """Yield what entries from `start` on changed, as far as a partner may see it."""
        rights = shelf.rights(session, self._node, partner)
        told = pactfetch.told(session, partner.origin)
        while start < size:
            cards = shelf.changed(session, start, _PAGE)
            for card in cards:
                if (card.id, _status(card)) not in told and rights.sees(card):
                    yield card
            if len(cards) < _PAGE:
                return
            start = cards[-1].changed + 1  # an entry makes or ends one footprint

    def _put(self, partner: PactPartner, wanted: list[Card]) -> int:
        """Put events on their way; what another process has told meanwhile is left out."""
        at, count = self._node.clock(), 0
        with self._node.database.write() as session:
            if pactclients.get(session, partner.name) is None:
                return 0
            told = pactfetch.told(session, partner.origin)
            left = [each for each in wanted if (each.id, _status(each)) not in told]
            for first in range(0, len(left), MAX_NAMED):
                some = left[first : first + MAX_NAMED]
                event_id = cloudevents.new_id()
                published = Published(pf_ids=tuple(dict.fromkeys(each.id for each in some)))
                body = cloudevents.encode(event_id, self._node.settings.url, at, published)
                letter = Letter(partner=partner.origin, event=event_id, what="published", body=body)
                pactsending.send(session, letter, at)
                pactfetch.set_told(
                    session, partner.origin, [(each.id, _status(each)) for each in some]
                )
                count += 1
        return count

    def _granted(self, session: Session, partner: PactPartner) -> frozenset[tuple[str, str]]:
        live = grants.live(session, partner.origin, self._node.clock())
        return frozenset((scope.value, about) for scope, about in live)


def _status(card: Card) -> str:
    return DEPRECATED if card.deprecated else ACTIVE
