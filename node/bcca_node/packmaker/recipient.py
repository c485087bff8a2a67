"""For whom a bundle is made, and what of its evidence that recipient may see (SPEC 10.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.sharing import access
from bcca_node.sharing.access import Rights
from bcca_node.sharing.caller import Caller, Kind
from bcca_node.storage import feed, grants, partners
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import VerifierKey

_WORDS: Mapping[str, str] = {
    "public": "shared with everybody",
    "downstream": "shared with customers of customers alone",
    "direct": "shared with customers and the auditors they appoint alone",
}
_UNNAMED = "it may be shown, and only what is withheld names its log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A statement this node holds, its own or another's, found at `index` of a log."""

    commitment: str
    origin: str
    vkey: str
    index: int
    product: str
    sharing: str
    envelope: bytes

    @property
    def log(self) -> tuple[str, str]:
        """The log that entered it: its origin and the key under which it was read."""
        return self.origin, self.vkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a bundle shows, which logs it carries, and why it withholds the rest."""

    shown: Sequence[Held]
    logs: frozenset[tuple[str, str]]
    withheld: Sequence[tuple[Held, str]]


def rights_of(session: Session, node: Node, recipient: str | None) -> Rights:
    """Return what a recipient may see: this node itself everything, nobody named what is public.

    Raises UnusableError for a recipient that is neither a partner nor an appointed auditor.
    """
    if recipient is None:
        return access.PUBLIC
    if recipient == node.origin:
        return access.rights(session, node, Caller(kind=Kind.OPERATOR, origin=recipient))
    caller = _caller(session, node, recipient)
    if caller is None:
        raise UnusableError(
            f"--for {recipient}: neither a partner of {node.origin} nor an auditor appointed here: "
            "`bcca partners list` shows them; leave --for out for what everybody may see"
        )
    return access.rights(session, node, caller)


def choose(
    session: Session,
    rights: Rights,
    roll_up: Held,
    parts: Sequence[Held],
    beside: Sequence[Held] = (),
) -> Choice:
    """Return what of the evidence of a roll-up may be shown, and can be verified.

    A log that no statement shown names would be believed by nobody but this node, so what it
    entered is left out for others. What stands `beside` the evidence is shown where that can be,
    and nowhere withheld: the roll-up is not made of it.
    """
    waiting = [each for each in parts if _sees(session, rights, roll_up.origin, each)]
    shown, named = [roll_up], {roll_up.origin}
    if rights.kind is Kind.OPERATOR:
        named |= {each.origin for each in parts}
    while reached := [each for each in waiting if each.origin in named]:
        waiting = [each for each in waiting if each.origin not in named]
        shown += reached
        named |= {origin for each in reached for origin in feed.suppliers_in(each.envelope)}
    logs = {each.origin: each.log for each in (roll_up, *parts) if each.origin in named}
    for each in beside:
        is_named = each.origin in named and logs.setdefault(each.origin, each.log) == each.log
        if is_named and _sees(session, rights, roll_up.origin, each):
            shown.append(each)
    kept = {each.commitment for each in shown}
    unnamed = {each.commitment for each in waiting}
    return Choice(
        shown=shown,
        logs=frozenset(each.log for each in (roll_up, *parts, *shown) if each.origin in named),
        withheld=[
            (each, _UNNAMED if each.commitment in unnamed else f"it is {_WORDS[each.sharing]}")
            for each in parts
            if each.commitment not in kept
        ],
    )


def _caller(session: Session, node: Node, recipient: str) -> Caller | None:
    """Return a recipient as whom it would sign its requests; None if it is not known here."""
    partner = partners.get(session, recipient)
    if partner is not None and partner.refused:
        return None  # whoever appointed it meant another
    if partner is not None:
        key = VerifierKey.parse(partner.request_key)
        return Caller(kind=Kind.PARTNER, key=key, origin=recipient)
    # Whom this node appointed counts before whom a partner calls by the same name.
    appointed = sorted(
        (each for each in grants.appointments(session) if each.auditor == recipient),
        key=lambda each: each.recipient != node.origin,
    )
    if not appointed:
        return None
    key = VerifierKey.parse(appointed[0].request_key)
    return Caller(kind=Kind.AUDITOR, key=key, origin=recipient)


def _sees(session: Session, rights: Rights, own: str, held: Held) -> bool:
    return rights.sees(held) if held.origin == own else rights.sees_fetched(session, held)
