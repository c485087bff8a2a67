"""A bundle checked and recomputed with nothing but a policy: the report (SPEC 11)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import NamedTuple

import msgspec
from msgspec import to_builtins

from bcca_protocol import bundle, footprint, manifest, merkle, period
from bcca_protocol.aggregate import Totals, aggregate
from bcca_protocol.bundle import Contents
from bcca_protocol.caveats import caveats
from bcca_protocol.demand import Demand, demand
from bcca_protocol.errors import AuthorshipError, ProofError, StatementError
from bcca_protocol.evidence import Evidence, read_evidence
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Graph, chooser, connect
from bcca_protocol.manifest import Frame, Stated
from bcca_protocol.policy import Policy
from bcca_protocol.quantity import number, plain
from bcca_protocol.results import ReadLog
from bcca_protocol.rollup import RollUp
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.verify import VerifiedLog
from bcca_protocol.wire import b64


class Step(NamedTuple):
    """One thing that was checked, and what it showed."""

    number: int
    what: str
    found: str


OnStep = Callable[[Step], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a bundle proves. `unverified` comes first wherever it is shown.

    `total` is kg CO2e excluding biogenic uptake for `needed.amount` of `unit`. Every log was seen
    by a quorum at `as_of` or later; the bundle is looked at from `at` (both POSIX seconds).
    """

    product: str
    maker: str
    unit: str
    total: Decimal
    footprint: Footprint
    incomplete: bool
    evidence: Evidence
    as_of: int
    at: int
    unverified: tuple[str, ...]
    totals: Totals
    needed: Demand


def audit(
    lines: Iterable[bytes],
    trusted: Policy,
    *,
    at: int | None = None,
    on_step: OnStep = lambda _: None,
) -> Report:
    """Return what the bundle in `lines` proves under `trusted`, its total recomputed.

    Without `at` the bundle is looked at from the newest time at which a quorum saw one of its logs.
    `on_step` hears of each step as it holds. Raises what the step that fails raises (SPEC 11).
    """
    # 1. The file is whole: lines in their one form, as many as its end counts, with its digest.
    found = bundle.read(lines)
    on_step(Step(1, "file", f"{found.end.lines} lines with SHA-256 {found.end.sha256}"))
    # 2. Every log is known or introduced, cosigned by a quorum, and hashes to its root.
    # 3. Every statement is signed, entered under a valid key, canonical, and sums up.
    evidence = _evidence(found.contents, trusted, at, on_step)
    # 4. The maker sealed the file.
    maker = found.contents.header.maker
    bundle.verify_seal(found, _log_of(evidence, maker).history)
    on_step(Step(4, "seal", f"by {maker}, with a statement key valid at its log's end"))
    # 5. The roll-up and all it was made from are current; it was made from trees that are here.
    # 6. Recomputed from the statements, every number of it is the same.
    return _report(found.contents, evidence, at, on_step)


def examine(
    found: Contents, trusted: Policy, *, at: int | None = None, on_step: OnStep = lambda _: None
) -> Report:
    """Return what `audit` would, of contents that are no file yet: steps 2, 3, 5 and 6."""
    return _report(found, _evidence(found, trusted, at, on_step), at, on_step)


def _evidence(found: Contents, trusted: Policy, at: int | None, on_step: OnStep) -> Evidence:
    evidence = read_evidence(found, trusted, at=at)
    on_step(Step(2, "logs", evidence.tell_logs(trusted)))
    on_step(Step(3, "statements", evidence.tell_statements()))
    return evidence


def _report(found: Contents, evidence: Evidence, at: int | None, on_step: OnStep) -> Report:
    rolled = _roll_up(found, evidence)
    _check_rules(rolled.statement, found)
    _check_trees(rolled.statement, found, evidence)
    on_step(Step(5, "roll-up", f"{rolled.commitment} is current, and so is what it is made from"))
    totals, needed = _recompute(rolled, evidence)
    total = footprint.total(rolled.footprint)
    on_step(Step(6, "recomputed", f"{plain(total)} kg CO2e, the same in every digit"))
    seen = evidence.times()
    looked = max(seen) if at is None else at
    return Report(
        product=rolled.product,
        maker=found.header.maker,
        unit=rolled.statement.declared_unit.unit,
        total=total,
        footprint=rolled.footprint,
        incomplete=rolled.statement.incomplete,
        evidence=evidence,
        as_of=min(seen),
        at=looked,
        unverified=tuple(caveats(rolled, found, evidence, looked)),
        totals=totals,
        needed=needed,
    )


def _log_of(evidence: Evidence, origin: str) -> VerifiedLog:
    try:
        return evidence.logs[origin]
    except KeyError:
        raise AuthorshipError(f"the log of {origin} is not in the bundle") from None


def _roll_up(found: Contents, evidence: Evidence) -> RollUp:
    """Return the roll-up the header names, current and of the maker (SPEC 11.5)."""
    header = found.header
    period.moment(header.made)
    signed = evidence.facts.get(header.roll_up)
    if signed is None or not isinstance(signed.fact, RollUp):
        raise StatementError(f"the bundle names roll-up {header.roll_up}, which is not in it")
    rolled = signed.fact
    if (rolled.issuer, rolled.product) != (header.maker, header.product):
        raise StatementError(
            f"the bundle is about {header.product} of {header.maker}, its roll-up about "
            f"{rolled.product} of {rolled.issuer}"
        )
    for name, each in evidence.facts.items():
        if not each.is_current:
            raise StatementError(f"statement {name} is not current: {each.status or 'broken log'}")
    return rolled


