"""Recovering after an alarm: it stays while any head is missing, and retired keys enter nothing."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from bcca_node.ledger import guard, keys
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.recover import Recovered, recover
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.storage import alarms, logs
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.errors import ConflictError, UnavailableError
from bcca_protocol.keys import Role, Signer
from bcca_protocol.merkle import Tree, leaf_hash
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.tiles import encode_entries

T = TypeVar("T")
Part = Callable[..., PartialFootprint]

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
NOWHERE = "http://127.0.0.1:1"


def run(node: Node, work: Callable[[Node, Fetcher], Awaitable[T]]) -> T:
    async def go() -> T:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            return await work(node, fetcher)

    return asyncio.run(go())


def recovered(node: Node, *sources: str) -> Recovered:
    return run(node, lambda node, fetcher: recover(node, fetcher, sources))


def published(node: Node) -> None:
    assert run(node, witness).published


def set_policy(node: Node, text: str) -> None:
    (node.settings.data / "policy.txt").write_text(text, encoding="utf-8")


def elsewhere(policy: str, gone: Sequence[Node], url: str = NOWHERE) -> str:
    """Return the policy with something else, or nobody, where some nodes are."""
    for each in gone:
        policy = policy.replace(f"{each.settings.url}/", f"{url}/")
    return policy


def entries(node: Node) -> list[bytes]:
    with node.database.read() as session:
        return logs.entries(session, 0, logs.size(session))


def standing(node: Node) -> list[str]:
    with node.database.read() as session:
        return [each.what for each in alarms.standing(session)]


def log_of(lines: Sequence[bytes], note: str) -> Callable[..., Awaitable[None]]:
    """Serve a log, and its head as a witness would."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        status, body = "200 OK", b""
        if path.endswith("/checkpoint"):
            body = note.encode()
        elif "/tile/entries/" in path:
            body = encode_entries(lines)
        else:
            status = "404 Not Found"
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return answer


def head_of(origin: str, lines: Sequence[bytes], signer: Signer) -> str:
    root = Tree(map(leaf_hash, lines)).root()
    head = Checkpoint(origin=origin, size=len(lines), root=root)
    return sign_checkpoint(head, (signer,)).encode()


@pytest.fixture
def policy(network: list[Node], policy_of: Callable[..., str]) -> str:
    return policy_of(network, network[1:], 3)


@pytest.fixture
def alarmed(network: list[Node], part: Part, restored: Callable[[Node], Node], policy: str) -> Node:
    """An old copy with an alarm, for a head that only one witness has seen."""
    node = network[0]
    publish(node, [part(node.origin, "P0")])
    published(node)
    copy = restored(node)
    publish(node, [part(node.origin, "P1")])
    set_policy(node, elsewhere(policy, network[2:]))
    assert run(node, witness).cosigned == ("w0",)
    with pytest.raises(ConflictError, match="w0 has seen 8 entries, here are 7"):
        run(copy, guard.clear)
    return copy


def test_attack_an_alarm_is_not_put_out_by_stopping_the_one_witness_that_gave_it(
    network: list[Node], alarmed: Node, policy: str, part: Part
) -> None:
    set_policy(alarmed, elsewhere(policy, network[:2]))
    found = recovered(alarmed)

    assert (found.size, found.seen, found.is_whole) == (7, 8, False)
    assert len(standing(alarmed)) == 1
    with pytest.raises(ConflictError):
        publish(alarmed, [part(alarmed.origin, "OTHER")])
    with pytest.raises(ConflictError):
        run(alarmed, guard.clear)


def test_attack_a_head_that_was_met_once_stops_an_old_copy_without_its_alarm_and_its_witness(
    network: list[Node], alarmed: Node, policy: str
) -> None:
    set_policy(alarmed, elsewhere(policy, network[:2]))
    with alarmed.database.write() as session:
        alarms.clear(session, alarmed.clock())

    with pytest.raises(ConflictError, match="somebody has seen 8 entries, here are 7"):
        run(alarmed, guard.clear)

    assert len(standing(alarmed)) == 1


