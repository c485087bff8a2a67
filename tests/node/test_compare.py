"""What moved the total from one run to another: exact, whatever changed, in either direction."""

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import pytest

from bcca_node.packmaker.compare import Comparison, Row, added, compare
from bcca_node.packmaker.remade import Member, OwnLine, Remade, Taken
from bcca_protocol.quantity import arithmetic
from bcca_protocol.rules import RuleSet, cut_off_at, neutral

RULES = neutral()
TINY = Decimal("1e-17")  # 20 digits of each row behind the point, times so many rows


def line(name: str = "A1", amount: str = "2", value: str = "3", **more: Any) -> OwnLine:
    told: dict[str, Any] = {"id": name, "name": name, "factor": "nickel (a database)"}
    return OwnLine(**told, amount=Decimal(amount), value=Decimal(value), **more)


def taken(source: str | None, amount: str = "1", name: str = "I1", **more: Any) -> Taken:
    product = f"urn:{source}"
    return Taken(
        line=name, product=product, origin="x", amount=Decimal(amount), source=source, **more
    )


def member(name: str, *lines: OwnLine, **more: Any) -> Member:
    told: dict[str, Any] = {
        "kind": "statement",
        "issuer": "x",
        "product": f"urn:{name.partition('@')[0]}",
        "title": name,
        "site": None,
        "batch": None,
        "period": "2025",
        "unit": "kg",
        "output": Decimal(1),
        "piece_kg": None,
        "lines": lines or (line(),),
    }
    return Member(name=name, **(told | more))


def run(*members: Member, amount: str = "1", rules: RuleSet = RULES) -> Remade:
    """Return a run, the first member its root, its total added up another way."""
    by_name = {each.name: each for each in members}
    made = Remade(
        name="run",
        members=by_name,
        root=members[0].name,
        amount=Decimal(amount),
        total=Decimal(0),
        rules=rules,
    )
    return replace(made, total=total(made))


def total(made: Remade) -> Decimal:
    """Solve all members together in fractions, and round once."""
    names = list(made.members)
    place = {name: at for at, name in enumerate(names)}
    rows = []
    for name in names:
        each = made.members[name]
        row = [Fraction(int(name == other)) for other in names]
        for fed in each.taken:
            if fed.source is not None:
                row[place[fed.source]] -= Fraction(fed.amount) / Fraction(each.output)
        kg = sum(
            (Fraction(a.amount) * Fraction(a.value) for a in each.lines if not a.is_cut),
            Fraction(0),
        )
        rows.append([*row, kg / Fraction(each.output)])
    for at in range(len(rows)):
        pivot = next(r for r in range(at, len(rows)) if rows[r][at])
        rows[at], rows[pivot] = rows[pivot], rows[at]
        rows[at] = [x / rows[at][at] for x in rows[at]]
        for other in range(len(rows)):
            if other != at and rows[other][at]:
                rows[other] = [
                    x - rows[other][at] * y for x, y in zip(rows[other], rows[at], strict=True)
                ]
    found = rows[place[made.root]][-1] * Fraction(made.amount)
    return arithmetic().divide(Decimal(found.numerator), Decimal(found.denominator))


def apart(found: Comparison) -> list[Row]:
    return [row for row in found.rows if row.kind != "rounding"]


def told(found: Comparison) -> list[tuple[str, str, Decimal]]:
    return [(row.kind, row.line, row.kg.normalize(Context())) for row in apart(found)]


def random_run(draw: random.Random, count: int) -> Remade:
    members = []
    for at in range(count):
        lines = [
            line(f"A{n}", number(draw), number(draw), is_cut=draw.random() < 0.1)
            for n in range(draw.randint(1, 3))
        ]
        fed = [
            taken(
                None if draw.random() < 0.2 else f"M{draw.randrange(count)}", small(draw), f"I{n}"
            )
            for n in range(draw.randint(0, 3))
        ]
        output = number(draw)
        per = [replace(each, amount=each.amount * Decimal(output)) for each in fed]
        members.append(member(f"M{at}", *lines, taken=tuple(per), output=Decimal(output)))
    return run(*members, amount=number(draw))


def number(draw: random.Random) -> str:
    return str(Decimal(draw.randint(1, 10**6)).scaleb(-draw.randint(0, 6)))


def small(draw: random.Random) -> str:
    """Return less than a third: three of them make no loop grow."""
    return str(Decimal(draw.randint(1, 300)).scaleb(-3))


def changed(draw: random.Random, made: Remade) -> Remade:
    """Return a run in which something of everything is another."""
    renamed = {n: f"{n}@2" if draw.random() < 0.4 else n for n in made.members}
    members = []
    for name, each in made.members.items():
        lines = [a for a in each.lines if draw.random() < 0.9] or [line("new")]
        lines = [
            replace(a, amount=Decimal(number(draw)), value=Decimal(number(draw)))
            if renamed[name] != name and draw.random() < 0.5
            else replace(a, is_cut=draw.random() < 0.1)
            for a in lines
        ]
        fed = [
            replace(i, source=None if draw.random() < 0.2 else draw.choice([*renamed.values()]))
            if draw.random() < 0.3
            else replace(i, source=None if i.source is None else renamed[i.source])
            for i in each.taken
        ]
        output = each.output * draw.choice([1, 1, 2])
        members.append(
            replace(each, name=renamed[name], lines=tuple(lines), taken=tuple(fed), output=output)
        )
    amount = made.amount * draw.choice([1, 1, 3])
    return run(*members, amount=str(amount))


