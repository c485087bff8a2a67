"""Publishing answers requests: all that wait for the product, and nobody who only guesses."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bcca_node.demo.sharing import partner_of
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.partners import answers, book, event, inlet, requests
from bcca_node.partners.event import RequestEvent, Wanted
from bcca_node.partners.requests import Remark
from bcca_node.sharing import access
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import grants, logs, outbox, pairs, partners, statements
from bcca_node.storage import requests as stored
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.partners import Part, Partner, PartnerRole, PartState
from bcca_node.storage.requests import Request, State
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Interval
from bcca_protocol.keys import VerifierKey
from bcca_protocol.statement import PartialFootprint

NOW = 1_790_000_000
URN = "urn:bcca:case:t:"
Write = Callable[..., PartialFootprint]


@dataclass
class Clock:
    """A clock that a test sets."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Supplier:
    """A supplier, and its customers, who ask it by events."""

    node: Node
    clock: Clock
    part: Write
    customers: dict[str, Partner] = field(default_factory=dict)

    def asks(self, customer: str, *, year: int = 2025, **wanted: Any) -> str:
        """Let a customer ask, and return the name of the request."""
        told = RequestEvent(
            id=event.new_id(),
            at=period.text_at(self.clock.now),
            request=event.new_id(),
            kind="created",
            wanted=Wanted(
                period=Interval(f"{year}-01-01T00:00:00Z", f"{year + 1}-01-01T00:00:00Z"),
                purpose="a pack",
                **wanted,
            ),
        )
        assert self.takes(customer, told) == inlet.Result.TAKEN
        return told.request

    def takes(self, customer: str, told: RequestEvent) -> inlet.Result:
        partner = self.customers[customer]
        key = VerifierKey.parse(partner.request_key)
        caller = Caller(kind=Kind.PARTNER, origin=partner.origin, key=key)
        return inlet.take(self.node, caller, event.encode(told)).result

    def acts(self, customer: str, name: str, kind: str, **more: Any) -> Request:
        return requests.act(
            self.node,
            self.request(customer, name),
            Remark(kind=kind, **more),  # type: ignore[arg-type]  # a test's own words
        )

    def releases(self, product: str, *, published: bool = True, **more: Any) -> str:
        """Publish a statement, with a head that witnesses have seen or not; return its name."""
        predicate = self.part(self.node.origin, product, **{"sharing": "direct", **more})
        [made] = publish(self.node, [predicate])
        if published:
            self.witnessed()
        return made.commitment

    def witnessed(self) -> None:
        with self.node.database.write() as session:
            head = logs.last_head(session)
            assert head is not None
            logs.put_head(session, dataclasses.replace(head, published=True))

    def accepted(self, customer: str, **wanted: Any) -> str:
        """Let a customer ask, and the operator accept."""
        name = self.asks(customer, **wanted)
        self.acts(customer, name, "accepted")
        return name

    def request(self, customer: str, name: str) -> Request:
        with self.node.database.read() as session:
            found = stored.get(session, self.customers[customer].origin, name)
        assert found is not None
        return found

    def state(self, customer: str, name: str) -> State:
        return self.request(customer, name).state

    def told(self, customer: str) -> list[RequestEvent]:
        """Return the answers that wait for a customer."""
        with self.node.database.read() as session:
            found = outbox.waiting_for(session, self.customers[customer].origin, 99)
        read = [event.decode(each.body) for each in found]
        return [each for each in read if isinstance(each, RequestEvent)]

    def sees(self, customer: str, commitment: str) -> bool:
        with self.node.database.read() as session:
            own = statements.get(session, commitment)
            assert own is not None
            rights = access.of_partner(session, self.node, self.customers[customer].origin)
            return rights.sees(own)

    def would_answer(self, customer: str, name: str) -> tuple[bool, bool]:
        """Say whether a request may have an answer, as SQL finds it and as it is then decided."""
        origin = self.customers[customer].origin
        with self.node.database.read() as session:
            size, at = logs.size(session), self.clock.now
            listed = stored.answerable(session, answers.FOOTPRINTS, size=size, at=at)
            decided = answers.answer_to(self.node, session, self.request(customer, name))
        return (origin, name) in listed, decided is not None

    def calls_it(self, customer: str, theirs: str, ours: str) -> None:
        """Confirm a customer's part number, as both sides have done."""
        origin = self.customers[customer].origin
        pair = Part(
            partner=origin, theirs=theirs, ours=ours, state=PartState.CONFIRMED, changed=NOW
        )
        with self.node.database.write() as session:
            pairs.put(session, [pair])


