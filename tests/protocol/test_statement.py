"""Every field of every predicate: that it exists, that it is read back, and what it refuses."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from bcca_protocol import envelope, footprint, own, statement, wire
from bcca_protocol.errors import LimitError, MalformedError, RefusedError
from bcca_protocol.footprint import COMPONENTS, STAGES
from bcca_protocol.limits import MAX_NUMBER_CHARS
from bcca_protocol.statement import FootprintRollUp, Opinion, PartialFootprint, Statement
from bcca_protocol.verify import PAYLOAD_TYPE, verify_in_bulk

Json = Any
Predicate = PartialFootprint | FootprintRollUp | Opinion
Place = tuple[str | int, ...]  # where a value stands in a document

MAKER = "maker.example"
DIGESTS = ["ab" * 32, "cd" * 32]

# The fields of the first version of every predicate, `?` behind those that may be left out. They
# are signed: a new field means a new predicate version, so this table never changes.
FIELDS = """
PartialStatement _type subject predicate
RollUpStatement _type subject predicate
OpinionStatement _type subject predicate
Subject name digest
Digest sha256

PartialFootprint issuer nonce product site? batch? producer period validity? corrects? follows?
PartialFootprint sharing declaredUnit massKg? output method exclusions? allocation? activities
PartialFootprint inputs materials? carbonContent? footprint locationFootprint?
FootprintRollUp issuer nonce product site? batch? producer period validity? corrects? follows?
FootprintRollUp sharing declaredUnit massKg? method materials? carbonContent? exemptedPercent
FootprintRollUp footprint locationFootprint? battery? weights uncertainty? rules referenceDate logs
FootprintRollUp manifest? manifestDigest? incomplete?
Opinion issuer nonce product site? batch? producer period validity? corrects? follows? sharing
Opinion about criteria scope covers level conclusion materialityPercent accreditation? sampling?
Opinion findings expires independence

Product id name classifications?
Classification scheme code
Site id name? country? subdivision?
Producer name ids?
Interval start end
Amount amount unit
Method standards rules? gwp recycling electricity massBalance? prospective? boundary?
Exclusion name reason estimate?
Allocation basis jointProcess weight coProducts
CoProduct name amount unit weight
Material name kg recycledPre? recycledPost? chainOfCustody? virginFactor? recycledFactor?
CarbonContent fossil biogenic? recycled?
Activity id name stage kind amount unit basis? amountKind factor joint? tags? quality? amountGsd?
Activity electricity? leg? evidence?
Quality technological geographical temporal
Electricity supply instrument? locationFactor?
Instrument type vintage market claimHandle?
Leg mode from to km massKg
Factor kind source version? dataset geography unit gas scope? gwp? values gsd?
Input id product supplier site? amount unit basis? yield? stages joint? statement? acquired?
Input delivery? bomPosition?
Supplier origin key
Components fossil? biogenicNonCO2? biogenicCO2? biogenicUptake? landUseChange? landManagement?
Components landRemovals? technologicalRemovals? ccsCapture? aviation? packaging?
Stages rawMaterial? production? distribution? use? endOfLife?

