"""What followers ask for by the hundred: answered at once, and as true as what took longer."""

import asyncio
from collections.abc import Callable
from contextlib import closing

import httpx
import pytest

from bcca_node.app import create_app
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.sharing import press
from bcca_node.sharing.caller import NOBODY
from bcca_node.sharing.peers import Public
from bcca_node.storage import feed, logs, pages, pressed, served
from bcca_node.storage.database import Database
from bcca_node.storage.logs import Head
from bcca_node.storage.pressed import Pressed
from bcca_protocol.statement import PartialFootprint

Part = Callable[..., PartialFootprint]
PAGE = "/statements?page=0"


def made_public(node: Node, *parts: PartialFootprint) -> None:
    """Publish parts under a head that a quorum cosigned."""

    async def submit() -> None:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            assert (await witness(node, fetcher)).published

    publish(node, list(parts))
    asyncio.run(submit())


def ask(node: Node, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(node))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(request())


@pytest.fixture
def publisher(network: list[Node], part: Part) -> Node:
    made_public(network[0], *(part(network[0].origin, f"P{n}", sharing="public") for n in range(3)))
    return network[0]


def test_a_page_is_the_same_whether_it_was_packed_before_or_just_now(publisher: Node) -> None:
    first, again = ask(publisher, PAGE), ask(publisher, PAGE)

    assert press.kept(publisher, 0) == (first.content, False)
    assert (again.content, again.headers) == (first.content, first.headers)
    assert again.headers["cache-control"] == "public, max-age=2"
    assert again.headers["vary"] == "signature-input"
    assert len(pages.unpack(again.content)) == 3


def test_a_page_and_a_checkpoint_grow_with_the_log(publisher: Node, part: Part) -> None:
    before = ask(publisher, PAGE), ask(publisher, "/log/checkpoint")
    publish(publisher, [part(publisher.origin, "pending", sharing="public")])
    pending = ask(publisher, PAGE), ask(publisher, "/log/checkpoint")
    made_public(publisher, part(publisher.origin, "late", sharing="public"))
    after = ask(publisher, PAGE), ask(publisher, "/log/checkpoint")

    assert [each.content for each in pending] == [each.content for each in before]
    assert len(pages.unpack(after[0].content)) == 5
    assert after[1].content != before[1].content


def test_a_page_of_great_length_is_read_aside(
    publisher: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(publisher, PAGE).content
    monkeypatch.setattr(served, "MAX_IN_PASSING", len(whole) - 1)

    assert press.kept(publisher, 0) is None
    assert ask(publisher, PAGE).content == whole


@pytest.mark.parametrize("number", ["1", "999999999", "99999999999"])
def test_a_page_behind_the_log_is_not_there(publisher: Node, number: str) -> None:
    assert ask(publisher, f"/statements?page={number}").status_code == 404


@pytest.mark.parametrize("number", ["01", "-1", "x", "", "0&since=0"])
def test_what_is_no_number_of_a_page_is_refused(publisher: Node, number: str) -> None:
    assert ask(publisher, f"/statements?page={number}").status_code == 400


def test_attack_a_page_is_asked_for_with_a_signature_that_does_not_hold(publisher: Node) -> None:
    ask(publisher, PAGE)

    assert ask(publisher, PAGE, {"signature-input": "bcca=()"}).status_code == 401


def test_a_known_page_is_not_sent_again(publisher: Node) -> None:
    tag = ask(publisher, PAGE).headers["etag"]

    assert ask(publisher, PAGE, {"if-none-match": tag}).status_code == 304


def test_what_everybody_is_told_is_found_out_anew_after_a_commit_or_another_policy(
    publisher: Node,
) -> None:
    public = Public()
    path = publisher.settings.data / "policy.txt"
    [named] = [each for each in path.read_text().splitlines() if each.startswith("log ")][1:2]

    assert public.known(publisher) is None
    first = public.describe(publisher, NOBODY)
    assert public.known(publisher) == first
    with publisher.database.write() as session:
        feed.put_named(session, [(a_public_statement(publisher), ["n1.example"])])
    assert public.known(publisher) is None
    second = public.describe(publisher, NOBODY)
    path.write_text(path.read_text().replace(named, named.replace("/log", "/moved/log")))
    assert public.known(publisher) is None
    third = public.describe(publisher, NOBODY)

    assert first.peers == {}
    assert second.peers.keys() == third.peers.keys() == {"n1.example"}
    assert second.peers["n1.example"] + "/moved" == third.peers["n1.example"]


def a_public_statement(node: Node) -> str:
    """Return the commitment of a public statement."""
    with node.database.read() as session:
        return str(
            session.connection()
            .exec_driver_sql("SELECT commitment FROM statement WHERE sharing = 'public' LIMIT 1")
            .scalar_one()
        )


def test_each_database_says_the_same_of_a_head_and_a_page(new_url: Callable[[], str]) -> None:
    with closing(Database(new_url())) as database:
        assert (served.note(database), served.page(database, 0)) == (None, served.Kept())
        with database.write() as session:
            logs.put_head(session, Head(size=2, root=bytes(32), note="two", published=True))
            logs.put_head(session, Head(size=3, root=bytes(32), note="three"))
            pressed.put(session, 0, Pressed(2, b"packed"))

        assert served.note(database) == "two"
        assert served.page(database, 0) == (2, 2, b"packed")
        assert served.page(database, 1) == (2, None, None)
