import csv
import io
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcca_node.sheets.rows import plain_number
from bcca_node.supplier import cases
from bcca_node.supplier.case_drafts import draft_predicates, last_full_year
from bcca_node.supplier.case_rows import Company
from bcca_node.supplier.cases import Case, read_case
from bcca_protocol import footprint, partial, statement, wire
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.footprint import Cell, Footprint
from bcca_protocol.inventory import Activity, Interval, Supplier
from bcca_protocol.partial import Part
from bcca_protocol.statement import PartialFootprint

YEAR = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
COMMITMENT = "0" * 64
SHARED_CASES = ["nmc622_pack", "sib_pack", "loop_recycling"]

PROCESS = ("process_id", "name", "location", "product", "unit", "output_amount", "max_tier")
ROW = (
    "process_id", "flow_type", "input_id", "input_name", "input_location", "amount", "unit",
    "stage",
)  # fmt: skip
FACTOR = (
    "factor_id", "kind", "name", "location", "unit", "ef_fossil", "ef_biogenic", "ef_luluc",
    "ef_total", "proxy_for",
)  # fmt: skip
COMPANY = ("process_id", "company_id", "company_name", "country")
RAW = "raw_material_acquisition"
NO_NUMBERS = [
    "", "nan", "NaN", "inf", "-inf", "Infinity", "1,5", "1.000,5", "1 000", "1_000", "1e", "e5",
    "0x1", "one", "\u0661", "\uff11", "1E99999", "1E-99999", "1E9999", "1E200", "1E-130", "--1",
    "0." + "3" * 35, "1" * 35, "1" * 500, "1\x00", ".",
]  # fmt: skip


def as_csv(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


@dataclass(kw_only=True)
class Folder:
    """A case folder in the making: a pack of two cells, and the steel both need."""

    path: Path
    processes: list[tuple[str, ...]] = field(default_factory=lambda: [
        ("P1", "pack assembly", "CN", "pack", "unit", "1", "0"),
        ("P2", "cell production", "DE", "cell", "kilogram", "0.5", "1"),
    ])  # fmt: skip
    inventory: list[tuple[str, ...]] = field(default_factory=lambda: [
        ("P1", "process", "P2", "cell", "DE", "2", "kilogram", ""),
        ("P1", "background", "F1", "steel", "GLO", "3", "kilogram", RAW),
        ("P2", "background", "F1", "steel", "GLO", "0.25", "kilogram", RAW),
        ("P2", "background", "F2", "power", "CN", "4", "kilowatt hour", "main_production"),
    ])  # fmt: skip
    factors: list[tuple[str, ...]] = field(default_factory=lambda: [
        ("F1", "background", "steel", "GLO", "kilogram", "2", "0.1", "0.01", "2.11", ""),
        ("F2", "background", "power", "CN", "kilowatt hour", "0.5", "", "", "", ""),
    ])  # fmt: skip
    companies: list[tuple[str, ...]] | None = None
    expected: object = None
    raw: dict[str, bytes] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)

    def read(self) -> Case:
        """Write the folder and read it."""
        files = {
            "processes.csv": as_csv(PROCESS, self.processes),
            "inventory.csv": as_csv(ROW, self.inventory),
            "factors.csv": as_csv(FACTOR, self.factors),
        }
        if self.companies is not None:
            files["companies.csv"] = as_csv(COMPANY, self.companies)
        if self.expected is not None:
            files["expected.json"] = json.dumps(self.expected).encode()
        self.path.mkdir(exist_ok=True)
        for name, data in (files | self.raw).items():
            if name not in self.without:
                (self.path / name).write_bytes(data)
        return read_case(self.path)

    def problems(self) -> list[str]:
        """Return the lines of the refusal of this folder."""
        with pytest.raises(UnusableError) as refused:
            self.read()
        first, *problems = str(refused.value).split("\n  ")
        return problems or [first.removeprefix(f"case {self.path.name}: ")]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(path=tmp_path / "pack")


def drafts(case: Case) -> list[PartialFootprint]:
    """Return every process of a case as its company, or a company of its own, states it."""

    def company(process_id: str) -> Company:
        named = (case.companies or {}).get(process_id)
        return named or Company(id=process_id, name=f"Company {process_id}")

    def supplier(process_id: str) -> Supplier:
        origin = f"{company(process_id).id.lower()}.example"
        return Supplier(origin=origin, key=f"{origin}+00000000+AAAA")

    return draft_predicates(case, list(case.processes), supplier, company, YEAR)


