"""Events between a node and its PACT partners, and attacks on them: nobody gains by asking."""

import json
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from tests.system.pact_ground import LEI, Ground, Side, urn
from tests.system.pact_schema import CREATED, FULFILLED, PUBLISHED, REJECTED, event_shape
from tests.system.pact_suite import NOBODY
from tests.system.pact_tester import FORM, Foreigner, Listener, basic


@dataclass(frozen=True, kw_only=True)
class Host:
    """A node, two partners of it, and somebody who is none and listens all the same."""

    side: Side
    buyer: Foreigner
    rival: Foreigner
    stranger: Listener


@pytest.fixture(scope="module")
def host(pact: Ground) -> Iterator[Host]:
    side = pact.side("eventful")
    side.start()
    side.publish(side.made("E1"), side.made("E2", kg=3), side.made("hidden", sharing="direct"))
    yield Host(
        side=side,
        buyer=pact.acquaint(side, "buyer"),
        rival=pact.acquaint(side, "rival"),
        stranger=pact.listener(),
    )
    if side.pid is not None:
        assert side.stop() == 0


# Requests.


def test_a_request_is_answered_once_with_the_footprints_that_fit(host: Host) -> None:
    asked = host.buyer.request([urn("E1")])
    [answer] = host.buyer.answers(asked)

    assert answer["type"] == FULFILLED
    assert event_shape(answer) == []
    assert answer["data"]["pfs"] == host.buyer.every(f"?productId={urn('E1')}")
    assert answer["source"].rstrip("/").startswith((host.side.base, host.side.base[6:]))


@pytest.mark.parametrize(
    ("criteria", "products"),
    [
        ({"productId": [urn("E1").upper()]}, {urn("E1")}),
        ({"productId": [urn("E1"), urn("E2")]}, {urn("E1"), urn("E2")}),
        ({"productId": [urn("E2"), "urn:none:such"], "companyId": [LEI]}, {urn("E2")}),
        ({"productId": [urn("E2")], "status": "Active", "comment": "please"}, {urn("E2")}),
        ({"productId": [urn("E2")], "status": ["Active"]}, {urn("E2")}),
        ({"productId": [urn("E2")], "validOn": "2027-01-01T00:00:00Z"}, {urn("E2")}),
        ({"companyId": [LEI], "geography": ["fi"]}, {urn("E1"), urn("E2")}),
    ],
)
def test_a_request_takes_the_criteria_of_the_list(
    host: Host, criteria: dict[str, Any], products: set[str]
) -> None:
    event = host.buyer.event(CREATED, criteria)
    assert host.buyer.post(event).status_code == 200
    [answer] = host.buyer.answers(event["id"])

    assert answer["type"] == FULFILLED
    assert {each["productIds"][0] for each in answer["data"]["pfs"]} == products


def test_a_request_for_what_is_not_there_is_rejected_with_a_reason(host: Host) -> None:
    [answer] = host.buyer.answers(host.buyer.request(["urn:pact:null"]))

    assert answer["type"] == REJECTED
    assert event_shape(answer) == []
    assert answer["data"]["error"]["message"]


def test_the_same_event_again_is_taken_and_answered_no_second_time(host: Host) -> None:
    event = host.buyer.event(CREATED, {"productId": [urn("E1")]})
    for _ in range(3):
        answer = host.buyer.post(event)
        assert (answer.status_code, answer.content) == (200, b"")
    host.buyer.answers(event["id"])
    assert host.buyer.post(event).status_code == 200
    host.buyer.answers(host.buyer.request([urn("E2")]))  # whatever had been due came before

    assert len(host.buyer.listener.about(event["id"])) == 1


def test_attack_another_event_of_the_same_id_is_refused(host: Host) -> None:
    event = host.buyer.event(CREATED, {"productId": [urn("E1")]})
    assert host.buyer.post(event).status_code == 200
    other = host.buyer.post({**event, "data": {"productId": [urn("E2")]}})

    assert other.status_code == 400
    assert other.json()["code"] == "BadRequest"
    [answer] = host.buyer.answers(event["id"])
    assert {each["productIds"][0] for each in answer["data"]["pfs"]} == {urn("E1")}


