"""A node and foreign systems: what they serve is read, judged by field, and never trusted silently.

The foreigner is no node of ours: it pages as it likes, and writes numbers as it likes.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.conftest import footprint_of
from tests.system.pact_ground import Ground, Side, urn
from tests.system.pact_keys import Authority
from tests.system.pact_schema import FULFILLED, GOOD, PUBLISHED, REJECTED
from tests.system.pact_tester import Foreigner, Listener

from bcca_node.storage import foreign, pactevents
from bcca_node.storage.foreign import Foreign, Trust, Weight
from bcca_node.storage.pactevents import Answer
from bcca_protocol.inventory import Input, Supplier
from bcca_protocol.keys import Algorithm, SeedSigner

Change = Callable[[dict[str, Any]], object]
FOREIGN = "pact:foreigner"


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A node that reads, and the foreigner it reads."""

    side: Side
    foreigner: Foreigner
    stranger: Listener

    @property
    def listener(self) -> Listener:
        return self.foreigner.listener

    def pull(self, *pages: tuple[bytes, str], status: int | None = None) -> str:
        """Let the foreigner serve these pages, read them, and return what was said."""
        self.listener.pages[:] = pages
        ran = self.side.bcca("pact", "pull", "foreigner", status=status)
        assert "Traceback" not in ran.err
        return ran.out + ran.err

    def kept(self, name: str) -> list[Foreign]:
        with self.side.node.database.read() as session:
            return foreign.contents(session, FOREIGN, name)

    def one(self, name: str) -> Foreign:
        [found] = self.kept(name)
        return found


@pytest.fixture(scope="module")
def reader(pact: Ground) -> Iterator[Reader]:
    side = pact.side("reading")
    side.start()
    yield Reader(side=side, foreigner=pact.acquaint(side, "foreigner"), stranger=pact.listener())
    assert side.stop() == 0
    assert "a mistake in bcca" not in side.said


def new(change: Change = lambda made: None, **told: Any) -> dict[str, Any]:
    """Return a good footprint under a new id, changed."""
    made = {**deepcopy(GOOD), "id": str(uuid4()), **told}
    change(made)
    return made


def page(*footprints: Any) -> bytes:
    return json.dumps({"data": list(footprints)}).encode()


def test_every_page_is_read_and_what_came_is_kept_byte_for_byte(reader: Reader) -> None:
    first, second = new(), new()
    odd = page(second).replace(b'"14.2"', b'"14.20"').replace(b'"Cell 1"', b'"Cell \\u0031"')
    reader.pull((page(first), "{url}/3/footprints?cursor=1"), (odd, ""))

    assert reader.one(first["id"]).trust is Trust.UNSIGNED
    assert reader.one(first["id"]).problems == ()
    assert b'"14.20"' in reader.one(second["id"]).content
    assert reader.one(second["id"]).content in odd


def test_attack_a_link_to_another_host_is_not_followed(reader: Reader) -> None:
    first = new()
    reader.pull((page(first), f"{reader.stranger.url}/3/footprints"))

    assert reader.stranger.heard == []
    assert len(reader.kept(first["id"])) == 1


def test_attack_pages_without_end_come_to_an_end(reader: Reader) -> None:
    first = new()
    before = len(reader.listener.heard)
    said = reader.pull((page(first), "{url}/3/footprints?cursor=0"))

    assert len(reader.listener.heard) - before < 50
    assert len(reader.kept(first["id"])) == 1
    assert said


