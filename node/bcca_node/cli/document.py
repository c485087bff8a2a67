"""What `bcca aggregate --json` prints of a run, for programs."""

from bcca_node.cli import assured, battery, offline, ruled, substitutes
from bcca_node.cli.missing import Gap, copied_in
from bcca_node.packmaker.run import Run
from bcca_protocol import footprint
from bcca_protocol.quantity import plain


def as_json(run: Run, gaps: list[Gap]) -> dict[str, object]:
    """Return the document: numbers as decimal strings, what is unknown as null."""
    stated, published = run.statement, run.published
    told = run.sum.collected.troubles.items()
    rolled = footprint.decode(stated.footprint)
    return {
        "product": stated.product.id,
        "name": stated.product.name,
        "amount": stated.declared_unit.amount,
        "unit": stated.declared_unit.unit,
        "total": plain(footprint.total(rolled)),
        "totalIncludingUptake": plain(footprint.total(rolled, footprint.INCLUDING_UPTAKE)),
        "components": {c: plain(kg) for c, kg in footprint.by_component(rolled).items() if kg},
        "stages": {stage: plain(kg) for stage, kg in footprint.by_stage(rolled).items()},
        "incomplete": stated.incomplete,
        "missing": [_gap(each) for each in gaps],
        "troubles": [
            {"supplier": origin, "product": product, "reason": why}
            for (origin, product), why in told
        ],
        "noLongerCurrent": _outdated(run),
        "fromCopies": [
            {
                "supplier": each.supplier,
                "asOf": each.as_of,
                "via": list(each.urls),
                "reason": each.reason,
            }
            for each in copied_in(run)
        ],
        "handedOn": [
            {"supplier": origin, "by": sorted(by)}
            for origin, by in sorted(run.sum.collected.handed_on.items())
        ],
        **offline.as_json(run),
        **substitutes.as_json(run),
        **assured.as_json(run),
        **ruled.as_json(run),
        **battery.as_json(run),
        "suppliers": len(run.sum.collected.logs),
        "statements": len(run.sum.collected.reached),
        "commitment": None if published is None else published.commitment,
        "state": "not entered" if published is None else published.state.value,
        "notEntered": run.unentered,
        "witnessed": None if run.witnessed is None else str(run.witnessed),
    }


def _gap(gap: Gap) -> dict[str, object]:
    return {
        "product": gap.product,
        "supplier": gap.supplier,
        "amount": gap.amount,
        "unit": gap.unit,
        "consumer": gap.consumer.commitment,
        "reason": gap.reason,
        "dependents": [
            {"product": each.product, "supplier": each.issuer} for each in gap.dependents
        ],
    }


def _outdated(run: Run) -> list[dict[str, object]]:
    return [
        {
            "supplier": each.supplier,
            "product": each.product,
            "commitment": each.commitment,
            "standing": each.standing.value,
            "reason": each.reason,
            "usedBy": each.used_by,
        }
        for each in run.outdated
    ]