def test_an_alarm_ends_once_the_entries_of_every_head_that_was_met_are_here(
    network: list[Node], alarmed: Node, part: Part, raw_server: Callable[..., str]
) -> None:
    with network[0].database.read() as session:
        head = logs.last_head(session)
    assert head is not None
    url = raw_server(log_of(entries(network[0]), head.note))
    found = recovered(alarmed, f"{url}/log")
    run(alarmed, guard.clear)
    publish(alarmed, [part(alarmed.origin, "P2")])

    assert (found.via, found.size, found.seen) == (f"{url}/log", 8, 8)
    assert entries(alarmed)[:8] == entries(network[0])
    assert standing(alarmed) == []


def test_attack_a_proxy_that_answers_404_for_the_witnesses_does_not_put_out_an_alarm(
    network: list[Node], alarmed: Node, policy: str, raw_server: Callable[..., str]
) -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()

    set_policy(alarmed, elsewhere(policy, network, raw_server(nothing)))

    with pytest.raises(UnavailableError, match="it shows 0 entries of this log, and has cosigned"):
        recovered(alarmed)

    assert len(standing(alarmed)) == 1


# A thief of a log key that was retired.

THIEFS = [f"bcca/v1 status {b64encode(bytes([7]) * 32).decode()} revoked -".encode()]


def retired(network: list[Node], policy: str) -> tuple[Node, Signer, str]:
    """Replace the log key of the first node; return the node, the old key, the policy now."""
    node = network[0]
    published(node)
    old, [thiefs] = node.log_key, node.keys.log_signers
    changed = keys.rotate(node, Role.LOG, PASSPHRASE).node
    policy = policy.replace(old.encode(), changed.log_key.encode())
    for each in network:
        set_policy(each, policy)
    published(changed)
    [index] = [each.index for each in changed.keystore.keys if each.key == old]
    changed = keys.retire(changed, index, PASSPHRASE).node
    published(changed)
    return changed, thiefs, policy


def test_attack_a_thief_of_a_retired_log_key_gives_no_alarm_and_enters_nothing(
    network: list[Node],
    policy: str,
    raw_server: Callable[..., str],
    restored: Callable[[Node], Node],
) -> None:
    node, thiefs, policy = retired(network, policy)
    before = entries(node)
    lines = before + THIEFS
    url = raw_server(log_of(lines, head_of(node.origin, lines, thiefs)))
    fresh = restored(node)
    set_policy(fresh, policy.replace(f"{network[1].settings.url}/", f"{url}/"))
    run(fresh, guard.clear)
    found = recovered(fresh, f"{url}/log")

    assert (found.size, found.seen, found.via) == (len(before), len(before), None)
    assert "signed by no log key that is good behind the" in found.refused["w0"]
    assert f"{url}/log" in found.refused
    assert entries(fresh) == before
    assert standing(fresh) == []


def test_attack_a_thiefs_copy_in_which_its_key_is_retired_is_not_recovered(
    network: list[Node],
    policy: str,
    raw_server: Callable[..., str],
    restored: Callable[[Node], Node],
) -> None:
    copy = restored(network[0])
    before = entries(copy)
    node, thiefs, policy = retired(network, policy)
    lines = entries(node) + THIEFS
    url = raw_server(log_of(lines, head_of(node.origin, lines, thiefs)))
    set_policy(copy, policy)
    found = recovered(copy, f"{url}/log")

    assert "no log key that is good behind them" in found.refused[f"{url}/log"]
    assert found.via is None
    assert entries(copy) == before


def test_attack_another_tree_by_a_retired_key_below_the_size_here_is_an_alarm(
    network: list[Node],
    policy: str,
    raw_server: Callable[..., str],
    restored: Callable[[Node], Node],
) -> None:
    node, thiefs, policy = retired(network, policy)
    lines = entries(node)[:-2] + THIEFS
    url = raw_server(log_of(lines, head_of(node.origin, lines, thiefs)))
    fresh = restored(node)
    set_policy(fresh, policy.replace(f"{network[1].settings.url}/", f"{url}/"))

    with pytest.raises(ConflictError, match="of its first 7 entries w0 has seen root"):
        run(fresh, guard.clear)

    assert len(standing(fresh)) == 1
