"""Who may see what (SPEC 13.9): a role gives nothing, what was granted does.

Asked about statements without their envelopes, so that what is hidden is not even read.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.sharing.appointed import appointed
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import feed, grants, logs, partners, recipes
from bcca_node.storage.grants import Appointment, Scope

KNOWN = (Kind.PARTNER, Kind.AUDITOR, Kind.OPERATOR)


class Shared(Protocol):
    """A statement as far as access goes, with or without its envelope."""

    @property
    def commitment(self) -> str:
        """Return its name."""

    @property
    def product(self) -> str:
        """Return what it is about."""

    @property
    def sharing(self) -> str:
        """Return what its author lets others do with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Some of this node's statements: all, those of products, and single ones.

    A single one beside a product counts only if it is about that.
    """

    everything: bool = False
    products: frozenset[str] = frozenset()
    statements: frozenset[str] = frozenset()
    bounded: frozenset[tuple[str, str]] = frozenset()

    def has(self, own: Shared) -> bool:
        """Say whether a statement of this node is one of them."""
        return self.everything or own.product in self.products or self.names(own)

    def names(self, own: Shared) -> bool:
        """Say whether it is one of them by its commitment."""
        return own.commitment in self.statements or (own.commitment, own.product) in self.bounded

    def within(self, product: str) -> "Reach":
        """Return those of them that are about `product` (empty: any)."""
        if not product:
            return self
        if self.everything or product in self.products:
            return Reach(products=frozenset({product}))
        bounded = {(name, product) for name in self.statements}
        bounded |= {(name, about) for name, about in self.bounded if about == product}
        return Reach(bounded=frozenset(bounded))

    def __or__(self, other: "Reach") -> "Reach":
        """Return the statements of both."""
        return Reach(
            everything=self.everything or other.everything,
            products=self.products | other.products,
            statements=self.statements | other.statements,
            bounded=self.bounded | other.bounded,
        )


NOTHING = Reach()
EVERYTHING = Reach(everything=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What one caller may see at one moment.

    `granted` are own statements that it may see beyond the public ones; `audited` those that this
    node itself had it appointed for, so that it may see all that feeds them. `secret` are recipes,
    by commitment: of those it may see what it was granted one by one, or audits.
    """

    kind: Kind
    granted: Reach = NOTHING
    audited: Reach = NOTHING
    secret: frozenset[str] = frozenset()
    _met: dict[str, bool] = field(default_factory=dict)

    @property
    def own(self) -> Hashable:
        """Return what decides which of this node's own statements are seen."""
        return self.granted, self.audited, self.secret

    def sees(self, own: Shared) -> bool:
        """Say whether a statement of this node may be seen, once it is published (rule 5)."""
        if own.sharing == "public":
            return True
        if own.commitment in self.secret:
            return self.audited.has(own) or self.granted.names(own)
        return self.granted.has(own)

    def sees_fetched(self, session: Session, fetched: Shared) -> bool:
        """Say whether a statement of another node that is held here may be seen (rule 6)."""
        if fetched.sharing == "public" or self.kind is Kind.OPERATOR:
            return True
        if self.kind not in KNOWN:
            return False
        if fetched.commitment not in self._met:
            self.meet(session, [fetched])
        return self._met[fetched.commitment]

    def meet(self, session: Session, fetched: Sequence[Shared]) -> None:
        """Find out at once whether statements of other nodes may be seen: none costs what many do.

        `sees_fetched` then answers from memory.
        """
        if self.kind not in KNOWN or self.kind is Kind.OPERATOR:
            return
        # The walks are the same for what is hidden, and for what is not here at all.
        names = [each.commitment for each in fetched]
        passed_on = feed.own_consumers(session, names, feed.PASSED_ON)
        whatever = {}
        if self.audited != NOTHING:
            whatever = feed.own_consumers(session, names, feed.ANY_SHARING)
        for each in fetched:
            name = each.commitment
            self._met[name] = (
                each.sharing == "downstream" and any(map(self.sees, passed_on[name]))
            ) or any(map(self.audited.has, whatever.get(name, ())))


PUBLIC = Rights(kind=Kind.NOBODY)


def rights(session: Session, node: Node, caller: Caller) -> Rights:
    """Return what a caller may see now."""
    match caller.kind:
        case Kind.NOBODY | Kind.STRANGER:
            return Rights(kind=caller.kind)
        case Kind.OPERATOR:
            return Rights(kind=caller.kind, granted=EVERYTHING, audited=EVERYTHING)
        case Kind.PARTNER | Kind.AUDITOR:
            return _of_known(session, node, caller)


def standing(node: Node, caller: Caller) -> "Standing":
    """Return what a caller may see now, and how many entries are published.

    It is read again only once somebody has committed, or a second is over: grants end with one.
    """
    vkey = "" if caller.key is None else caller.key.encode()
    name = ("standing", caller.kind, caller.origin, vkey)
    return node.memo.get(node.moment(), name, Standing, lambda: _standing(node, caller))


class Standing(NamedTuple):
    """What a caller may see of the first `size` entries."""

    rights: Rights
    size: int


def _standing(node: Node, caller: Caller) -> Standing:
    with node.database.read() as session:
        head = logs.published_head(session)
        size = 0 if head is None else head.size
        return Standing(rights(session, node, caller), size)


def of_partner(session: Session, node: Node, origin: str) -> Rights:
    """Return what a partner may see now; whose keys are not believed, nothing beyond the public."""
    partner = partners.get(session, origin)
    if partner is None or partner.refused:
        return Rights(kind=Kind.STRANGER)
    return rights(session, node, Caller(kind=Kind.PARTNER, origin=origin))


def _of_known(session: Session, node: Node, caller: Caller) -> Rights:
    """Return the union of what a caller may see as a partner and as an auditor."""
    at = node.clock()
    granted = audited = NOTHING
    if caller.kind is Kind.PARTNER and caller.origin is not None:
        granted = _granted(grants.live(session, caller.origin, at))
    vkey = "" if caller.key is None else caller.key.encode()
    for each in appointed(session, node, vkey):
        if each.recipient == node.origin:
            audited |= EVERYTHING.within(each.product)
        else:
            granted |= _appointed(session, each, at)
    return Rights(
        kind=caller.kind,
        granted=granted | audited,
        audited=audited,
        secret=recipes.behind(session),
    )


def _appointed(session: Session, appointment: Appointment, at: int) -> Reach:
    """Return what an auditor may see for a recipient: nothing that this may not see itself."""
    found = _granted(grants.live(session, appointment.recipient, at))
    return found.within(appointment.product)


def _granted(live: Iterable[tuple[Scope, str]]) -> Reach:
    names: dict[Scope, set[str]] = {scope: set() for scope in Scope}
    for scope, about in live:
        names[scope].add(about)
    return Reach(
        everything=bool(names[Scope.ALL]),
        products=frozenset(names[Scope.PRODUCT]),
        statements=frozenset(names[Scope.STATEMENT]),
    )
