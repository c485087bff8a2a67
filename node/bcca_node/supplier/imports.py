"""Drafts from a file or a case folder: predicates without issuer and nonce.

A file holds one draft or a list of them. A draft is a partial-footprint predicate, bare or as
`{"predicateType": "urn:bcca:partial-footprint:v1", "predicate": {...}}`. The node writes `issuer`
and `nonce` itself, and `footprint` too where it is left out.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import inspect

from bcca_node.sheets.problems import Problems
from bcca_node.sheets.rows import read_text
from bcca_node.supplier.case_drafts import draft_predicates
from bcca_node.supplier.case_rows import Company
from bcca_node.supplier.cases import read_case
from bcca_node.supplier.json_form import EXAMPLES, JsonObject, differences, parse
from bcca_protocol import own, partial, statement, unlogged, wire
from bcca_protocol.errors import BccaError, RefusedError, UnusableError
from bcca_protocol.footprint import Stages
from bcca_protocol.inventory import VKEY, Amount, Input, Interval, Supplier
from bcca_protocol.issue import UNSET_NONCE
from bcca_protocol.keys import Algorithm, VerifierKey
from bcca_protocol.statement import PARTIAL_FOOTPRINT, PartialFootprint

WRITTEN_BY_THE_NODE = ("issuer", "nonce")
NO_LOG = "none"  # the key of a supplier without a log, as people write it
NOT_COMMITTED = "0" * 64
ANY_YEAR = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
ANY_UNIT = Amount(amount="1", unit="kg")


def read_drafts(
    path: Path, *, itself: Supplier, name: str, period: Interval
) -> list[PartialFootprint]:
    """Return the drafts in a file or a case folder, their nonces unset.

    `itself` and `name` are the node's: it makes every product of a case folder, in `period`.
    Raises UnusableError with everything that is wrong.
    """
    if path.is_dir():
        case = read_case(path)
        company = Company(id=itself.origin, name=name)
        return draft_predicates(
            case, list(case.processes), lambda _: itself, lambda _: company, period
        )
    if not path.is_file():
        raise UnusableError(f"{path}: there is no such file or case folder")
    problems = Problems(str(path))
    text = read_text(path.parent, path.name, problems)
    problems.refuse()
    return _read(text or "", itself.origin, problems)


def read_predicates(text: str, issuer: str) -> list[PartialFootprint]:
    """Return the drafts in JSON `text`, as in a file; raises UnusableError with every problem."""
    return _read(text, issuer, Problems("drafts"))


def _read(text: str, issuer: str, problems: Problems) -> list[PartialFootprint]:
    try:
        document = parse(text)
    except UnusableError as error:
        raise UnusableError(f"{problems.what}: {error}") from error
    drafts = list(_drafts(document, issuer, problems))
    problems.refuse()
    return drafts


def _drafts(document: object, issuer: str, problems: Problems) -> Iterator[PartialFootprint]:
    if document == []:
        problems.add("draft", "the list is empty")
    if not isinstance(document, list):
        yield from _draft(document, "draft", issuer, problems)
        return
    for index, item in enumerate(document):
        yield from _draft(item, f"draft[{index}]", issuer, problems)


def _draft(item: object, path: str, issuer: str, problems: Problems) -> Iterator[PartialFootprint]:
    """Yield the draft in `item`; nothing where there is a problem."""
    before = len(problems)
    predicate = _predicate(item, path, problems)
    if predicate is None:
        return
    for name in WRITTEN_BY_THE_NODE:
        if name in predicate:
            problems.add(f"{path}.{name}", "the node writes it when it publishes: leave it out")
    _name_unlogged(predicate)
    is_summed = "footprint" in predicate
    predicate |= {"issuer": issuer, "nonce": UNSET_NONCE}
    predicate.setdefault("footprint", JsonObject())
    for where, problem in differences(predicate, inspect.type_info(PartialFootprint), path):
        problems.add(where, problem)
    if len(problems) > before:
        return
    draft = msgspec.convert(predicate, PartialFootprint)
    for problem in _contradictions(draft, is_summed=is_summed):
        problems.add(path, problem)
    if len(problems) == before:
        yield draft if is_summed else _summed(draft)


def _name_unlogged(predicate: JsonObject) -> None:
    """Write the key of a supplier without a log where a person has written "none"."""
    inputs = predicate.get("inputs")
    for each in inputs if isinstance(inputs, list) else ():
        supplier = each.get("supplier") if isinstance(each, JsonObject) else None
        if isinstance(supplier, JsonObject) and supplier.get("key") == NO_LOG:
            with suppress(RefusedError):  # an origin that is none is told with its place
                supplier["key"] = unlogged.key_of(str(supplier.get("origin")))


def _predicate(item: object, path: str, problems: Problems) -> JsonObject | None:
    """Return the predicate in `item`, taken out of what names its type."""
    if not isinstance(item, JsonObject):
        problems.add(path, "not an object")
        return None
    if "predicateType" not in item:
        return item
    for name in item.twice:
        problems.add(f"{path}.{name}", "stands twice")
    for name in sorted(item.keys() - {"predicateType", "predicate"}):
        problems.add(f"{path}.{name}", "there is no such field beside predicateType and predicate")
    kind, predicate = item["predicateType"], item.get("predicate")
    if kind != PARTIAL_FOOTPRINT:
        problems.add(f"{path}.predicateType", f"{kind!r}, where {PARTIAL_FOOTPRINT} is imported")
    elif not isinstance(predicate, JsonObject):
        problems.add(f"{path}.predicate", "not an object")
    else:
        return predicate
    return None


def _contradictions(draft: PartialFootprint, *, is_summed: bool) -> Iterator[str]:
    """Yield what the rules of a statement refuse in each line alone, then in the whole."""
    replace = msgspec.structs.replace
    bare = replace(draft, activities=(), inputs=(), footprint=Stages(), location_footprint=None)
    yield from _refusal(bare, is_summed=False)
    # What is wrong with the whole would be told of every line, and hide what is wrong there.
    sound = replace(
        bare, period=ANY_YEAR, validity=None, declared_unit=ANY_UNIT, output=ANY_UNIT, mass_kg=None
    )
    for activity in draft.activities:
        yield from _refusal(replace(sound, activities=(activity,)), is_summed=False)
    for bought in draft.inputs:
        yield from _wrong_key(bought)
        yield from _refusal(replace(sound, inputs=(bought,)), is_summed=False)
    yield from _refusal(draft, is_summed=is_summed)


def _wrong_key(bought: Input) -> Iterator[str]:
    """Yield why no log can be verified with the key of an input, if none can (SPEC 4.2)."""
    try:
        key = VerifierKey.parse(bought.supplier.key)
        if key.algorithm is Algorithm.ED25519:
            return
        error = f"{key.label} is no log key"
    except RefusedError as refused:
        error = str(refused)
    yield f"line {bought.id}: {error}: write {EXAMPLES[VKEY].removesuffix(',')}"


def _refusal(draft: PartialFootprint, *, is_summed: bool) -> Iterator[str]:
    """Yield why a verifier would refuse the statement, if one would."""
    try:
        stated = draft if is_summed else _summed(draft)
        statement.decode(wire.encode(statement.of(stated)))
        partial.reduce(stated, NOT_COMMITTED)
    except BccaError as error:
        yield str(error)


def _summed(draft: PartialFootprint) -> PartialFootprint:
    """Return `draft` with its sums written in, but for a location-based one that it brings."""
    summed = own.with_footprint(draft)
    if draft.location_footprint is None:
        return summed
    return msgspec.structs.replace(summed, location_footprint=draft.location_footprint)