Battery model chemistry category grossKwh? ratedKwh? usableKwh? serviceYears? fullCyclesPerYear?
Battery perKwhDelivered? ruleSet? evidence?
Weights absolute primary primaryAmount primaryFactor signed introduced limited reasonable default
Weights gapBound quality
QualitySums covered technological geographical temporal
Uncertainty gsd datasets
Sensitivity dataset gsd kg
Rules name digest
ReadLog origin size root
Edge consumer line amount resolved
Resolved commitment? substitute? gap?
Substitute factor reason
Gap reason bound?
Finding id text status
Independence statement affiliations
"""

# What one could write where a number belongs, and what is no `wire.Number`: SPEC 3.1.
NO_NUMBERS = [
    '1', '1.5', '1e-7', '-0', '-0.0', 'null', 'true', '[]', '{}', '""', '"1E-7"', '"1e2"', '"-0"',
    '"-0.00"', '"1\\n"', '"\\n1"', '" 1"', '"1 "', '"01"', '"00"', '"+1"', '".5"', '"1."', '"1,5"',
    '"1,"', '","', '"1_0"', '"0x1"', '"NaN"', '"Infinity"', '"-"', '"--1"', '"\u0661"', '"\uff11"',
    '"1\u00a0"', '"\u22121"', '"1\u202e"', '"1\\u0000"', '"\\u0031"', '"1/2"', '"1%"', '"a"',
]  # fmt: skip
TOO_MUCH = [
    "1" * 35, "-" + "1" * 35, "0." + "1" * 35, "1" + "0" * 33 + ".1", "0" + "." + "0" * 60 + "1" * 35,
    "1" + "0" * MAX_NUMBER_CHARS, "0." + "0" * MAX_NUMBER_CHARS,
]  # fmt: skip


def common() -> Json:
    """Return what every predicate says, with every optional field."""
    return {
        "issuer": MAKER,
        "nonce": "AAAAAAAAAAAAAAAAAAAAAA==",
        "product": {
            "id": "urn:test:cell",
            "name": "cell",
            "classifications": [{"scheme": "CN", "code": "8507 60 00"}],
        },
        "site": {"id": "1", "name": "Plant 1", "country": "DE", "subdivision": "DE-BW"},
        "batch": "2025-W03",
        "producer": {"name": "Maker", "ids": ["urn:lei:529900T8BM49AURSDO55"]},
        "period": {"start": "2025-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        "validity": {"start": "2026-01-01T00:00:00Z", "end": "2028-01-01T00:00:00Z"},
        "corrects": DIGESTS[0],
        "follows": DIGESTS[1],
        "sharing": "downstream",
    }


def all_components() -> Json:
    """Return a number for each component, none below 0 or above that must not be."""
    negative = ("biogenicUptake", "landRemovals", "technologicalRemovals", "ccsCapture")
    return {
        name: f"{'-' if name in negative else ''}0.{number}"
        for number, name in enumerate(COMPONENTS, 1)
    }


def factor(unit: str) -> Json:
    return {
        "kind": "secondary", "source": "a data base", "version": "3.11", "dataset": "a process",
        "geography": "GLO", "unit": unit, "gas": "co2e", "scope": "lifeCycle", "gwp": "AR6",
        "values": all_components(), "gsd": "1.2",
    }  # fmt: skip


def line(name: str, stage: str, unit: str = "kg", **more: Json) -> Json:
    return {
        "id": name, "name": name, "stage": stage, "kind": "material", "amount": "2", "unit": unit,
        "basis": "dry", "amountKind": "measured", "factor": factor(unit), "joint": True,
        "tags": ["packaging"], "amountGsd": "1.1", "evidence": DIGESTS,
        "quality": {"technological": "1", "geographical": "2", "temporal": "3"}, **more,
    }  # fmt: skip


def method() -> Json:
    return {
        "standards": ["ISO 14067"], "rules": ["PEFCR"], "gwp": "AR6", "recycling": "cff",
        "electricity": "market", "massBalance": True, "prospective": True, "boundary": "to gate",
    }  # fmt: skip


def materials() -> Json:
    return [
        {
            "name": "Co", "kg": "0.2", "recycledPre": "0.1", "recycledPost": "0.2",
            "chainOfCustody": "mass balance", "virginFactor": "9", "recycledFactor": "3",
        }
    ]  # fmt: skip


def partial() -> Predicate:
    """Return a partial footprint with every optional field, its sums right."""
    power = {
        "supply": "contract",
        "instrument": {
            "type": "GO", "vintage": "2025", "market": "EU", "claimHandle": DIGESTS[0]
        },
        "locationFactor": factor("kWh"),
    }  # fmt: skip
    leg = {"mode": "lorry", "from": "a", "to": "b", "km": "100", "massKg": "20"}
    document = common() | {
        "declaredUnit": {"amount": "1", "unit": "kg"},
        "massKg": "1",
        "output": {"amount": "4", "unit": "kg"},
        "method": method(),
        "exclusions": [{"name": "screws", "reason": "small", "estimate": "0.01"}],
        "allocation": {
            "basis": "economic",
            "jointProcess": "smelting",
            "weight": "3",
            "coProducts": [{"name": "slag", "amount": "1", "unit": "kg", "weight": "0.5"}],
        },
        "activities": [
            line("power", "production", "kWh", kind="energy", electricity=power),
            line("freight", "distribution", "tkm", kind="transport", leg=leg),
            *(line(stage, stage) for stage in STAGES),
        ],
        "inputs": [
            {
                "id": "ore", "product": "urn:test:ore", "site": "2", "amount": "3", "unit": "kg",
                "supplier": {"origin": "ore.example", "key": "ore.example+01234567+AAAA"},
                "basis": "contained:Co", "yield": "0.9", "stages": "rawMaterial", "joint": True,
                "statement": DIGESTS[0], "acquired": common()["period"], "delivery": "buyer",
                "bomPosition": "10",
            }
        ],
        "materials": materials(),
        "carbonContent": {"fossil": "0.1", "biogenic": "0.2", "recycled": "0.3"},
        "footprint": {},
    }  # fmt: skip
    return own.with_footprint(msgspec.convert(document, PartialFootprint))


def rolled_up(**more: Json) -> Predicate:
    """Return a roll-up with every optional field but the one of manifest and its digest."""
    cells = {stage: all_components() for stage in STAGES}
    whole = footprint.total(footprint.decode(msgspec.convert(cells, footprint.Stages)))
    names = (
        "absolute", "primary", "primaryAmount", "primaryFactor", "signed", "introduced", "limited",
        "reasonable", "default", "gapBound",
    )  # fmt: skip
    quality = ("covered", "technological", "geographical", "temporal")
    document = common() | {
        "declaredUnit": {"amount": "1", "unit": "kg"},
        "massKg": "1",
        "method": method(),
        "materials": materials(),
        "carbonContent": {"fossil": "0.1", "biogenic": "0.2", "recycled": "0.3"},
        "exemptedPercent": "0.5",
        "footprint": cells,
        "locationFootprint": cells,
        "battery": {
            "model": "M", "chemistry": "NMC622", "category": "M1", "grossKwh": "0.6",
            "ratedKwh": "0.55", "usableKwh": "0.5", "serviceYears": "8", "fullCyclesPerYear": "250",
            "perKwhDelivered": f"{whole / 1000:f}", "ruleSet": "EU", "evidence": DIGESTS,
        },
        "weights": dict.fromkeys(names, "2") | {"quality": dict.fromkeys(quality, "1")},
        "uncertainty": {
            "gsd": "1.3", "datasets": [{"dataset": "a process", "gsd": "1.2", "kg": "-1"}]
        },
        "rules": {"name": "neutral", "digest": DIGESTS[0]},
        "referenceDate": "2026-06-01T00:00:00Z",
        "logs": [{"origin": MAKER, "size": "12", "root": "A" * 43 + "="}],
        "incomplete": True,
    } | more  # fmt: skip
    return msgspec.convert(document, FootprintRollUp)


def rolled_up_openly() -> Predicate:
    resolved = (
        {"commitment": DIGESTS[0]},
        {"substitute": {"factor": factor("kg"), "reason": "no answer"}},
        {"gap": {"reason": "no answer", "bound": "5"}},
    )
    return rolled_up(
        manifest=[
            {"consumer": DIGESTS[1], "line": str(number), "amount": "3", "resolved": each}
            for number, each in enumerate(resolved)
        ]
    )


def rolled_up_blindly() -> Predicate:
    return rolled_up(manifestDigest=DIGESTS[0])


def opinion() -> Predicate:
    document = common() | {
        "about": DIGESTS,
        "criteria": ["ISO 14064-3"],
        "scope": "cells",
        "covers": "cradleToGate",
        "level": "limited",
        "conclusion": "modified",
        "materialityPercent": "5",
        "accreditation": "D-VS-1",
        "sampling": "all",
        "findings": [{"id": "1", "text": "a typing error", "status": "closed"}],
        "expires": "2027-01-01T00:00:00Z",
        "independence": {"statement": "no stake", "affiliations": ["none"]},
    }
    return msgspec.convert(document, Opinion)


PREDICATES = {
    "a partial footprint": partial(),
    "a roll-up with its manifest": rolled_up_openly(),
    "a roll-up without": rolled_up_blindly(),
    "an opinion": opinion(),
}
PAYLOADS = {name: wire.encode(statement.of(each)) for name, each in PREDICATES.items()}
every_payload = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)


def written(document: Json) -> bytes:
    """Return a document as canonical JSON: its names are ASCII, its numbers are texts."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def places_in(document: Json, here: Place = ()) -> Iterator[tuple[str, Place]]:
    """Yield every place of a document, the whole first: its name without indices, and itself."""
    yield ".".join(str(step) for step in here if isinstance(step, str)), here
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for step, inside in items:
        yield from places_in(inside, (*here, step))


