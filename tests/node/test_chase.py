"""What a result lacks, ranked by how much an answer could move it; and what a reviewer asks."""

from decimal import Decimal

import pytest
from tests.node.foreignwords import written
from tests.node.office import Desk, Office, line

from bcca_node.packmaker.chase import Item, chase
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.questions import moved_by_a
from bcca_node.packmaker.recalled import Recalled, before
from bcca_node.packmaker.results import results
from bcca_node.packmaker.review import review
from bcca_node.packmaker.why import why
from bcca_node.pact import intake
from bcca_protocol.inventory import Interval, Material
from bcca_protocol.rules import NEUTRAL, parse

STRICT = parse(NEUTRAL.replace('"neutral"', '"strict"').replace('["*"]', '["nobody"]'))


@pytest.fixture(scope="module")
def pack(office: Office) -> tuple[Desk, Recalled]:
    """A pack of which much is missing, of one supplier that says nothing at all."""
    desk = office.desk()
    desk.sells("foil", line("rolling", "1", "7"))
    desk.sells("ore", line("blasting", "1", "30"), year=2023, validity=_until("2024-07-01"))
    desk.sells(
        "cell",
        line("drying", "2", "3"),
        desk.buys("salt", "2", of="oxide"),
        desk.buys("foil", "1"),
        desk.buys("ore", "0.1", acquired=Interval("2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z")),
    )
    desk.sells(
        "pack",
        line("welding", "1", "0.4"),
        desk.buys("cell", "1"),
        desk.buys("salt", "500", of="oxide", unit="g"),
        desk.buys("tape", "40", of="oxide"),
        desk.buys("chip", "2", of="oxide", unit="piece"),
        desk.buys("glue", "1", of="oxide"),
        desk.buys("nothing", "0", of="oxide"),
    )
    glue = OwnValue(asked=desk.urn("glue"), kg="-9", unit=None, reason="LCA of 2024")
    return desk, desk.recalled("pack", amount="2", own_values=(glue,))


def _until(day: str) -> Interval:
    return Interval("2023-01-01T00:00:00Z", f"{day}T00:00:00Z")


def names(desk: Desk, items: list[Item]) -> list[str]:
    return [each.product.removeprefix(desk.urn("")) for each in items]


def by_name(desk: Desk, recalled: Recalled) -> dict[str, Item]:
    items = chase(recalled)
    return dict(zip(names(desk, items), items, strict=True))


def test_the_unbounded_come_first_by_lines_and_mass_and_then_the_bounded_by_kg(
    pack: tuple[Desk, Recalled],
) -> None:
    desk, recalled = pack

    assert names(desk, chase(recalled)) == ["salt", "tape", "chip", "glue", "ore"]


def test_one_answer_settles_all_lines_that_buy_a_product(pack: tuple[Desk, Recalled]) -> None:
    salt = chase(pack[1])[0]

    assert (salt.kind, salt.lines) == ("missing", 2)
    assert salt.mass_kg == 5
    assert salt.amounts == {"kg": 4, "g": 1000}
    assert len(salt.buyers) == 2


def test_an_estimate_is_that_of_the_most_intensive_of_its_like_and_is_called_one(
    pack: tuple[Desk, Recalled],
) -> None:
    found = by_name(*pack)
    salt, chip = found["salt"], found["chip"]

    assert (salt.measure, salt.is_bounded) == ("estimate", False)
    assert salt.kg == 5 * 30
    assert salt.like.endswith("of Cathode GmbH")
    assert (chip.measure, chip.kg, chip.mass_kg) == ("none", None, None)  # nothing else by piece


def test_what_stands_in_is_worth_its_own_kg_and_what_expired_what_is_used_now(
    pack: tuple[Desk, Recalled],
) -> None:
    found = by_name(*pack)

    assert (found["glue"].kind, found["glue"].measure) == ("substituted", "substitute")
    assert found["glue"].kg == 18  # a credit could move it as much
    assert (found["ore"].kind, found["ore"].measure) == ("expired", "its own value")
    assert found["ore"].kg == 6


def test_a_value_that_the_rules_do_not_allow_bounds_its_gap(office: Office) -> None:
    desk = office.desk()
    desk.sells("pack", line("welding", "1", "0.4"), desk.buys("glue", "3", of="oxide"))
    glue = OwnValue(asked=desk.urn("glue"), kg="4", unit=None, reason="LCA of 2024")
    [item] = chase(desk.recalled("pack", own_values=(glue,), rules=STRICT))

    assert (item.kind, item.measure) == ("missing", "bound")
    assert item.kg == 12
    assert item.is_bounded


