"""The document of a node's routes: whole, and true of what is answered, whatever is asked."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any, Literal, get_args

import httpx
import pytest
import schemathesis
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bcca_node.app import create_app
from bcca_node.cli import main
from bcca_node.ledger.copied import Address
from bcca_node.ledger.copying import Reader
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import signatures
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.network.signatures import Call
from bcca_node.partners import acquaint, requests
from bcca_node.partners.event import (
    AuditorEvent,
    Event,
    Pair,
    PartsEvent,
    RequestEvent,
    RequestKind,
    StatementEvent,
    Wanted,
    encode,
    new_id,
)
from bcca_node.partners.page import MAX_PLACE
from bcca_node.storage import feed, grants, partners, seen, statements, witnessed
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.partners import Partner, PartnerRole
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol import period
from bcca_protocol.inventory import Interval
from bcca_protocol.keys import Role, Signer
from bcca_protocol.statement import PartialFootprint

Part = Callable[..., PartialFootprint]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 6  # of each operation
EVENTS = 60  # of what a partner tells: there are many kinds of it, each with its own way
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
YEAR = Interval("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
NOBODY, STRANGER, PARTNER = "nobody", "a stranger with a valid key", "a partner with grants"
LOG, STATEMENTS, MIRROR = "/log", "/statements", "/mirror/{hashed}"
Step = Literal["proposed", "confirmed", "refused"]
End = Literal["corrected", "superseded", "revoked"]
Change = Literal["appointed", "dismissed"]
URN, TELLING = "urn:bcca:case:t:", "events_post_events"
PUBLIC = {  # a route that is not listed here was not meant to be public
    "/.well-known/bcca.json": {"get", "head"},
    "/.well-known/did.json": {"get", "head"},
    "/healthz": {"get"},
    "/openapi.json": {"get", "head"},
    f"{LOG}/checkpoint": {"get", "head"},
    f"{LOG}/tile/{{path}}": {"get", "head"},
    STATEMENTS: {"get"},
    f"{STATEMENTS}/batch": {"post"},
    f"{STATEMENTS}/{{commitment}}": {"get", "head"},
    f"{STATEMENTS}/{{commitment}}/proof": {"get", "head"},
    f"{STATEMENTS}/{{commitment}}/evidence": {"get"},
    "/witness/add-checkpoint": {"post"},
    "/witness/{hashed}/checkpoint": {"get", "head"},
    f"{MIRROR}/checkpoint": {"get", "head"},
    f"{MIRROR}/tile/{{path}}": {"get", "head"},
    f"{MIRROR}/statements": {"get"},
    f"{MIRROR}/statements/{{commitment}}": {"get", "head"},
    "/invitations/{name}": {"get", "head"},
    "/events": {"get", "post"},
}
PACT = {  # described by a document of its own (SPEC 16): not in this one
    "/.well-known/openid-configuration": {"get", "head"},
    "/auth/token": {"post"},
    "/3/footprints": {"get"},
    "/3/footprints/{name}": {"get"},
    "/3/events": {"post"},
    "/pact/extension/1.0.0": {"get", "head"},
    "/pact/extension/1.0.0/schema.json": {"get", "head"},
}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A node that is asked, and what there is to be asked for, besides what is made up."""

    node: Node
    signers: dict[str, Signer | None]
    path: dict[str, list[str]]
    query: dict[str, list[str]]
    events: list[dict[str, Any]]

    def auth(self, who: str) -> dict[str, Any]:
        signer = self.signers[who]
        return {} if signer is None else {"auth": Signing(signer, self.node.origin)}


