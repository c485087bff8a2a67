"""What a reviewer asks in the first five minutes, answered or said to be open (accounting, 11)."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from bcca_node.packmaker import certificates, questions, working
from bcca_node.packmaker.explain import share, shown
from bcca_node.packmaker.questions import Answer
from bcca_node.packmaker.recalled import Before, Recalled
from bcca_node.packmaker.results import UNSIGNED, Results
from bcca_protocol import shares
from bcca_protocol.allowing import called, is_mandatory
from bcca_protocol.graph import Leaf, double_claims
from bcca_protocol.inventory import Activity
from bcca_protocol.quantity import ZERO, exact, number
from bcca_protocol.substituted import NOBODY, Substituted, is_unsigned_footprint

MOST_DATASETS = 5  # the weightiest, one by one
MOST_NAMES = 5


def review(recalled: Recalled, results: Results, before: Before | None = None) -> list[Answer]:
    """Return an answer to each question, in the order of the accounting rules."""
    found = _Review(recalled, results)
    stated = recalled.statement
    return [
        questions.of_battery(stated.battery),
        questions.of_variants(stated),
        questions.of_materials(results.balance),
        found.meters(),
        found.electricity(),
        found.mandatory(),
        found.sensitivity(),
        found.verified(),
        found.black_boxes(),
        questions.of_changes(before, stated, results.total),
    ]


class _Review:
    """A result under a reviewer's eyes."""

    def __init__(self, recalled: Recalled, results: Results) -> None:
        self._recalled = recalled
        self._results = results
        self._stated = recalled.statement
        self._graph = recalled.totals.graph
        self._reached = sorted(recalled.totals.vectors)

    def meters(self) -> Answer:
        """Product x volume against plant meters and green certificates?"""
        parts = [self._graph.parts[index] for index in self._reached]
        claims = {claim for part in parts for claim in part.claims}
        twice = [claim for claim, _, _ in double_claims(parts)]
        return Answer(
            question="Product x volume against plant meters and green certificates?",
            verdict="partly",
            words=(
                f"{len(claims)} green certificates are claimed, {len(twice)} of them twice",
                "volumes and meters are in no statement",
            ),
            needed="the plants' production volumes and meter readings, shown to the reviewer alone",
        )

    def electricity(self) -> Answer:
        """National mix against contracts?"""
        market, location = self._results.total, self._results.by_location
        sums: dict[str, Decimal] = {}
        for line, kg in self._lines():
            if line.electricity is not None:
                supply = line.electricity.supply
                sums[supply] = working.added((sums.get(supply, ZERO), kg))
        parted = ", ".join(f"{name} {shown(kg)} kg" for name, kg in sorted(sums.items()))
        located = self._stated.location_footprint is not None
        words = [f"market-based {shown(market)} kg CO2e, location-based {shown(location)} kg CO2e"]
        if not located:
            words = [f"{shown(market)} kg CO2e either way: no statement gives a location factor"]
        words.append(f"own power by supply: {parted or 'no line says how it was bought'}")
        words += certificates.of_lines(line for line, _ in self._lines())
        return Answer(
            question="National mix against contracts?",
            verdict="answered" if located or not sums else "partly",
            words=tuple(words),
            needed="" if located or not sums else "a locationFactor on lines of bought power",
        )

    def mandatory(self) -> Answer:
        """Are the mandatory company-specific processes covered, by which database versions?"""
        rules, verdict = self._recalled.rules, self._recalled.report.verdict
        blocks = [] if verdict is None else [e for e in verdict.blocks if e.code == "mandatory"]
        signed = [
            part
            for index in self._reached
            if (part := self._graph.parts[index]).issuer != NOBODY
            and is_mandatory(part.product, rules, called([part], rules))
        ]
        words = [
            f"rules {rules.name}: {len(rules.mandatory)} patterns, "
            f"{len(signed)} products of them signed, {len(blocks)} not"
        ]
        words += [each.words for each in blocks[:MOST_NAMES]]
        words += self._datasets()
        needed = ""
        if not rules.mandatory:
            needed = "rules that name the processes: those followed name none"
        return Answer(
            question=(
                "Are the mandatory company-specific processes covered, by which database versions?"
            ),
            verdict="answered" if rules.mandatory else "partly",
            words=tuple(words),
            needed=needed,
        )

    def sensitivity(self) -> Answer:
        """Sensitivity to allocation and to the circular formula?"""
        parts = [self._graph.parts[index] for index in self._reached]
        known = (self._recalled.lines.get(part.commitment) for part in parts)
        allocated = [e.allocation.basis for e in known if e is not None and e.allocation]
        bases = Counter[str](allocated)
        by = ", ".join(f"{name} in {count}" for name, count in sorted(bases.items())) or "nowhere"
        joint = working.added([abs(kg) for line, kg in self._lines() if line.joint])
        materials = self._graph.parts[self._recalled.needed.root].materials
        gross = number(self._stated.weights.absolute)
        words = [
            f"allocated: {by}; {shown(joint)} kg CO2e of own lines, {share(joint, gross)} of the "
            "gross total, depends on its basis",
            questions.of_recycling(materials, parts),
        ]
        return Answer(
            question="Sensitivity to allocation and to the circular formula?",
            verdict="partly",
            words=tuple(words),
            needed="co-products' amounts on another basis; virginFactor and recycledFactor of "
            "every material, and R2 and A by the rules",
        )

    def verified(self) -> Answer:
        """Who verified, with which materiality and coverage?"""
        found = shares.shares(self._stated.weights)
        covered = found.limited or found.reasonable
        return Answer(
            question="Who verified, with which materiality and coverage?",
            verdict="partly" if covered else "cannot say",
            words=(
                f"signed by those who say it: {_percent(found.signed)}; known by introduction "
                f"alone: {_percent(found.introduced)}",
                f"not signed: unsigned footprints {_percent(found.unsigned)}, defaults "
                f"{_percent(found.default)}",
                *self._unsigned(),
                f"third-party opinions, limited: {_percent(found.limited)}, reasonable: "
                f"{_percent(found.reasonable)}",
                *(
                    f"{each.tell()}, materiality {each.opinion.statement.materiality_percent} %"
                    for each in self._recalled.report.assured.weighed[:MOST_NAMES]
                ),
            ),
            needed="auditors' opinions on these statements; their materiality stands there",
        )

    def black_boxes(self) -> Answer:
        """What stands behind tier-1's black boxes?"""
        graph, root = self._graph, self._recalled.needed.root
        first = sorted({term.supplier for term in graph.terms[root]})
        dark = [i for i in self._reached if isinstance(graph.sources[i], Leaf | Substituted)]
        behind = [i for i in first if i in dark]
        needed = self._recalled.needed
        with exact():
            kg = sum((abs(each.kg) for each in self._results.kinds if each.name in _DARK), ZERO)
        gaps = sum(e.resolved.gap is not None for e in self._stated.manifest or ())
        words = [
            f"{len(first) - len(behind)} of {len(first)} tier-1 inputs are opened to their lines; "
            f"{len(dark)} of {len(needed.amounts)} parts in all tiers are not: {shown(kg)} kg CO2e",
            f"{gaps} inputs are missing",
        ]
        words += [
            f"not shown: {graph.parts[i].name} of {graph.parts[i].producer}"
            for i in dark[:MOST_NAMES]
        ]
        return Answer(
            question="What stands behind tier-1's black boxes?",
            verdict="partly" if dark or gaps else "answered",
            words=tuple(words),
            needed="their partial footprints, or their manifests: see `bcca chase`"
            if dark or gaps
            else "",
        )

    def _lines(self) -> Iterator[tuple[Activity, Decimal]]:
        """Yield every own line that counts, and its kg CO2e in the result."""
        dropped = self._recalled.dropped()
        for index in self._reached:
            part = self._graph.parts[index]
            statement = self._recalled.lines.get(part.commitment)
            if statement is None or isinstance(self._graph.sources[index], Leaf):
                continue
            amount = self._recalled.needed.amounts[index]
            for at, line in enumerate(statement.activities):
                if (index, at) not in dropped:
                    each = working.own_line(statement, line).value
                    yield line, working.in_amount(each, part, amount, "").value

    def _unsigned(self) -> list[str]:
        """Return why each footprint that nobody signed is there, and what was done to it."""
        sources = (self._graph.sources[index] for index in self._reached)
        stated = [each.stated for each in sources if isinstance(each, Substituted)]
        told = [
            f"unsigned footprint {each.factor.dataset} of {each.factor.source}: {each.reason}"
            for each in stated
            if is_unsigned_footprint(each)
        ]
        more = len(told) - MOST_NAMES
        others = [f"and {more} others, as `bcca explain` says"] if more > 0 else []
        return [*told[:MOST_NAMES], *others]

    def _datasets(self) -> list[str]:
        """Return the databases and versions behind the result, the weightiest first."""
        sums: dict[str, Decimal] = {}
        with exact():
            for line, kg in self._lines():
                name = f"{line.factor.source}, version {line.factor.version or 'not stated'}"
                sums[name] = sums.get(name, ZERO) + abs(kg)
        ranked = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
        gross = number(self._stated.weights.absolute)
        told = [f"{name}: {share(kg, gross)} of the gross total" for name, kg in ranked]
        more = len(told) - MOST_DATASETS
        return [*told[:MOST_DATASETS], *([f"and {more} others"] if more > 0 else [])]


_DARK = frozenset({"substitute", "cumulative", UNSIGNED})


def _percent(value: Decimal) -> str:
    return f"{value:.1f} %"
