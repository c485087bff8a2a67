"""PACT callers over HTTP: credentials for a token, a token for an answer, and every way around."""

import asyncio
import base64
import dataclasses
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from sqlmodel import select

from bcca_node.app import create_app, create_server
from bcca_node.ledger.node import Node
from bcca_node.pact import clients, tokens
from bcca_node.pact.clients import Credentials
from bcca_node.storage import pactclients
from bcca_node.storage.pactclients import PactPartner, PactTokenRow
from bcca_node.web.limits import TooManyError
from bcca_node.web.pactauth import FREE_FAILURES, PactCaller
from bcca_node.web.pacttoken import MAX_FORM_BYTES, TOKENS_A_SECOND

NOW = 1_790_000_000
GRANT = {"grant_type": "client_credentials"}
OUTSIDE = ("203.0.113.7", 4711)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def who(partner: PactCaller) -> dict[str, str]:
    return {"origin": partner.origin}


@dataclass
class Host:
    """A node, asked without a socket by whoever is at `client`, in `scheme`."""

    node: Node
    clock: Clock
    app: Any

    def ask(
        self, method: str, path: str, scheme: str = "https", client: Any = OUTSIDE, **told: Any
    ) -> httpx.Response:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=client)
            base = f"{scheme}://cathode.example"
            async with httpx.AsyncClient(transport=transport, base_url=base) as http:
                return await http.request(method, path, **told)

        return asyncio.run(request())

    def issue(self, name: str = "buyer", days: int = 30) -> Credentials:
        """Add a partner where there is none, and give it credentials."""
        url = f"https://{name}.example"
        with self.node.database.write() as session:
            partner = pactclients.get(session, name)
            if partner is None:
                new = PactPartner(name=name, url=url, auth_url=url, since=self.clock())
                partner = clients.add(self.node, session, new, None)
            return clients.issue(session, partner, days=days, at=self.clock())

    def answer(self, client_id: str, secret: str, **told: Any) -> httpx.Response:
        return self.ask("POST", "/auth/token", auth=(client_id, secret), data=GRANT, **told)

    def token(self, made: Credentials) -> str:
        return str(self.answer(made.client_id, made.secret).json()["access_token"])

    def who(self, token: str, **told: Any) -> httpx.Response:
        return self.ask("GET", "/3/who", headers={"authorization": f"Bearer {token}"}, **told)


@pytest.fixture
def host(new_node: Callable[..., Node]) -> Host:
    """A node that others reach by https, with a route that tells who calls."""
    clock = Clock()
    node = new_node(url="https://cathode.example", clock=clock)
    app = create_app(node)
    app.add_api_route("/3/who", who, methods=["GET", "POST"])
    return Host(node, clock, app)


def refused(answer: httpx.Response, code: str, status: int) -> bool:
    """Say whether an answer is PACT's error object, with that code, and kept by nobody."""
    return (
        answer.status_code == status
        and answer.json().keys() == {"code", "message"}
        and answer.json()["code"] == code
        and "no-store" in answer.headers["cache-control"]
    )


def denied(answer: httpx.Response, error: str, status: int) -> bool:
    """Say whether an answer is a refusal as RFC 6749, 5.2 has it."""
    return (
        answer.status_code == status
        and answer.json().keys() == {"error", "error_description"}
        and answer.json()["error"] == error
        and answer.headers["cache-control"] == "no-store"
    )


def test_credentials_are_given_for_a_token_and_a_token_says_who_calls(host: Host) -> None:
    made = host.issue()
    answer = host.answer(made.client_id, made.secret)
    told = answer.json()

    assert answer.status_code == 200
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 3600)
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert host.who(told["access_token"]).json() == {"origin": "pact:buyer"}


def test_credentials_in_the_body_do_as_well(host: Host) -> None:
    made = host.issue()
    form = {**GRANT, "client_id": made.client_id, "client_secret": made.secret, "scope": "a b"}
    answer = host.ask("POST", "/auth/token", data=form)

    assert host.who(answer.json()["access_token"]).status_code == 200


def test_basic_credentials_may_be_percent_encoded_as_the_rfc_has_them(host: Host) -> None:
    made = host.issue()
    encoded = made.client_id.replace(".", "%2E"), made.secret.replace("-", "%2D")

    assert host.answer(*encoded).status_code == 200


