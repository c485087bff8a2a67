"""`bcca status`: what became of statements, and what whoever used them learns of it."""

from pathlib import Path
from typing import Any

import pytest

from bcca_node.ledger.node import Node
from bcca_node.storage import logs, statements
from bcca_protocol.limits import MAX_TREE_SIZE


def commitment_of(node: Node, product: str = "C1") -> str:
    """Return the current statement of a product that was entered last."""
    urn = f"urn:bcca:case:t:{product}"
    with node.database.read() as session:
        return statements.current(session, [urn], MAX_TREE_SIZE)[-1].commitment


def size_of(node: Node) -> int:
    with node.database.read() as session:
        return logs.size(session)


def test_a_statement_is_revoked_and_that_is_published(desk: Any, two_tiers: Any) -> None:
    supplier = two_tiers.supplier
    one = commitment_of(supplier)
    ran = desk.bcca("status", "revoke", one, data=supplier)
    shown = desk.bcca("status", "show", one, "--json", data=supplier)

    assert ran.status == 0
    assert ran.out == f"published revoked {one} urn:bcca:case:t:C1\n"
    assert "of 5 witnesses cosigned" in ran.err
    assert shown.json == [
        {
            "commitment": one,
            "product": "urn:bcca:case:t:C1",
            "start": "2025-01-01T00:00:00Z",
            "end": "2026-01-01T00:00:00Z",
            "index": 6,
            "status": "revoked",
            "state": "published",
            "statusIndex": 7,
            "successor": None,
            "void": None,
        }
    ]


def test_to_revoke_again_says_the_same_and_enters_nothing(desk: Any, two_tiers: Any) -> None:
    one = commitment_of(two_tiers.supplier)
    first = desk.bcca("status", "revoke", one, "--json", data=two_tiers.supplier)
    size = size_of(two_tiers.supplier)
    second = desk.bcca("status", "revoke", one, "--json", data=two_tiers.supplier)

    assert (first.status, second.status, size_of(two_tiers.supplier)) == (0, 0, size)
    assert first.json["index"] == second.json["index"] == 7
    assert second.json | {"witnessed": None} == first.json | {"witnessed": None}
    assert (first.json["status"], first.json["successor"]) == ("revoked", None)


def test_a_file_corrects_a_statement(desk: Any, two_tiers: Any) -> None:
    supplier = two_tiers.supplier
    old = commitment_of(supplier)
    path = desk.written(desk.part(supplier.origin, "C1", kg=5))
    ran = desk.bcca("status", "correct", old, path, data=supplier)
    new = commitment_of(supplier)
    again = desk.bcca("status", "correct", old, path, "--json", data=supplier)

    assert (ran.status, again.status) == (0, 0)
    assert ran.out == f"published corrected {old} urn:bcca:case:t:C1 by {new}\n"
    assert (again.json["successor"], size_of(supplier)) == (new, 9)
    told = {e["commitment"]: e for e in desk.bcca("status", "show", "--json", data=supplier).json}
    assert (told[old]["status"], told[old]["successor"]) == ("corrected", new)
    assert told[new]["status"] == "current"


def test_a_draft_supersedes_a_statement_and_is_gone(desk: Any, two_tiers: Any) -> None:
    supplier = two_tiers.supplier
    old = commitment_of(supplier)
    draft = desk.written(desk.part(supplier.origin, "C1", kg=5, year=2026))
    desk.bcca("import", draft, data=supplier)
    ran = desk.bcca("status", "supersede", old, "C1", "--json", data=supplier)
    table = desk.bcca("status", "show", data=supplier)

    assert (ran.status, ran.json["status"]) == (0, "superseded")
    assert (ran.json["index"], size_of(supplier)) == (7, 9)
    assert table.out.endswith(f"{old} superseded by {ran.json['successor']}\n")
    assert "current" in table.out
    assert desk.bcca("publish", "C1", data=supplier).refusal.endswith("there are none\n")


def test_a_running_total_learns_what_was_revoked_since(desk: Any, two_tiers: Any) -> None:
    before = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)
    one = commitment_of(two_tiers.supplier)
    desk.bcca("status", "revoke", one, data=two_tiers.supplier)
    after = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)

    assert (before.json["total"], before.json["noLongerCurrent"]) == ("18", [])
    assert after.status == 3
    assert (after.json["total"], after.json["incomplete"]) == ("6", True)
    assert after.json["noLongerCurrent"] == [
        {
            "supplier": "cathode.example/bcca",
            "product": "urn:bcca:case:t:C1",
            "commitment": one,
            "standing": "revoked",
            "reason": "revoked",
            "usedBy": before.json["commitment"],
        }
    ]
    assert after.json["missing"][0]["reason"] == (
        "no current statement for urn:bcca:case:t:C1 of cathode.example/bcca: revoked"
    )


