"""`bcca audit log`: a log at an address, in a folder, in a node; split views leave evidence."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bcca_node.ledger import heads, mirror
from bcca_node.ledger.export import export
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.storage import logs
from bcca_protocol import merkle
from bcca_protocol.__main__ import main as bcca_verify
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.keys import Role
from bcca_protocol.misbehaviour import verify_misbehaviour
from bcca_protocol.note import Note
from bcca_protocol.witness import AddCheckpoint

PROVEN = 0


@pytest.fixture
def policy(two_tiers: Any, tmp_path: Path) -> Path:
    path = tmp_path / "believed.txt"
    path.write_text(two_tiers.policy, encoding="utf-8")
    return path


def lied_to(witness: Node, log: Node, size: int) -> Note:
    """Have a witness cosign a tree that is not the log's; return its head."""
    leaves = [merkle.leaf_hash(b"lie %d" % number) for number in range(size)]
    head = Checkpoint(origin=log.origin, size=size, root=merkle.Tree(leaves).root())
    note = sign_checkpoint(head, [log.keys.signer(Role.LOG)])
    body = AddCheckpoint(old=0, proof=(), note=note.encode()).encode()
    url = f"{witness.settings.url}/witness/add-checkpoint"
    assert httpx.post(url, content=body, timeout=20).status_code == 200
    return note


@pytest.fixture
def forget(two_tiers: Any) -> Callable[[Node], None]:
    """Let a witness forget all it cosigned, as a lying one would."""

    def run(witness: Node) -> None:
        with witness.database.write() as session:
            session.connection().exec_driver_sql("delete from witnessed")
            session.connection().exec_driver_sql("delete from head")

    return run


def published_size(node: Node) -> int:
    with node.database.read() as session:
        head = logs.published_head(session)
    assert head is not None
    return head.size


def test_a_log_at_the_address_of_its_node_holds(desk: Any, two_tiers: Any, policy: Path) -> None:
    ran = desk.bcca("audit", "log", two_tiers.supplier.settings.url, "--policy", policy)

    assert (ran.status, ran.err) == (0, "")
    assert ran.out.endswith("ALL HOLDS.\n")
    assert "cosigned by w0" in ran.out
    assert "5 of 5 heads met elsewhere are of this tree" in ran.out


def test_a_log_of_the_policy_is_found_by_its_name(desk: Any, two_tiers: Any, policy: Path) -> None:
    ran = desk.bcca("audit", "log", two_tiers.supplier.origin, "--policy", policy, "--json")

    assert ran.status == 0
    assert {**ran.json, "steps": [], "notJudged": [], "root": "", "size": ""} == {
        "verdict": "holds",
        "origin": two_tiers.supplier.origin,
        "size": "",
        "root": "",
        "key": two_tiers.supplier.log_key.encode(),
        "steps": [],
        "notJudged": [],
        "problems": [],
        "evidence": [],
    }


