"""`bcca aggregate` with a PACT footprint that nobody signed: from what came to `bcca-verify`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bcca_node.pact import intake
from bcca_protocol.rules import NEUTRAL

ID = "8f0f2d0e-6d0c-5d3d-9f3e-0c7c3f0a9b11"
LEI = "urn:lei:5493001KJTIIGC8Y1R12"
WANTED = "urn:bcca:case:t:C1"
SOURCE = f"PACT 3, Cells AG ({LEI})"


def footprint(**pcf: Any) -> bytes:
    """Write a footprint of 14.20 kg CO2e per kg of what the pack buys."""
    values = {
        "declaredUnitOfMeasurement": "kilogram", "declaredUnitAmount": "1",
        "productMassPerDeclaredUnit": "1", "referencePeriodStart": "2025-01-01T00:00:00Z",
        "referencePeriodEnd": "2026-01-01T00:00:00Z", "pcfExcludingBiogenicUptake": "14.20",
        "pcfIncludingBiogenicUptake": "14.20", "fossilGhgEmissions": "13.20",
        "landUseChangeGhgEmissions": "1.00", "fossilCarbonContent": "0.11",
        "ipccCharacterizationFactors": ["AR6"], "crossSectoralStandards": ["PACT-3.0"],
        "exemptedEmissionsPercent": "0", **pcf,
    }  # fmt: skip
    body = {
        "id": ID, "specVersion": "3.0.3", "created": "2026-02-01T08:00:00Z", "status": "Active",
        "companyName": "Cells AG", "companyIds": [LEI], "productDescription": "",
        "productIds": [WANTED], "productNameCompany": "Cell 1", "pcf": values,
    }  # fmt: skip
    return json.dumps(body).encode()


@pytest.fixture
def silent(desk: Any, two_tiers: Any) -> Any:
    """Two tiers of which the supplier does not answer, and has never answered."""
    down = two_tiers.supplier.settings.url
    two_tiers.believe(two_tiers.policy.replace(f"{down}/log", "http://127.0.0.1:9/log"))
    return two_tiers


def came(chain: Any, content: bytes) -> None:
    node = chain.pack
    with node.database.write() as session:
        intake.take(node, session, "pact:cells", content, node.clock())


def verified(chain: Any, path: Path) -> tuple[int, Any]:
    """Return what an auditor's command says of a bundle."""
    command = Path(sys.executable).with_name("bcca-verify")
    policy = chain.pack.settings.data / "policy.txt"
    checked = subprocess.run(
        [command, path, "--policy", policy, "--json"], capture_output=True, text=True, check=False
    )
    return checked.returncode, json.loads(checked.stdout)


def test_it_fills_the_gap_of_a_silent_supplier_and_an_auditor_recomputes_that(
    desk: Any, silent: Any, tmp_path: Path
) -> None:
    came(silent, footprint())
    ran = desk.bcca("aggregate", "P1", data=silent.pack)
    shown = desk.bcca("aggregate", "P1", "--json", data=silent.pack)
    written = desk.bcca("bundle", "P1", "-o", tmp_path / "p.jsonl", data=silent.pack)
    status, report = verified(silent, tmp_path / "p.jsonl")

    assert (ran.status, written.status, status) == (0, 0, 0)
    assert f"14.2 kg CO2e for 1 kg of {WANTED} from cathode.example/bcca: unsigned footprint, " in (
        ran.out
    )
    assert "70.3 % of the result, gross, are footprints that nobody signed" in ran.out
    assert "whoever sees the recipe sees what was sent you" in ran.out
    assert "is filled in so" not in ran.out
    [filled] = shown.json["substitutes"]
    assert (filled["unsigned"], filled["dataset"], filled["source"]) == (True, ID, SOURCE)
    assert (shown.json["unsignedShare"], shown.json["defaultShare"]) == ("0.702970", "0.000000")
    assert shown.json["total"] == report["total"] == "20.2"
    assert report["components"] == {"fossil": "19.2", "landUseChange": "1"}
    said = [each for each in report["notVerified"] if each.startswith("not signed")]
    assert f"a footprint that nobody signed instead ({ID} of {SOURCE})" in said[0]
    assert "unsigned footprints give 14.2 of 20.2 kg CO2e gross (70.3 %)" in said[1]


def test_every_report_counts_it_apart_from_what_is_signed_and_from_defaults(
    desk: Any, silent: Any
) -> None:
    came(silent, footprint())
    desk.bcca("aggregate", "P1", data=silent.pack)
    explained = desk.bcca("explain", "P1", "--json", data=silent.pack)
    reviewed = desk.bcca("explain", "P1", "--review", data=silent.pack)
    chased = desk.bcca("chase", "P1", "--json", data=silent.pack)

    kinds = {row["name"]: row["kg"] for row in explained.json["rows"]["kind"]}
    assert kinds["unsigned footprint"] == "14.2"
    assert explained.json["shares"]["unsigned"].startswith("70.297")
    assert explained.json["shares"]["default"] == "0"
    assert "not signed: unsigned footprints 70.3 %, defaults 0.0 %" in reviewed.out
    assert [(each["kind"], each["kg"]) for each in chased.json["items"]] == [("unsigned", "14.2")]