@pytest.fixture
def supplier(new_node: Callable[..., Node], part: Write) -> Supplier:
    """A supplier with three customers."""
    clock = Clock()
    made = Supplier(node=new_node(clock=clock), clock=clock, part=part)
    for name in ("anode", "cell", "pack"):
        node = new_node(f"{name}.example")
        known = partner_of(node, [PartnerRole.CUSTOMER])
        partner = dataclasses.replace(known, name=name, since=NOW)
        made.customers[name] = partner
        with made.node.database.write() as session:
            partners.put(session, partner)
    return made


@pytest.mark.parametrize("sharing", ["public", "downstream", "direct"])
def test_what_is_had_for_the_asking_is_what_access_shows_its_partner_whatever_was_granted(
    supplier: Supplier, sharing: str
) -> None:
    name = supplier.asks("cell", product=f"{URN}C1")
    made = supplier.releases("C1", sharing=sharing)
    cell, pack = (supplier.customers[each].origin for each in ("cell", "pack"))
    about = {
        Scope.STATEMENT: (made, "ab" * 32),
        Scope.PRODUCT: (f"{URN}C1", f"{URN}C2"),
        Scope.ALL: ("",),
    }
    given = [
        Grant(partner=to, scope=scope, about=each, given=0, until=until, taken_back=taken_back)
        for to in (cell, pack)
        for scope, names in about.items()
        for each in names
        for until, taken_back in ((None, False), (NOW + 1, False), (NOW, False), (NOW, True))
    ]
    seen = set()
    for each in (None, *given):
        with supplier.node.database.write() as session:
            grants.forget(session, cell)
            grants.forget(session, pack)
            if each is not None:
                grants.put(session, each)
        is_shown = supplier.sees("cell", made)
        assert supplier.would_answer("cell", name) == (is_shown, is_shown), each
        seen.add(is_shown)

    assert seen == ({True} if sharing == "public" else {True, False})


def test_one_published_statement_answers_every_open_request_for_its_product(
    supplier: Supplier,
) -> None:
    supplier.calls_it("cell", "C-77", f"{URN}P1")
    asked = {
        "anode": supplier.asks("anode", product=f"{URN}P1"),
        "cell": supplier.asks("cell", part="C-77"),
        "pack": supplier.asks("pack", part="X-1"),
    }
    other = supplier.accepted("pack", product=f"{URN}P2")
    supplier.acts("anode", asked["anode"], "accepted")
    supplier.acts("anode", asked["anode"], "question", comment="for which pack?")
    supplier.acts("cell", asked["cell"], "accepted")
    supplier.acts("pack", asked["pack"], "accepted", product=f"{URN}P1")

    commitment = supplier.releases("P1")
    done = requests.fulfil(supplier.node)

    assert sorted(each.id for each in done) == sorted(asked.values())
    for customer, name in asked.items():
        request = supplier.request(customer, name)
        [answer] = [each for each in supplier.told(customer) if each.kind == "fulfilled"]
        assert (request.state, request.commitment) == (State.FULFILLED, commitment)
        assert (answer.request, answer.product, answer.commitment) == (
            name,
            f"{URN}P1",
            commitment,
        )
        assert supplier.sees(customer, commitment)
    assert supplier.state("pack", other) is State.ACCEPTED


def test_a_request_is_answered_once_however_often_that_is_looked_for(supplier: Supplier) -> None:
    supplier.accepted("cell", product=f"{URN}P1")
    supplier.releases("P1")

    counts = [len(requests.fulfil(supplier.node)) for _ in range(3)]

    assert counts == [1, 0, 0]
    assert [each.kind for each in supplier.told("cell")] == ["accepted", "fulfilled"]


