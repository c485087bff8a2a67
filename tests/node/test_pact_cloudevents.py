"""What an event of PACT is, and from where it may be told (SPEC 16.4)."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import pytest

from bcca_node.pact import cloudevents
from bcca_node.pact.cloudevents import (
    CREATED,
    FULFILLED,
    PUBLISHED,
    REJECTED,
    Created,
    Error,
    Fulfilled,
    Published,
    Rejected,
    Told,
)
from bcca_node.storage import pactevents, pactfetch, pactnews, pactsending
from bcca_node.storage.database import Database
from bcca_node.storage.pactevents import Asked, Wanted
from bcca_node.storage.pactsending import Letter, Sent
from bcca_protocol.errors import LimitError, RefusedError

AT = 1_800_000_000
BASE = "https://api.buyer.example/pact"
NAME = "00000000-0000-4000-8000-00000000000a"
NAMED = b'{"id":"00000000-0000-4000-8000-00000000000A"}'
WHO = "pact:buyer"
ASKED = Asked(partner=WHO, event="e/1", request="ab" * 16, data=b"{}", at=AT)
WANTED = Wanted(event=NAME, partner=WHO, data=b"{}", at=AT, footprints=(NAME, NAME[::-1]))
WHOLE: Mapping[str, object] = {
    "type": CREATED,
    "specversion": "1.0",
    "id": "any name of theirs/12",
    "source": BASE,
    "time": "2027-01-15T08:00:00Z",
    "data": {"productId": ["urn:gtin:4712345060507"]},
}


def read(**changes: object) -> cloudevents.Event:
    told = {name: value for name, value in {**WHOLE, **changes}.items() if value is not ...}
    return cloudevents.decode(json.dumps(told).encode())


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (Created(data=b'{"productId":["urn:x:1"],"comment":"hi"}', comment="hi"), CREATED),
        (Fulfilled(request_event_id="1", pfs=(msgspec.Raw(NAMED),)), FULFILLED),
        (Rejected(request_event_id="1", error=Error(code="NotFound", message="none")), REJECTED),
        (Published(pf_ids=(NAME,)), PUBLISHED),
    ],
)
def test_what_is_written_is_read_again(told: Told, kind: str) -> None:
    body = cloudevents.encode("e1", BASE, AT, told)
    event = cloudevents.decode(body)

    assert json.loads(body)["type"] == kind
    assert (event.id, event.source, event.time) == ("e1", BASE, "2027-01-15T08:00:00Z")
    assert event.told == told


def test_what_others_add_is_passed_over() -> None:
    event = read(subject="x", datacontenttype="application/json", traceparent="00")

    assert event.told == Created(data=b'{"productId": ["urn:gtin:4712345060507"]}')


@pytest.mark.parametrize(
    "changes",
    [
        *({name: ...} for name in WHOLE),
        {"type": "org.wbcsd.pathfinder.ProductFootprintRequest.Created.v1"},
        {"specversion": "0.3"},
        {"id": ""},
        {"id": 7},
        {"id": "x" * 201},
        {"id": "a\u0000b"},
        {"id": "a\u202eb"},
        {"source": ""},
        {"source": "x" * 5_000},
        {"time": "yesterday"},
        {"time": None},
        {"data": None},
        {"data": []},
        {"data": {"comment": 7}},
        {"type": PUBLISHED, "data": {"pfIds": []}},
        {"type": PUBLISHED, "data": {"pfIds": ["urn:gtin:4712345060507"]}},
        {"type": PUBLISHED, "data": {"pfIds": ["{" + NAME + "}"]}},
        {"type": PUBLISHED, "data": {"pfIds": [NAME.replace("-", "")]}},
        {"type": PUBLISHED, "data": {"pfIds": [NAME] * 10_001}},
        {"type": FULFILLED, "data": {"requestEventId": "1", "pfs": []}},
        {"type": FULFILLED, "data": {"pfs": [{}]}},
        {"type": FULFILLED, "data": {"requestEventId": "1", "pfs": [{}, [], {"id": "1"}, 7]}},
        {"type": REJECTED, "data": {"requestEventId": "1"}},
        {"type": REJECTED, "data": {"requestEventId": "1", "error": {"code": "", "message": ""}}},
    ],
)
def test_what_is_no_event_is_refused(changes: Mapping[str, Any]) -> None:
    with pytest.raises(RefusedError):
        read(**changes)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'"\xff"', b"[" * 100_000, b'{"id":"\\ud800"}']
)
def test_attack_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedError):
        cloudevents.decode(body)


def test_attack_a_body_without_end_is_refused() -> None:
    with pytest.raises(LimitError):
        cloudevents.decode(b" " * (cloudevents.MAX_EVENT_BYTES + 1))


@pytest.mark.parametrize(
    "source",
    [
        BASE,
        BASE + "/",
        BASE + "/3/events",
        "//api.buyer.example/pact/3/events",
        "https://API.Buyer.example:443/pact",
        "https://api.buyer.example./pact",
    ],
)
def test_a_source_at_or_under_the_base_is_taken(source: str) -> None:
    cloudevents.require_source(source, BASE)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "/",
        "urn:uuid:1",
        "https://api.buyer.example",
        "https://api.buyer.example/pact0",
        "https://api.buyer.example/PACT",
        "https://api.buyer.example/pact/../admin",
        "https://api.buyer.example/pact/%2e%2e/admin",
        "https://api.buyer.example/pact/.",
        "http://api.buyer.example/pact",
        "https://api.buyer.example:8443/pact",
        "https://api.buyer.example:0/pact",
        "https://api.buyer.example.evil.example/pact",
        "https://api.buyer.example@evil.example/pact",
        "https://user@api.buyer.example/pact",
        "https://evil.example\\@api.buyer.example/pact",
        "https://evil.example/https://api.buyer.example/pact",
        "//evil.example/pact",
        "///api.buyer.example/pact",
        "https://[::1",
        "https://api.buyer.example:99999/pact",
        "file:///pact",
    ],
)
def test_attack_a_source_elsewhere_is_refused(source: str) -> None:
    with pytest.raises(RefusedError, match="source"):
        cloudevents.require_source(source, BASE)


@pytest.fixture
def database(new_url: Callable[[], str]) -> Iterator[Database]:
    """A database of each kind, in which something is kept of `pact:buyer`."""
    made = Database(new_url())
    letters = [(WHO, "a"), (WHO, "b"), ("pact:other", "a"), (WHO, "a")]
    with made.write() as session:
        pactevents.take(session, WHO, "e/1", b"digest", AT)
        pactevents.put_request(session, ASKED)
        pactevents.put_wanted(session, WANTED)
        for to, name in letters:
            pactsending.send(session, Letter(partner=to, event=name, what="x", body=b"{}"), AT)
        pactfetch.put(session, WHO, NAME, AT)
        pactfetch.set_told(session, WHO, [(NAME, "Active")])
        pactnews.begin(session, WHO)
    yield made
    made.close()


def test_what_is_kept_of_events_is_found_in_every_database(database: Database) -> None:
    with database.read() as session:
        assert pactevents.taken(session, WHO, "e/1") == b"digest"
        assert pactevents.taken_since(session, WHO, AT) == 1
        assert pactevents.open_requests(session, WHO) == [ASKED]
        assert pactevents.request_called(session, WHO, ASKED.request) == ASKED
        assert pactevents.all_wanted(session, WHO) == [WANTED]
        assert pactfetch.waiting(session, WHO) == 1
        assert pactfetch.told(session, WHO) == {(NAME, "Active")}
        assert pactnews.said(session, "cathode.example")[3] == 0
        assert [each.number for each in pactsending.sendings(session, *Sent)] == [1, 2, 3]


def test_whoever_rests_in_any_database_holds_up_no_other(database: Database) -> None:
    with database.write() as session:
        pactsending.settle(session, 1, Sent.WAITING, "away")
        pactsending.rest(session, WHO, AT + 60)
        due = pactsending.due(session, AT), pactsending.due_for(session, WHO, AT + 60, 9)
        tried = pactsending.attempts(session, WHO)
        pactsending.wake(session, WHO, AT)
        given_up = pactsending.give_up(session, WHO, AT, "gone")

    assert due[0] == ["pact:other"]
    assert [each.number for each in due[1]] == [2, 1]  # what was tried least goes first
    assert (tried, given_up) == (1, 2)


def test_in_every_database_nothing_is_left_of_who_is_forgotten(database: Database) -> None:
    with database.write() as session:
        assert pactevents.forget(session, WHO) == 2
        pactsending.prune(session, AT + 1)
    with database.read() as session:
        assert pactevents.taken(session, WHO, "e/1") is None
        assert pactevents.open_requests(session) == []
        assert pactevents.all_wanted(session) == []
        assert [each.partner for each in pactsending.sendings(session, *Sent)] == ["pact:other"]
        assert pactfetch.waiting(session, WHO) == pactnews.beginning(session, WHO) == 0


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ('{"b":1.50,"a":["x"]}', '{ "a" : ["\\u0078"], "b" : 1.50 }', True),
        ('{"a":"1.5"}', '{"a":1.5}', False),
        ('{"a":1e400}', '{"a":2e400}', False),
        ('{"a":[1,2]}', '{"a":[2,1]}', False),
        (f'{{"a":{"[" * 900}{"]" * 900}}}', f'{{"a":{"[" * 899}{"]" * 899}}}', False),
        ('{"a":123456789012345678901234567890}', '{"a":123456789012345678901234567891}', False),
    ],
)
def test_an_event_is_the_same_if_it_says_the_same(one: str, other: str, alike: bool) -> None:
    digests = [
        cloudevents.decode(json.dumps({**WHOLE, "data": 0}).replace(": 0}", f": {told}}}").encode())
        for told in (
            f'{{"requestEventId":"1","pfs":[{NAMED.decode()},{each}]}}' for each in (one, other)
        )
    ]
    assert (digests[0].digest == digests[1].digest) is alike