def test_where_all_is_signed_there_is_nothing_to_chase(office: Office) -> None:
    desk = office.desk()
    desk.sells("foil", line("rolling", "1", "7"))
    desk.sells("pack", line("welding", "1", "0.4"), desk.buys("foil", "1"))

    assert chase(desk.recalled("pack")) == []


def test_a_reviewers_questions_are_answered_or_what_would_be_needed_is_said(
    pack: tuple[Desk, Recalled],
) -> None:
    _, recalled = pack
    answers = review(recalled, results(recalled))

    assert len(answers) == 10
    assert all(each.words for each in answers)
    assert all(each.verdict == "answered" or each.needed for each in answers)
    assert answers[0].verdict == "cannot say"
    assert "--battery" in answers[0].needed
    assert "see `bcca chase`" in answers[8].needed
    assert answers[9].words[0].startswith("nothing was declared before")


def test_a_review_says_what_was_declared_before(office: Office) -> None:
    desk = office.desk()
    desk.sells("pack", line("welding", "1", "0.4"), desk.buys("glue", "1", of="oxide"))
    desk.run("pack")
    glue = OwnValue(asked=desk.urn("glue"), kg="4", unit=None, reason="LCA of 2024")
    recalled = desk.recalled("pack", own_values=(glue,))
    earlier = before(office.node, recalled)
    changed = review(recalled, results(recalled), earlier)[9]

    assert earlier is not None
    assert earlier.total == Decimal("0.4")
    assert "0.4 kg CO2e for 1 kg, now 4.4 for 1 kg" in changed.words[0]


def test_a_review_tells_what_was_made_of_unsigned_footprints_and_how_many_more_there_are(
    office: Office,
) -> None:
    desk, names = office.desk(), [f"glue{number}" for number in range(7)]
    desk.sells("pack", *(desk.buys(name, "1", of="oxide") for name in names))
    with office.node.database.write() as session:
        for number, name in enumerate(names):
            pf_id = f"8f0f2d0e-6d0c-5d3d-9f3e-0c7c3f0a9b1{number}"
            sent = written(pf_id, productIds=[desk.urn(name)], pcfExcludingBiogenicUptake="14.21")
            intake.take(office.node, session, "pact:glue", sent, 1_770_000_000)
    recalled = desk.recalled("pack")
    words = review(recalled, results(recalled))[7].words

    assert sum("rounding: 0.01 kg CO2e per 1 kg added to fossil" in each for each in words) == 5
    assert "and 2 others, as `bcca explain` says" in words


def test_a_suppliers_own_roll_up_tells_what_it_lacks_and_is_asked_for_that(office: Office) -> None:
    desk = office.desk()
    desk.sells(
        "salt",
        line("washing", "1", "2"),
        desk.buys("acid", "0.5", of="maker"),
        desk.buys("lime", "1", of="maker"),
        by="oxide",
        sharing="direct",
    )
    acid = OwnValue(asked=desk.urn("acid"), kg="6", unit=None, reason="LCA of 2024")
    desk.run("salt", by="oxide", own_values=(acid,), sharing="public")
    desk.sells("pack", line("welding", "1", "0.4"), desk.buys("salt", "2", of="oxide"))
    recalled = desk.recalled("pack")
    items = {each.kind: each for each in chase(recalled)}
    found = results(recalled)
    [cell] = why(recalled, desk.urn("salt"))

    assert recalled.total == Decimal("10.4")
    assert items["unsigned"].kg == 6
    assert items["unsigned"].measure == "its own word"
    assert items["missing"].kg is None
    assert {row.name: row.kg for row in found.kinds} == {
        "cumulative": 10,
        "material": Decimal("0.4"),
    }
    assert [each.name for each in cell.own] == ["cumulative, as its issuer claims"]
    assert any(words.startswith("not shown: ") for words in review(recalled, found)[8].words)


def test_how_far_the_circular_formula_could_move_it_is_told_of_materials_with_both_factors() -> (
    None
):
    nickel = Material(
        name="Ni", kg="2", recycled_post="0.25", virgin_factor="10", recycled_factor="4"
    )

    moved, count = moved_by_a((nickel, Material(name="Co", kg="1")))

    assert count == 1
    assert moved == Decimal("2.4")  # 2 kg x 0.25 x (1 - 0.2) x (10 - 4)
