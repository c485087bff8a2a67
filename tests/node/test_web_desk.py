"""The desk: who has the folder publishes through the serving process, and nobody else does."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcca_node.app import desk as served_desk
from bcca_node.ledger import desk
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network import desk as door
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.storage import logs
from bcca_protocol.errors import ConflictError, UnavailableError, UnusableError
from bcca_protocol.statement import PartialFootprint

Part = Callable[..., PartialFootprint]
KEYS = 6  # entries of a new log


@pytest.fixture
def serving(node: Node) -> Iterator[Node]:
    """Serve the desk of a node."""
    with served_desk(node):
        until_open(node.settings.data)
        yield node


def test_it_publishes_the_very_bytes_that_publish_would(
    serving: Node, new_node: Callable[..., Node], part: Part
) -> None:
    parts = [part(serving.origin, f"P{each}", kg=each + 1) for each in range(3)]
    made = desk.publish(serving.settings.data, parts)

    assert publish(serving, parts) == made
    assert [each.index for each in made] == [KEYS, KEYS + 1, KEYS + 2]
    assert [each.product for each in made] == [each.product.id for each in parts]


def test_eight_at_once_are_each_answered(serving: Node, part: Part) -> None:
    indices: list[int] = []

    def ask(number: int) -> None:
        for each in range(5):
            [made] = desk.publish(serving.settings.data, [part(serving.origin, f"{number}-{each}")])
            indices.append(made.index)

    threads = [threading.Thread(target=ask, args=(each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(indices) == list(range(KEYS, KEYS + 40))


def test_an_attack_a_copy_of_the_node_that_published_meanwhile_stops_the_first_entry_of_the_other(
    network: list[Node], restored: Callable[[Node], Node], part: Part
) -> None:
    node = network[0]
    copy = restored(node)
    with served_desk(node):
        until_open(node.settings.data)
        submit(node)
        submit(copy)
        publish(copy, [part(copy.origin, "P1")])
        submit(copy)

        with pytest.raises(ConflictError, match=f"have seen {KEYS + 1} entries, here are {KEYS}"):
            desk.publish(node.settings.data, [part(node.origin, "P2")])

    with node.database.read() as session:
        assert logs.size(session) == KEYS


def submit(node: Node) -> None:
    """Have the newest head of a node published."""

    async def ask() -> Witnessed:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            return await witness(node, fetcher)

    assert asyncio.run(ask()).published


def test_its_socket_is_the_owners_alone_and_gone_afterwards(node: Node) -> None:
    path = node.settings.data / door.FILE
    with served_desk(node):
        until_open(node.settings.data)
        mode = path.stat().st_mode & 0o777

    assert mode == 0o600
    assert not path.exists()
    assert [each.name for each in node.settings.data.iterdir() if "sock" in each.name] == []


def test_a_socket_that_a_killed_process_left_behind_is_replaced(node: Node, part: Part) -> None:
    path = node.settings.data / door.FILE
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    left = door.is_open(node.settings.data)
    with served_desk(node):
        until_open(node.settings.data)
        made = desk.publish(node.settings.data, [part(node.origin)])

    assert not left
    assert made[0].index == KEYS


def test_a_second_process_does_not_take_the_desk_from_the_first(serving: Node, part: Part) -> None:
    with pytest.raises(UnavailableError, match="another process"), served_desk(serving):
        pass

    assert desk.publish(serving.settings.data, [part(serving.origin)])[0].index == KEYS


def test_a_folder_whose_path_is_too_long_for_a_socket_has_a_desk_too(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()

    with door.listening(folder):
        assert door.is_open(folder)
        with pytest.raises(UnavailableError, match="serves it already"), door.listening(folder):
            pass
    assert not door.is_open(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "body", "status", "said"),
    [
        ("/publish", b"[", 400, "not JSON"),
        ("/publish", b"[]", 400, "the list is empty"),
        ("/publish", b"\xff", 400, "not UTF-8"),
        ("/publish", b'[{"nonce":"x"}]', 400, "draft[0]"),
        ("/publish", b"[" * 100_000, 400, "nested deeper"),
        ("/nothing", b"[]", 404, "Not Found"),
    ],
)
def test_what_is_no_draft_is_refused_with_a_reason(
    serving: Node, target: str, body: bytes, status: int, said: str
) -> None:
    answer = door.ask(serving.settings.data, target, body)

    assert answer.status == status
    assert said in answer.body.decode()
    assert size(serving) == KEYS


def test_a_refusal_is_told_as_publish_tells_it_and_nothing_is_entered(
    serving: Node, part: Part
) -> None:
    desk.publish(serving.settings.data, [part(serving.origin)])
    both = [part(serving.origin, "other"), part(serving.origin, kg=9)]

    with pytest.raises(UnusableError, match="overlaps"):
        desk.publish(serving.settings.data, both)
    assert size(serving) == KEYS + 1


def test_a_node_that_may_not_append_says_why(
    new_node: Callable[..., Node], policy_of: Callable[..., str], part: Part
) -> None:
    node = new_node("old.example")
    others = [new_node(f"w{each}.example", url="http://127.0.0.1:9") for each in range(4)]
    opened = Node.open(node.settings, "correct horse battery staple")
    (node.settings.data / "policy.txt").write_text(policy_of([node], others, 3), encoding="utf-8")
    with served_desk(opened):
        until_open(node.settings.data)
        with pytest.raises(UnavailableError, match="0 witnesses"):
            desk.publish(node.settings.data, [part(node.origin)])
    opened.close()

    assert size(node) == KEYS


def test_its_status_says_how_far_the_log_is(serving: Node, part: Part) -> None:
    desk.publish(serving.settings.data, [part(serving.origin)])
    answer = door.ask(serving.settings.data, "/status")

    assert answer.status == 200
    assert answer.body == (
        b'{"origin":"cathode.example/bcca","size":7,"published":0,"mayAppend":true}'
    )


def test_half_a_request_does_not_keep_a_node_from_stopping(node: Node) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        with served_desk(node):
            until_open(node.settings.data)
            client.connect(str(node.settings.data / door.FILE))
            client.sendall(b"POST /publish HTTP/1.1\r\ncontent-length: 100\r\n\r\n[")
            time.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 15.0


@pytest.mark.parametrize("cut", ["", "HTTP/1.1 2", "length: 40\r\n", "\r\n\r\n", '[{"commit'])
def test_an_answer_that_a_kill_cuts_off_is_no_answer(node: Node, part: Part, cut: str) -> None:
    """At whatever byte: who asked cannot know, and asks again."""
    whole = f'HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n[{{"commitment":"{"a" * 64}"}}]'
    with door.listening(node.settings.data) as listener:
        thread = threading.Thread(target=answer_once, args=(listener, whole, cut))
        thread.start()
        with pytest.raises(UnavailableError, match="ask again"):
            desk.publish(node.settings.data, [part(node.origin)])
        thread.join()


def answer_once(listener: socket.socket, whole: str, cut: str) -> None:
    """Answer the first connection as far as `cut`, and close it."""
    client, _ = listener.accept()
    with client:
        client.recv(65_536)
        client.sendall(whole[: whole.index(cut) + len(cut)].encode() if cut else b"")


def test_nobody_at_the_desk_is_unavailable(node: Node, part: Part) -> None:
    with pytest.raises(UnavailableError, match="gave no answer"):
        desk.publish(node.settings.data, [part(node.origin)])


def until_open(data: Path) -> None:
    while not door.is_open(data):
        pass


def size(node: Node) -> int:
    with node.database.read() as session:
        return logs.size(session)
