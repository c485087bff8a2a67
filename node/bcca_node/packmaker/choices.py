"""What a run knows of statements so far, and which of them feeds what."""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Final

from bcca_node.packmaker.held import Held
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.told import Ask
from bcca_protocol.choices import Flagged, Missing
from bcca_protocol.choosing import About, Choosing
from bcca_protocol.partial import Bought, Part
from bcca_protocol.substituted import Substituted

NOT_SIGNED: Final = (Missing, Substituted)  # a tuple: a union would be made for each of all inputs
_NOT_PLAIN: Final = (*NOT_SIGNED, Flagged)


class Choices:
    """Statements by commitment, in `known`, and what of them feeds an input, in `choose`.

    `is_plain` while each input that was looked at is fed by a current statement of its own. `fed`
    are the commitments of what feeds each statement, as it was looked at last.
    """

    def __init__(self, plan: Plan) -> None:
        """Know nothing yet."""
        self.choose = Choosing(plan.period, plan.rules, plan.stand_ins)
        self.known: dict[str, Held] = {}
        self.is_plain = True
        self.fed: dict[str, list[str]] = {}
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
            self._is_unsettled |= self.choose.add(each.signed)

    def drop(self, name: str) -> Held:
        """Forget a statement, and return it."""
        found = self.known.pop(name)
        self.choose.drop(found.signed)
        self._is_unsettled = True
        return found

    def again(self) -> "Choices":
        """Return what knows the same, and learns more without this one's knowing."""
        other = copy(self)
        other.choose, other.known = self.choose.again(), self.known.copy()
        other.fed = self.fed.copy()
        return other

    def renew(self, about: About, found: Sequence[Held]) -> bool:
        """Take what is known of a product now; return whether that differs from before."""
        names = (each.fact.commitment for each in self.choose.offers(about))
        before = {name: self.known[name] for name in names}
        now = {each.part.commitment: each for each in found}
        if before.keys() == now.keys() and all(stands_as(now[n], before[n]) for n in before):
            return False
        for name in before:
            del self.known[name]
        self.known |= now
        self.choose.renew(about, [each.signed for each in found])
        return True

    def plain(self, part: Part, bought: Bought) -> str | None:
        """Return the commitment of what feeds an input; None where that is not plain."""
        choice = self.choose(part, bought)
        return None if isinstance(choice, _NOT_PLAIN) else choice.fact.commitment

    def lack(self, origin: str, ask: Ask) -> bool:
        """Say whether no statement of a product is known, current or not."""
        offers = self.choose.offers((origin, ask.product))
        if ask.pinned is None:
            return not offers
        return all(each.fact.commitment != ask.pinned for each in offers)

    def settle(self) -> bool:
        """Say whether what was chosen before may be chosen otherwise now, since asked last."""
        before, self._is_unsettled = self._is_unsettled, False
        return before

    def feeding(self, consumers: Iterable[Held]) -> set[str]:
        """Return the commitments of what feeds the inputs of `consumers`; `fed` says it by each."""
        choose, fed, found = self.choose, self.fed, set[str]()
        for _, part, _ in consumers:
            if not part.bought:
                continue
            feeds = []
            for bought in part.bought:
                choice = choose(part, bought)
                if isinstance(choice, _NOT_PLAIN):
                    self.is_plain = False
                    if isinstance(choice, NOT_SIGNED):
                        continue
                feeds.append(choice.fact.commitment)
            fed[part.commitment] = feeds
            found.update(feeds)
        return found


def stands_as(now: Held, before: Held) -> bool:
    """Say whether a statement stands in its log as it stood before."""
    one, other = now.signed, before.signed
    return (one.is_current, one.status, one.introduced, one.log_keys) == (
        other.is_current,
        other.status,
        other.introduced,
        other.log_keys,
    )