def test_a_grant_of_an_answer_says_for_which_request_it_is(supplier: Supplier) -> None:
    name = supplier.accepted("cell", product=f"{URN}P1")
    commitment = supplier.releases("P1")
    requests.fulfil(supplier.node)

    with supplier.node.database.read() as session:
        [grant] = grants.of(session, supplier.customers["cell"].origin)
    assert (grant.scope, grant.about, grant.why) == ("statement", commitment, f"request {name}")


def test_a_period_that_is_not_covered_is_not_answered(supplier: Supplier) -> None:
    name = supplier.asks("cell", product=f"{URN}P1", year=2024)
    supplier.releases("P1", year=2025)

    assert requests.fulfil(supplier.node) == []
    assert supplier.state("cell", name) is State.NEW


def test_what_no_witness_has_seen_answers_nothing_yet(supplier: Supplier) -> None:
    supplier.accepted("cell", product=f"{URN}P1")
    supplier.releases("P1", published=False)
    early = requests.fulfil(supplier.node)
    supplier.witnessed()

    assert (early, len(requests.fulfil(supplier.node))) == ([], 1)


def test_a_product_that_is_guessed_is_not_had_for_the_asking(supplier: Supplier) -> None:
    """Attack: a partner asks for every product that it can think of, and one is there already."""
    commitment = supplier.releases("P1")
    found = supplier.asks("cell", product=f"{URN}P1")
    missing = supplier.asks("cell", product=f"{URN}P2")

    assert requests.fulfil(supplier.node) == []
    assert supplier.state("cell", found) is supplier.state("cell", missing) is State.NEW
    assert supplier.told("cell") == []
    assert not supplier.sees("cell", commitment)


def test_what_is_published_already_answers_once_the_supplier_accepts(supplier: Supplier) -> None:
    commitment = supplier.releases("P1")
    name = supplier.asks("cell", part="C-77")
    supplier.acts("cell", name, "accepted", product=f"{URN}P1")

    assert [each.id for each in requests.fulfil(supplier.node)] == [name]
    assert supplier.sees("cell", commitment)


def test_an_accepted_part_number_that_both_sides_confirmed_is_answered_by_what_is_there(
    supplier: Supplier,
) -> None:
    supplier.calls_it("cell", "C-77", f"{URN}P1")
    supplier.releases("P1")
    supplier.asks("cell", part="C-77")
    supplier.accepted("cell", part="C-77")
    supplier.accepted("pack", part="C-77")

    assert [each.partner for each in requests.fulfil(supplier.node)] == ["cell.example"]


def test_who_accepts_and_says_which_product_it_is_proposes_the_pair_of_numbers(
    supplier: Supplier,
) -> None:
    name = supplier.asks("cell", part="C-77")
    supplier.acts("cell", name, "accepted", product=f"{URN}P1")

    with supplier.node.database.read() as session:
        [pair] = partners.parts(session, "cell.example")
    assert (pair.theirs, pair.ours, pair.state) == ("C-77", f"{URN}P1", PartState.PROPOSED)


def test_a_public_statement_answers_too_and_grants_nothing(supplier: Supplier) -> None:
    supplier.releases("P1", sharing="public")
    supplier.asks("cell", product=f"{URN}P1")

    assert len(requests.fulfil(supplier.node)) == 1
    with supplier.node.database.read() as session:
        assert grants.of(session, supplier.customers["cell"].origin) == []


def test_what_was_declined_or_withdrawn_is_not_answered(supplier: Supplier) -> None:
    declined, withdrawn = (supplier.asks("cell", product=f"{URN}P1") for _ in range(2))
    supplier.acts("cell", declined, "declined", reason="confidential")
    supplier.takes(
        "cell",
        RequestEvent(
            id=event.new_id(), at=period.text_at(NOW), request=withdrawn, kind="withdrawn"
        ),
    )
    commitment = supplier.releases("P1")

    assert requests.fulfil(supplier.node) == []
    assert not supplier.sees("cell", commitment)


def test_a_late_answer_is_given_once_the_operator_accepts_anew(supplier: Supplier) -> None:
    name = supplier.asks("cell", product=f"{URN}P1", due=period.text_at(NOW + 86_400))
    supplier.clock.now += 60 * 86_400
    requests.expire(supplier.node)
    assert supplier.state("cell", name) is State.EXPIRED
    supplier.releases("P1")
    early = requests.fulfil(supplier.node)
    supplier.acts("cell", name, "accepted")

    assert (early, len(requests.fulfil(supplier.node))) == ([], 1)
    assert supplier.state("cell", name) is State.FULFILLED


