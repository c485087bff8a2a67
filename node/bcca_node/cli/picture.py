"""A result as people read it: a tree, and tables by supplier and by stage."""

from collections.abc import Iterable
from decimal import Decimal

from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from bcca_node.packmaker import explain
from bcca_node.packmaker.explain import Added, Branch, share, shown
from bcca_protocol import footprint
from bcca_protocol.wire import showable

KG = "kg CO2e"


def tree(added: Added) -> Tree:
    """Return the tree of contributions, branches of at least 2 % of the whole."""
    whole = explain.total(added)
    root = explain.tree(added)
    grown = Tree(_label(root, whole))
    _grow(grown, root, whole)
    return grown


def suppliers(added: Added) -> Table:
    """Return who itself adds how much, the largest first."""
    rows = ((f"{name} ({origin})", kg) for origin, name, kg in explain.by_supplier(added))
    return _table("supplier", rows, explain.total(added))


def stages(added: Added) -> Table:
    """Return how much is added in which stage of the life cycle."""
    sums = {stage: Decimal(0) for stage in footprint.STAGES}
    for each in explain.by_product(added):
        for stage, kg in each.by_stage.items():
            sums[stage] += kg
    return _table("stage", sums.items(), explain.total(added))


def text(name: str) -> str:
    """Return somebody else's words so that neither a terminal nor rich obeys them."""
    return escape(showable(name))


def _grow(tree: Tree, branch: Branch, whole: Decimal) -> None:
    if branch.branches:
        tree.add(f"[dim]{_number(branch.own, whole)}  itself[/dim]")
    for each in branch.branches:
        _grow(tree.add(_label(each, whole)), each, whole)
    if branch.told_as_one:
        tree.add(f"[dim]{_number(branch.told_as_one, whole)}  smaller inputs[/dim]")
    for missing in branch.missing:
        tree.add(f"[red]missing: {text(missing)}[/red]")


def _label(branch: Branch, whole: Decimal) -> str:
    part = branch.part
    loop = ", as above: a loop" if branch.repeats else ""
    name = f"{text(part.name)} [dim]({text(part.producer)}{loop})[/dim]"
    return f"{_number(branch.kg, whole)}  {name}"


def _number(kg: Decimal, whole: Decimal) -> str:
    return f"{shown(kg)} kg {share(kg, whole)}"


def _table(what: str, rows: Iterable[tuple[str, Decimal]], whole: Decimal) -> Table:
    table = Table(what, box=None, pad_edge=False)
    table.add_column(KG, justify="right")
    table.add_column("share", justify="right")
    for name, kg in rows:
        table.add_row(text(name), shown(kg), share(kg, whole))
    return table