def test_once_the_supplier_signs_its_statement_takes_the_place(desk: Any, silent: Any) -> None:
    came(silent, footprint())
    before = desk.bcca("aggregate", "P1", "--json", data=silent.pack)
    silent.believe(silent.policy)
    after = desk.bcca("aggregate", "P1", "--json", data=silent.pack)

    assert (before.json["total"], after.json["total"]) == ("20.2", "18")
    assert (after.json["substitutes"], after.json["unsignedShare"]) == ([], "0.000000")


def test_rules_keep_it_out_or_keep_what_rests_on_it_from_being_declared(
    desk: Any, silent: Any, tmp_path: Path
) -> None:
    came(silent, footprint())

    def ruled(name: str, *changes: tuple[str, str]) -> Any:
        text = NEUTRAL.replace('name = "neutral"', f'name = "{name}"')
        for old, new in changes:
            text = text.replace(old, new)
        path = tmp_path / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return desk.bcca("aggregate", "P1", "--rules", path, "--json", data=silent.pack)

    barred = ruled("barred", ("proxies = true\n", "proxies = true\nunsigned = false\n"))
    strict = ruled(
        "strict",
        ("proxies = true\n", "proxies = true\nunsigned = true\n"),
        ('blocks = ["gap"', 'blocks = ["unsigned", "gap"'),
    )
    older = desk.bcca("aggregate", "P1", "--rules", "eu-draft", "--json", data=silent.pack)

    assert (barred.status, barred.json["incomplete"], barred.json["total"]) == (3, True, "6")
    assert "the rules allow no unsigned footprint" in barred.json["missing"][0]["reason"]
    assert (strict.json["total"], strict.json["ready"]) == ("20.2", False)
    assert [each["code"] for each in strict.json["blocks"]] == ["unsigned"]
    assert [each["code"] for each in older.json["blocks"]] == ["default"]  # it knows no `unsigned`


def test_what_rounding_makes_of_it_is_in_every_report_and_an_auditor_recomputes_it(
    desk: Any, silent: Any, tmp_path: Path
) -> None:
    came(silent, footprint(fossilGhgEmissions="13.21"))
    told = (
        "pcf.pcfExcludingBiogenicUptake: 14.20, where its components come to 14.21, rounding: 0.01 "
        "kg CO2e per 1 kg taken off fossil"
    )
    ran = desk.bcca("aggregate", "P1", data=silent.pack)
    explained = desk.bcca("explain", "P1", data=silent.pack)
    reviewed = desk.bcca("explain", "P1", "--review", data=silent.pack)
    chased = desk.bcca("chase", "P1", data=silent.pack)
    desk.bcca("bundle", "P1", "-o", tmp_path / "p.jsonl", data=silent.pack)
    status, report = verified(silent, tmp_path / "p.jsonl")

    assert (ran.status, status) == (0, 0)
    assert all(told in each.out for each in (ran, explained, reviewed, chased))
    assert any(told in each for each in report["notVerified"])
    assert (report["total"], report["components"]["fossil"]) == ("20.2", "19.2")


def test_sums_that_are_off_by_more_enter_once_an_operator_says_why_and_every_report_says_so(
    desk: Any, silent: Any, tmp_path: Path
) -> None:
    came(silent, footprint(fossilGhgEmissions="8.378"))
    desk.bcca("pact", "accept", ID, "--reason", "they left out a process", data=silent.pack)
    told = (
        "14.20, where its components come to 9.378, more than rounding, which an operator "
        "accepted: 4.822 kg CO2e per 1 kg added to fossil; an operator accepted it in spite of "
        "what is wrong with pcf.pcfExcludingBiogenicUptake: they left out a process; "
    )
    ran = desk.bcca("aggregate", "P1", data=silent.pack)
    reviewed = desk.bcca("explain", "P1", "--review", data=silent.pack)
    desk.bcca("bundle", "P1", "-o", tmp_path / "p.jsonl", data=silent.pack)
    status, report = verified(silent, tmp_path / "p.jsonl")

    assert (ran.status, status, report["total"]) == (0, 0, "20.2")
    assert all(told in each.out for each in (ran, reviewed))
    assert any(told in each for each in report["notVerified"])


def test_attack_sums_that_are_off_never_enter_unless_accepted_and_the_gap_says_so(
    desk: Any, silent: Any
) -> None:
    came(silent, footprint(fossilGhgEmissions="8.378"))
    ran = desk.bcca("aggregate", "P1", "--json", data=silent.pack)

    assert (ran.status, ran.json["total"], ran.json["substitutes"]) == (3, "6", [])
    reason = ran.json["missing"][0]["reason"]
    assert f"unsigned footprint {ID} of pact:cells is not used: pcf.pcfExcluding" in reason
