"""The rows of a case folder: processes, what they take in, factors, companies."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from bcca_node.sheets.rows import Line
from bcca_protocol.footprint import Components, Stage
from bcca_protocol.quantity import Unit, not_negative, positive

CAPACITY: Final = "electricity storage capacity"  # its kilowatt hour is no energy

PROCESS_COLUMNS = ("process_id", "name", "location", "product", "unit", "output_amount")
ROW_COLUMNS = ("process_id", "flow_type", "input_id", "amount", "unit", "stage")
FACTOR_COLUMNS = ("factor_id", "name", "location", "unit")
COMPANY_COLUMNS = ("process_id", "company_id", "company_name")

_COUNTRY = re.compile(r"[A-Z]{2}")

FlowType = Literal["process", "background", "waste", "emission"]
FLOW_TYPES: Mapping[str, FlowType] = MappingProxyType(
    {
        "process": "process",
        "background": "background",
        "waste": "waste",
        "emission": "emission",
    }
)
STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "raw_material_acquisition": "rawMaterial",
        "main_production": "production",
        "distribution": "distribution",
        "use": "use",
        "end_of_life": "endOfLife",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A unit process, which makes `output_amount` of one product."""

    id: str
    name: str
    location: str
    product: str
    unit: Unit
    output_amount: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a process takes in or gives off per its output; `stage` is None for a process's."""

    number: int
    process_id: str
    flow_type: FlowType
    input_id: str
    input_name: str
    amount: str
    unit: Unit
    stage: Stage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFactor:
    """Kg CO2e per unit of a flow that no process of the case makes."""

    id: str
    name: str
    location: str
    unit: Unit
    values: Components
    is_proxy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Who runs processes."""

    id: str
    name: str
    country: str | None = None


def process(line: Line) -> Process:
    """Return the process in a row of processes.csv."""
    product, unit = line.text("product"), line.unit("unit")
    return Process(
        id=line.identifier("process_id"),
        name=line.text("name"),
        location=line.text("location", optional=True),
        product=product,
        unit="kWhCapacity" if (unit, product) == ("kWh", CAPACITY) else unit,
        output_amount=line.decimal("output_amount", positive),
    )


def row(line: Line) -> Row:
    """Return the inventory row in a row of inventory.csv."""
    flow_type = line.choice("flow_type", FLOW_TYPES) or "process"
    return Row(
        number=line.number,
        process_id=line.text("process_id"),
        flow_type=flow_type,
        input_id=line.text("input_id"),
        input_name=line.text("input_name", optional=True),
        amount=line.decimal("amount", not_negative),
        unit=line.unit("unit"),
        # The stages of what is bought from a process are its own: the mapping keeps them.
        stage=None if flow_type == "process" else line.choice("stage", STAGES),
    )


def factor(line: Line) -> CaseFactor:
    """Return the factor in a row of factors.csv."""
    return CaseFactor(
        id=line.text("factor_id"),
        name=line.text("name"),
        location=line.text("location", optional=True),
        unit=line.unit("unit"),
        values=_values(line),
        is_proxy=bool(line.text("proxy_for", optional=True)),
    )


def company(line: Line) -> tuple[str, Company]:
    """Return the process and the company in a row of companies.csv."""
    country = line.text("country", optional=True)
    if country and not _COUNTRY.fullmatch(country):
        line.complain(f"country {country[:80]!r} is not two capital letters of ISO 3166-1")
    return line.text("process_id"), Company(
        id=line.identifier("company_id"), name=line.text("company_name"), country=country or None
    )


def _values(line: Line) -> Components:
    values = Components(
        fossil=_given(line, "ef_fossil"),
        biogenic_non_co2=_given(line, "ef_biogenic"),
        land_use_change=_given(line, "ef_luluc"),
    )
    if values == Components():
        line.complain("ef_fossil, ef_biogenic and ef_luluc are all empty, where one is needed")
    return values


def _given(line: Line, column: str) -> str | None:
    return line.decimal(column) if line.text(column, optional=True) else None