def test_two_partners_may_use_the_same_event_id(host: Host) -> None:
    event = host.buyer.event(CREATED, {"productId": [urn("E1")]})
    assert host.buyer.post(event).status_code == 200
    theirs = {**event, "source": host.rival.listener.url, "data": {"productId": [urn("E2")]}}
    assert host.rival.post(theirs).status_code == 200

    for partner, product in ((host.buyer, "E1"), (host.rival, "E2")):
        [answer] = partner.answers(event["id"])
        assert {each["productIds"][0] for each in answer["data"]["pfs"]} == {urn(product)}


def test_a_request_for_what_is_hidden_waits_in_the_inbox_and_is_declined(host: Host) -> None:
    asked = host.buyer.request([urn("hidden")])
    name = host.side.waiting("hidden")
    [shown] = host.side.bcca("inbox", "list", "--json").json["requests"]
    host.side.bcca("inbox", "decline", name, "--reason", "noData")
    [answer] = host.buyer.answers(asked)

    assert (shown["id"], shown["partner"]) == (name, "pact:buyer")
    assert answer["type"] == REJECTED
    assert "hidden" not in json.dumps(answer["data"]["error"])


def test_a_request_for_what_is_made_later_is_fulfilled_once_it_is_accepted_and_published(
    host: Host,
) -> None:
    asked = host.buyer.request([urn("later")], companyId=[LEI])
    host.side.bcca("inbox", "accept", host.side.waiting("later"), "--product", urn("later"))
    host.side.sell("later", sharing="direct")
    [answer] = host.buyer.answers(asked)
    [found] = answer["data"]["pfs"]

    assert answer["type"] == FULFILLED
    assert host.buyer.one(found["id"]) == found
    assert host.rival.get(f"/3/footprints/{found['id']}").status_code == 404


@pytest.mark.parametrize("form", ["{base}", "{base}/", "{base}/3/events", "//{host}/3/events"])
def test_a_source_under_the_registered_base_is_taken_in_every_form(host: Host, form: str) -> None:
    base = host.buyer.listener.url
    source = form.format(base=base, host=base.removeprefix("https://"))
    event = host.buyer.event(CREATED, {"productId": [urn("E1")]}, source=source)

    assert host.buyer.post(event).status_code == 200
    host.buyer.answers(event["id"])


Change = Callable[[dict[str, Any]], object]
MALFORMED: Mapping[str, Change] = {
    **{
        f"no {name}": lambda event, name=name: event.pop(name)  # type: ignore[misc]
        for name in ("type", "specversion", "id", "source", "time", "data")
    },
    "null": lambda event: event.update(data=None),
    "version 0.3": lambda event: event.update(specversion="0.3"),
    "an empty id": lambda event: event.update(id=""),
    "an id that is a number": lambda event: event.update(id=7),
    "a type of version 2": lambda event: event.update(
        type="org.wbcsd.pathfinder.ProductFootprintRequest.Created.v1"
    ),
    "no moment": lambda event: event.update(time="yesterday"),
    "products that are no list": lambda event: event.update(data={"productId": urn("E1")}),
    "products that are no text": lambda event: event.update(data={"productId": [7]}),
    "validOn that is no moment": lambda event: event.update(data={"validOn": "soon"}),
    "news of nothing": lambda event: event.update(type=PUBLISHED, data={"pfIds": []}),
    "news of no ids": lambda event: event.update(type=PUBLISHED, data={}),
    "news of a URN": lambda event: event.update(type=PUBLISHED, data={"pfIds": [urn("E1")]}),
    "fulfilled with nothing": lambda event: event.update(
        type=FULFILLED, data={"requestEventId": "1", "pfs": []}
    ),
    "fulfilled for nobody": lambda event: event.update(type=FULFILLED, data={"pfs": [{}]}),
    "rejected without a reason": lambda event: event.update(
        type=REJECTED, data={"requestEventId": "1"}
    ),
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_event_is_a_bad_request(host: Host, change: Change) -> None:
    event = host.buyer.event(CREATED, {"productId": [urn("E1")]})
    change(event)
    answer = host.buyer.post(event)

    assert answer.status_code == 400
    assert answer.json()["code"] == "BadRequest"
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'"text"', b'{"id": NaN}', b"[" * 9999]
)
def test_a_body_that_is_no_event_is_a_bad_request(host: Host, body: bytes) -> None:
    answer = host.buyer.post(body)

    assert answer.status_code == 400
    assert answer.json()["code"] == "BadRequest"


