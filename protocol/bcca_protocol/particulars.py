"""What a statement hands on beside its sums, checked for range and digits (SPEC 7.5)."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise

from bcca_protocol import footprint
from bcca_protocol.errors import StatementError
from bcca_protocol.inventory import Activity, CarbonContent, Exclusion, Factor, Material
from bcca_protocol.quantity import ONE, ZERO, not_negative, number, plain
from bcca_protocol.results import Battery, Edge, Uncertainty


def check_activity(line: Activity) -> None:
    """Raise StatementError or LimitError unless the spreads and factors of a line are in range."""
    what = f"line {line.id}"
    _at_least_one(line.amount_gsd, f"{what}: amountGsd")
    check_factor(line.factor, what)
    if line.electricity is not None and line.electricity.location_factor is not None:
        check_factor(line.electricity.location_factor, f"{what}: locationFactor")


def check_factor(factor: Factor, what: str) -> None:
    """Raise StatementError or LimitError unless a factor's spread and values are in range."""
    _at_least_one(factor.gsd, f"{what}: gsd")
    footprint.values_of(factor.values)


def check_materials(materials: Iterable[Material], mass_kg: Decimal | None) -> None:
    """Raise StatementError unless contents and recycled shares are possible."""
    for material in materials:
        what = f"material {material.name}"
        content = not_negative(material.kg, f"{what}: kg")
        if mass_kg is not None and content > mass_kg:
            raise StatementError(f"{what}: {plain(content)} kg in {plain(mass_kg)} kg of product")
        shares = [
            not_negative(share, f"{what}: recycled share") if share is not None else ZERO
            for share in (material.recycled_pre, material.recycled_post)
        ]
        if sum(shares) > ONE:
            raise StatementError(f"{what}: recycled shares of {shares[0]} and {shares[1]}, over 1")
        for value in (material.virgin_factor, material.recycled_factor):
            if value is not None:
                number(value)


def check_carbon(content: CarbonContent, mass_kg: Decimal | None) -> None:
    """Raise StatementError unless the carbon content is possible."""
    fossil = not_negative(content.fossil, "carbonContent.fossil")
    biogenic = not_negative(content.biogenic or "0", "carbonContent.biogenic")
    not_negative(content.recycled or "0", "carbonContent.recycled")
    if mass_kg is not None and fossil + biogenic > mass_kg:
        raise StatementError(
            f"carbonContent: {plain(fossil + biogenic)} kg C in {plain(mass_kg)} kg of product"
        )


def check_exclusions(exclusions: Iterable[Exclusion]) -> Decimal:
    """Return kg CO2e of what was excluded, as estimated; raises StatementError below zero."""
    estimates = (
        not_negative(each.estimate, f"exclusion {each.name}: estimate")
        for each in exclusions
        if each.estimate is not None
    )
    return sum(estimates, ZERO)


def check_uncertainty(spread: Uncertainty) -> None:
    """Raise StatementError unless every spread is at least 1."""
    _at_least_one(spread.gsd, "uncertainty.gsd")
    for each in spread.datasets:
        _at_least_one(each.gsd, f"uncertainty of {each.dataset}: gsd")
        number(each.kg)


def check_capacities(battery: Battery) -> None:
    """Raise StatementError unless usable <= rated <= gross, where they are given."""
    names = ("usableKwh", "ratedKwh", "grossKwh")
    written = (battery.usable_kwh, battery.rated_kwh, battery.gross_kwh)
    given = [
        (name, not_negative(text, f"battery.{name}"))
        for name, text in zip(names, written, strict=True)
        if text is not None
    ]
    for (small, less), (large, more) in pairwise(given):
        if less > more:
            raise StatementError(f"battery: {small} {plain(less)} above {large} {plain(more)}")
    for text in (battery.service_years, battery.full_cycles_per_year):
        not_negative(text or "0", "battery: years and cycles")


def check_edge(edge: Edge) -> None:
    """Raise StatementError unless an edge is resolved to exactly one thing, in range."""
    what = f"manifest {edge.consumer} {edge.line}"
    resolved = edge.resolved
    given = (resolved.commitment, resolved.substitute, resolved.gap)
    if sum(each is not None for each in given) != 1:
        raise StatementError(f"{what}: not resolved to exactly one thing")
    not_negative(edge.amount, f"{what}: amount")
    if resolved.substitute is not None:
        check_factor(resolved.substitute.factor, what)
    if resolved.gap is not None and resolved.gap.bound is not None:
        not_negative(resolved.gap.bound, f"{what}: bound")


def _at_least_one(text: str | None, what: str) -> None:
    if text is not None and number(text) < ONE:
        raise StatementError(f"{what}: a geometric standard deviation of {text}, below 1")
