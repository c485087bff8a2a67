"""Two kept runs laid over each other: who of the one is who of the other, and what each weighs.

What both were made of is matched by commitment, else by product: its supplier, site and batch as
far as they agree. What only one was made of takes in the other what it takes in its own.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from bcca_node.packmaker import solving
from bcca_node.packmaker.remade import Member, Remade
from bcca_node.packmaker.solving import Web
from bcca_protocol.quantity import ZERO
from bcca_protocol.rules import RuleSet

Numbers = Mapping[str, int]


class Side(NamedTuple):
    """One run over the members of both: who each is in it, what is needed, what one unit weighs."""

    numbers: Numbers
    members: list[Member]
    needed: list[Decimal]
    weighs: list[Decimal]
    rules: RuleSet


def matched(first: Remade, second: Remade) -> tuple[Numbers, Numbers]:
    """Return the number of each member of both runs; those that are the same have the same."""
    here = {first.root: 0}
    there = {second.root: 0}
    for place in _PLACES:
        left = _grouped((m for n, m in first.members.items() if n not in here), place)
        right = _grouped((m for n, m in second.members.items() if n not in there), place)
        for key in sorted(left.keys() & right.keys()):
            for one, two in zip(left[key], right[key], strict=False):  # as many as there are
                here[one] = there[two] = len(here)
    count = len(here)
    for names, run in ((here, first), (there, second)):
        for name in sorted(run.members.keys() - names.keys()):
            names[name] = count
            count += 1
    return here, there


def sides(first: Remade, second: Remade, amount: Decimal) -> tuple[Side, Side]:
    """Return what each weighs and how much of it `amount` of the root needs, in either run.

    Raises UnproductiveError for a loop that takes more than it makes.
    """
    here, there = matched(first, second)
    return _side(first, here, second, there, amount), _side(second, there, first, here, amount)


def own_kg(member: Member) -> Decimal:
    """Return kg CO2e of what a member's lines add to its whole output."""
    return sum((line.amount * line.value for line in member.lines if not line.is_cut), ZERO)


def _side(run: Remade, numbers: Numbers, other: Remade, theirs: Numbers, amount: Decimal) -> Side:
    found = {number: (run.members[name], numbers) for name, number in numbers.items()}
    for name, number in theirs.items():
        found.setdefault(number, (other.members[name], theirs))
    members = [found[number][0] for number in range(len(found))]
    web = Web(
        names=[f"{each.title} ({each.product} of {each.issuer})" for each in members],
        own=[own_kg(each) / each.output for each in members],
        taken=[_taken(*found[number]) for number in range(len(found))],
    )
    ordered = solving.order(web)
    return Side(
        numbers=numbers,
        members=members,
        needed=solving.amounts(web, ordered, numbers[run.root], amount),
        weighs=solving.values(web, ordered),
        rules=run.rules,
    )


def _taken(member: Member, numbers: Numbers) -> dict[int, Decimal]:
    """Return how much one unit of a member takes, by the number of whom."""
    found: dict[int, Decimal] = {}
    for each in member.taken:
        if each.source is not None:
            number = numbers[each.source]
            found[number] = found.get(number, ZERO) + each.amount / member.output
    return found


Place = Callable[[Member], tuple[str, ...]]


def _as_it_is(member: Member) -> tuple[str, ...]:
    return (member.name,)


def _at_its_place(member: Member) -> tuple[str, ...]:
    return (*_of_its_product(member), member.site or "", member.batch or "")


def _of_its_product(member: Member) -> tuple[str, ...]:
    return member.kind, member.issuer, member.product, member.unit


_PLACES: tuple[Place, ...] = (_as_it_is, _at_its_place, _of_its_product)


def _grouped(members: Iterable[Member], place: Place) -> dict[tuple[str, ...], list[str]]:
    """Return the names of members by their place, the earliest period first."""
    found: dict[tuple[str, ...], list[str]] = {}
    for each in sorted(members, key=lambda one: (one.period, one.name)):
        found.setdefault(place(each), []).append(each.name)
    return found
