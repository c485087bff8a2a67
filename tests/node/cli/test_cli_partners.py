"""`bcca partners`: two organisations come to know each other, and say what the other may see."""

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcca_node.ledger.node import Node

URN = "urn:bcca:case:t:C1"
LEI = "urn:lei:506700GE1G29325QX363"
NOTHING_HERE = "http://127.0.0.1:9/invitations/" + "0" * 32 + "#" + "0" * 32


@pytest.fixture
def met(desk: Any, chain: Any) -> Any:
    """A pack maker and its supplier, partners of each other."""
    desk.published(chain.supplier)
    desk.published(chain.pack)
    asked = desk.bcca(
        "partners", "invite", "--part", "4711", "--period", "2025", "--json", data=chain.pack
    )
    done = desk.bcca("partners", "accept", asked.json["link"], data=chain.supplier)
    assert done.status == 0, done.err
    return chain


def test_a_link_makes_partners_of_both_and_brings_the_request(desk: Any, met: Any) -> None:
    ours = desk.bcca("partners", "list", "--json", data=met.pack)
    theirs = desk.bcca("partners", "--json", data=met.supplier)  # `list` need not be written

    assert [each["origin"] for each in ours.json["partners"]] == [met.supplier.origin]
    assert ours.json["partners"][0]["roles"] == ["supplier"]
    assert theirs.json["partners"][0]["roles"] == ["customer"]
    assert theirs.json["partners"][0]["proven"] is not None
    assert ours.json["invitations"] == []
    assert desk.bcca("inbox", "--json", data=met.supplier).out.count("4711") == 1
    assert desk.bcca("request", "list", "--json", data=met.pack).out.count("4711") == 1


def test_a_partner_is_shown_with_its_keys_and_proven_on_demand(desk: Any, met: Any) -> None:
    before = desk.bcca("partners", "show", met.supplier.origin, "--json", data=met.pack)
    proven = desk.bcca("partners", "prove", met.supplier.origin, data=met.pack)
    shown = desk.bcca("partners", "show", met.supplier.origin, data=met.pack)

    assert before.json["proven"] is None
    assert proven.status == 0
    assert "proven by its log" in shown.out
    assert met.supplier.log_key.encode() in shown.out


def test_an_invitation_is_good_once(desk: Any, chain: Any, new_node: Callable[..., Node]) -> None:
    asked = desk.bcca("partners", "invite", "--json", data=chain.pack).json
    (desk.folder / "it").write_text(asked["note"], encoding="utf-8")
    desk.bcca("partners", "accept", desk.folder / "it", data=chain.supplier)
    again = desk.bcca("partners", "accept", desk.folder / "it", data=chain.supplier)
    other = new_node("anode.example")
    (other.settings.data / "policy.txt").write_text(chain.policy, encoding="utf-8")
    reused = desk.bcca("partners", "accept", asked["link"], data=other)

    assert again.status == 0
    assert "already" in again.out
    assert reused.status == 1
    assert "used, has expired or was withdrawn" in reused.refusal


def test_an_invitation_reused_from_its_file_is_refused_by_who_invited(
    desk: Any, chain: Any, new_node: Callable[..., Node]
) -> None:
    path = desk.folder / "it.invitation"
    desk.bcca("partners", "invite", "-o", path, data=chain.pack)
    desk.bcca("partners", "accept", path, data=chain.supplier)
    thief = new_node("thief.example")
    (thief.settings.data / "policy.txt").write_text(chain.policy, encoding="utf-8")
    ran = desk.bcca("partners", "accept", path, data=thief)
    listed = desk.bcca("partners", "list", "--json", data=chain.pack)

    assert ran.status == 1
    assert "is not open: ask who invited you" in ran.refusal
    assert "{" not in ran.err
    assert [each["origin"] for each in listed.json["partners"]] == [chain.supplier.origin]


def test_a_link_with_another_fingerprint_and_one_with_nothing_behind_it_are_refused(
    desk: Any, chain: Any
) -> None:
    link = desk.bcca("partners", "invite", "--json", data=chain.pack).json["link"]
    before = desk.snapshot(chain.supplier)
    altered = desk.bcca("partners", "accept", link[:-32] + "0" * 32, data=chain.supplier)
    cut = desk.bcca("partners", "accept", link[:-1], data=chain.supplier)
    nowhere = desk.bcca("partners", "accept", NOTHING_HERE, data=chain.supplier)

    assert altered.status == 1
    assert "fingerprint" in altered.refusal
    assert cut.status == 2
    assert "copy all of it" in cut.refusal
    assert nowhere.status == 1
    assert desk.snapshot(chain.supplier) == before


