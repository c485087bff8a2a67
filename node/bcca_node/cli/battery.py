"""`--battery` of `bcca aggregate`: the battery that a total is of."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bcca_node.cli.screen import say, tell
from bcca_node.packmaker import batteries
from bcca_node.packmaker.run import Run
from bcca_protocol.results import Battery

BatteryOption = Annotated[
    Path | None,
    typer.Option(
        "--battery",
        metavar="FILE",
        help="The battery that the amount is: TOML with model, chemistry, category, grossKwh, "
        "ratedKwh, usableKwh, serviceYears or warrantyYears, and evidence.",
    ),
]


def described(path: Path | None) -> Battery | None:
    """Return the battery that the option names; raises UnusableError."""
    return None if path is None else batteries.read(path)


def print_battery(run: Run) -> None:
    """Print kg CO2e per kWh delivered, or why it cannot be said."""
    battery = run.statement.battery
    if battery is None:
        return
    if battery.per_kwh_delivered is not None:
        per = f"{battery.per_kwh_delivered} kg CO2e per kWh delivered"
        say(f"{battery.model}, {battery.chemistry}, {battery.category}: {per}")
    why_not = batteries.lacking(run.statement, run.sum.rules)
    if why_not is not None:
        tell(f"no figure per kWh delivered: {why_not}")


def as_json(run: Run) -> dict[str, object]:
    """Return the battery as a member of a JSON document, and why a figure of it is missing."""
    battery = run.statement.battery
    return {
        "battery": None if battery is None else msgspec.to_builtins(battery),
        "noPerKwhDelivered": batteries.lacking(run.statement, run.sum.rules),
    }
