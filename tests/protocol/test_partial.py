import copy
import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bcca_protocol import footprint, own, partial
from bcca_protocol.errors import LimitError, MalformedError, StatementError, UnitError
from bcca_protocol.footprint import Cell
from bcca_protocol.limits import MAX_LINES
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ONE, ZERO, arithmetic, plain
from bcca_protocol.statement import PartialFootprint

Json = dict[str, Any]  # what a test writes by hand

RAW_KEY = "raw.example+00000000+AAAA"

COMMITMENT = "c0" * 32


def factor(fossil: str, unit: str, **more: Any) -> Json:
    return {
        "kind": "secondary", "source": "s", "dataset": "d", "geography": "GLO", "unit": unit,
        "gas": "co2e", "values": {"fossil": fossil}, **more,
    }  # fmt: skip


def line(name: str, amount: str, unit: str, fossil: str, **more: Any) -> Json:
    return {
        "id": name, "name": name, "stage": "production", "kind": "material", "amount": amount,
        "unit": unit, "amountKind": "calculated", "factor": factor(fossil, unit), **more,
    }  # fmt: skip


def bought(name: str, amount: str, **more: Any) -> Json:
    return {
        "id": name, "product": "urn:test:raw", "amount": amount, "unit": "kg", "stages": "keep",
        "supplier": {"origin": "raw.example", "key": RAW_KEY}, **more,
    }  # fmt: skip