def parts(case: Case) -> dict[str, Part]:
    """Return what verifiers read in the statements of a case, by product."""
    found = {}
    for draft in drafts(case):
        payload = wire.encode(statement.of(draft))
        match statement.decode(payload):
            case statement.PartialStatement(predicate=predicate):
                found[predicate.product.id] = partial.reduce(predicate, COMMITMENT)
    return found


def add_up(product: str, known: dict[str, Part], done: dict[str, Footprint]) -> Footprint:
    """Return kg CO2e of one unit of a product of a case without loops, and write it in `done`."""
    if product not in done:
        part = known[product]
        sums = dict(part.own)
        for each in part.bought:
            for cell, kg in add_up(each.product, known, done).items():
                sums[cell] = sums.get(cell, Decimal(0)) + each.amount * kg / part.output
        done[product] = sums
    return done[product]


def close(found: Decimal, expected: str) -> bool:
    wanted = Decimal(expected)
    return abs(found - wanted) <= max(Decimal("1e-12") * abs(wanted), Decimal("1e-15"))


def json_of(value: object) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return made


# The cases we have


@pytest.mark.parametrize("name", SHARED_CASES)
def test_every_statement_of_the_shared_cases_is_accepted_as_a_verifier_would(
    shared: Path, name: str
) -> None:
    case = read_case(shared / "data/cases" / name)

    assert list(parts(case)) == [cases.urn(name, process_id) for process_id in case.processes]
    assert sum(len(d.activities) + len(d.inputs) for d in drafts(case)) == len(case.rows)


@pytest.mark.parametrize("name", ["nmc622_pack", "sib_pack"])
def test_the_statements_of_a_shared_case_add_up_to_its_known_answers(
    shared: Path, name: str
) -> None:
    case = read_case(shared / "data/cases" / name)
    expected: Any = case.expected
    done: dict[str, Footprint] = {}
    known = parts(case)
    root = add_up(cases.urn(name, case.reference().process_id), known, done)
    stages = footprint.by_stage(root)

    assert close(footprint.total(root), expected["total"])
    assert close(footprint.by_component(root)["landUseChange"], expected["luluc"])
    assert close(footprint.by_component(root)["biogenicNonCO2"], expected["biogenic"])
    assert close(stages["rawMaterial"], expected["by_stage"]["raw_material_acquisition"])
    assert close(stages["production"], expected["by_stage"]["main_production"])
    assert close(stages["endOfLife"], expected["by_stage"]["end_of_life"])
    for each in expected["unit_pcf"]:
        product = add_up(cases.urn(name, each["process_id"]), known, done)
        assert close(footprint.total(product), each["total"])


def test_the_shipped_case_is_the_shared_one_without_its_answers(shared: Path) -> None:
    ours, theirs = cases.shipped_case(), shared / "data/cases/nmc622_pack"

    for file in ("processes.csv", "inventory.csv", "factors.csv", "companies.csv"):
        assert (ours / file).read_bytes() == (theirs / file).read_bytes()
    expected = json.loads((theirs / "expected.json").read_bytes())
    for name, value in json.loads((ours / "expected.json").read_bytes()).items():
        assert value == expected[name] or name == "source"


def test_the_shipped_case_needs_no_folder_beside_the_package() -> None:
    case = read_case(cases.shipped_case())

    assert case.name == "nmc622_pack"
    assert len(case.processes) == 55
    assert len({c.id for c in (case.companies or {}).values()}) == 19
    assert case.reference() == cases.Reference(
        process_id="P001", amount=Decimal(1), unit="kWhCapacity"
    )


def test_the_shipped_case_says_where_it_comes_from_in_every_factor() -> None:
    case = read_case(cases.shipped_case())
    sources = {a.factor.source for draft in drafts(case) for a in draft.activities}
    attribution = (cases.shipped_case() / "ATTRIBUTION.md").read_text(encoding="utf-8")

    assert sources == {case.source}
    for words in ("carculator_utils 1.3.5", "Paul Scherrer Institut", "BSD-3-Clause"):
        assert words in case.source
        assert words in attribution
    assert "Redistributions of source code must retain" in attribution
    assert "ecoinvent" in case.source


def test_a_case_with_a_loop_and_a_self_loop_has_the_reference_it_names(shared: Path) -> None:
    case = read_case(shared / "data/cases/loop_recycling")
    own_power = parts(case)[cases.urn("loop_recycling", "P007")]

    assert case.reference().process_id == "P001"
    assert own_power.bought[0].product == own_power.product


# What a row becomes


