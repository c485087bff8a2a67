"""What stands in for a missing supplier of a real case, beside fractions over the case's files."""

import asyncio
import csv
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from bcca_node.demo.network import Ground, Network, Seat
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import factorbook
from bcca_node.packmaker.bundling import write_bundle
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.run import Run, roll_up
from bcca_node.packmaker.stoodin import default_share, stood_in
from bcca_node.supplier import cases
from bcca_node.supplier.case_drafts import draft_predicates
from bcca_node.supplier.case_rows import Company
from bcca_protocol import footprint, period
from bcca_protocol.audit import Report, audit
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Interval
from bcca_protocol.quantity import number
from bcca_protocol.rules import NEUTRAL, RuleSet, neutral, parse

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
CASE, ROOT, MISSING = "nmc622_pack", "P001", "P010"  # NMC622 oxide, bought for the cathode
MAKER, SUPPLIER = Seat(id="maker", name="Maker"), Seat(id="oxide", name="Oxide Ltd")
CLOSE = Fraction(1, 10**12)
HEADER = "dataset,geography,unit,total,gas,scope,source,version,licence,stands_for"
STRICT = parse(
    NEUTRAL.replace('name = "neutral"', 'name = "strict"').replace(
        'secondary = ["*"]', "secondary = []"
    )
)


@dataclass(frozen=True)
class Files:
    """The rows of a case, as fractions: kg CO2e of a process's product per unit."""

    folder: Path
    instead: Mapping[str, Fraction] = field(default_factory=dict)

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / f"{name}.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def per_unit(self) -> dict[str, Fraction]:
        """Return kg CO2e per unit of every product, with other values `instead` for some."""
        factors = {
            row["factor_id"]: sum(
                Fraction(row[f"ef_{name}"] or 0) for name in ("fossil", "biogenic", "luluc")
            )
            for row in self.rows("factors")
        }
        rows, found = self.rows("inventory"), dict(self.instead)
        processes = sorted(self.rows("processes"), key=lambda row: -int(row["max_tier"]))
        for process in processes:
            name = process["process_id"]
            kg = sum(
                Fraction(row["amount"])
                * (found if row["flow_type"] == "process" else factors)[row["input_id"]]
                for row in rows
                if row["process_id"] == name
            )
            found.setdefault(name, kg / Fraction(process["output_amount"]))
        return found


@dataclass(frozen=True)
class Pack:
    """A pack maker that runs all of a case but what one supplier makes, which says nothing."""

    network: Network
    files: Files

    def run(self, *told: OwnValue, rules: RuleSet | None = None) -> Run:
        node = self.network.members["maker"].node
        order = Order(
            product=cases.urn(CASE, ROOT),
            amount=None,
            at=node.clock(),
            own_values=told,
            rules=rules or neutral(),
        )

        async def rolled_up() -> Run:
            async with Fetcher(guard.hosts_of(node.trust.required())) as fetcher:
                return await roll_up(node, fetcher, order)

        return asyncio.run(rolled_up())

    def expected(self, **instead: str) -> Fraction:
        told = {name: Fraction(kg) for name, kg in instead.items()}
        return dataclasses.replace(self.files, instead=told).per_unit()[ROOT]

    def audited(self) -> Decimal:
        """Return what an auditor recomputes from the newest roll-up's bundle."""
        return self.report().total

    def report(self) -> Report:
        """Return what the newest roll-up's bundle proves to an auditor."""
        node = self.network.members["maker"].node
        product = cases.urn(CASE, ROOT)
        lines = list(write_bundle(node, product, made=period.text_at(node.clock())))
        return audit(lines, node.trust.required())


@pytest.fixture(scope="module")
def pack(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pack]:
    folder = shared / "data" / "cases" / CASE
    case = cases.read_case(folder)
    data = tmp_path_factory.mktemp("substitutes")
    ground = Ground(folder=data / "nodes", aside=data / "more", passphrase=PASSPHRASE, scrypt_n=16)
    with Network(ground, [MAKER, SUPPLIER], head="maker") as network:
        node = network.members["maker"].node
        drafts = draft_predicates(
            case,
            list(case.processes),
            lambda process: network.members["oxide" if process == MISSING else "maker"].supplier,
            lambda process: Company(id="oxide" if process == MISSING else "maker", name="Maker"),
            Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z"),
        )
        missing = cases.urn(CASE, MISSING)

        async def published() -> bool:
            publish(node, [each for each in drafts if each.product.id != missing])
            async with Fetcher(guard.hosts_of(node.trust.required())) as fetcher:
                return (await witness(node, fetcher)).published

        assert asyncio.run(published())
        yield Pack(network, Files(folder))


def value(asked: str, kg: str, *, replaces: bool = False) -> OwnValue:
    return OwnValue(asked=asked, kg=kg, unit=None, reason="LCA of 2024", replaces=replaces)


