"""Sets of emission factors: what ships is what was published, and what is imported is whole."""

import csv
import importlib.resources
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from bcca_node.ledger.node import Node
from bcca_node.packmaker import factorbook, factors
from bcca_node.packmaker.factors import COLUMNS, Entry, FactorSet
from bcca_node.storage import factors as stored
from bcca_node.storage.database import Database
from bcca_node.storage.factors import ImportedSet
from bcca_protocol.errors import UnusableError

HEADER = "dataset,geography,unit,total,gas,scope,source,version,licence"
ROW = "cathode,CN,kg,20.5,co2e,upstream,a database,1,own use"


def of(name: str) -> FactorSet:
    return next(each for each in factors.shipped() if each.name == name)


def rows(shared: Path, file: str) -> list[dict[str, str]]:
    with (shared / "data" / "factors" / file).open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def parsed(*lines: str, header: str = HEADER) -> FactorSet:
    return factors.parse("\n".join([header, *lines, ""]), "ours", file="ours.csv")


def refusal(*lines: str, header: str = HEADER) -> str:
    with pytest.raises(UnusableError) as refused:
        parsed(*lines, header=header)
    return str(refused.value)


def at(found: FactorSet, place: str, version: str) -> list[Entry]:
    wanted = (place, version)
    return [e for e in found.entries if (e.factor.geography, e.factor.version) == wanted]


def test_the_co2_factors_of_china_are_all_here_as_published(shared: Path) -> None:
    published = rows(shared, "china_electricity_co2_factors_2021_2023.csv")
    found = of("china-grid-co2").entries

    assert [each.kg for each in found] == [Decimal(row["kg_co2_per_kwh"]) for row in published]
    assert {(each.factor.gas, each.factor.scope) for each in found} == {("co2", "direct")}
    assert [each.factor.version for each in found] == [row["year"] for row in published]
    assert [each.factor.geography for each in found if each.factor.geography != "CN"] == [
        row["code"] for row in published if row["level"] == "province"
    ]


def test_the_footprint_factors_of_china_are_all_here_as_published(shared: Path) -> None:
    published = rows(shared, "china_electricity_footprint_factors_2023_2024.csv")
    found = of("china-grid-footprint").entries

    assert [each.kg for each in found] == [Decimal(row["kg_co2e_per_kwh"]) for row in published]
    assert {(each.factor.gas, each.factor.scope) for each in found} == {("co2e", "lifeCycle")}
    assert [each.factor.version for each in found] == [row["year"] for row in published]


def test_the_factors_of_213_countries_are_all_here_in_kg(shared: Path) -> None:
    published = rows(shared, "grid_world_ember_owid_via_codecarbon.csv")
    found = of("world-grid-ember").entries

    assert len(found) == 213
    assert [each.note for each in found] == [row["country"] for row in published]
    assert [each.kg * 1000 for each in found] == [
        Decimal(row["g_co2e_per_kwh"]) for row in published
    ]
    assert len({each.factor.geography for each in found}) == 213
    assert all(len(each.factor.geography) == 2 for each in found)
    assert [at(of("world-grid-ember"), code, each.factor.version or "")[0].note
            for code, name in (("DE", "Germany"), ("CN", "China"), ("SE", "Sweden"))
            for each in found if each.note == name] == ["Germany", "China", "Sweden"]  # fmt: skip


def test_every_shipped_factor_names_its_source_its_licence_and_its_version() -> None:
    for each in factors.shipped():
        for entry in each.entries:
            assert entry.factor.source
            assert entry.factor.version == str(entry.year)
            assert entry.licence in {
                "CC BY 4.0",
                "government notice: cite it",
            }


def test_the_two_quantities_of_china_are_never_one_set() -> None:
    sets = {each.name: {e.factor.gas for e in each.entries} for each in factors.shipped()}

    assert sets == {
        "china-grid-co2": {"co2"},
        "china-grid-footprint": {"co2e"},
        "world-grid-ember": {"co2e"},
    }


