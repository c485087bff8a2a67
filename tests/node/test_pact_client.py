"""A foreign PACT host asked over HTTP: token, pages, one, an event; and whatever odd it does."""

import asyncio
import base64
import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.node.conftest import PASSPHRASE, SCRYPT_N, Loop
from tests.system.foreign_host import CLIENT, ID, SECRET, ForeignHost, footprint

from bcca_node.ledger.node import Node, found
from bcca_node.network.client import Answer
from bcca_node.network.limits import Patience
from bcca_node.pact import client, clients, links, reading
from bcca_node.pact.client import Host
from bcca_node.pact.clients import Theirs
from bcca_node.settings import Settings
from bcca_node.storage.pactclients import PactPartner
from bcca_protocol.errors import (
    BccaError,
    LimitError,
    MalformedError,
    RefusedError,
    UnavailableError,
    UnusableError,
)

HASTE = Patience(connect=1.0, read=1.0, total=1.0)
AT = 1_790_000_000


@dataclass(frozen=True)
class Room:
    """A node and a foreign host that all tests here share: to set them up takes long."""

    node: Node
    host: ForeignHost


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Iterator[Room]:
    """Serve a foreign host on loopback, beside a node that asks it."""
    data = tmp_path_factory.mktemp("asks")
    shutil.copy(tables, data / "node.db")
    settings = Settings(data=data, origin="cathode.example/bcca", name="Cathode")
    loop, host = Loop(), ForeignHost()
    with closing(found(settings, PASSPHRASE, scrypt_n=SCRYPT_N)) as node, closing(loop):
        listener = socket.create_server(("127.0.0.1", 0))
        host.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        loop.serve(uvicorn.Server(uvicorn.Config(host.app(), log_level="warning")), listener)
        yield Room(node, host)


@pytest.fixture
def node(room: Room) -> Node:
    """The node that asks."""
    return room.node


@pytest.fixture
def host(room: Room) -> ForeignHost:
    """The foreign host, with five footprints and nothing odd."""
    room.host.begin()
    room.host.lists(*(footprint(number) for number in range(1, 6)))
    return room.host


@pytest.fixture
def partner(node: Node, host: ForeignHost) -> PactPartner:
    """The foreign host as a partner; its data actions have a path of their own."""
    return known(node, host)


def known(node: Node, host: ForeignHost, secret: str = SECRET) -> PactPartner:
    new = PactPartner(name="mill", url=f"{host.url}/pact", auth_url=host.url, since=AT)
    return clients.sealed(node, new, Theirs(client_id=CLIENT, secret=secret))


def asked(node: Node, partner: PactPartner, do: Callable[[Host], Any]) -> Any:
    async def run() -> Any:
        async with client.caller(partner, HASTE) as fetcher:
            return await do(Host(node, partner, fetcher))

    return asyncio.run(run())


def listed(node: Node, partner: PactPartner, *query: tuple[str, str], page: int = 2) -> list[bytes]:
    async def walk(host: Host) -> list[bytes]:
        return [each async for found in host.footprints(query, page=page) for each in found]

    found: list[bytes] = asked(node, partner, walk)
    return found


