"""Which kept runs a statement is in, and how far each would move with what is current now."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import compare, runs, secrecy
from bcca_node.packmaker.compare import Comparison
from bcca_node.packmaker.last import Last
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.remade import remake
from bcca_node.packmaker.run import roll_up
from bcca_node.packmaker.runs import Kept
from bcca_node.storage import runs as stored
from bcca_protocol import period
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.quantity import number
from bcca_protocol.rules import parse
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.wire import showable

_COMMITMENT: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A run that used a statement: the root bought of it itself, or somebody further upstream did.

    `through` are the cumulative footprints in which it was used. `now` compares the run with what
    is current now, as far as that is kept here; None, with the reason, where it cannot be had.
    `is_incomplete` says whether something would be missing now.
    """

    run: Kept
    used: tuple[str, ...]
    is_direct: bool
    through: tuple[str, ...] = ()
    now: Comparison | None = None
    is_incomplete: bool = False
    why_not: str | None = None

    @property
    def moved_by(self) -> Decimal | None:
        """By how many kg CO2e these statements alone move it; None where nobody can tell."""
        if self.now is None:
            return None
        used = {*self.used, *self.through}
        return compare.added(
            row.kg
            for row in self.now.rows
            if row.before in used or (row.was in used and row.was != row.now)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A cumulative footprint that runs used and whose recipe is not shown here."""

    commitment: str
    product: str
    supplier: str


def unseen(node: Node) -> list[Unseen]:
    """Return the cumulative footprints of which nobody here can tell what is inside."""
    return [
        Unseen(commitment=name, product=rolled.product.id, supplier=rolled.issuer)
        for name, rolled in _cumulative(node)
        if rolled.manifest is None
    ]


async def touched(node: Node, asked: str) -> list[Touched]:
    """Return the runs that used a statement, by its commitment, or any statement of a product.

    Nobody is asked. Raises UnusableError where this node holds no such statement.
    """
    wanted = _statements(node, asked)
    inside = _within(node, wanted)
    anew: dict[tuple[object, ...], Kept | str] = {}
    last, found = Last(), []
    for kept in runs.naming(node, wanted | inside.keys()):
        key = _question(kept)
        if key not in anew:
            anew[key] = await _anew(node, kept, last)
        found.append(_beside(node, _use(kept, wanted, inside), anew[key]))
    return found


def _statements(node: Node, asked: str) -> frozenset[str]:
    """Return the commitments that are meant; of a correction also what it corrects."""
    with node.database.read() as session:
        names = [asked] if _COMMITMENT.fullmatch(asked) else stored.of_product(session, asked)
        found = dict(stored.envelopes(session, names))
    if not found:
        raise UnusableError(
            f"{showable(asked[:200])}: no statement of that commitment, and none of a product of "
            "that URN, is held here"
        )
    before = {predicate_of(data).corrects for data in found.values()} - {None}
    return frozenset(names) | {each for each in before if each is not None}


def _within(node: Node, wanted: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return what the cumulative footprints that runs used were made of, as far as they show it."""
    inside = ((name, runs.made_of(rolled) & wanted) for name, rolled in _cumulative(node))
    return {name: some for name, some in inside if some}


def _cumulative(node: Node) -> Iterator[tuple[str, FootprintRollUp]]:
    """Yield the cumulative footprints that runs used, a recipe that is kept here in its place."""
    with node.database.read() as session:
        for name, data in stored.envelopes(session, runs.leaves(session)):
            rolled = predicate_of(data)
            if isinstance(rolled, FootprintRollUp):
                yield name, secrecy.whole(session, rolled)


def _question(kept: Kept) -> tuple[object, ...]:
    """Return what a run asked: the same again has the same answer now."""
    record, span = kept.record, kept.statement.period
    asked = kept.statement.product.id, span.start, span.end
    return *asked, record.rules, record.amount, record.told


async def _anew(node: Node, kept: Kept, last: Last) -> Kept | str:
    """Return what a run would be now of what is kept here, not entered; else why it cannot be."""
    record, stated = kept.record, kept.statement
    try:
        order = Order(
            product=stated.product.id,
            amount=None if record.amount is None else number(record.amount),
            at=node.clock(),
            rules=parse(record.rules),
            own_values=kept.own_values(),
            is_offline=True,
            period=period.span(stated.period, "period"),
            last=last,
        )
        return runs.not_stored(await roll_up(node, Fetcher(), order), order)
    except BccaError as error:
        return str(error)


def _beside(node: Node, one: Touched, now: Kept | str) -> Touched:
    """Return a run beside what it would be now."""
    if isinstance(now, str):
        return replace(one, why_not=now)
    try:
        found = compare.compare(remake(node, one.run), remake(node, now))
    except BccaError as error:
        return replace(one, why_not=str(error))
    return replace(one, now=found, is_incomplete=now.statement.incomplete)


def _use(kept: Kept, wanted: frozenset[str], inside: Mapping[str, frozenset[str]]) -> Touched:
    """Return how a run used these statements."""
    used = kept.used()
    mine = wanted & used
    through = used & inside.keys()
    direct = {
        edge.resolved.commitment
        for edge in kept.statement.manifest or ()
        if edge.consumer == kept.record.root
    }
    within = {name for each in through for name in inside[each]}
    return Touched(
        run=kept,
        used=tuple(sorted(mine | within)),
        is_direct=bool(mine & (direct | {kept.record.root})),
        through=tuple(sorted(through)),
    )
