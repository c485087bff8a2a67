"""Small cases with known answers, each through signed statements and the whole engine."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcca_protocol import carbon, circular, footprint, functional, rollup, shares, uncertainty
from bcca_protocol.circular import Circular
from bcca_protocol.errors import UnproductiveError
from bcca_protocol.footprint import Cell
from bcca_protocol.functional import Service
from bcca_protocol.inventory import (
    Allocation,
    Amount,
    CoProduct,
    Electricity,
    Exclusion,
    Leg,
    Quality,
)
from bcca_protocol.quantity import convert, plain, unit_named
from bcca_protocol.results import Battery
from bcca_protocol.uncertainty import Interval

PRIMARY = {"amount_kind": "measured"}


@pytest.fixture(scope="module")
def cases(shared: Path) -> Any:
    """The cases by group, as they are written."""
    file = shared / "data" / "cases" / "micro_cases.json"
    return json.loads(file.read_text(encoding="utf-8"))


def is_printed(value: Decimal | Fraction, printed: str) -> bool:
    """Say whether `value` is what is printed, within half a unit of its last digit."""
    decimals = len(printed.partition(".")[2])
    return abs(Fraction(value) - Fraction(printed)) <= Fraction(1, 2 * 10**decimals)


def slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


@pytest.fixture
def stack(chain: Any, line: Any, cases: Any) -> dict[str, str]:
    """A cell before its final yield, made as `bom_rollup_yield` says; return the case."""
    case: dict[str, Any] = cases["bom_rollup_yield"]["case"]
    for each in case["inputs"]:
        chain.sells(slug(each["name"]), each["pcf"])
    electricity, heat = case["energy"]
    chain.sells(
        "stack", "0",
        *(
            chain.buys(slug(each["name"]), each["net_kg"], yield_=each["yield"])
            for each in case["inputs"]
        ),
        activities=[
            line("power", electricity["kwh"], electricity["ef"], "kWh", kind="energy"),
            line("heat", heat["mj"], heat["ef"], "MJ", kind="energy"),
        ],
        output=Amount(case["output_kg"], "kg"),
    )  # fmt: skip
    return case


def test_bom_rollup_yield(chain: Any, stack: dict[str, str]) -> None:
    scrap = stack["cell_final_yield"]
    chain.sells("cell", "0", chain.buys("stack", "1", yield_=scrap))
    chain.sells("pack", "0", chain.buys("cell", "1"))
    added = chain.added()

    assert is_printed(added.total("stack"), stack["expected_before_final_yield"])
    assert is_printed(added.total("cell"), stack["expected"])
    assert added.total("pack") == added.total("cell")


def test_bom_rollup_yield_as_an_output_below_one(chain: Any, stack: dict[str, str]) -> None:
    output = Amount(stack["cell_final_yield"], "kg")
    chain.sells("cell", "0", chain.buys("stack", "1"), output=output)

    assert is_printed(chain.added().total("cell"), stack["expected"])


def test_a_yield_counted_again_at_the_pack_is_not_the_answer(
    chain: Any, stack: dict[str, str]
) -> None:
    scrap = stack["cell_final_yield"]
    chain.sells("cell", "0", chain.buys("stack", "1", yield_=scrap))
    chain.sells("pack", "0", chain.buys("cell", "1", yield_=scrap))

    assert not is_printed(chain.added().total("pack"), stack["expected"])


@pytest.mark.parametrize(
    "case", ["1 t", "1 lb", "1 short ton", "1 kWh", "1 GJ", "1 short ton-mile"]
)
def test_units(chain: Any, line: Any, per: Any, cases: Any, case: str) -> None:
    printed, wanted = cases["units"]["exact"][case].rsplit(" ", 1)
    amount, unit = case.split(" ", 1)
    chain.sells(
        "it",
        activities=[
            line("own", amount, "1", unit_named(unit), factor=per("1", unit_named(wanted)))
        ],
    )

    converted = chain.added().total("it")

    if printed.endswith("..."):
        assert plain(converted).startswith(printed.removesuffix("..."))
    else:
        assert is_printed(converted, printed)


def test_units_of_freight_and_of_a_factor_per_megawatt_hour(
    chain: Any, line: Any, per: Any, cases: Any
) -> None:
    tonne_over_a_kilometre = Leg(mode="truck", from_="A", to="B", km="1", mass_kg="1000")
    chain.sells(
        "freight",
        activities=[line("own", "1", "1", "tkm", kind="transport", leg=tonne_over_a_kilometre)],
    )
    pound = cases["units"]["exact"]["1 lb"].removesuffix(" kg")
    chain.sells(
        "power", activities=[line("own", "1", "1", "kWh", kind="energy", factor=per(pound, "MWh"))]
    )
    added = chain.added()

    assert cases["units"]["exact"]["1 tkm"] == "1 t*km"
    assert added.total("freight") == 1
    printed = cases["units"]["exact"]["1 lb CO2/MWh"].removesuffix(" kg/kWh")
    assert is_printed(added.total("power"), printed)


def test_transport(chain: Any, line: Any, cases: Any) -> None:
    legs = cases["transport"]["legs"]
    lines = [
        line(
            leg["mode"], plain(Decimal(leg["mass_kg"]) / 1000 * Decimal(leg["km"])), leg["ef"],
            "tkm", kind="transport",
            leg=Leg(mode=leg["mode"], from_="A", to="B", km=leg["km"], mass_kg=leg["mass_kg"]),
        )
        for leg in legs
    ]  # fmt: skip
    mass = Amount(legs[0]["mass_kg"], "kg")
    chain.sells("shipment", activities=lines, declared_unit=mass, output=mass)
    chain.sells("unit", "0", chain.buys("shipment", "1"))
    added = chain.added()

    assert is_printed(added.total("shipment"), cases["transport"]["expected_kg"])
    per_kg = Fraction(cases["transport"]["expected_kg"]) / Fraction(mass.amount)
    assert is_printed(
        added.total("unit"), plain(Decimal(per_kg.numerator) / per_kg.denominator)[:16]
    )


def test_electricity(chain: Any, line: Any, per: Any, cases: Any) -> None:
    case, expected = cases["electricity"]["case"], cases["electricity"]["expected"]
    rest = (
        int(case["consumption_kwh"]) - int(case["onsite_pv_kwh"]) - int(case["contract_wind_kwh"])
    )
    grid = per(case["grid_average_ef"], "kWh")
    lines = [
        line(supply, kwh, ef, "kWh", kind="energy", electricity=bought)
        for supply, kwh, ef, bought in (
            ("onSite", case["onsite_pv_kwh"], case["onsite_pv_ef"], Electricity(supply="onSite")),
            (
                "contract", case["contract_wind_kwh"], case["contract_wind_ef"],
                Electricity(supply="contract", location_factor=grid),
            ),
            (
                "residual", str(rest), case["residual_mix_ef"],
                Electricity(supply="residual", location_factor=grid),
            ),
        )
    ]  # fmt: skip
    chain.sells("year", activities=lines)
    chain.sells("cell", "0", chain.buys("year", "1"))
    added = chain.added()
    rolled = chain.rolled_up("cell")

    assert is_printed(added.total("cell"), expected["market_based_kg"])
    assert is_printed(added.total("cell", "location"), expected["location_based_kg"])
    assert is_printed(Decimal(rolled.footprint.production.fossil), expected["market_based_kg"])
    by_location = Decimal(rolled.location_footprint.production.fossil)
    assert is_printed(by_location, expected["location_based_kg"])


@pytest.mark.parametrize("basis", ["mass", "economic"])
def test_allocation(chain: Any, line: Any, cases: Any, basis: Any) -> None:
    case = cases["allocation"][basis]
    products = [(name, kg, *weight, "1")[:3] for name, kg, *weight in case["products"]]
    for name, kg, weight in products:
        others = tuple(
            CoProduct(name=other, amount=amount, unit="kg", weight=each)
            for other, amount, each in products
            if other != name
        )
        chain.sells(
            name,
            activities=[line("joint", "1", case["total_kg"], joint=True)],
            allocation=Allocation(
                basis=basis, joint_process="precipitation", weight=weight, co_products=others
            ),
            declared_unit=Amount(kg, "kg"),
            output=Amount(kg, "kg"),
        )
    added = chain.added()

    shares = [added.total(name) for name, *_ in products]

    for kg, printed in zip(shares, case["expected"], strict=True):
        assert is_printed(kg, printed)
    assert abs(sum(map(Fraction, shares)) - Fraction(case["total_kg"])) < Fraction(1, 10**30)


def scored(item: dict[str, str]) -> dict[str, Any]:
    quality = Quality(technological=item["te"], geographical=item["ge"], temporal=item["ti"])
    return {"quality": quality}


def in_two(line: Any, per: Any, item: dict[str, str], share: Decimal) -> list[Any]:
    """Return an item's primary and its secondary part as lines."""
    primary = plain(Decimal(item["kg"]) * share)
    secondary = plain(Decimal(item["kg"]) * (1 - share))
    kind = {"kind": "credit"} if item["kg"].startswith("-") else {}
    specific = {"factor": per(primary, kind="supplierSpecific"), **PRIMARY, **scored(item)}
    return [
        line(f"{item['name']}, primary", "1", primary, **specific),
        line(f"{item['name']}, secondary", "1", secondary, **scored(item), **kind),
    ]


