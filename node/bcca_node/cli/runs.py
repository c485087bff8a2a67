"""`bcca runs`: what was added up before, what moved since, and what a statement touches."""

import asyncio
from typing import Annotated

import typer

from bcca_node.cli import products
from bcca_node.cli import run_documents as documents
from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.run_names import RunArgument
from bcca_node.cli.screen import MOST_ROWS, listed, put_json, say, shortened, show_table
from bcca_node.cli.shorthand import ListByDefault
from bcca_node.packmaker import blast, compare, runs
from bcca_node.packmaker.blast import Touched
from bcca_node.packmaker.compare import Comparison, Row
from bcca_node.packmaker.remade import remake
from bcca_node.packmaker.runs import Kept
from bcca_node.storage.runs import StoredRun
from bcca_protocol import period
from bcca_protocol.quantity import plain, written

MAX_WORDS = 48  # characters of a name in a row: databases have names of several lines


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Results of `bcca aggregate`, each kept as it was.", cls=ListByDefault)
    group.command("list", epilog="Example: bcca runs list --data node")(list_runs)
    group.command("show", epilog="Example: bcca runs show 2026-draft --data node")(show)
    group.command("compare", epilog="Example: bcca runs compare 3 2026 --data node")(compare_runs)
    group.command("freeze", epilog="Example: bcca runs freeze 7 --year 2026")(freeze)
    group.command("rename", epilog="Example: bcca runs rename 7 tender-B --data node")(rename)
    group.command("remove", epilog="Example: bcca runs remove tender-B --data node")(remove)
    group.command("touched", epilog="Example: bcca runs touched urn:x:C12 --data node")(touched)
    app.add_typer(group, name="runs")


