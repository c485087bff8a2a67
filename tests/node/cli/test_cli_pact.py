"""`bcca pact`: what a foreign host lists is kept, its problems told, what is asked sent."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.system.foreign_host import CLIENT, ID, SECRET, ForeignHost, footprint

from bcca_node.ledger.node import Node
from bcca_node.storage import foreign, pactsending

INCOMPLETE = 3


@pytest.fixture
def bcca(desk: Any, node: Node, host: ForeignHost, tmp_path: Path) -> Callable[..., Any]:
    """Run a command of a node whose PACT partner `mill` is the foreign host."""
    host.begin()
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    given = ("--client-id", CLIENT, "--client-secret-file", str(secret))
    urls = ("--url", f"{host.url}/pact", "--auth-url", host.url)
    assert desk.bcca("partners", "add", "--pact", "mill", *urls, *given, data=node).status == 0

    def run(*words: str) -> Any:
        return desk.bcca(*words, data=node)

    return run


def listed(bcca: Callable[..., Any]) -> dict[str, Any]:
    found = bcca("pact", "foreign", "--json").json["footprints"]
    return {each["id"]: each for each in found}


def test_what_is_listed_is_kept_as_it_came_and_told(
    bcca: Callable[..., Any], host: ForeignHost
) -> None:
    sick = footprint(2, pcf={"fossilGhgEmissions": 20.022, "primaryDataShare": "0.5612"})
    host.lists(footprint(1), sick, footprint(3))
    ran = bcca("pact", "pull", "pact:mill")

    assert (ran.status, ran.err) == (0, "")
    assert "3 footprints, 3 of them new, 0 signed, 1 not usable as they are" in ran.out
    shown = bcca("pact", "show", ID.format(2)).out
    assert "fatal    pcf.fossilGhgEmissions: the JSON number 20.022, where text belongs" in shown
    assert "14.20, where fossilGhgEmissions + biogenicNonCO2Emissions is 20.222: off by" in shown
    assert "warning  pcf.primaryDataShare: 0.5612 looks like a fraction" in shown
    assert "unsigned: a third party's word" in shown
    assert bcca("pact", "show", ID.format(2), "--json").json["content"] == json.dumps(sick)


def test_pulled_twice_nothing_is_new(bcca: Callable[..., Any], host: ForeignHost) -> None:
    host.lists(footprint(1), footprint(2))
    bcca("pact", "pull", "mill")

    assert bcca("pact", "pull", "mill", "--json").json["new"] == 0


def test_only_what_is_asked_for_is_read(bcca: Callable[..., Any], host: ForeignHost) -> None:
    host.lists(*(footprint(number) for number in range(1, 6)))
    bcca("pact", "pull", "mill", "--product", "urn:gtin:4712345060504", "--status", "Active")

    assert list(listed(bcca)) == [ID.format(4)]
    [call] = host.asked_for("/pact/3/footprints")
    assert "productId=urn:gtin:4712345060504&status=Active&limit=100" in call[1]


def test_what_came_before_a_list_broke_off_is_kept(
    bcca: Callable[..., Any], host: ForeignHost
) -> None:
    host.lists(*(footprint(number) for number in range(1, 6)))
    host.link = '<https://thief.example/{page}>; rel="next"'
    ran = bcca("pact", "pull", "mill")

    assert ran.status == INCOMPLETE
    assert "the list was not read to its end" in ran.err
    assert set(listed(bcca)) == {ID.format(1), ID.format(2)}


def test_what_cannot_be_kept_is_told_and_the_rest_is_there(
    bcca: Callable[..., Any], host: ForeignHost
) -> None:
    host.lists(footprint(1), '{"id": "no"}')
    ran = bcca("pact", "pull", "mill")

    assert ran.status == INCOMPLETE
    assert "not kept: number 2: a footprint of pact:mill: its id is 'no'" in ran.err
    assert set(listed(bcca)) == {ID.format(1)}


def test_a_host_that_is_away_is_told_and_nothing_is_lost(
    bcca: Callable[..., Any], host: ForeignHost
) -> None:
    host.lists(footprint(1))
    bcca("pact", "pull", "mill")
    host.status = 500
    ran = bcca("pact", "pull", "mill")

    assert (ran.status, "answered 500" in ran.err) == (INCOMPLETE, True)
    assert set(listed(bcca)) == {ID.format(1)}


def test_a_fatal_problem_is_accepted_for_a_reason_and_refused_again(
    bcca: Callable[..., Any], host: ForeignHost
) -> None:
    host.lists(footprint(1, pcf={"pcfExcludingBiogenicUptake": "20"}))
    bcca("pact", "pull", "mill")
    assert not listed(bcca)[ID.format(1)]["usable"]
    assert "use: none, unless you accept it" in bcca("pact", "show", ID.format(1)).out
    ran = bcca("pact", "accept", ID.format(1), "--reason", "20, by telephone")

    assert "may fill a gap: accepted (20, by telephone)" in ran.out
    assert listed(bcca)[ID.format(1)]["usable"]
    assert bcca("pact", "accept", ID.format(1), "--reason", "").status == 0
    assert not listed(bcca)[ID.format(1)]["usable"]


def test_what_counts_as_signed_is_not_accepted(
    bcca: Callable[..., Any], host: ForeignHost, node: Node
) -> None:
    host.lists(footprint(1))
    bcca("pact", "pull", "mill")
    with node.database.write() as session:
        (kept,) = foreign.called(session, ID.format(1))
        signed = dataclasses.replace(kept, trust=foreign.Trust.SIGNED, statement="ab" * 32)
        foreign.update(session, signed)
    ran = bcca("pact", "accept", ID.format(1), "--reason", "checked by telephone")

    assert f"counts as signed: its statement {'ab' * 32} feeds runs" in ran.refusal
    assert listed(bcca)[ID.format(1)]["accepted"] is None


def test_what_a_run_makes_of_it_is_shown_before_anybody_accepts_it(
    bcca: Callable[..., Any], host: ForeignHost
) -> None:
    rounded = {"pcfExcludingBiogenicUptake": "14.21"}
    host.lists(footprint(1, pcf={"pcfExcludingBiogenicUptake": "20"}), footprint(2, pcf=rounded))
    bcca("pact", "pull", "mill")
    off, near = (bcca("pact", "show", ID.format(number)).out for number in (1, 2))

    assert "if you accept it, a run says: unsigned PACT footprint of pact:mill, received " in off
    assert "20, where its components come to 14.2, more than rounding, which an operator" in off
    assert "5.8 kg CO2e per 1 kg added to fossil" in off
    assert "use: may fill a gap" in near
    assert "come to 14.2, rounding: 0.01 kg CO2e per 1 kg added to fossil" in near


@pytest.mark.parametrize(
    ("pcf", "why"),
    [
        (
            {"pcfExcludingBiogenicUptake": "0.1"},
            "0.1, where its components come to 14.2: 14.1 kg CO2e per 1 kg less would leave -0.1",
        ),
        ({"ipccCharacterizationFactors": ["AR5", "AR6"]}, "AR5 or AR6 alone can be added up"),
        ({"biogenicCO2Uptake": "0.50"}, "0.50 is above zero"),
    ],
)
def test_attack_what_no_run_can_use_is_accepted_for_no_reason(
    bcca: Callable[..., Any], host: ForeignHost, pcf: dict[str, Any], why: str
) -> None:
    less = {"fossilGhgEmissions": "14.00", "biogenicNonCO2Emissions": "0.20"}
    host.lists(footprint(1, pcf={**less, **pcf}))
    bcca("pact", "pull", "mill")
    ran = bcca("pact", "accept", ID.format(1), "--reason", "they say so")

    assert "no run can use it, accepted or not" in ran.refusal
    assert why in ran.refusal
    assert not listed(bcca)[ID.format(1)]["usable"]
    assert listed(bcca)[ID.format(1)]["accepted"] is None
    assert "use: none: " in bcca("pact", "show", ID.format(1)).out


def test_one_is_named_by_the_beginning_of_its_id_or_refused(
    bcca: Callable[..., Any], host: ForeignHost
) -> None:
    host.lists(footprint(1), footprint(2))
    bcca("pact", "pull", "mill")

    assert "begins the id of several" in bcca("pact", "show", ID.format(1)[:9]).refusal
    assert "no footprint that came has such an id" in bcca("pact", "show", "ff").refusal
    assert "no footprint that came has such an id" in bcca("pact", "show", "").refusal
    assert bcca("pact", "show", ID.format(1).upper()).status == 0


def test_two_contents_of_one_id_are_named_by_their_digests(
    bcca: Callable[..., Any], host: ForeignHost
) -> None:
    for name in ("Foil", "Foil, thin"):
        host.lists(footprint(1, productNameCompany=name))
        bcca("pact", "pull", "mill")
    said = bcca("pact", "show", ID.format(1)).refusal
    first = said.partition("(digest ")[2][:12]
    shown = bcca("pact", "show", first, "--json").json
    rows = bcca("pact", "foreign").out

    assert json.loads(shown["content"])["productNameCompany"] == "Foil"
    assert (shown["usable"], shown["supersededBy"]) == (True, None)
    assert rows.count(ID.format(1)) == 2
    assert (rows.count("may fill a gap"), rows.count("none, unless you accept it")) == (1, 1)


def test_a_status_that_changed_is_one_row_and_both_contents_are_there(
    bcca: Callable[..., Any], host: ForeignHost, node: Node
) -> None:
    host.lists(footprint(1))
    bcca("pact", "pull", "mill")
    with node.database.write() as session:  # as a statement of ours that it carries is verified
        (kept,) = foreign.called(session, ID.format(1))
        foreign.update(session, dataclasses.replace(kept, trust=foreign.Trust.SIGNED))
    host.lists(footprint(1, status="Deprecated"))
    bcca("pact", "pull", "mill")
    rows = bcca("pact", "foreign").out
    newer, older = bcca("pact", "foreign", "--json").json["footprints"]
    shown = bcca("pact", "show", ID.format(1), "--json").json

    assert rows.count(ID.format(1)) == 1
    assert f"{ID.format(1)}  pact:mill  Foil 1   signed            none: deprecated\n" in rows
    assert older["supersededBy"] == {"id": ID.format(1), "digest": newer["digest"]}
    assert (newer["supersededBy"], newer["deprecated"], older["deprecated"]) == (None, True, True)
    assert (shown["digest"], shown["supersededBy"]) == (older["digest"], older["supersededBy"])


def test_what_was_corrected_says_what_takes_its_place_wherever_it_is_shown(
    bcca: Callable[..., Any], host: ForeignHost
) -> None:
    old, new = footprint(1), footprint(2, precedingPfIds=[ID.format(1)])
    host.lists(old)
    bcca("pact", "pull", "mill")
    host.lists(new, footprint(1, status="Deprecated"))
    pulled = bcca("pact", "pull", "mill").out
    by = {"id": ID.format(2), "digest": listed(bcca)[ID.format(2)]["digest"]}
    every = bcca("pact", "foreign", "--json").json["footprints"]

    said = f"none: superseded by {ID.format(2)}\n"
    assert said in pulled
    assert bcca("pact", "foreign").out.count(said) == 1
    assert f"use: {said}" in bcca("pact", "show", ID.format(1)).out
    assert bcca("pact", "show", ID.format(1), "--json").json["supersededBy"] == by
    assert [(each["id"], each["supersededBy"]) for each in every] == [
        (ID.format(1), by),
        (ID.format(2), None),
        (ID.format(1), by),
    ]


def test_a_request_is_sent_to_the_host_once(bcca: Callable[..., Any], host: ForeignHost) -> None:
    ran = bcca("pact", "ask", "mill", "--product", "urn:gtin:4712345060507", "--json")
    bcca("pact", "ask", "mill", "--product", "urn:gtin:4712345060514")

    assert ran.status == 0
    events = [json.loads(body) for _, _, _, body in host.asked_for("/pact/3/events")]
    assert [each["data"]["productId"] for each in events] == [
        ["urn:gtin:4712345060507"],
        ["urn:gtin:4712345060514"],
    ]
    assert events[0]["id"] == ran.json["event"]
    asked = bcca("pact", "asked", "--json").json["asked"]
    assert [each["state"] for each in asked] == ["open", "open"]


def test_a_request_that_nobody_takes_is_kept(bcca: Callable[..., Any], host: ForeignHost) -> None:
    host.status = 500
    ran = bcca("pact", "ask", "mill", "--product", "urn:gtin:4712345060507")

    assert (ran.status, "answered 500" in ran.err) == (INCOMPLETE, True)
    assert len(bcca("pact", "asked", "--json").json["asked"]) == 1


def test_what_is_under_way_is_listed_and_begun_anew(bcca: Callable[..., Any], node: Node) -> None:
    assert bcca("pact", "deliveries").out == "Everything was delivered.\n"
    letter = pactsending.Letter(partner="pact:mill", event="e-1", what="PCF published", body=b"{}")
    with node.database.write() as session:
        number = pactsending.send(session, letter, node.clock())
        pactsending.settle(session, number, pactsending.Sent.DEAD, "answered 500")
    given_up = bcca("pact", "deliveries", "--json")
    refused = bcca("pact", "deliveries", "--again", "12").refusal
    again = bcca("pact", "deliveries", "--again", str(number), "--json")

    assert "`bcca pact deliveries` lists them" in refused
    (first,), (second,) = given_up.json["deliveries"], again.json["deliveries"]
    assert (first["state"], first["what"], first["nextAt"]) == ("dead", "PCF published", None)
    assert (second["state"], given_up.status, again.status) == ("waiting", INCOMPLETE, 0)
    assert "PCF published" in bcca("pact", "deliveries").out


def test_whoever_is_no_pact_partner_is_not_asked(bcca: Callable[..., Any]) -> None:
    assert "is no PACT partner: there is pact:mill" in bcca("pact", "pull", "elsewhere").refusal
    assert "0 products in one request" in bcca("pact", "ask", "mill").refusal