def test_pds_dqr(chain: Any, line: Any, per: Any, cases: Any) -> None:
    """Items with a share of primary data are suppliers' products, the others own lines."""
    lines, bought = [], []
    for item in cases["pds_dqr"]["items"]:
        share = Decimal(item["pds_pct"]) / 100
        halves = in_two(line, per, item, share)
        if 0 < share < 1:
            chain.sells(slug(item["name"]), activities=halves)
            bought.append(chain.buys(slug(item["name"])))
        else:
            lines.append(halves[0] if share else halves[1])
    chain.sells("cell", "0", *bought, activities=lines)
    rolled, expected = chain.rolled_up("cell"), cases["pds_dqr"]["expected"]
    found = shares.shares(rolled.weights)
    quality = found.quality or pytest.fail("no line is scored")

    assert is_printed(footprint.total(footprint.decode(rolled.footprint)), expected["total"])
    assert is_printed(Decimal(rolled.weights.absolute), expected["abs_total"])
    assert is_printed(found.primary, expected["pds_pct"])
    assert not is_printed(found.primary, cases["pds_dqr"]["trap"].rsplit(" ", 1)[1])
    assert is_printed(quality.technological, expected["te"])
    assert is_printed(quality.geographical, expected["ge"])
    assert is_printed(quality.temporal, expected["ti"])
    assert is_printed(quality.dqr, expected["dqr_eu"])
    assert quality.covered == 100


