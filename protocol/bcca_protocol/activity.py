"""One own line of an inventory: its rules, and its kg CO2e (SPEC 7.2)."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from bcca_protocol import footprint
from bcca_protocol.errors import StatementError, UnitError
from bcca_protocol.inventory import Activity, Electricity, Factor, Leg, Quality
from bcca_protocol.quantity import ZERO, convert, not_negative, number, numbers, plain

BEST_SCORE, WORST_SCORE = 1, 5
OWN_SUPPLY = frozenset({"onSite", "directLine"})  # these count at their own factor both ways


def check(lines: Iterable[Activity], gwp: str, *, allocated: bool) -> None:
    """Raise StatementError unless the lines keep the rules of SPEC 7.2; `gwp` is the method's."""
    for line in lines:
        factor = line.factor
        if factor.gwp != gwp or factor.gas == "co2" or line.kind == "credit":
            _check_factor(line, factor, gwp)
        if line.joint and not allocated:
            raise StatementError(f"line {line.id}: joint, where the statement has no allocation")
        if line.electricity is not None:
            _check_electricity(line, line.electricity, gwp)
        if line.leg is not None:
            _check_leg(line, line.leg)


def amounts(lines: Sequence[Activity]) -> list[Decimal]:
    """Return the amount of each line; raises MalformedError, LimitError, StatementError below 0."""
    found = numbers([line.amount for line in lines])
    if any(map(Decimal.is_signed, found)):
        wrong = next(line for line in lines if line.amount.startswith("-"))
        raise StatementError(f"line {wrong.id}: amount: {wrong.amount} is below zero")
    return found


def converted(line: Activity, amount: Decimal, unit: str) -> Decimal:
    """Return the line's `amount` in `unit`; raises StatementError where it does not fit."""
    try:
        return convert(amount, line.unit, unit)
    except UnitError as error:
        raise StatementError(f"line {line.id}: {error}") from error


def location_factor(line: Activity) -> Factor:
    """Return the factor of the location-based answer (SPEC 7.4); raises StatementError."""
    bought = line.electricity
    if bought is None or bought.supply in OWN_SUPPLY:
        return line.factor
    if bought.location_factor is not None:
        return bought.location_factor
    if bought.supply == "grid":
        return line.factor
    raise StatementError(
        f"line {line.id}: {bought.supply} electricity without locationFactor, where the statement "
        "gives a locationFootprint"
    )


def scores(quality: Quality, line: str) -> tuple[Decimal, Decimal, Decimal]:
    """Return the technological, geographical and temporal score; raises StatementError."""
    te, ge, ti = map(number, (quality.technological, quality.geographical, quality.temporal))
    if not all(BEST_SCORE <= score <= WORST_SCORE for score in (te, ge, ti)):
        raise StatementError(f"line {line}: quality {te}, {ge}, {ti}, where each is 1 to 5")
    return te, ge, ti


def _check_factor(line: Activity, factor: Factor, gwp: str) -> None:
    if factor.gwp is not None and factor.gwp != gwp:
        raise StatementError(f"line {line.id}: factor in {factor.gwp}, method in {gwp}")
    if factor.gas == "co2" and line.kind != "emission":
        raise StatementError(
            f"line {line.id}: a CO2-only factor on a line of kind {line.kind}, "
            "where the footprint is in CO2e"
        )
    if line.kind == "credit" and sum((v for _, v in footprint.values_of(factor.values)), ZERO) > 0:
        raise StatementError(f"line {line.id}: a credit whose factor adds instead of taking away")


def _check_electricity(line: Activity, bought: Electricity, gwp: str) -> None:
    if line.kind != "energy":
        raise StatementError(f"line {line.id}: electricity on a line of kind {line.kind}")
    if bought.location_factor is None:
        return
    if bought.supply in OWN_SUPPLY:
        raise StatementError(
            f"line {line.id}: a locationFactor on {bought.supply} power, which counts at its own"
        )
    _check_factor(line, bought.location_factor, gwp)


def _check_leg(line: Activity, leg: Leg) -> None:
    """Raise StatementError unless the freight is tonnes x km."""
    if line.kind != "transport":
        raise StatementError(f"line {line.id}: a transport leg on a line of kind {line.kind}")
    mass = not_negative(leg.mass_kg, f"line {line.id}: leg.massKg")
    freight = mass / 1000 * not_negative(leg.km, f"line {line.id}: leg.km")
    written = converted(line, number(line.amount), "tkm")
    if written != freight:
        raise StatementError(
            f"line {line.id}: {plain(written)} tkm, where {leg.mass_kg} kg over {leg.km} km "
            f"are {plain(freight)} tkm"
        )
