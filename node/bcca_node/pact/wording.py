"""What is told in words where PACT has no field for it (SPEC 16.1)."""

from bcca_node.pact import numbers
from bcca_protocol.footprint import Footprint
from bcca_protocol.statement import FootprintRollUp, PartialFootprint

Whole = PartialFootprint | FootprintRollUp


def description(stated: Whole) -> str:
    """Return what the product is, more closely than its name; empty where nothing is said."""
    told = []
    if stated.batch is not None:
        told.append(f"batch {stated.batch}")
    if stated.site is not None:
        told.append(f"made at {stated.site.name or stated.site.id}")
    return ", ".join(told)


def comment(commitment: str, stated: Whole, left: Footprint) -> str:
    """Return where a footprint is from, and each number that it does not carry."""
    told = [
        f"Derived from the signed statement {commitment} of {stated.issuer}; the extension "
        "carries it."
    ]
    if left:
        cells = ", ".join(
            f"{cell.stage}.{cell.component} {numbers.text(value)}"
            for cell, value in sorted(left.items())
        )
        told.append(f"Not carried by PACT, in kg CO2e per declared unit: {cells}.")
    if stated.carbon_content is None:
        told.append("No carbon content is stated: fossilCarbonContent is 0 for want of a number.")
    if stated.method.mass_balance:
        told.append("It is calculated by mass balance.")
    if stated.method.prospective:
        told.append("It is prospective: of a process that does not run yet.")
    told.append(
        f"Recycling: {stated.method.recycling}; electricity: {stated.method.electricity}-based."
    )
    return " ".join(told)


def exclusions(stated: Whole) -> str | None:
    """Return what is cut off, and why."""
    if not isinstance(stated, PartialFootprint) or not stated.exclusions:
        return None
    return "; ".join(f"{each.name}: {each.reason}" for each in stated.exclusions)


def allocation(stated: Whole) -> str | None:
    """Return how a joint process is shared."""
    if not isinstance(stated, PartialFootprint) or stated.allocation is None:
        return None
    shared = stated.allocation
    beside = ", ".join(each.name for each in shared.co_products)
    return f"{shared.joint_process}: by {shared.basis}, beside {beside or 'nothing'}"