def test_a_withdrawn_invitation_cannot_be_accepted(desk: Any, chain: Any) -> None:
    asked = desk.bcca("partners", "invite", "--json", data=chain.pack).json
    withdrawn = desk.bcca("partners", "withdraw", asked["id"][:8], data=chain.pack)
    ran = desk.bcca("partners", "accept", asked["link"], data=chain.supplier)

    assert withdrawn.status == 0
    assert ran.status == 1
    assert "withdrawn" in ran.refusal


def test_an_invitation_is_read_from_standard_input_and_drawn_as_a_qr_code(
    desk: Any, chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = desk.bcca("partners", "invite", "--qr", data=chain.pack)
    note = desk.bcca("partners", "invite", "--json", data=chain.pack).json["note"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(note.encode())))
    ran = desk.bcca("partners", "accept", "-", "--json", data=chain.supplier)

    assert re.match(
        r"http://127\.0\.0\.1:[0-9]+/invitations/[0-9a-f]{32}#[0-9a-f]{32}\n", drawn.out
    )
    assert "█" in drawn.out
    assert ran.status == 0, ran.err
    assert ran.json["origin"] == chain.pack.origin


def test_what_an_invitation_cannot_say_is_refused_in_one_sentence(desk: Any, chain: Any) -> None:
    before = desk.snapshot(chain.pack)
    for told in (
        ("--role", "friend"),
        ("--part", "4711"),
        ("--period", "2025"),
        ("--part", "4711", "--period", "2025", "--role", "customer"),
        ("--part", "4711=what", "--period", "2025"),
        ("--part", "4711", "--period", "2025", "--due", "2026-02-30"),
        ("--for", "NOT an origin"),
        ("--for", chain.pack.origin),
        ("--expires", "900d"),
        ("--expires", "soon"),
    ):
        ran = desk.bcca("partners", "invite", *told, data=chain.pack)
        assert ran.status == 2, told
        assert ran.refusal

    assert desk.snapshot(chain.pack) == before


def test_identifiers_are_told_self_asserted_until_the_operator_says_how_they_were_checked(
    desk: Any, chain: Any, new_node: Callable[..., Node]
) -> None:
    named = new_node("anode.example", ids=(LEI,))
    note = desk.bcca("partners", "invite", "--json", data=named).json["note"]
    (desk.folder / "it").write_text(note, encoding="utf-8")
    desk.bcca("partners", "accept", desk.folder / "it", data=chain.supplier)
    before = desk.bcca("partners", "show", "anode.example", data=chain.supplier)
    wrong = desk.bcca(
        "partners", "assure", "anode.example", LEI[:-1] + "4", "--how", "x", data=chain.supplier
    )
    desk.bcca(
        "partners", "assure", "anode.example", LEI, "--how", "GLEIF, today", data=chain.supplier
    )
    after = desk.bcca("partners", "show", "anode.example", data=chain.supplier)

    assert f"{LEI}  self-asserted" in before.out
    assert "should be 63" in wrong.refusal
    assert f"{LEI}  checked: GLEIF, today" in after.out


def test_a_node_is_set_up_with_identifiers_that_fit(desk: Any) -> None:
    told = ("--origin", "anode.example", "--name", "Anode", "--url", "https://anode.example")
    wrong = desk.bcca("init", *told, "--id", LEI[:-1] + "4", data=desk.folder / "wrong")
    right = desk.bcca("init", *told, "--id", LEI, data=desk.folder / "right")
    written = (desk.folder / "right" / "settings.toml").read_text(encoding="utf-8")

    assert wrong.status == 2
    assert "should be 63" in wrong.refusal
    assert right.status == 0
    assert f'ids = ["{LEI}"]' in written


def test_what_was_granted_is_shown_and_taken_back(desk: Any, met: Any) -> None:
    who = met.pack.origin
    granted = desk.bcca(
        "partners", "grant", who, "--product", URN, "--until", "2999-12-31", data=met.supplier
    )
    shown = desk.bcca("partners", "show", who, "--json", data=met.supplier).json["maySee"]
    revoked = desk.bcca("partners", "revoke", who, "--product", URN, data=met.supplier)
    again = desk.bcca("partners", "revoke", who, "--product", URN, data=met.supplier)

    assert granted.status == revoked.status == 0
    assert [(e["scope"], e["about"], e["until"]) for e in shown] == [
        ("product", URN, "2999-12-31T23:59:59Z")
    ]
    assert again.status == 2
    assert "was not granted" in again.refusal


@pytest.mark.parametrize(
    "told",
    [
        (),
        ("--all", "--product", URN),
        ("--product", "P1"),
        ("--statement", "abc"),
        ("--all", "--until", "2020-01-01"),
    ],
)
def test_a_grant_of_nothing_or_of_two_things_is_refused(
    desk: Any, new_node: Callable[..., Node], told: tuple[str, ...]
) -> None:
    node, other = new_node("pack.example"), new_node("cathode.example")
    note = desk.bcca("partners", "invite", "--json", data=other).json["note"]
    (desk.folder / "it").write_text(note, encoding="utf-8")
    desk.bcca("partners", "accept", desk.folder / "it", data=node)
    ran = desk.bcca("partners", "grant", "cathode.example", *told, data=node)

    assert ran.status == 2
    assert ran.refusal


