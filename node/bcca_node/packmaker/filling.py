"""What a run has collected with its gaps filled, as far as its maker and the rules allow it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.packmaker import factorbook
from bcca_node.packmaker.collect import Collected
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.ownvalues import OwnValue, filled
from bcca_node.packmaker.standins import Known, stand_ins
from bcca_node.packmaker.unsignedrung import rung
from bcca_node.storage import seen
from bcca_protocol.allowing import called
from bcca_protocol.errors import RefusedError
from bcca_protocol.period import Span
from bcca_protocol.rules import RuleSet


def fill(
    node: Node, collected: Collected, told: Sequence[OwnValue], rules: RuleSet, period: Span
) -> Collected:
    """Return `collected` with its gaps filled: by own values, unsigned footprints, factors.

    The root part is about `period`. Raises UnusableError as `filled` does, and for an imported set
    that cannot be read any more.
    """
    parts = [each.part for each in collected.reached.values()]
    known = Known(
        names={part.product: part.name for part in parts}, region_of=_regions(node, collected)
    )
    nearest = stand_ins(factorbook.every(node), rules, known)
    choose = filled(collected.choose, parts, told, nearest, rules)
    unsigned = rung(node, parts, period)
    return replace(collected, choose=unsigned.over(choose, rules, called(parts, rules)))


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
        found = {_region(envelope) for envelope in _envelopes(node, at_site or own)} - {None}
        return found.pop() if len(found) == 1 else None

    return region_of


def _envelopes(node: Node, some: Sequence[Held]) -> Iterator[bytes]:
    """Yield the envelopes of some statements, from where those are kept that came without."""
    yield from (each.envelope for each in some if each.envelope)
    asked = [each.part.commitment for each in some if not each.envelope]
    if asked:
        with node.database.read() as session:
            yield from (each.envelope for each in seen.some(session, asked))


def _region(envelope: bytes) -> str | None:
    """Return the subdivision, else the country, of the plant that a statement is about."""
    try:
        site = predicate_of(envelope).site
    except RefusedError:
        return None
    return None if site is None else site.subdivision or site.country
