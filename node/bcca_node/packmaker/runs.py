"""Runs as they are kept: what each was made of, what came of it, and what went wrong.

Every one is kept, entered in the log or not. Its numbers are never computed anew but to be compared
with what they were.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec
from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.run import Run
from bcca_node.storage import runs as stored
from bcca_node.storage.runs import NewRun, StoredRun
from bcca_protocol import footprint, wire
from bcca_protocol.aggregate import Totals
from bcca_protocol.cumulative import Leaf
from bcca_protocol.errors import UnusableError
from bcca_protocol.quantity import Unit, number, plain
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.wire import showable

MAX_NAME_CHARS = 100  # what a table of runs shows in one column


class Told(msgspec.Struct, frozen=True):
    """A value that the maker stated for what it buys, as `OwnValue`."""

    asked: str
    kg: str
    unit: Unit | None
    reason: str
    replaces: bool


class Dropped(msgspec.Struct, frozen=True):
    """An own line that the rules cut off: the statement, and which of its lines."""

    statement: str
    at: int


class Flag(msgspec.Struct, frozen=True):
    """An input that is fed by what is not current by rule, and why that was allowed."""

    statement: str
    line: str
    code: str


class Trouble(msgspec.Struct, frozen=True):
    """What went wrong with whom."""

    supplier: str
    product: str
    reason: str


class Reason(msgspec.Struct, frozen=True):
    """Why the rules do not let it be declared."""

    code: str
    words: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a run: `root` is the statement it began with, `rules` their whole text.

    `roll_up` is the roll-up in its one form, with its manifest, whatever of it was published.
    """

    roll_up: bytes
    root: str
    rules: str
    amount: str | None
    told: tuple[Told, ...]
    dropped: tuple[Dropped, ...]
    flags: tuple[Flag, ...]
    troubles: tuple[Trouble, ...]
    copied: tuple[str, ...]
    leaves: tuple[str, ...]
    blocks: tuple[Reason, ...]
    unentered: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A run that is kept: how it is stored, what it was made of, and the roll-up it came to."""

    stored: StoredRun
    record: Record
    statement: FootprintRollUp

    @property
    def total(self) -> Decimal:
        """Kg CO2e of the amount it was made for, excluding uptake, as it was told."""
        return number(self.stored.total)

    def used(self) -> frozenset[str]:
        """Return the commitments of all statements it was made of."""
        return made_of(self.statement) | {self.record.root}

    def own_values(self) -> tuple[OwnValue, ...]:
        """Return the values that its maker stated."""
        return tuple(OwnValue(**msgspec.structs.asdict(each)) for each in self.record.told)


def require_name(node: Node, name: str | None) -> None:
    """Return if a run may be kept under `name`; raises UnusableError, before anything is signed."""
    if name is None:
        return
    _require_form(name)
    with node.database.read() as session:
        stored.require_free(session, name)


def keep(node: Node, run: Run, order: Order, name: str | None = None) -> StoredRun:
    """Keep a run under `name`, else under its number; raises UnusableError for a frozen one's."""
    if name is not None:
        _require_form(name)
    new = NewRun(
        name=name,
        product=order.product,
        at=order.at,
        total=_total(run.statement),
        incomplete=run.statement.incomplete,
        commitment=None if run.published is None else run.published.commitment,
        content=zlib.compress(_ENCODER.encode(_record(run, order)), _LEVEL),
    )
    with node.database.write() as session:
        return stored.put(session, new)


def not_stored(run: Run, order: Order) -> Kept:
    """Return a run as it would be kept, to be compared with one that is."""
    there = StoredRun(
        number=0,
        name="now",
        product=order.product,
        at=order.at,
        total=_total(run.statement),
        incomplete=run.statement.incomplete,
        commitment=None,
        digest="",
    )
    return Kept(stored=there, record=_record(run, order), statement=run.statement)


def made_of(stated: FootprintRollUp) -> frozenset[str]:
    """Return the commitments that a roll-up's manifest names; the root may not be among them."""
    edges = stated.manifest or ()
    named = {edge.consumer for edge in edges}
    return frozenset(named | {e.resolved.commitment for e in edges if e.resolved.commitment})


def every(node: Node, product: str | None = None) -> list[StoredRun]:
    """Return the runs, in the order in which they were made."""
    with node.database.read() as session:
        return stored.every(session, product)


