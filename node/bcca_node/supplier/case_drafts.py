"""A case folder as partial footprints, one per process (SPEC 4.2)."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

from bcca_node.sheets.problems import Problems
from bcca_node.supplier.case_rows import CaseFactor, Company, Process, Row
from bcca_node.supplier.cases import Case, urn
from bcca_protocol import own
from bcca_protocol.errors import BccaError
from bcca_protocol.footprint import Stage, Stages
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval, Supplier
from bcca_protocol.issue import UNSET_NONCE
from bcca_protocol.quantity import SCALES, Unit
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product, Site

Kind = Literal["emission", "energy", "material", "transport", "waste"]

ENERGY = frozenset({"energy", "fuel energy (LHV)", "fuel energy (HHV)"})
NOT_STATED = "not stated"


def draft_predicates(
    case: Case,
    processes: Sequence[str],
    supplier_of: Callable[[str], Supplier],
    company_of: Callable[[str], Company],
    period: Interval,
) -> list[PartialFootprint]:
    """Return a partial footprint per process, to be given its nonce and signed by its supplier.

    Raises UnusableError naming every process whose rows do not add up to a statement.
    """
    problems = Problems(f"case {case.name}")
    rows: dict[str, list[Row]] = {}
    for row in case.rows:
        rows.setdefault(row.process_id, []).append(row)
    author = _Author(case, supplier_of, company_of)
    drafts = []
    for process_id in processes:
        stated = author.predicate(case.processes[process_id], rows.get(process_id, ()), period)
        try:
            drafts.append(own.with_footprint(stated))
        except BccaError as error:
            problems.add(f"process {process_id}", str(error))
    problems.refuse()
    return drafts


def last_full_year(at: datetime) -> Interval:
    """Return the last calendar year that was over at `at`, in UTC."""
    year = at.astimezone(UTC).year
    return Interval(start=f"{year - 1:04d}-01-01T00:00:00Z", end=f"{year:04d}-01-01T00:00:00Z")


class _Author:
    """Who states what a case's processes take in: by process, its supplier and its company."""

    def __init__(
        self,
        case: Case,
        supplier_of: Callable[[str], Supplier],
        company_of: Callable[[str], Company],
    ) -> None:
        self._case = case
        self._supplier_of = supplier_of
        self._company_of = company_of

    def predicate(
        self, process: Process, rows: Sequence[Row], period: Interval
    ) -> PartialFootprint:
        """Return what a process states, its own sums still to be written in."""
        lines = [(f"L{number}", row) for number, row in enumerate(rows, start=1)]
        return PartialFootprint(
            issuer=self._supplier_of(process.id).origin,
            nonce=UNSET_NONCE,
            product=Product(id=urn(self._case.name, process.id), name=process.product),
            site=self._site(process),
            producer=Producer(name=self._company_of(process.id).name),
            period=period,
            sharing="public",
            declared_unit=Amount(amount="1", unit=process.unit),
            output=Amount(amount=process.output_amount, unit=process.unit),
            method=self._method(process),
            activities=tuple(
                self._activity(line, row, row.stage) for line, row in lines if row.stage is not None
            ),
            inputs=tuple(self._input(line, row) for line, row in lines if row.stage is None),
            footprint=Stages(),
        )

    def _method(self, process: Process) -> Method:
        return Method(
            standards=(),
            rules=(self._case.indicator,) if self._case.indicator else None,
            gwp="AR6",
            recycling="cutOff",
            electricity="location",  # grid averages: no contract, no certificate
            boundary=_placed(process.name, process.location),
        )

    def _activity(self, line: str, row: Row, stage: Stage) -> Activity:
        factor = self._case.factors[row.input_id]
        return Activity(
            id=line,
            name=row.input_name or factor.name,
            stage=stage,
            kind=_kind(row),
            amount=row.amount,
            unit=row.unit,
            amount_kind="calculated",
            factor=_factor(factor, self._case.source),
        )

    def _input(self, line: str, row: Row) -> Input:
        maker = self._case.processes[row.input_id]
        site = self._site(maker)
        return Input(
            id=line,
            product=urn(self._case.name, maker.id),
            supplier=self._supplier_of(maker.id),
            amount=row.amount,
            unit=row.unit,
            stages="keep",
            site=site.id if site else None,
        )

    def _site(self, process: Process) -> Site | None:
        """Return the plant, where the process's location is its company's own country."""
        country = self._company_of(process.id).country
        if country is None or country != process.location:
            return None
        return Site(id=country, country=country)


def _factor(factor: CaseFactor, source: str) -> Factor:
    # Brightway writes where an emission goes as a tuple, such as ('air',): that is no place.
    is_place = factor.location and not factor.location.startswith("(")
    return Factor(
        kind="proxy" if factor.is_proxy else "secondary",
        source=source,
        dataset=_placed(factor.name, factor.location),
        geography=factor.location if is_place else NOT_STATED,
        unit=factor.unit,
        gas="co2e",
        gwp="AR6",
        values=factor.values,
    )


def _placed(name: str, location: str) -> str:
    return f"{name} | {location}" if location else name


def _kind(row: Row) -> Kind:
    match row.flow_type, _dimension(row.unit):
        case "waste", _:
            return "waste"
        case "emission", _:
            return "emission"
        case _, "freight":
            return "transport"
        case _, dimension if dimension in ENERGY:
            return "energy"
    return "material"


def _dimension(unit: Unit) -> str:
    return SCALES[unit].dimension
