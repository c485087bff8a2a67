"""A real case explained: rows that sum to its total, and a background line walked down to."""

import asyncio
import csv
import decimal
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from bcca_node.demo.network import Ground, Network, Seat
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.packmaker.chase import chase
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.recalled import Recalled, recall
from bcca_node.packmaker.results import results
from bcca_node.packmaker.review import review
from bcca_node.packmaker.run import roll_up
from bcca_node.packmaker.why import why
from bcca_node.supplier import cases
from bcca_node.supplier.case_drafts import draft_predicates
from bcca_node.supplier.case_rows import Company
from bcca_protocol.inventory import Interval

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
CASE, ROOT = "nmc622_pack", "P001"
MAKER = Seat(id="maker", name="Maker")
CLOSE = Fraction(1, 10**12)


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data" / "cases" / CASE


@pytest.fixture(scope="module")
def recalled(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recalled]:
    """The whole case, published by one company, added up and recalled."""
    case = cases.read_case(folder)
    data = tmp_path_factory.mktemp("explained")
    ground = Ground(folder=data / "nodes", aside=data / "more", passphrase=PASSPHRASE, scrypt_n=16)
    with Network(ground, [MAKER], head="maker") as network:
        node = network.members["maker"].node
        drafts = draft_predicates(
            case,
            list(case.processes),
            lambda _: network.members["maker"].supplier,
            lambda _: Company(id="maker", name="Maker"),
            Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z"),
        )
        publish(node, drafts)
        asyncio.run(added_up(node))
        yield recall(node, cases.urn(CASE, ROOT))


async def added_up(node: Node) -> None:
    async with Fetcher(guard.hosts_of(node.trust.required())) as fetcher:
        assert (await witness(node, fetcher)).published
        order = Order(product=cases.urn(CASE, ROOT), amount=None, at=node.clock())
        await roll_up(node, fetcher, order)


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def needed(folder: Path) -> dict[str, Fraction]:
    """Return how much of every process's product one unit of the root needs, as fractions."""
    rows = rows_of(folder, "inventory")
    outputs = {e["process_id"]: Fraction(e["output_amount"]) for e in rows_of(folder, "processes")}
    amounts = dict.fromkeys(outputs, Fraction(0)) | {ROOT: Fraction(1)}
    for process in sorted(rows_of(folder, "processes"), key=lambda row: int(row["max_tier"])):
        name = process["process_id"]
        for row in rows:
            if row["process_id"] == name and row["flow_type"] == "process":
                amounts[row["input_id"]] += Fraction(row["amount"]) * amounts[name] / outputs[name]
    return amounts


def test_rows_of_a_real_case_sum_to_its_signed_total_whatever_they_are_by(
    recalled: Recalled,
) -> None:
    found = results(recalled)
    sides = (found.stages, found.components, found.suppliers, found.tiers, found.countries)

    for rows in (*sides, found.kinds):
        with decimal.localcontext(prec=200):
            assert sum((row.kg for row in rows), Decimal(0)) == recalled.total
    assert len(found.tiers) > 3
    assert len(found.kinds) > 2


def test_a_background_line_of_a_real_case_is_walked_down_to_as_fractions_have_it(
    recalled: Recalled, folder: Path
) -> None:
    rows = rows_of(folder, "inventory")
    factors = {row["factor_id"]: row for row in rows_of(folder, "factors")}
    amounts = needed(folder)
    outputs = {e["process_id"]: Fraction(e["output_amount"]) for e in rows_of(folder, "processes")}
    most = max(
        (row for row in rows if row["flow_type"] == "background"),
        key=lambda row: abs(kg_of(row, factors, amounts, outputs)),
    )
    [found] = why(recalled, cases.urn(CASE, most["process_id"]))
    lines = [each for each in found.own if each.activity and most["input_name"] in each.name]
    same = (
        row
        for row in rows
        if row["process_id"] == most["process_id"] and most["input_name"] in row["input_name"]
    )
    wanted = sum((kg_of(row, factors, amounts, outputs) for row in same), Fraction(0))

    assert lines
    assert abs(sum(Fraction(each.whole.value) for each in lines) - wanted) <= CLOSE * abs(wanted)
    amount = amounts[most["process_id"]]
    assert abs(Fraction(found.amount) - amount) <= CLOSE * amount
    if found.chain:
        assert found.chain[0].consumer.product == cases.urn(CASE, ROOT)
        assert found.chain[-1].supplier.product == found.part.product


def kg_of(
    row: dict[str, str],
    factors: dict[str, dict[str, str]],
    amounts: dict[str, Fraction],
    outputs: dict[str, Fraction],
) -> Fraction:
    name = row["process_id"]
    gases = (factors[row["input_id"]][f"ef_{gas}"] for gas in ("fossil", "biogenic", "luluc"))
    per = sum((Fraction(each or 0) for each in gases), Fraction(0))
    return Fraction(row["amount"]) * per * amounts[name] / outputs[name]


def test_of_a_real_case_nothing_is_left_to_chase_and_a_review_answers(recalled: Recalled) -> None:
    assert chase(recalled) == []
    assert len(review(recalled, results(recalled))) == 10
