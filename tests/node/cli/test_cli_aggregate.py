"""`bcca aggregate`, `bcca explain` and `bcca bundle`: a pack maker's number, and its proof."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bcca_node.storage import logs, statements

PACK = "urn:bcca:case:t:P1"


def test_a_total_is_added_up_from_the_supplier_and_published(desk: Any, two_tiers: Any) -> None:
    ran = desk.bcca("aggregate", PACK, data=two_tiers.pack)
    again = desk.bcca("aggregate", "P1", data=two_tiers.pack)

    assert ran.status == 0
    assert "total         18 kg CO2e" in ran.out
    assert "production    18 kg CO2e" in ran.out
    assert "published " in ran.out
    assert ran.err == ""
    said = ran.out.replace("run 1\n", "run 2\n")
    assert again.out == said  # the same result is the same roll-up, kept once more


def test_the_amount_scales_the_total(desk: Any, two_tiers: Any) -> None:
    ran = desk.bcca("aggregate", "P1", "--amount", "2.5", "--json", data=two_tiers.pack)

    assert ran.status == 0
    assert (ran.json["amount"], ran.json["unit"], ran.json["total"]) == ("2.5", "kg", "45")
    assert ran.json["stages"]["production"] == "45"
    assert (ran.json["state"], ran.json["incomplete"], ran.json["missing"]) == (
        "published",
        False,
        [],
    )


def test_a_supplier_that_is_down_is_told_first_with_what_depends_on_it_until_it_is_back(
    desk: Any, two_tiers: Any
) -> None:
    down = two_tiers.supplier.settings.url
    two_tiers.believe(two_tiers.policy.replace(f"{down}/log", "http://127.0.0.1:9/log"))
    ran = desk.bcca("aggregate", "P1", data=two_tiers.pack)
    again = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)
    explained = desk.bcca("explain", data=two_tiers.pack)
    two_tiers.believe(two_tiers.policy)
    back = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)

    assert ran.status == 3
    assert ran.out.splitlines()[0].startswith("Missing")
    assert "1 kg of urn:bcca:case:t:C1 from cathode.example/bcca: http://127.0.0.1:9/" in ran.out
    assert "needed by P1 of pack.example/bcca" in ran.out
    assert "6 kg CO2e, excluding uptake, INCOMPLETE" in ran.out
    assert again.status == 3
    assert again.json["incomplete"]
    assert again.json["missing"][0]["dependents"] == [
        {"product": PACK, "supplier": "pack.example/bcca"}
    ]
    assert explained.status == 3
    assert explained.out.startswith("missing: 1 kg of urn:bcca:case:t:C1")
    assert (back.status, back.json["total"]) == (0, "18")


def test_below_a_quorum_a_roll_up_is_pending_and_then_corrected_by_another_result(
    desk: Any, two_tiers: Any
) -> None:
    others = "".join(
        line for line in two_tiers.policy.splitlines(keepends=True) if "log pack" not in line
    )
    for each in two_tiers.witnesses[:2]:  # they say that they have seen nothing, and cosign nothing
        (each.settings.data / "policy.txt").write_text(others, encoding="utf-8")
    ran = desk.bcca("aggregate", "P1", data=two_tiers.pack)
    again = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)
    for each in two_tiers.witnesses[:2]:
        (each.settings.data / "policy.txt").write_text(two_tiers.policy, encoding="utf-8")
    other = desk.bcca("aggregate", "P1", "--amount", "2", "--json", data=two_tiers.pack)
    explained = desk.bcca("explain", "--json", data=two_tiers.pack)

    assert ran.status == 3
    assert "pending " in ran.out
    assert "w0: " in ran.err
    assert (again.status, again.json["state"]) == (3, "pending")
    assert (other.status, other.json["state"], other.json["total"]) == (0, "published", "36")
    assert explained.json["total"] == "36"


def test_while_too_few_witnesses_answer_the_sum_is_shown_and_not_entered(
    desk: Any, two_tiers: Any
) -> None:
    policy = two_tiers.policy
    for each in two_tiers.witnesses[:3]:
        policy = policy.replace(f"{each.settings.url}/witness", "http://127.0.0.1:9/witness")
    with two_tiers.pack.database.read() as session:
        before = logs.size(session)
    two_tiers.believe(policy)
    ran = desk.bcca("aggregate", "P1", data=two_tiers.pack)
    again = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)
    with two_tiers.pack.database.read() as session:
        after = logs.size(session)
    two_tiers.believe(two_tiers.policy)
    back = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)

    assert (ran.status, again.status, after) == (3, 3, before)
    assert "total         18 kg CO2e" in ran.out
    assert ran.out.splitlines()[-2:] == ["not entered in the log", "kept as run 1"]
    assert "only 2 witnesses said" in ran.err
    assert (again.json["total"], again.json["state"]) == ("18", "not entered")
    assert again.json["commitment"] is None
    assert "only 2 witnesses said" in again.json["notEntered"]
    assert (back.status, back.json["state"]) == (0, "published")


def test_a_supplier_that_is_down_is_read_from_what_this_node_holds_and_that_is_said(
    desk: Any, two_tiers: Any
) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    down = two_tiers.supplier.settings.url
    two_tiers.believe(two_tiers.policy.replace(f"{down}/log", "http://127.0.0.1:9/log"))
    ran = desk.bcca("aggregate", "P1", "--amount", "2", data=two_tiers.pack)
    told = desk.bcca("aggregate", "P1", "--amount", "2", "--json", data=two_tiers.pack).json

    held = f"{two_tiers.pack.settings.url}/mirror/"
    assert ran.status == 0
    assert ran.out.startswith("Read from copies, as their own nodes did not answer:\n")
    assert "cathode.example/bcca, current as of 20" in ran.out
    assert held in ran.out
    assert "http://127.0.0.1:9/log/checkpoint: nobody listens there" in ran.out
    assert "total         36 kg CO2e" in ran.out
    [copied] = told["fromCopies"]
    assert copied["supplier"] == "cathode.example/bcca"
    assert [url.startswith(held) for url in copied["via"]] == [True]
    assert "nobody listens there" in copied["reason"]
    assert (told["total"], told["missing"], told["troubles"]) == ("36", [], [])


def test_bad_input_to_aggregate_is_one_sentence_and_signs_nothing(
    desk: Any, two_tiers: Any
) -> None:
    before = desk.snapshot(two_tiers.pack)
    for arguments, said in (
        (("P9",), "no product of pack.example/bcca: it has urn:bcca:case:t:P1 (P1)"),
        (("\x1b]0;owned\x07",), "\\u001b"),
        (("P1", "--amount", "many"), "--amount: 'many' is not a number"),
        (("P1", "--amount", "0"), "not above zero"),
        (("P1", "--amount", "-1"), "--amount"),
        (("P1", "--amount", "1,5"), "decimal point"),
        (("P1", "--max-age", "1 week"), "--max-age 1 week: write an age as 45s, 15m, 12h or 30d"),
        ((), "PRODUCT"),
        (("P1", "P2"), "P2"),
    ):
        ran = desk.bcca("aggregate", *arguments, data=two_tiers.pack)

        assert ran.status == 2
        assert said in ran.refusal
    assert desk.snapshot(two_tiers.pack) == before


def test_without_a_policy_nothing_is_added_up(desk: Any, two_tiers: Any) -> None:
    (two_tiers.pack.settings.data / "policy.txt").unlink()
    before = desk.snapshot(two_tiers.pack)
    ran = desk.bcca("aggregate", "P1", data=two_tiers.pack)

    assert ran.status == 2
    assert "policy.txt" in ran.refusal
    assert desk.snapshot(two_tiers.pack) == before


def test_a_product_that_is_only_a_draft_is_to_be_published_first(desk: Any, chain: Any) -> None:
    desk.bcca("publish", data=chain.pack)
    desk.bcca("import", desk.written(desk.part(chain.pack.origin, "P1")), data=chain.pack)
    ran = desk.bcca("aggregate", "P1", data=chain.pack)

    assert ran.status == 2
    assert "publish one first" in ran.refusal


def test_a_name_that_fits_two_products_is_refused_with_both(desk: Any, chain: Any) -> None:
    one, two = desk.part(chain.pack.origin, "A1"), desk.part(chain.pack.origin, "A2")
    desk.published(chain.pack, one, replace(two, product=replace(two.product, name="A1")))
    ran = desk.bcca("aggregate", "A1", data=chain.pack)

    assert ran.status == 2
    assert "urn:bcca:case:t:A1, urn:bcca:case:t:A2" in ran.refusal


def test_names_of_strangers_are_shown_and_not_obeyed(desk: Any, chain: Any) -> None:
    cathode = desk.part(chain.supplier.origin, "C1", kg=4)
    odd = "[bold]cathode[/bold] :skull: [/]"
    desk.published(chain.supplier, replace(cathode, product=replace(cathode.product, name=odd)))
    desk.published(
        chain.pack, desk.part(chain.pack.origin, "P1", buys=(desk.bought("C1", chain.supplier),))
    )
    desk.bcca("aggregate", "P1", data=chain.pack)
    ran = desk.bcca("explain", data=chain.pack)

    assert ran.status == 0
    assert odd in ran.out


def test_explain_shows_tree_suppliers_and_stages_without_a_passphrase(
    desk: Any, two_tiers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    monkeypatch.delenv("BCCA_PASSPHRASE")
    ran = desk.bcca("explain", data=two_tiers.pack)
    lines = two_tiers.policy.splitlines(keepends=True)
    two_tiers.believe("".join(x for x in lines if not x.startswith("log pack.")))
    told = desk.bcca("explain", "P1", "--json", data=two_tiers.pack).json  # its own log it knows

    assert ran.status == 0
    assert all(word in ran.out for word in ("18", "66.7 %", "cathode.example/bcca", "production"))
    assert told["total"] == "18"
    assert [(each["origin"], each["kg"]) for each in told["suppliers"]] == [
        ("cathode.example/bcca", "12"),
        ("pack.example/bcca", "6"),
    ]
    assert told["tree"]["branches"][0]["kg"] == "12"
    assert told["stages"]["production"] == "18"


def test_explain_before_anything_was_added_up_is_refused(desk: Any, two_tiers: Any) -> None:
    for arguments in ((), ("P1",), ("P9",), ("--colour",)):
        ran = desk.bcca("explain", *arguments, data=two_tiers.pack)

        assert ran.status == 2
        assert ran.refusal


def test_a_bundle_is_written_whole_and_the_auditors_command_accepts_it(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    ran = desk.bcca("bundle", "P1", "-o", tmp_path / "p.bcca.jsonl", data=two_tiers.pack)
    policy = two_tiers.pack.settings.data / "policy.txt"
    checked = subprocess.run(
        [
            Path(sys.executable).with_name("bcca-verify"),
            tmp_path / "p.bcca.jsonl",
            "--policy",
            policy,
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.status == 0
    assert f"bcca-verify {tmp_path / 'p.bcca.jsonl'} --policy {policy}" in ran.err
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["total"] == "18"


def test_a_bundle_is_not_written_over_what_is_there_unless_forced(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    (tmp_path / "thesis").write_text("years of work", encoding="utf-8")
    refused = desk.bcca("bundle", "P1", "-o", tmp_path / "thesis", data=two_tiers.pack)
    kept = (tmp_path / "thesis").read_text(encoding="utf-8")
    forced = desk.bcca("bundle", "P1", "-o", tmp_path / "thesis", "--force", data=two_tiers.pack)

    assert refused.status == 2
    assert "--force" in refused.refusal
    assert kept == "years of work"
    assert forced.status == 0
    assert b"pack.example" in (tmp_path / "thesis").read_bytes()


def test_bad_input_to_bundle_is_one_sentence_and_leaves_no_file(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    (tmp_path / "empty").mkdir()
    for product, out, said in (
        ("P9", "b.jsonl", "no product"),
        ("C1", "b.jsonl", "no product"),
        ("P1", ".", "is a folder"),
        ("P1", "nowhere/b.jsonl", "make it first"),
    ):
        ran = desk.bcca("bundle", product, "-o", tmp_path / "empty" / out, data=two_tiers.pack)

        assert ran.status == 2
        assert said in ran.refusal
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_bundle_that_an_auditor_would_refuse_is_not_written(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    with two_tiers.pack.database.read() as session:
        first = statements.page(session, 0, 100)[0].commitment
    buys = (desk.bought("C1", two_tiers.supplier),)
    desk.published(
        two_tiers.pack, desk.part("pack.example/bcca", "P1", kg=4, buys=buys, corrects=first)
    )
    ran = desk.bcca("bundle", "P1", "-o", tmp_path / "b.jsonl", data=two_tiers.pack)

    assert ran.status == 1
    assert "not current" in ran.refusal
    assert not (tmp_path / "b.jsonl").exists()


def test_the_commands_of_another_passphrase_sign_nothing(
    desk: Any, two_tiers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    before = desk.snapshot(two_tiers.pack)
    monkeypatch.setenv("BCCA_PASSPHRASE", "guessed")
    for command in (("aggregate", "P1"), ("bundle", "P1", "-o", tmp_path / "b")):
        ran = desk.bcca(*command, data=two_tiers.pack)

        assert ran.status == 2
        assert "does not open it" in ran.refusal
    assert not (tmp_path / "b").exists()
    assert desk.snapshot(two_tiers.pack) == before
