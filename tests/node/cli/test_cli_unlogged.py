"""A supplier that has no node of ours: written down, a gap, and filled by what there is of it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.system.foreign_host import CLIENT, SECRET, ForeignHost, footprint

FOIL = "urn:gtin:4712345060504"

DRAFT = """
{"product": {"id": "urn:bcca:part:cells:c1", "name": "cell"},
 "producer": {"name": "Cell works"}, "sharing": "public",
 "period": {"start": "2025-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
 "declaredUnit": {"amount": "1", "unit": "kg"}, "output": {"amount": "250", "unit": "t"},
 "method": {"standards": ["ISO 14067"], "gwp": "AR6", "recycling": "cutOff", "electricity": "market"},
 "activities": [],
 "inputs": [{"id": "i1", "product": "urn:gtin:4712345060504", "amount": "125", "unit": "t",
             "stages": "rawMaterial", "supplier": {"origin": "foil.example", "key": "none"}}]}
"""  # noqa: E501 - as the README of the node prints it
FACTORS = """\
dataset,geography,unit,total,gas,scope,source,version,licence,stands_for
aluminium foil,CN,kg,18,co2e,upstream,database X,3.10,licensed to us,4712345060504
"""

# As the README of the node prints them.
PUBLISHED = """
bcca import cell.json
bcca publish
"""
BY_PACT = """
bcca partners add --pact foil --url https://pact.foil.example
bcca partners update foil --client-id ID --client-secret-file FILE
bcca pact pull foil
bcca aggregate c1
"""
BY_PAIR = """
bcca partners parts pact:foil --import parts.csv
bcca partners parts pact:foil --confirm '*'
bcca pact pull foil
bcca aggregate c1
"""
BY_FACTOR = """
bcca factors import ours.csv
bcca aggregate c1
"""
BY_VALUE = """
bcca aggregate c1 --substitute '4712345060504=18/kg;our LCA of 2024'
"""


@pytest.fixture
def maker(
    desk: Any, chain: Any, host: ForeignHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A maker that has published a cell, of foil by a supplier without a node of ours."""
    host.begin()
    secret = tmp_path / "FILE"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    (tmp_path / "cell.json").write_text(DRAFT, encoding="utf-8")
    (tmp_path / "ours.csv").write_text(FACTORS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BCCA_DATA", str(chain.pack.settings.data))

    def run(block: str) -> str:
        """Type a block as printed, but for where the PACT host is and how the node is known."""
        said = ""
        for line in block.strip().splitlines():
            words = shlex.split(line.replace("https://pact.foil.example", f"{host.url}/pact"))
            words = [CLIENT if word == "ID" else word for word in words]
            words += ["--auth-url", host.url] if "--url" in words else []
            done = desk.bcca(*words[1:])
            assert done.status == 0, done.out + done.err
            said = done.out
        return said

    run(PUBLISHED)
    return run


def test_without_anything_it_is_a_gap_that_says_what_can_fill_it(desk: Any, maker: Any) -> None:
    ran = desk.bcca("aggregate", "c1", "--json")
    [missing] = ran.json["missing"]

    assert (ran.status, ran.json["incomplete"]) == (3, True)
    assert missing["reason"] == (
        "foil.example has no log, says pack.example/bcca, who buys of it: state a value "
        "(`--substitute`), import a factor, or read its PACT footprint (`bcca pact pull`)"
    )


def test_its_pact_footprint_fills_the_gap_and_an_auditor_repeats_that(
    desk: Any, maker: Any, host: ForeignHost, chain: Any, tmp_path: Path
) -> None:
    host.lists(footprint(4))
    said = maker(BY_PACT)
    assert desk.bcca("bundle", "c1", "-o", tmp_path / "c1.jsonl").status == 0
    policy = chain.pack.settings.data / "policy.txt"
    checked = subprocess.run(
        [Path(sys.executable).with_name("bcca-verify"), tmp_path / "c1.jsonl", "--policy", policy],
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"7.1 kg CO2e for 0.5 kg of {FOIL} from foil.example: unsigned footprint, " in said
    assert "Missing" not in said
    assert (checked.returncode, "ALL HOLDS" in checked.stdout) == (0, True)


def test_under_another_number_of_its_own_a_pair_says_that_it_is_the_same(
    desk: Any, maker: Any, host: ForeignHost, tmp_path: Path
) -> None:
    pairs = f"theirs,ours\nurn:gtin:4712345060511,{FOIL}\n"
    (tmp_path / "parts.csv").write_text(pairs, encoding="utf-8")
    host.lists(footprint(11))
    added = BY_PACT.partition("bcca pact pull")[0]
    said = maker(f"{added.strip()}\n{BY_PAIR.strip()}")

    assert f"7.1 kg CO2e for 0.5 kg of {FOIL} from foil.example: unsigned footprint, " in said


@pytest.mark.parametrize(
    ("block", "told"),
    [(BY_FACTOR, "aluminium foil (database X, version 3.10)"), (BY_VALUE, "our LCA of 2024")],
)
def test_a_factor_or_a_value_of_ones_own_fills_the_gap(maker: Any, block: str, told: str) -> None:
    said = maker(block)

    assert re.search(rf"^  9 kg CO2e for 0.5 kg of {FOIL} from foil.example: secondary", said, re.M)
    assert told in said
    assert "not answered" not in said


def test_once_it_has_a_node_the_corrected_statement_names_its_key(
    desk: Any, maker: Any, chain: Any, tmp_path: Path
) -> None:
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1", kg=4))
    draft = json.loads(DRAFT)
    supplier = {"origin": chain.supplier.origin, "key": chain.supplier.log_key.encode()}
    draft["inputs"][0] |= {"product": "urn:bcca:case:t:C1", "supplier": supplier}
    (tmp_path / "corrected.json").write_text(json.dumps(draft), encoding="utf-8")
    [row] = desk.bcca("status", "show", "--json").json
    assert (
        desk.bcca("status", "correct", row["commitment"], tmp_path / "corrected.json").status == 0
    )
    ran = desk.bcca("aggregate", "c1", "--json")

    assert (ran.status, ran.json["total"]) == (0, "6")