def test_pds_chain(chain: Any, line: Any, per: Any, cases: Any) -> None:
    case = cases["pds_chain"]

    def two(primary: str, secondary: str) -> list[Any]:
        specific = per(primary, kind="supplierSpecific")
        return [line("p", "1", primary, factor=specific, **PRIMARY), line("s", "1", secondary)]

    tier2, tier1, expected = case["tier2"], case["tier1"], case["expected"]
    chain.sells("tier2", activities=two(tier2["direct_primary_kg"], tier2["secondary_kg"]))
    chain.sells(
        "tier1", "0", chain.buys("tier2", tier1["uses_tier2_kg_per_kg"]),
        activities=two(tier1["own_primary_kg"], tier1["own_secondary_kg"]),
    )  # fmt: skip
    added = chain.added()

    for name in ("tier1", "tier2"):
        assert is_printed(added.total(name), expected[f"{name}_pcf"])
        found = shares.shares(chain.rolled_up(name).weights)
        assert is_printed(found.primary, expected[f"{name}_pds_pct"])


def test_weights_split(chain: Any, line: Any, per: Any, cases: Any) -> None:
    nested = cases["weights_split"]["nested"]
    own = [
        line("in", "1", "10", factor=per("10", kind="supplierSpecific"), **PRIMARY),
        line("back", "1", "-4", kind="credit"),
    ]
    more = line("more", "1", "6")
    chain.sells("A", activities=own)
    chain.sells("B", "0", chain.buys("A", "1"), activities=[more])
    chain.sells("both", activities=[*own, more])
    added = chain.added()

    for name, case in (("A", nested["A"]), ("B", nested["B"]), ("both", nested["B"])):
        tally = added.tally(name)
        assert plain(added.total(name)) == case["total"]
        assert plain(tally["absolute"]) == case["absolute"]
        assert plain(tally["primary"]) == case["primary_weighted"]
    found = shares.shares(chain.rolled_up("B").weights)
    assert is_printed(found.primary, nested["B"]["primary_share_percent"])
    trap = re.search(r"[0-9]+\.[0-9]+", cases["weights_split"]["trap"])
    assert trap is not None
    assert not is_printed(found.primary, trap[0])
    assert msgspec.structs.astuple(chain.rolled_up("B").weights) == msgspec.structs.astuple(
        chain.rolled_up("both").weights
    )


def test_overlapping_loops(chain: Any, cases: Any) -> None:
    matrix = cases["overlapping_loops"]["A (row consumes column)"]
    for i, row in enumerate(matrix):
        inputs = [chain.buys(f"p{j}", gain) for j, gain in enumerate(row) if gain != "0"]
        chain.sells(f"p{i}", "1", *inputs)

    with pytest.raises(UnproductiveError) as refused:
        chain.added()
    assert [f"p{i} (urn:test:p{i} of p{i}.example)" in str(refused.value) for i in range(3)] == [
        True, True, True
    ]  # fmt: skip
    assert cases["overlapping_loops"]["expected"] == "refused"


