"""Where a request stands: the same on both sides, whatever crosses, comes late, or comes again."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcca_node.demo.sharing import partner_of
from bcca_node.ledger.node import Node
from bcca_node.partners import correspondence, event, requests, states
from bcca_node.partners.correspondence import Remark
from bcca_node.partners.event import RequestEvent, Wanted
from bcca_node.partners.states import DAY, GRACE_SECONDS, Side
from bcca_node.storage import outbox, partners
from bcca_node.storage import requests as stored
from bcca_node.storage.partners import Partner, PartnerRole
from bcca_node.storage.requests import Request, State
from bcca_protocol import period
from bcca_protocol.errors import (
    ConflictError,
    MalformedError,
    UnavailableError,
    UnusableError,
)
from bcca_protocol.inventory import Interval

NOW = 1_790_000_000
CUSTOMER, SUPPLIER = "cell.example", "cathode.example"
YEAR = Interval("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
ANYTHING = Wanted(period=YEAR, purpose="a pack", part="C-1", product="urn:bcca:part:cathode:nmc")
SAYABLE = {
    Side.CUSTOMER: ("comment", "reminder", "withdrawn"),
    Side.SUPPLIER: ("accepted", "declined", "question", "comment", "fulfilled"),
}


@dataclass
class Clock:
    """A clock that a test sets."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Pair:
    """A customer and a supplier that know each other; the test is the mail between them."""

    nodes: dict[Side, Node]
    clocks: dict[Side, Clock]
    sent: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def origin(self, side: Side) -> str:
        return self.nodes[side].origin

    def asks(self, **changed: object) -> str:
        """Let the customer ask, and return the name of the request."""
        told = {"period": YEAR, "purpose": "a pack", "part": "C-1", "product": ANYTHING.product}
        wanted = Wanted(**{**told, **changed})  # type: ignore[arg-type]  # a test's own words
        return requests.ask(self.nodes[Side.CUSTOMER], self.origin(Side.SUPPLIER), wanted).id

    def mail(self, side: Side) -> list[RequestEvent]:
        """Return what `side` has sent since this was asked last."""
        with self.nodes[side].database.read() as session:
            found = outbox.addressed(session, self.origin(states.other(side)), self.sent[side], 999)
        self.sent[side] = max([self.sent[side], *(each.place for each in found)])
        read = [event.decode(each.body) for each in found]
        return [each for each in read if isinstance(each, RequestEvent)]

    def takes(self, side: Side, *told: RequestEvent) -> None:
        """Let `side` take events of the other, in this order."""
        node = self.nodes[side]
        for each in told:
            with node.database.write() as session:
                partner = partners.get(session, self.origin(states.other(side)))
                assert partner is not None
                requests.take(node, session, partner, each)

    def delivers(self) -> None:
        for side in Side:
            self.takes(states.other(side), *self.mail(side))

    def does(self, side: Side, name: str, kind: str, **more: object) -> Request:
        """Say something as `act` does, refusing what may not be said."""
        told = _usual(kind) | more
        return requests.act(self.nodes[side], self.at(side, name), Remark(kind=kind, **told))  # type: ignore[arg-type]  # same

    def says(self, side: Side, name: str, kind: str) -> None:
        """Say what the state allows, also what only sweeps say; else nothing."""
        node, known = self.nodes[side], self.at(side, name)
        if states.following(known.state, side, kind) is not None:
            with node.database.write() as session:
                remark = Remark(kind=kind, **_usual(kind))  # type: ignore[arg-type]  # same
                correspondence.say(node, session, known, remark)

    def at(self, side: Side, name: str) -> Request:
        with self.nodes[side].database.read() as session:
            found = stored.get(session, self.origin(states.other(side)), name)
        assert found is not None
        return found

    def states(self, name: str) -> tuple[State, State]:
        return self.at(Side.CUSTOMER, name).state, self.at(Side.SUPPLIER, name).state


def _usual(kind: str) -> dict[str, object]:
    match kind:
        case "declined":
            return {"reason": "noData"}
        case "fulfilled":
            return {"product": ANYTHING.product, "commitment": "ab" * 32}
        case "question" | "comment":
            return {"comment": "which one?"}
        case _:
            return {}