def test_the_openid_configuration_names_the_token_endpoint(host: Host) -> None:
    told = host.ask("GET", "/.well-known/openid-configuration").json()

    assert told["issuer"] == "https://cathode.example"
    assert told["token_endpoint"] == "https://cathode.example/auth/token"  # noqa: S105 - a URL
    assert told["grant_types_supported"] == ["client_credentials"]


def test_a_configuration_does_not_repeat_the_host_that_somebody_writes(host: Host) -> None:
    path = "/.well-known/openid-configuration"
    told = host.ask("GET", path, headers={"host": "attacker.example"}).text

    assert "attacker" not in told


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("its own", "another"),
        ("its own", ""),
        ("another", "its own"),
        ("", "its own"),
        ("its own", "ü\0" * 20),
        ("its own", "x" * 4_000),
        ("x" * 3_000, "its own"),
    ],
)
def test_bad_credentials_are_all_refused_alike(host: Host, name: str, secret: str) -> None:
    made = host.issue()
    name, secret = name.replace("its own", made.client_id), secret.replace("its own", made.secret)
    answer = host.answer(name, secret)

    assert denied(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.text == host.answer("nobody", "nothing").text


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ["client_credentials"] * 2}, "invalid_request"),
        ({**GRANT, "client_secret": "also here"}, "invalid_request"),
        ({**GRANT, "client_id": "somebody else"}, "invalid_request"),
        ({f"f{number}": "1" for number in range(30)}, "invalid_request"),
    ],
)
def test_a_form_that_asks_for_something_else_is_refused(
    host: Host, form: dict[str, Any], error: str
) -> None:
    made = host.issue()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    auth = (made.client_id, made.secret)
    answer = host.ask("POST", "/auth/token", auth=auth, data=form, headers=headers)

    assert denied(answer, error, 400)


def test_json_and_bodies_that_never_end_are_no_forms(host: Host) -> None:
    made = host.issue()
    auth = (made.client_id, made.secret)
    long = host.ask("POST", "/auth/token", auth=auth, content=b"a" * (MAX_FORM_BYTES + 1))

    assert denied(host.ask("POST", "/auth/token", auth=auth, json=GRANT), "invalid_request", 400)
    assert long.status_code == 413


@pytest.mark.parametrize("name", ["client_secret", "access_token", "client_id"])
def test_a_secret_in_a_url_is_refused_even_if_it_is_right(host: Host, name: str) -> None:
    made = host.issue()
    token = host.token(made)
    header = {"authorization": f"Bearer {token}"}
    asked = host.ask("POST", f"/auth/token?{name}={made.secret}", auth=("a", "b"), data=GRANT)

    assert denied(asked, "invalid_request", 400)
    assert made.secret not in asked.text
    assert refused(host.ask("GET", f"/3/who?{name}={token}"), "BadRequest", 400)
    assert refused(host.ask("GET", f"/3/who?{name}={token}", headers=header), "BadRequest", 400)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer ")],
        [("authorization", "Basic {token}")],
        [("authorization", "{token}")],
        [("authorization", "Bearer {token}"), ("authorization", "Bearer {token}")],
        [("authorization", "Bearer " + "x" * 5_000)],
        [("authorization", "Bearer wrong")],
        [("authorization", "Bearer {token}x")],
        [("authorization", "Bearer \xff\x00")],
        [("x-authorization", "Bearer {token}")],
    ],
)
def test_what_is_no_good_token_gets_in_nowhere(host: Host, headers: list[tuple[str, str]]) -> None:
    token = host.token(host.issue())
    sent = [(name, value.replace("{token}", token).encode("latin-1")) for name, value in headers]
    answer = host.ask("GET", "/3/who", headers=[(name.encode(), value) for name, value in sent])

    assert refused(answer, "BadRequest", 401)
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert token not in answer.text


def test_a_token_ends_after_an_hour_and_says_so(host: Host) -> None:
    token = host.token(host.issue())
    host.clock.now += tokens.SECONDS - 1
    still = host.who(token)
    host.clock.now += 1

    assert still.status_code == 200
    assert refused(host.who(token), "TokenExpired", 401)
    assert 'error="invalid_token"' in host.who(token).headers["www-authenticate"]


def test_a_token_lives_no_longer_than_its_secret(host: Host) -> None:
    made = host.issue(days=1)
    host.clock.now += 86_400 - 60
    answer = host.answer(made.client_id, made.secret).json()
    host.clock.now += 60

    assert answer["expires_in"] == 60
    assert host.who(answer["access_token"]).status_code == 401
    assert denied(host.answer(made.client_id, made.secret), "invalid_client", 401)


