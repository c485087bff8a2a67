"""The statements of one turn: what each of them adds to the log, and what stands in its way.

Current statements of one kind on one product, site and batch do not overlap in time: `corrects`
restates a period, `follows` is the next one, and both end up in the log beside the statement.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum

from bcca_node.ledger import ended
from bcca_node.ledger.sign import Predicate, SignedStatement, own_statement, place_of
from bcca_node.ledger.turn import Turn
from bcca_node.storage import feed, logs, lost, statements
from bcca_node.storage.lost import Lost
from bcca_node.storage.statements import Claim, OwnStatement, Place
from bcca_protocol.entry import Status, StatusEntry
from bcca_protocol.errors import UnusableError
from bcca_protocol.period import Span
from bcca_protocol.statement import PartialFootprint


class State(StrEnum):
    """How far a statement got."""

    PENDING = "pending"  # durable here; too few witnesses have seen it
    PUBLISHED = "published"  # under a head that a quorum cosigned


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of one predicate."""

    commitment: str
    product: str
    index: int
    state: State


class Batch:
    """What is entered in one turn, one request after the other, each of them whole or not at all.

    `signed` are all statements that may be entered: what they touch is read at once.
    """

    def __init__(self, held: Turn, signed: Sequence[SignedStatement]) -> None:
        """Read what is there of the same names and places."""
        self._turn = held
        session = held.session
        names = [each.commitment for each in signed]
        earlier = [name for each in signed if (name := _earlier(each.predicate)) is not None]
        self._known = {each.commitment: each for each in statements.find(session, names + earlier)}
        self._lost = {each.commitment: each for each in lost.find(session, names)}
        self._current: dict[Place, dict[str, Claim]] = {}
        places, spans = {place_of(each.predicate) for each in signed}, [*map(_span, signed)]
        for claim in statements.claims(session, places, spans):
            self._current.setdefault(claim.place, {})[claim.commitment] = claim
        self._predicates = {each.commitment: each.predicate for each in signed}
        self._added: dict[str, OwnStatement] = {}
        self._ended: dict[str, int] = {}
        self._ends: Mapping[bytes, int] | None = None

    def enter(self, signed: Sequence[SignedStatement]) -> None:
        """Add the entries of one request; those of statements that are there already are not.

        Raises UnusableError for what may not stand; then nothing of the request is added.
        """
        lines = self._turn.lines
        with ExitStack() as undo:
            undo.callback(lines.__delitem__, slice(len(lines), None))
            for each in signed:
                known = self._known.get(each.commitment)
                if known is None:
                    self._enter(each, undo)
                elif known.ended is not None:
                    raise UnusableError(
                        f"draft of {known.product}: it is statement {known.commitment}, which was "
                        f"revoked or corrected at entry {known.ended} and cannot come back: change "
                        "what it says, or name a batch"
                    )
            undo.pop_all()

    def store(self) -> None:
        """Write what the entries speak of."""
        session = self._turn.session
        statements.add(session, list(self._added.values()))
        feed.put_named(session, ((name, _named(self._predicates[name])) for name in self._added))
        for commitment, index in self._ended.items():
            statements.end(session, commitment, index)
        lost.drop(session, [name for name in self._lost if name in self._added])

    def published(self, signed: Sequence[SignedStatement]) -> list[Published]:
        """Return where the statements of a request stand, in their order."""
        head = logs.published_head(self._turn.session)
        size = 0 if head is None else head.size
        found = [self._known[each.commitment] for each in signed]
        return [
            Published(
                commitment=own.commitment,
                product=own.product,
                index=own.index,
                state=State.PUBLISHED if own.index < size else State.PENDING,
            )
            for own in found
        ]

    def _enter(self, signed: SignedStatement, undo: ExitStack) -> None:
        found = self._lost.get(signed.commitment)
        new = self._new(signed, undo) if found is None else self._found(signed, found)
        for told in (self._known, self._added):
            told[new.commitment] = new
            undo.callback(told.pop, new.commitment)
        if new.ended is None:
            claims = self._current.setdefault(new.place, {})
            claims[new.commitment] = new.claim
            undo.callback(claims.pop, new.commitment, None)

    def _new(self, signed: SignedStatement, undo: ExitStack) -> OwnStatement:
        """Return a statement that was never here, its entries made."""
        new = _own(signed, self._turn.next)
        self._turn.enter([signed.entry.encode()])
        match signed.predicate.corrects, signed.predicate.follows:
            case None, None:
                pass
            case str(earlier), None:
                self._end(new, self._replaced(new, earlier, "corrects"), undo)
            case None, str(earlier):
                self._supersede(new, self._replaced(new, earlier, "follows"))
            case _:
                raise UnusableError(f"draft of {new.product}: it both corrects and follows")
        self._require_place(new)
        return new

    def _found(self, signed: SignedStatement, found: Lost) -> OwnStatement:
        """Return a statement that is in the log already, and only its payload was lost."""
        if signed.entry.encode() != found.line:
            raise UnusableError(
                f"draft of {signed.predicate.product.id}: {signed.commitment} was lost, and entry "
                f"{found.index} names another key than the node signs with now: change the draft, "
                "if only its batch, and publish that"
            )
        if self._ends is None:
            self._ends = ended.read(self._turn.session)
        new = _own(signed, found.index)
        return replace(new, ended=self._ends.get(ended.handle_of(new)))

    def _replaced(self, new: OwnStatement, commitment: str, word: str) -> OwnStatement:
        """Return the statement that `new` corrects or follows, if it may."""
        old = self._known.get(commitment)
        what = f"draft of {new.product}: it {word} {commitment}"
        if old is None:
            raise UnusableError(f"{what}, which is no statement of this node")
        if (old.kind, old.product, old.site) != (new.kind, new.product, new.site):
            raise UnusableError(
                f"{what}, a {old.kind} of {old.product} at {old.site or 'no site'}, not a "
                f"{new.kind} of {new.product} at {new.site or 'no site'}"
            )
        if old.ended is not None or commitment in self._ended:
            raise UnusableError(f"{what}, which was revoked or corrected before")
        return old

    def _end(self, new: OwnStatement, old: OwnStatement, undo: ExitStack) -> None:
        """Correct `old`: the same period, restated."""
        if old.span != new.span:
            raise UnusableError(
                f"draft of {new.product}: it corrects {old.commitment}, whose period is "
                f"{_period(old.span)}, but has {_period(new.span)}"
            )
        self._ended[old.commitment] = self._turn.next
        undo.callback(self._ended.pop, old.commitment)
        claims = self._current.get(old.place, {})
        if claims.pop(old.commitment, None) is not None:
            undo.callback(claims.__setitem__, old.commitment, old.claim)
        self._add_status(old, Status.CORRECTED, new)

    def _supersede(self, new: OwnStatement, old: OwnStatement) -> None:
        """Follow `old`: a later period, for which alone it is no longer right."""
        if new.period_start < old.period_end:
            raise UnusableError(
                f"draft of {new.product}: it follows {old.commitment}, whose period ends "
                f"{old.period_end}, but begins before that, {new.period_start}: to restate a "
                "period, let it correct"
            )
        self._add_status(old, Status.SUPERSEDED, new)

    def _add_status(self, old: OwnStatement, status: Status, new: OwnStatement) -> None:
        entry = StatusEntry(
            handle=ended.handle_of(old),
            status=status,
            successor=bytes.fromhex(new.commitment),
        )
        self._turn.enter([entry.encode()])

    def _require_place(self, new: OwnStatement) -> None:
        for old in self._current.get(new.place, {}).values():
            if new.span.overlap_with(old.span):
                raise UnusableError(
                    f"draft of {new.product}: {new.commitment} for {_period(new.span)} overlaps "
                    f"{old.commitment} for {_period(old.span)}: let it correct or follow that"
                )


def _named(predicate: Predicate) -> set[str]:
    """Return the suppliers that a statement names."""
    if not isinstance(predicate, PartialFootprint):
        return set()
    return {line.supplier.origin for line in predicate.inputs}


def _earlier(predicate: Predicate) -> str | None:
    return predicate.corrects or predicate.follows


def _span(signed: SignedStatement) -> Span:
    return Span(signed.predicate.period.start, signed.predicate.period.end)


def _own(signed: SignedStatement, index: int) -> OwnStatement:
    return own_statement(signed.commitment, index, signed.predicate, signed.envelope)


def _period(span: Span) -> str:
    return f"{span.start} to {span.end}"
