"""What is cut off; and a real case beside an independent computation over its own files.

The fractions here are computed from the CSV files alone: nothing is shared with the engine.
"""

import csv
from copy import copy
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, exemption, footprint
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import Components
from bcca_protocol.inventory import Activity, Amount, Electricity, Exclusion
from bcca_protocol.quantity import number, unit_named
from bcca_protocol.results import Substitute
from bcca_protocol.rules import cut_off_at, neutral

STAGE = {
    "raw_material_acquisition": "rawMaterial",
    "main_production": "production",
    "distribution": "distribution",
    "end_of_life": "endOfLife",
}
PERCENTS = ["0.1", "1", "3"]
ROOT = "P001"


class Case:
    """A case folder's rows, as fractions and as text."""

    def __init__(self, folder: Path) -> None:
        def read(name: str) -> list[dict[str, str]]:
            with (folder / f"{name}.csv").open(encoding="utf-8") as file:
                return list(csv.DictReader(file))

        self.processes = {row["process_id"]: row for row in read("processes")}
        self.factors = {row["factor_id"]: row for row in read("factors")}
        self.makers = {row["process_id"]: row["company_id"] for row in read("companies")}
        self.rows = read("inventory")

    def without(self, process: str) -> "Case":
        """Return the case in which a process takes in nothing that is known."""
        left = copy(self)
        left.rows = [row for row in self.rows if row["process_id"] != process]
        return left

    def demand(self) -> dict[str, Fraction]:
        """Return how much of each process's product one unit of the root's needs."""
        needed = {ROOT: Fraction(1)}
        for process in sorted(self.processes, key=self.tier):
            for row in self.rows:
                bought = row["flow_type"] == "process" and row["process_id"] == process
                if bought and process in needed:
                    amount = Fraction(row["amount"]) * needed[process] / self.output(process)
                    needed[row["input_id"]] = needed.get(row["input_id"], Fraction(0)) + amount
        return needed

    def tier(self, process: str) -> int:
        return int(self.processes[process]["max_tier"])

    def output(self, process: str) -> Fraction:
        return Fraction(self.processes[process]["output_amount"])

    def contributions(self) -> list[Fraction]:
        """Return kg CO2e of each inventory row in one unit of the root."""
        needed = self.demand()
        found = []
        for row in self.rows:
            if row["flow_type"] == "process":
                continue
            factor = self.factors[row["input_id"]]
            per_unit = sum(
                Fraction(factor[f"ef_{c}"] or 0) for c in ("fossil", "biogenic", "luluc")
            )
            process = row["process_id"]
            if process not in needed:
                continue
            found.append(
                Fraction(row["amount"]) * per_unit * needed[process] / self.output(process)
            )
        return found


def kept_and_dropped(kg: list[Fraction], percent: str) -> tuple[Fraction, Fraction, int]:
    """Return what stays, what is dropped gross, and how many rows that is."""
    gross = sum(map(abs, kg), Fraction(0))
    running, count = Fraction(0), 0
    ranked = sorted(kg, key=abs)
    while count < len(ranked) and running + abs(ranked[count]) <= gross * Fraction(percent) / 100:
        running += abs(ranked[count])
        count += 1
    return sum(ranked[count:], Fraction(0)), running, count


@pytest.fixture(scope="module")
def case(shared: Path) -> Case:
    return Case(shared / "data/cases/nmc622_pack")


@pytest.fixture
def nmc(chain: Any, case: Case, per: Any) -> Any:
    """The case as signed statements, a log for each of its companies."""
    for process, made in case.processes.items():
        unit = unit_named(made["unit"])
        lines: list[Any] = []
        inputs: list[Any] = []
        for number_, row in enumerate(r for r in case.rows if r["process_id"] == process):
            name, bought = f"L{number_}", unit_named(row["unit"])
            if row["flow_type"] == "process":
                by = f"{case.makers[row['input_id']]}.example"
                inputs.append(
                    chain.buys(row["input_id"], row["amount"], by=by, unit=bought, line=name)
                )
            else:
                lines.append(own_line(name, row, case.factors[row["input_id"]], per))
        chain.sells(
            process, "0", *inputs,
            by=f"{case.makers[process]}.example",
            activities=lines,
            declared_unit=Amount("1", unit),
            output=Amount(made["output_amount"], unit),
        )  # fmt: skip
    return chain


def own_line(name: str, row: dict[str, str], factor: dict[str, str], per: Any) -> Activity:
    written = {"fossil": "fossil", "biogenic": "biogenic_non_co2", "luluc": "land_use_change"}
    values = {ours: factor[f"ef_{theirs}"] or None for theirs, ours in written.items()}
    unit = unit_named(factor["unit"])
    return Activity(
        id=name,
        name=row["input_name"] or name,
        stage=STAGE[row["stage"]],  # type: ignore[arg-type]  # a stage by its name in the files
        kind="material",
        amount=row["amount"],
        unit=unit_named(row["unit"]),
        amount_kind="calculated",
        factor=per("0", unit, values=Components(**values)),
    )


