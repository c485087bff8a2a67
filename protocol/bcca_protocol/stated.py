"""A manifest followed: what it feeds to each input, where the rules allow it (SPEC 9.7)."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bcca_protocol.allowing import called, refusal
from bcca_protocol.choices import Choice, Flagged, Missing, Offer
from bcca_protocol.choosing import chooser, fitted, gives_way
from bcca_protocol.cumulative import Leaf
from bcca_protocol.errors import StatementError
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span
from bcca_protocol.results import Edge, Resolved, Substitute
from bcca_protocol.rules import RuleSet
from bcca_protocol.substituted import Substituted, replaced_by, replaced_in, substituted

NOTHING_WITHHELD: Mapping[str, str] = MappingProxyType({})


class Stated:
    """Feeds each input as a manifest says, after checking that it may (SPEC 9.7)."""

    def __init__(
        self,
        edges: tuple[Edge, ...],
        offers: Iterable[Offer],
        period: Span,
        rules: RuleSet,
        withheld: Mapping[str, str] = NOTHING_WITHHELD,
    ) -> None:
        """Take the edges, what is here, the root's period and the rules that choose.

        `withheld` has the issuers of statements that are not here, by commitment.
        """
        here = list(offers)
        leaves = [each for each in here if isinstance(each, Leaf)]
        self._rules = rules
        self._choose = chooser(here, period, rules)
        # Who made the roll-up may not have been shown the partial footprint that is here.
        self._choose_leaf = chooser(leaves, period, rules)
        self._edges = {(edge.consumer, edge.line): edge.resolved for edge in edges}
        self._here = {each.fact.commitment for each in here}
        self._current = {each.fact.commitment for each in here if each.is_current}
        self._replaced = replaced_in(edges)
        self._leaves = {each.fact.commitment for each in leaves}
        self._withheld = withheld
        self._called = called((each.fact for each in here), rules)
        if len(self._edges) != len(edges):
            raise StatementError("manifest: an input stands twice")

    def __call__(self, consumer: Part, bought: Bought) -> Choice:
        """Return what feeds `bought`; raises StatementError where the manifest may not say so."""
        resolved = self._edges.get((consumer.commitment, bought.line), _UNSTATED)
        what = f"manifest: line {bought.line} of {consumer.commitment}"
        if resolved.substitute is not None:
            return self._stand_in(what, consumer, bought, resolved.substitute)
        if resolved.commitment is not None and resolved.commitment in self._withheld:
            return self._unseen(what, bought, resolved.commitment)
        if resolved.commitment is not None and resolved.commitment not in self._here:
            raise StatementError(f"{what}: fed by {resolved.commitment}, which is not here")
        is_leaf = resolved.commitment in self._leaves
        chosen = (self._choose_leaf if is_leaf else self._choose)(consumer, bought)
        found = None if isinstance(chosen, Missing) else chosen.fact.commitment
        if resolved is _UNSTATED and self._is_set_aside(consumer, bought, found):
            return Missing(f"{bought.product} of {bought.origin}: set aside by an own value")
        if found != resolved.commitment:
            raise StatementError(
                f"{what}: fed by {resolved.commitment or 'nothing'}, where the rules choose "
                f"{found or 'nothing'} of what is here"
                + (f": {chosen.reason}" if isinstance(chosen, Missing) else "")
            )
        if isinstance(chosen, Missing) and resolved.gap is not None:
            return Missing(resolved.gap.reason)
        return chosen

    def _stand_in(
        self, what: str, consumer: Part, bought: Bought, stated: Substitute
    ) -> Substituted:
        """Return what stands in for a statement; raises where nothing may, or this may not."""
        why_not = refusal(stated, bought.product, self._rules, self._called)
        if why_not is not None:
            raise StatementError(f"{what}: a substitute, where {why_not}")
        replaced = replaced_by(stated)
        if replaced:
            self._check_replaced(what, consumer, bought, replaced)
        else:
            self._check_missing(what, consumer, bought, stated)
        found = fitted(substituted(stated, bought, consumer), bought)
        if isinstance(found, Missing):
            raise StatementError(f"{what}: a substitute that does not fit: {found.reason}")
        return found

    def _is_set_aside(self, consumer: Part, bought: Bought, found: str | None) -> bool:
        """Say whether an own value goes over the consumer, or over what would feed nothing of it.

        The first feeds nobody, so that nobody says what feeds it (SPEC 9.10).
        """
        idle = not bought.amount and found in self._replaced
        return idle or consumer.commitment in self._replaced

    def _check_replaced(
        self, what: str, consumer: Part, bought: Bought, replaced: tuple[str, ...]
    ) -> None:
        """Raise unless the rules choose the statements that an own value says it goes over.

        Of what is not here, or no longer current, nobody can tell: it is then the maker's word.
        """
        if not self._current.issuperset(replaced):
            return
        choose = self._choose_leaf if self._leaves.issuperset(replaced) else self._choose
        chosen = choose(consumer, bought)
        found = chosen.here if isinstance(chosen, Missing) else (chosen.fact.commitment,)
        if set(found) != set(replaced):
            raise StatementError(
                f"{what}: an own value over {' and '.join(replaced)}, where the rules choose "
                f"{' and '.join(found) or 'nothing'} of what is here"
            )

    def _check_missing(self, what: str, consumer: Part, bought: Bought, stated: Substitute) -> None:
        """Raise where a statement is here, and the substitute does not say that it goes over it."""
        chosen = self._choose(consumer, bought)
        if isinstance(chosen, Missing) and chosen.is_settled:
            raise StatementError(
                f"{what}: a substitute, where a statement is here: {chosen.reason}"
            )
        if not isinstance(chosen, Missing) and not gives_way(chosen, stated):
            flagged = f" ({chosen.why.code})" if isinstance(chosen, Flagged) else ""
            raise StatementError(
                f"{what}: a substitute, where the rules choose statement "
                f"{chosen.fact.commitment}{flagged} of what is here"
            )

    def _unseen(self, what: str, bought: Bought, commitment: str) -> Missing:
        """Return that nothing here feeds an input; raises where what is withheld cannot feed it."""
        issuer = self._withheld[commitment]
        if issuer != bought.origin:
            raise StatementError(
                f"{what}: bought of {bought.origin}, fed by {commitment}, withheld as one of "
                f"{issuer}"
            )
        if bought.pinned not in (None, commitment):
            raise StatementError(
                f"{what}: fed by {commitment}, which is withheld, where it pins {bought.pinned}"
            )
        return Missing(f"{bought.product} of {bought.origin}: {commitment} is withheld")


_UNSTATED = Resolved()