def known(node: Node, of: Node, role: PartnerRole) -> Partner:
    """Make `of` a partner of `node`, as an accepted invitation does."""
    partner = replace(partner_of(of, [role]), since=NOW)
    with node.database.write() as session:
        partners.put(session, partner)
    return partner


@pytest.fixture
def pair(new_node: Callable[..., Node]) -> Iterator[Pair]:
    clocks = {side: Clock() for side in Side}
    made = Pair(
        nodes={
            Side.CUSTOMER: new_node(CUSTOMER, clock=clocks[Side.CUSTOMER]),
            Side.SUPPLIER: new_node(SUPPLIER, clock=clocks[Side.SUPPLIER]),
        },
        clocks=clocks,
    )
    known(made.nodes[Side.CUSTOMER], made.nodes[Side.SUPPLIER], PartnerRole.SUPPLIER)
    known(made.nodes[Side.SUPPLIER], made.nodes[Side.CUSTOMER], PartnerRole.CUSTOMER)
    yield made


steps = st.lists(
    st.tuples(
        st.sampled_from(list(Side)),
        st.integers(0, 4),  # which of what it may say
        st.integers(-2, 2),  # how its clock runs
        st.booleans(),  # whether the mail goes now
    ),
    max_size=10,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps, chance=st.randoms(use_true_random=False))
def test_both_sides_agree_once_all_is_delivered_in_any_order_and_twice(
    pair: Pair, steps: list[tuple[Side, int, int, bool]], chance: Random
) -> None:
    name = pair.asks()
    held: dict[Side, list[RequestEvent]] = {side: [] for side in Side}
    pair.delivers()
    for side, which, tick, goes in steps:
        clock = pair.clocks[side]
        clock.now = max(NOW, clock.now + tick)
        kinds = SAYABLE[side]
        pair.says(side, name, kinds[which % len(kinds)])
        held[side] += pair.mail(side)
        if goes:
            chance.shuffle(held[side])
            pair.takes(states.other(side), *held[side][:2])
    for side in Side:
        chance.shuffle(held[side])
        pair.takes(states.other(side), *held[side], *held[side])

    customer, supplier = (pair.at(side, name) for side in Side)
    assert customer.state == supplier.state
    assert (customer.reason, customer.product, customer.commitment) == (
        supplier.reason,
        supplier.product,
        supplier.commitment,
    )


@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_a_withdrawal_that_crosses_an_answer_leaves_both_sides_with_the_answer(
    pair: Pair, ahead: int
) -> None:
    name = pair.asks()
    pair.delivers()
    pair.clocks[Side.CUSTOMER].now += ahead

    pair.does(Side.CUSTOMER, name, "withdrawn")
    pair.says(Side.SUPPLIER, name, "fulfilled")
    assert pair.states(name) == (State.WITHDRAWN, State.FULFILLED)
    pair.delivers()

    assert pair.states(name) == (State.FULFILLED, State.FULFILLED)


@pytest.mark.parametrize("kind", ["accepted", "declined", "question"])
@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_a_withdrawal_that_crosses_anything_else_stands_on_both_sides(
    pair: Pair, kind: str, ahead: int
) -> None:
    name = pair.asks()
    pair.delivers()
    pair.clocks[Side.CUSTOMER].now += ahead

    pair.does(Side.CUSTOMER, name, "withdrawn")
    pair.does(Side.SUPPLIER, name, kind)
    pair.delivers()

    assert pair.states(name) == (State.WITHDRAWN, State.WITHDRAWN)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_what_comes_before_its_request_counts_once_that_is_there(
    pair: Pair, order: tuple[int, ...]
) -> None:
    name = pair.asks()
    pair.does(Side.CUSTOMER, name, "comment", comment="soon, please")
    pair.does(Side.CUSTOMER, name, "withdrawn")
    mail = pair.mail(Side.CUSTOMER)

    pair.takes(Side.SUPPLIER, *(mail[each] for each in order))

    assert pair.states(name) == (State.WITHDRAWN, State.WITHDRAWN)