def test_attack_a_body_without_end_is_refused(host: Host) -> None:
    event = host.buyer.event(CREATED, {"comment": "x" * 50_000_000})
    answer = host.buyer.post(event)

    assert 400 <= answer.status_code < 500


# Attacks.


@pytest.mark.parametrize(
    "form",
    [
        "{stranger}",
        "{stranger}/3/events",
        "//{stranger_host}/3/events",
        "{base}@{stranger_host}",
        "{base}.evil.example",
        "{base}0",
        "http://{host}",
        "https://evil.example/{base}",
        "{base}/../../evil",
        "file:///etc/passwd",
        "urn:x",
        "",
    ],
)
def test_attack_a_source_elsewhere_is_refused_and_nothing_goes_there(host: Host, form: str) -> None:
    base, stranger = host.buyer.listener.url, host.stranger.url
    source = form.format(
        base=base,
        host=base.removeprefix("https://"),
        stranger=stranger,
        stranger_host=stranger.removeprefix("https://"),
    )
    event = host.buyer.event(CREATED, {"productId": [urn("E1")]}, source=source)
    answer = host.buyer.post(event)

    assert answer.status_code == 400
    assert answer.json()["code"] == "BadRequest"
    assert host.buyer.listener.about(event["id"]) == []
    assert host.stranger.heard == []


def test_attack_the_source_of_another_partner_is_refused(host: Host) -> None:
    event = host.rival.event(CREATED, {"productId": [urn("E1")]}, source=host.buyer.listener.url)

    assert host.rival.post(event).status_code == 400
    assert host.buyer.listener.about(event["id"]) == []


def test_attack_a_callback_that_is_sent_elsewhere_does_not_follow(host: Host) -> None:
    host.buyer.listener.redirect = f"{host.stranger.url}/3/events"
    try:
        asked = host.buyer.request([urn("E1")])
        assert host.buyer.listener.wait(
            lambda: any(each.status == 307 for each in host.buyer.listener.heard)
        )
    finally:
        host.buyer.listener.redirect = ""
    assert host.stranger.heard == []
    [answer] = host.buyer.answers(asked)
    assert answer["type"] == FULFILLED


def test_attack_a_partner_answers_for_another(host: Host) -> None:
    [found] = host.buyer.every(f"?productId={urn('E1')}")
    for kind, data in (
        (FULFILLED, {"requestEventId": "never-asked", "pfs": [found]}),
        (REJECTED, {"requestEventId": "never-asked", "error": {"code": "x", "message": "y"}}),
    ):
        assert host.rival.post(host.rival.event(kind, data)).status_code in (200, 400)

    assert host.rival.listener.events == host.rival.listener.events
    told = host.side.bcca("pact", "foreign", "--json", status=None)
    assert found["id"] not in told.out


@pytest.mark.parametrize("bearer", ["x", "x" * 5_000, "é", "Bearer", "a b"])
def test_attack_a_made_up_token_opens_nothing(host: Host, bearer: str) -> None:
    answer = host.buyer.get(
        "/3/footprints", bearer="", headers={"authorization": b"Bearer " + bearer.encode("latin-1")}
    )

    assert answer.status_code in (400, 401)
    assert answer.json()["code"] in ("BadRequest", "TokenExpired")