@pytest.fixture
def ground(
    network: list[Node], part: Part, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> Ground:
    """A node with public statements, one for its partner, one of its supplier, and requests."""
    node, mine, _, stranger, partner = network
    public = released(node, *(part(node.origin, f"P{n}") for n in range(4)))
    (secret,) = released(node, part(node.origin, "secret", sharing="direct"))
    (ore,) = released(mine, part(mine.origin, "ore", sharing="downstream"))
    hold(node, mine, ore, feeds=secret)
    incoming, outgoing = deal(node, partner)
    monkeypatch.setenv("BCCA_PASSPHRASE", PASSPHRASE)
    assert main(["partners", "invite", "--json", "--data", str(node.settings.data)]) == 0
    invitation = json.loads(capsys.readouterr().out)["id"]
    return Ground(
        node=node,
        signers={
            NOBODY: None,
            STRANGER: stranger.keys.signer(Role.REQUEST),
            PARTNER: partner.keys.signer(Role.REQUEST),
        },
        path={
            "commitment": [*public, secret, ore],
            "hashed": [witnessed.origin_hash(mine.origin)],
            "path": ["0/000.p/9", "entries/000.p/9"],
            "name": [invitation],
        },
        query={"product": [f"{URN}secret", f"{URN}ore"], "since": ["0", "1", str(MAX_PLACE)]},
        events=told_by(partner, [incoming, outgoing, new_id()], invitation, secret),
    )


def released(node: Node, *predicates: PartialFootprint) -> list[str]:
    """Publish under a quorum's head; return the commitments."""
    made = publish(node, list(predicates))

    async def submit() -> None:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            assert (await witness(node, fetcher)).published

    asyncio.run(submit())
    return [each.commitment for each in made]


def hold(node: Node, of: Node, commitment: str, *, feeds: str) -> None:
    """Let a node hold a statement of its supplier, and a copy of that one's log."""
    trusted = node.trust.required()

    async def read() -> None:
        where = Address(
            origin=of.origin, key=of.log_key, url=of.settings.url + LOG, introduced_by=None
        )
        async with Fetcher(hosts_of(trusted)) as fetcher:
            reader = Reader(node=node, fetcher=fetcher, trusted=trusted, at=node.clock())
            await reader.read(where)

    asyncio.run(read())
    with of.database.read() as session:
        own = statements.get(session, commitment)
    assert own is not None
    fetched = FetchedStatement(
        commitment=commitment,
        vkey=of.log_key.encode(),
        origin=of.origin,
        index=own.index,
        product=own.product,
        sharing=own.sharing,
        envelope=own.envelope,
    )
    with node.database.write() as session:
        seen.put_statements(session, [fetched])
        feed.put(session, [(feeds, commitment)])


def deal(node: Node, with_: Node) -> tuple[str, str]:
    """Make a partner that is granted a product; each asks the other for data. Return the ids."""
    partner = Partner(
        origin=with_.origin,
        name="",
        url=with_.settings.url,
        log_key=with_.log_key.encode(),
        request_key=with_.keystore.record(Role.REQUEST).key.encode(),
        seal_key=with_.keystore.record(Role.SEAL).key.encode(),
        roles=frozenset({PartnerRole.CUSTOMER, PartnerRole.SUPPLIER}),
        since=node.clock(),
    )
    wanted = Wanted(period=YEAR, purpose="a pack", product=f"{URN}secret")
    grant = Grant(partner=with_.origin, scope=Scope.PRODUCT, about=f"{URN}secret", given=0)
    with node.database.write() as session:
        partners.put(session, partner)
        grants.put(session, grant)
        incoming = requests.receive(session, partner, new_id(), wanted, node.clock())
    return incoming.id, requests.ask(node, with_.origin, wanted).id


def told_by(
    partner: Node, asked: list[str], invitation: str, commitment: str
) -> list[dict[str, Any]]:
    """Return what a partner may tell, of every kind."""
    at, key = period.text_at(partner.clock()), partner.keystore.record(Role.REQUEST).key.encode()
    events: list[Event] = [acquaint.accepted(partner, invitation, partner.clock())]
    wanted = Wanted(period=YEAR, purpose="x", part="4711", due="2999-01-01T00:00:00Z")
    events += [
        RequestEvent(
            id=new_id(), at=at, request=name, kind=kind,
            wanted=wanted if kind == "created" else None,
            reason="noData" if kind == "declined" else None,
            comment="x" if kind in ("comment", "question") else None,
            product=f"{URN}secret" if kind in ("accepted", "fulfilled") else None,
            commitment=commitment if kind == "fulfilled" else None,
        )
        for name, kind in product(asked, get_args(RequestKind))
    ]  # fmt: skip
    pairs = (Pair(mine="4711", yours=f"{URN}secret"), Pair(mine=f"{URN}x", yours="4712"))
    steps: tuple[Step, ...] = get_args(Step)
    events += [PartsEvent(id=new_id(), at=at, kind=step, pairs=pairs) for step in steps]
    ends: tuple[End, ...] = get_args(End)
    events += [
        StatementEvent(
            id=new_id(), at=at, kind=end, issuer=partner.origin, commitment=commitment,
            product=f"{URN}secret",
        )
        for end in ends
    ]  # fmt: skip
    changes: tuple[Change, ...] = get_args(Change)
    events += [
        AuditorEvent(
            id=new_id(), at=at, kind=change, auditor=partner.origin, request_key=key,
            until="2999-01-01T00:00:00Z",
        )
        for change in changes
    ]  # fmt: skip
    return [json.loads(encode(each)) for each in events]


@pytest.fixture
def document(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(create_app(node).state.document.encoded)
    return found


def test_public_routes_are_those_that_are_listed_on_purpose(
    new_node: Callable[..., Node],
) -> None:
    document = json.loads(create_app(new_node("plain.example")).state.document.encoded)

    assert {path: set(found) for path, found in document["paths"].items()} == PUBLIC


def test_every_route_that_is_served_is_in_the_document(node: Node, document: Any) -> None:
    served: dict[str, set[str]] = {}
    for each in iter_route_contexts(create_app(node).routes):
        served.setdefault(str(each.path_format), set()).update(map(str.lower, each.methods or ()))

    assert {path: set(found) for path, found in document["paths"].items()} | PACT == served


def test_a_client_can_be_made_from_the_document(document: dict[str, Any]) -> None:
    operations = [each for found in document["paths"].values() for each in found.values()]
    names = [each["operationId"] for each in operations]

    assert document["openapi"].startswith("3.1")
    assert len(set(names)) == len(names)
    for each in operations:
        assert each["summary"]
        for parameter in each.get("parameters", []):
            assert parameter["schema"].keys() & {"type", "anyOf", "$ref"}, each["operationId"]
        for status, answer in each["responses"].items():
            assert answer["description"]
            if int(status) >= 400 and not each["operationId"].partition("_")[2].startswith("head"):
                assert answer["content"], (each["operationId"], status)
        body = each.get("requestBody", {})
        if "application/json" in body.get("content", {}):
            assert "RFC 8785" in body["description"]  # else nobody would write what is taken
    assert list(unresolved(document, document)) == []


def unresolved(part: Any, document: dict[str, Any]) -> Iterator[str]:
    """Yield every reference that leads nowhere."""
    match part:
        case {"$ref": str(name)}:
            known = document["components"]["schemas"]
            if name.removeprefix("#/components/schemas/") not in known:
                yield name
        case dict():
            for each in part.values():
                yield from unresolved(each, document)
        case list():
            for each in part:
                yield from unresolved(each, document)
        case _:
            pass


REACHED: dict[str, dict[str, set[int]]] = {  # by what is written above, at least
    NOBODY: {"events_post_events": {401}, "events_get_events": {404}},
    STRANGER: {"events_post_events": {403}, "events_get_events": {404}},
    PARTNER: {
        "events_post_events": {200, 400, 409},
        "events_get_events": {200},
        "statements_get_proof": {200, 404},
        "statements_get_evidence": {200, 404},
        "mirror_get_statements": {200},
        "mirror_get_statement": {200, 404},
    },
}


@pytest.mark.parametrize("who", [NOBODY, STRANGER, PARTNER])
def test_whatever_is_asked_the_answer_is_one_of_the_document(ground: Ground, who: str) -> None:
    url = ground.node.settings.url
    document = httpx.get(f"{url}/openapi.json", trust_env=False).json()
    schema = schemathesis.openapi.from_dict(document)
    told = {"base_url": url, **ground.auth(who)}
    operations: list[Any] = list(schema.get_all_operations())
    found = [each.ok() for each in operations]
    names = [each.definition.raw["operationId"] for each in found]
    count = {name: EVENTS if name == TELLING and who == PARTNER else EXAMPLES for name in names}
    asked = {
        name: tried(each, ground, told, count[name])
        for name, each in zip(names, found, strict=True)
    }

    assert len(asked) == sum(map(len, document["paths"].values()))
    assert {200, 400, 404} <= set().union(*asked.values())
    for name, statuses in REACHED[who].items():
        assert statuses <= asked[name], name


def tried(operation: Any, ground: Ground, told: dict[str, Any], examples: int) -> set[int]:
    """Ask for an operation in whatever ways the document allows; return the statuses."""
    statuses: set[int] = set()

    @seed(1)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), chance=st.integers(0, 2**64).map(Random))
    def ask(case: Any, chance: Random) -> None:
        meant(case, ground, chance)
        for name in signatures.FIELDS:
            case.headers.pop(name, None)
        answer = case.call(timeout=10, **told)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
    return statuses


