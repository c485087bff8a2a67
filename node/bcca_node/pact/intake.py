"""Footprints of others taken in: judged, and kept as they came as unsigned data (SPEC 16.5).

What comes twice is kept once. A footprint never changes but for its status: other content under a
known id is kept beside the first, and counts for nothing unless somebody accepts it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import msgspec
from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.pact import extension, model, reading
from bcca_node.pact.fields import shown
from bcca_node.pact.judge import Judged, judge
from bcca_node.pact.reading import Members, Tree
from bcca_node.storage import foreign
from bcca_node.storage.foreign import Foreign, Problem, Term, Trust, Weight
from bcca_protocol import period
from bcca_protocol.errors import LimitError, MalformedError, RefusedError, UnusableError
from bcca_protocol.wire import HEX_DIGEST, showable

MAX_KEPT = 200_000  # contents of one partner, about: two lists as long as any that is read
MAX_WHY_CHARS = 500  # a sentence or two on why it may be used all the same
MAX_TERMS = 200  # ids by which one footprint is found; the others are kept in it all the same
MAX_PRECEDING = 200  # footprints of which one takes the place

_DIGEST = re.compile(HEX_DIGEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a footprint that came: `footprint` is as it is kept.

    `is_new` says whether its content had not come before.
    """

    footprint: Foreign
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of several: those that were taken, and in a sentence why others were not."""

    taken: tuple[Taken, ...]
    refused: tuple[str, ...]


def take(node: Node, session: Session, partner: str, footprint: bytes, at: int) -> Taken:
    """Judge and keep a footprint that came from partner `pact:NAME` at POSIX second `at`.

    Raises MalformedError for what is no JSON object or has no id by which it could be kept, and
    LimitError for what is too long, too deep or one too many. Nothing of it is verified here: see
    `pact.proving`.
    """
    _require_room(session, partner)
    return _take(node, session, partner, footprint, at)


def take_all(
    node: Node,
    session: Session,
    partner: str,
    footprints: Sequence[bytes],
    at: int,
) -> Batch:
    """Take several, each for itself: what is wrong with one keeps out no other."""
    taken: list[Taken] = []
    refused: list[str] = []
    try:
        _require_room(session, partner)
    except LimitError as error:
        return Batch(taken=(), refused=(str(error),))
    for place, each in enumerate(footprints):
        try:
            taken.append(_take(node, session, partner, each, at))
        except RefusedError as error:
            refused.append(f"number {place + 1}: {error}")
    return Batch(taken=tuple(taken), refused=tuple(refused))


def accept(session: Session, footprint: Foreign, why: str, at: int) -> Foreign:
    """Let a footprint be used in spite of its fatal problems; return it as it is kept.

    Raises UnusableError without a reason, and for one that is deprecated or counts as signed.
    """
    if not why.strip() or len(why) > MAX_WHY_CHARS:
        raise UnusableError(
            f"--reason of {len(why)} characters: write 1 to {MAX_WHY_CHARS} on why it may be used"
        )
    if footprint.is_deprecated:
        raise UnusableError(f"footprint {footprint.id} is deprecated: nothing uses it")
    if footprint.trust == Trust.SIGNED:
        raise UnusableError(
            f"footprint {footprint.id} counts as signed: its statement {footprint.statement} feeds "
            "runs, where only an unsigned footprint is accepted: leave it as it is"
        )
    kept = replace(footprint, accepted=at, why=why.strip())
    foreign.update(session, kept)
    return kept


def unaccept(session: Session, footprint: Foreign) -> Foreign:
    """Take that back; return the footprint as it is kept."""
    kept = replace(footprint, accepted=None, why="")
    foreign.update(session, kept)
    return kept


def read(footprint: Foreign) -> Judged:
    """Return what a kept footprint says; its numbers as they were received."""
    found = reading.tree(footprint.content, f"footprint {footprint.id}")
    return judge(found, at=footprint.received)


def _require_room(session: Session, partner: str) -> None:
    count = foreign.count(session, partner)
    if count >= MAX_KEPT:
        raise LimitError(
            f"footprints of {partner}: {count} are kept, and {MAX_KEPT} are the most: what comes "
            "now is not kept"
        )


def _take(node: Node, session: Session, partner: str, footprint: bytes, at: int) -> Taken:
    what = f"a footprint of {partner}"
    found = reading.tree(footprint, what)
    said = judge(found, at=at)
    if said.id is None:
        raise MalformedError(f"{what}: {_shown_id(found)}, so that it has no name to be kept by")
    digest = sha256(footprint).hexdigest()
    before = foreign.contents(session, partner, said.id)
    known = next((each for each in before if each.digest == digest), None)
    if known is not None:
        return Taken(footprint=known, is_new=False)
    kept = Foreign(
        partner=partner,
        id=said.id,
        digest=digest,
        received=at,
        content=footprint,
        problems=_changed(found, before) + said.problems,
        is_deprecated=_is_over(session, partner, before, said),
        statement=_statement(found, but=node.origin),
    )
    _end(session, partner, before, said)
    return Taken(footprint=foreign.put(session, kept, _terms(said)), is_new=True)


def is_ours(schema: Tree) -> bool:
    """Say whether a `dataSchema` is that of the extension in which statements of ours ride."""
    if not isinstance(schema, str):
        return False
    nothing = msgspec.Raw(b"{}")
    try:
        return extension.is_ours(model.Extension(spec_version="", data_schema=schema, data=nothing))
    except ValueError:  # no URL at all
        return False


def _is_over(session: Session, partner: str, before: Sequence[Foreign], said: Judged) -> bool:
    """Say whether a footprint is deprecated, by its own word or since another replaces it."""
    known = any(each.is_deprecated for each in before)
    return said.is_deprecated or known or foreign.is_replaced(session, partner, said.id or "")


def _changed(found: Members, before: Sequence[Foreign]) -> tuple[Problem, ...]:
    """Return the problem of a footprint that came before with other content but for its status."""
    if not before:
        return ()
    first = before[0]
    held = reading.tree(first.content, f"footprint {first.id}")
    if _without_status(held) == _without_status(found):
        return ()
    names = sorted(name for name in {*held, *found} if held.get(name) != found.get(name))
    told = (
        f"came {period.text_at(first.received)} with another {showable(', '.join(names)[:200])}, "
        "and a footprint never changes: the first one counts"
    )
    return (Problem(field="id", told=told, weight=Weight.FATAL),)


def _without_status(found: Members) -> dict[str, Tree]:
    return {name: value for name, value in found.items() if name != "status"}


def _end(session: Session, partner: str, before: Sequence[Foreign], said: Judged) -> None:
    """Deprecate what a footprint says is over: itself as it came before, and what it replaces."""
    over = list(before) if said.is_deprecated else []
    for old in said.preceding[:MAX_PRECEDING]:
        if old != said.id:
            over += foreign.contents(session, partner, old)
    for each in over:
        if not each.is_deprecated:
            foreign.update(session, replace(each, is_deprecated=True))


def _terms(said: Judged) -> list[tuple[Term, str]]:
    """Return by what a footprint is found."""
    products = [(Term.PRODUCT, each.lower()) for each in said.product_ids[:MAX_TERMS]]
    companies = [(Term.COMPANY, each.lower()) for each in said.company_ids[:MAX_TERMS]]
    return products + companies + [(Term.REPLACED, e) for e in said.preceding[:MAX_PRECEDING]]


def _statement(found: Members, *, but: str) -> str:
    """Return the commitment of the statement that a footprint claims to carry, else nothing.

    What is `but` this node's own is none: nobody has to tell it.
    """
    extensions = found.get("extensions")
    for each in extensions if isinstance(extensions, list) else ():
        data = (
            each.get("data")
            if isinstance(each, Members) and is_ours(each.get("dataSchema"))
            else None
        )
        claimed = data.get("commitment") if isinstance(data, Members) else None
        is_own = isinstance(data, Members) and data.get("origin") == but
        if isinstance(claimed, str) and _DIGEST.match(claimed) and not is_own:
            return str(claimed)
    return ""


def _shown_id(found: Members) -> str:
    return f"its id is {shown(found.get('id'))}, where a UUID belongs"