def test_a_comment_on_a_question_brings_a_request_back_to_where_it_was(pair: Pair) -> None:
    name = pair.asks()
    pair.delivers()
    pair.does(Side.SUPPLIER, name, "accepted")
    pair.does(Side.SUPPLIER, name, "question")
    pair.does(Side.SUPPLIER, name, "question", comment="and which site?")
    pair.delivers()
    assert pair.states(name) == (State.QUESTION, State.QUESTION)

    pair.does(Side.CUSTOMER, name, "comment", comment="the one in Finland")
    pair.delivers()

    assert pair.states(name) == (State.ACCEPTED, State.ACCEPTED)


def test_who_declined_may_think_again(pair: Pair) -> None:
    name = pair.asks()
    pair.delivers()
    declined = pair.does(Side.SUPPLIER, name, "declined", comment="not yet")
    pair.does(Side.SUPPLIER, name, "accepted")
    pair.delivers()

    assert (declined.state, declined.reason) == (State.DECLINED, "noData")
    assert pair.states(name) == (State.ACCEPTED, State.ACCEPTED)
    assert pair.at(Side.CUSTOMER, name).reason == ""


_EVERY = [
    (state, side, kind)
    for state in (State.NEW, State.ACCEPTED, State.DECLINED, State.QUESTION, State.WITHDRAWN)
    for side in Side
    for kind in ("accepted", "declined", "question", "comment", "reminder", "withdrawn")
]
_ALLOWED = {
    (State.NEW, Side.SUPPLIER): {"accepted", "declined", "question", "comment"},
    (State.ACCEPTED, Side.SUPPLIER): {"accepted", "declined", "question", "comment"},
    (State.QUESTION, Side.SUPPLIER): {"accepted", "declined", "question", "comment"},
    (State.DECLINED, Side.SUPPLIER): {"accepted", "comment"},
    (State.WITHDRAWN, Side.SUPPLIER): {"comment"},
    (State.NEW, Side.CUSTOMER): {"comment", "reminder", "withdrawn"},
    (State.ACCEPTED, Side.CUSTOMER): {"comment", "reminder", "withdrawn"},
    (State.QUESTION, Side.CUSTOMER): {"comment", "reminder", "withdrawn"},
    (State.DECLINED, Side.CUSTOMER): {"comment", "withdrawn"},
    (State.WITHDRAWN, Side.CUSTOMER): {"comment"},
}


def test_every_state_allows_what_the_table_says_and_refuses_the_rest_in_words(pair: Pair) -> None:
    reached = {State.ACCEPTED: "accepted", State.DECLINED: "declined", State.QUESTION: "question"}
    for state, side, kind in _EVERY:
        name = pair.asks()
        pair.delivers()
        if state in reached:
            pair.does(Side.SUPPLIER, name, reached[state])
        if state is State.WITHDRAWN:
            pair.does(Side.CUSTOMER, name, "withdrawn")
        pair.delivers()
        if kind in _ALLOWED[state, side]:
            pair.does(side, name, kind)
        else:
            with pytest.raises(UnusableError, match=name):
                pair.does(side, name, kind)


def test_nothing_expires_before_its_time_and_everything_open_does_then_on_both_sides(
    pair: Pair,
) -> None:
    due = NOW + 10 * DAY
    late = pair.asks(due=period.text_at(due))
    never = pair.asks()
    pair.delivers()

    for clock in pair.clocks.values():
        clock.now = due + GRACE_SECONDS - 1
    early = [requests.expire(pair.nodes[side]) for side in Side]
    for clock in pair.clocks.values():
        clock.now += 1
    expired = [[each.id for each in requests.expire(pair.nodes[side])] for side in Side]

    assert early == [[], []]
    assert expired == [[late], [late]]
    assert pair.states(late) == (State.EXPIRED, State.EXPIRED)
    assert pair.states(never) == (State.NEW, State.NEW)


