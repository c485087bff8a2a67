"""What PACT partners ask of this node: kept in its inbox, and answered once each (SPEC 16.4).

An answer and all that follows from it are one transaction, so that a kill leaves a request open or
answered, and never half. Nobody is answered what it could not see before unless the operator
accepted that very request.
"""

import hashlib
import logging
import re
from dataclasses import dataclass, replace
from uuid import UUID, uuid5

import msgspec
from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.pact import cloudevents, matching, shelf
from bcca_node.pact.cloudevents import MAX_MESSAGE_CHARS, Created, Error, Fulfilled, Rejected
from bcca_node.pact.criteria import Criteria
from bcca_node.partners import correspondence
from bcca_node.partners.correspondence import MAX_KEPT, MAX_OPEN, ClockError, Remark
from bcca_node.partners.inlet import FullError
from bcca_node.storage import pactclients, pactevents, pactsending, requests
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.pactevents import Answer, Asked
from bcca_node.storage.pactsending import Letter
from bcca_node.storage.pactshelf import Card, Term
from bcca_node.storage.requests import Request, State
from bcca_protocol import wire
from bcca_protocol.errors import MalformedError
from bcca_protocol.wire import showable

DAY = 86_400
NEW_DAYS = 30  # then a request that nobody has looked at is rejected: its asker waits
ACCEPTED_DAYS = 365  # and one that was accepted, where nothing was published in a year

MAX_AT_ONCE = 200  # requests that are looked at in one turn, some seconds; others have the next

# Of the ids of what answers events: made from who asked and by what, so never two of one.
_ANSWERS = UUID("5c1f0d57-4a4e-5b0d-9a0f-3f0a5f3c7f55")
_URN = re.compile(wire.URN)
# What may be the id of a product at all; what begins with urn:pact: names issuer, type and id.
_NAMING = re.compile(
    r"urn:(?:(?!pact:)[a-z0-9][a-z0-9-]{0,30}[a-z0-9]:.+|pact:[^:]+:[^:]+:.+)", re.S
)
_LISTS = frozenset({"productId", "companyId", "geography", "classification"})
_TOLD: msgspec.json.Decoder[dict[str, object]] = msgspec.json.Decoder(dict[str, object])

_LOGGER = logging.getLogger(__name__)


def receive(
    node: Node, session: Session, partner: PactPartner, event_id: str, created: Created
) -> None:
    """Keep what a partner asks; what names products is a request in the inbox.

    Raises MalformedError for criteria that are none, FullError where too many wait.
    """
    told = wire.read(created.data, _TOLD, what="data of a request")
    for name in _LISTS & told.keys():
        if told[name] is not None and not isinstance(told[name], list):
            raise MalformedError(f"data.{name}: no array, where an event has one of texts")
    criteria = Criteria.from_event(told)
    asked = Asked(
        partner=partner.origin,
        event=event_id,
        request="",
        data=created.data,
        at=node.clock(),
    )
    if criteria.terms.get(Term.PRODUCT):
        asked = replace(asked, request=_name(asked))
        _require_room(session, partner.origin)
        _enter(session, asked, criteria, created.comment)
    pactevents.put_request(session, asked)


class Replies:
    """Answers what is open; remembers what it has looked at, so that nothing is for nothing."""

    def __init__(self, node: Node) -> None:
        """Answer for `node`."""
        self._node = node
        self._standing: object = None  # of the last look
        self._counts: object = None  # as all that was open had been looked at
        self._looked: dict[tuple[str, str], int] = {}  # in which turn
        self._turn = self._since = 0  # now, and when the last look began to be out of date

    def answer(self) -> int:
        """Answer whatever can be answered now, each in a transaction; return how many that is.

        At most MAX_AT_ONCE are looked at, first those that were looked at longest ago. Raises
        UnavailableError where the database is not there.
        """
        shelf.refresh(self._node)
        with self._node.database.read() as session:
            day = self._node.clock() // DAY  # some wait for no longer than so many
            standing = day, *matching.standing(session, self._node.origin)
            counts = standing, *pactevents.request_counts(session)
            if counts == self._counts:
                return 0
            left = self._left(session, standing)
            some = left[:MAX_AT_ONCE]
            due = [each for each in some if _Reply.to(self._node, session, each) is not None]
        count = sum(_answer(self._node, each) for each in due)
        self._looked |= {(each.partner, each.event): self._turn for each in some}
        self._counts = counts if some == left else None
        return count

    def _left(self, session: Session, standing: object) -> list[Asked]:
        """Return what was not looked at as things stand now, and forget what is not open."""
        self._turn += 1
        if standing != self._standing:
            self._standing, self._since = standing, self._turn
        names = {(each.partner, each.event): each for each in pactevents.open_requests(session)}
        self._looked = {name: turn for name, turn in self._looked.items() if name in names}
        left = [name for name in names if self._looked.get(name, 0) < self._since]
        return [names[name] for name in sorted(left, key=lambda it: self._looked.get(it, 0))]


def _answer(node: Node, asked: Asked) -> bool:
    """Answer one request if that can still be done; say whether it was."""
    with node.database.write() as session:
        now = pactevents.request(session, asked.partner, asked.event)
        reply = None if now is None else _Reply.to(node, session, now)
        if reply is None:
            return False
        try:
            reply.give()
        except ClockError as error:  # nothing is kept; the others are answered all the same
            _LOGGER.warning("not answered: %s", error)
            session.rollback()
            return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Why:
    """Why a request is rejected; `said` where the operator has said so."""

    code: str
    words: str
    said: bool = False