def test_a_guessed_product_is_not_had_when_it_is_published_or_corrected(
    supplier: Supplier,
) -> None:
    """Attack: a partner parks requests for guessed products, and waits for any new entry."""
    old = supplier.releases("P1")
    names = [
        supplier.asks("cell", product=f"{URN}P1", due="2000-01-01T00:00:00Z"),
        supplier.asks("cell", product=f"{URN}P1"),
        supplier.asks("cell", product=f"{URN}P1", year=2026),
    ]
    new = [supplier.releases("P1", corrects=old, kg=3), supplier.releases("P1", year=2026)]

    assert requests.fulfil(supplier.node) == []
    assert [supplier.state("cell", each) for each in names] == ["expired", "new", "new"]
    assert not any(supplier.sees("cell", each) for each in (old, *new))
    assert len(requests.unanswered(supplier.node, new)) == 2


@pytest.mark.parametrize("until", [None, NOW + 5])
def test_a_grant_that_ended_does_not_come_back_by_asking_again(
    supplier: Supplier, until: int | None
) -> None:
    """Attack: a partner asks again for what was taken back, or what ran out."""
    origin, product = "cell.example", f"{URN}P1"
    pending = supplier.accepted("cell", product=product)
    grant = grants.Grant(
        partner=origin, scope=grants.Scope.PRODUCT, about=product, given=NOW, until=until
    )
    supplier.clock.now += 10
    with supplier.node.database.write() as session:
        grants.put(session, grant)
        if until is None:
            assert grants.drop(session, origin, grants.Scope.PRODUCT, product, at=NOW + 10)
    commitment = supplier.releases("P1")
    supplier.asks("cell", product=product)

    assert requests.fulfil(supplier.node) == []
    assert not supplier.sees("cell", commitment)
    supplier.clock.now += 1
    supplier.acts("cell", pending, "accepted")
    assert [each.id for each in requests.fulfil(supplier.node)] == [pending]
    assert supplier.sees("cell", commitment)


def test_what_corrects_an_answer_is_granted_too_unless_that_was_taken_back(
    supplier: Supplier,
) -> None:
    for customer in ("cell", "pack"):
        supplier.accepted(customer, product=f"{URN}P1")
    old = supplier.releases("P1")
    requests.fulfil(supplier.node)
    with supplier.node.database.write() as session:
        assert grants.drop(session, "pack.example", grants.Scope.STATEMENT, old, at=NOW)
    new = supplier.releases("P1", corrects=old, kg=3)
    later = supplier.releases("P1", year=2026)
    for _ in range(2):
        requests.fulfil(supplier.node)

    assert supplier.sees("cell", new)
    assert not supplier.sees("pack", new)
    assert not supplier.sees("cell", later)


def test_who_is_no_partner_any_more_is_answered_nothing(supplier: Supplier) -> None:
    name = supplier.asks("cell", product=f"{URN}P1")
    request = supplier.request("cell", name)
    with supplier.node.database.write() as session:
        book.end(supplier.node, session, supplier.customers["cell"].origin)
    supplier.releases("P1")

    assert requests.fulfil(supplier.node) == []
    assert requests.expire(supplier.node) == []
    with pytest.raises(UnusableError, match="no partner of this node any more"):
        requests.act(supplier.node, request, Remark(kind="accepted"))


def test_a_request_for_what_is_hidden_is_answered_like_one_for_nothing(supplier: Supplier) -> None:
    """Attack: part numbers and products are guessed by asking for them."""
    supplier.releases("P1")
    supplier.calls_it("pack", "C-77", f"{URN}P1")
    asked = [
        supplier.asks("cell", product=f"{URN}P1"),
        supplier.asks("cell", product=f"{URN}nothing"),
        supplier.asks("cell", part="C-77"),
        supplier.asks("cell", part="nothing"),
    ]
    requests.fulfil(supplier.node)

    assert {supplier.state("cell", name) for name in asked} == {State.NEW}
    assert supplier.told("cell") == []