def get(node: Node, name: str) -> Kept:
    """Return the run of that name; raises UnusableError where there is none."""
    with node.database.read() as session:
        found = stored.get(session, name)
        if found is None:
            raise UnusableError(
                f"run {showable(name[:MAX_NAME_CHARS])}: there is none of that name; "
                "`bcca runs` lists them"
            )
        return _kept(found, stored.content(session, found))


def naming(node: Node, commitments: frozenset[str]) -> Iterator[Kept]:
    """Yield the runs that were made of any of these statements, in the order they were made."""
    texts = [name.encode() for name in commitments]
    with node.database.read() as session:
        for found in stored.every(session):
            packed = stored.content(session, found)
            plain_text = zlib.decompress(packed)
            if any(text in plain_text for text in texts):  # before all of it is read
                kept = _kept(found, packed)
                if kept.used() & commitments:
                    yield kept


def leaves(session: Session) -> list[str]:
    """Return the cumulative footprints that any run was made of."""
    found: set[str] = set()
    for each in stored.every(session):
        record = _DECODER.decode(zlib.decompress(stored.content(session, each)))
        found.update(record.leaves)
    return sorted(found)


def rename(node: Node, old: str, new: str) -> StoredRun:
    """Give a run another name; raises UnusableError as `stored.rename` does."""
    _require_form(new)
    with node.database.write() as session:
        return stored.rename(session, old, new)


def freeze(node: Node, name: str, year: str) -> StoredRun:
    """Freeze a run for a model year; raises UnusableError as `stored.freeze` does."""
    if not _YEAR.fullmatch(year):
        raise UnusableError(f"model year {showable(year[:20])}: write it as 2026")
    with node.database.write() as session:
        return stored.freeze(session, name, year)


def remove(node: Node, name: str) -> None:
    """Forget a run; raises UnusableError as `stored.remove` does."""
    with node.database.write() as session:
        stored.remove(session, name)


_LEVEL: Final = 6  # of zlib: 9 takes twice as long for a hundredth less
_YEAR: Final = re.compile(r"20[0-9]{2}")
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Record)
_ROLL_UP: Final = msgspec.json.Decoder(FootprintRollUp)


def _total(stated: FootprintRollUp) -> str:
    return plain(footprint.total(footprint.decode(stated.footprint)))


def _kept(found: StoredRun, packed: bytes) -> Kept:
    record = _DECODER.decode(zlib.decompress(packed))
    return Kept(stored=found, record=record, statement=_ROLL_UP.decode(record.roll_up))


def _require_form(name: str) -> None:
    """Raise UnusableError for what cannot be told from a number, or not be typed again."""
    if (
        not 0 < len(name) <= MAX_NAME_CHARS
        or name != name.strip()
        or showable(name) != name
        or name.startswith("-")
        or name.isdigit()
    ):
        raise UnusableError(
            f"{showable(name[:MAX_NAME_CHARS])!r} is no name of a run: use up to {MAX_NAME_CHARS} "
            "characters, not digits alone (runs without a name are numbered), no - in front"
        )


def _record(run: Run, order: Order) -> Record:
    added = run.sum
    parts = added.totals.graph.parts
    return Record(
        roll_up=wire.encode(run.statement),
        root=added.root.part.commitment,
        rules=added.rules.text,
        amount=None if order.amount is None else plain(order.amount),
        told=tuple(
            Told(
                asked=each.asked,
                kg=each.kg,
                unit=each.unit,
                reason=each.reason,
                replaces=each.replaces,
            )
            for each in order.own_values
        ),
        dropped=tuple(Dropped(parts[line.part].commitment, line.at) for line in added.cut.dropped),
        flags=tuple(_flags(added.totals)),
        troubles=tuple(
            Trouble(origin, product, why)
            for (origin, product), why in sorted(added.collected.troubles.items())
        ),
        copied=tuple(sorted(added.collected.copied)),
        leaves=tuple(
            source.fact.commitment
            for source in added.totals.graph.sources
            if isinstance(source, Leaf)
        ),
        blocks=tuple(Reason(each.code, each.words) for each in run.verdict.blocks),
        unentered=run.unentered,
    )


def _flags(totals: Totals) -> Iterator[Flag]:
    """Yield what feeds an input though it is not current, parts in their order."""
    graph = totals.graph
    for index in sorted(totals.vectors):
        part = graph.parts[index]
        for term in graph.terms[index]:
            if term.why is not None:
                yield Flag(part.commitment, part.bought[term.line].line, term.why.code)