@dataclass(frozen=True, slots=True)
class _Reply:
    """The one answer to a request, as it would be given now: footprints, or why there are none."""

    node: Node
    session: Session
    asked: Asked
    request: Request | None
    answer: list[Card] | _Why

    @classmethod
    def to(cls, node: Node, session: Session, asked: Asked) -> "_Reply | None":
        """Return the answer to a request, None where it has one or there is none yet."""
        partner = pactclients.get(session, asked.partner)
        if partner is None or asked.state is not Answer.OPEN:
            return None
        name = asked.request
        request = requests.get(session, asked.partner, name) if name else None
        criteria = Criteria.from_event(_TOLD.decode(asked.data))
        if request is not None and request.state is State.DECLINED:
            return cls(node, session, asked, request, _declined(session, request))
        found = matching.seen(session, node, partner, criteria)
        if not found and request is not None and request.state is State.ACCEPTED:
            found = matching.promised(session, request, criteria)
        if found:
            return cls(node, session, asked, request, found)
        why = _hopeless(asked, request, criteria, node.clock())
        return None if why is None else cls(node, session, asked, request, why)

    def give(self) -> None:
        """Put the answer on its way, with all that follows from it; raises ClockError."""
        asked = self.asked
        match self.answer:
            case _Why() as why:
                if self.request is not None and not why.said:
                    self._say(Remark(kind="declined", reason="notOurProduct", comment=why.words))
                error = Error(code=why.code, message=why.words[:MAX_MESSAGE_CHARS])
                told = Rejected(request_event_id=asked.event, error=error)
                self._tell(Answer.REJECTED, told)
            case found:
                if self.request is not None:
                    best = next((each for each in found if not each.deprecated), found[0])
                    name = best.commitment
                    self._say(Remark(kind="fulfilled", product=best.product, commitment=name))
                    matching.grant(self.node, self.session, self.request, found)
                shelf.note(self.node, asked.partner, found)
                pfs = tuple(map(msgspec.Raw, matching.contents(self.session, found)))
                self._tell(Answer.FULFILLED, Fulfilled(request_event_id=asked.event, pfs=pfs))

    def _say(self, remark: Remark) -> None:
        if self.request is not None:
            correspondence.say(self.node, self.session, self.request, remark)

    def _tell(self, state: Answer, told: Fulfilled | Rejected) -> None:
        """Note that the request has its answer: there is no other."""
        node, asked = self.node, self.asked
        event_id = str(uuid5(_ANSWERS, f"{node.origin}\n{asked.partner}\n{asked.event}"))
        body = cloudevents.encode(event_id, node.settings.url, node.clock(), told)
        letter = Letter(partner=asked.partner, event=event_id, what=state.value, body=body)
        pactsending.send(self.session, letter, node.clock())
        pactevents.put_request(self.session, replace(asked, state=state, answered=event_id))


def _declined(session: Session, request: Request) -> _Why:
    """Return what the operator has said to a request that it declined."""
    said = requests.events(session, request.partner, request.id)
    words = next((e.text for e in reversed(said) if e.kind == "declined" and e.text), "")
    code = "AccessDenied" if request.reason == "confidential" else "NotFound"
    return _Why(code=code, words=words or request.reason, said=True)


def _hopeless(asked: Asked, request: Request | None, criteria: Criteria, at: int) -> _Why | None:
    """Return why there will be no footprints, None where there may be some."""
    if criteria.is_impossible:
        words = (
            "no footprint can meet these criteria: its status is Active or Deprecated, and "
            "validAfter, validOn and validBefore follow each other"
        )
        return _Why(code="NotFound", words=words)
    if request is None:
        return _Why(code="NotFound", words="no footprint that you may see matches these criteria")
    if not any(map(_NAMING.fullmatch, criteria.terms[Term.PRODUCT])):
        words = "none of these is an id of a product: write URNs such as urn:gtin:4712345060507"
        return _Why(code="NotFound", words=words)
    days, since = NEW_DAYS, asked.at
    if request.state is State.ACCEPTED:
        days, since = ACCEPTED_DAYS, request.agreed
    if at < since + days * DAY:
        return None
    return _Why(code="NotFound", words=f"there is no footprint of it after {days} days: ask again")


def _enter(session: Session, asked: Asked, criteria: Criteria, comment: str) -> None:
    """Put a request into the inbox; what it asks for besides products is said as a comment."""
    first = criteria.terms[Term.PRODUCT][0]
    product = matching.product_called(session, asked.partner, first)
    if product is None and _URN.match(first):
        product = first
    made = Request(
        id=asked.request,
        partner=asked.partner,
        incoming=True,
        part=showable(first),
        wanted=product or "",
        product=product or "",
        period_start="",
        period_end="",
        purpose=showable(comment) or "PACT",
        due="",
        state=State.NEW,
        reason="",
        commitment="",
        created=asked.at,
        changed=asked.at,
    )
    requests.put(session, made)
    said = requests.RequestEvent(
        id=asked.request,
        partner=asked.partner,
        request=asked.request,
        by=asked.partner,
        at=asked.at,
        kind="comment",
        text=showable(asked.data.decode())[:MAX_MESSAGE_CHARS],
    )
    requests.add_event(session, said)


def _require_room(session: Session, partner: str) -> None:
    if requests.open_count(session, partner) >= MAX_OPEN:
        raise FullError(f"{MAX_OPEN} requests of {partner} wait already: wait for answers")
    if requests.kept_count(session, partner) >= MAX_KEPT:
        raise FullError(f"{MAX_KEPT} requests of {partner} are kept here, and no more")


def _name(asked: Asked) -> str:
    """Return the name of a request in the inbox: its event may be called anything."""
    return hashlib.sha256(f"{asked.partner}\n{asked.event}".encode()).hexdigest()[:32]
