"""Requests for data: asked, answered, chased, and fulfilled by publishing (SPEC 13.11).

Whatever happens here happens in one transaction with the event that tells the partner of it.
"""

from contextlib import suppress
from dataclasses import replace

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.partners import answers, correspondence, outbox, pactsaid, parts, states
from bcca_node.partners import event as events
from bcca_node.partners.answers import fulfil, unanswered
from bcca_node.partners.correspondence import ClockError, Remark, agree, receive, sent, take
from bcca_node.partners.event import RequestEvent, Wanted
from bcca_node.partners.states import DAY, GRACE_SECONDS
from bcca_node.storage import partners, requests
from bcca_node.storage.partners import PartState
from bcca_node.storage.requests import Request, State
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import showable

__all__ = [
    "Remark",
    "act",
    "agree",
    "ask",
    "called",
    "expire",
    "fulfil",
    "receive",
    "remind",
    "sent",
    "take",
    "unanswered",
]

LEAST_NAME_CHARS = 4  # of an id that is cut short: one typed by mistake fits nothing
REMIND_DAYS = (7, 1)  # before it is due: a week to find the data, a day to send it
_SAYABLE = frozenset({"accepted", "declined", "question", "comment", "reminder", "withdrawn"})


def ask(node: Node, partner: str, wanted: Wanted) -> Request:
    """Ask a partner for data, and return the request.

    Raises UnusableError for somebody who is no partner and for what nobody can answer.
    """
    now, name = node.clock(), events.new_id()
    told = RequestEvent(
        id=events.new_id(), at=period.text_at(now), request=name, kind="created", wanted=wanted
    )
    correspondence.require_sayable(told)
    _require_future(wanted, now)
    with node.database.write() as session:
        known = partners.get(session, partner)
        if known is None:
            raise UnusableError(
                f"{showable(partner)} is no partner of this node: `bcca partners invite` it, and "
                "name in the invitation what you want"
            )
        outbox.put(session, partner, told, now)
        return sent(session, known, name, wanted, now)


def act(node: Node, request: Request, remark: Remark) -> Request:
    """Say something about a request, and return where it then stands.

    Raises UnusableError for what its state does not allow, or this side never says.
    """
    if remark.kind not in _SAYABLE:
        raise UnusableError(f"{remark.kind}: nobody says so of a request, it is found out")
    with node.database.write() as session:
        known = requests.get(session, request.partner, request.id)
        if known is None or not answers.is_partner(session, request.partner):
            raise UnusableError(
                f"request {request.id}: {request.partner} is no partner of this node any more"
            )
        pactsaid.require_sayable(session, known, remark.kind)
        _require_allowed(session, node, known, remark)
        settled = correspondence.say(node, session, known, remark)
    if remark.kind == "accepted" and remark.product and known.part:
        _pair(node, known, remark.product)
    return settled


def called(session: Session, name: str, *, incoming: bool | None = None) -> Request:
    """Return the one request whose id is `name` or begins with it; raises UnusableError."""
    shown = repr(showable(name[:80]))
    if len(name) < LEAST_NAME_CHARS or not set(name) <= set("0123456789abcdef"):
        raise UnusableError(f"{shown} is no id of a request: write {LEAST_NAME_CHARS} digits of it")
    found = [each for each in requests.called(session, name) if incoming in (None, each.incoming)]
    match found:
        case [only]:
            return only
        case []:
            raise UnusableError(f"no request is called {shown}: see the ids in the list")
        case _:
            names = ", ".join(f"{each.id} ({each.partner})" for each in found[:10])
            raise UnusableError(f"{shown} fits several requests, write more of it: {names}")


def expire(node: Node) -> list[Request]:
    """Let requests expire that were due GRACE_SECONDS ago, by this node's clock; return them.

    Nobody is told: the other side has a clock too.
    """
    late = period.text_at(node.clock() - GRACE_SECONDS)
    return answers.sweep(node, lambda session: requests.due(session, "", late), _expired)


def remind(node: Node) -> list[Request]:
    """Remind of each open request of this node REMIND_DAYS before it is due, each time once."""
    now = node.clock()
    soon = period.text_at(now), period.text_at(now + max(REMIND_DAYS) * DAY)
    return answers.sweep(node, lambda session: requests.due(session, *soon), _reminded)


def _pair(node: Node, request: Request, product: str) -> None:
    """Confirm or propose that the customer's part number is a product, for its next request."""
    with node.database.read() as session:
        partner = partners.get(session, request.partner)
        pair = partners.part(session, request.partner, request.part, product)
    if partner is None:
        return
    with suppress(UnusableError):  # a number that cannot be one of a pair; it is accepted anyway
        parts.require_pair(request.part, product)
        if pair is not None and pair.state is PartState.ASKED:
            parts.confirm(node, partner, request.part)
        elif pair is None:
            parts.note(node, partner, [(request.part, product)])
            parts.propose(node, partner, request.part)


def _expired(node: Node, session: Session, request: Request, *, really: bool) -> Request | None:
    now, found = node.clock(), correspondence.standing(session, request)
    if states.shown(found, correspondence.posix(request.due), now) is not State.EXPIRED:
        return None
    return correspondence.settle(session, request, now) if really else request


def _reminded(node: Node, session: Session, request: Request, *, really: bool) -> Request | None:
    now, due = node.clock(), correspondence.posix(request.due)
    passed = [days for days in REMIND_DAYS if request.created < due - days * DAY <= now < due]
    if request.incoming or not passed or 0 < request.reminded <= min(passed):
        return None
    if not answers.is_partner(session, request.partner):
        return None
    if not really:
        return request
    reminded = replace(request, reminded=min(passed))
    requests.put(session, reminded)
    remark = Remark(kind="reminder", comment=f"due {request.due}")
    with suppress(ClockError):  # the others are reminded of all the same
        return correspondence.say(node, session, reminded, remark)
    return None


def _require_allowed(session: Session, node: Node, request: Request, remark: Remark) -> None:
    side = correspondence.side(request)
    if states.following(request.state, side, remark.kind) is None:
        why = states.refusal(request.state, side, remark.kind)
        raise UnusableError(f"request {request.id}: {why}")
    if remark.kind in ("question", "comment") and not remark.comment:
        raise UnusableError(f"request {request.id}: a {remark.kind} says something: add the words")
    if remark.kind == "declined" and remark.reason is None:
        raise UnusableError(f"request {request.id}: declined for a reason: add it")
    if remark.comment is not None and len(remark.comment) > events.MAX_WORDS_CHARS:
        raise UnusableError(
            f"request {request.id}: {len(remark.comment)} characters, where a comment has at most "
            f"{events.MAX_WORDS_CHARS}"
        )
    if remark.kind == "reminder":
        _require_patience(session, node, request)


def _require_patience(session: Session, node: Node, request: Request) -> None:
    said = requests.events(session, request.partner, request.id)
    last = max((each.at for each in said if each.kind == "reminder"), default=None)
    if last is not None and node.clock() < last + DAY:
        raise UnusableError(
            f"request {request.id}: reminded at {period.text_at(last)}, and once a day is enough"
        )


def _require_future(wanted: Wanted, now: int) -> None:
    if wanted.due is not None and correspondence.posix(wanted.due) <= now:
        raise UnusableError(f"due {wanted.due}, which is past: give a day to come")
