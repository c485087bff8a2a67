"""An incomplete result beside the roll-up that stands, where runs follow each other unwatched.

A supplier that is down for an hour would else correct a footprint twice, and one that stays away as
often as it is asked: a reason may tell the time.
"""

from msgspec.structs import replace

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.packmaker import secrecy
from bcca_node.storage import statements
from bcca_protocol.results import Edge
from bcca_protocol.statement import FootprintRollUp

_OF_THE_RUN = ("nonce", "corrects", "follows", "reference_date", "logs", "manifest_digest")


def corrected(node: Node, entered: FootprintRollUp) -> FootprintRollUp | None:
    """Return the roll-up that one to be entered would correct, as that was entered."""
    if entered.corrects is None:
        return None
    with node.database.read() as session:
        found = statements.find(session, [entered.corrects])
    made = [predicate_of(each.envelope) for each in found]
    return next((each for each in made if isinstance(each, FootprintRollUp)), None)


def says_the_same(node: Node, stands: FootprintRollUp, whole: FootprintRollUp) -> bool:
    """Say whether a roll-up says what `stands` says, the reasons for what is missing apart."""
    with node.database.read() as session:
        before = secrecy.whole(session, stands)
    same = {name: getattr(before, name) for name in _OF_THE_RUN}
    told = replace(whole, **same, manifest=_without_reasons(whole))
    return told == replace(before, manifest=_without_reasons(before))


def _without_reasons(stated: FootprintRollUp) -> tuple[Edge, ...]:
    return tuple(map(_without_reason, stated.manifest or ()))


def _without_reason(edge: Edge) -> Edge:
    gap = edge.resolved.gap
    if gap is None:
        return edge
    return replace(edge, resolved=replace(edge.resolved, gap=replace(gap, reason="")))
