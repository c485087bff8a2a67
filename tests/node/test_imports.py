import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcca_node.supplier import cases
from bcca_node.supplier.imports import read_drafts
from bcca_protocol import partial, statement, unlogged, wire
from bcca_protocol.errors import UnusableError
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Interval, Supplier
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.limits import MAX_STATEMENT_BYTES
from bcca_protocol.statement import PARTIAL_FOOTPRINT, PartialFootprint

Json = dict[str, Any]  # what a supplier writes by hand

SEED, COSIGNER = bytes(32), Algorithm.ED25519_COSIGNATURE
RAW = SeedSigner(name="raw.example", algorithm=Algorithm.ED25519, seed=SEED).key.encode()
ITSELF = Supplier(origin="maker.example", key="maker.example+00000000+AAAA")
YEAR = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
COMMITMENT = "0" * 64


def written() -> Json:
    """Return a draft as a supplier may write it: 2 kg CO2e for each kg, and some raw material."""
    factor = {
        "kind": "secondary", "source": "s", "dataset": "d", "geography": "CN", "unit": "kWh",
        "gas": "co2e", "values": {"fossil": "0.5"},
    }  # fmt: skip
    return {
        "product": {"id": "urn:test:cell", "name": "电芯"},
        "producer": {"name": "Maker"},
        "period": {"start": "2025-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        "sharing": "public",
        "declaredUnit": {"amount": "1", "unit": "kg"},
        "output": {"amount": "4", "unit": "kg"},
        "method": {"standards": [], "gwp": "AR6", "recycling": "cutOff", "electricity": "market"},
        "activities": [
            {
                "id": "power", "name": "power", "stage": "production", "kind": "energy",
                "amount": "16", "unit": "kWh", "amountKind": "measured", "factor": factor,
            }
        ],
        "inputs": [
            {
                "id": "raw", "product": "urn:test:raw", "amount": "3", "unit": "kg",
                "stages": "keep",
                "supplier": {"origin": "raw.example", "key": RAW},
            }
        ],
    }  # fmt: skip


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Any], list[PartialFootprint]]:
    """Return a reader of a document, text or bytes from a file."""

    def reader(document: Any) -> list[PartialFootprint]:
        path = tmp_path / "drafts.json"
        if isinstance(document, bytes):
            path.write_bytes(document)
        else:
            path.write_text(json.dumps(document), encoding="utf-8")
        return read_drafts(path, itself=ITSELF, name="Maker", period=YEAR)

    return reader


@pytest.fixture
def problems(
    read: Callable[[Any], list[PartialFootprint]], tmp_path: Path
) -> Callable[[Any], list[str]]:
    """Return the problems of a document that is refused."""

    def refused(document: Any) -> list[str]:
        with pytest.raises(UnusableError) as error:
            read(document)
        first, *more = str(error.value).split("\n  ")
        assert first.startswith(f"{tmp_path / 'drafts.json'}: ")
        return more or [first.removeprefix(f"{tmp_path / 'drafts.json'}: ")]

    return refused


Read = Callable[[Any], list[PartialFootprint]]
Problems = Callable[[Any], list[str]]


def test_a_draft_is_a_statement_without_issuer_and_nonce(read: Read) -> None:
    (draft,) = read(written())

    assert draft.issuer == "maker.example"
    assert draft.product.name == "电芯"
    assert statement.decode(wire.encode(statement.of(draft))).predicate == draft
    assert partial.reduce(draft, COMMITMENT).bought[0].product == "urn:test:raw"


def test_the_footprint_is_computed_where_it_is_left_out(read: Read) -> None:
    (draft,) = read(written())

    assert draft.footprint == Stages(production=Components(fossil="2"))
    assert draft.location_footprint is None


def test_a_footprint_that_is_given_is_kept_as_it_is_written(read: Read) -> None:
    (draft,) = read(written() | {"footprint": {"production": {"fossil": "2.00"}}})

    assert draft.footprint == Stages(production=Components(fossil="2.00"))


