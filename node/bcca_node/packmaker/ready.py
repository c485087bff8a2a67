"""Whether a run's result may be declared by its rules, and every reason why not (SPEC 9.8)."""

from collections.abc import Iterator, Sequence

from bcca_node.packmaker import certificates
from bcca_node.packmaker.collect import Collected
from bcca_protocol import period, ready
from bcca_protocol.aggregate import Totals
from bcca_protocol.assurance import Weighed
from bcca_protocol.ready import Reason, Verdict
from bcca_protocol.rules import RuleSet
from bcca_protocol.statement import FootprintRollUp


def judge(
    rules: RuleSet,
    collected: Collected,
    totals: Totals,
    stated: FootprintRollUp,
    weighed: Sequence[Weighed] = (),
) -> Verdict:
    """Return what the rules say of a roll-up that was made of what a run collected."""
    logs = {**collected.verifiers, **collected.logs}
    heads = {origin: read.log.head for origin, read in logs.items()}
    heads[collected.own.head.checkpoint.origin] = collected.own.head
    witnesses = {tree.origin: len(heads[tree.origin].witnesses) for tree in stated.logs}
    used = {tree.origin for tree in stated.logs}
    twice = certificates.claimed_twice(collected, totals)
    beside = (
        *_copied(collected, used),
        *ready.adverse(weighed),
        *certificates.beside(twice),
    )
    return ready.judge(rules, totals, stated, witnesses, beside)


def _copied(collected: Collected, used: set[str]) -> Iterator[Reason]:
    """Yield whom only copies answered for: newer statements of theirs nobody here has seen."""
    for origin in sorted(used & collected.copied.keys()):
        since = period.text_at(collected.logs[origin].log.head.time)
        why = collected.copied[origin].reason
        yield Reason("copied", f"log {origin}: read from copies as of {since}, since {why}")
