"""What every test may ask for. Imports no node: the protocol's tests run without one."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval
from bcca_protocol.issue import UNSET_NONCE
from bcca_protocol.keys import Role
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: else one worker ends with it while the others wait."""
    items.sort(key=lambda each: each.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of cases and vectors: BCCA_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("BCCA_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"set BCCA_SHARED to the folder of cases and vectors: {folder} is not there")
    return folder


def footprint_of(
    issuer: str, product: str = "P1", *, kg: int = 2, buys: tuple[Input, ...] = (), **other: Any
) -> PartialFootprint:
    """Write a partial footprint: so many kg of something at 3 kg CO2e, and what was bought."""
    year = other.pop("year", 2025)
    told = {
        "nonce": UNSET_NONCE,
        "product": Product(id=f"urn:bcca:case:t:{product}", name=product),
        "producer": Producer(name="Cathode GmbH"),
        "period": Interval(f"{year}-01-01T00:00:00Z", f"{year + 1}-01-01T00:00:00Z"),
        "sharing": "public",
        "declared_unit": Amount("1", "kg"),
        "output": Amount("1", "kg"),
        "method": Method(
            standards=("ISO 14067",), gwp="AR6", recycling="cutOff", electricity="market"
        ),
        "activities": (_activity(kg),),
        "inputs": buys,
        "footprint": Stages(production=Components(fossil=str(3 * kg))),
    }
    return PartialFootprint(issuer=issuer, **{**told, **other})


def policy_text(logs: Sequence[Any], witnesses: Sequence[Any], quorum: int) -> str:
    """Write a policy: the logs of these nodes, those that witness, so many of them a quorum."""
    names = [f"w{index}" for index, _ in enumerate(witnesses)]
    keys = [each.keystore.record(Role.WITNESS).key.encode() for each in witnesses]
    lines = [f"log {each.log_key.encode()} {each.settings.url}/log" for each in logs]
    lines += [
        f"witness {name} {key} {each.settings.url}/witness"
        for name, key, each in zip(names, keys, witnesses, strict=True)
    ]
    return "\n".join([*lines, f"group g {quorum} {' '.join(names)}", "quorum g", ""])


def _activity(kg: int) -> Activity:
    factor = Factor(
        kind="secondary",
        source="a database",
        dataset="nickel sulfate",
        geography="GLO",
        unit="kg",
        gas="co2e",
        values=Components(fossil="3"),
    )
    return Activity(
        id="a1",
        name="nickel sulfate",
        stage="production",
        kind="material",
        amount=str(kg),
        unit="kg",
        amount_kind="calculated",
        factor=factor,
    )