def first_places(document: Json) -> dict[str, Place]:
    """Return where a value of each name stands first, in no case a list."""
    found: dict[str, Place] = {}
    for name, place in places_in(document):
        if not isinstance(at(document, place), list):
            found.setdefault(name, place)
    return found


def at(document: Json, place: Place) -> Json:
    for step in place:
        document = document[step]
    return document


def with_value(document: Json, place: Place, value: Json) -> Json:
    """Return a copy of a document with another value at one place."""
    changed = copy.deepcopy(document)
    at(changed, place[:-1])[place[-1]] = value
    return changed


def structs_in(kind: inspect.Type) -> Iterator[inspect.StructType]:
    """Yield every struct that may stand in a value of a type."""
    match kind:
        case inspect.StructType(fields=fields):
            yield kind
            for each in fields:
                yield from structs_in(each.type)
        case inspect.UnionType(types=types):
            for each in types:
                yield from structs_in(each)
        case inspect.VarTupleType(item_type=item):
            yield from structs_in(item)
        case inspect.TupleType(item_types=items):
            for each in items:
                yield from structs_in(each)


def values_of(kind: inspect.Type, name: str = "") -> Iterator[tuple[str, inspect.Type]]:
    """Yield the name and the type of every value that may stand in a value of a type."""
    match kind:
        case inspect.StructType(fields=fields):
            for each in fields:
                yield from values_of(each.type, f"{name}.{each.encode_name}".lstrip("."))
        case inspect.UnionType(types=types):
            for each in types:
                yield from values_of(each, name)
        case inspect.VarTupleType(item_type=item):
            yield from values_of(item, name)
        case inspect.TupleType(item_types=items):
            for each in items:
                yield from values_of(each, name)
        case _:
            yield name, kind


