"""`bcca aggregate --rules` and `--cut-off`: by which rules, and what they let be declared."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bcca_node.storage import statements
from bcca_protocol.rules import NEUTRAL

OURS = NEUTRAL.replace('"neutral"', '"ours"')
PACK = "urn:bcca:case:t:P1"


def verified(node: Any, path: Path) -> Any:
    """Return what `bcca-verify --json` says of a bundle."""
    command = [sys.executable, "-m", "bcca_protocol", str(path), "--json", "--policy"]
    policy = node.settings.data / "policy.txt"
    ran = subprocess.run([*command, str(policy)], capture_output=True, text=True, check=False)
    return json.loads(ran.stdout)


def test_a_whole_result_is_declaration_ready_by_the_neutral_rules(
    desk: Any, two_tiers: Any
) -> None:
    ran = desk.bcca("aggregate", "P1", data=two_tiers.pack)
    told = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack).json

    assert "Declaration-ready by the rules neutral, version 2\n" in ran.out
    assert (told["ready"], told["blocks"], told["rules"]["name"]) == (True, [], "neutral")


def test_a_gap_is_told_as_what_blocks_a_declaration(desk: Any, two_tiers: Any) -> None:
    down = two_tiers.supplier.settings.url
    two_tiers.believe(two_tiers.policy.replace(f"{down}/log", "http://127.0.0.1:9/log"))
    ran = desk.bcca("aggregate", "P1", data=two_tiers.pack)
    told = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack).json

    assert ran.status == 3
    assert "Not declaration-ready by the rules neutral, version 2: 1 reason:\n" in ran.out
    assert "  gap: 1 kg of urn:bcca:case:t:C1 of cathode.example/bcca is missing: " in ran.out
    assert (told["ready"], [each["code"] for each in told["blocks"]]) == (False, ["gap"])


def test_a_draft_says_what_nobody_has_confirmed(desk: Any, two_tiers: Any) -> None:
    ran = desk.bcca("aggregate", "P1", "--rules", "eu-draft", data=two_tiers.pack)

    assert ran.status == 0
    assert "by the rules eu-draft, version 1, as far as these are confirmed" in ran.out
    assert "Of the rules eu-draft nobody has confirmed:\n" in ran.err
    assert "  The methodology is a draft: its version in force was not read.\n" in ran.err


def test_rules_of_a_file_travel_with_the_bundle_and_bcca_verify_follows_them(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    ours, out = tmp_path / "ours.toml", tmp_path / "pack.bcca.jsonl"
    ours.write_text(OURS.replace("min_witnesses = 0", "min_witnesses = 9"), "utf-8")
    blocks = 'blocks = ["witnesses"]'
    text = "\n".join(
        blocks if each.startswith("blocks") else each
        for each in ours.read_text("utf-8").split("\n")
    )
    ours.write_text(text, "utf-8")
    ran = desk.bcca("aggregate", "P1", "--rules", ours, "--json", data=two_tiers.pack)
    ours.unlink()
    bundled = desk.bcca("bundle", "P1", "-o", out, data=two_tiers.pack)
    found = verified(two_tiers.pack, out)

    assert (ran.status, bundled.status) == (0, 0)
    assert (ran.json["ready"], {each["code"] for each in ran.json["blocks"]}) == (
        False,
        {"witnesses"},
    )
    assert (found["verdict"], found["ready"]) == ("holds", False)
    assert found["rules"]["name"] == "ours"
    assert found["rules"]["textInFile"]
    assert found["rules"]["digest"] == ran.json["rules"]["digest"]


def test_a_cut_off_leaves_out_the_least_lines_and_is_repeated(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    whole = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack).json
    ran = desk.bcca("aggregate", "P1", "--cut-off", "40", data=two_tiers.pack)
    told = desk.bcca("aggregate", "P1", "--cut-off", "40 %", "--json", data=two_tiers.pack).json
    out = tmp_path / "pack.bcca.jsonl"
    desk.bcca("bundle", "P1", "-o", out, data=two_tiers.pack)
    found = verified(two_tiers.pack, out)

    assert (whole["total"], told["total"]) == ("18", "12")
    assert "Cut off: 1 own lines with 6 of 18 kg CO2e gross, where the rules allow 40 %" in ran.out
    assert told["rules"]["name"] == "neutral+cut-off-40"
    assert told["exemptedPercent"].startswith("33.3333")
    assert [(each["kg"], each["product"]) for each in told["cutOff"]] == [("6", PACK)]
    assert (found["verdict"], found["total"]) == ("holds", "12")


def test_bad_rules_are_one_sentence_and_sign_nothing(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(OURS.replace('electricity = "market"', 'electricity = "green"'), "utf-8")
    before = desk.snapshot(two_tiers.pack)
    for arguments, said in (
        (("--rules", bad), "rules: electricity: Invalid enum value 'green'"),
        (("--rules", "eu"), "neither a file nor a set of this program"),
        (("--rules", tmp_path), "neither a file nor a set of this program"),
        (("--cut-off", "some"), "--cut-off some: rules: cut_off_percent: 'some' is no plain"),
        (("--cut-off", "100"), "--cut-off 100: rules: cut_off_percent: 100, where 0 or more"),
        (("--cut-off", "-1"), "--cut-off -1: rules: cut_off_percent: -1, where 0 or more"),
    ):
        ran = desk.bcca("aggregate", "P1", *arguments, data=two_tiers.pack)

        assert ran.status == 2
        assert said in ran.refusal
    assert desk.snapshot(two_tiers.pack) == before


def test_other_rules_correct_the_roll_up_of_the_same_period(desk: Any, two_tiers: Any) -> None:
    first = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack).json
    second = desk.bcca("aggregate", "P1", "--rules", "miit", "--json", data=two_tiers.pack).json
    with two_tiers.pack.database.read() as session:
        (old,) = statements.find(session, [first["commitment"]])

    assert first["total"] == second["total"]
    assert first["commitment"] != second["commitment"]
    assert old.ended is not None


def test_the_shipped_rules_are_listed_with_what_is_unconfirmed_and_printed_to_be_copied(
    desk: Any, two_tiers: Any, tmp_path: Path
) -> None:
    listed = desk.bcca("rules")
    copied = tmp_path / "ours.toml"
    copied.write_text(desk.bcca("rules", "miit").out.replace('"miit"', '"ours"'), "utf-8")
    ran = desk.bcca("aggregate", "P1", "--rules", copied, "--json", data=two_tiers.pack)

    names = [line.split(",")[0] for line in listed.out.splitlines() if line[0] != " "]
    assert names == ["eu-draft", "eu-draft-2", "miit", "miit-2", "neutral"]
    assert "  unconfirmed: The fields of the reporting form are not public.\n" in listed.out
    assert desk.bcca("rules", "neutral").out == NEUTRAL
    assert ran.json["rules"]["name"] == "ours"
    assert desk.bcca("rules", "--json").json["rules"][-1]["text"] == NEUTRAL
    assert "neither a file nor a set" in desk.bcca("rules", "eu").refusal
