"""The short way to a single statement: to whoever asks, it answers as the long way does."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from bcca_node.app import create_app
from bcca_node.web.shortcut import Shortcut

Shop = Any
ABSENT = "ab" * 32
CALLERS = ["nobody", "stranger", "customer", "own auditor", "operator"]


class Inside(httpx.BaseTransport):
    """Asks an app without a server."""

    def __init__(self, app: Any, *, raises: bool = True) -> None:
        self._inside = httpx.ASGITransport(app, raise_app_exceptions=raises)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._inside) as client:
                return await client.request(
                    request.method, request.url, headers=request.headers, content=request.read()
                )

        answer = asyncio.run(ask())
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def asked_of(shop: Shop, app: Any, *, raises: bool = True) -> Shop:
    """Return the same shop, whose app is asked."""
    return replace(shop, client=httpx.Client(transport=Inside(app, raises=raises)))


def long(shop: Shop) -> Shop:
    """Return the same shop, asked without the short way."""
    return asked_of(shop, create_app(shop.node))


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_both_ways_answer_every_caller_alike(shop: Shop, who: str, method: str) -> None:
    other = long(shop)
    for name in ["open", "secret", "closed", "pending", "ore"]:
        for known in ["", "*", f'"{shop.names[name]}"']:
            path = f"/statements/{shop.names[name]}"
            told = {"if_none_match": known} if known else {}

            assert shop.seen(who, path, method=method, **told) == other.seen(
                who, path, method=method, **told
            )
    hidden = shop.seen(who, f"/statements/{ABSENT}", method=method)
    assert hidden == other.seen(who, f"/statements/{ABSENT}", method=method)
    assert hidden[0] == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("end", ["", "/", "?product=x", "%20", "/proof", "/evidence"])
def test_both_ways_refuse_alike(shop: Shop, method: str, end: str) -> None:
    other = long(shop)
    path = f"/statements/{ABSENT}{end}"

    assert shop.seen("customer", path, method=method) == other.seen("customer", path, method=method)


def test_attack_a_signature_that_does_not_hold_is_refused_alike(shop: Shop) -> None:
    path = f"/statements/{shop.names['open']}"

    told, other = (each.ask("nobody", path, signature="bcca=:AA==:") for each in (shop, long(shop)))

    assert told.status_code == other.status_code == 401
    assert told.content == other.content


def test_a_fault_is_answered_alike_and_told(shop: Shop) -> None:
    app = create_app(shop.node)
    del app.state.known
    path = f"/statements/{shop.names['open']}"

    told, other = (
        asked_of(shop, each, raises=False).seen("customer", path) for each in (Shortcut(app), app)
    )

    assert told == other
    assert told[0] == 500
    with pytest.raises(AttributeError):
        asked_of(shop, Shortcut(app)).ask("customer", path)
