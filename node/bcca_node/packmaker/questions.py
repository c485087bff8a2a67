"""What a reviewer asks of the product itself: its battery, variants, materials, and past."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from bcca_node.packmaker.explain import shown
from bcca_node.packmaker.recalled import Before
from bcca_protocol import circular
from bcca_protocol.balance import METALS, Balance
from bcca_protocol.circular import LEAST_A, Circular
from bcca_protocol.errors import StatementError
from bcca_protocol.inventory import Material
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ONE, ZERO, exact, number, plain
from bcca_protocol.results import Battery
from bcca_protocol.statement import FootprintRollUp

Verdict = Literal["answered", "partly", "cannot say"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reviewer's question, what the evidence says of it, and what would be needed for the rest.

    `needed` is empty where all is said.
    """

    question: str
    verdict: Verdict
    words: tuple[str, ...]
    needed: str


def of_battery(battery: Battery | None) -> Answer:
    """Say which evidence there is for usable kWh and warranty."""
    question = "Evidence for usable kWh and warranty?"
    file = "`bcca aggregate --battery FILE` with usableKwh, warrantyYears and evidence"
    if battery is None:
        return Answer(
            question=question,
            verdict="cannot say",
            words=("the roll-up does not describe a battery",),
            needed=file,
        )
    words = [
        f"usable {battery.usable_kwh or 'not stated'} kWh, "
        f"{battery.service_years or 'not stated'} years, "
        f"{battery.full_cycles_per_year or 'not stated'} full cycles a year"
        + (f" by the rules {battery.rule_set}" if battery.rule_set else "")
    ]
    evidence = battery.evidence or ()
    words.append(f"documents behind it, by digest: {', '.join(evidence) or 'none'}")
    whole = bool(evidence and battery.usable_kwh and battery.service_years)
    return Answer(
        question=question,
        verdict="answered" if whole else "partly",
        words=tuple(words),
        needed="" if whole else file,
    )


def of_variants(stated: FootprintRollUp) -> Answer:
    """Say for which product, site, batch and period the number is."""
    site = "one that is not named" if stated.site is None else stated.site.id
    batch = "no batch is singled out" if stated.batch is None else f"batch {stated.batch} alone"
    return Answer(
        question="Representative, or all variants?",
        verdict="partly",
        words=(
            f"product {stated.product.id}, site {site}, {batch}, "
            f"{stated.period.start[:10]} to {stated.period.end[:10]}",
        ),
        needed="which variants share this number: a roll-up for each, or your word for it",
    )


def of_materials(found: Balance) -> Answer:
    """Say whether what goes in comes out, in mass and in each metal."""
    words = [
        f"in: {_kg(found.bought)} bought, {_kg(found.added)} own material; "
        f"out: {_kg(found.wasted)} waste, {_kg(found.made)} product; "
        f"difference {_kg(found.difference)}"
    ]
    for metal in found.metals:
        bought = f"{shown(metal.bought)} kg bought"
        words.append(f"{metal.name}: {_kg(metal.stated)} stated, {bought}")
    unknown = [*found.unknown]
    silent = [metal.name for metal in found.metals if metal.difference is None]
    if unknown:
        words.append(f"mass not known of {len(unknown)} lines, such as {unknown[0]}")
    whole = found.difference is not None and not silent
    lacking = f"`materials` of the product and of all that is bought, for {', '.join(silent)}"
    if found.difference is None:
        lacking = f"massKg of the product and of every input; {lacking}"
    return Answer(
        question=f"Does the bill of materials balance in mass, and in {', '.join(METALS)}?",
        verdict="answered" if whole else "partly",
        words=tuple(words),
        needed="" if whole else lacking,
    )


def of_changes(before: Before | None, stated: FootprintRollUp, total: Decimal) -> Answer:
    """Say what was declared before, and what it is now."""
    question = "What changed since the last declaration?"
    if before is None:
        return Answer(
            question=question,
            verdict="answered",
            words=("nothing was declared before: this roll-up corrects and follows none",),
            needed="",
        )
    now = stated.declared_unit
    words = [
        f"{before.commitment}: {plain(before.total)} kg CO2e for {before.amount} {before.unit}"
        f", now {plain(total)} for {now.amount} {now.unit}"
    ]
    return Answer(
        question=question,
        verdict="partly",
        words=tuple(words),
        needed="`bcca runs compare`, which says what moved it by how much",
    )


def of_recycling(materials: Iterable[Material], parts: Sequence[Part]) -> str:
    """Say what the circular formula would move, or why it is refused over these parts (7.6)."""
    try:
        method = circular.agreed_recycling(parts)
    except StatementError as error:
        counted = ", ".join(f"{n} in {count}" for n, count in circular.recycling_in(parts).items())
        return f"recycling is counted by several methods ({counted}), so {error}"
    moved, count = moved_by_a(materials)
    return (
        f"recycling is counted by {method}: A from 0.2 to 1 would move {shown(moved)} kg per "
        f"declared unit, over the {count} materials with both factors"
    )


def moved_by_a(materials: Iterable[Material]) -> tuple[Decimal, int]:
    """Return by how many kg CO2e A from 0.2 to 1 moves recycled content, and of how many materials.

    Only those count whose statement has the factors of virgin and recycled material; their quality
    is taken as equal (accounting rules, 10).
    """
    moved, count = ZERO, 0
    for each in materials:
        if each.virgin_factor is None or each.recycled_factor is None:
            continue
        with exact():
            shares = (each.recycled_pre, each.recycled_post)
            r1 = sum((number(share) for share in shares if share is not None), ZERO)
            least, most = (
                circular.footprint(
                    Circular(
                        a=a,
                        r1=r1,
                        e_virgin=number(each.virgin_factor),
                        e_recycled=number(each.recycled_factor),
                    )
                ).material
                for a in (LEAST_A, ONE)
            )
            moved += abs(most - least) * number(each.kg)
        count += 1
    return moved, count


def _kg(value: Decimal | None) -> str:
    return "not known" if value is None else f"{shown(value)} kg"