@pytest.mark.parametrize("path", ["/3/footprints", f"/3/footprints/{NOBODY}"])
def test_attack_without_a_token_and_with_one_elsewhere_nothing_is_told(
    host: Host, path: str
) -> None:
    secret = basic(host.buyer.client_id, host.buyer.client_secret)
    for url, headers in (
        (path, {}),
        (f"{path}?access_token={host.buyer.token}", {}),
        (path, {"authorization": secret}),
        (path, {"authorization": host.buyer.token}),
        (path, {"cookie": f"access_token={host.buyer.token}"}),
    ):
        answer = host.buyer.get(url, bearer="", headers=headers)
        assert answer.status_code in (400, 401)
        assert set(answer.json()) == {"code", "message"}


def test_a_token_is_given_for_a_secret_in_the_body_too(host: Host) -> None:
    url = f"{host.side.base}/auth/token"
    form = {
        "grant_type": "client_credentials",
        "client_id": host.buyer.client_id,
        "client_secret": host.buyer.client_secret,
    }
    good = host.buyer.send("POST", url, bearer="", data=form, headers=FORM)
    bad = host.buyer.send("POST", url, bearer="", data={**form, "client_secret": "x"}, headers=FORM)

    assert good.status_code == 200
    assert good.json()["token_type"].lower() == "bearer"
    assert 0 < good.json()["expires_in"] <= 3600
    assert good.headers["cache-control"] == "no-store"
    assert bad.status_code in (400, 401)
    assert bad.json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"scope": "footprint:list"}, "invalid_request"),
    ],
)
def test_a_token_request_of_another_kind_is_refused_by_name(
    host: Host, form: dict[str, str], error: str
) -> None:
    headers = {**FORM, "authorization": basic(host.buyer.client_id, host.buyer.client_secret)}
    answer = host.buyer.send(
        "POST", f"{host.side.base}/auth/token", bearer="", data=form, headers=headers
    )

    assert answer.status_code == 400
    assert answer.json()["error"] in (error, "unsupported_grant_type")


def test_attack_an_unknown_client_is_not_told_from_a_wrong_secret(host: Host) -> None:
    wrong = host.buyer.ask_for_token("wrong")
    nobody = host.buyer.send(
        "POST",
        "/auth/token",
        bearer="",
        data={"grant_type": "client_credentials"},
        headers={**FORM, "authorization": basic("nobody", "wrong")},
    )

    assert wrong.status_code == nobody.status_code == 401
    assert wrong.content == nobody.content


def test_a_secret_is_replaced_without_an_outage_and_ends_with_its_tokens(
    host: Host, pact: Ground
) -> None:
    told = host.side.bcca("partners", "secret", "rival", "--json").json
    newer = pact.tester(host.side, "rival", host.rival.listener, told)
    old = host.rival.token
    assert newer.get("/3/footprints").status_code == 200
    assert host.rival.get("/3/footprints").status_code == 200
    host.side.bcca("partners", "revoke-secret", "rival", host.rival.client_id)

    assert host.rival.get("/3/footprints", bearer=old).status_code in (400, 401)
    assert host.rival.ask_for_token().status_code in (400, 401)
    assert newer.get("/3/footprints").status_code == 200
    host.rival.client_id, host.rival.client_secret = newer.client_id, newer.client_secret
    host.rival.forget_token()


def test_a_partner_that_is_ended_sees_and_hears_nothing_more(host: Host, pact: Ground) -> None:
    ended = pact.acquaint(host.side, "ended")
    token = ended.token
    host.side.bcca("partners", "end", "pact:ended")
    host.side.sell("afterwards")
    host.buyer.listener.wait(lambda: len(host.buyer.listener.published()) > 0)

    assert ended.get("/3/footprints", bearer=token).status_code in (400, 401)
    assert ended.ask_for_token().status_code in (400, 401)
    event = ended.event(CREATED, {"productId": [urn("E1")]})
    assert ended.post(event, bearer=token).status_code in (400, 401)
    [found] = host.buyer.every(f"?productId={urn('afterwards')}")
    assert host.buyer.listener.wait(lambda: found["id"] in host.buyer.listener.published())
    assert found["id"] not in ended.listener.published()