def list_runs(
    data: DataOption,
    product: Annotated[
        str | None, typer.Option(help="Only of one product: a URN, its last part, or a name.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs, in the order in which they were made; `list` need not be written."""
    with open_node(data) as node:
        found = runs.every(node, None if product is None else products.find(node, product))
    if as_json:
        put_json({"runs": [documents.stored_as_json(each) for each in found]})
        return
    columns = ("run", "product", "when", "frozen for", "", "kg CO2e")
    show_table(columns, map(_row, found), numbers=1)


def show(run: RunArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Show a run as it was: its total, its rules, what it was made of, what went wrong."""
    with open_node(data) as node:
        found = runs.get(node, run)
    if as_json:
        put_json(documents.as_json(found))
        return
    _print(found)


def compare_runs(
    first: RunArgument, second: RunArgument, data: DataOption, as_json: JsonOption = False
) -> None:
    """Show what moved the total from the first run to the second.

    Which statement, amount, factor, substitute or rule, by how much each; the rows sum exactly to
    the difference. Of two things that changed together each has half of what only both together
    do, so that the other way round every row is the same with the opposite sign.
    """
    with open_node(data) as node:
        one, two = remake(node, runs.get(node, first)), remake(node, runs.get(node, second))
    found = compare.compare(one, two)
    if as_json:
        put_json({"first": first, "second": second} | documents.compared_as_json(found))
        return
    say(f"run {first}: {plain(found.before)} kg CO2e")
    say(f"run {second}: {plain(found.after)} kg CO2e, {_signed(written(found.difference))}")
    _print_rows(found)


def freeze(
    run: RunArgument,
    data: DataOption,
    year: Annotated[str, typer.Option(metavar="YEAR", help="The model year, as 2026.")],
    as_json: JsonOption = False,
) -> None:
    """Freeze a run for a model year: nothing overwrites, renames or forgets it from then on."""
    with open_node(data) as node:
        found = runs.freeze(node, run, year)
    if as_json:
        put_json(documents.stored_as_json(found))
        return
    say(f"run {found.name} is frozen for {found.year}")
    if found.incomplete:
        say("  it is incomplete: something that it is made of is missing, and in no number")
    if found.commitment is None:
        say("  it was not entered in this node's log: nobody else can know of it")


def rename(
    run: RunArgument,
    new: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    data: DataOption,
    as_json: JsonOption = False,
) -> None:
    """Give a run another name; a frozen one keeps its own."""
    with open_node(data) as node:
        found = runs.rename(node, run, new)
    if as_json:
        put_json(documents.stored_as_json(found))
        return
    say(f"run {run} is now {found.name}")


def remove(run: RunArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Forget a run; a frozen one stays, and what was entered in the log stays there."""
    with open_node(data) as node:
        runs.remove(node, run)
    if as_json:
        put_json({"removed": run})
        return
    say(f"removed run {run}")


def touched(
    statement: Annotated[
        str, typer.Argument(metavar="COMMITMENT|PRODUCT", help="A statement, or a product's URN.")
    ],
    data: DataOption,
    as_json: JsonOption = False,
) -> None:
    """Show which runs a statement is in, and how far each would move now.

    For a supplier's correction or revocation: which packs used it, directly or further upstream,
    and what each would come to with what is current now, of what this node keeps. Nobody is asked:
    `bcca aggregate` reads what is new first.
    """
    with open_node(data) as node:
        found = asyncio.run(blast.touched(node, statement))
        unseen = blast.unseen(node)
    if as_json:
        put_json(documents.all_touched_as_json(statement, found, unseen))
        return
    packs = {each.run.stored.product for each in found}
    say(f"{len(found)} runs of {len(packs)} products used it")
    for each in found:
        _print_touched(each)
    if unseen:
        named = listed([f"{each.product} of {each.supplier}" for each in unseen])
        say(f"Nobody here can tell whether it is inside what keeps its recipe secret: {named}")


def _row(found: StoredRun) -> tuple[str, ...]:
    state = "incomplete" if found.incomplete else ""
    if found.commitment is None:
        state = f"{state} not entered".strip()
    return found.name, found.product, _when(found), found.year or "", state, found.total


def _print(found: Kept) -> None:
    stored, record, stated = found.stored, found.record, found.statement
    unit = stated.declared_unit
    say(f"run {stored.name}, {_when(stored)}: {stated.product.name} ({stored.product})")
    without = ", INCOMPLETE" if stored.incomplete else ""
    say(f"  {stored.total} kg CO2e for {unit.amount} {unit.unit}{without}")
    say(f"  rules {stated.rules.name} ({stated.rules.digest[:16]})")
    entered = stored.commitment or f"not entered in the log: {record.unentered}"
    say(f"  {entered}" if stored.commitment is None else f"  roll-up {entered}")
    if stored.year is not None:
        say(f"  frozen for {stored.year}")
    say(f"  made of {len(found.used())} statements, {len(record.dropped)} own lines cut off")
    for edge in stated.manifest or ():
        if edge.resolved.substitute is not None:
            factor = edge.resolved.substitute.factor
            say(f"  substitute for line {edge.line}: {factor.dataset} ({factor.source})")
        if edge.resolved.gap is not None:
            say(f"  missing: {edge.resolved.gap.reason}")
    for trouble in record.troubles:
        say(f"  {trouble.product} from {trouble.supplier}: {trouble.reason}")
    for each in record.blocks:
        say(f"  blocks a declaration: {each.code}: {each.words}")


def _print_rows(found: Comparison) -> None:
    if not found.rows:
        say("Nothing moved.")
        return
    columns = ("what", "product", "supplier", "line", "before", "after", "kg CO2e")
    shown, others = found.rows[:MOST_ROWS], found.rows[MOST_ROWS:]
    show_table(columns, map(_told, shown), numbers=1)
    if others:
        together = _signed(written(compare.added(row.kg for row in others)))
        say(f"and {len(others)} smaller ones, together {together} kg CO2e; --json lists each")


def _told(row: Row) -> tuple[str, ...]:
    before, after = row.before or "nothing", row.after or "nothing"
    if row.kind == "rounding":
        before = after = ""
    words = (row.title, row.supplier, row.line, before, after)
    told = (shortened(each, MAX_WORDS) for each in words)
    return row.kind, *told, _signed(written(row.kg))


def _print_touched(each: Touched) -> None:
    stored = each.run.stored
    frozen = f", frozen for {stored.year}" if stored.year else ""
    how = "directly" if each.is_direct else "further upstream"
    if each.through:
        how = f"inside a cumulative footprint, {how}"
    say(f"run {stored.name} of {stored.product}{frozen}: {how}, {stored.total} kg CO2e")
    if each.now is None:
        say(f"  what it would be now: {each.why_not}")
        return
    without = ", INCOMPLETE" if each.is_incomplete else ""
    say(
        f"  now {plain(each.now.after)} kg CO2e, {_signed(written(each.now.difference))}, "
        f"of which by it {_signed(written(each.moved_by or each.now.before * 0))}{without}"
    )


def _when(found: StoredRun) -> str:
    return period.text_at(found.at)


def _signed(kg: str) -> str:
    return kg if kg.startswith("-") or kg == "0" else f"+{kg}"
