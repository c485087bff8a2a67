"""What a run says of methods that differ, of statements from before, and of certificates."""

from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from bcca_protocol.footprint import Components
from bcca_protocol.inventory import Activity, Electricity, Factor, Instrument, Interval
from bcca_protocol.own import with_footprint
from bcca_protocol.rules import NEUTRAL
from bcca_protocol.statement import Site

WIND = Factor(
    kind="supplierSpecific", source="a meter", dataset="wind", geography="CN", unit="kWh",
    gas="co2e", values=Components(fossil="0.01"),
)  # fmt: skip


def two_ways(desk: Any, chain: Any) -> None:
    """A pack that counts recycling by cut-off, of a cathode by the circular formula."""
    cathode = desk.part(chain.supplier.origin, "C1", kg=4)
    method = replace(cathode.method, recycling="cff")
    desk.published(chain.supplier, with_footprint(replace(cathode, method=method)))
    buys = (desk.bought("C1", chain.supplier),)
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=buys))


def test_a_run_over_two_ways_of_recycling_says_so_and_is_not_ready(desk: Any, chain: Any) -> None:
    two_ways(desk, chain)
    people = desk.bcca("aggregate", "P1", data=chain.pack)
    told = desk.bcca("aggregate", "P1", "--json", data=chain.pack).json
    review = desk.bcca("explain", "P1", "--review", data=chain.pack)

    assert people.status == 0
    assert (
        "Recycling is counted in several ways, statements by method: cff in 1, cutOff in 1; the "
        "circular footprint formula is refused over them"
    ) in people.out
    assert told["recycling"] == {"cff": 1, "cutOff": 1}
    assert not told["ready"]
    assert any(
        each["code"] == "methods"
        and "counts recycling by cff, the roll-up by cutOff" in each["words"]
        for each in told["blocks"]
    )
    assert "recycling is counted by several methods (cff in 1, cutOff in 1), so circular" in (
        review.out
    )


def test_a_run_of_one_way_says_nothing_of_it(desk: Any, two_tiers: Any) -> None:
    assert "Recycling is counted" not in desk.bcca("aggregate", "P1", data=two_tiers.pack).out


def test_a_statement_of_an_earlier_period_is_told_with_its_lag(desk: Any, chain: Any) -> None:
    earlier = Interval(start="2023-01-01T00:00:00Z", end="2024-01-01T00:00:00Z")
    cathode = replace(desk.part(chain.supplier.origin, "C1", kg=4), period=earlier)
    desk.published(chain.supplier, cathode)
    buys = (desk.bought("C1", chain.supplier),)
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=buys))
    people = desk.bcca("aggregate", "P1", data=chain.pack)
    (flag,) = desk.bcca("aggregate", "P1", "--json", data=chain.pack).json["flagged"]
    why = desk.bcca("explain", "P1", "--why", "P1", data=chain.pack)

    assert people.status == 0
    assert (flag["code"], flag["line"]) == ("lagged", "C1")
    assert "about the time until 2024-01-01T00:00:00Z, the latest earlier within" in flag["words"]
    assert flag["words"].endswith("lag 366 days to 2025-01-01T00:00:00Z")
    assert f"  lagged: {flag['words']}" in people.out
    assert "(lagged: " in why.out


def power(handle: str | None, supply: Literal["contract", "grid"] = "contract") -> Activity:
    """A line of 2 kWh of bought power, with a certificate if a handle is given."""
    instrument = Instrument(type="GEC", vintage="2025", market="CN", claim_handle=handle)
    return Activity(
        id="power", name="power", stage="production", kind="energy", amount="2", unit="kWh",
        amount_kind="measured", factor=WIND,
        electricity=Electricity(supply=supply, instrument=instrument if handle else None),
    )  # fmt: skip


def powered(desk: Any, origin: str, product: str, *lines: Activity, **more: Any) -> Any:
    made = desk.part(origin, product, **more)
    return with_footprint(replace(made, activities=(*made.activities, *lines)))


def test_a_certificate_claimed_twice_is_told_whatever_the_rules_say(
    desk: Any, chain: Any, tmp_path: Path
) -> None:
    serial = "ab" * 32
    desk.published(chain.supplier, powered(desk, chain.supplier.origin, "C1", power(serial)))
    buys = (desk.bought("C1", chain.supplier),)
    desk.published(chain.pack, powered(desk, chain.pack.origin, "P1", power(serial), buys=buys))
    rules = tmp_path / "lenient.toml"
    lenient = NEUTRAL.replace('"neutral"', '"lenient"').replace('"claimed", ', "")
    rules.write_text(lenient, encoding="utf-8")
    people = desk.bcca("aggregate", "P1", "--rules", rules, data=chain.pack)
    (told,) = desk.bcca("aggregate", "P1", "--json", data=chain.pack).json["claimedTwice"]

    assert f"Electricity certificates claimed twice, of which one counts:\n  {serial}" in people.out
    assert "Declaration-ready by the rules lenient" in people.out
    assert (told["claimHandle"], told["isUsed"], len(told["by"])) == (serial, True, 2)


def test_attack_a_certificate_sold_again_with_another_site_is_seen_by_who_buys_of_one(
    desk: Any, chain: Any
) -> None:
    serial = "cd" * 32
    one, other = (Site(id=each, country="CN") for each in ("east", "west"))
    desk.published(
        chain.supplier,
        powered(desk, chain.supplier.origin, "C1", power(serial), site=one),
        powered(desk, chain.supplier.origin, "C1", power(serial), site=other),
    )
    bought = replace(desk.bought("C1", chain.supplier), site="east")
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=(bought,)))
    run = desk.bcca("aggregate", "P1", "--json", data=chain.pack).json

    (told,) = run["claimedTwice"]
    assert (told["claimHandle"], told["isUsed"]) == (serial, False)
    (block,) = run["blocks"]
    assert block["code"] == "claimed"
    assert "which is not used here" in block["words"]


def test_a_review_says_which_power_names_no_certificate_or_one_that_it_cannot_have(
    desk: Any, chain: Any
) -> None:
    lines = (replace(power(None), id="bare"), replace(power("ef" * 32, "grid"), id="odd"))
    desk.published(chain.pack, powered(desk, chain.pack.origin, "P1", *lines))
    desk.bcca("aggregate", "P1", data=chain.pack)
    said = desk.bcca("explain", "P1", "--review", data=chain.pack).out

    assert "1 lines of contracted power name no certificate" in said
    assert "1 lines of grid or residual power name a certificate" in said
