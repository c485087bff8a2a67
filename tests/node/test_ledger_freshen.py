"""An old head shown to its witnesses again: fresh times from who has seen nothing newer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from bcca_node.ledger import log
from bcca_node.ledger.freshen import freshen
from bcca_node.ledger.node import Node
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.network.limits import Patience
from bcca_node.storage import logs
from bcca_protocol import checkpoint, policy
from bcca_protocol.keys import Role
from bcca_protocol.merkle import prove_consistency
from bcca_protocol.note import Note
from bcca_protocol.policy import Policy, VerifiedCheckpoint

OLD = 1_700_000_000
LITTLE = Patience(connect=5.0, read=5.0, total=10.0, stream=10.0)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def asked(node: Node, work: Callable[[Fetcher], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Fetcher(hosts_of(node.trust.required()), patience=LITTLE) as fetcher:
            return await work(fetcher)

    return asyncio.run(run())


def grow(author: Node, lines: int = 1) -> None:
    """Enter lines that nobody understands, and have their head cosigned."""
    with author.database.write() as session:
        log.append(session, [f"bcca/v9 {index}" for index in range(lines)])
        log.sign(session, author.keys.log_signers)
    assert asked(author, lambda fetcher: witness(author, fetcher)).published


def seen_at(
    author: Node, witnesses: Iterable[Node], trusted: Policy, at: int = OLD
) -> VerifiedCheckpoint:
    """Return the author's head as these witnesses cosigned it long ago."""
    with author.database.read() as session:
        head = logs.last_head(session)
    assert head is not None
    note = Note.parse(head.note)
    cosigned = [
        checkpoint.cosign(note.text, each.keys.signer(Role.WITNESS), at=at) for each in witnesses
    ]
    whole = Note(text=note.text, signatures=(note.signatures[0], *cosigned))
    return policy.verify_checkpoint(whole.encode(), author.log_key, trusted)


def freshened(author: Node, head: VerifiedCheckpoint, trusted: Policy) -> VerifiedCheckpoint:
    async def prove(old: int) -> tuple[bytes, ...]:
        with author.database.read() as session:
            size = head.checkpoint.size
            return prove_consistency(old, size, log.subtree(session, size))

    def work(fetcher: Fetcher) -> Awaitable[VerifiedCheckpoint]:
        return freshen(fetcher, head, trusted, prove, at=author.clock())

    found = asked(author, work)
    assert isinstance(found, VerifiedCheckpoint)
    return found


def without(trusted: Policy, answering: int, url: str = "http://127.0.0.1:9") -> Policy:
    """Return the policy with other addresses for all but the first witnesses."""
    lines = list(trusted.witnesses.values())
    lines = [
        line if number < answering else replace(line, url=url) for number, line in enumerate(lines)
    ]
    return replace(trusted, witnesses={line.name: line for line in lines})


def test_witnesses_that_have_seen_nothing_newer_give_fresh_times(network: list[Node]) -> None:
    author, trusted = network[0], network[0].trust.required()
    grow(author)
    head = seen_at(author, network[1:], trusted)

    fresh = freshened(author, head, trusted)

    assert head.time == OLD
    assert abs(fresh.time - author.clock()) < 60
    assert fresh.checkpoint == head.checkpoint
    assert len(fresh.note.signatures) == len(head.note.signatures)  # the new in place of the old


def test_witnesses_that_have_seen_less_are_shown_the_proof(network: list[Node]) -> None:
    author, trusted = network[0], network[0].trust.required()
    grow(author, 5)
    with author.database.write() as session:
        log.append(session, ["bcca/v9 more"] * 300)
        log.sign(session, author.keys.log_signers)
    head = seen_at(author, network[1:], trusted)

    fresh = freshened(author, head, trusted)

    assert abs(fresh.time - author.clock()) < 60


def test_witnesses_that_have_seen_more_give_an_old_head_no_fresh_time(network: list[Node]) -> None:
    author, trusted = network[0], network[0].trust.required()
    grow(author)
    head = seen_at(author, network[1:], trusted)
    grow(author)

    assert freshened(author, head, trusted) is head


def test_below_a_quorum_fresh_times_change_nothing(network: list[Node]) -> None:
    author, trusted = network[0], network[0].trust.required()
    grow(author)
    head = seen_at(author, network[1:], trusted)

    assert freshened(author, head, without(trusted, 2)) is head
    assert freshened(author, head, without(trusted, 3)).time > OLD


def test_a_witness_that_takes_heads_from_its_own_logs_alone_is_read_where_it_shows_them(
    network: list[Node],
) -> None:
    author, trusted = network[0], network[0].trust.required()
    grow(author)
    head = seen_at(author, network[1:], trusted)
    for each in network[1:]:  # it has cosigned this head, and now knows no such log any more
        path = each.settings.data / "policy.txt"
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join(x for x in lines if author.origin not in x), "utf-8")

    fresh = freshened(author, head, trusted)

    assert abs(fresh.time - author.clock()) < 60


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\n",
        b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 2\r\n\r\n-1",
        b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 2\r\n\r\n0\n",
        b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\n\r\n" + b"9" * 40,
        b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n1\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000,
        b"",
    ],
    ids=["no line", "nothing", "not UTF-8", "-1", "0 for ever", "40 digits", "no size", "endless",
         "gone"],
)  # fmt: skip
def test_hostile_witnesses_give_no_fresh_time_and_stop_nobody(
    network: list[Node], raw_server: Callable[[Handler], str], answer: bytes
) -> None:
    author, trusted = network[0], network[0].trust.required()
    grow(author)
    head = seen_at(author, network[1:], trusted)

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)
        await writer.drain()

    url = raw_server(lie)

    assert freshened(author, head, without(trusted, 2, url)) is head
    assert freshened(author, head, without(trusted, 3, url)).time > OLD


def test_a_cosignature_of_another_tree_is_no_fresh_time(
    network: list[Node], raw_server: Callable[[Handler], str]
) -> None:
    author, trusted = network[0], network[0].trust.required()
    grow(author)
    head = seen_at(author, network[1:], trusted)
    signer = network[4].keys.signer(Role.WITNESS)
    other = checkpoint.cosign("n0.example\n1\nother\n", signer, at=author.clock()).encode()
    body = f"{other}\n".encode()

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    assert freshened(author, head, without(trusted, 2, raw_server(lie))) is head


def test_a_witness_that_hangs_holds_up_no_quorum(
    network: list[Node], raw_server: Callable[[Handler], str]
) -> None:
    author, trusted = network[0], network[0].trust.required()
    grow(author)
    head = seen_at(author, network[1:], trusted)

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    began = time.monotonic()
    fresh = freshened(author, head, without(trusted, 3, raw_server(hang)))

    assert fresh.time > OLD
    assert time.monotonic() - began < 5
