"""`bcca import`, `bcca publish` and `bcca log export`: a supplier's way from files to a log."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from bcca_node.ledger.node import Node
from bcca_node.storage import logs, statements
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.note import Note
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.proof import TlogProof
from bcca_protocol.tiles import tiles_for

CASE = Path(str(resources.files("bcca_node") / "cases" / "nmc622_pack"))


def test_a_case_folder_becomes_drafts_whose_ids_are_printed(desk: Any, node: Node) -> None:
    ran = desk.bcca("import", CASE, "--period", 2024, data=node)

    kept = drafts_of(node)
    assert ran.status == 0
    assert len(kept) == 55
    assert all(each.id in ran.out for each in kept)
    assert "2024-01-01T00:00:00Z" in ran.out


def test_importing_the_same_again_replaces_the_drafts(desk: Any, node: Node) -> None:
    first = desk.bcca("import", CASE, "--json", data=node).json
    second = desk.bcca("import", CASE, "--json", data=node).json

    assert [each["draft"] for each in first] == [each["draft"] for each in second]
    assert len(drafts_of(node)) == 55


def test_a_corrected_file_replaces_what_it_said_before(desk: Any, node: Node) -> None:
    desk.bcca("import", desk.written(desk.part(node.origin, "P1", kg=2)), data=node)
    desk.bcca(
        "import",
        desk.written(desk.part(node.origin, "P1", kg=5), desk.part(node.origin, "P2")),
        data=node,
    )

    assert [b'"15"' in each.predicate for each in drafts_of(node)] == [True, False]


def test_import_needs_no_passphrase(desk: Any, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BCCA_PASSPHRASE")

    assert desk.bcca("import", desk.written(desk.part(node.origin)), data=node).status == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("[]", "empty"),
        ("[1]", "not an object"),
        ('{"product":{"id":"x"}}', "draft.product.id"),
        ("[" * 10_000, "nested deeper"),
        ("\xff\xfe", "UTF-8"),
    ],
)
def test_a_file_that_holds_no_drafts_is_refused_and_nothing_is_kept(
    desk: Any, node: Node, tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "drafts.json"
    path.write_bytes(content.encode("latin-1"))
    ran = desk.bcca("import", path, data=node)

    assert ran.status == 2
    assert ran.out == ""
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert drafts_of(node) == []


def test_every_error_of_a_file_is_told_at_once(desk: Any, node: Node) -> None:
    path = desk.written(
        desk.part(node.origin), sharing="everybody", colour="red", output={"amount": 1}
    )
    ran = desk.bcca("import", path, data=node)

    assert ran.status == 2
    assert all(word in ran.err for word in ("sharing", "colour", "output.amount", "output.unit"))
    assert drafts_of(node) == []


def test_two_drafts_of_one_thing_in_a_file_are_refused(desk: Any, node: Node) -> None:
    ran = desk.bcca(
        "import", desk.written(desk.part(node.origin), desk.part(node.origin, kg=4)), data=node
    )

    assert ran.status == 2
    assert "leave one out" in ran.refusal
    assert drafts_of(node) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere",),
        ("nowhere.json",),
        (str(CASE), "--period", "last"),
        (str(CASE), "--period", "99"),
        (str(CASE / "processes.csv"), "--period", "2024"),
        (str(CASE / "processes.csv"),),
        (str(CASE.parent),),
        (),
    ],
)
def test_bad_input_to_import_is_refused_and_nothing_is_kept(
    desk: Any, node: Node, arguments: tuple[str, ...]
) -> None:
    before = desk.snapshot(node)
    ran = desk.bcca("import", *arguments, data=node)

    assert ran.status == 2
    assert ran.out == ""
    assert ran.err.startswith("bcca: ")
    assert desk.snapshot(node) == before


def test_drafts_are_published_with_their_commitments_and_then_dropped(
    desk: Any, chain: Any
) -> None:
    origin = chain.supplier.origin
    desk.bcca(
        "import",
        desk.written(desk.part(origin, "C1"), desk.part(origin, "C2")),
        data=chain.supplier,
    )
    ran = desk.bcca("publish", data=chain.supplier)

    with chain.supplier.database.read() as session:
        found = statements.page(session, 0, 100)
        head = logs.published_head(session)
    assert ran.status == 0
    assert ran.out.splitlines() == [f"published {e.commitment} {e.product}" for e in found]
    assert "5 of 5 witnesses cosigned" in ran.err or "4 of 5" in ran.err
    assert head is not None
    assert head.size == 8
    assert drafts_of(chain.supplier) == []


@pytest.mark.parametrize("asked", ["C1", "urn:bcca:case:t:C1", "id"])
def test_only_the_drafts_that_are_named_are_published(desk: Any, chain: Any, asked: str) -> None:
    origin = chain.supplier.origin
    drafts = desk.written(desk.part(origin, "C1"), desk.part(origin, "C2"))
    listed = desk.bcca("import", drafts, "--json", data=chain.supplier).json
    name = listed[0]["draft"] if asked == "id" else asked
    ran = desk.bcca("publish", name, name, "--json", data=chain.supplier)

    assert [each["product"] for each in ran.json["statements"]] == ["urn:bcca:case:t:C1"]
    assert ran.json["state"] == "published"
    assert [each.product for each in drafts_of(chain.supplier)] == ["urn:bcca:case:t:C2"]


def test_below_a_quorum_a_statement_is_pending_and_it_is_said_who_did_not_cosign(
    desk: Any, chain: Any
) -> None:
    stranger = chain.policy.replace(f"log {chain.supplier.log_key.encode()}", "# log")
    for each in chain.witnesses[:2]:  # they answer, and know no such log
        (each.settings.data / "policy.txt").write_text(stranger, encoding="utf-8")
    desk.bcca("import", desk.written(desk.part(chain.supplier.origin)), data=chain.supplier)
    ran = desk.bcca("publish", data=chain.supplier)
    for each in chain.witnesses[:2]:
        (each.settings.data / "policy.txt").write_text(chain.policy, encoding="utf-8")
    again = desk.bcca("publish", data=chain.supplier)

    assert ran.status == 3
    assert ran.out.startswith("pending ")
    assert "w0: answered 404" in ran.err
    assert "w1: answered 404" in ran.err
    assert "w2: " not in ran.err
    assert again.status == 0
    assert again.out == ""
    assert "published" in again.err


def test_where_too_few_witnesses_can_say_that_the_log_is_the_newest_nothing_is_entered(
    desk: Any, chain: Any
) -> None:
    policy = chain.policy
    for each in chain.witnesses[:2]:
        policy = policy.replace(each.settings.url, "http://127.0.0.1:9")
    (chain.supplier.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    desk.bcca("import", desk.written(desk.part(chain.supplier.origin)), data=chain.supplier)
    before = desk.snapshot(chain.supplier)
    ran = desk.bcca("publish", data=chain.supplier)

    assert ran.status == 1
    assert "only 3 witnesses said what they have seen" in ran.refusal
    assert "w0: http://127.0.0.1:9/witness" in ran.refusal
    assert desk.snapshot(chain.supplier) == before


def test_attack_an_old_copy_of_a_node_is_refused_and_alarmed(desk: Any, chain: Any) -> None:
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1"))
    older = desk.backed_up(chain.supplier)
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C2"))
    desk.bcca("import", desk.written(desk.part(chain.supplier.origin, "C3")), data=older)
    ran = [desk.bcca("publish", data=older) for _ in range(2)]

    assert [each.status for each in ran] == [1, 1]
    assert all("have seen 8 entries, here are 7" in each.err for each in ran)
    assert all("run `bcca log recover`" in each.err for each in ran)
    assert all(each.out == "" for each in ran)


def test_without_a_policy_a_statement_is_pending_and_durable(desk: Any, node: Node) -> None:
    desk.bcca("import", desk.written(desk.part(node.origin)), data=node)
    ran = desk.bcca("publish", "--json", data=node)

    with node.database.read() as session:
        kept = statements.page(session, 0, 100)
    assert ran.status == 3
    assert [each["commitment"] for each in ran.json["statements"]] == [kept[0].commitment]
    assert "policy.txt" in ran.json["why"]
    assert drafts_of(node) == []


def test_publishing_again_what_was_published_answers_the_same(desk: Any, chain: Any) -> None:
    path = desk.written(desk.part(chain.supplier.origin))
    ran = []
    for _ in range(2):
        desk.bcca("import", path, data=chain.supplier)
        ran.append(desk.bcca("publish", data=chain.supplier).out)

    assert ran[0] == ran[1]


def test_an_overlap_is_refused_and_the_drafts_stay(desk: Any, node: Node) -> None:
    desk.bcca("import", desk.written(desk.part(node.origin, kg=2)), data=node)
    desk.bcca("publish", data=node)
    desk.bcca("import", desk.written(desk.part(node.origin, kg=4)), data=node)
    before = desk.snapshot(node)
    ran = desk.bcca("publish", data=node)

    assert ran.status == 2
    assert "overlaps" in ran.refusal
    assert desk.snapshot(node) == before


@pytest.mark.parametrize(
    ("asked", "said"), [("nothing", "there are P1-"), ("\x1b[2J", "\\u001b"), ("", "there are P1-")]
)
def test_a_draft_that_is_not_there_is_one_sentence_and_nothing_is_signed(
    desk: Any, node: Node, asked: str, said: str
) -> None:
    desk.bcca("import", desk.written(desk.part(node.origin)), data=node)
    before = desk.snapshot(node)
    ran = desk.bcca("publish", asked, data=node)

    assert ran.status == 2
    assert said in ran.refusal
    assert desk.snapshot(node) == before


@pytest.mark.parametrize(
    ("passphrase", "said"), [("guessed", "does not open it"), ("", "BCCA_PASSPHRASE")]
)
def test_without_the_passphrase_nothing_is_signed(
    desk: Any, node: Node, monkeypatch: pytest.MonkeyPatch, passphrase: str, said: str
) -> None:
    desk.bcca("import", desk.written(desk.part(node.origin)), data=node)
    monkeypatch.setenv("BCCA_PASSPHRASE", passphrase)
    before = desk.snapshot(node)
    ran = desk.bcca("publish", data=node)

    assert ran.status == 2
    assert said in ran.refusal
    assert desk.snapshot(node) == before


@pytest.mark.parametrize("broken", ["quorum none", "http://[::1", "http://user@host/witness"])
def test_a_policy_that_cannot_be_used_is_refused_before_anything_is_signed(
    desk: Any, node: Node, broken: str
) -> None:
    desk.bcca("import", desk.written(desk.part(node.origin)), data=node)
    witnesses = "".join(
        f"witness {name} {key_of(name)} {broken if broken[0] == 'h' else 'http://host/witness'}\n"
        for name in "abc"
    )
    policy = f"{witnesses}group g 3 a b c\n{'quorum g' if broken[0] == 'h' else broken}\n"
    (node.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    before = desk.snapshot(node)
    ran = desk.bcca("publish", data=node)
    doctored = desk.bcca("doctor", data=node)

    assert ran.status == 2
    assert "policy.txt" in ran.refusal
    assert doctored.status == 1
    assert "WRONG policy: " in doctored.out
    assert desk.snapshot(node) == before


def test_a_log_is_exported_byte_by_byte_as_it_is_served_and_without_a_passphrase(
    desk: Any, chain: Any, ask: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BCCA_PASSPHRASE")
    desk.published(chain.supplier, desk.part(chain.supplier.origin))
    first = desk.bcca("log", "export", tmp_path / "public" / "log", data=chain.supplier)
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C2"))
    second = desk.bcca("log", "export", tmp_path / "public" / "log", data=chain.supplier)

    folder = tmp_path / "public" / "log"
    paths = ["checkpoint", *(tile.encode() for tile in tiles_for(8))]
    size = Checkpoint.parse(Note.parse((folder / "checkpoint").read_text()).text).size
    assert (first.status, second.status, size) == (0, 0, 8)
    assert all(
        (folder / path).read_bytes() == ask(chain.supplier, f"/log/{path}").content
        for path in paths
    )


def test_every_published_entry_is_proved_in_a_file_that_needs_nothing_else(
    desk: Any, chain: Any
) -> None:
    desk.published(chain.supplier, desk.part(chain.supplier.origin))
    trusted = Policy.parse(chain.policy)
    with chain.supplier.database.read() as session:
        (own,) = statements.page(session, 0, 7)
    named = desk.bcca("log", "prove", own.commitment, data=chain.supplier)

    for index in range(7):
        ran = desk.bcca("log", "prove", index, data=chain.supplier)
        proof = TlogProof.parse(ran.out)
        head = verify_checkpoint(proof.checkpoint, chain.supplier.log_key, trusted).checkpoint
        leaf = merkle.leaf_hash(proof.extra or b"")
        merkle.verify_inclusion(leaf, proof.index, head.size, proof.path, head.root)
        assert (ran.status, proof.index, head.size) == (0, index, 7)
    assert TlogProof.parse(named.out).index == 6
    for wrong in ("7", "²", "0" * 64, "nothing"):
        ran = desk.bcca("log", "prove", wrong, data=chain.supplier)
        assert ran.status == 2
        assert "not below the 7 entries that are published" in ran.refusal


def test_export_refuses_a_folder_that_holds_anything_else(
    desk: Any, chain: Any, tmp_path: Path
) -> None:
    desk.published(chain.supplier, desk.part(chain.supplier.origin))
    desk.published(chain.pack, desk.part(chain.pack.origin))
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").write_bytes(b"beach")
    desk.bcca("log", "export", tmp_path / "pack", data=chain.pack)
    before = desk.snapshot(tmp_path / "holiday"), desk.snapshot(tmp_path / "pack")
    for folder in ("holiday", "pack", "holiday/photo.jpg"):
        ran = desk.bcca("log", "export", tmp_path / folder, data=chain.supplier)

        assert ran.status == 2
        assert folder in ran.refusal
    assert (desk.snapshot(tmp_path / "holiday"), desk.snapshot(tmp_path / "pack")) == before


def test_export_refuses_to_go_back(desk: Any, chain: Any, tmp_path: Path) -> None:
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1"))
    older = desk.backed_up(chain.supplier)
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C2"))
    desk.bcca("log", "export", tmp_path / "log", data=chain.supplier)
    newest = (tmp_path / "log" / "checkpoint").read_bytes()
    ran = desk.bcca("log", "export", tmp_path / "log", data=older)

    assert ran.status == 2
    assert "a tree of 8 entries" in ran.refusal
    assert (tmp_path / "log" / "checkpoint").read_bytes() == newest


def test_export_of_what_nobody_cosigned_is_refused(desk: Any, node: Node, tmp_path: Path) -> None:
    ran = desk.bcca("log", "export", tmp_path / "log", data=node)

    assert ran.status == 2
    assert "run `bcca publish`" in ran.refusal
    assert not (tmp_path / "log").exists()


def key_of(name: str) -> str:
    algorithm = Algorithm.ED25519_COSIGNATURE
    return SeedSigner(name=name, algorithm=algorithm, seed=name.encode() * 32).key.encode()


def drafts_of(node: Node) -> list[statements.Draft]:
    with node.database.read() as session:
        return statements.drafts(session)
