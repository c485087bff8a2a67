"""Where a request stands after all that was said about it, the same for both sides (SPEC 13.11).

Events of both sides cross on their way, come late, and come again. So the state is no memory of
what came when: it follows from the set of events alone, read in the order of their times.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from bcca_node.storage.requests import OPEN, RequestEvent, State

DAY = 86_400
GRACE_SECONDS = 30 * DAY  # a request that is due is chased for a month more, then it expires


class Side(StrEnum):
    """Who does something to a request."""

    CUSTOMER = "customer"
    SUPPLIER = "supplier"


_ALL = frozenset(State)
_STAYS = {each: each for each in State}


def _to(state: State, *before: State) -> Mapping[State, State]:
    return MappingProxyType(dict.fromkeys(before, state))


# From which states who may do what, and which state follows. What is not here changes nothing.
TRANSITIONS: Mapping[tuple[Side, str], Mapping[State, State]] = MappingProxyType(
    {
        (Side.SUPPLIER, "accepted"): _to(
            State.ACCEPTED,
            State.NEW,
            State.QUESTION,
            State.ACCEPTED,  # again, to say which product it is
            State.DECLINED,  # who declined may think again
            State.EXPIRED,
        ),
        (Side.SUPPLIER, "declined"): _to(
            State.DECLINED, State.NEW, State.QUESTION, State.ACCEPTED, State.EXPIRED
        ),
        (Side.SUPPLIER, "question"): _to(State.QUESTION, State.NEW, State.QUESTION, State.ACCEPTED),
        # An answer that is there wins over everything: it was given, whatever crossed it.
        (Side.SUPPLIER, "fulfilled"): _to(State.FULFILLED, *sorted(_ALL - {State.FULFILLED})),
        (Side.SUPPLIER, "comment"): MappingProxyType(_STAYS),
        (Side.CUSTOMER, "comment"): MappingProxyType(_STAYS),  # but see `_commented`
        (Side.CUSTOMER, "reminder"): MappingProxyType({each: each for each in OPEN}),
        (Side.CUSTOMER, "withdrawn"): _to(State.WITHDRAWN, *OPEN, State.DECLINED, State.EXPIRED),
    }
)

_PAST = MappingProxyType({"reminder": "reminded of", "question": "asked back about"})
_DONE: Mapping[State, str] = MappingProxyType(
    {
        State.NEW: "nobody has answered it yet",
        State.ACCEPTED: "publish its product, which answers it",
        State.QUESTION: "answer the question with a comment",
        State.DECLINED: "the supplier may still accept it",
        State.FULFILLED: "nothing is left to do, and a comment may still be made",
        State.EXPIRED: "the supplier may still accept it, or the customer ask again",
        State.WITHDRAWN: "the customer no longer asks; it may ask again",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a request stands; `before` is where an answered question brings it back to."""

    state: State = State.NEW
    before: State = State.NEW
    reason: str = ""
    product: str = ""
    commitment: str = ""
    agreed_at: int | None = None  # when the supplier said yes, unless it has said no since


def kinds(side: Side) -> frozenset[str]:
    """Return what a side may do at all."""
    return frozenset(kind for who, kind in TRANSITIONS if who is side)


def following(state: State, side: Side, kind: str) -> State | None:
    """Return the state after `side` did that in `state`; None where it cannot."""
    return TRANSITIONS.get((side, kind), {}).get(state)


def refusal(state: State, side: Side, kind: str) -> str:
    """Return why `side` cannot do that in `state`, and what can be done."""
    if kind not in kinds(side):
        return (
            f"a {side} says nothing of the kind {kind}: it may say {', '.join(sorted(kinds(side)))}"
        )
    if kind == state:
        return f"it is {state} already: {_DONE[state]}"
    return f"it is {state}, so it cannot be {_PAST.get(kind, kind)}: {_DONE[state]}"


def other(side: Side) -> Side:
    """Return who stands on the other side."""
    return Side.CUSTOMER if side is Side.SUPPLIER else Side.SUPPLIER


def of(events: Iterable[RequestEvent], *, partner: str, is_customer: bool) -> Standing:
    """Return where a request stands after `events`, in whatever order they came.

    They count in the order of their times; of one second, the customer's first; then by id.
    """
    sides = (
        (each, Side.CUSTOMER if (each.by == partner) is is_customer else Side.SUPPLIER)
        for each in events
    )
    found = Standing()
    for event, side in sorted(sides, key=lambda it: (it[0].at, it[1] is Side.SUPPLIER, it[0].id)):
        found = _then(found, side, event)
    return found


def shown(found: Standing, due: int | None, at: int) -> State:
    """Return the state at `at`: what is open expires GRACE_SECONDS after it was due.

    Who accepts it later has as long again. Nothing expires that was due at no time.
    """
    if found.state not in OPEN or due is None:
        return found.state
    last = max(due, found.agreed_at or due) + GRACE_SECONDS
    return State.EXPIRED if at >= last else found.state


def _then(found: Standing, side: Side, event: RequestEvent) -> Standing:
    state = following(found.state, side, event.kind)
    if state is None:
        return found
    then = replace(found, state=state)
    match event.kind:
        case "comment":
            then = _commented(found, side)
        case "question" if found.state is not State.QUESTION:
            then = replace(then, before=found.state)
        case "accepted":
            product = event.product or found.product
            then = replace(then, reason="", product=product, agreed_at=event.at)
        case "declined":
            then = replace(then, reason=event.reason, agreed_at=None)
        case "fulfilled":
            product = event.product or found.product
            then = replace(then, reason="", product=product, commitment=event.commitment)
    return then


def _commented(found: Standing, side: Side) -> Standing:
    """A customer's comment on a question brings the request back to where it was."""
    if side is Side.CUSTOMER and found.state is State.QUESTION:
        return replace(found, state=found.before)
    return found