@pytest.mark.parametrize("percent", PERCENTS)
def test_a_cut_off_of_a_real_case_leaves_what_fractions_over_its_files_leave(
    nmc: Any, case: Case, percent: str
) -> None:
    nmc.rules = cut_off_at(neutral(), percent)
    kept, dropped, count = kept_and_dropped(case.contributions(), percent)
    added = nmc.added(ROOT)
    needed = added.needed(ROOT)
    envelopes = (each for one in nmc.companies.values() for each in one.envelopes)
    cut = exemption.cut_off(
        added.totals, needed, nmc.rules.cut_off_percent, exemption.statements_in(envelopes)
    )
    rolled = nmc.rolled_up(ROOT)

    total = footprint.total(footprint.decode(rolled.footprint))
    assert len(cut.dropped) == count > 0
    assert abs(Fraction(total) / kept - 1) < Fraction(1, 10**28)
    exempted = 100 * dropped / (kept + dropped)  # this case has no credits: gross is net
    assert abs(Fraction(number(rolled.exempted_percent)) / exempted - 1) < Fraction(1, 10**28)
    assert 0 < number(rolled.exempted_percent) <= Decimal(percent)


def test_a_roll_up_of_a_real_case_with_a_cut_off_is_repeated_from_its_bundle(nmc: Any) -> None:
    nmc.rules = cut_off_at(neutral(), "1")
    report = audit.audit(nmc.bundle(ROOT), nmc.policy)

    assert report.repeated is not None
    dropped = report.repeated.cut.dropped
    assert f"cut off: {len(dropped)} own lines with " in " ".join(report.unverified)


@pytest.mark.parametrize("tier", range(1, 16))
def test_a_real_case_is_the_same_to_the_last_digit_with_a_hidden_recipe_at_any_tier(
    nmc: Any, case: Case, tier: int
) -> None:
    openly = nmc.rolled_up(ROOT)
    process = min(name for name in case.processes if case.tier(name) == tier)
    whole = nmc.rolled_up(process)
    company = nmc.company(whole.issuer)
    partial = next(each for each in nmc.facts() if each.fact.product == whole.product.id).fact
    nmc.publish(msgspec.structs.replace(whole, manifest=None, manifest_digest="ab" * 32))
    kept = [e for e in company.envelopes if partial.commitment not in exemption.statements_in([e])]
    company.envelopes[:] = kept
    hidden = nmc.rolled_up(ROOT)

    assert hidden.footprint == openly.footprint
    assert hidden.weights == openly.weights
    assert partial.commitment not in {edge.consumer for edge in hidden.manifest}


@pytest.mark.parametrize("process", ["P002", "P004", "P019", "P055"])
def test_a_value_in_place_of_a_silent_supplier_of_a_real_case_gives_what_fractions_give(
    nmc: Any, case: Case, per: Any, process: str
) -> None:
    company = nmc.company(f"{case.makers[process]}.example")
    product = f"urn:test:{process}"
    (silent,) = (each.fact for each in nmc.facts() if each.fact.product == product)
    kept = [e for e in company.envelopes if silent.commitment not in exemption.statements_in([e])]
    company.envelopes[:] = kept
    factor = per("1.37", silent.unit)
    nmc.stand_ins = lambda _, bought: (
        Substitute(factor, "silent") if bought.product == product else None
    )
    left = case.without(process)
    value = Fraction("1.37") * case.demand()[process]
    expected = sum(left.contributions(), Fraction(0)) + value
    rolled = nmc.rolled_up(ROOT)

    total = Fraction(footprint.total(footprint.decode(rolled.footprint)))
    assert abs(total / expected - 1) < Fraction(1, 10**28)
    assert abs(Fraction(number(rolled.weights.default)) / value - 1) < Fraction(1, 10**28)
    assert not rolled.incomplete


@pytest.fixture
def three(chain: Any, line: Any) -> Any:
    """A cell of foil: lines of 1, 2 and 97 kg, one of them a credit, and one of nothing."""
    chain.sells(
        "foil",
        activities=[line("a", "1", "1"), line("credit", "1", "-2", kind="credit")],
        exclusions=(Exclusion(name="glue", reason="little", estimate="0.5"),),
    )
    chain.sells(
        "cell", "0", chain.buys("foil", "1"), activities=[line("b", "97", "1"), line("0", "0", "1")]
    )
    return chain