def test_a_footprint_that_does_not_sum_is_refused_with_both(problems: Problems) -> None:
    assert problems(written() | {"footprint": {"production": {"fossil": "1.9"}}}) == [
        "draft: footprint production.fossil is written as 1.9, its own lines give 2"
    ]
    assert problems(written() | {"footprint": {}}) == [
        "draft: footprint production.fossil is written as 0, its own lines give 2"
    ]


def test_the_location_result_is_computed_beside_it_or_checked(
    read: Read, problems: Problems
) -> None:
    document = written()
    power = document["activities"][0]
    grid = power["factor"] | {"values": {"fossil": "0.75"}}
    power["electricity"] = {"supply": "contract", "locationFactor": grid}
    (draft,) = read(document)

    assert draft.location_footprint == Stages(production=Components(fossil="3"))
    document["locationFootprint"] = {"production": {"fossil": "3.0"}}
    assert read(document)[0].location_footprint == Stages(production=Components(fossil="3.0"))
    document["locationFootprint"] = {"production": {"fossil": "2.9"}}
    assert problems(document) == [
        "draft: locationFootprint production.fossil is written as 2.9, its own lines give 3"
    ]


def test_a_file_may_hold_a_list_and_name_the_type_of_each(read: Read) -> None:
    named = {"predicateType": PARTIAL_FOOTPRINT, "predicate": written()}

    assert read([written(), named]) == read(named) * 2


def test_a_supplier_without_a_log_is_written_as_none_and_named_by_a_key_that_nobody_has(
    read: Read,
) -> None:
    document = written()
    document["inputs"][0]["supplier"]["key"] = "none"
    [draft] = read(document)
    [again] = read(document)

    assert draft.inputs[0].supplier.key == unlogged.key_of("raw.example")
    assert draft == again
    assert partial.reduce(draft, COMMITMENT).bought[0].origin == "raw.example"


@pytest.mark.parametrize(
    ("supplier", "told"),
    [
        ({"origin": "raw.example"}, "draft.inputs[0].supplier.key: is missing, where the key in"),
        ({"key": "nobody"}, "draft.inputs[0].supplier.key: 'nobody', where the key in"),
        ({"key": "raw.example+1a2b3c4d+AdGf"}, "line raw: verifier key 'raw.example': 2 bytes"),
        (
            {"key": SeedSigner(name="raw.example", algorithm=COSIGNER, seed=SEED).key.encode()},
            "is no log key: write the key in",
        ),
    ],
)
def test_attack_no_key_or_one_that_verifies_no_log_is_told_with_what_to_write(
    problems: Problems, supplier: Json, told: str
) -> None:
    document = written()
    document["inputs"][0]["supplier"] = {"origin": "raw.example", **supplier}
    [said] = problems(document)

    assert told in said
    assert 'the supplier\'s `log` line, or "none" if it has no log' in said


def test_none_for_who_is_no_origin_is_told_with_its_place(problems: Problems) -> None:
    document = written()
    document["inputs"][0]["supplier"] = {"origin": "Raw & Sons", "key": "none"}

    assert any("supplier.origin: 'Raw & Sons', where an origin" in e for e in problems(document))


def test_any_form_of_json_will_do(read: Read) -> None:
    compact = json.dumps(written()).encode()
    document = json.loads(compact)
    turned = dict(reversed(document.items())) | {"massKg": None}
    text = json.dumps(turned, indent=4, ensure_ascii=False).replace("/", "\\/")

    for data in (text.encode(), text.encode("utf-8-sig"), text.replace("\n", "\r\n\t").encode()):
        assert read(data) == read(compact)


