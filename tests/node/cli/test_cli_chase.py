"""`bcca chase`, `bcca explain --why`, `--review` and `bcca aggregate --battery` at a desk."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bcca_node.demo.sharing import partner_of
from bcca_node.storage import pairs, partners
from bcca_node.storage.partners import Part, PartnerRole, PartState

PACK, CATHODE = "urn:bcca:case:t:P1", "urn:bcca:case:t:C1"
BATTERY = """
model = "K1"
chemistry = "NMC622"
category = "M1"
ratedKwh = "80"
usableKwh = "75"
serviceYears = 8
"""


@pytest.fixture
def one_short(desk: Any, chain: Any) -> Any:
    """A pack that buys a cathode which its supplier has not published, nor a stranger its foil."""
    cathode, foil = desk.bought("C1", chain.supplier), desk.bought("F1", chain.witnesses[0])
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=(cathode, foil)))
    return chain


def acquainted(chain: Any) -> None:
    with chain.pack.database.write() as session:
        partners.put(session, partner_of(chain.supplier, [PartnerRole.SUPPLIER]))
    with chain.supplier.database.write() as session:
        partners.put(session, partner_of(chain.pack, [PartnerRole.CUSTOMER]))


def test_chase_lists_what_is_missing_and_sends_to_partners_naming_who_is_none(
    desk: Any, one_short: Any
) -> None:
    pack = one_short.pack
    desk.bcca("aggregate", "P1", data=pack)
    looked = desk.bcca("chase", data=pack)
    acquainted(one_short)
    sent = desk.bcca("chase", "P1", "--send", "--due", "2999-12-31", data=pack)
    again = desk.bcca("chase", "P1", "--send", "--json", data=pack)
    inbox = desk.bcca("inbox", "--json", data=one_short.supplier)

    assert looked.status == sent.status == again.status == 3
    assert f"missing: 1 kg of {CATHODE} from cathode.example/bcca" in looked.out
    assert "nobody can tell how much it could move" in looked.out
    assert "asked: request " in sent.out
    assert f"No partners of this node: {one_short.witnesses[0].origin}" in sent.out
    assert "bcca partners invite" in sent.err
    [cathode] = [each for each in again.json["asked"] if each["product"] == CATHODE]
    assert (cathode["new"], cathode["partner"]) == (False, True)
    assert cathode["words"].startswith("asked already")
    assert again.json["delivered"] is True
    [asked] = inbox.json["requests"]
    assert asked["id"] == cathode["request"]


@pytest.mark.parametrize("pair", [("NMC-622", CATHODE), (CATHODE, "4711")])
def test_chase_asks_by_the_part_number_that_both_sides_confirmed(
    desk: Any, one_short: Any, pair: tuple[str, str]
) -> None:
    pack, supplier = one_short.pack, one_short.supplier
    acquainted(one_short)
    theirs, ours = pair
    with pack.database.write() as session:
        for name, state in ((theirs, PartState.CONFIRMED), ("only-proposed", PartState.PROPOSED)):
            other = ours if name == theirs else CATHODE
            part = Part(partner=supplier.origin, theirs=name, ours=other, state=state, changed=1)
            pairs.put(session, [part])
    desk.bcca("aggregate", "P1", data=pack)
    desk.bcca("chase", "P1", "--send", data=pack)
    [asked] = desk.bcca("inbox", "--json", data=supplier).json["requests"]

    assert asked["part"] in {*pair} - {CATHODE}
    assert asked["products"] == [CATHODE]


def test_chase_does_not_ask_again_what_is_open_under_a_part_number_or_for_longer(
    desk: Any, one_short: Any
) -> None:
    pack, supplier = one_short.pack, one_short.supplier
    acquainted(one_short)
    with pack.database.write() as session:
        state = PartState.CONFIRMED
        part = Part(partner=supplier.origin, theirs=CATHODE, ours="4711", state=state, changed=1)
        pairs.put(session, [part])
    desk.bcca("aggregate", "P1", data=pack)
    years = "2024-01-01/2027-01-01"
    desk.bcca("request", supplier.origin, "--part", "4711", "--period", years, data=pack)
    again = desk.bcca("chase", "P1", "--send", "--json", data=pack)

    [cathode] = [each for each in again.json["asked"] if each["product"] == CATHODE]
    assert (cathode["new"], cathode["words"].startswith("asked already")) == (False, True)
    assert len(desk.bcca("inbox", "--json", data=supplier).json["requests"]) == 1


def test_chase_of_what_is_whole_says_so_and_succeeds(desk: Any, two_tiers: Any) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    ran = desk.bcca("chase", data=two_tiers.pack)
    told = desk.bcca("chase", "--json", data=two_tiers.pack)

    assert ran.status == 0
    assert ran.out == f"Nothing is left to chase: all that feeds {PACK} is signed\n"
    assert (told.json["items"], told.json["asked"]) == ([], None)


def test_chase_before_anything_was_added_up_is_refused(desk: Any, two_tiers: Any) -> None:
    ran = desk.bcca("chase", data=two_tiers.pack)

    assert ran.status == 2
    assert "run `bcca aggregate PRODUCT` first" in ran.refusal


def test_why_walks_a_number_down_to_a_signed_line(desk: Any, two_tiers: Any) -> None:
    desk.bcca("aggregate", "P1", "--amount", "2.5", data=two_tiers.pack)
    ran = desk.bcca("explain", "P1", "--why", "C1", data=two_tiers.pack)
    [told] = desk.bcca("explain", "--why", "C1", "--json", data=two_tiers.pack).json["why"]
    dataset = desk.bcca("explain", "--why", "nickel sulfate", "--json", data=two_tiers.pack)
    nothing = desk.bcca("explain", "--why", "gold", data=two_tiers.pack)

    assert ran.status == 0
    assert "1 kg (amount of the line) x 2.5 kg (needed of P1) / 1 kg (output) = 2.5 kg\n" in ran.out
    assert (
        "4 kg (amount) x 3 kg CO2e/kg (factor nickel sulfate) = 12 kg CO2e\n"
        "    12 kg CO2e (per declared unit) x 2.5 kg (needed in all) = 30 kg CO2e\n"
    ) in ran.out
    assert (told["product"], told["needed"], told["kg"]["value"]) == (CATHODE, "2.5", "30")
    assert told["statement"] is not None
    assert len(dataset.json["why"]) == 2
    assert nothing.status == 2
    assert "neither a product nor an own line here" in nothing.refusal


def test_a_review_fits_a_screen_and_answers_each_question_or_says_what_it_needs(
    desk: Any, two_tiers: Any
) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    ran = desk.bcca("explain", "--review", data=two_tiers.pack)
    told = desk.bcca("explain", "--review", "--json", data=two_tiers.pack).json
    both = desk.bcca("explain", "--review", "--why", "C1", data=two_tiers.pack)

    assert ran.status == 0
    assert len(ran.out.splitlines()) <= 50
    numbered = [line for line in ran.out.splitlines() if line[0].isdigit()]
    assert [line.partition(".")[0] for line in numbered] == [str(n) for n in range(1, 11)]
    for each in told["questions"]:
        assert each["answer"]
        assert (each["verdict"] == "answered") == (each["needed"] is None)
    assert both.status == 2


def test_explain_gives_rows_that_sum_to_the_total(desk: Any, two_tiers: Any) -> None:
    desk.bcca("aggregate", "P1", data=two_tiers.pack)
    ran = desk.bcca("explain", data=two_tiers.pack)
    told = desk.bcca("explain", "--json", data=two_tiers.pack).json

    assert set(told["rows"]) == {"supplier", "tier", "country", "kind", "component", "stage"}
    for rows in told["rows"].values():
        assert sum(Decimal(row["kg"]) for row in rows) == Decimal(told["total"])
    shown = [line.split() for line in ran.out.splitlines()]
    assert ["0", "6.0", "33.3", "%"] in shown
    assert ["1", "12.0", "66.7", "%"] in shown
    assert "market-based and location-based are the same" in ran.out


def test_a_battery_in_a_file_is_stated_with_kg_per_kwh_delivered(desk: Any, two_tiers: Any) -> None:
    path: Path = desk.folder / "battery.toml"
    path.write_text(BATTERY, encoding="utf-8")
    told = ("aggregate", "P1", "--rules", "eu-draft", "--battery", path)
    ran = desk.bcca(*told, data=two_tiers.pack)
    again = desk.bcca(*told, "--json", data=two_tiers.pack)
    bare = desk.bcca("aggregate", "P1", "--battery", path, data=two_tiers.pack)
    gone = desk.bcca("aggregate", "P1", "--battery", path.with_name("none"), data=two_tiers.pack)

    assert ran.status == 0
    assert "K1, NMC622, M1: 0.0005 kg CO2e per kWh delivered" in ran.out  # 18 / (75 x 60 x 8)
    assert again.json["battery"]["perKwhDelivered"] == "0.0005"
    assert again.json["noPerKwhDelivered"] is None
    assert bare.status == 0
    assert "no figure per kWh delivered: kWh delivered: without fullCyclesPerYear" in bare.err
    assert gone.status == 2
    assert "No such file" in gone.refusal