def test_what_is_no_longer_current_is_told_once_and_in_words(desk: Any, two_tiers: Any) -> None:
    supplier = two_tiers.supplier
    before = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)
    old = commitment_of(supplier)
    path = desk.written(desk.part(supplier.origin, "C1", kg=5))
    desk.bcca("status", "correct", old, path, data=supplier)
    first = desk.bcca("aggregate", "P1", data=two_tiers.pack)
    second = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)

    assert first.status == 0
    assert (
        f"No longer current, and used by the last roll-up {before.json['commitment']}:\n"
        f"  urn:bcca:case:t:C1 from cathode.example/bcca, statement {old}: corrected\n"
    ) in first.out
    assert (second.json["total"], second.json["noLongerCurrent"]) == ("21", [])


def test_what_was_superseded_is_told_and_still_counts(desk: Any, two_tiers: Any) -> None:
    supplier = two_tiers.supplier
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    old = commitment_of(supplier)
    path = desk.written(desk.part(supplier.origin, "C1", kg=5, year=2026))
    desk.bcca("status", "supersede", old, path, data=supplier)
    ran = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)

    assert (ran.status, ran.json["total"]) == (0, "18")
    [told] = ran.json["noLongerCurrent"]
    assert (told["commitment"], told["standing"]) == (old, "superseded")


def test_an_attack_a_revoked_statement_that_is_shown_again_feeds_nobody(
    desk: Any, two_tiers: Any
) -> None:
    """Its owner's database shows it as current; the log's entry alone decides."""
    supplier = two_tiers.supplier
    one = commitment_of(supplier)
    desk.bcca("status", "revoke", one, data=supplier)
    with supplier.database.write() as session:
        session.connection().exec_driver_sql("update statement set ended = null")
    ran = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)

    assert ran.status == 3
    assert ran.json["missing"][0]["reason"].endswith("cathode.example/bcca: revoked")


def test_bad_input_to_status_is_one_sentence_and_enters_nothing(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    supplier = two_tiers.supplier
    one = commitment_of(supplier)
    of_two = desk.written(desk.part(supplier.origin, "C1"), desk.part(supplier.origin, "C2"))
    other = desk.written(desk.part(supplier.origin, "C2", kg=5))
    shifted = desk.written(desk.part(supplier.origin, "C1", kg=5, year=2024))
    before = desk.snapshot(supplier)
    for arguments, said in (
        (("revoke", "0" * 64), "is no statement of cathode.example/bcca: `bcca status show`"),
        (("revoke", "\x1b]0;owned\x07"), "\\x1b"),
        (("revoke",), "COMMITMENT"),
        (("show", one.upper()), "is no statement of"),
        (("correct", one, "C9"), "no draft is called 'C9'"),
        (("correct", one, tmp_path), "is a folder"),
        (("correct", one, of_two), "2 drafts, where one takes the statement's place"),
        (("correct", one, other), "a urn:bcca:partial-footprint:v1 of urn:bcca:case:t:C1"),
        (("correct", one, shifted), "whose period is"),
        (("supersede", one, shifted), "it follows"),
        (("correct", "0" * 64, other), "is no statement of"),
    ):
        ran = desk.bcca("status", *arguments, data=supplier)

        assert ran.status == 2, arguments
        assert said in ran.refusal
    assert desk.snapshot(supplier) == before


def test_without_witnesses_nothing_is_revoked(desk: Any, two_tiers: Any) -> None:
    supplier = two_tiers.supplier
    one = commitment_of(supplier)
    policy = two_tiers.policy
    for each in two_tiers.witnesses:
        policy = policy.replace(f"{each.settings.url}/witness", "http://127.0.0.1:9/witness")
    (supplier.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    size = size_of(supplier)
    ran = desk.bcca("status", "revoke", one, data=supplier)

    assert ran.status == 1
    assert "only 0 witnesses said" in ran.refusal
    assert size_of(supplier) == size


def test_show_needs_no_passphrase_and_tells_what_a_stolen_key_signed(
    desk: Any, two_tiers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BCCA_PASSPHRASE")
    ran = desk.bcca("status", "show", data=two_tiers.supplier)

    assert ran.status == 0
    assert ran.out.splitlines()[1].split()[:4] == [
        "current",
        "published",
        "6",
        "urn:bcca:case:t:C1",
    ]
