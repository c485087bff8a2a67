"""Group commit: everybody's statements in one turn, and nobody's mistake in anybody else's."""

import asyncio
import dataclasses
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlmodel import select

from bcca_node.ledger.batch import State
from bcca_node.ledger.node import Node, system_clock
from bcca_node.ledger.press import MAX_TOGETHER, Press
from bcca_node.ledger.publish import publish
from bcca_node.ledger.sign import predicate_of
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.storage import logs, lost, statements
from bcca_node.storage.lost import Lost
from bcca_node.storage.tables import CheckpointRow
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import parse_entry
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.history import History
from bcca_protocol.merkle import Tree, leaf_hash
from bcca_protocol.note import Note
from bcca_protocol.statement import PartialFootprint

Part = Callable[..., PartialFootprint]
KEYS = 6  # entries of a new log


def entries(node: Node) -> list[bytes]:
    with node.database.read() as session:
        return logs.entries(session, 0, 1_000_000)


def heads(node: Node) -> list[Checkpoint]:
    """Every head that was signed, by size."""
    with node.database.read() as session:
        rows = session.exec(select(CheckpointRow).order_by("size")).all()
        return [Checkpoint.parse(Note.parse(row.note).text) for row in rows]


def held_up(
    node: Node, press: Press, requests: Sequence[Sequence[PartialFootprint]]
) -> list[object]:
    """Publish `requests` at once, while another writer has the turn; return the answers."""
    answers: list[object] = [None] * len(requests)

    def ask(number: int) -> None:
        try:
            answers[number] = press.publish(requests[number])
        except BccaError as error:
            answers[number] = error

    threads = [threading.Thread(target=ask, args=(each,)) for each in range(len(requests))]
    with node.database.write() as session:
        logs.size(session)  # from here on, it is our turn
        first, *others = threads
        first.start()
        while press.waiting or not press.is_printing:
            time.sleep(0.001)
        for thread in others:
            thread.start()
        while press.waiting < len(others):
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    return answers


def test_what_many_publish_at_once_shares_a_head(node: Node, part: Part) -> None:
    press = Press(node)
    answers = held_up(node, press, [[part(node.origin, f"P{each}")] for each in range(20)])

    made = [each[0].index for each in answers if isinstance(each, list)]
    tree = Tree(map(leaf_hash, entries(node)))
    assert sorted(made) == list(range(KEYS, KEYS + 20))
    assert [head.size for head in heads(node)] == [KEYS, KEYS + 1, KEYS + 20]
    assert heads(node)[-1].root == tree.root()


def test_each_is_told_where_its_own_statements_are(node: Node, part: Part) -> None:
    requests = [[part(node.origin, f"P{each}-{kg}") for kg in range(1, 4)] for each in range(8)]
    answers = held_up(node, Press(node), requests)

    found = History.read(node.origin, node.log_key, entries(node)).statements
    for asked, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, list)
        assert [each.product for each in answer] == [each.product.id for each in asked]
        assert [found[bytes.fromhex(each.commitment)].index for each in answer] == [
            each.index for each in answer
        ]


def test_a_refused_request_is_refused_alone_and_leaves_no_line_behind(
    node: Node, part: Part
) -> None:
    [old] = publish(node, [part(node.origin, "P0")])
    good = [[part(node.origin, f"P{each}")] for each in range(1, 5)]
    overlapping = [part(node.origin, "new"), part(node.origin, "P0", kg=9)]
    unknown = [part(node.origin, "other", corrects="ab" * 32)]
    half = [
        part(node.origin, "P0", kg=5, corrects=old.commitment),
        part(node.origin, "P0", kg=6, year=2026, follows="cd" * 32),
    ]
    answers = held_up(node, Press(node), [good[0], overlapping, good[1], unknown, half, *good[2:]])

    refused = [str(each) for each in answers if isinstance(each, UnusableError)]
    assert len(refused) == 3
    assert "overlaps" in refused[0]
    assert "no statement of this node" in refused[1]
    assert len(entries(node)) == KEYS + 1 + 4
    assert [parse_entry(line.decode()).encode().encode() for line in entries(node)] == entries(node)
    with node.database.read() as session:
        kept = statements.page(session, 0, 100)
    assert {each.product for each in kept} == {f"urn:bcca:case:t:P{each}" for each in range(5)}
    assert [each.ended for each in kept] == [None] * 5


def test_a_refused_correction_leaves_what_it_corrects_as_it_was(node: Node, part: Part) -> None:
    [old] = publish(node, [part(node.origin)])
    press = Press(node)
    wrong = [
        part(node.origin, kg=5, corrects=old.commitment),
        part(node.origin, "P2", corrects="ab" * 32),
    ]
    right = [part(node.origin, kg=7, corrects=old.commitment)]
    answers = held_up(node, press, [[part(node.origin, "P3")], wrong, right])

    assert isinstance(answers[1], UnusableError)
    assert isinstance(answers[2], list)
    with node.database.read() as session:
        ended = statements.get(session, old.commitment)
    assert ended is not None
    assert ended.ended == answers[2][0].index + 1


def test_of_two_that_overlap_one_stands(node: Node, part: Part) -> None:
    requests = [[part(node.origin, kg=kg)] for kg in range(1, 9)]
    answers = held_up(node, Press(node), requests)

    assert sum(isinstance(each, list) for each in answers) == 1
    assert sum(isinstance(each, UnusableError) for each in answers) == 7
    assert len(entries(node)) == KEYS + 1


