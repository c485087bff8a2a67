"""A kept run as a network of amounts and values: what adds up to its total, line by line.

It is read from the statements themselves, whose names its manifest has: what became of their logs
since changes nothing of what was added up then.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import Predicate, predicate_of
from bcca_node.packmaker.runs import Kept
from bcca_node.storage import runs as stored
from bcca_protocol import activity, footprint, own, wire
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Activity, Factor, Input
from bcca_protocol.own import Scale
from bcca_protocol.quantity import ONE, convert, exact, number
from bcca_protocol.results import Edge, Resolved, Substitute
from bcca_protocol.rules import RuleSet, parse
from bcca_protocol.statement import FootprintRollUp, PartialFootprint

Kind = Literal["statement", "cumulative", "substitute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLine:
    """An own line: `amount` of the factor's unit, share included, each of `value` kg CO2e.

    `factor` says which value that is; `is_cut` that the rules cut the line off.
    """

    id: str
    name: str
    factor: str
    amount: Decimal
    value: Decimal
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An input line: `amount` of what feeds it, yield and share included; a gap has no source.

    `flag` says why it is fed by what is not current by rule.
    """

    line: str
    product: str
    origin: str
    amount: Decimal
    source: str | None
    flag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A statement, or what stood in for one: `output` of `unit` is made from its lines."""

    name: str
    kind: Kind
    issuer: str
    product: str
    title: str
    site: str | None
    batch: str | None
    period: str
    unit: str
    output: Decimal
    piece_kg: Decimal | None
    lines: tuple[OwnLine, ...]
    taken: tuple[Taken, ...] = ()
    stated: Substitute | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remade:
    """A run's network: its members by name, the root, its amount and the total that was told."""

    name: str
    members: Mapping[str, Member]
    root: str
    amount: Decimal
    total: Decimal
    rules: RuleSet


def remake(node: Node, run: Kept) -> Remade:
    """Return the network of a kept run.

    Raises UnusableError for a statement that is no longer held here.
    """
    names = sorted(run.used())
    with node.database.read() as session:
        read = {name: predicate_of(data) for name, data in stored.envelopes(session, names)}
    for name in names:
        if name not in read:
            raise UnusableError(
                f"run {run.stored.name}: statement {name}, of which it was made, is no longer "
                "held here"
            )
    return remade(run, read)


def remade(run: Kept, read: Mapping[str, Predicate]) -> Remade:
    """Return the network of a run from its statements by commitment."""
    cut: dict[str, set[int]] = {}
    for each in run.record.dropped:
        cut.setdefault(each.statement, set()).add(each.at)
    flags: dict[str, dict[str, str]] = {}
    for flag in run.record.flags:
        flags.setdefault(flag.statement, {})[flag.line] = flag.code
    edges: dict[str, list[Edge]] = {}
    for edge in run.statement.manifest or ():
        edges.setdefault(edge.consumer, []).append(edge)
    with exact():
        members = {n: _member(n, found, cut.get(n, set())) for n, found in read.items()}
        for name, found in read.items():
            if isinstance(found, PartialFootprint):
                fed = {edge.line: edge.resolved for edge in edges.get(name, ())}
                taken = _Wiring(found, fed, flags.get(name, {}), members).taken()
                members[name] = replace(members[name], taken=tuple(taken))
        return Remade(
            name=run.stored.name,
            members=members,
            root=run.record.root,
            amount=number(run.statement.declared_unit.amount),
            total=run.total,
            rules=parse(run.record.rules),
        )


class _Wiring:
    """The inputs of one statement, as a manifest feeds them."""

    def __init__(
        self,
        found: PartialFootprint,
        resolved: Mapping[str, Resolved],
        flags: Mapping[str, str],
        members: dict[str, Member],
    ) -> None:
        self._found = found
        self._resolved = resolved
        self._flags = flags
        self._members = members
        self._share = _scale(found).share

    def taken(self) -> Iterator[Taken]:
        """Yield each input of amount above zero; what stands in for one becomes a member."""
        for line in self._found.inputs:
            resolved = self._resolved.get(line.id)
            if resolved is None:
                continue
            source = self._source(line, resolved)
            yield Taken(
                line=line.id,
                product=line.product,
                origin=line.supplier.origin,
                amount=self._amount(line, source),
                source=None if source is None else source.name,
                flag=self._flags.get(line.id),
            )

    def _source(self, line: Input, resolved: Resolved) -> Member | None:
        if resolved.substitute is not None:
            made = _substitute(line, resolved.substitute)
            return self._members.setdefault(made.name, made)
        return None if resolved.commitment is None else self._members[resolved.commitment]

    def _amount(self, line: Input, source: Member | None) -> Decimal:
        amount = number(line.amount)
        if source is not None and line.unit != source.unit:
            amount = convert(amount, line.unit, source.unit, mass_kg=source.piece_kg)
        if line.yield_ is not None:
            amount /= number(line.yield_)
        return amount * self._share if line.joint else amount


def _member(name: str, found: Predicate, cut: set[int]) -> Member:
    """Return a statement without what it buys."""
    if isinstance(found, PartialFootprint):
        scale = _scale(found)
        kind: Kind = "statement"
        output = scale.output
        lines = tuple(
            _line(line, scale.share, is_cut=at in cut) for at, line in enumerate(found.activities)
        )
    elif isinstance(found, FootprintRollUp):
        kind, output = "cumulative", number(found.declared_unit.amount)
        total = footprint.total(footprint.decode(found.footprint))
        lines = (_whole("footprint", f"cumulative footprint {name}", total),)
    else:
        raise UnusableError(f"statement {name}: an opinion, where a footprint belongs")
    declared = found.declared_unit
    mass_kg = None if found.mass_kg is None else number(found.mass_kg)
    return Member(
        name=name,
        kind=kind,
        issuer=found.issuer,
        product=found.product.id,
        title=found.product.name,
        site=None if found.site is None else found.site.id,
        batch=found.batch,
        period=found.period.start,
        unit=declared.unit,
        output=output,
        piece_kg=own.mass_of_piece(mass_kg, number(declared.amount), declared.unit),
        lines=lines,
    )


def _substitute(line: Input, stated: Substitute) -> Member:
    """Return what stands in for an input, named by all that it says."""
    factor = stated.factor
    identity = wire.encode(stated).decode()
    return Member(
        name=f"substitute {line.supplier.origin} {line.product} {identity}",
        kind="substitute",
        issuer=line.supplier.origin,
        product=line.product,
        title=factor.dataset,
        site=None,
        batch=None,
        period="",
        unit=factor.unit,
        output=ONE,
        piece_kg=None,
        lines=(_whole("factor", _named(factor), footprint.figures(factor.values).counted),),
        stated=stated,
    )


def _line(line: Activity, share: Decimal, *, is_cut: bool) -> OwnLine:
    factor = line.factor
    amount = number(line.amount)
    if line.unit != factor.unit:
        amount = activity.converted(line, amount, factor.unit)
    return OwnLine(
        id=line.id,
        name=line.name,
        factor=_named(factor),
        amount=amount * share if line.joint else amount,
        value=footprint.figures(factor.values).counted,
        is_cut=is_cut,
    )


def _whole(line: str, name: str, kg: Decimal) -> OwnLine:
    return OwnLine(id=line, name=name, factor=name, amount=ONE, value=kg)


def _named(factor: Factor) -> str:
    version = f" {factor.version}" if factor.version else ""
    return f"{factor.dataset}{version} ({factor.source})"


def _scale(found: PartialFootprint) -> Scale:
    return Scale.of(found, own.mass_of(found))
