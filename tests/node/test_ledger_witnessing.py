"""A head and its witnesses, over real HTTP: a quorum publishes, less keeps it pending."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bcca_node.ledger.export import export
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import State, publish
from bcca_node.ledger.witness import add_checkpoint
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.network.limits import Patience
from bcca_node.storage import heads, logs, witnessed
from bcca_protocol import merkle, tiles
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.errors import ConflictError, UnusableError
from bcca_protocol.keys import Role
from bcca_protocol.policy import verify_checkpoint
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.witness import AddCheckpoint, WitnessState

Part = Callable[..., PartialFootprint]


def submit(node: Node, patience: Patience | None = None) -> Witnessed:
    async def run() -> Witnessed:
        async with Fetcher(hosts_of(node.trust.required()), patience=patience) as fetcher:
            return await witness(node, fetcher)

    return asyncio.run(run())


def set_policy(node: Node, text: str) -> None:
    (node.settings.data / "policy.txt").write_text(text, encoding="utf-8")


def test_a_quorum_publishes(network: list[Node], part: Part) -> None:
    node = network[0]
    publish(node, [part(node.origin)])

    done = submit(node)

    with node.database.read() as session:
        head = logs.published_head(session)
    assert (done.published, done.size) == (True, 7)
    assert head is not None
    verify_checkpoint(head.note, node.log_key, node.trust.required(), at=node.clock())
    assert publish(node, [part(node.origin)])[0].state is State.PUBLISHED
    assert str(done).startswith("published: tree of 7, 4 of 4 witnesses cosigned (quorum g, k = 3")


def test_each_head_continues_the_one_before(network: list[Node], part: Part) -> None:
    node = network[0]
    for kg in range(1, 4):
        publish(node, [part(node.origin, f"P{kg}-{each}") for each in range(100 * kg)])
        assert submit(node).published

    with network[1].database.read() as session:
        assert witnessed.last(session, node.origin) == WitnessState(size=606, root=root(node))


def root(node: Node) -> bytes:
    with node.database.read() as session:
        head = logs.last_head(session)
    assert head is not None
    return head.root


def test_the_same_head_again_gets_fresh_times(network: list[Node]) -> None:
    first, again = submit(network[0]), submit(network[0])

    assert first.published
    assert again.published


def test_a_witness_that_missed_a_head_is_told_from_where_it_continues(
    network: list[Node], policy_of: Callable[..., str], part: Part
) -> None:
    node, *witnesses = network
    set_policy(node, policy_of(network, witnesses[:3], 3))
    submit(node)
    publish(node, [part(node.origin)])
    set_policy(node, policy_of(network, witnesses, 4))

    done = submit(node)

    assert done.cosigned == ("w0", "w1", "w2", "w3")


def test_too_few_witnesses_leave_it_pending_and_say_why(
    network: list[Node], policy_of: Callable[..., str], part: Part
) -> None:
    node = network[0]
    publish(node, [part(node.origin)])
    policy = policy_of(network, network[1:], 3)
    for gone in network[1:3]:
        policy = policy.replace(f"{gone.settings.url}/witness", "http://127.0.0.1:1/witness")
    set_policy(node, policy)

    done = submit(node)

    with node.database.read() as session:
        assert logs.published_head(session) is None
    assert (done.published, set(done.cosigned)) == (False, {"w2", "w3"})
    assert "pending: tree of 7, 2 of 4 witnesses cosigned" in str(done)
    assert "127.0.0.1:1/witness" in done.refused["w0"]


def test_cosignatures_of_several_tries_add_up_to_a_quorum(
    network: list[Node], policy_of: Callable[..., str], part: Part
) -> None:
    node, *witnesses = network
    publish(node, [part(node.origin)])
    policy = policy_of(network, witnesses, 3)
    results = []
    for gone in (witnesses[:2], witnesses[2:3]):
        text = policy
        for each in gone:
            text = text.replace(f"{each.settings.url}/witness", "http://127.0.0.1:1/witness")
        set_policy(node, text)
        results.append(submit(node))
    with node.database.read() as session:
        head, far = logs.published_head(session), witnessed.cosigned(session)

    assert [each.published for each in results] == [False, True]
    assert results[0].cosigned == ("w2", "w3")
    assert results[1].cosigned == ("w0", "w1", "w2", "w3")
    assert results[1].refused == {}
    assert head is not None
    verify_checkpoint(head.note, node.log_key, node.trust.required(), at=node.clock())
    assert {name: each.size for name, each in far.items()} == dict.fromkeys(results[1].cosigned, 7)
    assert "127.0.0.1:1/witness" in far["w2"].refused


def test_a_head_that_is_overtaken_while_it_is_shown_makes_way_for_the_newest(
    network: list[Node], policy_of: Callable[..., str], part: Part, raw_server: Callable[..., str]
) -> None:
    node = network[0]
    publish(node, [part(node.origin, "P0")])

    async def publish_meanwhile(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.to_thread(publish, node, [part(node.origin, "P1")])
        writer.write(b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()

    policy = policy_of(network, network[1:], 3)
    set_policy(node, policy.replace(network[1].settings.url, raw_server(publish_meanwhile)))

    done = submit(node)

    assert (done.size, done.published) == (8, True)


def test_a_witness_that_refuses_without_a_reason_is_told_by_its_status_alone(
    network: list[Node], policy_of: Callable[..., str], raw_server: Callable[..., str]
) -> None:
    node = network[0]

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()

    policy = policy_of(network, network[1:], 3)
    set_policy(node, policy.replace(network[1].settings.url, raw_server(refuse)))

    [told] = submit(node).refused.values()
    assert told.endswith("answered 404")


def test_a_witness_that_does_not_know_the_log_says_so(
    network: list[Node], policy_of: Callable[..., str]
) -> None:
    node, *others = network
    set_policy(others[0], policy_of(others, others, 3))

    assert "answered 404" in submit(node).refused["w0"]


def test_a_witness_without_its_passphrase_does_not_cosign(
    network: list[Node], served: Callable[..., Node], policy_of: Callable[..., str]
) -> None:
    node = network[0]
    locked = served("locked.example", locked=True)
    set_policy(node, policy_of(network, [*network[1:], locked], 4))

    assert "503" in submit(node).refused["w4"]


def test_a_witness_from_the_future_does_not_count(
    network: list[Node], served: Callable[..., Node], policy_of: Callable[..., str]
) -> None:
    node = network[0]
    ahead = served("ahead.example", clock=lambda: node.clock() + 3600)
    set_policy(ahead, policy_of(network, network[1:], 3))
    set_policy(node, policy_of(network, [*network[1:4], ahead], 4))

    done = submit(node)

    assert not done.published
    assert "s ahead of ours" in done.refused["w3"]


def test_a_hanging_witness_does_not_hold_up_a_quorum(
    network: list[Node], policy_of: Callable[..., str], raw_server: Callable[..., str]
) -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    node = network[0]
    policy = policy_of(network, network[1:], 3)
    set_policy(node, policy.replace(network[1].settings.url, raw_server(hang)))
    begun = time.monotonic()

    done = submit(node, Patience(read=30, total=30))

    assert done.published
    assert done.refused == {"w0": "had not answered when the quorum was complete"}
    assert time.monotonic() - begun < 5


def test_an_old_copy_that_submits_its_head_is_alarmed_that_witnesses_have_seen_more(
    network: list[Node], part: Part, restored: Callable[[Node], Node]
) -> None:
    node = network[0]
    submit(node)
    old = restored(node)
    publish(node, [part(node.origin, "P1"), part(node.origin, "P2")])
    submit(node)

    with pytest.raises(ConflictError, match="have seen 8 entries, here are 6"):
        submit(old)

    with pytest.raises(ConflictError, match="nothing is entered since the alarm"):
        publish(old, [part(old.origin, "P3")])


def test_a_split_view_is_not_cosigned_and_both_heads_are_kept(network: list[Node]) -> None:
    node, first = network[0], network[1]
    submit(node)
    lie = Checkpoint(origin=node.origin, size=6, root=bytes(32))
    note = sign_checkpoint(lie, (node.keys.signer(Role.LOG),)).encode()

    answer = add_checkpoint(first, AddCheckpoint(old=6, proof=(), note=note).encode())

    with first.database.read() as session:
        kept = heads.every(session, node.origin)
        last = witnessed.last(session, node.origin)
    assert answer.status == 422
    assert last == WitnessState(size=6, root=root(node))
    assert {(each.size, each.root) for each in kept} == {(6, root(node)), (6, bytes(32))}


def test_of_many_requests_at_once_no_two_heads_of_one_size_are_cosigned(
    network: list[Node],
) -> None:
    node, witnessing = network[:2]
    key = node.keys.signer(Role.LOG)
    leaves = [
        [merkle.leaf_hash(b"%d %d" % (each, index)) for index in range(4)] for each in range(8)
    ]
    statuses: list[int] = []

    def ask(own: list[bytes]) -> None:
        checkpoint = Checkpoint(origin=node.origin, size=4, root=merkle.Tree(own).root())
        note = sign_checkpoint(checkpoint, (key,)).encode()
        request = AddCheckpoint(old=0, proof=(), note=note).encode()
        statuses.append(add_checkpoint(witnessing, request).status)

    threads = [threading.Thread(target=ask, args=(each,)) for each in leaves]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(statuses) == [200] + [409] * 7


def test_without_a_policy_nobody_is_asked(node: Node) -> None:
    with pytest.raises(UnusableError, match=r"policy\.txt is not there"):
        submit(node)


def test_the_export_is_the_log_byte_for_byte(
    network: list[Node], part: Part, tmp_path: Path
) -> None:
    node = network[0]
    publish(node, [part(node.origin, f"P{each}") for each in range(300)])
    submit(node)
    publish(node, [part(node.origin, "later")])

    size = export(node, tmp_path / "out")

    with node.database.read() as session:
        head, entries = logs.published_head(session), logs.entries(session, 0, size)
    assert head is not None
    tree = merkle.Tree(map(merkle.leaf_hash, entries))
    files = {path.relative_to(tmp_path / "out").as_posix() for path in walk(tmp_path / "out")}
    assert files == {"checkpoint", *(tile.encode() for tile in tiles.tiles_for(306))}
    assert (tmp_path / "out/checkpoint").read_text(encoding="utf-8") == head.note
    assert tree.root() == head.root
    for tile in tiles.tiles_for(306):
        if tile.level != tiles.ENTRIES:
            assert (tmp_path / "out" / tile.encode()).read_bytes() == tiles.encode_tile(
                tile, tree.subtree
            )


def walk(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_nothing_is_exported_before_it_is_published(node: Node, tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="nothing of it is published yet"):
        export(node, tmp_path / "out")

    assert not (tmp_path / "out").exists()
