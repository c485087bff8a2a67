"""`bcca runs`: every aggregate is kept, compared, frozen; what a correction touches."""

import json
from decimal import Decimal
from typing import Any

from msgspec import structs

from bcca_node.cli.screen import MOST_ROWS
from bcca_node.ledger.status import replacing
from bcca_node.storage import logs, statements
from bcca_protocol import own
from bcca_protocol.entry import Status

PACK, CATHODE = "urn:bcca:case:t:P1", "urn:bcca:case:t:C1"


def corrected(desk: Any, chain: Any, kg: float, *, lines: int = 1) -> str:
    """Let the supplier say that its cathode weighs something else; return what it said before."""
    node = chain.supplier
    with node.database.read() as session:
        [old] = statements.current(session, [CATHODE], logs.size(session))
    part = desk.part(node.origin, "C1", kg=kg)
    [first] = part.activities
    factor = structs.replace(first.factor, dataset="far too long " * 9)
    more = [structs.replace(first, id=f"more-{n}", factor=factor) for n in range(1, lines)]
    part = own.with_footprint(structs.replace(part, activities=(first, *more)))
    desk.published(node, replacing(part, old.commitment, Status.CORRECTED))
    return str(old.commitment)


def summed(told: Any) -> Decimal:
    return sum((Decimal(row["kg"]) for row in told["rows"]), Decimal(0))


def test_every_aggregate_is_kept_by_name_or_number(desk: Any, two_tiers: Any) -> None:
    pack = two_tiers.pack
    first = desk.bcca("aggregate", "P1", "--json", data=pack).json
    named = desk.bcca("aggregate", "P1", "--name", "tender A", data=pack)
    listed = desk.bcca("runs", "--json", data=pack).json["runs"]
    shown = desk.bcca("runs", "show", "tender A", "--json", data=pack).json

    assert first["run"] == "1"
    assert "kept as run tender A\n" in named.out
    assert [(each["name"], each["total"]) for each in listed] == [("1", "18"), ("tender A", "18")]
    assert shown["commitment"] == first["commitment"]
    assert json.loads(shown["rollUp"])["product"]["id"] == PACK
    assert len(shown["statements"]) == 2
    assert "tender A" in desk.bcca("runs", "list", "--product", "P1", data=pack).out


def test_a_comparison_says_what_moved_the_total_and_sums_exactly(desk: Any, two_tiers: Any) -> None:
    pack = two_tiers.pack
    desk.bcca("aggregate", "P1", data=pack)
    corrected(desk, two_tiers, 5)
    desk.bcca("aggregate", "P1", data=pack)
    told = desk.bcca("runs", "compare", "1", "2", "--json", data=pack).json
    back = desk.bcca("runs", "compare", "2", "1", "--json", data=pack).json
    same = desk.bcca("runs", "compare", "2", "2", data=pack)
    shown = desk.bcca("runs", "compare", "1", "2", data=pack)

    assert (told["before"], told["after"], told["difference"]) == ("18", "21", "3")
    assert summed(told) == 3
    assert {row["product"] for row in told["rows"]} == {CATHODE}
    assert [Decimal(row["kg"]) for row in back["rows"]] == [
        -Decimal(row["kg"]) for row in told["rows"]
    ]
    assert "Nothing moved." in same.out
    assert "run 2: 21 kg CO2e, +3\n" in shown.out


def test_of_a_long_comparison_the_most_is_shown_and_how_much_the_others_are(
    desk: Any, two_tiers: Any
) -> None:
    pack = two_tiers.pack
    desk.bcca("aggregate", "P1", data=pack)
    corrected(desk, two_tiers, 4, lines=MOST_ROWS + 6)
    desk.bcca("aggregate", "P1", data=pack)
    told = desk.bcca("runs", "compare", "1", "2", "--json", data=pack).json
    shown = desk.bcca("runs", "compare", "1", "2", data=pack).out

    assert len(told["rows"]) == MOST_ROWS + 5
    assert summed(told) == Decimal(told["difference"])
    assert "and 5 smaller ones, together +60 kg CO2e; --json lists each\n" in shown
    assert "far too long " in shown
    assert "far too long " * 9 not in shown


def test_cut_off_and_own_values_are_told_as_rules_and_substitutes(
    desk: Any, two_tiers: Any
) -> None:
    pack = two_tiers.pack
    desk.bcca("aggregate", "P1", "--name", "whole", data=pack)
    desk.bcca("aggregate", "P1", "--cut-off", "40", "--name", "cut", data=pack)
    desk.bcca("aggregate", "P1", "--substitute", "C1!=10;ours", "--name", "ours", data=pack)
    cut = desk.bcca("runs", "compare", "whole", "cut", "--json", data=pack).json
    ours = desk.bcca("runs", "compare", "whole", "ours", "--json", data=pack).json

    assert {(row["kind"], row["after"]) for row in cut["rows"]} == {("rule", "cut off")}
    assert summed(cut) == Decimal(cut["difference"]) == -6
    assert [row["kind"] for row in ours["rows"]] == ["substitute"]
    assert summed(ours) == Decimal(ours["difference"])


