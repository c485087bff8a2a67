"""A result seen from every side: rows that sum to it, references, both electricity results."""

import decimal
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.node.office import Desk, Office, line

from bcca_node.packmaker import batteries, results, secrecy
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.recalled import Recalled
from bcca_node.packmaker.results import MIIT, Results, Row, settled
from bcca_node.packmaker.ruling import load
from bcca_protocol.errors import UnusableError
from bcca_protocol.footprint import Components
from bcca_protocol.inventory import Amount, Electricity, Factor, Material
from bcca_protocol.results import Battery

GRID = Factor(
    kind="secondary",
    source="a grid",
    dataset="grid",
    geography="CN",
    unit="kWh",
    gas="co2e",
    values=Components(fossil="0.6"),
)
BATTERY = """
model = "K1"
chemistry = "NMC622"
category = "M1"
grossKwh = 84
ratedKwh = "80"
usableKwh = 76.5
warrantyYears = [10, 8]
"""


@pytest.fixture(scope="module")
def pack(office: Office) -> tuple[Desk, Recalled]:
    """A pack of three tiers in two countries, with a gap filled, in amounts that do not end."""
    desk = office.desk()
    spread = {"factor": {"gsd": "1.2"}}
    desk.sells(
        "ore",
        line("blasting", "0.7", "1.3", **spread),
        line("hauling", "3", "0.11", kind="transport", amount_gsd="1.1"),
        country="CN",
        output=Amount("3", "kg"),
    )
    desk.sells(
        "cathode",
        line("power", "7", "0.2", kind="energy", unit="kWh", electricity=_bought()),
        line("credit", "1", "-0.05", kind="credit", stage="endOfLife"),
        desk.buys("ore", "0.9", yield_="0.7"),
        country="CN",
    )
    desk.sells(
        "pack",
        line("assembly", "2", "0.5", kind="emission"),
        desk.buys("cathode", "1.7"),
        desk.buys("ore", "0.2", stages="rawMaterial"),
        desk.buys("glue", "0.03", of="oxide"),
        country="DE",
        mass_kg="1",
        materials=(Material(name="Nickel", kg="0.2"),),
    )
    glue = OwnValue(asked=desk.urn("glue"), kg="4", unit=None, reason="LCA of 2024")
    return desk, desk.recalled("pack", amount="3", own_values=(glue,))


@pytest.fixture(scope="module")
def found(pack: tuple[Desk, Recalled]) -> Results:
    return results.results(pack[1])


def _bought() -> Electricity:
    return Electricity(supply="contract", location_factor=GRID)


def summed(rows: Iterable[Row]) -> Decimal:
    with decimal.localcontext(prec=100):
        return sum((row.kg for row in rows), Decimal(0))


@pytest.mark.parametrize(
    "side", ["stages", "components", "suppliers", "tiers", "countries", "kinds"]
)
def test_the_rows_of_every_side_sum_to_the_signed_total_to_its_last_digit(
    found: Results, side: str
) -> None:
    rows = getattr(found, side)

    assert summed(rows) == found.total
    assert len(rows) > 1


def test_rows_say_what_fractions_over_the_statements_say(
    pack: tuple[Desk, Recalled], found: Results
) -> None:
    ore = (Fraction("0.7") * Fraction("1.3") + 3 * Fraction("0.11")) / 3
    taken = Fraction("1.7") * Fraction("0.9") / Fraction("0.7") + Fraction("0.2")
    cathode = (7 * Fraction("0.2") - Fraction("0.05")) * Fraction("1.7")
    glue = Fraction("0.03") * 4

    def close(kg: Decimal, wanted: Fraction) -> bool:
        return abs(Fraction(kg) - 3 * wanted) <= Fraction(1, 10**28)

    tiers = {row.name: row.kg for row in found.tiers}
    countries = {row.name: row.kg for row in found.countries}
    kinds = {row.name: row.kg for row in found.kinds}
    assert close(tiers["0"], Fraction(1))
    # The ore is bought on two ways: the shorter one counts.
    assert close(tiers["1"], cathode + glue + ore * taken)
    assert close(countries["CN"], cathode + ore * taken)
    assert close(countries["DE"], Fraction(1))
    assert close(countries["not stated"], glue)
    assert close(kinds["substitute"], glue)
    assert close(kinds["credit"], Fraction("-0.05") * Fraction("1.7"))
    assert close(kinds["transport"], 3 * Fraction("0.11") / 3 * taken)


def test_both_electricity_results_are_told(pack: tuple[Desk, Recalled], found: Results) -> None:
    moved = 3 * Fraction("1.7") * 7 * (Fraction("0.6") - Fraction("0.2"))

    assert abs(Fraction(found.by_location - found.total) - moved) <= Fraction(1, 10**28)


