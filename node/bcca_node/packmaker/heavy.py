"""The heavy steps of a run: plain functions over values that travel between processes (SPEC 6.3).

They are mapped with a `concurrent.futures.Executor`: processes of this machine now, a cluster's
later. None of them asks anybody or writes anything, and in which order they end has no effect.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bcca_node.packmaker import facts
from bcca_node.packmaker.facts import Said
from bcca_node.storage import pages
from bcca_node.storage.pages import Line
from bcca_protocol import verify
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import BccaError
from bcca_protocol.facts import Fact
from bcca_protocol.partial import Part
from bcca_protocol.rollup import RollUp
from bcca_protocol.verify import Verified, VerifiedLog

MAX_TOLD = 8  # refusals of one page that are told: the first say what is wrong with it


class Checked(NamedTuple):
    """What holds of a page, what is in it by line, and what does not hold.

    `content` is the page of what holds, None where that is the very page that was checked.
    """

    content: bytes | None
    lines: Sequence[Line]
    facts: bytes
    refused: Sequence[str]


def check_page(content: bytes, log: VerifiedLog, since: int = 0) -> Checked:
    """Return what holds of a page of the owner of `log`, each statement verified in bulk.

    Left out is what was entered before `since`. Raises MalformedError, LimitError for what is no
    page. A statement that is refused is told, and takes no other with it.
    """
    came = pages.opened(content)
    envelopes = came if since == 0 else [each for each in came if not _is_before(each, log, since)]
    kept: dict[str, tuple[Envelope | bytes, Said, Line]] = {}
    refused: list[str] = []
    for envelope, found in zip(envelopes, _verified(envelopes, log, refused), strict=True):
        if found is not None and isinstance(found.fact, Part | RollUp):
            fact = found.fact
            name = fact.commitment
            kept[name] = envelope, Said(found.index, found.nonce, fact), _line(found, fact)
    left = None  # it is not sent back to where it came from
    if len(kept) != len(came):
        left = pages.pack(_written(envelope) for envelope, _, _ in kept.values())
    return Checked(
        content=left,
        lines=[line for _, _, line in kept.values()],
        facts=facts.encode(said for _, said, _ in kept.values()),
        refused=refused[:MAX_TOLD],
    )


def check_signatures(content: bytes, wanted: Sequence[int], log: VerifiedLog) -> list[str]:
    """Return why the own signature of each wanted line of a page fails, nothing if it holds."""
    envelopes = pages.opened(content)
    return [_why_not(envelopes[at], log) for at in wanted]


def _is_before(envelope: Envelope | bytes, log: VerifiedLog, since: int) -> bool:
    """Say whether a statement was entered before an index; what is none is looked at later."""
    try:
        found = Envelope.parse(envelope) if isinstance(envelope, bytes) else envelope
        entry = verify.entry_of(found, 0)
    except BccaError:
        return False
    record = log.history.statements.get(entry.commitment)
    return record is not None and record.index < since


def _verified(
    envelopes: Sequence[Envelope | bytes], log: VerifiedLog, refused: list[str]
) -> Sequence[Verified[Fact] | None]:
    """Return what each envelope says; None where it is refused, and say why."""
    try:
        return list(verify.verify_all_in_bulk(envelopes, log))
    except BccaError:
        pass  # one of them: each by itself says which
    found: list[Verified[Fact] | None] = []
    for envelope in envelopes:
        try:
            found.append(verify.verify_in_bulk(envelope, log))
        except BccaError as error:
            found.append(None)
            refused.append(str(error))
    return found


def _written(envelope: Envelope | bytes) -> bytes:
    return envelope if isinstance(envelope, bytes) else envelope.encode()


def _line(found: Verified[Fact], fact: Part | RollUp) -> Line:
    sharing = fact.sharing if isinstance(fact, Part) else fact.statement.sharing
    return Line(fact.commitment, found.index, fact.product, sharing)


def _why_not(envelope: Envelope | bytes, log: VerifiedLog) -> str:
    try:
        verify.require_signed(envelope, log)
    except BccaError as error:
        return str(error)
    return ""