def test_a_revoked_secret_and_its_tokens_stop_at_once_and_the_others_go_on(host: Host) -> None:
    old, new = host.issue(), host.issue()
    first, second = host.token(old), host.token(new)
    assert host.who(first).status_code == 200  # so that it is remembered
    with host.node.database.write() as session:
        clients.revoke(session, old.partner, old.client_id, at=NOW)

    assert refused(host.who(first), "BadRequest", 401)
    assert denied(host.answer(old.client_id, old.secret), "invalid_client", 401)
    assert host.who(second).status_code == 200


def test_tokens_of_an_ended_partner_stop_at_once_and_for_its_successor_too(host: Host) -> None:
    made, other = host.issue(), host.issue("other")
    token, others = host.token(made), host.token(other)
    assert host.who(token).status_code == 200
    with host.node.database.write() as session:
        clients.end(host.node, session, made.partner)
    ended = host.who(token)
    host.issue("buyer")  # the same name again

    assert refused(ended, "BadRequest", 401)
    assert refused(host.who(token), "BadRequest", 401)
    assert denied(host.answer(made.client_id, made.secret), "invalid_client", 401)
    assert host.who(others).json() == {"origin": "pact:other"}


def test_a_token_stays_good_over_a_restart(host: Host) -> None:
    token = host.token(host.issue())
    opened = Node.open(host.node.settings, clock=host.clock)
    app = create_app(opened)
    app.add_api_route("/3/who", who)
    again = replace(host, node=opened, app=app).who(token)
    opened.close()

    assert again.status_code == 200


@pytest.mark.parametrize("client", [OUTSIDE, ("127.0.0.1", 5), ("::1", 5), None])
def test_over_plain_http_nothing_succeeds(host: Host, client: Any) -> None:
    made = host.issue()
    token = host.token(made)
    plain = {"scheme": "http", "client": client}

    assert denied(host.answer(made.client_id, made.secret, **plain), "invalid_request", 400)
    assert refused(host.who(token, **plain), "BadRequest", 400)
    assert refused(host.ask("GET", "/.well-known/openid-configuration", **plain), "BadRequest", 400)


def test_a_header_that_says_https_is_not_believed_of_whom_nobody_named(host: Host) -> None:
    told = {"x-forwarded-proto": "https", "forwarded": "proto=https"}
    token = host.token(host.issue())
    headers = {**told, "authorization": f"Bearer {token}"}

    assert host.ask("GET", "/3/who", "http", headers=headers).status_code == 400


def test_only_a_node_that_is_on_this_machine_alone_is_asked_by_http(
    new_node: Callable[..., Node],
) -> None:
    clock = Clock()
    node = new_node("here.example", url="http://127.0.0.1:8000", clock=clock)
    host = Host(node, clock, create_app(node))
    made = host.issue()
    here = host.answer(made.client_id, made.secret, scheme="http", client=("127.0.0.1", 5))
    there = host.answer(made.client_id, made.secret, scheme="http")

    assert here.status_code == 200
    assert denied(there, "invalid_request", 400)


def test_behind_a_proxy_that_the_settings_name_https_is_what_it_says(
    loop: Any, new_node: Callable[..., Node]
) -> None:
    clock = Clock()
    node = new_node(url="https://cathode.example", proxies="127.0.0.1", clock=clock)
    made = Host(node, clock, None).issue()
    listener = socket.create_server(("127.0.0.1", 0))
    loop.serve(create_server(node), listener)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/auth/token"

    def by(*protocols: str) -> int:
        headers = [("x-forwarded-for", OUTSIDE[0])]
        headers += [("x-forwarded-proto", each) for each in protocols]
        auth = (made.client_id, made.secret)
        return httpx.post(url, auth=auth, data=GRANT, headers=headers, trust_env=False).status_code

    assert [by("https"), by("http"), by()] == [200, 400, 400]
    assert [by("HTTPS"), by("Https"), by("HTTP"), by("HTTPS, http")] == [200, 200, 400, 400]


@pytest.mark.parametrize("path", ["/3/who/", "/3/footprints/", "/auth/token/", "/healthz/"])
def test_a_slash_too_many_is_not_there_and_leads_nowhere_else(host: Host, path: str) -> None:
    headers = {"authorization": f"Bearer {host.token(host.issue())}"}
    answer = host.ask("GET", path, headers=headers)

    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert ("code" in answer.json()) is path.startswith("/3/")