def test_a_late_answer_to_an_expired_request_is_taken(pair: Pair) -> None:
    name = pair.asks(due=period.text_at(NOW + DAY))
    pair.delivers()
    for clock in pair.clocks.values():
        clock.now = NOW + DAY + GRACE_SECONDS
    for side in Side:
        requests.expire(pair.nodes[side])
    pair.does(Side.SUPPLIER, name, "accepted")
    pair.delivers()
    assert pair.states(name) == (State.ACCEPTED, State.ACCEPTED)

    pair.says(Side.SUPPLIER, name, "fulfilled")
    pair.delivers()

    assert pair.states(name) == (State.FULFILLED, State.FULFILLED)


def test_a_customer_is_reminded_of_a_week_and_a_day_before_once_each(pair: Pair) -> None:
    due = NOW + 30 * DAY
    name = pair.asks(due=period.text_at(due))
    pair.delivers()
    told = {}
    for days in (8, 7, 6.5, 2, 1, 0.5, 0, -1):
        pair.clocks[Side.CUSTOMER].now = int(due - days * DAY)
        told[days] = len(requests.remind(pair.nodes[Side.CUSTOMER]))

    assert [days for days, count in told.items() if count] == [7, 1]
    assert [each.kind for each in pair.mail(Side.CUSTOMER)] == ["reminder", "reminder"]
    assert pair.at(Side.CUSTOMER, name).state is State.NEW


def test_who_reminds_twice_a_day_is_told_so(pair: Pair) -> None:
    name = pair.asks()
    pair.does(Side.CUSTOMER, name, "reminder")

    with pytest.raises(UnusableError, match="once a day is enough"):
        pair.does(Side.CUSTOMER, name, "reminder")
    pair.clocks[Side.CUSTOMER].now += DAY
    pair.does(Side.CUSTOMER, name, "reminder")


def test_a_request_of_another_partner_is_like_one_that_is_not_there(
    pair: Pair, new_node: Callable[..., Node]
) -> None:
    """Attack: a partner withdraws, comments on and asks again under the id of another's request."""
    name = pair.asks()
    pair.delivers()
    thief = new_node("thief.example")
    supplier = pair.nodes[Side.SUPPLIER]
    partner = known(supplier, thief, PartnerRole.CUSTOMER)
    told = RequestEvent(id="1" * 32, at=period.text_at(NOW), request=name, kind="withdrawn")
    unknown = RequestEvent(id="2" * 32, at=period.text_at(NOW), request="3" * 32, kind="withdrawn")
    asked = RequestEvent(
        id="4" * 32, at=period.text_at(NOW), request=name, kind="created", wanted=ANYTHING
    )
    for each in (told, unknown, asked):
        with supplier.database.write() as session:
            requests.take(supplier, session, partner, each)  # answered alike: not at all

    with supplier.database.read() as session:
        theirs = stored.get(session, thief.origin, name)
    assert theirs is not None
    assert theirs.state is State.WITHDRAWN
    assert pair.states(name) == (State.NEW, State.NEW)


def test_a_customer_cannot_answer_for_its_supplier(pair: Pair) -> None:
    """Attack: the customer accepts, or fulfils, its own request."""
    name = pair.asks()
    pair.delivers()
    for kind in ("accepted", "fulfilled"):
        forged = RequestEvent(id="1" * 32, at=period.text_at(NOW), request=name, kind="accepted")
        forged = msgspec.structs.replace(forged, kind=kind, **_usual(kind))
        with pytest.raises(MalformedError, match="customer says nothing of the kind"):
            pair.takes(Side.SUPPLIER, forged)

    assert pair.states(name) == (State.NEW, State.NEW)


def test_an_answer_forged_before_its_request_changes_nothing(pair: Pair) -> None:
    """Attack: the customer sends `accepted` first, and then the request that it is about."""
    name = pair.asks()
    forged = RequestEvent(
        id="1" * 32, at=period.text_at(NOW), request=name, kind="accepted", product="urn:bcca:a:b"
    )
    pair.takes(Side.SUPPLIER, forged)
    pair.delivers()

    at_supplier = pair.at(Side.SUPPLIER, name)
    assert (at_supplier.state, at_supplier.product) == (State.NEW, ANYTHING.product)