def test_each_of_the_overlapping_loops_alone(chain: Any, cases: Any) -> None:
    matrix = cases["overlapping_loops"]["A (row consumes column)"]
    gain = Fraction(matrix[0][1]) * Fraction(matrix[1][0])
    chain.sells("p0", "1", chain.buys("p1", matrix[0][1]))
    chain.sells("p1", "0", chain.buys("p0", matrix[1][0]))

    assert gain == Fraction(cases["overlapping_loops"]["gain_of_each_loop"])
    assert abs(Fraction(chain.added().total("p0")) - 1 / (1 - gain)) < Fraction(1, 10**32)


def test_cutoff(chain: Any, cases: Any) -> None:
    case, expected = cases["cutoff"]["case"], cases["cutoff"]["expected"]
    out = Exclusion(name="glue", reason="small", estimate=case["estimated_excluded_kg"])
    chain.sells("cell", case["modelled_kg"], exclusions=(out,))

    exempted = Decimal(chain.rolled_up("cell").exempted_percent)

    assert is_printed(exempted, expected["exempted_pct_of_full"])
    assert not is_printed(exempted, expected["exempted_pct_of_modelled(wrong)"])
    assert (exempted <= 3) is expected["passes_3pct"]
    assert (exempted <= 1) is expected["passes_1pct"]
    again = shares.exempted_percent(
        Decimal(case["modelled_kg"]), Decimal(case["estimated_excluded_kg"])
    )
    assert again == exempted


def test_functional_unit_eu_draft_da(chain: Any, cases: Any) -> None:
    table = {"M1": 60, "N1": 60, "L": 20, "M2": 250, "M3": 250, "N2": 250, "N3": 250}
    for case in cases["functional_unit_eu_draft_da"]["cases"]:
        cycles = table[case["vehicle_category"]]
        service = Service(cycles_per_year=Decimal(cycles), years=Decimal(case["service_years"]))
        battery = Battery(
            model="B1", chemistry="NMC622", category=case["vehicle_category"],
            usable_kwh=case["usable_energy_kwh"], service_years=str(case["service_years"]),
            full_cycles_per_year=str(case["feqc_per_year"]), per_kwh_delivered="0",
        )  # fmt: skip
        cells = {Cell("production", "fossil"): Decimal(case["cf_total_kg"])}

        kwh = functional.kwh_delivered(battery.usable_kwh, service)
        found = functional.eu_draft(cells, battery.usable_kwh, service)

        assert cycles == case["feqc_per_year"]
        assert is_printed(kwh, case["e_total_kwh"])
        assert is_printed(found, case["kg_co2e_per_kwh_delivered"])
        assert is_printed(convert(found, "kg", "g"), case["g_per_kwh_delivered"])
        assert functional.miit(cells, kwh) == found
        assert rollup.per_kwh_delivered(battery, Decimal(case["cf_total_kg"])) == found


@pytest.mark.parametrize("case", range(3))
def test_circular_footprint_formula(cases: Any, case: int) -> None:
    given = cases["circular_footprint_formula"]["cases"][case]
    names = {
        "a": "A", "r1": "R1", "e_virgin": "Ev", "e_recycled": "Erecycled", "quality_in": "Qsin_Qp",
        "r2": "R2", "e_recycling": "ErecEoL", "e_virgin_saved": "Ev_star",
        "quality_out": "Qsout_Qp", "b": "B", "r3": "R3", "e_burning": "Eer", "lhv": "LHV",
        "x_heat": "Xer_heat", "e_heat": "Ese_heat", "x_power": "Xer_elec", "e_power": "Ese_elec",
        "e_disposal": "Ed",
    }  # fmt: skip
    material = Circular(**{ours: Decimal(given[name]) for ours, name in names.items()})

    found = circular.footprint(material)

    assert {*names.values(), "name", "expected"} == given.keys()
    for part in ("material", "energy", "disposal", "total"):
        assert is_printed(getattr(found, part), given["expected"][part])


def spread_lines(line: Any, per: Any, items: Any, gsds: Sequence[str], datasets: str) -> list[Any]:
    return [
        line(
            f"item {i}", "1", item["kg"],
            factor=per(item["kg"], gsd=gsd, dataset=dataset),
        )
        for i, (item, gsd, dataset) in enumerate(zip(items, gsds, datasets, strict=True))
    ]  # fmt: skip


