"""The sets of factors at a node's hand: those that ship, and those its operator has imported."""

from pathlib import Path

from bcca_node.ledger.node import Node
from bcca_node.packmaker import factors
from bcca_node.packmaker.factors import FactorSet
from bcca_node.sheets.problems import Problems
from bcca_node.sheets.rows import read_text
from bcca_node.storage import factors as stored
from bcca_node.storage.factors import ImportedSet
from bcca_protocol.errors import UnusableError
from bcca_protocol.quantity import plain
from bcca_protocol.wire import showable


def every(node: Node) -> list[FactorSet]:
    """Return every set, by name, shipped ones first; raises UnusableError as `parse` does."""
    with node.database.read() as session:
        imported = stored.every(session)
    return [*factors.shipped(), *map(_read, imported)]


def get(node: Node, name: str) -> FactorSet:
    """Return the set of that name; raises UnusableError, listing what there is."""
    found = {each.name: each for each in every(node)}
    if name not in found:
        raise UnusableError(
            f"{showable(name[:200])!r} is no set of factors here: there are {', '.join(found)}"
        )
    return found[name]


def import_file(node: Node, path: Path, name: str, *, replaces: bool) -> FactorSet:
    """Return the set in a CSV file, which this node keeps under `name` from then on.

    All of it or nothing: raises UnusableError naming all that is wrong by row and column, and for
    a name that is taken.
    """
    if not factors.is_name(name):
        raise UnusableError(
            f"{showable(name[:200])!r} is no name of a set: use letters, digits, '.', '-' and '_'"
        )
    if name in factors.SHIPPED:
        raise UnusableError(f"{name} ships with this program: give your set another --name")
    problems = Problems(str(path))
    text = read_text(path.parent, path.name, problems)
    problems.refuse()
    made = factors.parse(text or "", name, file=path.name)
    _require_above_zero(made, str(path))
    with node.database.write() as session:
        there = stored.get(session, name)
        if there is not None and there.digest != made.digest and not replaces:
            raise UnusableError(
                f"{name}: another set of that name is here (SHA-256 {there.digest[:16]}, the file "
                f"{made.digest[:16]}); --replace puts the file in its place"
            )
        stored.put(
            session,
            ImportedSet(
                name=name, digest=made.digest, imported_at=node.clock(), content=text or ""
            ),
        )
    return made


def remove(node: Node, name: str) -> None:
    """Forget an imported set; raises UnusableError where there is none of that name."""
    if name in factors.SHIPPED:
        raise UnusableError(f"{name} ships with this program and cannot be removed")
    with node.database.write() as session:
        if not stored.remove(session, name):
            there = ", ".join(each.name for each in stored.every(session)) or "none"
            raise UnusableError(
                f"{showable(name[:200])!r} is no imported set of factors: imported are {there}"
            )


def _require_above_zero(made: FactorSet, file: str) -> None:
    """Raise UnusableError for a factor that stands for products and would hide that they lack."""
    problems = Problems(file)
    for each in made.entries:
        if each.stands_for and each.kg <= 0:
            problems.add(
                file,
                f"it stands for products with {plain(each.kg)} kg CO2e, where a value above 0 "
                "belongs: one of 0 or below it would hide a gap; leave stands_for empty",
                row=each.row,
            )
    problems.refuse()


def _read(imported: ImportedSet) -> FactorSet:
    return factors.parse(imported.content, imported.name, file=imported.name)
