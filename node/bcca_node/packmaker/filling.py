"""What a run has collected with its gaps filled, as far as its maker and the rules allow it."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.packmaker import factorbook
from bcca_node.packmaker.collect import Collected
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.ownvalues import OwnValue, filled
from bcca_node.packmaker.standins import Known, stand_ins
from bcca_node.storage import seen
from bcca_protocol.errors import RefusedError
from bcca_protocol.rules import RuleSet


def fill(node: Node, collected: Collected, told: Sequence[OwnValue], rules: RuleSet) -> Collected:
    """Return `collected` with its gaps filled: by own values, else by the nearest factors.

    Raises UnusableError as `filled` does, and for an imported set that cannot be read any more.
    """
    parts = [each.part for each in collected.reached.values()]
    known = Known(
        names={part.product: part.name for part in parts}, region_of=_regions(node, collected)
    )
    nearest = stand_ins(factorbook.every(node), rules, known)
    return replace(collected, choose=filled(collected.choose, parts, told, nearest, rules))


def _regions(node: Node, collected: Collected) -> Callable[[str, str | None], str | None]:
    """Return who says where an origin makes things: what its statements here agree on."""

    @cache
    def by_issuer() -> Mapping[str, Sequence[Held]]:
        found: dict[str, list[Held]] = defaultdict(list)
        for each in collected.reached.values():
            found[each.part.issuer].append(each)
        return dict(found)

    @cache
    def region_of(origin: str, site: str | None) -> str | None:
        own = by_issuer().get(origin, ())
        at_site = [each for each in own if site is not None and each.part.site == site]
        found = {_region(node, each) for each in at_site or own} - {None}
        return found.pop() if len(found) == 1 else None

    return region_of


def _region(node: Node, held: Held) -> str | None:
    """Return the subdivision, else the country, of the plant that a statement is about."""
    envelope = held.envelope
    if not envelope:
        with node.database.read() as session:
            kept = seen.statement(session, held.part.commitment)
        envelope = b"" if kept is None else kept.envelope
    try:
        site = predicate_of(envelope).site if envelope else None
    except RefusedError:
        return None
    return None if site is None else site.subdivision or site.country