def type_of(payload: bytes) -> inspect.Type:
    return inspect.type_info(type(statement.decode(payload)))


def is_number(kind: inspect.Type) -> bool:
    """Say whether a type is `wire.Number` or `wire.Figure`."""
    return isinstance(kind, inspect.StrType) and (
        kind.pattern == wire.NUMBER or kind.max_length == MAX_NUMBER_CHARS
    )


def numbers_in(payload: bytes) -> dict[str, Place]:
    """Return where a number of each name stands first in a payload, driven by the types."""
    names = {name for name, kind in values_of(type_of(payload)) if is_number(kind)}
    found = first_places(json.loads(payload))
    return {name: found[name] for name in sorted(names & found.keys())}


# That the fields exist


def test_the_fields_of_the_first_version_are_these() -> None:
    expected: dict[str, set[str]] = {}
    for row in filter(None, FIELDS.split("\n")):
        kind, *names = row.split(" ")
        assert expected.setdefault(kind, set()).isdisjoint(names)
        expected[kind].update(names)
    found = {
        struct.cls.__name__: {
            each.encode_name + ("" if each.required else "?") for each in struct.fields
        }
        for struct in structs_in(inspect.type_info(Statement))
    }

    assert found == expected


def test_the_documents_here_leave_out_no_field() -> None:
    given = {
        (type(statement.decode(payload)), name)
        for payload in PAYLOADS.values()
        for name, _ in places_in(json.loads(payload))
    }
    fields = {
        (type(statement.decode(payload)), name)
        for payload in PAYLOADS.values()
        for name, _ in values_of(type_of(payload))
    }

    assert fields - given == set()


