"""Every field of every predicate: that it exists, that it is read back, and what it refuses."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from bcca_protocol import footprint, own, statement, wire
from bcca_protocol.envelope import Envelope, EnvelopeSignature
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
TOLD = re.compile(
    r"statement [0-9a-f]{64} of maker\.example refused at step (5 \(payload\)|7 \(content\)): ."
)

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

# What one could write where a number belongs, and what is no number (SPEC 3.1).
NO_NUMBERS = ["1", '""', '"1E-7"', '"-0"', '"1\\n"', '"1,5"', '"NaN"', '"\u0661"', '"1\u202e"']
TOO_MUCH = ["-0." + "0" * 60 + "1" * 35, "1" + "0" * MAX_NUMBER_CHARS]
NUMBERS = ["0", "-1", "0." + "0" * 56 + "1" * 34]


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
        "amountKind": "measured", "factor": factor(unit), **more,
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
    all_of_a_line = {
        "basis": "dry", "joint": True, "tags": ["packaging"], "amountGsd": "1.1",
        "evidence": DIGESTS,
        "quality": {"technological": "1", "geographical": "2", "temporal": "3"},
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
            line(
                "power", "production", "kWh", kind="energy", electricity=power, **all_of_a_line
            ),
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
    """Return a document with another value at one place."""
    if not place:
        return value
    changed = document.copy()
    inside = None if len(place) == 1 else document[place[0]]
    changed[place[0]] = with_value(inside, place[1:], value)
    return changed


@cache
def around(payload: bytes, place: Place) -> tuple[bytes, bytes]:
    """Return what stands before and behind a value of a payload."""
    mark = "the value"
    before, _, behind = written(with_value(json.loads(payload), place, mark)).partition(
        written(mark)
    )
    return before, behind


def with_text(payload: bytes, place: Place, text: bytes) -> bytes:
    """Return a payload with other bytes for one value."""
    before, behind = around(payload, place)
    return before + text + behind


def parts_of(kind: inspect.Type, name: str = "") -> Iterator[tuple[str, inspect.Type]]:
    """Yield the name and the type of every struct and of every value in a value of a type."""
    match kind:
        case inspect.StructType(fields=fields):
            yield name, kind
            for field in fields:
                yield from parts_of(field.type, f"{name}.{field.encode_name}".lstrip("."))
        case inspect.UnionType(types=kinds) | inspect.TupleType(item_types=kinds):
            for each in kinds:
                yield from parts_of(each, name)
        case inspect.VarTupleType(item_type=item):
            yield from parts_of(item, name)
        case inspect.NoneType():
            pass  # what is left out
        case _:
            yield name, kind


@cache
def kinds_in(payload: bytes) -> dict[str, inspect.Type]:
    """Return the type of every struct and of every value that may stand in a payload."""
    return dict(parts_of(inspect.type_info(type(statement.decode(payload)))))


def is_number(kind: inspect.Type) -> bool:
    """Say whether a type is `wire.Number` or `wire.Figure`."""
    return isinstance(kind, inspect.StrType) and (
        kind.pattern == wire.NUMBER or kind.max_length == MAX_NUMBER_CHARS
    )


@cache
def numbers_in(payload: bytes) -> dict[str, Place]:
    """Return where a number of each name stands first in a payload, driven by the types."""
    names = {name for name, kind in kinds_in(payload).items() if is_number(kind)}
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
        kind.cls.__name__: {
            each.encode_name + ("" if each.required else "?") for each in kind.fields
        }
        for _, kind in parts_of(inspect.type_info(Statement))
        if isinstance(kind, inspect.StructType)
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
        for name in kinds_in(payload)
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
def test_what_may_be_left_out_may_be_and_nothing_else(payload: bytes) -> None:
    document = json.loads(payload)
    for struct, place in structs_at(payload):
        here = at(document, place)
        required = {each.encode_name for each in struct.fields if each.required}
        for name in here:
            shorter = written(
                with_value(document, place, {each: here[each] for each in here if each != name})
            )

            if name in required | {"predicateType"}:
                with pytest.raises(MalformedError, match=name):
                    statement.decode(shorter)
            else:
                statement.decode(shorter)


def structs_at(payload: bytes) -> Iterator[tuple[inspect.StructType, Place]]:
    """Yield every struct of a payload, and the first place at which it stands."""
    for name, place in first_places(json.loads(payload)).items():
        kind = kinds_in(payload).get(name)
        if isinstance(kind, inspect.StructType):
            yield kind, place


# What they refuse


@every_payload
def test_an_unknown_field_is_refused_in_every_object(payload: bytes) -> None:
    document = json.loads(payload)
    for _, place in structs_at(payload):
        for unknown in ("Zz", "zz", ""):
            longer = with_value(document, place, at(document, place) | {unknown: "1"})

            with pytest.raises(MalformedError):
                statement.decode(written(longer))


@every_payload
def test_a_field_in_another_spelling_is_refused_in_every_object(payload: bytes) -> None:
    document = json.loads(payload)
    for _, place in structs_at(payload):
        here = at(document, place)
        for name in here:
            renamed = {name.upper() if each == name else each: here[each] for each in here}

            with pytest.raises(MalformedError):
                statement.decode(written(with_value(document, place, renamed)))


SHAPES: list[Json] = [None, 1, 1.5, {}, [], [[]], "", "\n", "\x1b", "\u202e", "x" * 2001]


@every_payload
@pytest.mark.parametrize("value", SHAPES, ids=repr)
def test_no_field_is_null_or_a_number_or_empty_or_of_another_shape(
    payload: bytes, value: Json
) -> None:
    # An empty number is refused when it is verified, see below; an empty set of components is one.
    fits = {"''": numbers_in(payload).keys(), "{}": empty_structs(payload)}.get(repr(value), ())
    for name, place in first_places(json.loads(payload)).items():
        if place and name not in fits:
            with pytest.raises(RefusedError) as refusal:
                statement.decode(with_text(payload, place, written(value)))

            assert type(refusal.value) is MalformedError


def empty_structs(payload: bytes) -> set[str]:
    """Return the names of the structs that need no field."""
    return {
        name
        for name, kind in kinds_in(payload).items()
        if isinstance(kind, inspect.StructType) and not any(each.required for each in kind.fields)
    }


@every_payload
def test_a_default_is_left_out_and_never_written(payload: bytes) -> None:
    document = json.loads(payload)
    for struct, place in structs_at(payload):
        for each in struct.fields:
            if each.default is False:
                spelled = with_value(document, (*place, each.encode_name), False)

                with pytest.raises(MalformedError, match="not in canonical form"):
                    statement.decode(written(spelled))


def verified(chain: Any, payloads: Iterable[bytes]) -> list[Any]:
    """Enter each payload; return what is found in bulk, a refusal where it is refused."""
    maker = chain.company(MAKER)
    signature = EnvelopeSignature(keyid=maker.statement_key.key.label, signature=bytes(64))
    data = [
        maker.enter_envelope(
            Envelope(payload_type=PAYLOAD_TYPE, payload=each, signatures=(signature,))
        )
        for each in payloads
    ]
    log = chain.log(maker)
    found: list[Any] = []
    for each in data:
        try:
            found.append(verify_in_bulk(each, log))
        except RefusedError as error:
            found.append(error)
    return found


def test_every_number_of_every_predicate_is_tried_here() -> None:
    counts = [len(numbers_in(payload)) for payload in PAYLOADS.values()]
    tried = {name for payload in PAYLOADS.values() for name in numbers_in(payload)}
    numbers = {
        name
        for payload in PAYLOADS.values()
        for name, kind in kinds_in(payload).items()
        if is_number(kind)
    }

    assert numbers - tried == set()
    assert counts == [158, 158, 144, 1]


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
    places = numbers_in(payload)
    spoilt = [with_text(payload, place, text.encode()) for place in places.values()]

    found = dict(zip(places, verified(chain, spoilt), strict=True))

    assert [name for name, each in found.items() if type(each) not in kinds] == []
    told = [str(each) for each in found.values()]
    assert [each for each in told if not TOLD.match(each) or not each.isprintable()] == []


@every_payload
@pytest.mark.parametrize("text", NUMBERS)
def test_a_plain_decimal_is_read_and_refused_only_for_what_it_says(
    payload: bytes, text: str, chain: Any
) -> None:
    places = numbers_in(payload).values()
    changed = [with_text(payload, place, f'"{text}"'.encode()) for place in places]

    for each in verified(chain, changed):
        assert not isinstance(each, MalformedError | LimitError), str(each)
