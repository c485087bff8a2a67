"""What a result lacks, asked of those suppliers that are partners (SPEC 13.11)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bcca_node.ledger.node import Node
from bcca_node.packmaker.chase import Item
from bcca_node.packmaker.recalled import Recalled
from bcca_node.partners import requests
from bcca_node.partners.event import Wanted
from bcca_node.storage import partners
from bcca_node.storage import requests as stored
from bcca_node.storage.partners import Partner, PartState


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What data is asked for, and until when."""

    purpose: str
    due: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking for a product: the request, or why there is none.

    `is_new` says that it was asked just now, `is_stranger` that its supplier is no partner.
    """

    origin: str
    product: str
    words: str
    request: str | None = None
    is_new: bool = False
    is_stranger: bool = False


def ask(node: Node, recalled: Recalled, items: Iterable[Item], wish: Wish) -> list[Asked]:
    """Ask for each product once, for the roll-up's period; what is asked already stays as it is.

    Where both sides confirmed a part number for it, the request names that too.

    Raises UnusableError where `wish` is due in the past or cannot be said.
    """
    with node.database.read() as session:
        known = {each.origin: each for each in partners.every(session)}
    places = dict.fromkeys((each.supplier, each.product) for each in items)
    return [_asked(node, recalled, wish, known, place) for place in places]


def _asked(
    node: Node,
    recalled: Recalled,
    wish: Wish,
    known: Mapping[str, Partner],
    place: tuple[str, str],
) -> Asked:
    origin, product = place
    partner = known.get(origin)
    if origin == node.origin:
        return Asked(origin=origin, product=product, words="it is your own: publish it")
    if partner is None:
        words = "not asked: it is no partner"
        return Asked(origin=origin, product=product, words=words, is_stranger=True)
    if partner.refused:
        words = f"not asked: its keys are refused, {partner.refused}"
        return Asked(origin=origin, product=product, words=words)
    names = _names(node, origin, product)
    wanted = Wanted(
        period=recalled.statement.period,
        purpose=wish.purpose,
        part=names[0] if names else None,
        product=product,
        due=wish.due,
    )
    waiting = _waiting(node, origin, wanted, {product, *names})
    if waiting is not None:
        words = f"asked already: request {waiting}"
        return Asked(origin=origin, product=product, words=words, request=waiting)
    made = requests.ask(node, origin, wanted)
    words = f"asked: request {made.id}"
    return Asked(origin=origin, product=product, words=words, request=made.id, is_new=True)


def _names(node: Node, origin: str, product: str) -> list[str]:
    """Return the part numbers that both sides say are a product, the partner's own first."""
    with node.database.read() as session:
        pairs = partners.parts(session, origin, PartState.CONFIRMED)
    theirs = [each.theirs for each in pairs if each.ours == product]
    return [*theirs, *(each.ours for each in pairs if each.theirs == product)]


def _waiting(node: Node, origin: str, wanted: Wanted, names: Collection[str]) -> str | None:
    """Return the open request for what is called so, and for all of a period, if there is one."""
    start, end = wanted.period.start, wanted.period.end
    with node.database.read() as session:
        found = stored.chosen(session, incoming=False, partner=origin)
    return next(
        (
            each.id
            for each in found
            if each.is_open
            and not {each.wanted, each.product, each.part}.isdisjoint(names)
            and each.period_start <= start
            and end <= each.period_end
        ),
        None,
    )