def test_a_process_becomes_a_statement_per_one_unit_of_its_product(folder: Folder) -> None:
    pack, cell = drafts(folder.read())

    assert (pack.product.id, pack.product.name) == ("urn:bcca:case:pack:P1", "pack")
    assert (pack.declared_unit.amount, pack.declared_unit.unit) == ("1", "piece")
    assert (cell.declared_unit.amount, cell.output.amount, cell.output.unit) == ("1", "0.5", "kg")
    assert (pack.issuer, pack.producer.name, pack.sharing) == ("p1.example", "Company P1", "public")
    assert (pack.period, pack.validity, pack.site) == (YEAR, None, None)
    assert json_of(pack.method) == {
        "standards": [], "gwp": "AR6", "recycling": "cutOff", "electricity": "location",
        "boundary": "pack assembly | CN",
    }  # fmt: skip
    assert footprint.decode(cell.footprint) == {
        Cell("rawMaterial", "fossil"): Decimal(1),
        Cell("rawMaterial", "biogenicNonCO2"): Decimal("0.05"),
        Cell("rawMaterial", "landUseChange"): Decimal("0.005"),
        Cell("production", "fossil"): Decimal(4),
    }


def test_a_flow_of_the_case_becomes_an_input_of_its_makers_product(folder: Folder) -> None:
    pack, _ = drafts(folder.read())

    assert json_of(pack.inputs[0]) == {
        "id": "L1", "product": "urn:bcca:case:pack:P2",
        "supplier": {"origin": "p2.example", "key": "p2.example+00000000+AAAA"},
        "amount": "2", "unit": "kg",
        "stages": "keep",
    }  # fmt: skip