SPOILT: Mapping[str, tuple[str, Weight, Change]] = {
    "a number of JSON": (
        "fossilGhgEmissions",
        Weight.WARNING,
        lambda made: made["pcf"].update(fossilGhgEmissions=14.2),
    ),
    "null": ("comment", Weight.WARNING, lambda made: made.update(comment=None)),
    "no number": (
        "fossilGhgEmissions",
        Weight.FATAL,
        lambda made: made["pcf"].update(fossilGhgEmissions="about fourteen"),
    ),
    "a comma": (
        "pcfExcludingBiogenicUptake",
        Weight.FATAL,
        lambda made: made["pcf"].update(pcfExcludingBiogenicUptake="14,2"),
    ),
    "sums off by 41 percent": (
        "pcfExcludingBiogenicUptake",
        Weight.FATAL,
        lambda made: made["pcf"].update(pcfExcludingBiogenicUptake="20.022"),
    ),
    "a unit of nobody": (
        "declaredUnitOfMeasurement",
        Weight.FATAL,
        lambda made: made["pcf"].update(declaredUnitOfMeasurement="kg"),
    ),
    "an amount of nothing": (
        "declaredUnitAmount",
        Weight.FATAL,
        lambda made: made["pcf"].update(declaredUnitAmount="0"),
    ),
    "a fraction for percent": (
        "primaryDataShare",
        Weight.WARNING,
        lambda made: made["pcf"].update(primaryDataShare="0.8"),
    ),
    "a share over 100 percent": (
        "primaryDataShare",
        Weight.WARNING,
        lambda made: made["pcf"].update(primaryDataShare="180"),
    ),
    "a rating of 9": (
        "technologicalDQR",
        Weight.WARNING,
        lambda made: made["pcf"].update(
            dqi={"technologicalDQR": "9", "geographicalDQR": "1", "temporalDQR": "1"}
        ),
    ),
    "a positive uptake": (
        "biogenicCO2Uptake",
        Weight.FATAL,
        lambda made: made["pcf"].update(biogenicCO2Uptake="1", pcfIncludingBiogenicUptake="15.2"),
    ),
    "a reversed period": (
        "referencePeriod",
        Weight.WARNING,
        lambda made: made["pcf"].update(referencePeriodStart="2027-01-01T00:00:00Z"),
    ),
    "two geographies": (
        "geography",
        Weight.WARNING,
        lambda made: made["pcf"].update(geographyCountry="FI", geographyRegionOrSubregion="Asia"),
    ),
    "valid for ten years": (
        "validityPeriodEnd",
        Weight.WARNING,
        lambda made: made.update(validityPeriodEnd="2036-01-01T00:00:00Z"),
    ),
    "version 2": ("specVersion", Weight.WARNING, lambda made: made.update(specVersion="2.0.0")),
    "packaging without the flag": (
        "packaging",
        Weight.WARNING,
        lambda made: made["pcf"].update(
            packagingEmissionsIncluded=False, packagingGhgEmissions="0.1"
        ),
    ),
}


@pytest.fixture(scope="module")
def spoilt(reader: Reader) -> Mapping[str, Foreign]:
    """Read one footprint of each kind of fault, all in one list."""
    made = {name: new(change) for name, (_, _, change) in SPOILT.items()}
    reader.pull((page(*made.values()), ""))
    return {name: reader.one(each["id"]) for name, each in made.items()}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_is_told_by_field(spoilt: Mapping[str, Foreign], name: str) -> None:
    field, weight, _ = SPOILT[name]
    about = [each for each in spoilt[name].problems if field in each.field]

    assert len(about) >= 1
    assert all(each.told for each in about)
    if weight is Weight.FATAL:
        assert [each for each in about if each.weight is Weight.FATAL] != []
        assert not spoilt[name].is_usable
    assert spoilt[name].trust is Trust.UNSIGNED


def test_the_command_tells_the_problems_of_each_footprint(
    reader: Reader, spoilt: Mapping[str, Foreign]
) -> None:
    shown = reader.side.bcca("pact", "show", spoilt["a comma"].id).out
    listed = reader.side.bcca("pact", "foreign").out

    assert "pcfExcludingBiogenicUptake" in shown
    assert "14,2" in shown
    assert spoilt["null"].id[:8] in listed


def test_what_is_fatal_is_used_only_once_somebody_says_why(
    reader: Reader, spoilt: Mapping[str, Foreign]
) -> None:
    wrong = spoilt["sums off by 41 percent"]
    assert not reader.one(wrong.id).is_usable
    reader.side.bcca("pact", "accept", wrong.id, "--reason", "asked them: it is one")
    accepted = reader.one(wrong.id)
    reader.side.bcca("pact", "accept", wrong.id, "--reason", "")

    assert accepted.is_usable
    assert accepted.why == "asked them: it is one"
    assert accepted.problems == wrong.problems
    assert not reader.one(wrong.id).is_usable


