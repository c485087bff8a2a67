"""What a run knows of statements so far, and which of them feeds what."""

from collections.abc import Iterable
from typing import Final

from bcca_node.packmaker.held import Held
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.told import Ask
from bcca_protocol.choices import Missing
from bcca_protocol.choosing import Choosing
from bcca_protocol.substituted import Substituted

NOT_SIGNED: Final = (Missing, Substituted)  # a tuple: a union would be made for each of all inputs


class Choices:
    """Statements by commitment, in `known`, and what of them feeds an input, in `choose`."""

    def __init__(self, plan: Plan) -> None:
        """Know nothing yet."""
        self.choose = Choosing(plan.period, plan.rules, plan.stand_ins)
        self.known: dict[str, Held] = {}
        self._by_product: dict[tuple[str, str], set[str]] = {}
        self._is_unsettled = False

    def know(self, found: Iterable[Held]) -> None:
        """Take statements, each in the place of what is known by its commitment."""
        for each in found:
            part, before = each.part, self.known.get(each.part.commitment)
            if before is each:
                continue
            if before is not None:
                self.drop(part.commitment)
            self.known[part.commitment] = each
            self._by_product.setdefault((part.issuer, part.product), set()).add(part.commitment)
            self._is_unsettled |= self.choose.add(each.signed)

    def drop(self, name: str) -> Held:
        """Forget a statement, and return it."""
        found = self.known.pop(name)
        self._by_product[found.part.issuer, found.part.product].discard(name)
        self.choose.drop(found.signed)
        self._is_unsettled = True
        return found

    def lack(self, origin: str, ask: Ask) -> bool:
        """Say whether no statement of a product is known, current or not."""
        about = self._by_product.get((origin, ask.product), ())
        return not about if ask.pinned is None else ask.pinned not in about

    def settle(self) -> bool:
        """Say whether what was chosen before may be chosen otherwise now, since asked last."""
        before, self._is_unsettled = self._is_unsettled, False
        return before

    def feeding(self, consumers: Iterable[Held]) -> set[str]:
        """Return the commitments of what feeds the inputs of `consumers`."""
        choose, parts = self.choose, (each.part for each in consumers)
        chosen = (choose(part, each) for part in parts for each in part.bought)
        return {c.fact.commitment for c in chosen if not isinstance(c, NOT_SIGNED)}