def test_the_predicates_are_found_by_their_types() -> None:
    kinds = {
        b"urn:bcca:partial-footprint:v1": PartialFootprint,
        b"urn:bcca:footprint:v1": FootprintRollUp,
        b"urn:bcca:opinion:v1": Opinion,
    }
    for payload in PAYLOADS.values():
        (named,) = (kind for kind in kinds if b'"predicateType":"%b"' % kind in payload)

        assert type(statement.decode(payload).predicate) is kinds[named]


# That they are read back


@pytest.mark.parametrize("predicate", PREDICATES.values(), ids=PREDICATES)
def test_a_predicate_with_every_optional_field_is_read_back(predicate: Predicate) -> None:
    made = statement.of(predicate)

    assert statement.decode(wire.encode(made)) == made
    assert made.predicate == predicate


@every_payload
def test_what_is_written_is_what_any_json_library_writes_with_sorted_names(payload: bytes) -> None:
    assert written(json.loads(payload)) == payload


@every_payload
def test_a_statement_with_every_optional_field_is_believed(payload: bytes, chain: Any) -> None:
    (fact,) = verified(chain, [payload])

    assert not isinstance(fact, RefusedError)
    assert fact.is_current


@every_payload
def test_every_optional_field_may_be_left_out(payload: bytes) -> None:
    document = json.loads(payload)
    found = first_places(document)
    for struct, place in structs_at(payload):
        for each in struct.fields:
            name = ".".join([*(s for s in place if isinstance(s, str)), each.encode_name])
            if each.encode_name in at(document, place):
                shorter = copy.deepcopy(document)
                del at(shorter, place)[each.encode_name]
                if each.required or name == "predicateType":
                    with pytest.raises(MalformedError, match=each.encode_name):
                        statement.decode(written(shorter))
                else:
                    statement.decode(written(shorter))
    assert found


def structs_at(payload: bytes) -> Iterator[tuple[inspect.StructType, Place]]:
    """Yield every struct of a payload, and the first place at which it stands."""
    document = json.loads(payload)
    kinds = dict(structs_by_name(type_of(payload)))
    for name, place in first_places(document).items():
        if isinstance(at(document, place), dict):
            yield kinds[name], place


def structs_by_name(kind: inspect.Type, name: str = "") -> Iterator[tuple[str, inspect.StructType]]:
    match kind:
        case inspect.StructType(fields=fields):
            yield name, kind
            for each in fields:
                yield from structs_by_name(each.type, f"{name}.{each.encode_name}".lstrip("."))
        case inspect.UnionType(types=types):
            for each in types:
                yield from structs_by_name(each, name)
        case inspect.VarTupleType(item_type=item):
            yield from structs_by_name(item, name)
        case inspect.TupleType(item_types=items):
            for each in items:
                yield from structs_by_name(each, name)


# What they refuse


@every_payload
def test_an_unknown_field_is_refused_in_every_object(payload: bytes) -> None:
    document = json.loads(payload)
    for _, place in structs_at(payload):
        for unknown in ("Zz", "zz", "name2", ""):
            longer = copy.deepcopy(document)
            at(longer, place)[unknown] = "1"

            with pytest.raises(MalformedError):
                statement.decode(written(longer))


@every_payload
def test_a_field_in_another_spelling_is_refused_in_every_object(payload: bytes) -> None:
    document = json.loads(payload)
    for _, place in structs_at(payload):
        for name in at(document, place):
            renamed = copy.deepcopy(document)
            at(renamed, place)[name.upper()] = at(renamed, place).pop(name)

            with pytest.raises(MalformedError):
                statement.decode(written(renamed))


