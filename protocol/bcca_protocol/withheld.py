"""What a bundle names and does not show: what its log proves of it, and what nobody here can tell.

A maker withholds what its recipient may not see (SPEC 10.4). That it did so rightly is its own
word. It cannot withhold the roll-up, what is here, or what the roll-up was not made from.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bcca_protocol.bundle import Contents, Withheld
from bcca_protocol.entry import Status
from bcca_protocol.errors import AuthorshipError, MalformedError, StatementError
from bcca_protocol.evidence import Evidence
from bcca_protocol.keys import Role
from bcca_protocol.results import Edge
from bcca_protocol.rollup import RollUp
from bcca_protocol.verify import VerifiedLog

_VOIDING = (Status.REVOKED, Status.CORRECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """A statement that is not here: its line, and the log that entered it, if that is here."""

    line: Withheld
    log: VerifiedLog | None

    @property
    def commitment(self) -> str:
        """The name of the statement."""
        return self.line.commitment

    def tell(self) -> str:
        """Return in words what is proven of it, and what is not."""
        return (
            f"withheld: statement {self.commitment} of {self.line.origin}: {self._proven()}; "
            f"why, in its maker's words: {self.line.reason}"
        )

    def _proven(self) -> str:
        if self.log is None:
            return "unproven, since nobody here names the key of its log"
        voided = sum(each.status in _VOIDING for each in self.log.history.statuses.values())
        entered = f"entry {self.line.index} of its log, under a key valid there"
        if not voided:
            return f"{entered}; of that log nothing was revoked or corrected"
        return (
            f"{entered}; of that log {voided} were revoked or corrected, and whether it is one of "
            "them only who holds it can tell"
        )


def read_withheld(found: Contents, rolled: RollUp, evidence: Evidence) -> dict[str, Hidden]:
    """Return what is withheld of what `rolled` was made from, by commitment (SPEC 11.5).

    Raises MalformedError for a statement that is withheld twice, or withheld and here;
    StatementError for one that the roll-up was not made from, or whose log is broken or was not
    read so far; AuthorshipError for one that its log did not enter under a valid key.
    """
    edges = rolled.statement.manifest or ()
    hidden = {}
    for line in found.withheld:
        if line.commitment in evidence.facts:
            raise MalformedError(f"bundle: statement {line.commitment} is here, and withheld")
        if line.commitment in hidden:
            raise MalformedError(f"bundle: statement {line.commitment} is withheld twice")
        hidden[line.commitment] = Hidden(line=line, log=evidence.logs.get(line.origin))
    if hidden:
        _require_used(hidden, rolled, evidence)
        _require_known(edges, hidden, evidence)
    for each in hidden.values():
        _require_entered(each, rolled)
    return hidden


def _require_used(hidden: Mapping[str, Hidden], rolled: RollUp, evidence: Evidence) -> None:
    """Raise StatementError for what the roll-up was not made from, if all it says is true.

    A roll-up of a part that buys nothing has no edges: then its maker may withhold that one.
    """
    edges = rolled.statement.manifest or ()
    used = {edge.consumer for edge in edges} | {edge.resolved.commitment for edge in edges}
    for name, each in hidden.items():
        is_root = not edges and not evidence.parts() and each.line.origin == rolled.issuer
        if name not in used and not (is_root and len(hidden) == 1):
            raise StatementError(
                f"statement {name} is withheld, and roll-up {rolled.commitment} is not made from it"
            )


def _require_known(
    edges: tuple[Edge, ...], hidden: Mapping[str, Hidden], evidence: Evidence
) -> None:
    """Raise StatementError for an edge of nobody; AuthorshipError where a log has to be here."""
    parts = evidence.parts()
    for edge in edges:
        fed = edge.resolved.commitment
        for name, here in ((edge.consumer, parts), (fed, evidence.facts)):
            if name is not None and name not in here and name not in hidden:
                raise StatementError(
                    f"manifest: line {edge.line} of {edge.consumer}: {name} is neither here nor "
                    "withheld"
                )
        if edge.consumer not in parts:
            continue
        if all(edge.line != bought.line for bought in parts[edge.consumer].fact.bought):
            raise StatementError(f"manifest: {edge.consumer} has no input {edge.line}")
        if fed is not None and fed in hidden and hidden[fed].log is None:
            raise AuthorshipError(
                f"statement {fed} is withheld, and the log of {hidden[fed].line.origin} that "
                f"{edge.consumer} names is not in the bundle"
            )


def _require_entered(each: Hidden, rolled: RollUp) -> None:
    """Raise unless the log, if it is here, entered the statement before the roll-up read it."""
    line, log = each.line, each.log
    what = f"statement {line.commitment}, which is withheld"
    sizes = {tree.origin: int(tree.size) for tree in rolled.statement.logs}
    if line.origin not in sizes:
        raise StatementError(f"{what}: the roll-up read no log of {line.origin}")
    if log is None:
        if line.index is not None:
            raise MalformedError(
                f"{what}: entry {line.index} of {line.origin}, whose log is not here"
            )
        return
    found = log.history.statements.get(bytes.fromhex(line.commitment))
    if found is None:
        raise AuthorshipError(f"{what}: the log of {line.origin} holds no entry for it")
    log.history.key_at(found.key, found.index, Role.STATEMENT)
    if line.index != str(found.index):
        raise MalformedError(
            f"{what}: entry {found.index} of {line.origin}, the bundle has index {line.index}"
        )
    if log.history.broken is not None:
        raise StatementError(f"{what}: not current: broken log")
    if found.index >= sizes[line.origin]:
        raise StatementError(
            f"{what}: entry {found.index} of {line.origin}, of which the roll-up read "
            f"{sizes[line.origin]} entries"
        )