def test_one_name_for_two_requests_is_refused(pair: Pair) -> None:
    name = pair.asks()
    pair.delivers()
    again = RequestEvent(
        id="1" * 32,
        at=period.text_at(NOW),
        request=name,
        kind="created",
        wanted=Wanted(period=YEAR, purpose="another", part="C-2"),
    )

    with pytest.raises(ConflictError, match="with another part"):
        pair.takes(Side.SUPPLIER, again)


def test_a_request_for_nothing_or_for_a_period_that_ends_first_is_refused(pair: Pair) -> None:
    backwards = Interval(YEAR.end, YEAR.start)

    with pytest.raises(MalformedError, match="neither a part number nor a product"):
        pair.asks(part=None, product=None)
    with pytest.raises(MalformedError, match="not after its start"):
        pair.asks(period=backwards)
    with pytest.raises(UnusableError, match="past"):
        pair.asks(due=period.text_at(NOW))


def test_an_event_of_tomorrow_waits_until_then(pair: Pair) -> None:
    """Attack: a time far ahead would make whatever this node says afterwards come too early."""
    name = pair.asks()
    pair.delivers()
    later = RequestEvent(
        id="1" * 32, at="9999-12-31T23:59:59Z", request=name, kind="comment", comment="last"
    )

    with pytest.raises(UnavailableError, match="set the clock"):
        pair.takes(Side.SUPPLIER, later)


def test_a_flood_of_events_about_no_request_is_not_taken(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: a partner fills the database with events whose requests never come."""
    monkeypatch.setattr(correspondence, "MAX_EARLY", 3)
    flood = [
        RequestEvent(
            id=f"{each:032x}", at=period.text_at(NOW), request=f"{each:032x}", kind="withdrawn"
        )
        for each in range(4)
    ]

    with pytest.raises(UnavailableError, match="never came"):
        pair.takes(Side.SUPPLIER, *flood)


def test_a_flood_of_requests_is_not_taken(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: a partner fills the inbox."""
    monkeypatch.setattr(correspondence, "MAX_OPEN", 2)
    for _ in range(3):
        pair.asks()

    with pytest.raises(UnavailableError, match="wait already"):
        pair.delivers()


def test_a_past_due_date_hides_no_request_from_the_limit(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: requests that have expired as they come are not counted among the open ones."""
    monkeypatch.setattr(correspondence, "MAX_KEPT", 2)
    wanted = msgspec.structs.replace(ANYTHING, due="2000-01-01T00:00:00Z")
    flood = [
        RequestEvent(
            id=f"{each:032x}",
            at=period.text_at(NOW),
            request=f"{each:032x}",
            kind="created",
            wanted=wanted,
        )
        for each in range(3)
    ]
    pair.takes(Side.SUPPLIER, *flood[:2])

    with pytest.raises(UnavailableError, match="are kept here"):
        pair.takes(Side.SUPPLIER, flood[2])


def test_what_was_said_while_the_own_clock_was_ahead_is_taken_back(pair: Pair) -> None:
    name = pair.asks()
    pair.delivers()
    clock = pair.clocks[Side.SUPPLIER]
    clock.now += 14 * 365 * DAY
    pair.does(Side.SUPPLIER, name, "question")
    clock.now = NOW + 60
    pair.does(Side.SUPPLIER, name, "declined")

    [told] = pair.mail(Side.SUPPLIER)
    assert (told.kind, told.at) == ("declined", period.text_at(NOW + 60))
    assert pair.at(Side.SUPPLIER, name).state is State.DECLINED


def test_an_id_may_be_cut_short_as_long_as_one_request_has_it(pair: Pair) -> None:
    names = [pair.asks() for _ in range(2)]
    with pair.nodes[Side.CUSTOMER].database.read() as session:
        assert requests.called(session, names[0][:20]).id == names[0]
        for wrong in ("", "abc", "ABCDEF", "f" * 32 + "0", "%_%_%"):
            with pytest.raises(UnusableError):
                requests.called(session, wrong)