def test_interval_and_simulation_agree_and_the_same_seed_gives_the_same(
    pack: tuple[Desk, Recalled], found: Results
) -> None:
    again = results.results(pack[1])

    assert found.interval is not None
    assert found.simulated is not None
    assert found.interval.low < found.total < found.interval.high
    assert found.simulated.agrees
    assert again.simulated == found.simulated


def test_what_is_bought_is_balanced_against_the_mass_and_what_nobody_states_is_named(
    found: Results,
) -> None:
    nickel = next(each for each in found.balance.metals if each.name == "Ni")

    assert found.balance.made == 1
    assert nickel.stated == Decimal("0.2")
    assert nickel.difference is None
    assert len(nickel.unknown) == 3


def test_without_a_battery_only_what_needs_none_can_be_said(found: Results) -> None:
    said = {each.unit: each for each in found.references}

    assert said["kg"].kg is not None
    assert said["kWh rated"].kg is None
    assert "ratedKwh" in said["kWh rated"].why_not
    assert said["kWh delivered"].kg is None


@pytest.mark.parametrize(("kg", "total"), [(("1", "2"), "3.000001"), (("1e-40", "7"), "7")])
def test_what_rounding_leaves_is_settled_in_the_largest_row(
    kg: tuple[str, ...], total: str
) -> None:
    rows = settled((Row(each, each, Decimal(each)) for each in kg), Decimal(total))

    assert summed(rows) == Decimal(total)


def test_a_battery_gives_kg_per_kwh_delivered_by_the_rules_cycles_and_the_shorter_warranty(
    office: Office, tmp_path: Path
) -> None:
    desk = office.desk()
    path = tmp_path / "battery.toml"
    path.write_text(BATTERY, encoding="utf-8")
    desk.sells("pack", line("assembly", "2", "1836", kind="emission"))
    recalled = desk.recalled("pack", battery=batteries.read(path), rules=load("eu-draft"))
    stated = recalled.statement.battery
    said = {each.unit: each.kg for each in results.results(recalled).references}

    assert stated is not None
    assert stated.full_cycles_per_year == "60"
    assert stated.rule_set == "eu-draft"
    assert stated.per_kwh_delivered == "0.1"  # 3672 / (76.5 x 60 x 8)
    assert said["kWh delivered"] == said[MIIT] == Decimal("0.1")
    assert said["kWh rated"] == Decimal("45.9")
    assert said["kWh usable"] == 48


def test_without_cycles_the_battery_is_stated_and_per_kwh_delivered_is_not(
    office: Office, tmp_path: Path
) -> None:
    desk = office.desk()
    path = tmp_path / "battery.toml"
    path.write_text(BATTERY, encoding="utf-8")
    desk.sells("pack", line("assembly", "2", "3"))
    run = desk.run("pack", battery=batteries.read(path))
    why_not = batteries.lacking(run.statement, run.sum.rules)

    assert isinstance(run.statement.battery, Battery)
    assert run.statement.battery.per_kwh_delivered is None
    assert why_not is not None
    assert "fullCyclesPerYear" in why_not


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("usableKwh = 76.5", "usableKwh = 90"), "usableKwh 90 above ratedKwh 80"),
        (('category = "M1"', 'category = "M9"'), "M9"),
        (("warrantyYears = [10, 8]", "warrantyYears = []"), "warranty"),
        (("warrantyYears = [10, 8]", 'warrantyYears = ["ten"]'), "ten"),
        (("warrantyYears = [10, 8]", "warrantyYears = 8\nserviceYears = 9"), "leave out one"),
        (("grossKwh = 84", "perKwhDelivered = 0.01"), "perKwhDelivered is computed"),
        (("grossKwh = 84", "grossKWh = 84"), "grossKWh"),
        (("grossKwh = 84", "grossKwh = nan"), "no number"),
        (("grossKwh = 84", "grossKwh = true"), "names and numbers"),
        (('model = "K1"', "model = K1"), "not TOML"),
    ],
)
def test_a_battery_file_that_says_what_cannot_be_is_refused_in_a_sentence(
    tmp_path: Path, change: Any, words: str
) -> None:
    path = tmp_path / "battery.toml"
    path.write_text(BATTERY.replace(*change), encoding="utf-8")

    with pytest.raises(UnusableError, match=r"battery\.toml: ") as refused:
        batteries.read(path)
    assert words in str(refused.value)


def test_a_roll_up_that_is_larger_than_a_statement_may_be_says_how_it_fits(
    pack: tuple[Desk, Recalled],
) -> None:
    stated = pack[1].statement
    edges = (stated.manifest or ()) * 5_000

    secrecy.require_room(stated)
    with pytest.raises(UnusableError, match=f"roll-up of {len(edges)} edges.*--recipe secret"):
        secrecy.require_room(msgspec.structs.replace(stated, manifest=edges))
