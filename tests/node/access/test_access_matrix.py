"""Who may see what, on every route that there is: a new route without an expectation fails."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from bcca_node.app import create_app
from bcca_node.ledger import identity
from bcca_node.network import descriptor
from bcca_node.network.lines import encode_batch
from bcca_node.pact import extension

Shop = Any
Expectation = Callable[[Shop, str, str], None]
PARTNERS = ("partner", "supplier", "witness", "customer", "own auditor")

# What each caller sees of the shop's own statements, and of those of others that it holds.
_PUBLIC = ({"open"}, {"ore"})
_KNOWN = ({"open"}, {"ore", "brine"})
_CUSTOMER = ({"open", "secret"}, {"ore", "brine", "salt"})
SEES: Mapping[str, tuple[set[str], set[str]]] = {
    "nobody": _PUBLIC,
    "stranger": _PUBLIC,
    "partner": _KNOWN,
    "supplier": _KNOWN,
    "witness": _KNOWN,
    "customer": _CUSTOMER,
    "customer's auditor": _CUSTOMER,
    "own auditor": ({"open", "secret"}, {"ore", "brine", "salt", "acid", "deep"}),
    "operator": (
        {"open", "secret", "closed"},
        {"ore", "brine", "salt", "acid", "deep", "rare"},
    ),
}
OWN = ("open", "secret", "closed", "pending")
HELD = ("ore", "brine", "salt", "acid", "deep", "rare")
FEEDS = {"open": {"ore", "brine"}, "secret": {"salt", "acid", "deep"}, "closed": {"rare"}}
PRIVATE, VARY = "private, no-store", "signature-input"


def alike(path: str) -> Expectation:
    """Everybody gets the same answer, cached alike."""

    def check(shop: Shop, who: str, method: str) -> None:
        told = shop.seen(who, path, method=method)

        assert told == shop.seen("nobody", path, method=method)
        assert told[0] == 200

    return check


def hidden_alike(path: str, tail: str, names: tuple[str, ...], which: int) -> Expectation:
    """What may be seen is answered, and the rest exactly like what does not exist."""

    def check(shop: Shop, who: str, method: str) -> None:
        where = path.replace("{copy}", shop.copy)
        absent = shop.seen(who, f"{where}/absent{tail}", method=method)
        assert absent[0] == 404
        for name in names:
            asked = f"{where}/{shop.commitment(name)}{tail}"
            told = shop.seen(who, asked, method=method)
            if name in SEES[who][which]:
                assert told[0] == 200, name
                assert told[1] or method == "HEAD"
            else:
                assert told == absent, name
            assert kept_apart(dict(told[2]), who), name

    return check


def kept_apart(headers: Mapping[str, str], who: str) -> bool:
    """Say whether no cache shows to others what a caller that signs was told."""
    if who != "nobody" and headers.get("cache-control") != PRIVATE:
        return False
    return headers["vary"] == VARY


def evidence(shop: Shop, who: str, method: str) -> None:
    hidden_alike("/statements", "/evidence", OWN, 0)(shop, who, method)
    own, held = SEES[who]
    for name in own:
        found = shop.listed(who, f"/statements/{shop.commitment(name)}/evidence")
        # Nothing that is not seen is passed on the way: `deep` feeds `acid` alone.
        assert found == {name} | (FEEDS[name] & held)


def lists(shop: Shop, who: str, method: str) -> None:
    for name in (*OWN, "absent"):
        assert shop.listed(who, f"/statements?{shop.of(name)}", method=method) == (
            {name} & SEES[who][0]
        )
    assert shop.listed(who, "/statements?since=0", method=method) == SEES[who][0]
    hidden = shop.of("pending")
    assert shop.seen(who, f"/statements?{hidden}") == shop.seen(
        who, f"/statements?{shop.of('absent')}"
    )


def batch(shop: Shop, who: str, method: str) -> None:
    asked = encode_batch([shop.commitment(name) for name in (*OWN, *HELD, "absent")])

    assert shop.listed(who, "/statements/batch", method=method, body=asked) == SEES[who][0]


def copies(shop: Shop, who: str, method: str) -> None:
    for name in (*HELD, "absent"):
        found = shop.listed(who, f"{shop.copy}/statements?{shop.of(name)}", method=method)
        assert found == {name} & SEES[who][1]


def about(shop: Shop, who: str, method: str) -> None:
    """The descriptor names the suppliers that visible statements name, and no other."""
    answer = shop.ask(who, descriptor.PATH, method=method)
    assert answer.status_code == 200
    assert kept_apart(answer.headers, who)
    if method == "GET":
        named = {shop.mine.origin} | ({"vault.example"} if "secret" in SEES[who][0] else set())
        assert set(descriptor.decode(answer.content).peers) == named


def witnessing(shop: Shop, who: str, method: str) -> None:
    """Who brings garbage is refused, whoever it is."""
    told = shop.seen(who, "/witness/add-checkpoint", method=method, body=b"x")

    assert told[0] == 400
    assert told == shop.seen("nobody", "/witness/add-checkpoint", method=method, body=b"x")


def nothing(path: str) -> Expectation:
    """There is nothing here, whoever asks."""

    def check(shop: Shop, who: str, method: str) -> None:
        told = shop.seen(who, path, method=method)

        assert told[0] == 404
        assert told == shop.seen("nobody", path, method=method)

    return check


def taking(shop: Shop, who: str, method: str) -> None:
    """Events are taken from partners alone, and none is one here."""
    status = shop.seen(who, "/events", method=method, body=b"{}")[0]

    expected = {"nobody": 401, **dict.fromkeys(PARTNERS, 400)}
    assert status == expected.get(who, 403)


def telling(shop: Shop, who: str, method: str) -> None:
    """Events are told to partners alone."""
    status = shop.seen(who, "/events", method=method)[0]

    assert status == (200 if who in PARTNERS else 404)


def for_tokens(path: str, body: bytes | None = None, status: int = 401) -> Expectation:
    """PACT clients alone get anything here: whoever signs has no token, and is refused alike."""

    def check(shop: Shop, who: str, method: str) -> None:
        asked = {} if body is None else {"body": body}
        told = shop.seen(who, path, method=method, **asked)

        assert told[0] == status
        assert told == shop.seen("nobody", path, method=method, **asked)

    return check


EXPECTED: Mapping[str, tuple[str, Expectation]] = {
    descriptor.PATH: ("GET HEAD", about),
    identity.did_path("shop.example/bcca"): ("GET HEAD", alike("/bcca/did.json")),
    "/healthz": ("GET", alike("/healthz")),
    "/openapi.json": ("GET HEAD", alike("/openapi.json")),
    "/log/checkpoint": ("GET HEAD", alike("/log/checkpoint")),
    "/log/tile/{path}": ("GET HEAD", alike("/log/tile/entries/000.p/2")),
    "/statements": ("GET", lists),
    "/statements/batch": ("POST", batch),
    "/statements/{commitment}": ("GET HEAD", hidden_alike("/statements", "", (*OWN, *HELD), 0)),
    "/statements/{commitment}/proof": ("GET HEAD", hidden_alike("/statements", "/proof", OWN, 0)),
    "/statements/{commitment}/evidence": ("GET", evidence),
    "/witness/add-checkpoint": ("POST", witnessing),
    "/witness/{hashed}/checkpoint": ("GET HEAD", nothing("/witness/absent/checkpoint")),
    "/mirror/{hashed}/checkpoint": (
        "GET HEAD",
        lambda shop, who, method: alike(f"{shop.copy}/checkpoint")(shop, who, method),
    ),
    "/mirror/{hashed}/tile/{path}": ("GET HEAD", nothing("/mirror/absent/tile/0/000")),
    "/mirror/{hashed}/statements": ("GET", copies),
    "/mirror/{hashed}/statements/{commitment}": (
        "GET HEAD",
        hidden_alike("{copy}/statements", "", (*HELD, *OWN), 1),
    ),
    "/invitations/{name}": ("GET HEAD", nothing(f"/invitations/{'0' * 32}")),
    "/3/footprints": ("GET", for_tokens("/3/footprints")),
    "/3/footprints/{name}": (
        "GET",
        for_tokens(f"/3/footprints/{'0' * 8}-0000-5000-8000-{'0' * 12}"),
    ),
    "/3/events": ("POST", for_tokens("/3/events", b"{}")),
    "/auth/token": ("POST", for_tokens("/auth/token", b"no form", 400)),
    "/.well-known/openid-configuration": ("GET HEAD", alike("/.well-known/openid-configuration")),
    extension.SCHEMA: ("GET HEAD", alike(extension.SCHEMA)),
    extension.PAGE: ("GET HEAD", alike(extension.PAGE)),
    "/events": ("GET POST", lambda shop, who, method: _events[method](shop, who, method)),
}
_events: Mapping[str, Expectation] = {"GET": telling, "POST": taking}


def test_every_route_of_the_app_has_an_expectation(shop: Shop) -> None:
    routes: dict[str, set[str]] = {}
    for each in iter_route_contexts(create_app(shop.node).routes):
        routes.setdefault(str(each.path_format), set()).update(each.methods or ())

    assert routes == {path: set(methods.split()) for path, (methods, _) in EXPECTED.items()}


@pytest.mark.parametrize("who", SEES)
@pytest.mark.parametrize(
    ("path", "method"),
    [(path, method) for path, (methods, _) in EXPECTED.items() for method in methods.split()],
)
def test_each_caller_gets_what_it_may_on_each_route(
    shop: Shop, path: str, method: str, who: str
) -> None:
    _, expectation = EXPECTED[path]

    expectation(shop, who, method)