def spread_of(chain: Any, name: str) -> Interval:
    """Return the interval of a product, from signed lines through the whole engine."""
    added = chain.added(name)
    needed = added.needed(name)
    found = uncertainty.interval(added.total(name), uncertainty.spreads(added.totals, needed))
    assert found is not None
    return found


def test_uncertainty(chain: Any, line: Any, per: Any, cases: Any) -> None:
    case = cases["uncertainty"]
    gsds = [item["gsd"] for item in case["items"]]
    chain.sells("it", activities=spread_lines(line, per, case["items"], gsds, "abcd"))

    found = spread_of(chain, "it")

    assert is_printed(found.gsd, case["expected"]["gsd_total"])
    assert is_printed(found.low, case["expected"]["ci95"][0])
    assert is_printed(found.high, case["expected"]["ci95"][1])


def test_uncertainty_of_amounts_is_that_of_as_many_datasets(
    chain: Any, line: Any, cases: Any
) -> None:
    case = cases["uncertainty"]
    lines = [
        line(f"item {i}", "1", item["kg"], amount_gsd=item["gsd"])
        for i, item in enumerate(case["items"])
    ]
    chain.sells("it", activities=lines)

    assert is_printed(spread_of(chain, "it").gsd, case["expected"]["gsd_total"])


def test_uncertainty_of_one_dataset_at_two_suppliers(
    chain: Any, line: Any, per: Any, cases: Any
) -> None:
    """The first two items share a dataset, and each is another company's."""
    case = cases["uncertainty"]
    shared = case["items"][1]["gsd"]
    gsds = [shared, *(item["gsd"] for item in case["items"][1:])]
    lines = spread_lines(line, per, case["items"], gsds, "aacd")
    assert f"GSD {shared} both" in case["correlated"]["note"]
    for i, each in enumerate(lines[:2]):
        chain.sells(f"part{i}", activities=[each])
    chain.sells("it", "0", chain.buys("part0"), chain.buys("part1"), activities=lines[2:])

    assert is_printed(spread_of(chain, "it").gsd, case["correlated"]["expected_gsd"])


def test_uncertainty_of_a_pedigree(cases: Any) -> None:
    table = {
        axis: [Decimal(str(each)) for each in row]
        for axis, row in cases["uncertainty"]["pedigree_variances_ecoinvent3"].items()
        if axis != "use"
    }
    case = cases["uncertainty"]["pedigree_case"]
    scores = dict(zip(table, case["scores"], strict=True))

    found = uncertainty.pedigree_gsd(Decimal(str(case["basic"])), table, scores)

    assert is_printed(found, case["expected_gsd"])


def test_units_of_carbon(cases: Any) -> None:
    numerator, _, denominator = cases["units"]["exact"]["1 kg C"].partition(" ")[0].partition("/")

    assert cases["units"]["exact"]["1 kg C"].endswith(" kg CO2")
    assert plain(carbon.co2_of(Decimal(denominator))) == numerator


@pytest.mark.parametrize("row", range(4))
def test_pact_v3_examples_warn_and_are_never_refused(cases: Any, row: int) -> None:
    """What holds: uptake is -C x 44/12, and the two totals differ by it. Components need not."""
    given = cases["pact_v3_examples"]["rows"][row]
    uptake, excluding = Decimal(given["uptake"]), Decimal(given["pcfEx"])
    kept = ("fossil", "lmFossil", "lmBio", "luc")
    stated = [Decimal(given[name] or "0") for name in kept]
    everything = sum(stated) + Decimal(given["bioNonCO2"])

    found = carbon.uptake_of(Decimal(given["bioC"]))

    assert is_printed(found, given["uptake"])
    for bound in (uptake, found):
        whole = {Cell("production", "fossil"): excluding, Cell("use", "biogenicUptake"): bound}
        assert is_printed(footprint.total(whole, footprint.INCLUDING_UPTAKE), given["pcfIn"])
        assert footprint.has_uptake(whole) == bool(bound)
    assert carbon.differs("uptake", uptake, found) is None
    assert carbon.differs("components", excluding, Decimal(sum(stated))) is None
    warned = carbon.differs("components", excluding, everything)
    assert (warned is None) == is_printed(everything, given["pcfEx"])


def test_every_case_is_one_of_these_tests(cases: Any) -> None:
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    elsewhere = {"staging_nmc622"}  # on a whole case, in tests/system/test_demo.py

    assert [
        case
        for case in cases.keys() - elsewhere
        if not any(test.startswith(case) for test in tests)
    ] == []