def test_no_shipped_factor_is_of_a_fixture_or_of_a_licensed_database() -> None:
    folder = importlib.resources.files("bcca_node.packmaker") / "shipped"
    texts = [each.read_text(encoding="utf-8") for each in folder.iterdir()]

    assert len(texts) == 4  # three sets, and where they come from
    assert not any("ecoinvent" in text or "carculator" in text for text in texts)


def test_a_set_is_read_with_components_spread_and_products() -> None:
    header = f"{HEADER},fossil,biogenicNonCO2,landUseChange,gwp,gsd,year,technology,stands_for,note"
    row = (
        'cathode,CN-GD,t,,co2e,upstream,a database,3.10,own use,"20000",1e2,,AR6,1.2,2023,proxy,'
        "urn:x:C12 | cathode*,of 2023"
    )
    [entry] = parsed(row, header=header).entries

    assert entry.kg == 20_100
    assert entry.factor.kind == "proxy"
    assert entry.stands_for == ("urn:x:C12", "cathode*")
    assert (entry.factor.gwp, entry.factor.gsd, entry.year) == ("AR6", "1.2", 2023)
    assert (entry.factor.values.fossil, entry.factor.values.biogenic_non_co2) == ("20000", "100")


def test_five_scores_of_a_pedigree_give_a_factor_its_spread() -> None:
    header = f"{HEADER},gsd,pedigree,basic_variance"
    [scored, best, stated] = parsed(
        f"{ROW},,2 3 1 2 4,0.0006",
        f"{ROW.replace('CN', 'GLO')},,1 1 1 1 1,",
        f"{ROW.replace('CN', 'RER')},1.3,,",
        header=header,
    ).entries

    assert str(scored.factor.gsd).startswith("1.226925704")
    assert (best.factor.gsd, stated.factor.gsd) == ("1", "1.3")


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ("1.2,1 1 1 1 1,", "gsd and pedigree both say how far it spreads"),
        (",1 1 1 1,", "write a score for each of reliability, completeness, temporal"),
        (",1 1 1 1 x,", "write a score for each of reliability"),
        (",1 1 1 1 6,", "technological is scored 6, where the table has 1 to 5"),
        (",0 1 1 1 1,", "reliability is scored 0"),
        (",1 1 1 1 1,-1", "basic_variance"),
        (",,0.1", "a basic_variance without a pedigree"),
    ],
)
def test_a_pedigree_that_says_nothing_certain_is_refused(cells: str, told: str) -> None:
    assert told in refusal(f"{ROW},{cells}", header=f"{HEADER},gsd,pedigree,basic_variance")


def test_a_total_alone_counts_as_fossil() -> None:
    [entry] = parsed(ROW).entries

    assert entry.factor.values.fossil == "20.5"
    assert entry.factor.kind == "secondary"