def test_a_frozen_run_is_neither_overwritten_nor_renamed_nor_renamed_over(
    desk: Any, two_tiers: Any
) -> None:
    pack = two_tiers.pack
    desk.bcca("aggregate", "P1", "--name", "draft", data=pack)
    desk.bcca("aggregate", "P1", "--name", "other", data=pack)
    frozen = desk.bcca("runs", "freeze", "draft", "--year", "2026", data=pack)
    corrected(desk, two_tiers, 5)
    before = desk.snapshot(pack)

    assert "run draft is frozen for 2026\n" in frozen.out
    for arguments, said in (
        (("aggregate", "P1", "--name", "draft"), "run draft: frozen for 2026"),
        (("runs", "rename", "draft", "new"), "run draft: frozen for 2026"),
        (("runs", "rename", "other", "draft"), "there is one of that name, frozen for 2026"),
        (("runs", "freeze", "draft", "--year", "2027"), "run draft: frozen for 2026"),
        (("runs", "freeze", "other", "--year", "2026"), "has run draft frozen for 2026 already"),
        (("runs", "freeze", "other", "--year", "next"), "write it as 2026"),
        (("runs", "rename", "other", "7"), "is no name of a run"),
        (("runs", "show", "none"), "there is none of that name"),
    ):
        ran = desk.bcca(*arguments, data=pack)
        assert ran.status == 2
        assert said in ran.refusal
    assert desk.snapshot(pack) == before


def test_an_unfrozen_run_gives_way_to_one_of_its_name(desk: Any, two_tiers: Any) -> None:
    pack = two_tiers.pack
    desk.bcca("aggregate", "P1", "--name", "draft", data=pack)
    corrected(desk, two_tiers, 5)
    desk.bcca("aggregate", "P1", "--name", "draft", data=pack)
    renamed = desk.bcca("runs", "rename", "draft", "final", data=pack)
    listed = desk.bcca("runs", "--json", data=pack).json["runs"]

    assert "run draft is now final\n" in renamed.out
    assert [(each["name"], each["total"]) for each in listed] == [("final", "21")]


def test_a_corrected_statement_touches_runs_and_says_how_far_each_would_move(
    desk: Any, two_tiers: Any
) -> None:
    pack = two_tiers.pack
    desk.bcca("aggregate", "P1", "--name", "first", data=pack)
    desk.bcca("runs", "freeze", "first", "--year", "2026", data=pack)
    old = corrected(desk, two_tiers, 5)
    desk.bcca("aggregate", "P1", "--name", "second", data=pack)
    by_name = desk.bcca("runs", "touched", old, "--json", data=pack).json["runs"]
    by_product = desk.bcca("runs", "touched", CATHODE, "--json", data=pack).json["runs"]
    told = desk.bcca("runs", "touched", old, data=pack)

    assert [(each["name"], each["directly"], each["movedBy"]) for each in by_name] == [
        ("first", True, "3")
    ]
    assert by_name[0]["now"]["after"] == "21"
    assert [each["name"] for each in by_product] == ["first", "second"]
    assert "run first of urn:bcca:case:t:P1, frozen for 2026: directly, 18 kg CO2e\n" in told.out
    assert "  now 21 kg CO2e, +3, of which by it +3\n" in told.out
    assert (
        "no statement of that commitment"
        in desk.bcca("runs", "touched", "0" * 64, data=pack).refusal
    )


def test_a_run_is_forgotten_unless_it_is_frozen(desk: Any, two_tiers: Any) -> None:
    pack = two_tiers.pack
    for name in ("draft", "final"):
        desk.bcca("aggregate", "P1", "--name", name, data=pack)
    desk.bcca("runs", "freeze", "final", "--year", "2026", data=pack)
    removed = desk.bcca("runs", "remove", "draft", data=pack)
    frozen = desk.bcca("runs", "remove", "final", data=pack)

    assert "removed run draft\n" in removed.out
    assert "run final: frozen for 2026" in frozen.refusal
    assert [e["name"] for e in desk.bcca("runs", "--json", data=pack).json["runs"]] == ["final"]


def test_runs_whose_recipe_is_secret_are_compared_and_touched_as_any_other(
    desk: Any, chain: Any
) -> None:
    pack, supplier = chain.pack, chain.supplier
    desk.published(supplier, desk.part(supplier.origin, "C1", kg=4))
    buys = (desk.bought("C1", supplier),)
    desk.published(pack, desk.part(pack.origin, "P1", buys=buys, sharing="direct"))
    desk.bcca("aggregate", "P1", "--recipe", "secret", data=pack)
    old = corrected(desk, chain, 5)
    desk.bcca("aggregate", "P1", data=pack)
    told = desk.bcca("runs", "compare", "1", "2", "--json", data=pack).json
    found = desk.bcca("runs", "touched", old, "--json", data=pack).json

    assert (told["before"], told["after"], told["difference"]) == ("18", "21", "3")
    assert summed(told) == 3
    assert {row["product"] for row in told["rows"]} == {CATHODE}
    assert [(each["name"], each["movedBy"]) for each in found["runs"]] == [("1", "3")]
    assert found["unseen"] == []