def pairs() -> Iterator[tuple[Remade, Remade]]:
    for seed in range(60):
        draw = random.Random(seed)  # noqa: S311 - anything will do, and the same again
        first = random_run(draw, draw.randint(1, 8))
        yield first, changed(draw, first)


def test_rows_sum_to_the_difference_to_the_last_digit_whatever_changed() -> None:
    for first, second in pairs():
        found = compare(first, second)

        assert added(row.kg for row in found.rows) == found.difference
        assert Fraction(found.difference) == Fraction(second.total) - Fraction(first.total)


def test_what_is_left_to_rounding_is_nothing_anybody_could_act_on() -> None:
    for first, second in pairs():
        found = compare(first, second)
        left = sum((abs(row.kg) for row in found.rows if row.kind == "rounding"), Decimal(0))

        assert left <= TINY * max(Decimal(1), abs(first.total), abs(second.total))


def test_the_other_way_round_every_row_has_the_opposite_sign() -> None:
    for first, second in pairs():
        there, back = compare(first, second), compare(second, first)

        assert [(row.kind, row.line, row.kg) for row in there.rows] == [
            (row.kind, row.line, row.kg.copy_negate()) for row in back.rows
        ]


def test_a_run_beside_itself_has_no_row() -> None:
    for first, _ in pairs():
        assert compare(first, first).rows == ()


def test_two_unrelated_runs_are_still_told_apart_exactly() -> None:
    (first, _), (second, _) = list(pairs())[:2]
    found = compare(first, second)

    assert added(row.kg for row in found.rows) == found.difference


def test_a_factor_and_an_amount_that_changed_together_share_what_both_do() -> None:
    found = compare(run(member("P")), run(member("P@2", line(amount="4", value="5"))))

    assert told(found) == [("amount", "A1", Decimal(8)), ("factor", "A1", Decimal(6))]


def test_a_corrected_statement_upstream_is_weighed_by_what_is_needed_of_it() -> None:
    first = run(member("P", taken=(taken("C", "10"),)), member("C"))
    second = run(member("P", taken=(taken("C@2", "10"),)), member("C@2", line(amount="3")))
    found = compare(first, second)

    assert told(found) == [("amount", "A1", Decimal(30))]
    assert (found.rows[0].was, found.rows[0].now) == ("C", "C@2")


def test_another_supplier_is_one_row_with_all_that_is_behind_it() -> None:
    first = run(member("P", taken=(taken("C"),)), member("C", taken=(taken("D"),)), member("D"))
    second = run(member("P", taken=(taken("E"),)), member("E", line(amount="1")))
    found = compare(first, second)

    assert told(found) == [("statement", "I1", Decimal(-9))]
    assert (found.rows[0].before, found.rows[0].after) == ("C", "E")


def test_a_gap_that_is_filled_is_a_row_and_so_is_its_opening() -> None:
    gap, filled = (
        run(member("P", taken=(taken(None),))),
        run(member("P", taken=(taken("C"),)), member("C")),
    )

    assert told(compare(gap, filled)) == [("statement", "I1", Decimal(6))]
    assert told(compare(filled, gap)) == [("statement", "I1", Decimal(-6))]


@pytest.mark.parametrize("percent", ["1", "3"])
def test_a_line_that_the_rules_cut_off_is_moved_by_a_rule(percent: str) -> None:
    cut = member("P", line(), line("A2", "1", "1", is_cut=True))
    whole = member("P", line(), line("A2", "1", "1"))
    found = compare(run(whole), run(cut, rules=cut_off_at(RULES, percent)))

    assert told(found) == [("rule", "A2", Decimal(-1))]


def test_a_sibling_that_only_one_run_allowed_is_moved_by_a_rule() -> None:
    strict = replace(RULES, siblings=False, digest="0" * 64)
    filled = run(member("P", taken=(taken("C", flag="sibling"),)), member("C"))
    found = compare(filled, run(member("P", taken=(taken(None),)), rules=strict))

    assert told(found) == [("rule", "I1", Decimal(-6))]


def test_twice_the_amount_is_a_row_of_its_own() -> None:
    found = compare(run(member("P")), run(member("P"), amount="2"))

    assert told(found) == [("ordered", "", Decimal(6))]


def test_a_loop_is_solved_and_its_rows_sum_exactly() -> None:
    def looped(amount: str) -> Remade:
        return run(
            member("P", taken=(taken("Q", "0.5"),)),
            member("Q", line(amount=amount), taken=(taken("P", "0.5"),)),
        )

    found = compare(looped("2"), looped("3"))

    assert {row.kind for row in apart(found)} == {"amount"}
    assert added(row.kg for row in found.rows) == found.difference
