"""Which footprints answer what a PACT partner asks: what it may see, or is promised (SPEC 16.4)."""

from collections.abc import Sequence
from itertools import accumulate

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.pact import naming, paging, shelf
from bcca_node.pact.criteria import Criteria
from bcca_node.pact.paging import START
from bcca_node.partners import answers
from bcca_node.sharing import access
from bcca_node.storage import grants, logs, pactnews, pactshelf, recipes, statements
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.pactshelf import BEGINNING, Card, Term, Wanted
from bcca_node.storage.requests import Request
from bcca_node.storage.statements import OwnStatement

MAX_ANSWERED = 1_000  # footprints in one answer; whoever is shown more asks for a list
MAX_ANSWER_BYTES = 8 * 1024 * 1024  # of them together: half of what this node takes in one event
MAX_PROMISED = 500  # footprints of the products of one request that are looked at


def standing(session: Session, origin: str) -> tuple[object, ...]:
    """Return what has changed if an open request may have an answer that it had not before.

    `origin` is this node's: what it says of requests counts, and what partners say does not.
    """
    head = logs.published_head(session)
    size = 0 if head is None else head.size
    return size, pactshelf.mark(session), *pactnews.said(session, origin)


def seen(session: Session, node: Node, partner: PactPartner, criteria: Criteria) -> list[Card]:
    """Return what a partner asks for and may see, the newest first.

    Deprecated footprints are among them, as in a list, unless another status is asked for.
    """
    if criteria.is_impossible:
        return []
    wanted = naming.wanted(session, partner.origin, criteria)
    rights = access.standing(node, shelf.caller(partner)).rights
    cards, _ = paging.page(session, rights, wanted, START, MAX_ANSWERED)
    held = list(accumulate(card.size for card in cards))
    return [card for card, size in zip(cards, held, strict=True) if size <= MAX_ANSWER_BYTES]


def promised(session: Session, request: Request, criteria: Criteria) -> list[Card]:
    """Return what answers a request that the operator accepted: the best of each product.

    Left out is what was granted, and taken back or over since it was accepted. What is deprecated
    is granted anew only to who asks for it by its status: what holds is yet to be made.
    """
    if criteria.is_impossible:
        return []
    wanted = _current(naming.wanted(session, request.partner, criteria))
    if request.product:
        values = {*wanted.terms.get(Term.PRODUCT, ()), request.product.lower()}
        wanted = wanted._replace(terms={**wanted.terms, Term.PRODUCT: sorted(values)})
    secret = recipes.behind(session)
    cards = {
        card.commitment: card
        for card in pactshelf.walk(session, wanted, BEGINNING, MAX_PROMISED)
        if card.commitment not in secret
    }
    best: dict[str, OwnStatement] = {}
    for own in sorted(statements.find(session, sorted(cards)), key=_fitness):
        if not answers.was_ended_since(session, request, own):
            best[own.product] = own
    return [cards[own.commitment] for own in best.values()]


def product_called(session: Session, partner: str, name: str) -> str | None:
    """Return the product of this node that `name` is, or that both sides say it is."""
    known = Wanted(terms={Term.PRODUCT: (name.lower(),)})
    found = pactshelf.walk(session, known, BEGINNING, 1)
    if found:
        return found[0].product
    return naming.products(session, partner, [name.lower()]).get(name.lower())


def contents(session: Session, cards: Sequence[Card]) -> list[bytes]:
    """Return footprints as they are sent."""
    found = pactshelf.contents(session, [card.place for card in cards])
    return [found[card.place] for card in cards]


def grant(node: Node, session: Session, request: Request, cards: Sequence[Card]) -> None:
    """Let the partner see what answers it; what it may see already stays as it is."""
    at = node.clock()
    for card in cards:
        given = grants.covering(session, request.partner, card.commitment, card.product)
        if card.sharing == "public" or any(each.holds(at) for each in given):
            continue
        grants.put(
            session,
            Grant(
                partner=request.partner,
                scope=Scope.STATEMENT,
                about=card.commitment,
                given=at,
                why=f"request {request.id}",
            ),
        )


def _current(wanted: Wanted) -> Wanted:
    """Return that without deprecated footprints, unless these are asked for."""
    return wanted if wanted.deprecated is not None else wanted._replace(deprecated=False)


def _fitness(own: OwnStatement) -> tuple[bool, int]:
    """Sort the best last: of the whole product, then the newest."""
    return own.site is None and own.batch is None, own.index