def test_another_flow_becomes_a_line_with_a_secondary_factor(folder: Folder) -> None:
    pack, _ = drafts(folder.read())

    assert json_of(pack.activities[0]) == {
        "id": "L2", "name": "steel", "stage": "rawMaterial", "kind": "material", "amount": "3",
        "unit": "kg", "amountKind": "calculated",
        "factor": {
            "kind": "secondary", "source": "case pack", "dataset": "steel | GLO",
            "geography": "GLO", "unit": "kg", "gas": "co2e", "gwp": "AR6",
            "values": {"fossil": "2", "biogenicNonCO2": "0.1", "landUseChange": "0.01"},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flow_type", "unit", "kind"),
    [
        ("background", "kilogram", "material"),
        ("background", "unit", "material"),
        ("background", "cubic meter", "material"),
        ("background", "hour", "material"),
        ("background", "kilowatt hour", "energy"),
        ("background", "megajoule", "energy"),
        ("background", "kWhLHV", "energy"),
        ("background", "ton kilometer", "transport"),
        ("waste", "kilogram", "waste"),
        ("waste", "megajoule", "waste"),
        ("emission", "kilogram", "emission"),
    ],
)
def test_the_kind_of_a_line_comes_from_its_flow_type_and_unit(
    folder: Folder, flow_type: str, unit: str, kind: str
) -> None:
    folder.factors[0] = ("F1", flow_type, "it", "GLO", unit, "2", "", "", "", "")
    folder.inventory = [("P1", flow_type, "F1", "it", "GLO", "3", unit, RAW)]

    assert only_line(folder).kind == kind


def only_line(folder: Folder) -> Activity:
    (line,) = drafts(folder.read())[0].activities
    return line


@pytest.mark.parametrize(
    ("written", "stage"),
    [
        (RAW, "rawMaterial"),
        ("main_production", "production"),
        ("distribution", "distribution"),
        ("use", "use"),
        ("end_of_life", "endOfLife"),
    ],
)
def test_the_stage_of_a_line_is_its_rows(folder: Folder, written: str, stage: str) -> None:
    folder.inventory = [("P1", "waste", "F1", "it", "", "3", "kilogram", written)]

    assert only_line(folder).stage == stage


@pytest.mark.parametrize(
    ("location", "geography", "dataset"),
    [
        ("CN", "CN", "steel | CN"),
        ("Europe without Switzerland", "Europe without Switzerland", None),
        ("('air',)", "not stated", "steel | ('air',)"),
        ("", "not stated", "steel"),
    ],
)
def test_a_place_is_geography_as_text_and_a_compartment_is_no_place(
    folder: Folder, location: str, geography: str, dataset: str | None
) -> None:
    folder.factors[0] = ("F1", "background", "steel", location, "kilogram", "2", "", "", "", "")
    folder.inventory = [("P1", "background", "F1", "steel", location, "3", "kilogram", RAW)]
    factor = only_line(folder).factor

    assert (factor.geography, factor.dataset) == (geography, dataset or f"steel | {location}")


def test_a_factor_that_stands_for_another_is_a_proxy(folder: Folder) -> None:
    folder.factors[0] = (*folder.factors[0][:-1], "stainless steel")
    pack, _ = drafts(folder.read())

    assert pack.activities[0].factor.kind == "proxy"


def test_a_kilowatt_hour_of_storage_capacity_is_no_energy(folder: Folder) -> None:
    folder.processes[1] = (
        "P2", "cells", "GLO", "electricity storage capacity", "kilowatt hour", "1", ""
    )  # fmt: skip
    folder.inventory[0] = ("P1", "process", "P2", "cells", "GLO", "60", "kilowatt hour", "")
    case = folder.read()
    pack, cells = drafts(case)

    assert (cells.declared_unit.unit, cells.output.unit) == ("kWhCapacity", "kWhCapacity")
    assert pack.inputs[0].unit == "kWhCapacity"
    assert case.reference("P2").unit == "kWhCapacity"


def test_energy_does_not_buy_storage_capacity(folder: Folder) -> None:
    folder.processes[1] = ("P2", "c", "", "electricity storage capacity", "kilowatt hour", "1", "")
    folder.inventory[0] = ("P1", "process", "P2", "c", "", "60", "megajoule", "")

    assert folder.problems() == [
        "inventory.csv row 2: 60 MJ (energy) is not an amount in kWhCapacity (storage capacity), "
        "the unit of 'P2'"
    ]


def test_zeros_duplicates_and_self_loops_stay_lines_of_their_own(folder: Folder) -> None:
    folder.inventory = [
        ("P1", "process", "P1", "", "", "0.1", "unit", ""),
        ("P1", "process", "P2", "", "", "0", "kilogram", ""),
        ("P1", "background", "F1", "", "", "1", "kilogram", RAW),
        ("P1", "background", "F1", "", "", "1", "kilogram", RAW),
        ("P1", "background", "F1", "", "", "0.0", "kilogram", RAW),
    ]
    pack, cell = drafts(folder.read())

    assert [(i.id, i.product[-2:], i.amount) for i in pack.inputs] == [
        ("L1", "P1", "0.1"), ("L2", "P2", "0")
    ]  # fmt: skip
    assert [(a.id, a.name, a.amount) for a in pack.activities] == [
        ("L3", "steel", "1"), ("L4", "steel", "1"), ("L5", "steel", "0.0")
    ]  # fmt: skip
    assert (cell.activities, cell.inputs) == ((), ())


def test_a_unit_of_another_size_fits_and_is_converted_by_the_statement(folder: Folder) -> None:
    folder.inventory = [("P1", "background", "F1", "steel", "", "3", "ton", RAW)]

    assert footprint.total(footprint.decode(drafts(folder.read())[0].footprint)) == 6330


def test_a_company_has_a_site_where_its_process_lies_in_its_own_country(folder: Folder) -> None:
    folder.companies = [("P1", "maker", "Maker", "CN"), ("P2", "cells", "Cells", "DE")]
    pack, cell = drafts(folder.read())
    folder.companies = [("P1", "maker", "Maker", ""), ("P2", "cells", "Cells", "CN")]
    stateless, abroad = drafts(folder.read())

    assert json_of(cell.site) == {"id": "DE", "country": "DE"}
    assert json_of(pack.site) == {"id": "CN", "country": "CN"}
    assert (pack.inputs[0].site, pack.producer.name) == ("DE", "Maker")
    assert (stateless.site, abroad.site, stateless.inputs[0].site) == (None, None, None)


def test_sixty_companies_run_a_chain_of_sixty_processes(folder: Folder) -> None:
    names = [f"P{n:03}" for n in range(60)]
    folder.processes = [(n, n, "GLO", f"product of {n}", "kilogram", "2", "") for n in names]
    folder.inventory = [
        (a, "process", b, "", "", "2", "kilogram", "") for a, b in itertools.pairwise(names)
    ]
    folder.inventory.append(("P059", "background", "F1", "", "", "2", "kilogram", RAW))
    folder.companies = [(name, f"c{name}", f"Company {name}", "CN") for name in names]
    case = folder.read()

    assert len({c.id for c in (case.companies or {}).values()}) == 60
    assert case.reference().process_id == "P000"
    root = add_up(cases.urn("pack", "P000"), parts(case), {})
    assert footprint.total(root) == Decimal("2.11")


def test_a_statement_too_large_to_write_is_refused_by_process(folder: Folder) -> None:
    folder.inventory = [
        ("P1", "background", "F1", "steel", "", "1E90", "kilogram", RAW),
        ("P2", "background", "F1", "steel", "", "1E90", "kilogram", RAW),
    ]
    folder.factors[0] = ("F1", "background", "steel", "", "kilogram", "1E90", "", "", "", "")
    case = folder.read()

    with pytest.raises(UnusableError, match=r"(?s)2 problems.*process P1: .*process P2: .*longer"):
        drafts(case)


# Numbers


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("1", "1"),
        ("1.0", "1.0"),
        ("0", "0"),
        ("0.0", "0.0"),
        (" 2.50 ", "2.50"),
        ("1E-7", "0.0000001"),
        ("2.5e-05", "0.000025"),
        ("1e3", "1000"),
        ("1.5E+2", "150"),
        ("0e5", "0"),
        ("0E-9999", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("+3", "3"),
        ("03", "3"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-2.573655199093861", "-2.573655199093861"),
        ("1e-125", "0." + "0" * 124 + "1"),
    ],
)
def test_a_number_is_taken_exactly_and_written_plain(written: str, plain: str) -> None:
    assert plain_number(written) == plain
    assert re.search(wire.NUMBER, plain)


@pytest.mark.parametrize("written", NO_NUMBERS)
def test_what_is_not_a_number_is_refused(written: str) -> None:
    with pytest.raises(BccaError):
        plain_number(written)


def test_floats_as_python_writes_them_are_taken_exactly() -> None:
    for exponent in range(-90, 90):
        value = 1.2345678901234567 * 10.0**exponent

        assert Decimal(plain_number(repr(value))) == Decimal(repr(value))


# What is wrong is told at once


def test_everything_wrong_in_a_folder_is_told_at_once_with_file_and_row(folder: Folder) -> None:
    folder.processes += [
        ("P1", "pack again", "", "pack", "unit", "1", ""),
        ("P3", "", "", "", "kilo", "0", ""),
        ("", "no id", "", "no id", "kilogram", "-1", ""),
        ("../P4", "climbing", "", "climbing", "kilogram", "1,5", ""),
    ]
    folder.inventory += [
        ("P9", "process", "P8", "", "", "nan", "kilogram", ""),
        ("P1", "background", "F9", "", "", "1", "kilogram", RAW),
        ("P1", "background", "F2", "", "", "1", "kilogram", RAW),
        ("P1", "resource", "F1", "", "", "-1", "kilogram", RAW),
        ("P1", "waste", "F1", "", "", "1", "kilogram", "somewhen"),
        ("P1", "waste", "F1", "", "", "1", "kilogram", ""),
        ("P1", "process", "P2", "", "", "1", "kilowatt hour", ""),
        ("P1", "process", "P3", "", "", "1", "kilogram", ""),
    ]
    folder.factors += [
        ("F1", "background", "steel", "", "kilogram", "1", "", "", "", ""),
        ("F3", "background", "tin", "", "kilogram", "", "", "", "4.5", ""),
        ("F4", "background", "zinc\x1b[31m", "", "kilogram", "inf", "", "", "", ""),
    ]
    folder.companies = [
        ("P1", "maker", "Maker", "CN"), ("P1", "maker", "Maker", "CN"),
        ("P2", "maker", "Other name", "CN"), ("P7", "x", "X", "China"), ("P3", "a/b", "", ""),
    ]  # fmt: skip
    folder.expected = {"reference_flow": {"process_id": "P5", "amount": "1"}}

    assert folder.problems() == [
        "processes.csv row 4: process_id 'P1' stands in row 2 already",
        "processes.csv row 5: product is empty",
        "processes.csv row 5: unit 'kilo' is not a unit of the table",
        "processes.csv row 5: name is empty",
        "processes.csv row 5: output_amount: 0 is not above zero",
        "processes.csv row 6: process_id is empty",
        "processes.csv row 6: output_amount: -1 is not above zero",
        "processes.csv row 7: process_id '../P4' cannot name a folder: no slash, no dot in front, "
        "at most 200 bytes",
        "processes.csv row 7: output_amount '1,5' is not a number, write a decimal point",
        "factors.csv row 4: factor_id 'F1' stands in row 2 already",
        "factors.csv row 5: ef_fossil, ef_biogenic and ef_luluc are all empty, where one is needed",
        "factors.csv row 6: name 'zinc\\x1b[31m' holds control characters, which are not shown",
        "factors.csv row 6: ef_fossil 'inf' is not a number",
        "inventory.csv row 6: process_id 'P9' is not in processes.csv",
        "inventory.csv row 6: input_id 'P8' is not in processes.csv",
        "inventory.csv row 6: amount 'nan' is not a number",
        "inventory.csv row 7: input_id 'F9' is not in factors.csv",
        "inventory.csv row 8: 1 kg (mass) is not an amount in kWh (energy), the unit of 'F2'",
        "inventory.csv row 9: flow_type 'resource' is none of process, background, waste, emission",
        "inventory.csv row 9: amount: -1 is below zero",
        "inventory.csv row 10: stage 'somewhen' is none of raw_material_acquisition, "
        "main_production, distribution, use, end_of_life",
        "inventory.csv row 11: stage is empty",
        "inventory.csv row 12: 1 kWh (energy) is not an amount in kg (mass), the unit of 'P2'",
        "companies.csv: no company runs the process '../P4'",
        "companies.csv: company 'maker' is 'Maker' (CN) and 'Other name' (CN)",
        "companies.csv row 3: process_id 'P1' stands in row 2 already",
        "companies.csv row 5: country 'China' is not two capital letters of ISO 3166-1",
        "companies.csv row 5: process_id 'P7' is not in processes.csv",
        "companies.csv row 6: company_id 'a/b' cannot name a folder: no slash, no dot in front, "
        "at most 200 bytes",
        "companies.csv row 6: company_name is empty",
        "expected.json: reference_flow: process_id 'P5' is not in processes.csv",
    ]


@pytest.mark.parametrize("file", ["processes.csv", "inventory.csv", "factors.csv"])
def test_a_missing_or_empty_file_is_one_problem(folder: Folder, file: str) -> None:
    folder.without = {file}
    assert folder.problems() == [f"{file}: there is no such file in the folder"]

    folder.without = set()
    for data in (b"", b"\n\n", b"\xef\xbb\xbf"):
        folder.raw = {file: data}
        assert folder.problems() == [f"{file}: is empty"]


@pytest.mark.parametrize(
    ("file", "header"),
    [("processes.csv", PROCESS), ("inventory.csv", ROW), ("factors.csv", FACTOR)],
)
def test_a_file_of_only_a_header_is_one_problem(
    folder: Folder, file: str, header: tuple[str, ...]
) -> None:
    folder.raw = {file: as_csv(header, [])}

    assert folder.problems() == [f"{file}: has no rows below its header"]


def test_missing_and_repeated_columns_are_named(folder: Folder) -> None:
    folder.raw = {"inventory.csv": b"process_id,amount,amount,unit\nP1,1,1,kg\n"}

    assert folder.problems() == [
        "inventory.csv: has no column flow_type, input_id, stage: it has process_id, amount, "
        "amount, unit",
        "inventory.csv: has the column amount twice",
    ]


def test_a_file_separated_by_semicolons_is_told_so(folder: Folder) -> None:
    folder.raw = {"factors.csv": as_csv(FACTOR, folder.factors).replace(b",", b";")}
    (problem,) = folder.problems()

    assert problem.startswith("factors.csv: has no column factor_id, name, location, unit: ")
    assert problem.endswith(", separated by ';' where ',' belongs")


def test_a_decimal_comma_without_quotes_is_seen_by_the_cell_too_many(folder: Folder) -> None:
    data = as_csv(ROW, folder.inventory).replace(b"GLO,3,", b"GLO,3,5,")
    folder.raw = {"inventory.csv": data}

    assert folder.problems() == [
        "inventory.csv row 3: 9 cells, where the header names 8: is it a decimal comma?",
        "inventory.csv row 3: unit '5' is not a unit of the table",
        "inventory.csv row 3: stage 'kilogram' is none of raw_material_acquisition, "
        "main_production, distribution, use, end_of_life",
    ]


@pytest.mark.parametrize(
    ("encoding", "says"),
    [("gbk", "but may be GBK: save it as UTF-8"), ("utf-16", "but UTF-16: save it as UTF-8")],
)
def test_a_file_in_another_encoding_is_told_so(folder: Folder, encoding: str, says: str) -> None:
    folder.processes[1] = ("P2", "电芯生产", "CN", "电芯", "kilogram", "1", "")
    text = as_csv(PROCESS, folder.processes).decode()
    folder.raw = {"processes.csv": text.encode(encoding)}
    (problem,) = folder.problems()

    assert re.match(r"processes\.csv row \d: byte 0x[0-9a-f]{2} is not UTF-8 ", problem)
    assert problem.endswith(says)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_marks_line_ends_blank_lines_and_other_columns_do_not_matter(
    folder: Folder, end: str
) -> None:
    text = as_csv((*PROCESS, "note", ""), [(*row, "", "") for row in folder.processes]).decode()
    marked = text.replace("\r\n", f"{end}{end}").encode("utf-8-sig")
    folder.raw = {"processes.csv": marked, "expected.json": b"\xef\xbb\xbf{}"}

    assert list(folder.read().processes) == ["P1", "P2"]


def test_short_rows_lack_only_what_may_be_empty(folder: Folder) -> None:
    folder.raw = {"inventory.csv": as_csv(ROW, [row[:7] for row in folder.inventory[:1]])}
    assert len(folder.read().rows) == 1

    folder.raw = {"inventory.csv": as_csv(ROW, [folder.inventory[0][:5]])}
    assert folder.problems() == [
        "inventory.csv row 2: amount '' is not a number",
        "inventory.csv row 2: unit is empty",
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'process_id,"name\n', "not CSV: "),
        (b"process_id," + b"n" * 200_000, "not CSV: field larger than"),
        (b'a\n"b"c\n', "not CSV: |has no column"),
    ],
)
def test_what_is_no_csv_is_refused(folder: Folder, data: bytes, says: str) -> None:
    folder.raw = {"processes.csv": data}

    assert re.search(says, folder.problems()[0])