def test_an_auditor_is_appointed_once_it_is_a_partner_and_suppliers_are_told(
    desk: Any, met: Any, served: Callable[..., Node]
) -> None:
    auditor = served("audit.example")
    (auditor.settings.data / "policy.txt").write_text(met.policy, encoding="utf-8")
    early = desk.bcca("partners", "appoint", met.supplier.origin, data=met.pack)
    asked = desk.bcca("partners", "invite", "--role", "auditor", "--json", data=met.pack).json
    desk.bcca("partners", "accept", asked["link"], data=auditor)
    done = desk.bcca("partners", "appoint", auditor.origin, "--product", URN, data=met.pack)
    theirs = desk.bcca("partners", "show", met.pack.origin, "--json", data=met.supplier).json
    ended = desk.bcca("partners", "dismiss", auditor.origin, data=met.pack)
    after = desk.bcca("partners", "show", met.pack.origin, "--json", data=met.supplier).json

    assert early.status == 2
    assert "no auditor" in early.refusal
    assert done.status == 0, done.err
    assert "suppliers told: 1" in done.out
    assert theirs["auditors"] == [f"audit.example: {URN}"]
    assert ended.status == 0
    assert after["auditors"] == []


def test_part_numbers_go_in_and_out_and_count_once_both_have_said_so(desk: Any, met: Any) -> None:
    path, out = desk.folder / "parts.csv", desk.folder / "out.csv"
    path.write_text(f"theirs,ours\n{URN},4711\n", encoding="utf-8")
    told = desk.bcca(
        "partners", "parts", met.supplier.origin, "--import", path, "--propose", data=met.pack
    )
    asked = desk.bcca("partners", "parts", met.pack.origin, "--json", data=met.supplier).json
    done = desk.bcca("partners", "parts", met.pack.origin, "--confirm", "4711", data=met.supplier)
    desk.bcca("partners", "parts", met.supplier.origin, "--export", out, data=met.pack)

    assert told.status == 0, told.err
    assert asked == [{"theirs": "4711", "ours": URN, "state": "asked"}]
    assert done.status == 0, done.err
    written = out.read_text(encoding="utf-8-sig").splitlines()
    assert written[1] == f'"{URN}","4711","confirmed"'


def test_refusing_a_part_number_that_nobody_knows_is_an_error(desk: Any, met: Any) -> None:
    unknown = desk.bcca("partners", "parts", met.pack.origin, "--refuse", "4711", data=met.supplier)
    every = desk.bcca("partners", "parts", met.pack.origin, "--refuse", "*", data=met.supplier)

    assert (unknown.status, every.status) == (2, 0)
    assert "--refuse '4711': no pair here has that part number of" in unknown.refusal
    assert every.out == "refused: 0\n"


def test_an_ended_partner_is_nobody(desk: Any, met: Any) -> None:
    ended = desk.bcca("partners", "end", met.pack.origin, data=met.supplier)
    left = desk.bcca("partners", "list", "--json", data=met.supplier).json
    unknown = desk.bcca("partners", "show", met.pack.origin, data=met.supplier)

    assert ended.status == 0
    assert left["partners"] == []
    assert unknown.status == 2
    assert "is no partner" in unknown.refusal


def test_who_fetched_what_is_shown_to_the_owner(desk: Any, met: Any) -> None:
    ran = desk.bcca("partners", "log", "--json", data=met.supplier)

    assert ran.status == 0
    assert ran.json == []


def test_a_name_that_a_terminal_would_obey_is_never_shown_as_it_is(
    desk: Any, chain: Any, tmp_path: Path
) -> None:
    path = tmp_path / "it"
    path.write_text('{"name":"\x1b[2J"}\n\n— x y\n', encoding="utf-8")
    ran = desk.bcca("partners", "accept", path, data=chain.supplier)
    named = desk.bcca("partners", "show", "\x1b[2J", data=chain.supplier)

    assert ran.status == 2
    assert "\x1b" not in ran.refusal + named.refusal


def test_a_command_without_the_passphrase_writes_nothing_that_it_could_not_send(
    desk: Any, chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = desk.bcca("partners", "invite", "--json", data=chain.pack).json["note"]
    (desk.folder / "it").write_text(note, encoding="utf-8")
    monkeypatch.delenv("BCCA_PASSPHRASE")
    ran = desk.bcca("partners", "accept", desk.folder / "it", data=chain.supplier)

    assert ran.status == 2
    assert "passphrase" in ran.refusal