def test_everything_wrong_is_told_at_once_with_its_place(problems: Problems) -> None:
    first, second = written(), written()
    first["product"] = {"id": "cell", "name": "cell\x1b[31m", "colour": "red"}
    first["output"] = {"amount": 4, "unit": "kilogram"}
    first["sharing"] = "nobody"
    first["nonce"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    first["activities"].append({"id": "", "factor": [], "joint": "yes", "amount": "1E-7"})
    first["inputs"] = {}
    del first["producer"]
    second["period"]["end"] = "2025-02-30T00:00:00Z"
    second["output"]["amount"] = "0"
    second["activities"][0]["unit"] = "kg"
    second["inputs"][0]["amount"] = "-1"
    second["inputs"].append(second["inputs"][0] | {"amount": "1", "yield": "2"})

    assert sorted(
        problems([first, 7, second, {"predicateType": "urn:other", "predicate": {}}])
    ) == sorted(
        [
            "draft[0].nonce: the node writes it when it publishes: leave it out",
            "draft[0].product.colour: there is no such field",
            "draft[0].product.id: 'cell', where a URN such as \"urn:example:cell-4711\" belongs",
            "draft[0].product.name: 'cell\\x1b[31m' holds control characters, which are not shown",
            "draft[0].producer: is missing",
            "draft[0].sharing: 'nobody' is none of direct, downstream, public",
            'draft[0].output.amount: the number 4 stands without quotes, where "4" belongs',
            "draft[0].output.unit: 'kilogram' is none of GJ, MJ, MJHHV, MJLHV, MWh, Mbit*s, Nm3, "
            "Wh, g, h, kWh, kWhCapacity, kWhHHV, kWhLHV, kg, km, l, lb, m, m*year, m2, m2*year, "
            "m3, piece, shortTon, shortTonMile, t, tkm",
            "draft[0].activities[1].id: is empty",
            "draft[0].activities[1].name: is missing",
            "draft[0].activities[1].stage: is missing",
            "draft[0].activities[1].kind: is missing",
            "draft[0].activities[1].amount: '1E-7', where a plain decimal such as \"12.5\" belongs",
            "draft[0].activities[1].unit: is missing",
            "draft[0].activities[1].amountKind: is missing",
            "draft[0].activities[1].factor: a list, where an object belongs",
            "draft[0].activities[1].joint: 'yes', where true or false belongs",
            "draft[0].inputs: an object, where a list belongs",
            "draft[1]: not an object",
            "draft[2]: output.amount: 0 is not above zero",
            "draft[2]: line power: 16 kg (mass) is not an amount in kWh (energy)",
            "draft[2]: line raw: amount: -1 is below zero",
            "draft[2]: line raw: a yield of 2, where 0 < yield <= 1",
            "draft[3].predicateType: 'urn:other', where urn:bcca:partial-footprint:v1 is imported",
        ]
    )


@pytest.mark.parametrize(
    "number", ["1", "1.50", "-0", "1E-7", "1e400", "0.1234567890123456789", "NaN", "-Infinity"]
)
def test_a_json_number_is_refused_as_it_was_written(problems: Problems, number: str) -> None:
    data = json.dumps(written()).replace('"amount": "16"', f'"amount": {number}').encode()

    assert problems(data) == [
        f"draft.activities[0].amount: the number {number} stands without quotes, "
        f'where "{number}" belongs'
    ]


@pytest.mark.parametrize("text", ["1,5", "1E-7", "-0", "1\n", "\u0661", "abc", "", "01", "+1"])
@pytest.mark.parametrize("place", ["factor", "footprint"])
def test_a_number_of_a_footprint_is_checked_in_its_place(
    problems: Problems, place: str, text: str
) -> None:
    document = written()
    if place == "factor":
        document["activities"][0]["factor"]["values"]["fossil"] = text
        at = "draft.activities[0].factor.values.fossil"
    else:
        document["footprint"] = {"production": {"fossil": text}}
        at = "draft.footprint.production.fossil"
    (problem,) = problems(document)

    assert problem.startswith(f"{at}: ")
    assert problem.endswith('where a plain decimal such as "12.5" belongs')


def test_a_name_that_stands_twice_is_refused_and_not_the_last_one_taken(
    problems: Problems,
) -> None:
    data = json.dumps(written()).encode()
    data = data.replace(b'"gwp": "AR6"', b'"gwp": "AR5", "gwp": "AR6"')
    named = b'{"predicateType": "x", "predicateType": "' + PARTIAL_FOOTPRINT.encode() + b'", '

    assert problems(data) == ["draft.method.gwp: stands twice"]
    assert problems(named + b'"predicate": ' + json.dumps(written()).encode() + b"}") == [
        "draft.predicateType: stands twice"
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cell\\u202e", "'cell\\u202e' holds control characters"),
        ("cell\\n", "'cell\\n' holds control characters"),
        ("cell\\ud800", "'cell\\ud800' holds control characters"),
        ("", "is empty"),
        ("x" * 2_001, "2001 characters, where 2000 fit"),
    ],
)
def test_a_name_that_cannot_be_shown_is_refused_and_not_repeated(
    problems: Problems, text: str, why: str
) -> None:
    data = json.dumps(written()).replace('"name": "Maker"', f'"name": "{text}"').encode()
    (problem,) = problems(data)

    assert problem.startswith(f"draft.producer.name: {why}")
    assert problem.isprintable()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"{", "not JSON: Expecting property name"),
        (b"[1,]", "not JSON: "),
        (b"[]", "draft: the list is empty"),
        (b"null", "draft: not an object"),
        (b'"text"', "draft: not an object"),
        (b"[" * 100_000, "nested deeper than any statement is"),
        (b'{"predicateType": "urn:bcca:partial-footprint:v1"}', "draft.predicate: not an object"),
        (b'{"predicateType": 1, "predicate": {}}', "draft.predicateType: "),
        ("电芯".encode("gbk"), "drafts.json row 1: byte 0xb5 is not UTF-8 but may be GBK"),
    ],
)
def test_what_is_no_draft_is_refused(problems: Problems, data: bytes, why: str) -> None:
    assert problems(data)[0].startswith(why)