def test_whoever_goes_on_guessing_waits_and_nobody_else_does(host: Host) -> None:
    made = host.issue()
    for _ in range(FREE_FAILURES + 1):
        assert host.answer(made.client_id, "guess").status_code == 401
    waiting = host.answer(made.client_id, "guess")
    guessed = host.who("guess")
    elsewhere = {"client": ("198.51.100.4", 9)}

    assert (waiting.status_code, guessed.status_code) == (429, 429)
    assert int(waiting.headers["retry-after"]) >= 1
    assert guessed.json().keys() == {"code", "message"}
    assert host.answer(made.client_id, made.secret, **elsewhere).status_code == 200


def test_nobody_uses_up_the_tokens_of_a_client_whose_name_he_knows(host: Host) -> None:
    made = host.issue()
    limits = host.app.state.tokens
    for _ in range(3):
        host.answer(made.client_id, "guess")
    spent = 0
    while True:
        try:
            limits.spend(made.client_id)
        except TooManyError:
            break
        spent += 1

    assert spent >= TOKENS_A_SECOND * 40  # as many as if nobody had asked
    assert host.answer(made.client_id, made.secret).status_code == 429


def test_a_client_that_asks_for_a_token_each_time_fills_no_disk(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pactclients, "MAX_TOKENS", 3)
    made = host.issue()
    issued = []
    for _ in range(5):
        host.clock.now += 1
        issued.append(host.token(made))
    with host.node.database.read() as session:
        kept = session.exec(select(PactTokenRow)).all()

    assert len(kept) == 3
    assert [host.who(each).status_code for each in issued] == [401, 401, 200, 200, 200]


def test_no_secret_and_no_token_is_in_the_database(host: Host) -> None:
    made = host.issue()
    token = host.token(made)
    folder = host.node.settings.data
    held = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())

    assert made.client_id.encode() in held
    assert made.secret.encode() not in held
    assert token.encode() not in held
    assert made.secret not in repr(made)


def test_what_fails_below_3_is_an_error_object_and_elsewhere_it_is_not(host: Host) -> None:
    @host.app.get("/3/broken")  # type: ignore[untyped-decorator]  # an app as the fixture has it
    def broken() -> None:
        raise RuntimeError("quoted by nobody")

    @host.app.get("/3/typed")  # type: ignore[untyped-decorator]  # same
    def typed(limit: int) -> int:
        return limit

    header = base64.b64encode(b"a:b").decode()
    missing = host.ask("GET", "/3/nothing", headers={"authorization": f"Basic {header}"})

    assert missing.status_code == 404
    assert missing.json() == {"code": "NotFound", "message": "there is nothing here"}
    assert host.ask("PUT", "/3/who").json()["code"] == "BadRequest"
    assert host.ask("GET", "/3/typed?limit=x").json()["code"] == "BadRequest"
    assert host.ask("GET", "/nothing").json() == {"error": "there is nothing here"}
    with pytest.raises(RuntimeError):
        host.ask("GET", "/3/broken")


def test_a_node_without_keys_gives_tokens_too(host: Host) -> None:
    locked = replace(host, node=dataclasses.replace(host.node, keyring=None))
    made = locked.issue()

    assert locked.answer(made.client_id, made.secret).status_code == 200


def test_on_postgresql_tokens_are_issued_bounded_and_stopped_too(
    new_node: Callable[..., Node], postgresql: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pactclients, "MAX_TOKENS", 2)
    clock = Clock()
    node = new_node("pg.example", url="https://pg.example", clock=clock, database=postgresql())
    app = create_app(node)
    app.add_api_route("/3/who", who)
    host = Host(node, clock, app)
    made, other = host.issue(), host.issue()
    issued = []
    for _ in range(3):
        clock.now += 1
        issued.append(host.token(made))
    before = [host.who(each).status_code for each in issued]
    others = host.token(other)
    with node.database.write() as session:
        clients.revoke(session, made.partner, made.client_id, at=clock())
    after = [host.who(each).status_code for each in (*issued, others)]
    with node.database.write() as session:
        clients.end(node, session, made.partner)

    assert before == [401, 200, 200]
    assert after == [401, 401, 401, 200]
    assert host.who(others).status_code == 401
    assert host.answer("nul\0", "nul\0").status_code == 401
