"""Electricity certificates that two statements claim, used here or only read (SPEC 7.4)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bcca_node.packmaker.collect import Collected
from bcca_protocol.aggregate import Totals
from bcca_protocol.graph import double_claims
from bcca_protocol.inventory import Activity
from bcca_protocol.partial import Part
from bcca_protocol.ready import Reason


class Twice(NamedTuple):
    """A certificate, the statement used that claims it, and another that does: `is_used` or not."""

    claim: str
    one: Part
    other: Part
    is_used: bool

    def tell(self) -> str:
        """Return it in words."""
        beside = "" if self.is_used else ", which is not used here"
        return (
            f"{self.claim}, by {self.one.commitment} of {self.one.issuer} for {self.one.product} "
            f"and {self.other.commitment} of {self.other.issuer} for {self.other.product}{beside}"
        )


def claimed_twice(collected: Collected, totals: Totals) -> list[Twice]:
    """Return each certificate that a statement reached shares with another that was read.

    Each counts once in the network, whoever buys what; of statements no longer current nothing
    is said.
    """
    used = [totals.graph.parts[index] for index in sorted(totals.vectors)]
    names = {part.commitment for part in used}
    beside = [part for part in collected.beside if part.commitment not in names]
    return [
        Twice(claim, one, other, other.commitment in names)
        for claim, one, other in double_claims((*used, *beside))
        if one.commitment in names
    ]


def beside(found: Iterable[Twice]) -> Iterator[Reason]:
    """Yield those that only who read the other statement can know."""
    for each in found:
        if not each.is_used:
            yield Reason("claimed", f"an electricity certificate is claimed twice: {each.tell()}")


def of_lines(lines: Iterable[Activity]) -> list[str]:
    """Return in words which lines of power name a certificate that they should not, or none.

    A certificate has no amount of its own: it is claimed for the power of its line, so that within
    a statement more is never claimed than consumed.
    """
    bought = [each.electricity for each in lines if each.electricity is not None]
    bare = sum(e.supply == "contract" and e.instrument is None for e in bought)
    odd = sum(e.supply in {"grid", "residual"} and e.instrument is not None for e in bought)
    words = []
    if bare:
        words.append(f"{bare} lines of contracted power name no certificate")
    if odd:
        words.append(f"{odd} lines of grid or residual power name a certificate")
    return words