def test_a_folder_is_audited_without_node_policy_or_network(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    export(two_tiers.supplier, tmp_path / "files")

    ran = desk.bcca("audit", "log", tmp_path / "files")
    known = desk.bcca(
        "audit", "log", tmp_path / "files", "--key", two_tiers.supplier.log_key.encode()
    )

    assert (ran.status, known.status) == (0, 0)
    assert "the key that the log itself names" in ran.out
    assert "the key that the log itself names" not in known.out
    assert "there is no policy" in ran.out


def test_a_node_audits_its_own_log_from_its_database(desk: Any, two_tiers: Any) -> None:
    ran = desk.bcca("audit", "log", two_tiers.pack.origin, data=two_tiers.pack)

    assert (ran.status, ran.err) == (0, "")


def test_a_split_view_is_proven_and_the_evidence_convinces_anybody(
    desk: Any,
    two_tiers: Any,
    policy: Path,
    forget: Callable[[Node], None],
    tmp_path: Path,
) -> None:
    liar = two_tiers.witnesses[0]
    forget(liar)
    lied_to(liar, two_tiers.supplier, published_size(two_tiers.supplier))
    evidence = tmp_path / "lie.json"

    ran = desk.bcca(
        "audit", "log", two_tiers.supplier.settings.url,
        "--policy", policy, "--evidence", evidence,
    )  # fmt: skip

    assert ran.status == 1
    assert "SPLIT VIEW: witness w0 has a head" in ran.out
    assert ran.out.endswith("NOT ALL HOLDS.\n")
    proven = verify_misbehaviour(evidence.read_bytes())
    assert proven.key == two_tiers.supplier.log_key
    assert bcca_verify(["--misbehaviour", str(evidence), "--policy", str(policy)]) == PROVEN


def test_a_split_view_of_a_smaller_tree_is_proven_by_the_path_to_the_larger(
    desk: Any,
    two_tiers: Any,
    policy: Path,
    forget: Callable[[Node], None],
    tmp_path: Path,
) -> None:
    liar = two_tiers.witnesses[3]
    forget(liar)
    lied_to(liar, two_tiers.supplier, 4)
    evidence = tmp_path / "lie.json"

    ran = desk.bcca(
        "audit", "log", two_tiers.supplier.settings.url,
        "--policy", policy, "--evidence", evidence,
    )  # fmt: skip

    proven = verify_misbehaviour(evidence.read_bytes())
    assert ran.status == 1
    assert (proven.older.size, proven.newer.size) == (4, published_size(two_tiers.supplier))


def test_a_witness_that_has_seen_more_is_named_and_refutes_nothing(
    desk: Any, two_tiers: Any, policy: Path, forget: Callable[[Node], None]
) -> None:
    forget(two_tiers.witnesses[1])
    lied_to(two_tiers.witnesses[1], two_tiers.supplier, 1000)

    ran = desk.bcca("audit", "log", two_tiers.supplier.settings.url, "--policy", policy)

    assert ran.status == 0
    assert "witness w1 has seen 1000 entries" in ran.out


def test_what_a_quorum_has_seen_and_is_not_shown_was_rolled_back(
    desk: Any, two_tiers: Any, policy: Path, forget: Callable[[Node], None]
) -> None:
    for each in two_tiers.witnesses[:4]:
        forget(each)
        lied_to(each, two_tiers.supplier, 1000)

    ran = desk.bcca("audit", "log", two_tiers.supplier.settings.url, "--policy", policy)

    assert ran.status == 1
    assert "ROLLED BACK: a quorum, w0, w1, w2, w3, has seen more than" in ran.out + ran.err


def test_a_proof_that_the_node_has_kept_is_told_whatever_the_log_shows_today(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    pack, supplier = two_tiers.pack, two_tiers.supplier
    evidence = tmp_path / "lie.json"
    with pack.database.write() as session:
        for face in (b"green", b"grey"):
            head = Checkpoint(origin=supplier.origin, size=999, root=merkle.leaf_hash(face))
            note = sign_checkpoint(head, [supplier.keys.signer(Role.LOG)])
            heads.meet(session, supplier.log_key, note, at=pack.clock())

    ran = desk.bcca("audit", "log", supplier.origin, "--evidence", evidence, data=pack)

    assert ran.status == 1
    assert "SPLIT VIEW" in ran.out + ran.err
    assert verify_misbehaviour(evidence.read_bytes()).newer.size == 999


def test_a_node_remembers_what_it_met_and_catches_the_next_lie_by_itself(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    pack, supplier = two_tiers.pack, two_tiers.supplier
    first = desk.bcca("audit", "log", supplier.origin, data=pack)
    leaves = [merkle.leaf_hash(b"lie %d" % number) for number in range(3)]
    head = Checkpoint(origin=supplier.origin, size=3, root=merkle.Tree(leaves).root())
    lie = sign_checkpoint(head, [supplier.keys.signer(Role.LOG)])
    with pack.database.write() as session:
        heads.meet(session, supplier.log_key, lie, at=pack.clock())

    second = desk.bcca(
        "audit", "log", supplier.origin, "--evidence", tmp_path / "lie.json", data=pack
    )

    assert (first.status, second.status) == (0, 1)
    with pack.database.read() as session:
        (proof,) = heads.proofs(session, supplier.origin)
    assert proof.evidence == (tmp_path / "lie.json").read_bytes()


def test_a_mirror_is_asked_and_a_witness_that_forgot_the_log_is_named(
    desk: Any, two_tiers: Any, policy: Path, forget: Callable[[Node], None]
) -> None:
    forget(two_tiers.witnesses[2])

    async def follow() -> list[mirror.Followed]:
        async with Fetcher(hosts_of(two_tiers.pack.trust.required())) as fetcher:
            return await mirror.follow_all(two_tiers.pack, fetcher)

    asyncio.run(follow())
    ran = desk.bcca("audit", "log", two_tiers.supplier.settings.url, "--policy", policy)

    assert ran.status == 0
    assert "5 of 5 heads met elsewhere are of this tree" in ran.out
    assert "no head from witness w2: it has seen nothing of this log" in ran.out
    assert "mirror" not in ran.out


def test_a_log_whose_witnesses_are_down_is_still_read_and_that_is_said(
    desk: Any, two_tiers: Any, policy: Path
) -> None:
    text = policy.read_text(encoding="utf-8")
    for each in two_tiers.witnesses:
        text = text.replace(f"{each.settings.url}/witness", "http://127.0.0.1:1/witness")
    policy.write_text(text, encoding="utf-8")

    ran = desk.bcca("audit", "log", two_tiers.supplier.settings.url, "--policy", policy)

    assert ran.status == 0
    assert "no head from witness w0: http://127.0.0.1:1" in ran.out


def test_a_head_without_its_quorum_is_a_problem(
    desk: Any, two_tiers: Any, policy: Path, policy_of: Callable[..., str], tmp_path: Path
) -> None:
    export(two_tiers.supplier, tmp_path / "files")
    checkpoint = tmp_path / "files" / "checkpoint"
    note = Note.parse(checkpoint.read_text(encoding="utf-8"))
    checkpoint.write_text(
        Note(text=note.text, signatures=note.signatures[:1]).encode(), encoding="utf-8"
    )

    ran = desk.bcca("audit", "log", tmp_path / "files", "--policy", policy)

    assert ran.status == 1
    assert "cosigned by nobody" in ran.out


def test_a_log_behind_another_key_than_the_policys_is_refused(
    desk: Any, two_tiers: Any, policy: Path, new_node: Callable[..., Node]
) -> None:
    thief = new_node("thief.example")
    key = f"{two_tiers.supplier.origin}+{thief.log_key.encode().split('+', 1)[1]}"
    ran = desk.bcca("audit", "log", two_tiers.supplier.settings.url, "--key", key)

    assert ran.status == 2
    assert "--key" in ran.refusal
    other = desk.bcca(
        "audit", "log", two_tiers.supplier.settings.url, "--key", thief.log_key.encode()
    )
    assert other.status == 1
    assert "a log of cathode.example/bcca, not of thief.example" in other.refusal


@pytest.mark.parametrize(
    ("log", "status"),
    [
        ("nobody.example", 2),
        ("", 2),
        ("http://127.0.0.1:1/log", 1),
        ("https://", 1),
        ("http://user@127.0.0.1", 1),
    ],
)
def test_a_log_that_is_nowhere_is_one_sentence(desk: Any, log: str, status: int) -> None:
    ran = desk.bcca("audit", "log", log)

    assert ran.status == status
    assert ran.refusal


def test_evidence_is_written_over_nothing(desk: Any, two_tiers: Any, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine", encoding="utf-8")

    ran = desk.bcca("audit", "log", two_tiers.supplier.origin, "--evidence", there)
    lost = desk.bcca("audit", "log", "x.example", "--evidence", tmp_path / "no" / "file")

    assert (ran.status, lost.status) == (2, 2)
    assert "is there already" in ran.refusal
    assert there.read_text(encoding="utf-8") == "mine"


def test_a_hostile_web_server_stops_the_audit_in_one_sentence(
    desk: Any, two_tiers: Any, raw_server: Callable[..., str]
) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65_536)
            await writer.drain()

    ran = desk.bcca("audit", "log", raw_server(endless))

    assert ran.status == 1
    assert "over 65536 bytes" in ran.refusal


def test_a_folder_that_is_no_log_is_one_sentence(desk: Any, tmp_path: Path) -> None:
    ran = desk.bcca("audit", "log", tmp_path)

    assert ran.status == 2
    assert "no file checkpoint" in ran.refusal


def test_a_policy_that_cannot_be_read_is_one_sentence(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    path = tmp_path / "broken.txt"
    path.write_text("log nobody", encoding="utf-8")

    ran = desk.bcca("audit", "log", two_tiers.supplier.settings.url, "--policy", path)

    assert ran.status == 2
    assert "policy, line 1" in ran.refusal