def test_the_same_content_asked_for_twice_is_entered_once(node: Node, part: Part) -> None:
    answers = held_up(node, Press(node), [[part(node.origin)] for _ in range(6)])

    assert answers == [answers[0]] * 6
    assert len(entries(node)) == KEYS + 1


def test_a_turn_takes_no_more_than_its_limit(node: Node, part: Part) -> None:
    few = part(node.origin, "P0")
    many = [
        [part(node.origin, f"P{maker}-{each}") for each in range(MAX_TOGETHER // 2 + 1)]
        for maker in range(1, 3)
    ]
    answers = held_up(node, Press(node), [[few], *many])

    assert all(isinstance(each, list) for each in answers)
    assert len(heads(node)) == 4


def test_what_is_not_durable_is_answered_to_nobody(node: Node, part: Part) -> None:
    press = Press(node)
    publish(node, [part(node.origin, "P0")])
    with closing(sqlite3.connect(node.settings.data / "node.db")) as database:
        database.execute(
            "create trigger no before insert on checkpoint begin select raise(abort, 'no'); end"
        )
        database.commit()

    def ask(each: int) -> object:
        try:
            return press.publish([part(node.origin, f"P{each}")])
        except Exception as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(1, 9)))
    with closing(sqlite3.connect(node.settings.data / "node.db")) as database:
        database.execute("drop trigger no")
        database.commit()

    assert all(isinstance(each, Exception) for each in answers)
    assert len(entries(node)) == KEYS + 1
    assert press.publish([part(node.origin, "P1")])[0].index == KEYS + 1


def test_a_node_that_may_not_append_refuses_each_request(node: Node, part: Part) -> None:
    opened = Node.open(node.settings, "correct horse battery staple")
    try:
        with pytest.raises(UnusableError, match="nobody has confirmed"):
            Press(opened).publish([part(node.origin)])
    finally:
        opened.close()


def test_with_its_clock_set_back_a_node_enters_all_in_one_tree_and_publishes_once_it_is_right(
    network: list[Node], part: Part
) -> None:
    node = network[0]
    slow = dataclasses.replace(node, clock=lambda: system_clock() - 86_400)
    made = [
        Press(each).publish([part(node.origin, name)])
        for each, name in ((node, "P1"), (slow, "P2"))
    ]
    early = asyncio.run(asked(slow))
    late = asyncio.run(asked(node))
    [again] = Press(slow).publish([part(node.origin, "P2")])

    assert [each.index for (each,) in made] == [KEYS, KEYS + 1]
    assert not early.published
    assert "its clock is" in str(early)
    assert late.published
    assert (again.index, again.state) == (KEYS + 1, State.PUBLISHED)
    for head in heads(node):
        assert head.root == Tree(map(leaf_hash, entries(node)[: head.size])).root()


def test_a_statement_that_was_lost_is_found_again_at_its_own_entry(node: Node, part: Part) -> None:
    first, second = publish(node, [part(node.origin, "P1"), part(node.origin, "P2")])
    publish(node, [part(node.origin, "P2", kg=9, corrects=second.commitment)])
    lose(node, [first.commitment, second.commitment])
    size = len(entries(node))

    again = publish(node, [part(node.origin, "P1"), part(node.origin, "P2")])

    assert again == [first, second]
    assert len(entries(node)) == size
    with node.database.read() as session:
        found = statements.find(session, [first.commitment, second.commitment])
        assert lost.everything(session) == []
    assert {each.commitment: each.ended for each in found} == {
        first.commitment: None,
        second.commitment: size - 1,
    }
    assert predicate_of(found[0].envelope).nonce


def test_a_lost_statement_that_another_key_signed_is_not_passed_off_as_found(
    node: Node, part: Part
) -> None:
    [made] = publish(node, [part(node.origin)])
    lose(node, [made.commitment], change=("statement", "statement "))

    with pytest.raises(UnusableError, match="names another key"):
        publish(node, [part(node.origin)])


def test_a_place_is_free_where_nothing_of_its_time_is_current(node: Node, part: Part) -> None:
    for year in (2020, 2021, 2022):
        publish(node, [part(node.origin, year=year, batch="b")])

    made = publish(node, [part(node.origin, year=2021), part(node.origin, year=2023, batch="b")])

    assert len(made) == 2
    with pytest.raises(UnusableError, match="overlaps"):
        publish(node, [part(node.origin, year=2021, batch="b", kg=4)])


async def asked(node: Node) -> Witnessed:
    """Have witnesses cosign what there is."""
    async with Fetcher(hosts_of(node.trust.required())) as fetcher:
        return await witness(node, fetcher)


def lose(node: Node, commitments: Sequence[str], change: tuple[str, str] = ("", "")) -> None:
    """Forget what statements say, as an older database would have."""
    with node.database.write() as session:
        found = statements.find(session, commitments)
        lost.add(
            session,
            [
                Lost(
                    commitment=each.commitment,
                    index=each.index,
                    line=logs.entries(session, each.index, each.index + 1)[0]
                    .decode()
                    .replace(*change),
                )
                for each in found
            ],
        )
    with closing(sqlite3.connect(node.settings.data / "node.db")) as database:
        for each in commitments:
            database.execute("delete from statement where commitment = ?", [each])
        database.commit()
