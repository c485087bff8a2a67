"""Why a number is what it is: each step can be computed again by hand, down to a signed line."""

import decimal
from decimal import Decimal
from fractions import Fraction

import pytest
from tests.node.office import Desk, Office, line

from bcca_node.packmaker import working
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.recalled import Recalled
from bcca_node.packmaker.why import Why, why
from bcca_node.packmaker.working import Working
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Allocation, Amount, CoProduct

CLOSE = Fraction(1, 10**28)


@pytest.fixture(scope="module")
def pack(office: Office) -> tuple[Desk, Recalled]:
    """A pack whose foil is bought on two ways, one of them through a joint process."""
    desk = office.desk()
    byproduct = CoProduct(name="slag", amount="2", unit="kg", weight="1")
    desk.sells(
        "foil",
        line("rolling", "0.3", "1.7", kind="energy"),
        line("sheet", "700", "0.002", unit="g"),
        output=Amount("7", "kg"),
    )
    desk.sells(
        "cell",
        line("drying", "2", "0.9", joint=True),
        desk.buys("foil", "130", unit="g", yield_="0.85", joint=True),
        allocation=Allocation(
            basis="mass", joint_process="drying", weight="1", co_products=(byproduct,)
        ),
    )
    desk.sells(
        "pack",
        line("welding", "1", "0.4"),
        desk.buys("cell", "6"),
        desk.buys("foil", "0.5", stages="rawMaterial"),
        desk.buys("glue", "0.25", of="oxide"),
        desk.buys("tape", "0.1", of="oxide"),
    )
    glue = OwnValue(asked=desk.urn("glue"), kg="4", unit=None, reason="LCA of 2024")
    return desk, desk.recalled("pack", amount="3", own_values=(glue,))


def by_hand(working: Working) -> Decimal:
    """Compute a working again from what it shows alone."""
    with decimal.localcontext(prec=34, rounding=decimal.ROUND_HALF_EVEN):
        found = Decimal(1)
        for operation, value, _, _ in working.operands:
            found = found * value if operation == "x" else found / value
        return found


def only(pack: tuple[Desk, Recalled], name: str) -> Why:
    desk, recalled = pack
    [found] = why(recalled, desk.urn(name))
    return found


def test_every_step_can_be_computed_again_by_hand(pack: tuple[Desk, Recalled]) -> None:
    for name in ("pack", "cell", "foil", "glue"):
        found = only(pack, name)
        steps = [each for taken in (*found.chain, *found.asked) for each in taken.workings]
        steps += [step for each in found.own for step in (each.each, each.whole)]
        steps += [each.whole for each in found.bought if each.whole is not None]

        for each in (*steps, found.own_kg, found.kg):
            assert by_hand(each) == each.value
            assert each.tell().endswith(f"= {each.as_json()['value']} {each.unit}")


def test_the_chain_of_consumers_leads_from_the_root_and_each_step_feeds_the_next(
    pack: tuple[Desk, Recalled],
) -> None:
    desk, recalled = pack
    found = only(pack, "cell")
    [step] = found.chain

    assert step.consumer.product == desk.urn("pack")
    assert step.supplier.product == found.part.product
    assert step.amount == found.amount == 18
    assert only(pack, "pack").chain == ()
    assert only(pack, "pack").kg.value == recalled.total


def test_what_is_bought_on_two_ways_is_told_on_both_and_these_sum_to_what_is_needed(
    pack: tuple[Desk, Recalled],
) -> None:
    found = only(pack, "foil")
    amounts = [each.amount for each in found.asked]
    joint = Fraction("0.13") / Fraction("0.85") * 18 * Fraction(1, 3)

    assert len(found.chain) == 1  # the shortest way
    assert working.added(amounts) == found.amount
    assert abs(Fraction(found.amount) - joint - Fraction("1.5")) <= CLOSE
    assert any("130 g as written" in each.workings[0].tell() for each in found.asked)
    assert any("0.85 (yield)" in each.workings[0].tell() for each in found.asked)


def test_own_lines_sum_to_what_the_product_itself_adds(pack: tuple[Desk, Recalled]) -> None:
    for name in ("pack", "cell", "foil"):
        found = only(pack, name)
        lines = sum(Fraction(each.whole.value) for each in found.own)
        bought = sum(Fraction(e.whole.value) for e in found.bought if e.whole is not None)

        assert abs(lines - Fraction(found.own_kg.value)) <= CLOSE
        assert abs(lines + bought - Fraction(found.kg.value)) <= CLOSE
    sheet = next(each for each in only(pack, "foil").own if each.name == "sheet")
    assert sheet.each.tell().startswith("700 g (amount) x 0.002 kg CO2e/g (factor sheet data)")


def test_a_value_in_a_statements_place_and_a_gap_say_so(pack: tuple[Desk, Recalled]) -> None:
    found = only(pack, "glue")
    root = only(pack, "pack")

    assert found.stood_in is not None
    assert found.stood_in.reason == "LCA of 2024"
    assert found.index is None
    assert found.amount == Decimal("0.75")
    assert found.kg.value == 3
    [gap] = [each for each in root.bought if each.whole is None]
    assert gap.fed_by.startswith("missing: ")


def test_a_line_is_found_by_its_id_or_its_data_set_in_every_statement(
    pack: tuple[Desk, Recalled],
) -> None:
    _, recalled = pack
    [by_id] = why(recalled, "drying")
    [by_dataset] = why(recalled, "drying data")

    assert by_id == by_dataset
    assert [each.name for each in by_id.own] == ["drying"]
    assert "(share of the joint process)" in by_id.own[0].each.tell()
    assert by_id.bought == ()


def test_a_loop_is_told_as_one_and_its_amounts_still_add_up(office: Office) -> None:
    desk = office.desk()
    desk.sells("acid", line("making", "1", "2"), desk.buys("steam", "0.2"))
    desk.sells("steam", line("boiling", "1", "5"), desk.buys("acid", "0.1"))
    desk.sells("pack", line("welding", "1", "0.4"), desk.buys("acid", "1"))
    [found] = why(desk.recalled("pack"), desk.urn("acid"))
    needed = 1 / (1 - Fraction("0.02"))

    assert found.in_loop
    assert abs(Fraction(found.amount) - needed) <= CLOSE
    assert abs(sum(Fraction(each.amount) for each in found.asked) - needed) <= CLOSE
    assert [each.consumer.product for each in found.chain] == [desk.urn("pack")]


def test_attack_a_name_that_is_nothing_here_is_refused_without_obeying_it(
    pack: tuple[Desk, Recalled],
) -> None:
    with pytest.raises(UnusableError, match="neither a product nor an own line") as refused:
        why(pack[1], "\x1b[2Jgold")

    assert "\x1b" not in str(refused.value)
    assert pack[0].urn("cell") in str(refused.value)
