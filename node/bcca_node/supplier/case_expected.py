"""The one optional JSON file of a case folder: what it is called, and which flow it is about."""

import decimal
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from bcca_node.sheets.problems import Problems
from bcca_node.sheets.rows import Folder, plain_number, read_text
from bcca_node.supplier.case_links import Known, meant_unit
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.quantity import arithmetic, convert, positive, unit_named
from bcca_protocol.wire import showable

EXPECTED = "expected.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The reference flow: so much, in the process's own unit."""

    process_id: str
    amount: Decimal


def read(folder: Folder, problems: Problems) -> Mapping[str, object] | None:
    """Return expected.json as parsed, None where there is none or that is a problem."""
    if not (folder / EXPECTED).is_file():
        return None
    text = read_text(folder, EXPECTED, problems)
    if text is None:
        return None
    try:
        parsed: object = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        problems.add(EXPECTED, f"not JSON: {error}")
        return None
    if not isinstance(parsed, dict):
        problems.add(EXPECTED, f"a JSON {type(parsed).__name__}, where an object belongs")
        return None
    return MappingProxyType(parsed)


def told(expected: Mapping[str, object] | None, name: str) -> str | None:
    """Return a text of expected.json that a statement can quote, None where there is none."""
    text = (expected or {}).get(name)
    if not isinstance(text, str) or not text or showable(text) != text:
        return None
    return text[:MAX_TEXT_CHARS]


def flow(expected: Mapping[str, object] | None, known: Known, problems: Problems) -> Flow | None:
    """Return the reference flow that expected.json names, None where it names none."""
    named = (expected or {}).get("reference_flow")
    if named is None or known.process_ids is None:
        return None
    try:
        return _flow(named, known)
    except BccaError as error:
        problems.add(EXPECTED, f"reference_flow: {error}")
        return None


def _flow(named: object, known: Known) -> Flow | None:
    match named:
        case {"process_id": str(process_id), **more}:
            pass
        case _:
            raise UnusableError("has no process_id")
    if process_id not in (known.process_ids or ()):
        raise UnusableError(f"process_id {process_id!r} is not in processes.csv")
    process = known.processes.get(process_id)
    if process is None:
        return None
    amount = positive(plain_number(str(more.get("amount", 1))), "amount")
    if isinstance(unit := more.get("unit"), str):
        with decimal.localcontext(arithmetic()):
            amount = convert(amount, meant_unit(unit_named(unit), process.unit), process.unit)
    return Flow(process_id=process_id, amount=amount)