def test_attack_a_footprint_that_changes_under_its_id_counts_as_it_came_first(
    reader: Reader,
) -> None:
    first = new()
    reader.pull((page(first), ""))
    other = deepcopy(first)
    for name in ("pcfExcludingBiogenicUptake", "pcfIncludingBiogenicUptake", "fossilGhgEmissions"):
        other["pcf"][name] = "1"
    reader.pull((page(other), ""))
    before, after = reader.kept(first["id"])

    assert json.loads(before.content) == first
    assert before.is_usable
    assert not after.is_usable


def test_a_deprecated_footprint_and_one_that_is_replaced_are_used_no_more(reader: Reader) -> None:
    first = new()
    second = new(precedingPfIds=[first["id"]])
    third = new()
    reader.pull((page(first, third), ""))
    reader.pull((page(second, {**third, "status": "Deprecated"}), ""))

    assert [each.is_deprecated for each in reader.kept(first["id"])] == [True]
    assert all(each.is_deprecated for each in reader.kept(third["id"]))
    assert reader.one(second["id"]).is_usable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": {}}',
        b'{"data": [7, null, "x", []]}',
        b'{"data": [{"id": "x"}]}',
        b'{"data": [' + b"[" * 5_000,
        b"\xff\xfe",
        b"<html>",
    ],
    ids=["empty", "list", "object", "null", "data", "items", "id", "deep", "bytes", "html"],
)
def test_a_page_that_is_none_is_told_and_breaks_nothing(reader: Reader, body: bytes) -> None:
    said = reader.pull((body, ""))

    assert said
    assert "a mistake in bcca" not in said


def test_news_of_a_foreigner_are_fetched_and_kept(reader: Reader) -> None:
    made = new()
    reader.listener.footprints[made["id"]] = made
    event = reader.foreigner.event(PUBLISHED, {"pfIds": [made["id"]]})
    assert reader.foreigner.post(event).status_code == 200

    reader.side.ground.wait(lambda: len(reader.kept(made["id"])) == 1, lambda: reader.side.said)
    assert json.loads(reader.one(made["id"]).content) == made


def _asked(reader: Reader, product: str) -> str:
    """Ask the foreigner for a product; return the event, once it has arrived there."""
    reader.side.bcca("pact", "ask", "foreigner", "--product", product, status=None)
    found: list[str] = []

    def is_there() -> bool:
        told = [each.event for each in reader.listener.events]
        found[:] = [each["id"] for each in told if product in each["data"].get("productId", ())]
        return bool(found)

    reader.side.ground.wait(is_there, lambda: reader.side.said)
    return found[0]


def _answer(reader: Reader, event: str) -> Any:
    with reader.side.node.database.read() as session:
        return pactevents.wanted(session, event)


def test_a_foreigner_is_asked_and_fulfils(reader: Reader) -> None:
    asked, made = _asked(reader, GOOD["productIds"][0]), new()
    event = reader.foreigner.event(FULFILLED, {"requestEventId": asked, "pfs": [made]})
    assert reader.foreigner.post(event).status_code == 200

    assert _answer(reader, asked).state is Answer.FULFILLED
    assert json.loads(reader.one(made["id"]).content) == made


def test_a_foreigner_is_asked_and_rejects_and_the_reason_is_kept(reader: Reader) -> None:
    asked = _asked(reader, "urn:x-test:rejected")
    error = {"code": "NotFound", "message": "we do not make that"}
    event = reader.foreigner.event(REJECTED, {"requestEventId": asked, "error": error})
    assert reader.foreigner.post(event).status_code == 200
    told = _answer(reader, asked)

    assert (told.state, told.code, told.message) == (Answer.REJECTED, *error.values())


def test_attack_an_answer_to_what_was_not_asked_is_refused(reader: Reader) -> None:
    made = new()
    event = reader.foreigner.event(FULFILLED, {"requestEventId": str(uuid4()), "pfs": [made]})

    assert reader.foreigner.post(event).status_code == 400
    assert reader.kept(made["id"]) == []