def test_attack_no_secret_is_in_the_database_or_in_what_the_node_says(host: Host) -> None:
    secrets = {
        *(each.client_secret for each in (host.buyer, host.rival)),
        *(each.listener.client_secret for each in (host.buyer, host.rival)),
        host.buyer.token,
        *host.buyer.listener.tokens,
    }
    shown = host.side.bcca("partners", "show", "pact:buyer", "--json").out
    shown += host.side.bcca("partners", "list", "--json").out
    with closing(sqlite3.connect(host.side.data / "node.db")) as database:
        kept = "\n".join(database.iterdump())

    assert [each for each in secrets if each in host.side.said] == []
    assert [each for each in secrets if each in shown] == []
    assert [each for each in secrets if each in kept] == []
    assert [each for each in secrets if each.encode().hex() in kept] == []


@pytest.mark.parametrize("path", ["/3/footprints", "/3/footprints/x/y", "/3", "/2/footprints"])
def test_a_method_or_path_that_is_none_is_refused_and_breaks_nothing(host: Host, path: str) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        assert 400 <= host.buyer.send(method, path).status_code < 500
    if path != "/3/footprints":
        assert host.buyer.get(path).status_code in (400, 404)


@pytest.mark.parametrize("name", ["x", "..%2f..%2fetc%2fpasswd", "%00", "8" * 3_000, "{}", "é"])
def test_an_id_that_is_none_is_not_found(host: Host, name: str) -> None:
    answer = host.buyer.get(f"/3/footprints/{name}")

    assert answer.status_code in (400, 404)
    assert answer.json()["code"] in ("BadRequest", "NotFound")


@pytest.mark.parametrize(
    "query",
    [
        "productId=%27%20OR%201%3D1--",
        "status=%00",
        "geography=%25",
        "companyId=" + "x" * 7_000,
        "&".join(f"productId=urn:a:{each}" for each in range(500)),
        "x-other-criterion=1",
        "unknown=1",
        "limit=" + "9" * 400,
    ],
    ids=[
        "quotes",
        "a zero byte",
        "a percent sign",
        "long",
        "many",
        "another's",
        "unknown",
        "digits",
    ],
)
def test_attack_a_query_of_any_kind_breaks_nothing_and_shows_nothing(
    host: Host, query: str
) -> None:
    answer = host.buyer.get(f"/3/footprints?{query}")

    assert answer.status_code in (200, 400, 431)
    if answer.status_code == 400:
        assert answer.json()["code"] == "BadRequest"
    assert "hidden" not in answer.text


def test_news_of_others_is_taken_and_nothing_is_told_of_what_it_was(host: Host) -> None:
    event = host.buyer.event(PUBLISHED, {"pfIds": [str(uuid4())]})
    answers = [host.buyer.post(event) for _ in range(2)]

    assert [(each.status_code, each.content) for each in answers] == [(200, b"")] * 2
    name = event["data"]["pfIds"][0]
    assert host.buyer.listener.wait(
        lambda: any(
            each.path == f"/3/footprints/{name}" for each in tuple(host.buyer.listener.heard)
        )
    )


def test_each_partner_was_called_with_what_it_issued_itself_and_nothing_else(host: Host) -> None:
    for each in (host.buyer.listener, host.rival.listener):
        own = {basic(each.client_id, each.client_secret), *(f"Bearer {e}" for e in each.tokens)}
        sent = {heard.authorization for heard in each.heard if "/.well-known/" not in heard.path}
        assert sent <= own
    assert host.stranger.heard == []


def test_it_stops_when_it_is_told_to_and_nothing_was_a_mistake(host: Host) -> None:
    assert host.side.stop(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in host.side.said.splitlines() if line.startswith("{")]

    assert [each for each in lines if each.get("status", 0) >= 500] == []
    assert "Traceback" not in host.side.said
    assert "a mistake in bcca" not in host.side.said