def test_a_list_is_read_page_by_page_each_footprint_as_it_was_written(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    host.lists(*(f' {{"id" :"{ID.format(n)}","b":1.50E1}}' for n in range(1, 6)))

    assert listed(node, partner) == [
        f'{{"id" :"{ID.format(n)}","b":1.50E1}}'.encode() for n in range(1, 6)
    ]
    assert len(host.asked_for("/pact/3/footprints")) == 3


def test_a_filter_is_escaped_and_goes_along(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    urn = "urn:eclass:0173-1#01&a+b"
    host.lists(footprint(1, productIds=[urn]), footprint(2), footprint(3, productIds=[urn]))

    assert len(listed(node, partner, ("productId", urn))) == 2
    path = host.asked_for("/pact/3/footprints")[0][1]
    assert path == "/pact/3/footprints?productId=urn:eclass:0173-1%2301%26a%2Bb&limit=2"


def test_the_token_is_kept_and_the_endpoint_is_the_one_that_is_configured(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    listed(node, partner)

    [(method, _, headers, body)] = host.asked_for(host.token_path)
    assert (method, body) == ("POST", b"grant_type=client_credentials")
    kind, pair = headers["authorization"].split()
    assert (kind, base64.b64decode(pair).decode()) == ("Basic", f"{CLIENT}:{SECRET}")


def test_a_host_that_configures_nothing_is_asked_where_the_specification_says(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    host.discovery = ""

    assert len(listed(node, partner)) == 5
    assert len(host.asked_for("/auth/token")) == 1


def test_a_host_that_reads_credentials_in_the_body_alone_gets_them_there(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    host.reads_basic = False

    assert len(listed(node, partner)) == 5


@pytest.mark.parametrize("seconds", [None, 3600, "1800", 0, -1])
def test_whatever_it_says_of_a_tokens_life_a_list_is_read(
    node: Node, host: ForeignHost, partner: PactPartner, seconds: int | str | None
) -> None:
    host.seconds = seconds

    assert len(listed(node, partner)) == 5


def test_a_token_that_is_good_no_more_is_asked_for_anew_once(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    async def twice(found: Host) -> list[bytes | None]:
        first = await found.footprint(ID.format(1))
        host.live.clear()
        return [first, await found.footprint(ID.format(2))]

    both = asked(node, partner, twice)

    assert [json.loads(each)["id"] for each in both] == [ID.format(1), ID.format(2)]
    assert len(host.asked_for(host.token_path)) == 2


def test_one_that_the_host_has_not_is_none(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    assert asked(node, partner, lambda found: found.footprint(ID.format(77))) is None


def test_an_id_with_a_path_in_it_asks_for_nothing_else(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    assert asked(node, partner, lambda found: found.footprint("../events?x=1#")) is None
    assert host.asked[-1][1].startswith("/pact/3/footprints/")


def test_an_event_goes_to_the_registered_base(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    answer: Answer = asked(node, partner, lambda found: found.post(b'{"id":"1"}'))

    [(method, _, headers, body)] = host.asked_for("/pact/3/events")
    assert (answer.status, answer.body, method, body) == (200, b"", "POST", b'{"id":"1"}')
    assert headers["content-type"] == "application/cloudevents+json; charset=UTF-8"


def test_without_credentials_nobody_is_asked(node: Node, host: ForeignHost) -> None:
    partner = PactPartner(name="mill", url=host.url, auth_url=host.url, since=AT)
    with pytest.raises(UnusableError, match="issued no client id and secret"):
        listed(node, partner)
    assert host.asked == []


def test_attack_a_refusal_that_repeats_the_secret_shows_it_to_nobody(
    node: Node, host: ForeignHost
) -> None:
    partner = known(node, host, secret="hunter-" * 4)
    with pytest.raises(UnavailableError, match="invalid_client") as caught:
        listed(node, partner)

    assert "hunter" not in str(caught.value)
    assert "(secret)" in str(caught.value)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("http://thief.example/token", "a secret is sent elsewhere by https alone"),
        ("https://10.0.0.1/token", "private address"),
    ],
)
def test_attack_a_token_endpoint_without_tls_or_in_a_private_network_gets_no_secret(
    node: Node, host: ForeignHost, partner: PactPartner, where: str, told: str
) -> None:
    host.discovery = where
    with pytest.raises(RefusedError, match=told):
        listed(node, partner)


@pytest.mark.parametrize("where", ["http://thief.example/x", "/pact/3/footprints?page=2"])
def test_attack_a_redirect_takes_no_token_along(
    node: Node, host: ForeignHost, partner: PactPartner, where: str
) -> None:
    host.redirect = where
    with pytest.raises(RefusedError, match="credentials for one URL are not sent to another"):
        listed(node, partner)


@pytest.mark.parametrize(
    "target", ["https://thief.example/3/footprints", "http://127.0.0.1:1/x", "//thief.example/"]
)
def test_attack_a_next_page_on_another_host_is_not_asked_for(
    node: Node, host: ForeignHost, partner: PactPartner, target: str
) -> None:
    host.link = f'<{target}>; rel="next"'
    with pytest.raises(RefusedError, match="is sent nowhere else"):
        listed(node, partner)


def test_attack_pages_that_lead_in_a_circle_end(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    host.link = "</pact/3/footprints?page=2>; rel=next"
    with pytest.raises(BccaError, match=r"leads back to|nothing new"):
        listed(node, partner)


def test_attack_pages_without_end_end(node: Node, host: ForeignHost, partner: PactPartner) -> None:
    host.link = "</pact/3/footprints?page={page}>; rel=next"
    with pytest.raises(LimitError, match=r"5 footprints on 14 pages.*it has no end"):
        listed(node, partner)


def test_attack_one_page_again_and_again_under_other_names_ends(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    host.link = "</pact/3/footprints?page=1&n={page}>; rel=next"
    host.per_page = 100
    with pytest.raises(LimitError, match="nothing new"):
        listed(node, partner)


def test_attack_a_page_drop_by_drop_is_given_up(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    host.drips = True
    with pytest.raises(UnavailableError, match="no answer in time"):
        listed(node, partner)


def test_attack_a_page_of_more_items_than_are_read_is_refused(
    node: Node, host: ForeignHost, partner: PactPartner
) -> None:
    host.body = b'{"data":[' + b",".join([b"{}"] * (reading.MAX_PAGE_ITEMS + 1)) + b"]}"
    with pytest.raises(LimitError, match="10001 footprints on one page, where at most 10000"):
        listed(node, partner)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "no JSON|truncated|[Ii]nput data"),
        (b"<html>", "malformed"),
        (b"[]", "object"),
        (b'{"data":null}', "array"),
        (b'{"data":{}}', "array"),
        (b'{"Data":[]}', "data"),
        (b'{"data":[],"data":[{}]}', "twice"),
        (b'{"data":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "nested|recursion"),
        (b'{"data":[{}]} trailing', "malformed"),
        (b'{"data":["\xff"]}', "utf-8|no JSON"),
    ],
)
def test_attack_what_is_no_list_is_refused_in_a_sentence(
    node: Node, host: ForeignHost, partner: PactPartner, body: bytes, told: str
) -> None:
    host.body = body
    with pytest.raises(MalformedError, match=told):
        listed(node, partner)


@pytest.mark.parametrize("media", ["text/html", "application/octet-stream", "text/json"])
def test_another_content_type_is_refused(
    node: Node, host: ForeignHost, partner: PactPartner, media: str
) -> None:
    host.media = media
    with pytest.raises(MalformedError, match="where application/json belongs"):
        listed(node, partner)


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "application/vnd.x+json"])
def test_json_by_another_name_is_read(
    node: Node, host: ForeignHost, partner: PactPartner, media: str
) -> None:
    host.media = media

    assert len(listed(node, partner)) == 5


@pytest.mark.parametrize(
    ("body", "line"),
    [(b"", "answered 404"), (b" \n", "answered 404"), (b"no\n", "answered 404: no")],
)
def test_a_reason_is_told_where_there_is_one(body: bytes, line: str) -> None:
    assert client.said(Answer(status=404, content_type="", body=body)) == line


@pytest.mark.parametrize("status", [400, 403, 404, 500, 501])
def test_a_list_that_is_refused_is_told_with_its_status(
    node: Node, host: ForeignHost, partner: PactPartner, status: int
) -> None:
    host.status = status
    with pytest.raises(UnavailableError, match=str(status)):
        listed(node, partner)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", None),
        ('<https://h.example/x?a=1>; rel="next"', "https://h.example/x?a=1"),
        ("<https://h.example/x>;rel=next", "https://h.example/x"),
        ('<https://h.example/x>; title="a, b"; REL="prev NEXT"', "https://h.example/x"),
        ('<https://h.example/1>; rel="first", </2?b=%2F>; rel="next"', "https://h.example/2?b=%2F"),
        ('<https://h.example/1>; rel="prev"', None),
        ("<http://h.example/x>; rel=next", "https://h.example/x"),
        ("<?page=2>; rel=next", "https://h.example/3/footprints?page=2"),
        ("https://h.example/x; rel=next", None),
    ],
)
def test_the_next_page_is_the_one_that_a_link_names(header: str, found: str | None) -> None:
    assert links.following("https://h.example/3/footprints?limit=1", header) == found


def test_attack_a_link_header_full_of_brackets_is_read_at_once() -> None:
    header = "<" * 4_000 + "; rel" * 800

    assert links.following("https://h.example/", header) is None