def test_a_folder_in_the_place_of_a_file_is_refused(folder: Folder) -> None:
    folder.without = {"factors.csv"}
    (folder.path / "factors.csv").mkdir(parents=True)

    assert folder.problems() == ["factors.csv: cannot be read: Is a directory"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    for path in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(UnusableError, match="there is no such folder"):
            read_case(path)


def test_very_many_problems_are_counted_and_the_first_are_shown(folder: Folder) -> None:
    folder.inventory += [("P1", "process", "P9", "", "", "1", "kilogram", "")] * 1_500
    problems = folder.problems()

    assert len(problems) == 201
    assert problems[-1] == "and 1300 more"


def test_more_rows_than_a_statement_holds_are_refused(folder: Folder) -> None:
    folder.inventory = [("P2", "background", "F1", "", "", "1", "kilogram", RAW)] * 2_001

    assert folder.problems() == [
        "inventory.csv: process 'P2' has 2001 rows of a kind, where a statement holds 2000"
    ]


def test_a_name_too_long_for_a_statement_is_refused(folder: Folder) -> None:
    folder.factors[0] = ("F1", "b", "s" * 990, "G" * 990, "kilogram", "1", "", "", "", "")
    folder.read()
    folder.factors[0] = ("F1", "b", "s" * 991, "GLO", "kilogram", "1", "", "", "", "")

    assert folder.problems() == ["factors.csv row 2: name has 991 characters, where 990 fit"]


# Which product a case is about


def test_the_reference_is_what_is_asked_by_id_urn_product_or_name(folder: Folder) -> None:
    case = folder.read()

    for asked in ("P2", "urn:bcca:case:pack:P2", "cell", "cell production"):
        reference = case.reference(asked)
        assert reference == cases.Reference(process_id="P2", amount=Decimal(1), unit="kg")


def test_a_name_of_two_products_is_refused_with_both(folder: Folder) -> None:
    folder.processes[1] = ("P2", "cell production", "DE", "pack", "kilogram", "0.5", "1")

    with pytest.raises(UnusableError, match=r"'pack' names 2 processes.* P1 \(pack\), P2 \(pack\)"):
        folder.read().reference("pack")


def test_a_product_that_nobody_makes_is_refused_with_those_that_are(folder: Folder) -> None:
    with pytest.raises(UnusableError, match=r"'anode\\x1b': it has P1 \(pack\), P2 \(cell\)"):
        folder.read().reference("anode\x1b")


def test_the_reference_is_else_the_flow_of_the_expected_answers(folder: Folder) -> None:
    flow = {"process_id": "P2", "amount": "2.5", "unit": "kilogram", "product": "cell"}
    folder.expected = {"title": "A pack", "reference_flow": flow}
    case = folder.read()

    assert (case.title, case.expected) == ("A pack", folder.expected)
    assert case.reference() == cases.Reference(process_id="P2", amount=Decimal("2.5"), unit="kg")
    assert case.reference(amount="3").amount == 3
    assert case.reference("P2").amount == Decimal("2.5")
    assert case.reference("P1").amount == 1


def test_the_reference_flow_may_be_in_another_unit_or_a_json_number(folder: Folder) -> None:
    for written, amount in (
        ("1", 1000),
        (1, 1000),
        (0.0005, Decimal("0.5")),
        (1e-7, Decimal("0.0001")),
    ):
        folder.expected = {"reference_flow": {"process_id": "P2", "amount": written, "unit": "ton"}}

        assert folder.read().reference().amount == amount


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        (b"{", "expected.json: not JSON: "),
        (b"[]", "expected.json: a JSON list, where an object belongs"),
        (b"[" * 100_000, "expected.json: not JSON: "),
        (b'{"reference_flow": []}', "expected.json: reference_flow: has no process_id"),
        (b'{"reference_flow": {"amount": "1"}}', "reference_flow: has no process_id"),
        (b'{"reference_flow": {"process_id": "P2", "amount": "x"}}', "'x' is not a number"),
        (b'{"reference_flow": {"process_id": "P2", "amount": 0}}', "0 is not above zero"),
        (
            b'{"reference_flow": {"process_id": "P2", "unit": "hour"}}',
            "1 h .* is not an amount in kg",
        ),
        (b'{"reference_flow": {"process_id": "P2", "unit": "kilo"}}', "unit 'kilo' is not in"),
    ],
)
def test_an_unusable_reference_flow_is_refused(folder: Folder, expected: bytes, says: str) -> None:
    folder.raw = {"expected.json": expected}
    (problem,) = folder.problems()

    assert re.search(says, problem)