@pytest.mark.parametrize(
    ("percent", "total", "exempted"),
    [
        ("0", "96", Fraction(50) / Fraction(201, 2)),
        ("0.99", "96", Fraction(50) / Fraction(201, 2)),  # a line of nothing goes unseen
        ("1", "95", Fraction(150) / Fraction(201, 2)),  # the limit itself is within
        ("2.9", "95", Fraction(150) / Fraction(201, 2)),
        ("3", "97", Fraction(350) / Fraction(201, 2)),  # a credit goes by its size
        ("99.9", "97", Fraction(350) / Fraction(201, 2)),
    ],
)
def test_least_lines_go_first_up_to_the_limit_and_count_as_excluded_with_what_was(
    three: Any, percent: str, total: str, exempted: Fraction
) -> None:
    three.rules = cut_off_at(neutral(), percent)
    rolled = three.rolled_up("cell")

    assert footprint.total(footprint.decode(rolled.footprint)) == Decimal(total)
    assert abs(Fraction(number(rolled.exempted_percent)) - exempted) < Fraction(1, 10**28)


def test_of_two_equal_lines_the_first_of_the_first_part_goes(chain: Any, line: Any) -> None:
    lines = [line("own", "1", "1"), line("other", "1", "1")]
    foil = chain.sells("foil", activities=lines)
    cell = chain.sells("cell", "0", chain.buys("foil", "1"), activities=lines)
    added = chain.added("cell")
    envelopes = (each for one in chain.companies.values() for each in one.envelopes)
    found = exemption.statements_in(envelopes)

    cut = exemption.cut_off(added.totals, added.needed("cell"), Decimal(75), found)

    parts = added.graph.parts
    assert [(parts[each.part].commitment, each.at) for each in cut.dropped] == [
        (cell, 0), (cell, 1), (foil, 0)
    ]  # fmt: skip
    assert footprint.total(cut.totals.footprint(added.index("cell"))) == 1


def test_what_is_cut_off_follows_the_amount_that_is_needed_not_the_line_alone(
    chain: Any, line: Any
) -> None:
    chain.sells("foil", activities=[line("little", "1", "0.1")])
    chain.sells("cell", "3", chain.buys("foil", "1000"))
    chain.rules = cut_off_at(neutral(), "5")

    assert chain.rolled_up("cell").footprint.production.fossil == "100"


def test_both_electricity_results_are_cut_alike(chain: Any, line: Any, per: Any) -> None:
    grid = Electricity(supply="contract", location_factor=per("2", "kWh"))
    chain.sells(
        "cell",
        activities=[
            line("power", "1", "0.5", "kWh", kind="energy", electricity=grid),
            line("steel", "1", "99.5"),
        ],
    )
    chain.rules = cut_off_at(neutral(), "1")
    rolled = chain.rolled_up("cell")

    assert rolled.location_footprint == rolled.footprint
    assert rolled.footprint.production.fossil == "99.5"


# Attacks: a maker that cuts off what its rules do not allow.


def evidence_of(chain: Any, made: str, claimed: str) -> Any:
    """Return the bundle of a roll-up cut off at `made` that names rules with `claimed`."""
    chain.rules = cut_off_at(neutral(), made)
    lie = chain.rolled_up("cell")
    chain.rules = cut_off_at(neutral(), claimed)
    named = msgspec.structs.replace(lie, rules=chain.rules.named())
    return chain.sealed(*chain.evidence(named))


@pytest.mark.parametrize(("made", "claimed"), [("3", "1"), ("1", "0"), ("0", "3"), ("1", "3")])
def test_a_cut_off_that_the_rules_do_not_give_is_refused(
    three: Any, made: str, claimed: str
) -> None:
    with pytest.raises(StatementError, match="footprint"):
        audit.audit(evidence_of(three, made, claimed), three.policy)


def test_the_right_cut_off_with_a_smaller_exempted_share_is_refused(three: Any) -> None:
    three.rules = cut_off_at(neutral(), "3")
    lie = msgspec.structs.replace(three.rolled_up("cell"), exempted_percent="0")

    with pytest.raises(StatementError, match="exemptedPercent is stated as 0, recomputed as 3"):
        audit.audit(three.sealed(*three.evidence(lie)), three.policy)


def test_a_part_whose_lines_are_not_here_is_refused(three: Any) -> None:
    added = three.added("cell")

    with pytest.raises(StatementError, match=r"the lines of .* are not here"):
        exemption.cut_off(added.totals, added.needed("cell"), Decimal(1), {})


def test_without_a_cut_off_no_lines_are_asked_for(three: Any) -> None:
    added = three.added("cell")
    cut = exemption.cut_off(added.totals, added.needed("cell"), Decimal(0), {})

    assert (cut.totals, cut.dropped) == (added.totals, ())
