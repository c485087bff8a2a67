"""One part, two part numbers: theirs beside ours, and which both sides confirm (SPEC 13.10).

Only what both have said counts. A partner is never told whether something exists here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.partners import outbox
from bcca_node.partners.event import MAX_PAIRS, Pair, PartsEvent, new_id
from bcca_node.storage import pactclients, partners
from bcca_node.storage import pairs as rows
from bcca_node.storage.pactclients import Named
from bcca_node.storage.partners import Part, PartState
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.wire import URN, showable

MAX_ASKED = 10_000  # proposals of one partner that wait here: a catalogue, and no disk is filled
MAX_PARTS = 100_000  # pairs with one partner: more part numbers than a car maker buys from one
MAX_PART_CHARS = 200  # of one part number or product, so that MAX_PAIRS fit into an event

_URN = re.compile(URN)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What this node says of pairs in some states, and the state in which they are then."""

    kind: Literal["proposed", "confirmed", "refused"]
    before: frozenset[PartState]
    after: PartState


_PROPOSE = _Step(kind="proposed", before=frozenset({PartState.NOTED}), after=PartState.PROPOSED)
_CONFIRM = _Step(kind="confirmed", before=frozenset({PartState.ASKED}), after=PartState.CONFIRMED)
# PACT has no word for part numbers: what its partner is not asked, the operator says alone.
_CONFIRM_ALONE = replace(_CONFIRM, before=frozenset({PartState.ASKED, PartState.NOTED}))
_REFUSE = _Step(kind="refused", before=frozenset({PartState.ASKED}), after=PartState.REFUSED)
_REFUSE_ONE = replace(_REFUSE, before=frozenset(PartState) - {PartState.REFUSED})


def resolve(session: Session, partner: str, part: str) -> str | None:
    """Return the product that both sides say is the partner's `part`; None unless it is just one.

    A product named by its own URN is no part number: the caller looks for that first.
    """
    products = [ours for ours in partners.confirmed(session, partner, part) if _URN.match(ours)]
    return products[0] if len(products) == 1 else None


def require_pair(theirs: str, ours: str) -> None:
    """Return if two names can be one part, else raise UnusableError."""
    for whose, name in (("their", theirs), ("our", ours)):
        if not 0 < len(name) <= MAX_PART_CHARS or showable(name) != name or name != name.strip():
            raise UnusableError(
                f"{whose} part {showable(name[:80])!r}: write 1 to {MAX_PART_CHARS} characters, "
                "without a space before or behind"
            )
    if not _URN.match(theirs) and not _URN.match(ours):
        raise UnusableError(
            f"{theirs!r} and {ours!r}: one of both is the product, a URN such as "
            "urn:example:part:4711, the other a part number"
        )


def note(node: Node, partner: Named, pairs: Sequence[tuple[str, str]]) -> int:
    """Keep pairs of theirs and ours, and return how many are new; nobody is told of them."""
    with node.database.write() as session:
        known = {(each.theirs, each.ours) for each in partners.parts(session, partner.origin)}
        fresh = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        _make_room(session, partner.origin, len(fresh))
        left = sum(rows.counts(session, partner.origin).values())
        if left + len(fresh) > MAX_PARTS:
            raise UnusableError(
                f"{partner.origin}: {left} pairs are here and {len(fresh)} would come, over "
                f"{MAX_PARTS}"
            )
        now = node.clock()
        rows.put(session, (_part(partner.origin, *pair, PartState.NOTED, now) for pair in fresh))
    return len(fresh)


def propose(node: Node, partner: Named, theirs: str | None = None) -> int:
    """Tell the partner of pairs that are only noted, all or one number's; return how many.

    Raises UnusableError for one that speaks PACT, which has no word for that.
    """
    if pactclients.is_pact(partner.origin):
        raise UnusableError(
            f"{partner.origin} speaks PACT, and is told of no part numbers: "
            "`--confirm '*'` says by yourself that they are right"
        )
    return _say(node, partner, _PROPOSE, theirs)


def confirm(node: Node, partner: Named, theirs: str | None = None) -> int:
    """Confirm what the partner proposed, all or one number; return how many.

    Of one that speaks PACT it is what was noted. Raises UnusableError where two products would be
    one part.
    """
    step = _CONFIRM_ALONE if pactclients.is_pact(partner.origin) else _CONFIRM
    with node.database.read() as session:
        known = [e for e in partners.parts(session, partner.origin) if theirs in (None, e.theirs)]
    _require_one_each([e for e in known if e.state in {PartState.CONFIRMED, *step.before}])
    return _say(node, partner, step, theirs)