def test_what_stands_beside_a_predicate_is_not_ignored(problems: Problems) -> None:
    document = {"predicateType": PARTIAL_FOOTPRINT, "predicate": written(), "subject": []}

    assert problems(document) == [
        "draft.subject: there is no such field beside predicateType and predicate"
    ]


def test_an_issuer_is_refused_because_the_node_is_it(problems: Problems) -> None:
    assert problems(written() | {"issuer": "other.example"}) == [
        "draft.issuer: the node writes it when it publishes: leave it out"
    ]


def test_a_draft_over_the_size_of_a_statement_is_refused(problems: Problems) -> None:
    document = written()
    line = document["activities"][0]
    document["activities"] = [line | {"id": str(n), "name": "n" * 2_000} for n in range(600)]
    (problem,) = problems(document)

    assert problem.endswith(f"where at most {MAX_STATEMENT_BYTES} are read")


def test_rules_of_the_whole_are_told_beside_those_of_its_lines(problems: Problems) -> None:
    document = written()
    document["massKg"] = "-1"
    document["activities"].append(copy.deepcopy(document["activities"][0]))
    document["activities"][1]["joint"] = True
    document["activities"][1]["factor"]["gas"] = "co2"

    assert problems(document) == [
        "draft: massKg: -1 is not above zero",
        "draft: line power: a CO2-only factor on a line of kind energy, where the footprint is in "
        "CO2e",
    ]


def test_a_case_folder_is_read_as_this_nodes_own_products(shared: Path) -> None:
    folder = shared / "data/cases/nmc622_pack"
    drafts = read_drafts(folder, itself=ITSELF, name="Maker", period=YEAR)

    assert len(drafts) == 55
    assert {draft.issuer for draft in drafts} == {"maker.example"}
    assert {draft.producer.name for draft in drafts} == {"Maker"}
    assert {line.supplier for draft in drafts for line in draft.inputs} == {ITSELF}
    assert {draft.period for draft in drafts} == {YEAR}
    assert drafts[0].product.id == cases.urn("nmc622_pack", "P001")
    for draft in drafts:
        partial.reduce(draft, COMMITMENT)


def test_a_path_to_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="there is no such file or case folder"):
        read_drafts(tmp_path / "nothing", itself=ITSELF, name="Maker", period=YEAR)