def test_the_reference_is_else_the_one_process_nobody_else_consumes(folder: Folder) -> None:
    assert folder.read().reference() == cases.Reference(
        process_id="P1", amount=Decimal(1), unit="piece"
    )

    folder.inventory.append(("P1", "process", "P1", "", "", "0.1", "unit", ""))
    folder.expected = {"total": "1"}
    assert folder.read().reference().process_id == "P1"


def test_several_end_products_or_none_are_refused_with_the_candidates(folder: Folder) -> None:
    several = folder.read()
    folder.processes.append(("P3", "recycling", "", "scrap", "kilogram", "1", ""))
    several = folder.read()
    folder.inventory.append(("P2", "process", "P1", "", "", "0.1", "unit", ""))
    folder.inventory.append(("P2", "process", "P3", "", "", "0.1", "kilogram", ""))
    none = folder.read()

    with pytest.raises(
        UnusableError, match=r"2 products .* say which of P1 \(pack\), P3 \(scrap\)"
    ):
        several.reference()
    with pytest.raises(
        UnusableError, match=r"no products .* P1 \(pack\), P2 \(cell\), P3 \(scrap\)"
    ):
        none.reference()


@pytest.mark.parametrize("amount", ["0", "-1", "nan", "1,5", "", "one", "1" * 40])
def test_an_amount_that_is_none_is_refused(folder: Folder, amount: str) -> None:
    case = folder.read()

    with pytest.raises(UnusableError):
        case.reference("P1", amount)