def refuse(node: Node, partner: Named, theirs: str | None = None) -> int:
    """Refuse what the partner proposed, or one number whatever was said of it; return how many."""
    return _say(node, partner, _REFUSE if theirs is None else _REFUSE_ONE, theirs)


def take(node: Node, session: Session, partner: str, event: PartsEvent) -> None:
    """Keep what a partner says about part numbers.

    What makes no sense here changes nothing, and nobody is told: known and unknown parts are
    answered alike.
    """
    said = dict.fromkeys((each.mine, each.yours) for each in event.pairs if _is_pair(each))
    known = rows.states(session, partner, said)
    after = {pair: _after(event.kind, known.get(pair)) for pair in said}
    changed = {pair: state for pair, state in after.items() if state is not None}
    # What it asked and takes back itself was never answered here: nobody has to remember it.
    taken_back = [
        pair
        for pair, state in changed.items()
        if state is PartState.REFUSED and known.get(pair) is PartState.ASKED
    ]
    rows.drop(session, partner, taken_back)
    asked = [pair for pair, state in changed.items() if state is PartState.ASKED]
    _make_room(session, partner, len(asked))
    left_out = set(taken_back) | set(asked[_room(session, partner) :])
    now = node.clock()
    rows.put(
        session,
        (
            _part(partner, *pair, state, now)
            for pair, state in changed.items()
            if pair not in left_out
        ),
    )


def _is_pair(pair: Pair) -> bool:
    try:
        require_pair(pair.mine, pair.yours)
    except UnusableError:
        return False
    return True


def _make_room(session: Session, partner: str, coming: int) -> None:
    """Forget what was refused, if pairs that come would have no place: it counts for nothing."""
    if sum(rows.counts(session, partner).values()) + coming > MAX_PARTS:
        rows.drop_refused(session, partner)


def _room(session: Session, partner: str) -> int:
    """Return how many more pairs a partner may ask: every row of it counts, whoever refused it."""
    counts = rows.counts(session, partner)
    return max(0, min(MAX_ASKED - counts[PartState.ASKED], MAX_PARTS - sum(counts.values())))


def _after(kind: str, state: PartState | None) -> PartState | None:
    """Return the state of a pair after the partner said `kind`; None where that changes nothing."""
    match kind, state:
        case "proposed", None | PartState.NOTED | PartState.REFUSED:
            # What is noted here stays unsaid: an answer by itself would tell a guesser.
            return PartState.ASKED
        case (("proposed" | "confirmed"), PartState.PROPOSED):
            return PartState.CONFIRMED
        case "refused", PartState.PROPOSED | PartState.ASKED | PartState.CONFIRMED:
            return PartState.REFUSED
    return None


def _say(node: Node, partner: Named, step: _Step, theirs: str | None = None) -> int:
    """Bring pairs into another state and tell the partner, in one transaction."""
    now = node.clock()
    with node.database.write() as session:
        known = partners.parts(session, partner.origin)
        chosen = [e for e in known if e.state in step.before and theirs in (None, e.theirs)]
        after = (replace(each, state=step.after, changed=now) for each in chosen)
        rows.put(session, after)
        # Of what was only noted, the partner knows nothing that could be refused.
        told = [e for e in chosen if step.kind != "refused" or e.state is not PartState.NOTED]
        if pactclients.is_pact(partner.origin):
            told = []
        for start in range(0, len(told), MAX_PAIRS):
            pairs = tuple(
                Pair(mine=each.ours, yours=each.theirs) for each in told[start : start + MAX_PAIRS]
            )
            event = PartsEvent(id=new_id(), at=period.text_at(now), kind=step.kind, pairs=pairs)
            outbox.put(session, partner.origin, event, now)
    return len(chosen)


def _require_one_each(known: Sequence[Part]) -> None:
    """Raise UnusableError where a part number of theirs would be two products here."""
    found: dict[str, str] = {}
    for each in known:
        other = found.setdefault(each.theirs, each.ours)
        if other != each.ours and _URN.match(each.ours) and _URN.match(other):
            raise UnusableError(
                f"{each.theirs!r} would be {other} and {each.ours}: refuse one of them first"
            )


def _part(partner: str, theirs: str, ours: str, state: PartState, now: int) -> Part:
    return Part(partner=partner, theirs=theirs, ours=ours, state=state, changed=now)