def _check_rules(rolled: FootprintRollUp, found: Contents) -> None:
    """Raise StatementError unless the roll-up follows the rules this verifier can repeat."""
    neutral = manifest.neutral_rules()
    if rolled.rules != neutral:
        raise StatementError(
            f"made by rules {rolled.rules.name} ({rolled.rules.digest}), this verifier repeats "
            f"{neutral.name} ({neutral.digest})"
        )
    for rules in found.rules:
        if "\n".join(rules.lines) != manifest.NEUTRAL_RULES:
            raise StatementError(f"the text of rules {rules.name} is not what the roll-up names")


def _check_trees(rolled: FootprintRollUp, found: Contents, evidence: Evidence) -> None:
    """Raise unless each tree the roll-up read is a beginning of a log that is here (SPEC 11.5)."""
    entries = {line.origin: line.entries for line in found.logs}
    read = {tree.origin: tree for tree in rolled.logs}
    for tree in rolled.logs:
        _log_of(evidence, tree.origin)
        _check_tree(tree, entries[tree.origin])
    for signed in evidence.parts().values():
        tree_read = read.get(signed.fact.issuer)
        if tree_read is None or signed.index >= int(tree_read.size):
            raise StatementError(
                f"statement {signed.fact.commitment} is entry {signed.index} of "
                f"{signed.fact.issuer}, of which the roll-up read "
                f"{tree_read.size if tree_read else 0} entries"
            )


def _check_tree(tree: ReadLog, entries: tuple[str, ...]) -> None:
    size = int(tree.size)
    if size > len(entries):
        raise ProofError(f"log {tree.origin}: the roll-up read {size} entries of {len(entries)}")
    root = merkle.Tree(merkle.leaf_hash(entry.encode()) for entry in entries[:size]).root()
    if b64(root) != tree.root:
        raise ProofError(
            f"log {tree.origin}: its first {size} entries hash to {b64(root)}, the roll-up read "
            f"{tree.root}"
        )


def _recompute(rolled: RollUp, evidence: Evidence) -> tuple[Totals, Demand]:
    """Return the totals and demands behind `rolled`; raises StatementError where it differs."""
    stated = rolled.statement
    if stated.manifest is None:
        raise StatementError("the roll-up has no manifest here: its numbers are its issuer's claim")
    parts = evidence.parts()
    rule = chooser(parts.values(), rolled.period)
    graph = connect(parts.values(), Stated(stated.manifest, parts, rule))
    root = _root(graph, rolled)
    totals = aggregate(graph, [root])
    needed = demand(totals, root, number(stated.declared_unit.amount))
    recomputed = _in_the_makers_eyes(manifest.state(totals, needed, _frame(stated)), stated)
    uncomputed = {name: getattr(stated, name) for name in _UNCOMPUTED}
    recomputed = msgspec.structs.replace(recomputed, **uncomputed)
    if stated != recomputed:
        field, here, there = _first_difference("", to_builtins(stated), to_builtins(recomputed))
        raise StatementError(
            f"roll-up {rolled.commitment}: {field} is stated as {_shown(here)}, recomputed as "
            f"{_shown(there)}"
        )
    return totals, needed


def _in_the_makers_eyes(recomputed: FootprintRollUp, stated: FootprintRollUp) -> FootprintRollUp:
    """Take over who was introduced: that depends on the policy, the maker's and the reader's."""
    weights = msgspec.structs.replace(recomputed.weights, introduced=stated.weights.introduced)
    return msgspec.structs.replace(recomputed, weights=weights)


_UNCOMPUTED = frozenset(
    {"nonce", "follows", "materials", "carbon_content", "battery", "uncertainty"}
)


def _root(graph: Graph, rolled: RollUp) -> int:
    """Return the part that the roll-up is about: same issuer, product, site, batch, period."""
    site = rolled.statement.site.id if rolled.statement.site else None
    wanted = (rolled.issuer, rolled.product, site, rolled.statement.batch, rolled.period)
    found = [
        index
        for index, part in enumerate(graph.parts)
        if (part.issuer, part.product, part.site, part.batch, part.period) == wanted
    ]
    if not found:
        raise StatementError(f"no partial footprint of {rolled.product} of {rolled.issuer} is here")
    if len(found) > 1:
        names = " and ".join(graph.parts[index].commitment for index in found)
        raise StatementError(f"{rolled.product} of {rolled.issuer}: two current parts, {names}")
    return found[0]


def _frame(stated: FootprintRollUp) -> Frame:
    return Frame(
        issuer=stated.issuer,
        product=stated.product,
        producer=stated.producer,
        site=stated.site,
        batch=stated.batch,
        method=stated.method,
        sharing=stated.sharing,
        period=stated.period,
        reference_date=stated.reference_date,
        logs=stated.logs,
        corrects=stated.corrects,
    )


def _first_difference(field: str, here: object, there: object) -> tuple[str, object, object]:
    """Return the first field in which two values differ, and what each has there."""
    pairs: list[tuple[str, object, object]] = []
    match here, there:
        case dict(), dict():
            names = [*here, *(name for name in there if name not in here)]
            pairs = [(f"{field}.{name}", here.get(name), there.get(name)) for name in names]
        case tuple(), tuple():
            numbered = enumerate(zip_longest(here, there))
            pairs = [(f"{field}.{i}", one, other) for i, (one, other) in numbered]
    for name, one, other in pairs:
        if one != other:
            return _first_difference(name, one, other)
    return field.removeprefix("."), here, there


def _shown(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


_SHOWN_CHARS = 300
