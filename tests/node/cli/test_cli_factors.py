"""`bcca factors`: what ships, what is imported, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from bcca_protocol.statement import Site

HEADER = "dataset,geography,unit,total,gas,scope,source,version,licence,stands_for"
ROW = "cathode,CN,kg,20.5,co2e,upstream,a database,1,own use,C12|cathode*"


@pytest.fixture
def sheet(tmp_path: Path) -> Any:
    """Write a set of factors."""

    def write(*rows: str, name: str = "ours.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
        return path

    return write


def test_what_ships_is_listed_with_source_and_licence(desk: Any, node: Any) -> None:
    ran = desk.bcca("factors", data=node)
    told = desk.bcca("factors", "list", "--json", data=node)

    assert (ran.status, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.out.splitlines()] == [
        "set", "china-grid-co2", "china-grid-footprint", "world-grid-ember",
    ]  # fmt: skip
    assert [(each["name"], each["count"], each["gas"]) for each in told.json["sets"]] == [
        ("china-grid-co2", 120, ["co2"]),
        ("china-grid-footprint", 21, ["co2e"]),
        ("world-grid-ember", 213, ["co2e"]),
    ]
    assert told.json["sets"][2]["licences"] == ["CC BY 4.0"]
    assert told.json["sets"][2]["sources"] == ["Ember and Our World in Data"]


def test_a_set_shows_its_factors_and_whom_to_name(desk: Any, node: Any) -> None:
    ran = desk.bcca("factors", "show", "world-grid-ember", "--like", "SE", data=node)
    told = desk.bcca("factors", "show", "china-grid-footprint", "--json", data=node)

    assert "SE (Sweden)" in ran.out
    assert "source: Ember and Our World in Data (CC BY 4.0)" in ran.out
    assert told.json["factors"][1]["kg"] == "0.5777"
    assert (told.json["factors"][1]["gas"], told.json["factors"][1]["scope"]) == (
        "co2e",
        "lifeCycle",
    )


def test_a_set_is_imported_shown_replaced_only_when_told_and_removed(
    desk: Any, node: Any, sheet: Any
) -> None:
    first = desk.bcca("factors", "import", sheet(ROW), data=node)
    again = desk.bcca("factors", "import", sheet(ROW), "--json", data=node)
    other = sheet(ROW.replace("20.5", "21"))
    refused = desk.bcca("factors", "import", other, data=node)
    kept = desk.bcca("factors", "show", "ours", "--json", data=node)
    replaced = desk.bcca("factors", "import", other, "--replace", data=node)
    shown = desk.bcca("factors", "show", "ours", "--json", data=node)
    removed = desk.bcca("factors", "remove", "ours", "--json", data=node)
    gone = desk.bcca("factors", "show", "ours", data=node)

    assert first.out == "imported ours: 1 factors, 1 of which stand for products\n"
    assert (again.status, again.json["count"]) == (0, 1)
    assert refused.status == 2
    assert "another set of that name is here" in refused.refusal
    assert kept.json["factors"][0]["kg"] == "20.5"
    assert (replaced.status, shown.json["factors"][0]["kg"]) == (0, "21")
    assert shown.json["factors"][0]["standsFor"] == ["C12", "cathode*"]
    assert removed.json == {"removed": "ours"}
    assert "'ours' is no set of factors here" in gone.refusal


def test_a_file_with_a_bad_cell_is_refused_whole_by_row_and_column(
    desk: Any, node: Any, sheet: Any
) -> None:
    before = desk.snapshot(node)
    bad = sheet(ROW, ROW.replace("cathode", "anode").replace("co2e", "co2-eq"))

    ran = desk.bcca("factors", "import", bad, data=node)

    assert ran.status == 2
    assert "row 3: gas 'co2-eq' is none of co2, co2e" in ran.refusal
    assert desk.snapshot(node) == before


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("import", "there-is-none.csv"), "there is no such file"),
        (("remove", "world-grid-ember"), "ships with this program and cannot be removed"),
        (("remove", "none"), "is no imported set of factors: imported are none"),
        (("show", "none"), "there are china-grid-co2, china-grid-footprint, world-grid-ember"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(
    desk: Any, node: Any, command: tuple[str, ...], told: str
) -> None:
    ran = desk.bcca("factors", *command, data=node)

    assert ran.status == 2
    assert told in ran.refusal


@pytest.mark.parametrize("name", ["../up", "", "a b", "world-grid-ember"])
def test_a_name_that_is_none_or_is_taken_is_refused(
    desk: Any, node: Any, sheet: Any, name: str
) -> None:
    assert desk.bcca("factors", "import", sheet(ROW), "--name", name, data=node).status == 2


def test_attack_a_set_that_would_write_to_the_terminal_is_refused(
    desk: Any, node: Any, sheet: Any
) -> None:
    ran = desk.bcca("factors", "import", sheet(ROW.replace("cathode", "\x1b[2Jcathode")), data=node)

    assert ran.status == 2
    assert "control characters" in ran.err
    assert "\x1b" not in ran.err
    assert json.loads(desk.bcca("factors", "--json", data=node).out)["sets"][-1]["shipped"]


# `bcca aggregate --substitute`


def down(chain: Any) -> None:
    """Let the pack maker find nobody where its supplier was."""
    url = chain.supplier.settings.url
    chain.believe(chain.policy.replace(f"{url}/log", "http://127.0.0.1:9/log"))


def test_a_value_of_ones_own_fills_what_a_supplier_that_is_down_leaves(
    desk: Any, two_tiers: Any
) -> None:
    down(two_tiers)
    told = "C1=3.25;LCA of 2024, section 3; unsigned"
    ran = desk.bcca("aggregate", "P1", "--substitute", told, data=two_tiers.pack)
    shown = desk.bcca("aggregate", "P1", "--json", "--substitute", told, data=two_tiers.pack)

    assert (ran.status, ran.err) == (0, "")
    assert "Filled in, and not signed by a supplier:\n" in ran.out
    assert (
        "told here for that alone:\n  urn:bcca:case:t:C1 from cathode.example/bcca: http" in ran.out
    )
    assert (
        "3.25 kg CO2e for 1 kg of urn:bcca:case:t:C1 from cathode.example/bcca: secondary, own "
        "value for urn:bcca:case:t:C1 (stated by the maker)" in ran.out
    )
    assert "LCA of 2024, section 3; unsigned; bought for P1 of pack.example/bcca" in ran.out
    assert "35.1 % of the result, gross, is filled in so" in ran.out
    assert "total         9.25 kg CO2e, excluding uptake\n" in ran.out
    assert (shown.json["total"], shown.json["missing"]) == ("9.25", [])
    [filled] = shown.json["substitutes"]
    assert (filled["kg"], filled["kind"], filled["source"]) == (
        "3.25",
        "secondary",
        "stated by the maker",
    )
    assert shown.json["defaultShare"] == "0.351351"


def test_a_value_of_ones_own_replaces_a_signed_one_only_when_told(
    desk: Any, two_tiers: Any
) -> None:
    refused = desk.bcca("aggregate", "P1", "--substitute", "C1=3;why", data=two_tiers.pack)
    forced = desk.bcca(
        "aggregate", "P1", "--json", "--substitute", "C1!=3000g;why", data=two_tiers.pack
    )
    kilos = desk.bcca(
        "aggregate", "P1", "--json", "--substitute", "C1!=3000t; why", data=two_tiers.pack
    )
    signed = desk.bcca("aggregate", "P1", "--json", data=two_tiers.pack)

    assert refused.status == 2
    assert "has the signed statement" in refused.refusal
    assert "write C1!=3 to put it over that" in refused.refusal
    assert (forced.status, forced.json["total"]) == (0, "3000006")  # 3000 kg CO2e per g
    assert kilos.json["total"] == "9"  # 3000 kg CO2e per t
    assert kilos.json["substitutes"][0]["reason"].startswith("over the signed statement ")
    (replaced,) = kilos.json["substitutes"][0]["over"]
    assert len(replaced) == 64
    assert (signed.json["total"], signed.json["substitutes"]) == ("18", [])
    assert signed.json["defaultShare"] == "0.000000"


def test_a_factor_of_an_imported_set_stands_in_for_a_supplier_that_is_down(
    desk: Any, two_tiers: Any, sheet: Any
) -> None:
    down(two_tiers)
    rows = (ROW.replace("C12", "C1"), ROW.replace("C12", "C1").replace("co2e", "co2"))
    desk.bcca("factors", "import", sheet(*rows), data=two_tiers.pack)
    ran = desk.bcca("aggregate", "P1", data=two_tiers.pack)
    strict = desk.bcca("aggregate", "P1", "--rules", "eu-draft", "--json", data=two_tiers.pack)

    assert ran.status == 0
    assert "total         26.5 kg CO2e, excluding uptake\n" in ran.out
    assert "20.5 kg CO2e for 1 kg of" in ran.out
    assert "secondary, cathode (a database, version 1)" in ran.out
    assert "set ours, own use" in ran.out
    assert strict.json["rules"]["name"] == "eu-draft"
    assert not strict.json["ready"]


def test_a_supplier_makes_what_is_missing_where_its_other_products_are_made(
    desk: Any, chain: Any, sheet: Any
) -> None:
    plant = Site(id="plant", country="CN", subdivision="CN-QH")
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1", kg=4, site=plant))
    buys = (desk.bought("C1", chain.supplier), desk.bought("C2", chain.supplier))
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=buys))
    rows = [ROW.replace("C12|cathode*", "C2").replace(",CN,", f",{at},") for at in ("SE", "CN")]
    desk.bcca("factors", "import", sheet(*rows), data=chain.pack)

    ran = desk.bcca("aggregate", "P1", "--json", data=chain.pack)
    explained = desk.bcca("explain", data=chain.pack)

    assert (ran.status, ran.json["total"]) == (0, "38.5")
    assert [each["reason"] for each in ran.json["substitutes"]] == [
        "secondary, same technology, same region (CN for CN-QH); set ours, own use"
    ]
    assert explained.status == 0
    assert "38.5 kg CO2e" in explained.out


def test_a_value_for_what_only_the_missing_would_buy_stops_no_run_and_is_told(
    desk: Any, two_tiers: Any
) -> None:
    down(two_tiers)
    values = ("--substitute", "O7=3/kg;why", "--substitute", "C1=3.25/kg;our LCA of 2024")

    gap = desk.bcca("aggregate", "P1", *values[:2], data=two_tiers.pack)
    filled = desk.bcca("aggregate", "P1", *values, data=two_tiers.pack)
    shown = desk.bcca("aggregate", "P1", "--json", *values, data=two_tiers.pack)

    assert gap.status == 3
    assert "--substitute O7: without effect" in gap.out
    assert "--substitute O7: without effect" in filled.out
    assert ", 3.25 per kg\n" in filled.out
    assert shown.json["withoutEffect"] == ["O7"]


def test_an_attack_a_factor_below_zero_that_stands_for_products_is_not_imported(
    desk: Any, two_tiers: Any, sheet: Any
) -> None:
    below = ROW.replace("20.5", "-20.5")
    assert below != ROW
    refused = desk.bcca("factors", "import", sheet(below), data=two_tiers.pack)

    assert refused.status == 2
    assert "stands for products with -20.5 kg CO2e, where a value above 0 belongs" in refused.err


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("C1", "write PRODUCT=VALUE[/unit];reason"),
        ("C1=3", "write PRODUCT=VALUE[/unit];reason"),
        ("=3;why", "write PRODUCT=VALUE[/unit];reason"),
        ("C1=x;why", "write PRODUCT=VALUE[/unit];reason"),
        ("C1=3kg; ", "say behind the ; where the value comes from"),
        ("C1=3bags;why", "unit 'bags' is not in the table"),
        ("C1=3,2;why", "'3,2' is not a number, write a decimal point"),
        ("C1=0;why", "a value of 0 or below it would hide a gap"),
        ("C1=-100kg;why", "a value of 0 or below it would hide a gap"),
        ("C1=3;\x1b[2J", "none that is not shown"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_in_a_sentence(
    desk: Any, told: str, reason: str
) -> None:
    ran = desk.bcca("aggregate", "P1", "--substitute", told, data=desk.folder)

    assert ran.status == 2
    assert reason in ran.refusal


def test_a_value_that_fits_nothing_is_refused_in_a_sentence(desk: Any, two_tiers: Any) -> None:
    def refusal(told: str) -> str:
        sentence: str = desk.bcca(
            "aggregate", "P1", "--substitute", told, data=two_tiers.pack
        ).refusal
        return sentence

    assert "nothing of that name is bought here, and nothing is missing" in refusal("C2=3;why")
    assert "a value per kWh (energy)" in refusal("C1!=3kWh;why")