def meant(case: Any, ground: Ground, chance: Random) -> None:
    """Put what there is into a case here and there, and an event of which a part is made up."""
    raw = case.operation.definition.raw
    for each in raw.get("parameters", ()):
        name, is_path = each["name"], each["in"] == "path"
        if is_path and name in ground.path and chance.random() < 0.8:
            last = slice(-1, None) if "{hashed}" in case.operation.path else slice(None)
            case.path_parameters[name] = chance.choice(ground.path[name][last])  # that of a copy
        elif not is_path and name in ground.query and chance.random() < 0.5:
            case.query = {**(case.query or {}), name: chance.choice(ground.query[name])}
    if raw["operationId"] != TELLING or chance.random() < 0.1:
        return
    event = dict(chance.choice(ground.events))
    # It is new, comes again, or has the name of another.
    event["id"] = chance.choice([f"{chance.getrandbits(128):032x}", event["id"], "0" * 32])
    if isinstance(case.body, dict) and chance.random() < 0.4:
        name = chance.choice(sorted(case.body) or ["id"])
        event[name] = case.body.get(name)
    case.body = canonical(event)


def canonical(told: Any) -> bytes:
    """Return the one form in which events are taken (RFC 8785)."""
    written = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return written.encode(errors="replace")


class Signing:
    """Signs what `requests` is about to send."""

    def __init__(self, signer: Signer, audience: str) -> None:
        self._signer = signer
        self._audience = audience

    def __call__(self, request: Any) -> Any:
        body = request.body or b""
        call = Call(
            method=request.method,
            target=request.url,
            body=body.encode() if isinstance(body, str) else body,
        )
        told = signatures.sign(
            call,
            signer=self._signer,
            audience=self._audience,
            created=int(time.time()),
            nonce=secrets.token_urlsafe(16),
        )
        request.headers.update(told)
        return request