@every_payload
@pytest.mark.parametrize(
    "value", [None, 1, 1.5, {}, [], [[]], ["\n"], "\x1b", "\u202e", "x" * 2001]
)
def test_no_field_is_null_or_a_number_or_of_another_shape(payload: bytes, value: Json) -> None:
    document = json.loads(payload)
    for name, place in first_places(document).items():
        if place and not (value == {} and may_be_empty(name, payload)):
            with pytest.raises(MalformedError):
                statement.decode(written(with_value(document, place, value)))


def may_be_empty(name: str, payload: bytes) -> bool:
    """Say whether a struct has no field that it needs."""
    struct = dict(structs_by_name(type_of(payload))).get(name)
    return struct is not None and not any(each.required for each in struct.fields)


@every_payload
def test_a_default_is_left_out_and_never_written(payload: bytes) -> None:
    document = json.loads(payload)
    for struct, place in structs_at(payload):
        for each in struct.fields:
            if each.default is False:
                spelled = with_value(document, (*place, each.encode_name), False)

                with pytest.raises(MalformedError, match="not in canonical form"):
                    statement.decode(written(spelled))


def verified(chain: Any, payloads: list[bytes]) -> list[Any]:
    """Sign and enter each payload; return what a verifier finds, a refusal where it refuses."""
    maker = chain.company(MAKER)
    signed = [envelope.sign(PAYLOAD_TYPE, each, maker.statement_key) for each in payloads]
    data = [maker.enter_envelope(each) for each in signed]
    log = chain.log(maker)
    found: list[Any] = []
    for each in data:
        try:
            found.append(verify_in_bulk(each, log))
        except RefusedError as error:
            found.append(error)
    return found


def test_every_number_of_every_predicate_is_tried_here() -> None:
    counts = {name: len(numbers_in(payload)) for name, payload in PAYLOADS.items()}
    missing = {
        name
        for payload in PAYLOADS.values()
        for name, kind in values_of(type_of(payload))
        if is_number(kind) and not any(name in numbers_in(each) for each in PAYLOADS.values())
    }

    assert missing == set()
    assert min(counts.values()) == 1
    cells = len(STAGES) * len(COMPONENTS)
    assert sum(count > 2 * cells for count in counts.values()) == 3


@every_payload
@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_plain_decimal_is_refused_in_every_number_of_a_verified_statement(
    payload: bytes, text: str, chain: Any
) -> None:
    require_refused(chain, payload, text, MalformedError)


@every_payload
@pytest.mark.parametrize("digits", TOO_MUCH)
def test_what_has_too_many_digits_is_refused_in_every_number_of_a_verified_statement(
    payload: bytes, digits: str, chain: Any
) -> None:
    require_refused(chain, payload, f'"{digits}"', LimitError, MalformedError)


def require_refused(chain: Any, payload: bytes, text: str, *kinds: type[RefusedError]) -> None:
    """Write `text` in the place of each number of a payload; each time it is refused, and told."""
    document = json.loads(payload)
    places = numbers_in(payload)
    mark = '"the place of the number"'
    spoilt = [
        written(with_value(document, place, json.loads(mark))).replace(mark.encode(), text.encode())
        for place in places.values()
    ]

    found = dict(zip(places, verified(chain, spoilt), strict=True))

    assert [name for name, each in found.items() if type(each) not in kinds] == []
    for each in found.values():
        assert str(each).startswith("statement ")
        assert " refused at step 5 (payload): " in str(each) or " 7 (content): " in str(each)
        assert str(each).isprintable()


NUMBERS = ["0", "1", "-1", "0.10", "-0.1", "1" * 34, "0." + "0" * 56 + "1" * 34, "100000000000000"]


@every_payload
@pytest.mark.parametrize("text", NUMBERS)
def test_a_plain_decimal_is_read_and_refused_only_for_what_it_says(
    payload: bytes, text: str, chain: Any
) -> None:
    document = json.loads(payload)
    changed = [written(with_value(document, place, text)) for place in numbers_in(payload).values()]

    for each in verified(chain, changed):
        assert not isinstance(each, MalformedError | LimitError), str(each)
