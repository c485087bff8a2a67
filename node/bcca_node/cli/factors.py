"""`bcca factors`: emission factors that may stand in for statements that are missing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.screen import put_json, say, show_table
from bcca_node.cli.shorthand import ListByDefault
from bcca_node.packmaker import factorbook
from bcca_node.packmaker.factors import COLUMNS, Entry, FactorSet
from bcca_protocol import footprint
from bcca_protocol.quantity import plain

_IMPORT = f"The first row names the columns: {', '.join(COLUMNS)}. " + (
    "Example: bcca factors import ours.csv --name ours --data node"
)
SetArgument = Annotated[str, typer.Argument(metavar="SET", help="The name of a set.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Emission factors that may stand in for what is missing.", cls=ListByDefault
    )
    group.command("list", epilog="Example: bcca factors list --data node")(list_sets)
    group.command("show", epilog="Example: bcca factors show world-grid-ember --like DE")(show)
    group.command("import", epilog=_IMPORT)(import_set)
    group.command("remove", epilog="Example: bcca factors remove ours --data node")(remove)
    app.add_typer(group, name="factors")


def list_sets(data: DataOption, as_json: JsonOption = False) -> None:
    """List the sets of factors, those that ship first; `list` need not be written."""
    with open_node(data) as node:
        sets = factorbook.every(node)
    if as_json:
        put_json({"sets": [_set_as_json(each) for each in sets]})
        return
    columns = ("set", "from", "gas", "scope", "source", "licence", "factors")
    show_table(columns, map(_row, sets), numbers=1)


def show(
    name: SetArgument,
    data: DataOption,
    like: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only those with this in data set or place.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the factors of a set: kg CO2e (or CO2) per unit, and where each comes from."""
    with open_node(data) as node:
        found = factorbook.get(node, name)
    entries = [each for each in found.entries if like is None or _is_like(each, like)]
    if as_json:
        told = {"digest": found.digest, "factors": [_entry_as_json(each) for each in entries]}
        put_json(_set_as_json(found) | told)
        return
    columns = ("data set", "place", "version", "gas", "scope", "stands for", "unit", "kg")
    show_table(columns, map(_entry_row, entries), numbers=1)
    for source in _distinct(f"{e.factor.source} ({e.licence})" for e in entries):
        say(f"source: {source}")


def import_set(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file in UTF-8.")],
    data: DataOption,
    name: Annotated[
        str | None, typer.Option(help="What to call the set; else as the file, without .csv.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in place of a set of that name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Import a set of factors from a CSV file: all of it, or nothing.

    Each row is a factor: dataset, geography (CN, CN-GD, GLO), unit, gas (co2 or co2e), scope
    (direct, lifeCycle, upstream), source, version, licence; its value in kg per unit as `total` or
    by component. `stands_for` names products by URN, last part or name, parted by |, maybe with *;
    `technology` says whether it is the `same` or a `proxy`. How far it spreads is its `gsd`, or
    what five scores of a `pedigree` stand for (reliability, completeness, temporal, geographical,
    technological, as 2 3 1 2 4), over a `basic_variance`.
    """
    with open_node(data) as node:
        made = factorbook.import_file(
            node, file, file.stem if name is None else name, replaces=replace
        )
    if as_json:
        put_json(_set_as_json(made))
        return
    standing = sum(1 for each in made.entries if each.stands_for)
    say(
        f"imported {made.name}: {len(made.entries)} factors, {standing} of which stand for products"
    )


def remove(name: SetArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Forget an imported set; roll-ups that used it keep what they say."""
    with open_node(data) as node:
        factorbook.remove(node, name)
    if as_json:
        put_json({"removed": name})
        return
    say(f"removed {name}")


def _row(found: FactorSet) -> tuple[str, ...]:
    factors = [each.factor for each in found.entries]
    return (
        found.name,
        "this program" if found.is_shipped else "imported",
        _told(each.gas for each in factors),
        _told(each.scope or "" for each in factors),
        _told(each.source for each in factors),
        _told(each.licence for each in found.entries),
        str(len(factors)),
    )


def _entry_row(each: Entry) -> tuple[str, ...]:
    factor = each.factor
    place = f"{factor.geography} ({each.note})" if each.note else factor.geography
    stands_for = ", ".join(each.stands_for) + (" as a proxy" if factor.kind == "proxy" else "")
    return (
        factor.dataset,
        place,
        factor.version or "",
        factor.gas,
        factor.scope or "",
        stands_for,
        factor.unit,
        plain(each.kg),
    )


def _set_as_json(found: FactorSet) -> dict[str, object]:
    factors = [each.factor for each in found.entries]
    return {
        "name": found.name,
        "shipped": found.is_shipped,
        "digest": found.digest,
        "count": len(factors),
        "gas": _distinct(each.gas for each in factors),
        "scope": _distinct(each.scope or "" for each in factors),
        "sources": _distinct(each.source for each in factors),
        "licences": _distinct(each.licence for each in found.entries),
        "versions": _distinct(each.version or "" for each in factors),
    }


def _entry_as_json(each: Entry) -> dict[str, object]:
    factor = each.factor
    return {
        "dataset": factor.dataset,
        "geography": factor.geography,
        "unit": factor.unit,
        "kg": plain(each.kg),
        "values": {name: plain(kg) for name, kg in footprint.values_of(factor.values)},
        "gas": factor.gas,
        "scope": factor.scope,
        "gwp": factor.gwp,
        "gsd": factor.gsd,
        "year": each.year,
        "source": factor.source,
        "version": factor.version,
        "licence": each.licence,
        "kind": factor.kind,
        "standsFor": list(each.stands_for),
        "note": each.note,
    }


def _is_like(each: Entry, text: str) -> bool:
    factor = each.factor
    asked = text.casefold()
    return asked == factor.geography.casefold() or any(
        asked in told.casefold() for told in (factor.dataset, each.note)
    )


def _told(values: Iterable[str]) -> str:
    """Return the one value, or how many there are: years of one source are not listed."""
    found = _distinct(values)
    return found[0] if len(found) == 1 else f"{found[0]} and {len(found) - 1} more"


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted(set(values))
