"""What goes into a product against what it holds: mass, and Ni, Co, Li, in kg (SPEC 7.7).

A reviewer's check, not a rule: what nobody states is named, and never taken for zero.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from bcca_protocol import own
from bcca_protocol.graph import Graph, Term
from bcca_protocol.inventory import Activity, Material
from bcca_protocol.own import Scale
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import SCALES, ZERO, convert, exact, number
from bcca_protocol.statement import PartialFootprint

METALS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Ni": frozenset({"ni", "nickel", "镍"}),
        "Co": frozenset({"co", "cobalt", "钴"}),
        "Li": frozenset({"li", "lithium", "锂"}),
    }
)
"""The metals that are balanced, and how statements name them, in lower case."""

_NO_MASS = frozenset(
    {
        "energy", "fuel energy (LHV)", "fuel energy (HHV)", "freight", "distance", "time",
        "length in time", "area in time", "data in time",
    }
)  # fmt: skip
"""Dimensions of what goes into a process but not into its product."""


class Metal(NamedTuple):
    """One metal, kg per declared unit: what the product states, and what is bought of it.

    `stated` is None where the product does not say; `unknown` names the lines that do not.
    """

    name: str
    stated: Decimal | None
    bought: Decimal
    unknown: tuple[str, ...]

    @property
    def difference(self) -> Decimal | None:
        """Bought less stated; None where either is not known: then nothing can be concluded."""
        if self.stated is None or self.unknown:
            return None
        with exact():
            return self.bought - self.stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Kg per declared unit of a product: `bought` and `added` go in, `wasted` and `made` come out.

    `added` and `wasted` are own lines of kind material and waste, None where no statement was given
    to read them from. `unknown` names each line whose mass nobody states, and why.
    """

    product: str
    made: Decimal | None
    bought: Decimal
    added: Decimal | None
    wasted: Decimal | None
    unknown: tuple[str, ...]
    metals: tuple[Metal, ...]

    @property
    def difference(self) -> Decimal | None:
        """What goes in less what comes out; None where something is not known."""
        if self.made is None or self.added is None or self.wasted is None or self.unknown:
            return None
        with exact():
            return self.bought + self.added - self.wasted - self.made


def balance(graph: Graph, index: int, statement: PartialFootprint | None = None) -> Balance:
    """Return the balance of part `index` against what feeds it.

    `statement` is the part's own: it has the own lines of material and waste, which a part has not.
    A joint line counts with its allocation share, as its emissions do: by another basis than mass
    the balance is off by that.
    """
    part = graph.parts[index]
    with exact():
        lines = tuple(_lines(graph, index))
        added, wasted = (None, None) if statement is None else _own_mass(statement)
        return Balance(
            product=part.product,
            made=_mass_of(part, part.declared),
            bought=sum((line.kg for line in lines if line.kg is not None), ZERO),
            added=added,
            wasted=wasted,
            unknown=tuple(f"{line.what}: {line.why}" for line in lines if line.kg is None),
            metals=tuple(_metal(name, part, lines) for name in METALS),
        )


class _Line(NamedTuple):
    """One input: its mass (None with the reason), and kg of its metals, None where not stated."""

    what: str
    kg: Decimal | None
    why: str
    metals: Mapping[str, Decimal] | None


def _lines(graph: Graph, index: int) -> Iterator[_Line]:
    part = graph.parts[index]
    fed = {term.line: term for term in graph.terms[index]}
    for place, bought in enumerate(part.bought):
        what = f"line {bought.line}, {bought.product} of {bought.origin}"
        if place in fed:
            yield _fed(what, part, fed[place], graph.parts[fed[place].supplier])
        elif bought.amount:
            yield _unfed(what, part, bought)


def _fed(what: str, part: Part, term: Term, supplier: Part) -> _Line:
    amount = term.amount * term.share * part.declared / part.output
    if SCALES[supplier.unit].dimension in _NO_MASS:
        return _Line(what, ZERO, "", dict.fromkeys(METALS, ZERO))
    metals = _contents(supplier.materials)
    if metals is not None:
        metals = {name: kg * amount / supplier.declared for name, kg in metals.items()}
    why = f"bought in {supplier.unit}, and its supplier states no massKg"
    return _Line(what, _mass_of(supplier, amount), why, metals)


def _unfed(what: str, part: Part, bought: Bought) -> _Line:
    """Return an input that nothing feeds: in a unit of mass its mass is known all the same."""
    dimension = SCALES[bought.unit].dimension
    if dimension in _NO_MASS:
        return _Line(what, ZERO, "", dict.fromkeys(METALS, ZERO))
    if dimension != "mass":
        return _Line(what, None, f"bought in {bought.unit}, and nothing feeds it", None)
    kg = convert(bought.amount / bought.yield_, bought.unit, "kg")
    return _Line(what, kg * bought.share * part.declared / part.output, "", None)


def _mass_of(part: Part, amount: Decimal) -> Decimal | None:
    """Return kg of so much of a part's product, None where its statement does not say."""
    if SCALES[part.unit].dimension == "mass":
        return convert(amount, part.unit, "kg")
    return None if part.mass_kg is None else part.mass_kg * amount / part.declared


def _own_mass(statement: PartialFootprint) -> tuple[Decimal, Decimal]:
    """Return kg of own material and of waste per declared unit, of lines in units of mass."""
    scale = Scale.of(statement, own.mass_of(statement))
    return (
        _mass_of_lines(statement.activities, "material", scale),
        _mass_of_lines(statement.activities, "waste", scale),
    )


def _mass_of_lines(lines: Iterable[Activity], kind: str, scale: Scale) -> Decimal:
    found = ZERO
    for line in lines:
        if line.kind == kind and SCALES[line.unit].dimension == "mass":
            kg = convert(number(line.amount), line.unit, "kg")
            found += kg * scale.share if line.joint else kg
    return scale.apply((found,))[0]


def _contents(materials: Sequence[Material]) -> dict[str, Decimal] | None:
    """Return kg of each metal by name, 0 where the others are stated; None where nothing is."""
    if not materials:
        return None
    found = dict.fromkeys(METALS, ZERO)
    for material in materials:
        for name, aliases in METALS.items():
            if material.name.strip().lower() in aliases:
                found[name] += number(material.kg)
    return found


def _metal(name: str, part: Part, lines: Iterable[_Line]) -> Metal:
    stated, bought, unknown = _contents(part.materials), ZERO, []
    for line in lines:
        if line.metals is None:
            unknown.append(line.what)
        else:
            bought += line.metals[name]
    return Metal(name, None if stated is None else stated[name], bought, tuple(unknown))
