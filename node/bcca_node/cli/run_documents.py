"""What `bcca runs --json` prints of runs, for programs: numbers as decimal strings."""

from collections.abc import Iterable, Iterator

from bcca_node.packmaker.blast import Touched, Unseen
from bcca_node.packmaker.compare import Comparison, Row
from bcca_node.packmaker.runs import Kept
from bcca_node.storage.runs import StoredRun
from bcca_protocol import footprint, period
from bcca_protocol.quantity import plain, written
from bcca_protocol.rules import parse


def stored_as_json(found: StoredRun) -> dict[str, object]:
    """Return what a list of runs tells of one."""
    return {
        "name": found.name,
        "number": str(found.number),
        "product": found.product,
        "at": period.text_at(found.at),
        "total": found.total,
        "incomplete": found.incomplete,
        "commitment": found.commitment,
        "frozenFor": found.year,
    }


def as_json(found: Kept) -> dict[str, object]:
    """Return a run as it was, its roll-up with it."""
    record, stated = found.record, found.statement
    rolled = footprint.decode(stated.footprint)
    rules = parse(record.rules)
    return stored_as_json(found.stored) | {
        "amount": stated.declared_unit.amount,
        "unit": stated.declared_unit.unit,
        "stages": {stage: plain(kg) for stage, kg in footprint.by_stage(rolled).items()},
        "rules": {"name": rules.name, "digest": rules.digest, "text": rules.text},
        "statements": sorted(found.used()),
        "substitutes": list(_substitutes(found)),
        "missing": [
            {"consumer": e.consumer, "line": e.line, "reason": e.resolved.gap.reason}
            for e in stated.manifest or ()
            if e.resolved.gap is not None
        ],
        "cutOff": [{"statement": each.statement, "line": each.at} for each in record.dropped],
        "troubles": [
            {"supplier": each.supplier, "product": each.product, "reason": each.reason}
            for each in record.troubles
        ],
        "fromCopies": list(record.copied),
        "blocks": [{"code": each.code, "words": each.words} for each in record.blocks],
        "notEntered": record.unentered,
        "rollUp": record.roll_up.decode(),
    }


def compared_as_json(found: Comparison) -> dict[str, object]:
    """Return two totals and the rows that sum exactly to their difference."""
    return {
        "before": plain(found.before),
        "after": plain(found.after),
        "difference": written(found.difference),
        "rows": [_row_as_json(row) for row in found.rows],
    }


def all_touched_as_json(
    asked: str, found: Iterable[Touched], unseen: Iterable[Unseen]
) -> dict[str, object]:
    """Return what used a statement, and of what nobody here can tell."""
    return {
        "asked": asked,
        "runs": [_touched_as_json(each) for each in found],
        "unseen": [
            {"commitment": e.commitment, "product": e.product, "supplier": e.supplier}
            for e in unseen
        ],
    }


def _touched_as_json(each: Touched) -> dict[str, object]:
    """Return how a run used a statement, and what it would be now."""
    moved = each.moved_by
    return stored_as_json(each.run.stored) | {
        "directly": each.is_direct,
        "used": list(each.used),
        "throughCumulative": list(each.through),
        "now": None if each.now is None else compared_as_json(each.now),
        "incompleteNow": each.is_incomplete,
        "movedBy": None if moved is None else written(moved),
        "reason": each.why_not,
    }


def _substitutes(found: Kept) -> Iterator[dict[str, object]]:
    for edge in found.statement.manifest or ():
        stated = edge.resolved.substitute
        if stated is not None:
            yield {
                "consumer": edge.consumer,
                "line": edge.line,
                "dataset": stated.factor.dataset,
                "source": stated.factor.source,
                "kind": stated.factor.kind,
                "reason": stated.reason,
            }


def _row_as_json(row: Row) -> dict[str, object]:
    return {
        "kind": row.kind,
        "kg": written(row.kg),
        "product": row.product,
        "supplier": row.supplier,
        "line": row.line,
        "before": row.before,
        "after": row.after,
        "statementBefore": row.was,
        "statementAfter": row.now,
    }