def predicate(**more: Any) -> Json:
    """Return 4 kg of product from 10 kg of material and 5 kWh of grid power."""
    grid = {"supply": "grid"}
    return {
        "issuer": "maker.example",
        "nonce": "AAAAAAAAAAAAAAAAAAAAAA==",
        "product": {"id": "urn:test:cell", "name": "cell"},
        "producer": {"name": "Maker"},
        "period": {"start": "2025-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        "sharing": "public",
        "declaredUnit": {"amount": "1", "unit": "kg"},
        "output": {"amount": "4", "unit": "kg"},
        "method": {
            "standards": [], "gwp": "AR6", "recycling": "cutOff", "electricity": "market"
        },
        "activities": [
            line("material", "10", "kg", "2"),
            line("power", "5", "kWh", "0.5", kind="energy", electricity=grid),
        ],
        "inputs": [bought("raw", "3")],
        "footprint": {"production": {"fossil": "5.625"}},
        **more,
    }  # fmt: skip


def reduce(document: Json) -> Part:
    return partial.reduce(msgspec.convert(document, PartialFootprint), COMMITMENT)


def summed(document: Json) -> Part:
    """Return the part of a document whose own sums are written in first."""
    statement = own.with_footprint(msgspec.convert(document, PartialFootprint))
    return partial.reduce(statement, COMMITMENT)


def with_line(**more: Any) -> Json:
    """Return a predicate with one own line, 10 kg at 2 kg CO2e, changed by `more`."""
    return predicate(activities=[line("it", "10", "kg", "2") | more], inputs=[])


def fossil(part: Part) -> str:
    return plain(part.own[Cell("production", "fossil")])


def test_a_statement_says_what_its_lines_say() -> None:
    part = reduce(predicate())

    assert part.commitment == COMMITMENT
    assert (part.issuer, part.product, part.name) == ("maker.example", "urn:test:cell", "cell")
    assert (part.declared, part.output, part.unit) == (ONE, Decimal(4), "kg")
    assert dict(part.own) == {Cell("production", "fossil"): Decimal("5.625")}
    assert part.own_by_location is None
    assert part.validity.end == "2029-01-01T00:00:00Z"
    assert part.claims == ()


def test_an_input_says_how_much_of_whose_product() -> None:
    (raw,) = reduce(predicate()).bought

    assert (raw.line, raw.product, raw.origin, raw.key) == (
        "raw", "urn:test:raw", "raw.example", RAW_KEY
    )  # fmt: skip
    assert (raw.amount, raw.unit, raw.yield_, raw.share, raw.stages) == (
        Decimal(3), "kg", ONE, ONE, "keep"
    )  # fmt: skip
    assert (raw.site, raw.pinned, raw.acquired) == (None, None, None)


def test_own_lines_that_do_not_sum_are_refused_with_both_numbers() -> None:
    with pytest.raises(
        StatementError,
        match=r"footprint production\.fossil is written as 5\.624, its own lines give 5\.625",
    ):
        reduce(predicate(footprint={"production": {"fossil": "5.624"}}))


@pytest.mark.parametrize(
    ("written", "cell"),
    [
        ({}, r"production\.fossil is written as 0, its own lines give 5\.625"),
        ({"production": {"fossil": "5.625" + "0" * 29 + "1"}}, r"production\.fossil"),
        ({"use": {"fossil": "5.625"}}, r"production\.fossil is written as 0"),
        ({"production": {"biogenicNonCO2": "5.625"}}, r"production\.biogenicNonCO2"),
        (
            {"production": {"fossil": "5.625"}, "use": {"aviation": "1"}},
            r"use\.aviation is written as 1, its own lines give 0",
        ),
    ],
)
def test_own_lines_that_sum_in_another_place_or_in_the_last_digit_only_are_refused(
    written: Json, cell: str
) -> None:
    with pytest.raises(StatementError, match=cell):
        reduce(predicate(footprint=written))


def test_a_sum_may_be_written_with_trailing_zeros() -> None:
    assert fossil(reduce(predicate(footprint={"production": {"fossil": "5.62500"}}))) == "5.625"


def test_a_sum_is_what_decimal128_gives_in_the_written_order() -> None:
    lines = [line(str(n), f"{n}.7", "kg", f"0.{n}3") for n in range(1, 40)]
    with decimal.localcontext(arithmetic()):
        total = Decimal(0)
        for each in lines:
            total += Decimal(each["amount"]) * Decimal(each["factor"]["values"]["fossil"])
        expected = total * Decimal("1.5") / Decimal("0.7")
    document = predicate(
        activities=lines,
        declaredUnit={"amount": "1.5", "unit": "kg"},
        output={"amount": "0.7", "unit": "kg"},
        footprint={"production": {"fossil": plain(expected)}},
    )

    assert reduce(document).own[Cell("production", "fossil")] == expected


def test_the_result_does_not_depend_on_the_callers_arithmetic() -> None:
    document = predicate(output={"amount": "3", "unit": "kg"}, footprint={})
    exact = fossil(summed(document))

    with decimal.localcontext(decimal.Context(prec=5)):
        assert fossil(summed(document)) == exact == "7.5"
    document["output"]["amount"] = "7"
    exact = fossil(summed(document))
    with decimal.localcontext(decimal.Context(prec=5)):
        assert fossil(summed(document)) == exact
    assert len(exact) == 35


@pytest.mark.parametrize(
    ("declared", "output", "mass_kg", "expected"),
    [
        (("1", "kg"), ("4", "kg"), None, "5.625"),
        (("1", "kg"), ("0.004", "t"), None, "5.625"),
        (("1", "t"), ("4", "kg"), None, "5625"),
        (("1", "piece"), ("8", "kg"), "2", "5.625"),
        (("2", "piece"), ("8", "kg"), "4", "11.25"),
        (("2", "kg"), ("4", "kg"), None, "11.25"),
        (("1", "kWhCapacity"), ("4", "kWhCapacity"), None, "5.625"),
    ],
)
def test_sums_are_stated_for_the_declared_unit(
    declared: tuple[str, str], output: tuple[str, str], mass_kg: str | None, expected: str
) -> None:
    document = predicate(
        declaredUnit=dict(zip(("amount", "unit"), declared, strict=True)),
        output=dict(zip(("amount", "unit"), output, strict=True)),
        **({"massKg": mass_kg} if mass_kg else {}),
    )

    assert fossil(summed(document)) == expected


Change = Callable[[Json], object]


def set_to(path: str, value: Any) -> Change:
    """Return a change that sets one value; a path is names and indices between dots."""

    def change(document: Json) -> None:
        *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        here: Any = document
        for step in parents:
            here = here[step]
        here[last] = value

    return change


LEG = {"mode": "lorry", "from": "a", "to": "b", "km": "100", "massKg": "2500"}
SHARED: Json = {
    "basis": "mass", "jointProcess": "smelting", "weight": "1",
    "coProducts": [{"name": "slag", "amount": "12", "unit": "kg", "weight": "1"}],
}  # fmt: skip

REFUSED: dict[str, tuple[Change, str]] = {
    "an output of zero": (set_to("output.amount", "0"), r"output\.amount: 0 is not above zero"),
    "an output below zero": (set_to("output.amount", "-4"), r"output\.amount: -4"),
    "a declared unit of zero": (set_to("declaredUnit.amount", "0.0"), "declaredUnit.amount: 0"),
    "a product without mass": (set_to("massKg", "0"), "massKg: 0 is not above zero"),
    "a product of negative mass": (set_to("massKg", "-1"), "massKg: -1 is not above zero"),
    "an amount below zero": (set_to("activities.0.amount", "-1"), "line material: amount: -1"),
    "a bought amount below zero": (set_to("inputs.0.amount", "-3"), "line raw: amount: -3"),
    "a unit that does not fit its factor": (
        set_to("activities.0.unit", "kWh"),
        r"line material: 10 kWh \(energy\) is not an amount in kg \(mass\)",
    ),
    "energy for storage capacity": (
        set_to("activities.1.factor.unit", "kWhCapacity"),
        r"line power: 5 kWh \(energy\) .* kWhCapacity \(storage capacity\)",
    ),
    "pieces for a mass": (
        set_to("activities.0.unit", "piece"), "line material: 10 piece .* without massKg"
    ),
    "a factor of CO2 only": (
        set_to("activities.0.factor.gas", "co2"), "line material: a CO2-only factor .* material"
    ),
    "AR5 in a footprint in AR6": (
        set_to("activities.1.factor.gwp", "AR5"), "line power: factor in AR5, method in AR6"
    ),
    "AR6 in a footprint in AR5": (
        lambda d: (set_to("method.gwp", "AR5")(d), set_to("activities.0.factor.gwp", "AR6")(d)),
        "line material: factor in AR6, method in AR5",
    ),
    "a credit that adds": (set_to("activities.0.kind", "credit"), "material: a credit .* adds"),
    "a credit that adds in the sum of its components": (
        lambda d: (
            set_to("activities.0.kind", "credit")(d),
            set_to("activities.0.factor.values", {"fossil": "-1", "landUseChange": "1.1"})(d),
        ),
        "line material: a credit .* adds",
    ),
    "a leg of another freight": (
        set_to("activities.0", line("it", "249", "tkm", "1", kind="transport", leg=LEG)),
        "line it: 249 tkm, where 2500 kg over 100 km are 250 tkm",
    ),
    "a leg on material": (
        set_to("activities.0.leg", LEG), "line material: a transport leg on .* material"
    ),
    "electricity on material": (
        set_to("activities.0.electricity", {"supply": "grid"}), "line material: electricity on"
    ),
    "a location factor on power of one's own": (
        set_to(
            "activities.1.electricity",
            {"supply": "onSite", "locationFactor": factor("0.6", "kWh")},
        ),
        "line power: a locationFactor on onSite power",
    ),
    "a location factor of CO2 only": (
        set_to(
            "activities.1.electricity",
            {"supply": "contract", "locationFactor": factor("0.6", "kWh", gas="co2")},
        ),
        "line power: a CO2-only factor",
    ),
    "a location factor in AR5": (
        set_to(
            "activities.1.electricity",
            {"supply": "residual", "locationFactor": factor("0.6", "kWh", gwp="AR5")},
        ),
        "line power: factor in AR5",
    ),
    "a joint line without an allocation": (
        set_to("activities.0.joint", True), "line material: joint, where .* no allocation"
    ),
    "a quality of zero": (
        set_to(
            "activities.0.quality", {"technological": "0", "geographical": "1", "temporal": "1"}
        ),
        "line material: quality 0, 1, 1, where each is 1 to 5",
    ),
    "a quality of six": (
        set_to(
            "activities.0.quality", {"technological": "1", "geographical": "5", "temporal": "5.1"}
        ),
        r"line material: quality 1, 5, 5\.1",
    ),
    "two own lines of one id": (set_to("activities.1.id", "material"), "id material .* twice"),
    "an own line and an input of one id": (set_to("inputs.0.id", "power"), "id power .* twice"),
    "a yield of zero": (set_to("inputs.0.yield", "0"), "line raw: a yield of 0"),
    "a yield below zero": (set_to("inputs.0.yield", "-0.5"), r"line raw: a yield of -0\.5"),
    "a yield above one": (set_to("inputs.0.yield", "1.01"), r"line raw: a yield of 1\.01, where"),
    "an allocation without weight": (
        set_to("allocation", SHARED | {"weight": "0"}), r"allocation\.weight: 0 is not above zero"
    ),
    "a co-product of negative weight": (
        set_to("allocation", SHARED | {"coProducts": [SHARED["coProducts"][0] | {"weight": "-1"}]}),
        "allocation of slag: weight: -1 is below zero",
    ),
    "a co-product of negative amount": (
        set_to("allocation", SHARED | {"coProducts": [SHARED["coProducts"][0] | {"amount": "-1"}]}),
        "allocation of slag: amount: -1 is below zero",
    ),
    "a period that ends before it starts": (
        set_to("period.end", "2024-01-01T00:00:00Z"), "period: ends 2024-01-01T00:00:00Z, not after"
    ),
    "a period of a day that never was": (set_to("period.end", "2025-02-30T00:00:00Z"), "day"),
    "a validity longer than three years": (
        set_to("validity", {"start": "2026-01-01T00:00:00Z", "end": "2029-01-01T00:00:01Z"}),
        "validity: ends 2029-01-01T00:00:01Z, more than 3 years",
    ),
    "an input acquired before it starts": (
        set_to(
            "inputs.0.acquired", {"start": "2025-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z"}
        ),
        "line raw: ends",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "why"), REFUSED.values(), ids=REFUSED)
def test_a_statement_that_breaks_a_rule_is_refused(change: Change, why: str) -> None:
    document = copy.deepcopy(predicate())
    change(document)

    with pytest.raises(StatementError, match=why):
        reduce(document)


def test_a_leg_in_a_unit_that_is_no_freight_is_refused_with_both_units() -> None:
    leg = line("it", "250", "km", "1", kind="transport", leg=LEG)

    with pytest.raises(
        (StatementError, UnitError), match=r"250 km \(distance\) .* tkm \(freight\)"
    ):
        reduce(predicate(activities=[leg]))


def test_an_output_in_a_unit_that_does_not_fit_is_refused_with_both_units() -> None:
    with pytest.raises(UnitError, match=r"4 piece \(count\) .* kg \(mass\) without massKg"):
        reduce(predicate(output={"amount": "4", "unit": "piece"}))
    with pytest.raises(UnitError, match=r"4 piece \(count\) .* kg \(mass\) without massKg"):
        reduce(predicate(output={"amount": "4", "unit": "piece"}, massKg="1"))
    with pytest.raises(UnitError, match=r"4 kWh \(energy\) .* kWhCapacity"):
        reduce(
            predicate(
                output={"amount": "4", "unit": "kWh"},
                declaredUnit={"amount": "1", "unit": "kWhCapacity"},
            )
        )


@pytest.mark.parametrize(
    "path", ["output.amount", "activities.0.amount", "inputs.0.amount", "inputs.0.yield", "massKg"]
)
def test_a_number_of_more_than_34_digits_is_refused(path: str) -> None:
    document = predicate()
    set_to(path, "0." + "3" * 35)(document)

    with pytest.raises(LimitError, match="more than 34 significant digits"):
        reduce(document)


@pytest.mark.parametrize("field", ["activities", "inputs"])
def test_a_statement_holds_so_many_lines_and_no_more(field: str) -> None:
    lines = [
        bought(str(n), "1") if field == "inputs" else line(str(n), "0", "kg", "1")
        for n in range(MAX_LINES + 1)
    ]
    document = predicate(activities=[], inputs=[], footprint={})

    part = reduce(document | {field: lines[1:]})

    assert len(part.bought) == (MAX_LINES if field == "inputs" else 0)
    with pytest.raises(msgspec.ValidationError, match=f"length <= {MAX_LINES}"):
        reduce(document | {field: lines})


def test_a_line_is_converted_to_the_unit_of_its_factor() -> None:
    part = summed(with_line(amount="0.01", unit="t"))

    assert fossil(part) == "5"


def test_every_component_of_a_factor_lands_in_the_stage_of_its_line() -> None:
    values = {"fossil": "1", "biogenicUptake": "-2", "aviation": "0.5", "landUseChange": "0"}
    part = summed(with_line(stage="endOfLife", factor=factor("1", "kg", values=values)))

    assert dict(part.own) == {
        Cell("endOfLife", "fossil"): Decimal("2.5"),
        Cell("endOfLife", "biogenicUptake"): Decimal(-5),
        Cell("endOfLife", "landUseChange"): Decimal(0),
        Cell("endOfLife", "aviation"): Decimal("1.25"),
    }
    assert footprint.total(part.own) == Decimal("2.5")


def test_a_sum_on_the_wrong_side_of_zero_is_refused() -> None:
    document = with_line(factor=factor("1", "kg", values={"biogenicUptake": "2"}))

    with pytest.raises(StatementError, match=r"production\.biogenicUptake: 5 is above zero"):
        summed(document)


def test_a_credit_takes_away_in_a_line_of_its_own() -> None:
    credit = line("credit", "1", "kg", "-3", kind="credit")
    part = summed(predicate(activities=[line("it", "10", "kg", "2"), credit]))

    assert fossil(part) == "4.25"
    assert part.tally.absolute == Decimal("5.75")  # gross: credits are not netted away


def test_old_data_with_a_negative_waste_factor_is_read() -> None:
    assert fossil(summed(with_line(kind="waste", factor=factor("-2", "kg")))) == "-5"


def test_an_emission_may_be_of_co2_only_because_it_is_co2() -> None:
    assert fossil(summed(with_line(kind="emission", factor=factor("1", "kg", gas="co2")))) == "2.5"


def test_zero_amounts_and_duplicate_rows_are_kept_as_lines() -> None:
    rows = [line("a", "0", "kg", "2"), line("b", "5", "kg", "2"), line("c", "5", "kg", "2")]
    three = Decimal(3)
    inputs = [bought("d", "0"), bought("e", "3"), bought("f", "3")]
    part = summed(predicate(activities=rows, inputs=inputs))

    assert fossil(part) == "5"
    assert [(each.line, each.amount) for each in part.bought] == [
        ("d", ZERO),
        ("e", three),
        ("f", three),
    ]


def test_freight_is_tonnes_times_kilometres_in_whatever_unit() -> None:
    freight = line("it", "250", "tkm", "0.1", kind="transport", leg=LEG)

    assert fossil(summed(predicate(activities=[freight]))) == "6.25"


def test_joint_lines_count_with_the_share_of_the_output_and_others_in_full() -> None:
    joint = line("joint", "10", "kg", "2", joint=True)
    own_line = line("own", "10", "kg", "2")
    inputs = [bought("joint input", "3", joint=True), bought("own input", "3")]
    part = summed(predicate(activities=[joint, own_line], inputs=inputs, allocation=SHARED))

    # 4 kg of product beside 12 kg of slag of the same weight: a quarter.
    assert fossil(part) == "6.25"
    assert [each.share for each in part.bought] == [Decimal("0.25"), 1]


def test_a_share_is_output_times_weight_over_all() -> None:
    by_price = SHARED | {"basis": "economic", "weight": "9"}
    part = summed(
        predicate(activities=[line("it", "10", "kg", "2", joint=True)], allocation=by_price)
    )

    assert fossil(part) == "3.75"  # 4 x 9 over 4 x 9 + 12 x 1


def test_an_allocation_that_does_not_sum_is_refused() -> None:
    joint = line("it", "10", "kg", "2", joint=True)
    right = predicate(
        activities=[joint], allocation=SHARED, footprint={"production": {"fossil": "1.25"}}
    )
    less_slag = copy.deepcopy(right)
    less_slag["allocation"]["coProducts"][0]["amount"] = "11"
    no_slag = right | {"allocation": SHARED | {"coProducts": []}}

    assert fossil(reduce(right)) == "1.25"
    for wrong in (less_slag, no_slag):
        with pytest.raises(StatementError, match=r"is written as 1\.25, its own lines give"):
            reduce(wrong)


def test_the_shares_of_all_co_products_sum_to_one() -> None:
    outputs = {"cell": ("4", "2.5"), "slag": ("12", "0.3"), "heat": ("7", "1.1")}
    shares = []
    for name, (amount, weight) in outputs.items():
        others = [
            {"name": other, "amount": outputs[other][0], "unit": "kg", "weight": outputs[other][1]}
            for other in outputs
            if other != name
        ]
        allocation = SHARED | {"weight": weight, "coProducts": others}
        output = {"amount": amount, "unit": "kg"}
        inputs = [bought("raw", "1", joint=True)]
        part = summed(predicate(output=output, inputs=inputs, allocation=allocation))
        shares.append(part.bought[0].share)

    assert abs(sum(shares, ZERO) - 1) < Decimal("1e-33")


MARKET_AND_LOCATION = {
    "contract": ({"locationFactor": factor("0.6", "kWh")}, "0.6"),
    "residual": ({"locationFactor": factor("0.6", "kWh")}, "0.6"),
    "grid": ({}, "0.5"),
    "grid with another factor": ({"locationFactor": factor("0.6", "kWh")}, "0.6"),
    "onSite": ({}, "0.5"),
    "directLine": ({}, "0.5"),
}


@pytest.mark.parametrize(
    ("supply", "more", "located"),
    [(name, more, kg) for name, (more, kg) in MARKET_AND_LOCATION.items()],
    ids=MARKET_AND_LOCATION,
)
def test_the_location_result_is_recomputed_beside_the_market_result(
    supply: str, more: Json, located: str
) -> None:
    power = line("power", "4", "kWh", "0.5", kind="energy")
    power["electricity"] = {"supply": supply.split(maxsplit=1)[0], **more}
    document = predicate(
        activities=[power],
        footprint={"production": {"fossil": "0.5"}},
        locationFootprint={"production": {"fossil": located}},
    )
    part = reduce(document)

    assert fossil(part) == "0.5"
    assert dict(part.own_by_location or {}) == {Cell("production", "fossil"): Decimal(located)}
    document["locationFootprint"] = {"production": {"fossil": "0.55"}}
    with pytest.raises(StatementError, match=r"locationFootprint .* as 0\.55, .* give"):
        reduce(document)


@pytest.mark.parametrize("supply", ["contract", "residual"])
def test_a_location_result_without_the_grids_factor_is_refused(supply: str) -> None:
    power = line("power", "4", "kWh", "0.5", kind="energy", electricity={"supply": supply})
    document = predicate(
        activities=[power],
        footprint={"production": {"fossil": "0.5"}},
        locationFootprint={"production": {"fossil": "0.5"}},
    )

    with pytest.raises(StatementError, match=f"line power: {supply} electricity without"):
        reduce(document)


def test_one_certificate_counts_once_in_a_statement() -> None:
    def power(name: str, handle: str) -> Json:
        instrument = {"type": "GEC", "vintage": "2025", "market": "CN", "claimHandle": handle * 32}
        return line(
            name, "4", "kWh", "0", kind="energy",
            electricity={"supply": "contract", "instrument": instrument},
        )  # fmt: skip

    part = summed(predicate(activities=[power("a", "01"), power("b", "02")]))

    assert part.claims == ("01" * 32, "02" * 32)
    with pytest.raises(StatementError, match=f"electricity certificate {'01' * 32} stands twice"):
        summed(predicate(activities=[power("a", "01"), power("b", "01")]))


def test_shares_are_sums_of_absolute_contributions_per_declared_unit() -> None:
    best = {"technological": "1", "geographical": "2", "temporal": "5"}
    ours = factor("1", "kg", kind="supplierSpecific")
    rows = [
        line("a", "4", "kg", "1", amountKind="measured", factor=ours, quality=best),
        line("b", "8", "kg", "1", amountKind="measured"),
        line("c", "12", "kg", "1", factor=ours),
        line("d", "16", "kg", "-1", kind="waste", quality=best),
    ]
    exclusions = [
        {"name": "screws", "reason": "small", "estimate": "0.25"},
        {"name": "tape", "reason": "unknown"},
    ]
    tally = summed(predicate(activities=rows, exclusions=exclusions)).tally

    assert tally._asdict() == {
        "absolute": 10, "primary": 1, "primary_amount": 3, "primary_factor": 4,
        "excluded": Decimal("0.25"), "covered": 5, "technological": 5, "geographical": 10,
        "temporal": 25,
    }  # fmt: skip


def test_an_input_tells_everything_a_buyer_may_say_of_it() -> None:
    acquired = {"start": "2025-01-01T00:00:00Z", "end": "2025-07-01T00:00:00Z"}
    pinned = "ab" * 32
    rows = [
        bought(
            "raw", "3", stages="rawMaterial", site="plant 2", statement=pinned, acquired=acquired,
            delivery="buyer", basis="contained:Co", bomPosition="10", **{"yield": "0.97"},
        )
    ]  # fmt: skip
    (raw,) = summed(predicate(inputs=rows)).bought

    assert (raw.stages, raw.site, raw.pinned) == ("rawMaterial", "plant 2", pinned)
    assert (raw.yield_, raw.acquired) == (
        Decimal("0.97"), ("2025-01-01T00:00:00Z", "2025-07-01T00:00:00Z")
    )  # fmt: skip


def in_factor(text: str) -> Json:
    return with_line(factor=factor(text, "kg"))


def in_footprint(text: str) -> Json:
    return predicate(footprint={"production": {"fossil": text}})


def in_a_location_factor_that_nothing_asks_for(text: str) -> Json:
    power = {"supply": "contract", "locationFactor": factor(text, "kWh")}
    return predicate(
        activities=[line("power", "5", "kWh", "4.5", kind="energy", electricity=power)]
    )


@pytest.mark.parametrize(
    "text", ["1,5", "1,", ",", "", "1E-7", "-0", "1\n", "\u0661", "abc", "01", "+1", "NaN", "1_0"]
)
@pytest.mark.parametrize(
    "place", [in_factor, in_footprint, in_a_location_factor_that_nothing_asks_for]
)
def test_what_is_no_number_is_refused_wherever_it_stands(
    place: Callable[[str], Json], text: str
) -> None:
    with pytest.raises((MalformedError, msgspec.ValidationError)):
        reduce(place(text))