def test_a_total_beside_components_has_to_be_their_sum_as_far_as_it_is_printed() -> None:
    header = f"{HEADER},fossil,landUseChange,biogenicUptake"
    row = "cathode,CN,kg,{},co2e,upstream,a database,1,own use,20.04,0.42,-3"

    assert parsed(row.format("20.5"), header=header).entries[0].kg == Decimal("20.46")
    assert "row 2: total 20.4, where the components, uptake left out, come to 20.46" in refusal(
        row.format("20.4"), header=header
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (",CN,kg,1,co2e,upstream,s,1,l", "row 2: dataset is empty"),
        ("d,,kg,1,co2e,upstream,s,1,l", "row 2: geography is empty"),
        ("d,CN,kgs,1,co2e,upstream,s,1,l", "row 2: unit 'kgs' is not a unit of the table"),
        ("d,CN,kg,1;2,co2e,upstream,s,1,l", "row 2: total '1;2' is not a number"),
        ('d,CN,kg,"1,2",co2e,upstream,s,1,l', "row 2: total '1,2' is not a number, write a"),
        ("d,CN,kg,1,CO2,upstream,s,1,l", "row 2: gas 'CO2' is none of co2, co2e"),
        ("d,CN,kg,1,co2e,cradle,s,1,l", "scope 'cradle' is none of direct, lifeCycle, upstream"),
        ("d,CN,kg,1,co2e,upstream,,1,l", "row 2: source is empty"),
        ("d,CN,kg,1,co2e,upstream,s,,l", "row 2: version is empty"),
        ("d,CN,kg,1,co2e,upstream,s,1,", "row 2: licence is empty"),
        ("d,CN,kg,,co2e,upstream,s,1,l", "row 2: total and every component are empty"),
        ("d,CN,kg,1,co2e,upstream,s,1,l,AR7,,,,", "row 2: gwp 'AR7' is none of AR5, AR6"),
        ("d,CN,kg,1,co2e,upstream,s,1,l,,0.9,,,", "deviation of 0.9, below 1"),
        ("d,CN,kg,1,co2e,upstream,s,1,l,,,23,,", "row 2: year '23' is not a year"),
        ("d,CN,kg,1,co2e,upstream,s,1,l,,,,like,", "technology 'like' is none of same, proxy"),
    ],
)
def test_a_cell_that_cannot_be_is_refused_by_row_and_column(row: str, told: str) -> None:
    header = f"{HEADER},gwp,gsd,year,technology,stands_for"

    assert told in refusal(row, header=header)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    told = refusal(ROW, ROW.replace("kg", "bag"), "d,CN,kg,x,co3,upstream,s,1,l")

    assert told.splitlines()[0] == "ours.csv: 3 problems"
    assert "row 3: unit 'bag'" in told
    assert "row 4: gas 'co3'" in told
    assert "row 4: total 'x'" in told


def test_a_misspelt_column_is_refused_and_not_left_out_of_the_value() -> None:
    told = refusal(f"{ROW},3", header=f"{HEADER},landuseChange")

    assert "no column is called landuseChange" in told
    assert all(column in told for column in COLUMNS)


def test_two_rows_about_one_thing_are_refused_and_both_are_named() -> None:
    assert "row 3: the same dataset, geography, version, unit, gas and scope as row 2" in refusal(
        ROW, ROW.replace("20.5", "2")
    )


def test_an_imported_set_is_kept_and_read_back_the_same(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "ours.csv"
    path.write_text(f"{HEADER}\n{ROW}\n", encoding="utf-8")

    made = factorbook.import_file(node, path, "ours", replaces=False)

    assert factorbook.get(node, "ours") == made
    assert [each.name for each in factorbook.every(node)] == [*factors.SHIPPED, "ours"]


def test_nothing_is_imported_of_a_file_with_one_bad_row(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "ours.csv"
    path.write_text(f"{HEADER}\n{ROW}\nd,CN,kg,x,co2e,direct,s,1,l\n", encoding="utf-8")

    with pytest.raises(UnusableError, match="row 3: total 'x' is not a number"):
        factorbook.import_file(node, path, "ours", replaces=False)

    assert [each.name for each in factorbook.every(node)] == list(factors.SHIPPED)


def test_tables_of_version_3_get_those_of_factors(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    Database(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TABLE factor_set")
        file.execute("UPDATE schema_version SET version = 3")
        file.commit()
    Database(f"sqlite:///{path}").close()

    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM factor_set").fetchone() == (0,)
        assert file.execute("SELECT version FROM schema_version").fetchall() == [(5,)]


def test_sets_are_kept_in_every_kind_of_database(new_url: Callable[[], str]) -> None:
    first = ImportedSet(name="a", digest="d", imported_at=1, content="x")
    other = ImportedSet(name="a", digest="e", imported_at=2**40, content="y\n\u5317")

    with closing(Database(new_url())) as database:
        with database.write() as session:
            stored.put(session, first)
            stored.put(session, other)
        with database.read() as session:
            assert (stored.get(session, "a"), stored.every(session)) == (other, [other])
        with database.write() as session:
            assert (stored.remove(session, "a"), stored.remove(session, "a")) == (True, False)
