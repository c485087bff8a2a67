"""What `bcca explain` shows of a result: rows from every side, shares, references, the balance."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType

from bcca_node.cli import picture
from bcca_node.cli.screen import MOST_ROWS, say, show, show_table
from bcca_node.packmaker import explain
from bcca_node.packmaker.explain import Branch, Contribution, shown
from bcca_node.packmaker.recalled import Recalled
from bcca_node.packmaker.results import Results, Row
from bcca_protocol import footprint, period, rounding
from bcca_protocol.balance import Balance
from bcca_protocol.functional import Reference
from bcca_protocol.quantity import plain
from bcca_protocol.shares import Shares

_SHARES: Mapping[str, str] = MappingProxyType(
    {
        "primary": "primary data: amount and factor",
        "primary_amount": "measured amounts",
        "primary_factor": "supplier-specific factors",
        "signed": "signed by who says it",
        "introduced": "known by introduction alone",
        "limited": "third party, limited assurance",
        "reasonable": "third party, reasonable assurance",
        "unsigned": "suppliers' footprints that nobody signed",
        "default": "filled in for what is missing",
    }
)


def print_results(recalled: Recalled, found: Results) -> None:
    """Print the tree, then the rows by supplier, tier, country, kind, component and stage."""
    show(picture.tree(recalled))
    for what, rows in _sides(found).items():
        if what in ("supplier", "stage") or len(rows) > 1:
            say("")
            _rows(what, rows, found)
    say("")
    _print_shares(found.shares, recalled)
    _print_spread(found)
    say("")
    _print_references(found.references)
    say(
        f"market-based {plain(found.total)} kg CO2e, location-based {plain(found.by_location)}"
        if found.by_location != found.total
        else "market-based and location-based are the same"
    )
    if footprint.has_uptake(recalled.report.footprint):
        say(f"including biogenic uptake {plain(_including_uptake(recalled))} kg CO2e")


def as_json(recalled: Recalled, found: Results) -> dict[str, object]:
    """Return a result as a JSON document, numbers as decimal strings."""
    report = recalled.report
    total = explain.total(recalled)
    return {
        "product": report.product,
        "maker": report.maker,
        "commitment": recalled.commitment,
        "amount": plain(report.amount),
        "unit": report.unit,
        "total": plain(report.total),
        "totalIncludingUptake": plain(_including_uptake(recalled)),
        "locationBased": plain(found.by_location),
        "incomplete": report.incomplete,
        "unverified": list(report.unverified),
        "asOf": period.text_at(report.as_of),
        "stages": {s: plain(kg) for s, kg in footprint.by_stage(report.footprint).items()},
        "rows": {
            what: [{"name": r.name, "label": r.label, "kg": plain(r.kg)} for r in rows]
            for what, rows in _sides(found).items()
        },
        "beside": {row.name: plain(row.kg) for row in found.beside},
        "shares": _shares(found.shares, recalled),
        "references": [
            {
                "per": each.unit,
                "kg": None if each.kg is None else plain(each.kg),
                "whyNot": each.why_not or None,
            }
            for each in found.references
        ],
        "uncertainty": _spread(found),
        "balance": _balance(found.balance),
        "suppliers": [
            {"origin": origin, "name": name, "kg": plain(kg), "share": explain.share(kg, total)}
            for origin, name, kg in explain.by_supplier(recalled)
        ],
        "products": [_contribution(each) for each in explain.by_product(recalled)],
        "tree": _branch(explain.tree(recalled)),
    }


def _including_uptake(recalled: Recalled) -> Decimal:
    return footprint.total(recalled.report.footprint, footprint.INCLUDING_UPTAKE)


def _sides(found: Results) -> dict[str, tuple[Row, ...]]:
    return {
        "supplier": found.suppliers,
        "tier": found.tiers,
        "country": found.countries,
        "kind": found.kinds,
        "component": found.components,
        "stage": found.stages,
    }


def _rows(what: str, rows: Iterable[Row], found: Results) -> None:
    listed = [row for row in rows if row.kg or what == "stage"]
    rounded = rounding.stages({row.name: row.kg for row in listed})
    table = [
        (
            row.label if row.label == row.name else f"{row.label} ({row.name})",
            rounded[row.name],
            explain.share(row.kg, found.total),
        )
        for row in listed[:MOST_ROWS]
    ]
    show_table((what, "kg CO2e", "share"), table, numbers=2)
    if len(listed) > MOST_ROWS:
        say(f"and {len(listed) - MOST_ROWS} smaller ones; --json lists each")


def _print_shares(found: Shares, recalled: Recalled) -> None:
    rows = [(words, f"{getattr(found, name):.1f} %") for name, words in _SHARES.items()]
    rows.append(("missing, by its bounds (an estimate)", f"{found.missing:.1f} %"))
    rows.append(("exempted", f"{recalled.statement.exempted_percent} %"))
    if found.quality is not None:
        scored = f"{found.quality.dqr:.2f}, of {found.quality.covered:.1f} % that is scored"
        rows.append(("data quality rating, 1 best to 5", scored))
    show_table(("of the gross total", "share"), rows, numbers=1)


def _print_spread(found: Results) -> None:
    if found.interval is None:
        say("no interval: no statement says how its lines spread")
        return
    low, high = shown(found.interval.low), shown(found.interval.high)
    say(f"95 % of results lie from {low} to {high} kg CO2e (GSD {found.interval.gsd:.3f})")
    simulated = found.simulated
    if simulated is not None:
        agrees = "agrees" if simulated.agrees else "DOES NOT AGREE: look closer"
        say(
            f"simulated, {simulated.draws} draws with seed {simulated.seed}: {simulated.low:.4g} "
            f"to {simulated.high:.4g}, which {agrees} ({simulated.apart * 100:.1f} % apart)"
        )


def _print_references(found: Iterable[Reference]) -> None:
    rows = [
        (each.unit, "-" if each.kg is None else rounding.figures(each.kg), each.why_not)
        for each in found
    ]
    show_table(("per", "kg CO2e", ""), rows)


def _shares(found: Shares, recalled: Recalled) -> dict[str, object]:
    quality = found.quality
    return {
        **{name: f"{getattr(found, name):f}" for name in (*_SHARES, "missing")},
        "exempted": recalled.statement.exempted_percent,
        "quality": None
        if quality is None
        else {**{n: f"{v:f}" for n, v in quality._asdict().items()}, "dqr": f"{quality.dqr:f}"},
    }


def _spread(found: Results) -> dict[str, object] | None:
    if found.interval is None or found.simulated is None:
        return None
    return {
        "gsd": plain(found.interval.gsd),
        "low": plain(found.interval.low),
        "high": plain(found.interval.high),
        "simulated": {
            "low": f"{found.simulated.low:.6g}",
            "high": f"{found.simulated.high:.6g}",
            "seed": found.simulated.seed,
            "draws": found.simulated.draws,
            "agrees": found.simulated.agrees,
        },
    }


def _balance(found: Balance) -> dict[str, object]:
    sums = {
        "made": found.made,
        "bought": found.bought,
        "added": found.added,
        "wasted": found.wasted,
        "difference": found.difference,
    }
    return {
        **{name: None if kg is None else plain(kg) for name, kg in sums.items()},
        "unknown": list(found.unknown),
        "metals": {
            each.name: {
                "stated": None if each.stated is None else plain(each.stated),
                "bought": plain(each.bought),
                "difference": None if each.difference is None else plain(each.difference),
                "unknown": list(each.unknown),
            }
            for each in found.metals
        },
    }


def _contribution(each: Contribution) -> dict[str, object]:
    return {
        "product": each.part.product,
        "name": each.part.name,
        "supplier": each.part.issuer,
        "introduced": each.introduced,
        "kg": plain(each.kg),
        "stages": {stage: plain(kg) for stage, kg in each.by_stage.items() if kg},
    }


def _branch(branch: Branch) -> dict[str, object]:
    return {
        "product": branch.part.product,
        "name": branch.part.name,
        "supplier": branch.part.issuer,
        "amount": plain(branch.amount),
        "unit": branch.part.unit,
        "kg": plain(branch.kg),
        "own": plain(branch.own),
        "smaller": plain(branch.told_as_one),
        "repeats": branch.repeats,
        "missing": list(branch.missing),
        "branches": [_branch(each) for each in branch.branches],
    }
