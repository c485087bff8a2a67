"""The document of a node's routes: whole, and true of what is answered, whatever is asked."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

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
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import signatures
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.network.signatures import Call
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
LOG, STATEMENTS, MIRROR = "/log", "/statements", "/mirror/{hashed}"
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


@pytest.fixture
def publisher(network: list[Node], part: Part) -> Iterator[Node]:
    """A node on the wire with public statements under a published head, and hidden ones."""
    node = network[0]
    parts = [part(node.origin, f"P{n}") for n in range(4)]
    publish(node, [*parts, part(node.origin, "secret", sharing="direct")])

    async def submit() -> None:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            assert (await witness(node, fetcher)).published

    asyncio.run(submit())
    yield node


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
    served = {
        (each.path_format, method.lower())
        for each in iter_route_contexts(create_app(node).routes)
        for method in each.methods or ()
    }

    assert {(path, method) for path, found in document["paths"].items() for method in found} == (
        served
    )


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


@pytest.mark.parametrize("is_signed", [False, True], ids=["nobody", "a stranger with a valid key"])
def test_whatever_is_asked_the_answer_is_one_of_the_document(
    publisher: Node, network: list[Node], is_signed: bool
) -> None:
    document = httpx.get(f"{publisher.settings.url}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    shown = httpx.get(f"{publisher.settings.url}/statements?since=0").text.splitlines()[:-1]
    commitments = [json.loads(line)["commitment"] for line in shown]
    signer = network[4].keys.signer(Role.REQUEST)
    told: dict[str, Any] = {"base_url": publisher.settings.url}
    if is_signed:
        told["auth"] = Signing(signer, publisher.origin)
    found: list[Any] = list(schema.get_all_operations())
    asked = [tried(each.ok(), commitments, told) for each in found]

    assert len(shown) == 4
    assert len(asked) == sum(map(len, document["paths"].values()))
    assert {200, 400, 404} <= set().union(*asked)


def tried(operation: Any, commitments: list[str], told: dict[str, Any]) -> set[int]:
    """Ask for an operation in whatever ways the document allows; return the statuses."""
    statuses: set[int] = set()

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), commitment=st.none() | st.sampled_from(commitments))
    def ask(case: Any, commitment: str | None) -> None:
        if commitment is not None and "commitment" in case.path_parameters:
            case.path_parameters["commitment"] = commitment
        for name in signatures.FIELDS:
            case.headers.pop(name, None)
        answer = case.call(timeout=10, **told)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
    return statuses


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
