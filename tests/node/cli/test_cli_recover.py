"""`bcca log recover`: an old backup gets back what others have, and grows no second tree."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bcca_node.ledger import log, mirror
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.storage import logs, lost, statements, witnessed
from bcca_node.storage.statements import OwnStatement
from bcca_protocol import merkle
from bcca_protocol.merkle import Tree, leaf_hash

KEYS = 6  # entries of a new log


class Elsewhere:
    """The log of the supplier as it once was: on a web server, and in a backup."""

    def __init__(self, desk: Any, node: Node, serve: Callable[[Any], str], folder: Path) -> None:
        self._desk = desk
        self._node = node
        self._serve = serve
        self.folder = folder

    def exported(self) -> str:
        """Serve the log as it is now, with its statements, from a folder; return its URL."""
        assert self._desk.bcca("log", "export", self.folder / "log", data=self._node).status == 0
        (self.folder / "statements").mkdir()
        for each in kept(self._node):
            (self.folder / "statements" / each.commitment).write_bytes(each.envelope)
        return f"{self._serve(files(self.folder))}/log"

    def set_back(self, older: Path) -> None:
        """Put an earlier copy of the database in the place of the one there is."""
        with (
            closing(sqlite3.connect(older / "node.db")) as source,
            closing(sqlite3.connect(self._node.settings.data / "node.db")) as target,
        ):
            source.backup(target)


@pytest.fixture
def elsewhere(desk: Any, chain: Any, loop: Any, tmp_path: Path) -> Elsewhere:
    return Elsewhere(desk, chain.supplier, loop.serve_raw, tmp_path / "mirror")


def test_an_old_backup_gets_its_entries_and_statements_back_from_a_copy(
    desk: Any, chain: Any, elsewhere: Elsewhere
) -> None:
    origin = chain.supplier.origin
    desk.published(chain.supplier, desk.part(origin, "P1"))
    older = desk.backed_up(chain.supplier)
    desk.published(chain.supplier, *(desk.part(origin, f"Q{each}") for each in range(300)))
    before, whole = kept(chain.supplier), entries(chain.supplier)
    url = elsewhere.exported()
    elsewhere.set_back(older)
    desk.bcca("import", desk.written(desk.part(origin, "P2")), data=chain.supplier)

    refused = desk.bcca("publish", data=chain.supplier)
    ran = desk.bcca("log", "recover", "--from", url, data=chain.supplier)
    after = kept(chain.supplier)
    published = desk.bcca("publish", data=chain.supplier)

    assert refused.status == 1
    assert "bcca log recover" in refused.refusal
    assert (ran.status, ran.out) == (0, "")
    assert "300 entries came back" in ran.err
    assert "300 statements came back" in ran.err
    assert after == before
    assert entries(chain.supplier)[: len(whole)] == whole
    assert published.status == 0
    assert_one_tree(chain.supplier)


def test_without_a_copy_of_what_they_said_lost_statements_are_named_and_found_by_publishing_again(
    desk: Any, chain: Any, elsewhere: Elsewhere
) -> None:
    origin = chain.supplier.origin
    older = desk.backed_up(chain.supplier)
    desk.published(chain.supplier, desk.part(origin, "P1"), desk.part(origin, "P2"))
    before, url = kept(chain.supplier), elsewhere.exported()
    shutil.rmtree(elsewhere.folder / "statements")
    elsewhere.set_back(older)

    ran = desk.bcca("log", "recover", "--from", url, data=chain.supplier)
    told = desk.bcca("log", "recover", "--json", data=chain.supplier)
    drafts = desk.written(desk.part(origin, "P1"), desk.part(origin, "P2"))
    desk.bcca("import", drafts, data=chain.supplier)
    again = desk.bcca("publish", data=chain.supplier)
    last = desk.bcca("log", "recover", data=chain.supplier)

    assert ran.status == 3
    assert ran.out.splitlines() == [f"lost {each.commitment} {each.index}" for each in before]
    assert [each["commitment"] for each in told.json["lost"]] == [e.commitment for e in before]
    assert again.status == 0
    assert kept(chain.supplier) == before
    assert last.status == 0
    assert len(entries(chain.supplier)) == KEYS + 2
    assert_one_tree(chain.supplier)


def test_recovered_entries_end_what_they_corrected(
    desk: Any, chain: Any, elsewhere: Elsewhere
) -> None:
    origin = chain.supplier.origin
    desk.published(chain.supplier, desk.part(origin, "P1"), desk.part(origin, "P2"))
    older = desk.backed_up(chain.supplier)
    first = kept(chain.supplier)[0]
    desk.published(chain.supplier, desk.part(origin, "P1", kg=5, corrects=first.commitment))
    [second] = [e for e in kept(chain.supplier) if e.product == first.product and e.ended is None]
    desk.published(chain.supplier, desk.part(origin, "P1", kg=6, corrects=second.commitment))
    before, url = kept(chain.supplier), elsewhere.exported()
    elsewhere.set_back(older)
    ran = desk.bcca("log", "recover", "--from", url, data=chain.supplier)

    assert ran.status == 0
    assert kept(chain.supplier) == before
    assert [each.ended is None for each in before] == [False, True, False, True]


def test_where_nobody_has_a_copy_nothing_is_entered_and_it_is_said_what_is_missing(
    desk: Any, chain: Any, elsewhere: Elsewhere
) -> None:
    older = desk.backed_up(chain.supplier)
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "P1"))
    elsewhere.set_back(older)
    ran = desk.bcca("log", "recover", data=chain.supplier)
    desk.bcca("import", desk.written(desk.part(chain.supplier.origin, "P2")), data=chain.supplier)
    refused = desk.bcca("publish", data=chain.supplier)

    assert ran.status == 3
    assert "7 entries were seen by others, so 1 are still missing" in ran.err
    assert "--from" in ran.err
    assert refused.status == 1
    assert len(entries(chain.supplier)) == KEYS


@pytest.mark.parametrize("lie", ["an entry", "a cut bundle", "no tiles", "a cut checkpoint"])
def test_a_mirror_that_lies_changes_nothing(
    desk: Any, chain: Any, elsewhere: Elsewhere, lie: str
) -> None:
    older = desk.backed_up(chain.supplier)
    desk.published(chain.supplier, *(desk.part(chain.supplier.origin, f"P{n}") for n in range(9)))
    url = elsewhere.exported()
    [bundle] = (elsewhere.folder / "log" / "tile" / "entries").rglob("15")
    checkpoint = elsewhere.folder / "log" / "checkpoint"
    match lie:
        case "an entry":
            content = bundle.read_bytes()
            bundle.write_bytes(content.replace(b"statement ", b"statemenT ", 1))
        case "a cut bundle":
            bundle.write_bytes(bundle.read_bytes()[:-5])
        case "no tiles":
            bundle.unlink()
        case _:
            checkpoint.write_bytes(checkpoint.read_bytes()[:40])
    elsewhere.set_back(older)
    before = desk.snapshot(chain.supplier)
    ran = desk.bcca("log", "recover", "--from", url, data=chain.supplier)

    assert ran.status == 3
    assert "9 are still missing" in ran.err
    assert desk.snapshot(chain.supplier) == before


def test_the_mirrors_that_the_policy_names_are_asked_by_themselves(
    desk: Any, chain: Any, elsewhere: Elsewhere
) -> None:
    origin = chain.supplier.origin
    older = desk.backed_up(chain.supplier)
    desk.published(chain.supplier, *(desk.part(origin, f"P{each}") for each in range(5)))
    asyncio.run(followed(chain.witnesses[3]))
    desk.published(chain.supplier, desk.part(origin, "later"))
    whole = entries(chain.supplier)
    elsewhere.set_back(older)
    ran = desk.bcca("log", "recover", "--json", data=chain.supplier)
    desk.bcca("import", desk.written(desk.part(origin, "P9")), data=chain.supplier)
    refused = desk.bcca("publish", data=chain.supplier)
    asyncio.run(followed(chain.witnesses[3]))

    hashed = witnessed.origin_hash(origin)
    assert ran.status == 3
    assert ran.json["via"] == f"{chain.witnesses[3].settings.url}/mirror/{hashed}"
    assert (ran.json["before"], ran.json["size"], ran.json["seen"]) == (KEYS, KEYS + 5, KEYS + 6)
    assert len(ran.json["lost"]) == 5
    assert refused.status == 1
    assert entries(chain.supplier) == whole[: KEYS + 5]
    assert_one_tree(chain.supplier)


def test_a_statement_that_a_mirror_invents_is_not_taken_for_a_lost_one(
    desk: Any, chain: Any, elsewhere: Elsewhere
) -> None:
    older = desk.backed_up(chain.supplier)
    origin = chain.supplier.origin
    desk.published(chain.supplier, desk.part(origin, "P1"), desk.part(origin, "P2"))
    one, other = kept(chain.supplier)
    url = elsewhere.exported()
    (elsewhere.folder / "statements" / one.commitment).write_bytes(other.envelope)
    (elsewhere.folder / "statements" / other.commitment).write_bytes(b"{}")
    elsewhere.set_back(older)
    ran = desk.bcca("log", "recover", "--from", url, "--json", data=chain.supplier)

    assert ran.status == 3
    assert [each["index"] for each in ran.json["lost"]] == [one.index, other.index]
    assert kept(chain.supplier) == []
    with chain.supplier.database.read() as session:
        assert [each.commitment for each in lost.everything(session)] == [
            one.commitment,
            other.commitment,
        ]


def test_a_copy_of_another_log_is_no_copy_of_this_one(desk: Any, chain: Any) -> None:
    desk.published(chain.supplier, desk.part(chain.supplier.origin))
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1"))
    before = desk.snapshot(chain.supplier)
    url = f"{chain.pack.settings.url}/log"
    ran = desk.bcca("log", "recover", "--from", url, "--json", data=chain.supplier)

    assert ran.status == 0
    assert url in ran.json["refused"]
    assert {**desk.snapshot(chain.supplier), "node.db": None} == {**before, "node.db": None}
    assert len(entries(chain.supplier)) == KEYS + 1


def test_recovering_needs_a_policy_and_somebody_who_answers(desk: Any, chain: Any) -> None:
    policy = chain.policy
    for each in chain.witnesses:
        policy = policy.replace(each.settings.url, "http://127.0.0.1:9")
    policy = policy.replace(chain.pack.settings.url, "http://127.0.0.1:9")
    (chain.supplier.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    silent = desk.bcca("log", "recover", data=chain.supplier)
    (chain.supplier.settings.data / "policy.txt").unlink()
    without = desk.bcca("log", "recover", data=chain.supplier)

    assert silent.status == 1
    assert "nobody shows it" in silent.refusal
    assert without.status == 2
    assert "policy.txt" in without.refusal


async def followed(node: Node) -> None:
    """Let a node bring its copies up to date."""
    async with Fetcher(hosts_of(node.trust.required())) as fetcher:
        await mirror.follow_all(node, fetcher)


def kept(node: Node) -> list[OwnStatement]:
    found: list[OwnStatement] = []
    with node.database.read() as session:
        while page := statements.page(session, found[-1].index + 1 if found else 0, 2**62):
            found += page
    return found


def entries(node: Node) -> list[bytes]:
    with node.database.read() as session:
        return logs.entries(session, 0, logs.size(session))


def assert_one_tree(node: Node) -> None:
    """Every head is of one tree, and its tiles are those of its entries."""
    tree = Tree(map(leaf_hash, entries(node)))
    with node.database.read() as session:
        head = logs.last_head(session)
        assert head is not None
        assert head.root == tree.root(head.size)
        for size in range(KEYS, head.size + 1):
            assert tree.root(size) == merkle.root_hash(size, log.subtree(session, head.size))


def files(folder: Path) -> Callable[..., Any]:
    """Answer with the files of a folder, as any web server does."""

    async def answer(reader: Any, writer: Any) -> None:
        while line := await reader.readline():
            while (await reader.readline()).strip():
                pass
            path = folder / line.split()[1].decode().lstrip("/")
            found = path.read_bytes() if path.is_file() else None
            status = b"404 Not Found" if found is None else b"200 OK"
            head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n" % (status, len(found or b""))
            writer.write(head + (found or b""))
            await writer.drain()

    return answer