def test_an_amount_may_be_written_with_an_exponent(folder: Folder) -> None:
    assert folder.read().reference("P1", "1e-3").amount == Decimal("0.001")


# Names


@pytest.mark.parametrize(
    ("case", "process", "urn"),
    [
        ("nmc622_pack", "P001", "urn:bcca:case:nmc622_pack:P001"),
        ("电池 1", "P/1", "urn:bcca:case:~7535~~6c60~~20~1:P~2f~1"),
        ("a~b", "c:d", "urn:bcca:case:a~7e~b:c~3a~d"),
        ("🔋", "%20", "urn:bcca:case:~1f50b~:~25~20"),
        (".", "-_", "urn:bcca:case:.:-_"),
    ],
)
def test_a_urn_is_in_normal_form_whatever_the_names(case: str, process: str, urn: str) -> None:
    assert cases.urn(case, process) == urn
    assert re.search(wire.URN, urn)


def test_two_ids_never_share_a_urn() -> None:
    ids = [
        a + b for a in ("", "a", "~", ":", "7e", "~7e~", "é", " ") for b in ("b", "~", ":", "7e")
    ]

    assert len({cases.urn(case, process) for case in ids for process in ids}) == len(set(ids)) ** 2


def test_a_case_is_called_as_its_folder_is_however_it_is_reached(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.read()
    monkeypatch.chdir(folder.path)

    assert read_case(Path()).name == "pack"
    assert read_case(folder.path / ".." / "pack").name == "pack"


def test_the_period_is_the_last_full_calendar_year() -> None:
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    shanghai = timezone(timedelta(hours=8))

    assert last_full_year(midnight) == YEAR
    assert last_full_year(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == YEAR
    assert last_full_year(midnight - timedelta(seconds=1)).end == YEAR.start
    assert last_full_year(datetime(2026, 1, 1, 7, 59, tzinfo=shanghai)).end == YEAR.start