def total_of(run: Run) -> Fraction:
    return Fraction(footprint.total(footprint.decode(run.statement.footprint)))


def require_close(found: Fraction, wanted: Fraction) -> None:
    assert abs(found - wanted) <= CLOSE * abs(wanted)


def test_without_a_value_the_missing_supplier_is_a_gap_and_never_zero(pack: Pack) -> None:
    run = pack.run()
    gaps = [e.resolved.gap for e in run.statement.manifest or () if e.resolved.gap is not None]

    assert run.statement.incomplete
    assert len(gaps) == 1
    assert run.statement.weights.default == "0"
    require_close(total_of(run), pack.expected(**{MISSING: "0"}))


@pytest.mark.parametrize("kg", ["21.7", "0.000000000013", "1234567.89", "-3.5"])
def test_a_value_for_a_missing_supplier_gives_the_total_that_fractions_give(
    pack: Pack, kg: str
) -> None:
    run = pack.run(value(MISSING, kg))
    [found] = stood_in(run.statement, run.sum.totals.graph)
    expected = pack.expected(**{MISSING: kg})
    filled = expected - pack.expected(**{MISSING: "0"})

    assert not run.statement.incomplete
    require_close(total_of(run), expected)
    assert abs(Fraction(found.kg) - filled) <= CLOSE * abs(filled)
    weights = run.statement.weights
    assert abs(Fraction(number(weights.default)) - abs(filled)) <= CLOSE * abs(filled)
    assert Fraction(default_share(run.statement)) > 0
    unsigned = Fraction(number(weights.absolute)) - Fraction(number(weights.signed))
    require_close(unsigned, abs(filled))


def test_a_factor_of_an_imported_set_in_another_unit_gives_the_total_that_fractions_give(
    pack: Pack, tmp_path: Path
) -> None:
    node = pack.network.members["maker"].node
    path = tmp_path / "oxides.csv"
    row = f"NMC oxide,GLO,t,18765.4321,co2e,upstream,a database,3.10,own use,{MISSING}|P0010"
    path.write_text(f"{HEADER}\n{row}\n", encoding="utf-8")
    factorbook.import_file(node, path, "oxides", replaces=False)
    try:
        run = pack.run()
        own = pack.run(value(MISSING, "20"))
        strict = pack.run(rules=STRICT)
    finally:
        factorbook.remove(node, "oxides")
    [found] = stood_in(run.statement, run.sum.totals.graph)
    factor = found.substitute.factor

    require_close(total_of(run), pack.expected(**{MISSING: "18.7654321"}))
    assert (factor.kind, factor.dataset, factor.version) == ("secondary", "NMC oxide", "3.10")
    assert found.substitute.reason == (
        "secondary, same technology, other region (GLO for one not known; geographical 4); "
        "set oxides, own use"
    )
    require_close(total_of(own), pack.expected(**{MISSING: "20"}))  # told: before any set
    assert strict.statement.incomplete
    require_close(total_of(strict), pack.expected(**{MISSING: "0"}))
    bound = Fraction(number(strict.statement.weights.gap_bound))
    require_close(bound, total_of(run) - total_of(strict))
    assert pack.audited() == footprint.total(footprint.decode(strict.statement.footprint))


@pytest.mark.parametrize(
    ("process", "kg"), [("P004", "9.87"), ("P009", "2.5"), ("P006", "0.1"), ("P002", "77.7")]
)
def test_an_own_value_over_a_signed_statement_gives_the_total_that_fractions_give(
    pack: Pack, process: str, kg: str
) -> None:
    with pytest.raises(UnusableError, match="which an own value does not replace unasked"):
        pack.run(value(process, kg), value(MISSING, "20"))
    told = [] if process in {"P002", "P004"} else [value(MISSING, "20")]

    run = pack.run(*told, value(process, kg, replaces=True))

    require_close(total_of(run), pack.expected(**{MISSING: "20", process: kg}))
    reasons = [each.substitute.reason for each in stood_in(run.statement, run.sum.totals.graph)]
    assert [each for each in reasons if each.startswith("over the signed statement ")]


def test_an_auditor_recomputes_what_was_filled_in_to_the_digit(pack: Pack) -> None:
    run = pack.run(value(MISSING, "21.7"), value("P009", "2.5", replaces=True))

    assert pack.audited() == footprint.total(footprint.decode(run.statement.footprint))


def test_a_bundle_shows_the_statement_that_an_own_value_goes_over(pack: Pack) -> None:
    pack.run(value(MISSING, "21.7"), value("P009", "2.5", replaces=True))
    report = pack.report()

    ((_, (name,)), *_) = report.replaced
    assert report.evidence.facts[name].fact.product == cases.urn(CASE, "P009")
    told = [each for each in report.unverified if each.startswith("own value over a signed")]
    assert told
    assert f"statement {name} of " in told[0]
    assert "is here, and current" in told[0]