def test_attack_another_partner_answers_what_was_asked_of_the_first(
    reader: Reader, pact: Ground
) -> None:
    rival, made = pact.acquaint(reader.side, "impostor"), new()
    asked = _asked(reader, "urn:x-test:contested")
    event = rival.event(FULFILLED, {"requestEventId": asked, "pfs": [made]})

    assert rival.post(event).status_code == 400
    assert _answer(reader, asked).state is Answer.OPEN
    with reader.side.node.database.read() as session:
        assert foreign.contents(session, "pact:impostor", made["id"]) == []


def test_attack_a_statement_that_is_not_in_its_log_counts_as_unsigned(
    reader: Reader, pact: Ground
) -> None:
    """Our own extension, taken off a true footprint and put on one that says less."""
    reader.side.sell("true", kg=4)
    asker = pact.acquaint(reader.side, "copier")
    [true] = asker.every("?productId=urn:bcca:case:t:true")
    lie = deepcopy(true)
    lie["id"] = str(uuid4())
    for name in ("pcfExcludingBiogenicUptake", "pcfIncludingBiogenicUptake", "fossilGhgEmissions"):
        lie["pcf"][name] = "1"
    reader.pull((page(lie), ""))

    assert reader.one(lie["id"]).trust is Trust.UNSIGNED


@pytest.fixture(scope="module")
def packs(reader: Reader) -> Mapping[str, str]:
    """Publish two packs, each of 6 kg CO2e itself and 2 kg of something of a silent supplier."""
    names = {"wrong": "urn:x-test:foil:wrong", "right": "urn:x-test:foil:right"}
    maker = "foil.example/bcca"
    key = SeedSigner(name=maker, algorithm=Algorithm.ED25519, seed=bytes(32)).key.encode()
    told: dict[str, Any] = {"unit": "kg", "stages": "keep", "amount": "2"}
    lines = {
        name: Input(id=name, product=product, supplier=Supplier(origin=maker, key=key), **told)
        for name, product in names.items()
    }
    parts = [
        footprint_of(reader.side.origin, f"pack-{name}", buys=(line,))
        for name, line in lines.items()
    ]
    reader.side.publish(*parts)
    return names


def test_what_is_malformed_enters_no_run_and_the_gap_is_told(
    reader: Reader, packs: Mapping[str, str]
) -> None:
    made = new(lambda made: made["pcf"].update(pcfExcludingBiogenicUptake="20.022"))
    made.update(productIds=[packs["wrong"]])
    made["pcf"].update(declaredUnitOfMeasurement="kilogram", productMassPerDeclaredUnit="1")
    reader.pull((page(made), ""))
    ran = reader.side.bcca("aggregate", urn("pack-wrong"), "--json", status=3)

    assert Decimal(str(ran.json["total"])) == 6
    assert packs["wrong"] in json.dumps(ran.json["missing"])
    assert ran.json["substitutes"] == []


def test_what_adds_up_fills_the_gap_and_is_counted_apart_from_what_is_signed(
    reader: Reader, packs: Mapping[str, str]
) -> None:
    made = new(productIds=[packs["right"]])
    made["pcf"].update(declaredUnitOfMeasurement="kilogram", productMassPerDeclaredUnit="1")
    reader.pull((page(made), ""))
    ran = reader.side.bcca("aggregate", urn("pack-right"), "--json", status=None)
    [substitute] = ran.json["substitutes"]

    assert Decimal(str(ran.json["total"])) == 6 + 2 * Decimal("14.2")
    assert substitute["unsigned"] is True
    assert Decimal(ran.json["unsignedShare"]) == round(Decimal("28.4") / Decimal("34.4"), 6)


def test_attack_a_host_that_the_authorities_do_not_know_learns_no_secret(
    reader: Reader, pact: Ground, tmp_path: Path
) -> None:
    impostor = Listener()
    impostor.serve(pact.loopback, Authority(tmp_path, "another").issue("impostor"))
    pact.acquaint(reader.side, "faked", impostor)
    said = reader.side.bcca("pact", "pull", "faked", status=None)

    assert said.status != 0
    assert "its certificate is not believed" in said.err
    assert impostor.heard == []
