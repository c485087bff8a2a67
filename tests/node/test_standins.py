"""What stands in for a missing statement: the nearest factor that the rules allow, or nothing."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from bcca_node.packmaker import factors
from bcca_node.packmaker.factors import FactorSet
from bcca_node.packmaker.ownvalues import OwnValue, filled
from bcca_node.packmaker.standins import Known, place_of, stand_ins
from bcca_protocol import own, partial
from bcca_protocol.choices import Chooser, Missing
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Input, Supplier
from bcca_protocol.partial import Bought, Part
from bcca_protocol.results import Substitute
from bcca_protocol.rules import RuleSet, neutral
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.substituted import Substituted

CATHODE = "urn:bcca:t:C12"
KEY = "cathode.example+01234567+" + "A" * 44
HEADER = (
    "dataset,geography,unit,total,gas,scope,source,version,licence,gwp,year,technology,stands_for"
)


def rules_of(**more: Any) -> RuleSet:
    """The neutral rules, but for what is told."""
    return dataclasses.replace(neutral(), **more)


ANY = rules_of(secondary=("*",), proxies=True)


def row(dataset: str = "cathode", geography: str = "CN", total: str = "20", **more: str) -> str:
    told = {
        "unit": "kg",
        "gas": "co2e",
        "scope": "upstream",
        "source": "a database",
        "version": "1",
        "licence": "own use",
        "gwp": "",
        "year": "",
        "technology": "same",
        "stands_for": "C12",
    }
    cells = {"dataset": dataset, "geography": geography, "total": total, **told, **more}
    return ",".join(cells[column] for column in HEADER.split(","))


def set_of(*rows: str, name: str = "ours") -> FactorSet:
    return factors.parse("\n".join([HEADER, *rows, ""]), name, file="ours.csv")


def known(region: str | None = "CN", names: Mapping[str, str] | None = None) -> Known:
    return Known(names=names or {}, region_of=lambda origin, site: region)


@pytest.fixture
def pack(part: Callable[..., PartialFootprint]) -> Part:
    """A pack of 6 kg CO2e itself, made of 2 kg of a cathode."""
    return reduced(part, amounts=("2",))


def reduced(
    part: Callable[..., PartialFootprint], amounts: tuple[str, ...], units: str = "kg", **more: Any
) -> Part:
    lines = tuple(
        Input(
            id=f"I{index}",
            product=CATHODE,
            supplier=Supplier(origin="cathode.example", key=KEY),
            amount=amount,
            unit=unit,  # type: ignore[arg-type]  # of the table
            stages="keep",
        )
        for index, (amount, unit) in enumerate(zip(amounts, units.split(), strict=True))
    )
    stated = own.with_footprint(part("pack.example", "P1", buys=lines, **more))
    return partial.reduce(stated, "ab" * 32)


def stood(pack: Part, *sets: FactorSet, rules: RuleSet = ANY, **more: Any) -> Substitute | None:
    return stand_ins(sets, rules, known(**more))(pack, pack.bought[0])


def chosen(pack: Part, *sets: FactorSet, **more: Any) -> tuple[str, str, str]:
    found = stood(pack, *sets, **more)
    assert found is not None
    values = found.factor.values
    return values.fossil or "", found.factor.geography, found.reason


def gap(_: Part, bought: Bought) -> Missing:
    return Missing(f"no statement for {bought.product} of {bought.origin}")


def nothing(_: Part, __: Bought) -> None:
    return None


def by(pack: Part, *told: OwnValue, choose: Chooser = gap, rules: RuleSet = ANY) -> Any:
    return filled(choose, [pack], told, nothing, rules)(pack, pack.bought[0])


def value(kg: str = "3", unit: Any = None, asked: str = "C12", **more: Any) -> OwnValue:
    return OwnValue(asked=asked, kg=kg, unit=unit, reason="LCA of 2024", **more)


# The ladder.


def test_the_same_technology_and_region_comes_before_another_region_and_that_before_a_proxy(
    pack: Part,
) -> None:
    proxy, other, same = (
        row("anode", "CN", "9", technology="proxy"),
        row("cathode", "SE", "10"),
        row("cathode", "CN", "11"),
    )

    first = chosen(pack, set_of(proxy, other, same))
    second = chosen(pack, set_of(proxy, other))
    third = chosen(pack, set_of(proxy))

    assert first == ("11", "CN", "secondary, same technology, same region (CN); set ours, own use")
    assert second[:2] == ("10", "SE")
    assert "other region (SE for CN; geographical 5)" in second[2]
    assert third[:2] == ("9", "CN")
    assert third[2].startswith("proxy, technological 5, same region (CN)")


@pytest.mark.parametrize(
    ("region", "geography", "rank"),
    [
        ("CN-GD", "CN-GD", 0), ("CN", "CN", 0), ("CN-GD", "CN", 1), ("CN", "CN-GD", 2),
        ("CN-BJ", "CN-GD", 2), ("CN", "GLO", 3), (None, "RoW", 3), (None, "CN", 4), ("SE", "CN", 5),
    ],
)  # fmt: skip
def test_how_near_a_place_is(region: str | None, geography: str, rank: int) -> None:
    assert place_of(region, geography).rank == rank


def test_nothing_stands_in_where_no_set_knows_the_product(pack: Part) -> None:
    assert stood(pack, set_of(row(stands_for="C13")), *factors.shipped()) is None


@pytest.mark.parametrize("pattern", ["C12", CATHODE, "c12", "urn:bcca:t:*", "NMC cathode", "NMC*"])
def test_a_product_is_known_by_its_urn_its_last_part_its_name_or_a_pattern(
    pack: Part, pattern: str
) -> None:
    names = {CATHODE: "NMC cathode"}

    assert chosen(pack, set_of(row(stands_for=f"other|{pattern}")), names=names)[0] == "20"


def test_its_own_urn_comes_before_a_pattern(pack: Part) -> None:
    found = chosen(pack, set_of(row("wide", total="30", stands_for="*"), row(total="20")))

    assert found[0] == "20"


def test_the_nearest_year_comes_first_and_of_two_the_earlier(pack: Part) -> None:
    years = [row(version=y, year=y, total=f"2{y[-1]}") for y in ("2023", "2024", "2026")]

    assert chosen(pack, set_of(*years))[0] == "24"  # the pack is of 2025


def test_of_equally_near_ones_the_highest_stands_in_and_the_others_are_named(pack: Part) -> None:
    one, other = set_of(row(total="20"), name="one"), set_of(row(total="21"), name="other")
    grams = set_of(row(total="0.0205", unit="g"), name="grams")  # 20.5 per kg

    found = chosen(pack, one, other, grams)

    assert found == chosen(pack, grams, other, one)
    assert found[0] == "21"
    assert (
        "the highest of 3 that are equally near: beside cathode (grams, CN, 0.0205 per g), "
        "cathode (one, CN, 20 per kg)" in found[2]
    )


# What never stands in.


def test_attack_a_factor_of_co2_alone_never_stands_in_where_co2e_is_counted(pack: Part) -> None:
    assert stood(pack, set_of(row(gas="co2"))) is None


def test_attack_the_official_co2_factor_never_stands_in_for_power(
    part: Callable[..., PartialFootprint],
) -> None:
    buyer = reduced(part, amounts=("2",), units="kWh")
    power = {CATHODE: "electricity"}
    co2, *co2e = factors.shipped()

    assert stood(buyer, co2, names=power) is None
    assert chosen(buyer, co2, *co2e, names=power)[:2] == ("0.5777", "CN")  # 2024: the latest


def test_attack_a_factor_of_another_dimension_never_stands_in(pack: Part) -> None:
    assert stood(pack, set_of(row(unit="kWh"), row(unit="piece"), row(unit="m3"))) is None


def test_attack_a_factor_of_another_gwp_never_stands_in(pack: Part) -> None:
    assert stood(pack, set_of(row(gwp="AR5"))) is None
    assert stood(pack, set_of(row(gwp="AR6"))) is not None


def test_attack_a_factor_of_zero_never_hides_a_gap(pack: Part) -> None:
    assert stood(pack, set_of(row(total="0"))) is None
    assert stood(pack, set_of(row(total="-20"))) is None  # as it may have been imported before


def test_what_the_rules_do_not_allow_is_passed_over(pack: Part) -> None:
    sets = set_of(row(total="20"), row("anode", total="9", technology="proxy", source="other"))

    assert chosen(pack, sets, rules=rules_of(secondary=("other",)))[0] == "9"
    assert chosen(pack, sets, rules=rules_of(proxies=False))[0] == "20"


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"secondary": ()}, "the rules do not allow factors of a database"),
        ({"mandatory": ("*C12",)}, "the rules want a signed statement of its supplier"),
        ({"secondary": ("other",), "proxies": False}, "do not allow factors of a database"),
    ],
)
def test_where_the_rules_allow_nothing_the_gap_stays_and_the_nearest_value_bounds_it(
    pack: Part, rules: dict[str, Any], reason: str
) -> None:
    sets = [
        set_of(row("anode", total="9", technology="proxy", source="other")),
        set_of(row(total="20000", unit="t"), name="tonnes"),
    ]
    strict = rules_of(**rules)

    stand_in = stand_ins(sets, strict, known())
    found = filled(gap, [pack], [], stand_in, strict)(pack, pack.bought[0])

    assert isinstance(found, Missing)
    assert found.bound == 20  # kg CO2e per kg of the line
    assert reason in found.reason
    assert found.reason.startswith(f"no statement for {CATHODE} of cathode.example; ")


# Own values.


def test_an_own_value_fills_what_is_missing_in_the_unit_of_the_line(pack: Part) -> None:
    found = by(pack, value("3.25"))

    assert isinstance(found, Substituted)
    assert found.stated.reason == "LCA of 2024"
    assert (found.stated.factor.unit, found.stated.factor.values.fossil) == ("kg", "3.25")
    assert found.stated.factor.source == "stated by the maker"
    assert sum(found.fact.own.values()) == Decimal("3.25")


def test_an_own_value_comes_before_a_set(pack: Part) -> None:
    stand_in = stand_ins([set_of(row())], ANY, known())
    found = filled(gap, [pack], [value("3")], stand_in, ANY)(pack, pack.bought[0])
    without = filled(gap, [pack], [], stand_in, ANY)(pack, pack.bought[0])

    assert isinstance(found, Substituted)
    assert isinstance(without, Substituted)
    assert found.stated.factor.values.fossil == "3"
    assert without.stated.factor.values.fossil == "20"


def test_attack_an_own_value_does_not_silently_replace_a_signed_statement(pack: Part) -> None:
    with pytest.raises(UnusableError) as refused:
        by(pack, value("3"), choose=signed(pack))

    assert str(refused.value) == (
        f"--substitute C12: {CATHODE} has the signed statement {'ef' * 32}, which an own value "
        "does not replace unasked; write C12!=3 to put it over that"
    )


def test_an_own_value_goes_over_a_signed_statement_only_when_told_and_that_is_said(
    pack: Part,
) -> None:
    found = by(pack, value("3", replaces=True), choose=signed(pack))

    assert isinstance(found, Substituted)
    assert found.stated.reason == f"over the signed statement {'ef' * 32}: LCA of 2024"


def test_a_product_that_must_be_company_specific_stays_a_gap_whatever_is_told(pack: Part) -> None:
    rules = rules_of(mandatory=(CATHODE,))

    found = by(pack, value(), rules=rules)

    assert isinstance(found, Missing)
    assert "the rules want a signed statement" in found.reason
    with pytest.raises(UnusableError, match="the rules want a signed statement"):
        by(pack, value(replaces=True), rules=rules, choose=signed(pack))


def test_an_input_of_amount_zero_is_filled_by_nothing(
    part: Callable[..., PartialFootprint],
) -> None:
    idle = reduced(part, amounts=("0",))

    assert isinstance(filled(gap, [idle], [], nothing, ANY)(idle, idle.bought[0]), Missing)
    with pytest.raises(UnusableError, match="nothing of that name is bought here"):
        by(idle, value())


def test_what_a_value_goes_over_feeds_not_even_an_input_of_amount_zero(
    part: Callable[..., PartialFootprint],
) -> None:
    """Else the statement would be in the bundle, where an auditor finds that it comes first."""
    buyer = reduced(part, amounts=("2", "0"), units="kg kg")
    told = [value(replaces=True)]

    choose = filled(signed(buyer), [buyer], told, nothing, ANY)

    assert isinstance(choose(buyer, buyer.bought[0]), Substituted)
    assert isinstance(choose(buyer, buyer.bought[1]), Missing)


def test_where_two_current_statements_contradict_each_other_no_set_stands_in(pack: Part) -> None:
    def torn(_: Part, __: Bought) -> Missing:
        return Missing("two current statements", is_settled=True)

    stand_in = stand_ins([set_of(row())], ANY, known())

    assert isinstance(filled(torn, [pack], [], stand_in, ANY)(pack, pack.bought[0]), Missing)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([value(), value(asked=CATHODE)], f"{CATHODE} has two values; give it one"),
        (
            [value(unit="kWh")],
            rf"a value per kWh \(energy\), where {CATHODE} is bought in kg \(mass\)",
        ),
    ],
)
def test_an_own_value_that_fits_nothing_is_refused_in_a_sentence(
    pack: Part, told: list[OwnValue], reason: str
) -> None:
    with pytest.raises(UnusableError, match=reason):
        by(pack, *told)


def test_an_own_value_of_what_nobody_buys_waits_while_something_is_missing(pack: Part) -> None:
    """What is missing may buy it: a script with fixed values runs on the day a supplier is down."""
    assert isinstance(by(pack, value(asked="C13")), Missing)
    assert isinstance(by(pack, value(), value(asked="C13")), Substituted)
    with pytest.raises(UnusableError, match="bought here, and nothing is missing"):
        by(pack, value(asked="C13"), choose=signed(pack))


def test_a_value_without_a_unit_is_refused_where_the_product_is_bought_in_two(
    part: Callable[..., PartialFootprint],
) -> None:
    buyer = reduced(part, amounts=("2", "1"), units="kg t")

    with pytest.raises(UnusableError, match="is bought in kg and t; say the unit"):
        by(buyer, value())
    assert isinstance(by(buyer, value(unit="t")), Substituted)


def signed(pack: Part) -> Chooser:
    """Choose a signed statement of the cathode's supplier."""

    def choose(_: Part, __: Bought) -> Any:
        fact = replace(pack, commitment="ef" * 32, product=CATHODE, bought=())
        return Signed(fact)

    return choose


@dataclass(frozen=True)
class Signed:
    """A statement as a chooser returns one."""

    fact: Part
