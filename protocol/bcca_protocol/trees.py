"""The trees that a roll-up read, held against the logs that are here (SPEC 11.5)."""

from collections.abc import Iterable, Mapping

from bcca_protocol import merkle
from bcca_protocol.bundle import Contents
from bcca_protocol.errors import AuthorshipError, ProofError, StatementError
from bcca_protocol.evidence import Evidence
from bcca_protocol.facts import Fact
from bcca_protocol.results import ReadLog
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.substituted import replaced_in
from bcca_protocol.verify import Verified, VerifiedLog
from bcca_protocol.wire import b64
from bcca_protocol.withheld import Hidden


def log_of(evidence: Evidence, origin: str) -> VerifiedLog:
    """Return the log of `origin`; raises AuthorshipError where it is not in the bundle."""
    try:
        return evidence.logs[origin]
    except KeyError:
        raise AuthorshipError(f"the log of {origin} is not in the bundle") from None


def check_trees(
    rolled: FootprintRollUp, found: Contents, evidence: Evidence, hidden: Iterable[Hidden]
) -> None:
    """Raise unless each tree the roll-up read is a beginning of a log that is here (SPEC 11.5).

    A log that nobody here names may be left out with what it entered; so may one of which nothing
    was used: opinions were read there (SPEC 8.4).
    """
    entries = {line.origin: line.entries for line in found.logs}
    read = {tree.origin: tree for tree in rolled.logs}
    beside = [*hidden]
    left_out = {each.line.origin for each in beside if each.log is None}
    used = _used(rolled, evidence)
    wanted = {each.line.origin for each in beside} | {each.fact.issuer for each in used}
    for tree in rolled.logs:
        if tree.origin in left_out or (tree.origin not in wanted and tree.origin not in entries):
            continue
        if tree.origin not in evidence.aside:
            log_of(evidence, tree.origin)
        _check_tree(tree, entries[tree.origin])
    for signed in used:
        _check_read(signed, read)


def are_opinions_read(rolled: FootprintRollUp, evidence: Evidence) -> bool:
    """Say whether a tree was read of which nothing was used: where opinions may have been."""
    issuers = {each.fact.issuer for each in _used(rolled, evidence)}
    return any(tree.origin not in issuers for tree in rolled.logs)


def _used(rolled: FootprintRollUp, evidence: Evidence) -> list[Verified[Fact]]:
    """Return what the roll-up was made from: not what own values go over."""
    edges = rolled.manifest or ()
    named, aside = {edge.resolved.commitment for edge in edges}, replaced_in(edges)
    used: list[Verified[Fact]] = [e for n, e in evidence.parts().items() if n not in aside]
    return used + [each for name, each in evidence.roll_ups().items() if name in named]


def _check_read(signed: Verified[Fact], read: Mapping[str, ReadLog]) -> None:
    tree = read.get(signed.fact.issuer)
    if tree is None or signed.index >= int(tree.size):
        raise StatementError(
            f"statement {signed.fact.commitment} is entry {signed.index} of "
            f"{signed.fact.issuer}, of which the roll-up read {tree.size if tree else 0} entries"
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
