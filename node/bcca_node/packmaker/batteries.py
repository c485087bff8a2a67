"""What a pack maker states of its battery, and kg CO2e per kWh it delivers by the rules (SPEC 8.3).

The file is TOML with the members of `battery` in a roll-up, and `warrantyYears`, the terms of the
commercial warranty: the shorter one is the service life (draft EU methodology).
"""

import tomllib
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bcca_protocol import footprint, functional, particulars
from bcca_protocol.errors import BccaError, RefusedError, StatementError, UnusableError
from bcca_protocol.functional import Service
from bcca_protocol.quantity import number, plain
from bcca_protocol.results import Battery
from bcca_protocol.rules import RuleSet
from bcca_protocol.statement import FootprintRollUp

MAX_BYTES = 64 * 1024  # a dozen figures, and the commitments of their evidence
WARRANTY = "warrantyYears"
_COMPUTED = {"perKwhDelivered": "is computed", "ruleSet": "is that of the run"}


def read(path: Path) -> Battery:
    """Return the battery that a file describes; raises UnusableError naming what is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UnusableError(f"{path}: over {MAX_BYTES} bytes, where a battery has few figures")
        found = tomllib.loads(data.decode("utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        raise UnusableError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UnusableError(f"{path}: not TOML in UTF-8: {error}") from error
    for name, why in _COMPUTED.items():
        if name in found:
            raise UnusableError(f"{path}: {name} {why}: leave it out")
    try:
        written = {name: _written(value) for name, value in found.items()}
        years = _warranty(written.pop(WARRANTY, None))
        if years is not None and "serviceYears" in written:
            raise StatementError(f"serviceYears and {WARRANTY} both say how long: leave out one")
        battery = msgspec.convert(written, Battery, strict=True)
        battery = battery if years is None else replace(battery, service_years=years)
        particulars.check_capacities(battery)
    except (msgspec.ValidationError, RefusedError) as error:
        raise UnusableError(f"{path}: {error}") from error
    return battery


def service(battery: Battery | None, rules: RuleSet) -> Service:
    """Return a battery's service: its own figures, else the rules' cycles for its category."""
    if battery is None:
        return Service(cycles_per_year=None, years=None)
    stated, years = battery.full_cycles_per_year, battery.service_years
    table = {} if rules.functional is None else rules.functional.table()
    return Service(
        cycles_per_year=table.get(battery.category) if stated is None else number(stated),
        years=None if years is None else number(years),
    )


def with_battery(
    statement: FootprintRollUp, battery: Battery | None, rules: RuleSet
) -> FootprintRollUp:
    """Return a roll-up that speaks of its battery; per kWh delivered where that can be said."""
    if battery is None:
        return statement
    found = service(battery, rules)
    stated = battery
    if battery.full_cycles_per_year is None and found.cycles_per_year is not None:
        stated = replace(
            battery, full_cycles_per_year=plain(found.cycles_per_year), rule_set=rules.name
        )
    cells = footprint.decode(statement.footprint)
    try:
        kg = functional.eu_draft(cells, stated.usable_kwh, found)
    except BccaError:
        return replace(statement, battery=stated)
    return replace(statement, battery=replace(stated, per_kwh_delivered=plain(kg)))


def lacking(statement: FootprintRollUp, rules: RuleSet) -> str | None:
    """Return why a roll-up's battery has no figure per kWh delivered; None if it has, or is none.

    It is a sentence for who stated the battery.
    """
    battery = statement.battery
    if battery is None or battery.per_kwh_delivered is not None:
        return None
    cells = footprint.decode(statement.footprint)
    try:
        functional.eu_draft(cells, battery.usable_kwh, service(battery, rules))
    except BccaError as error:
        return f"{error}; rules {rules.name}, category {battery.category}"
    return None


def _written(value: object) -> object:
    """Return a TOML value as a statement writes it: numbers as plain decimal text."""
    match value:
        case bool():
            raise StatementError(f"{value}: a battery has names and numbers")
        case int() | Decimal():
            given = Decimal(value)
            if not given.is_finite():
                raise StatementError(f"{value}: no number")
            return plain(given)
        case list():
            return tuple(_written(each) for each in value)
        case str():
            return value
        case _:
            raise StatementError(f"{value}: a battery has names and numbers")


def _warranty(terms: object) -> str | None:
    if terms is None:
        return None
    listed = terms if isinstance(terms, tuple) else (terms,)
    years = msgspec.convert(listed, tuple[str, ...], strict=True)
    try:
        found = [Decimal(each) for each in years]
    except ArithmeticError as error:
        raise StatementError(f"{WARRANTY}: {', '.join(years)}: write numbers of years") from error
    return plain(functional.service_years(found))
