"""Publishing answers requests: one statement, every accepted one for its product (SPEC 13.11).

Nobody is answered what it could not see before unless the operator accepted that very request.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.partners import corrections, correspondence, parts
from bcca_node.partners.correspondence import ClockError, Remark
from bcca_node.storage import grants, logs, pactclients, partners, recipes, requests, statements
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.requests import OPEN, Request
from bcca_node.storage.statements import OwnStatement
from bcca_protocol.statement import FOOTPRINT, PARTIAL_FOOTPRINT

FOOTPRINTS = (PARTIAL_FOOTPRINT, FOOTPRINT)
AT_ONCE = 50  # requests in one turn to write, which others wait for: some 0.2 s

_LOGGER = logging.getLogger(__name__)


class Sweep(Protocol):
    """What is done to one request of many: return it if there is anything to do."""

    def __call__(
        self, node: Node, session: Session, request: Request, *, really: bool
    ) -> Request | None:
        """Do it if `really`, else only say so."""


def sweep(node: Node, choose: Callable[[Session], list[Request]], one: Sweep) -> list[Request]:
    """Do to each of the chosen open requests what there is to do, and return those.

    Each in one transaction, AT_ONCE of them in a turn to write; where there is nothing to do,
    nobody waits for that turn.
    """
    with node.database.read() as session:
        found = [each for each in choose(session) if one(node, session, each, really=False)]
    return [each for few in _slices(found) for each in _turn(node, few, one)]


def fulfil(node: Node) -> list[Request]:
    """Answer every request that a published statement answers, and return those requests.

    Each is fulfilled, granted that statement and told in one transaction, and never again. Who was
    granted a statement that was corrected is granted what corrects it.
    """
    corrections.extend(node)
    return sweep(node, lambda session: _answerable(node, session), _answered)


def unanswered(node: Node, published: Collection[str]) -> list[Request]:
    """Return the open requests that ask for one of these statements, and were not answered.

    They were not accepted, or not since a grant was taken back or ran out.
    """
    with node.database.read() as session:
        found = [e for e in statements.find(session, sorted(published)) if e.kind in FOOTPRINTS]
        products = {each.product for each in found}
        asked = [
            request
            for product in sorted({*products, ""})  # those with a part number alone, too
            for request in requests.chosen(session, incoming=True, states=OPEN, product=product)
            if is_partner(session, request.partner)
        ]
        return [
            each
            for each in asked
            if any(
                own.product in products_of(session, each) and _covers(own, each) for own in found
            )
        ]


def is_partner(session: Session, origin: str) -> bool:
    """Say whether this node deals with `origin`, and believes its keys, if it has any."""
    if pactclients.is_pact(origin):
        return pactclients.get(session, origin) is not None
    found = partners.get(session, origin)
    return found is not None and not found.refused


def products_of(session: Session, request: Request) -> list[str]:
    """Return the products that a request may be about here: as said, else as the part confirmed."""
    return [request.product] if request.product else _confirmed(session, request)


def answer_to(node: Node, session: Session, request: Request) -> OwnStatement | None:
    """Return the published current statement that answers a request of a partner, if one may.

    It may where the supplier accepted this request, and has not since taken back what the partner
    was granted; and where the partner may see it anyway. Nothing is so had for the asking.
    """
    products, head = products_of(session, request), logs.published_head(session)
    if not products or head is None:
        return None
    secret = recipes.behind(session)
    found = [
        each
        for each in statements.current(session, products, head.size)
        if each.kind in FOOTPRINTS and _covers(each, request) and each.commitment not in secret
    ]
    if not found:
        return None
    agreed = correspondence.standing(session, request).agreed_at is not None
    free = [
        each
        for each in found
        if _is_seen(node, session, request, each)
        or (agreed and not was_ended_since(session, request, each))
    ]
    return max(free, key=_fitness, default=None)


def was_ended_since(session: Session, request: Request, own: OwnStatement) -> bool:
    """Say whether a grant of a statement ended, by hand or by itself, after the acceptance."""
    given = grants.covering(session, request.partner, own.commitment, own.product)
    return any(each.until is not None and each.until > request.agreed for each in given)


def _is_seen(node: Node, session: Session, request: Request, own: OwnStatement) -> bool:
    """Say whether the partner may see a statement whatever it asks; as `sharing.access` does."""
    given = grants.covering(session, request.partner, own.commitment, own.product)
    return own.sharing == "public" or any(each.holds(node.clock()) for each in given)


def _confirmed(session: Session, request: Request) -> list[str]:
    """Return what both sides say is the part number of a request of a partner."""
    if not request.incoming or not request.part:
        return []
    found = parts.resolve(session, request.partner, request.part)
    return [] if found is None else [found]


def _answerable(node: Node, session: Session) -> list[Request]:
    """Return what is worth a closer look, found without looking at every open request."""
    head = logs.published_head(session)
    if head is None:
        return []
    names = requests.answerable(session, FOOTPRINTS, size=head.size, at=node.clock())
    found = (requests.get(session, *each) for each in names)
    return [each for each in found if each is not None]


def _turn(node: Node, few: Sequence[Request], one: Sweep) -> list[Request]:
    """Do to some requests what there still is to do, in one turn to write."""
    with node.database.write() as session:
        known = (requests.get(session, each.partner, each.id) for each in few)
        done = [
            one(node, session, each, really=True)
            for each in known
            if each is not None and each.is_open
        ]
    return [each for each in done if each is not None]


def _slices(found: Sequence[Request]) -> Iterator[Sequence[Request]]:
    for start in range(0, len(found), AT_ONCE):
        yield found[start : start + AT_ONCE]


def _answered(node: Node, session: Session, request: Request, *, really: bool) -> Request | None:
    if not is_partner(session, request.partner):
        return None
    answer = answer_to(node, session, request)
    if answer is None or not really:
        return None if answer is None else request
    remark = Remark(kind="fulfilled", product=answer.product, commitment=answer.commitment)
    try:
        settled = correspondence.say(node, session, request, remark)
    except ClockError as error:  # nothing was kept; the others are answered all the same
        _LOGGER.warning("not answered: %s", error)
        return None
    _grant(node, session, request, answer)
    return settled


def _grant(node: Node, session: Session, request: Request, answer: OwnStatement) -> None:
    """Let the partner see the one statement that answers; what it may see already is as it was."""
    if _is_seen(node, session, request, answer):
        return
    grants.put(
        session,
        Grant(
            partner=request.partner,
            scope=Scope.STATEMENT,
            about=answer.commitment,
            given=node.clock(),
            why=f"request {request.id}",
        ),
    )


def _covers(statement: OwnStatement, request: Request) -> bool:
    return (
        statement.period_start <= request.period_start
        and request.period_end <= statement.period_end
    )


def _fitness(statement: OwnStatement) -> tuple[bool, bool, int]:
    """Sort the best answer last: of the whole product, a footprint with its parts, the newest."""
    whole = statement.site is None and statement.batch is None
    return whole, statement.kind == PARTIAL_FOOTPRINT, statement.index
