"""The evidence of a roll-up, put together from what this node holds (SPEC 10)."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.packmaker import opinions, ruling, secrecy
from bcca_node.packmaker import recipient as recipients
from bcca_node.packmaker.recipient import Held
from bcca_node.sharing.access import Rights
from bcca_node.storage import copies, logs, seen, statements
from bcca_node.storage.statements import OwnStatement
from bcca_protocol import audit, bundle, wire
from bcca_protocol.audit import OnStep
from bcca_protocol.bundle import Body, Header, RecipeLine, RuleSet, StatementLine, Withheld
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Role, VerifierKey
from bcca_protocol.note import Note
from bcca_protocol.policy import LogLine
from bcca_protocol.statement import FOOTPRINT, PARTIAL_FOOTPRINT, FootprintRollUp
from bcca_protocol.substituted import replaced_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A bundle that is not sealed yet."""

    header: Header
    body: list[Body]


def make(
    node: Node,
    product: str,
    *,
    made: str,
    recipient: str | None = None,
    recipe: bool = False,
) -> Made:
    """Return the bundle about this node's newest roll-up of `product`, as a recipient may see it.

    With `recipe` a secret one is handed over; this node itself is always shown it. A recipient is
    a partner, an auditor that was appointed, this node itself, or None for whoever reads it.
    Raises UnusableError where there is no roll-up that is published or may be shown, where its
    evidence is not held, and for a recipient that is not known here.
    """
    with node.database.read() as session:
        evidence = _Evidence(node, session, product)
        body = list(evidence.body(recipient, recipe=recipe or recipient == node.origin))
    header = Header(
        format=bundle.FORMAT,
        maker=node.origin,
        product=product,
        roll_up=evidence.roll_up.commitment,
        made=made,
        recipient=recipient,
    )
    return Made(header=header, body=body)


def seal(node: Node, made: Made) -> Iterator[bytes]:
    """Yield the lines of a bundle, sealed by this node's statement key."""
    key_index = node.keystore.record(Role.STATEMENT).index
    return bundle.write(made.header, made.body, node.keys.signer(Role.STATEMENT), key_index)


def check(node: Node, made: Made, *, on_step: OnStep = lambda _: None) -> audit.Report:
    """Return what an auditor with this node's policy would find in a bundle, not sealed yet.

    A node believes its own log, listed or not. Raises what `audit` raises, and UnusableError
    without a policy.
    """
    trusted = node.trust.required()
    found = bundle.contents(made.header, made.body)
    keys = {line.origin: VerifierKey.parse(line.key) for line in found.logs}
    own = {node.origin: LogLine(key=keys[node.origin], url=None)}
    trusted = replace(trusted, logs=own | dict(trusted.logs))
    return audit.examine(found, trusted, on_step=on_step)


def write_bundle(
    node: Node, product: str, *, made: str, recipient: str | None = None, recipe: bool = False
) -> Iterator[bytes]:
    """Yield the lines of the sealed bundle about `product`; raises as `make` does."""
    return seal(node, make(node, product, made=made, recipient=recipient, recipe=recipe))


def newest_roll_up(session: Session, product: str) -> OwnStatement | None:
    """Return the published, current roll-up of `product` with the latest period."""
    head = logs.published_head(session)
    found = statements.current(session, [product], head.size if head else 0)
    rolled = [each for each in found if each.kind == FOOTPRINT]
    return max(rolled, key=lambda each: each.period_end, default=None)


def newest_published(session: Session) -> OwnStatement | None:
    """Return the published, current roll-up of whatever product that was entered last."""
    head = logs.published_head(session)
    return statements.newest(session, FOOTPRINT, head.size if head else 0)


class _Evidence:
    """What stands behind one roll-up."""

    def __init__(self, node: Node, session: Session, product: str) -> None:
        self._node = node
        self._session = session
        found = newest_roll_up(session, product)
        if found is None:
            raise UnusableError(
                f"{product}: {node.origin} has no published roll-up of it; "
                f"run `bcca aggregate {product}` first"
            )
        self.roll_up = found
        self._stated = self._rolled()
        self._recipe = secrecy.kept_of(session, self._stated)

    def body(self, to: str | None, *, recipe: bool) -> Iterator[Body]:
        """Yield rules, a secret `recipe`, logs, statements and what is withheld.

        Each kind is by origin and index.

        The author of a roll-up may always show it: whoever it makes a bundle for may see it.
        """
        if to is None and self.roll_up.sharing != "public":
            raise UnusableError(
                f"roll-up {self.roll_up.commitment} of {self.roll_up.product} is not public: say "
                "for whom the bundle is, with --for ORIGIN, or --for self for all of it"
            )
        rights = recipients.rights_of(self._session, self._node, to)
        chosen = recipients.choose(
            self._session,
            rights,
            self._own(self.roll_up),
            list(self._parts()),
            list(self._replaced()),
        )
        if self._recipe is not None and (to is None or not recipe):
            raise UnusableError(
                f"roll-up {self.roll_up.commitment} of {self.roll_up.product} keeps its recipe "
                "secret: hand it over with --recipe and --for ORIGIN, or nobody can recompute it"
            )
        yield RuleSet.of(ruling.kept(self._session, self._stated.rules))
        if self._recipe is not None:
            yield RecipeLine(roll_up=self.roll_up.commitment, recipe=self._recipe)
        said = self._opinions(rights, {origin for origin, _ in chosen.logs} - {self._node.origin})
        shown = {each.commitment: each for each in (*chosen.shown, *said)}.values()
        for origin, vkey in sorted(chosen.logs | {each.log for each in said}):
            yield self._own_log() if origin == self._node.origin else self._log(origin, vkey)
        for each in sorted(shown, key=lambda held: (held.origin, held.index)):
            yield StatementLine(
                origin=each.origin, index=str(each.index), envelope=wire.b64(each.envelope)
            )
        for each, why in sorted(chosen.withheld, key=lambda pair: (pair[0].origin, pair[0].index)):
            index = str(each.index) if each.log in chosen.logs else None
            yield Withheld(commitment=each.commitment, origin=each.origin, reason=why, index=index)

    def _rolled(self) -> FootprintRollUp:
        rolled = predicate_of(self.roll_up.envelope)
        if not isinstance(rolled, FootprintRollUp):
            raise UnusableError(f"{self.roll_up.commitment} is not a roll-up")
        return rolled

    def _parts(self) -> Iterator[Held]:
        rolled = secrecy.whole(self._session, self._stated)
        if rolled.manifest is None:
            raise UnusableError(f"roll-up {self.roll_up.commitment} has no manifest to follow")
        named = {edge.consumer for edge in rolled.manifest}
        named |= {e.resolved.commitment for e in rolled.manifest if e.resolved.commitment}
        named |= {each.commitment for each in self._own_parts()}
        held = self._find(named)
        lacking = min(named - held.keys(), default=None)
        if lacking is not None:
            raise UnusableError(
                f"statement {lacking} is in the manifest and no longer held here; "
                f"run `bcca aggregate {self.roll_up.product}` again"
            )
        yield from held.values()

    def _replaced(self) -> Iterator[Held]:
        """Yield the statements that own values go over, as far as they are held (SPEC 9.10)."""
        rolled = secrecy.whole(self._session, self._stated)
        yield from self._find(replaced_in(rolled.manifest or ())).values()

    def _opinions(self, rights: Rights, here: Collection[str]) -> list[Held]:
        """Return the opinions on what this is about that a recipient may see (SPEC 8.4)."""
        rolled = secrecy.whole(self._session, self._stated)
        names = {
            name for e in rolled.manifest or () for name in (e.consumer, e.resolved.commitment)
        }
        wanted = {self.roll_up.commitment, *filter(None, names)}
        wanted |= {each.commitment for each in self._own_parts()}
        trusted, at = self._node.trust.policy(), self._node.clock()
        if trusted is None:
            return []
        return [
            each
            for each in opinions.kept_about(self._session, trusted, wanted, at)
            if each.origin not in here and rights.sees_fetched(self._session, each)
        ]

    def _own_parts(self) -> Sequence[OwnStatement]:
        """Return the partial footprint that the roll-up begins with: it may buy nothing."""
        rolled = self.roll_up
        found = statements.current(self._session, [rolled.product], self._head.size)
        place = (PARTIAL_FOOTPRINT, rolled.site, rolled.period_start, rolled.period_end)
        return [e for e in found if (e.kind, e.site, e.period_start, e.period_end) == place]

    def _find(self, commitments: Collection[str]) -> dict[str, Held]:
        """Return the statements of some commitments that are held, by commitment, in its order."""
        own = statements.find(self._session, sorted(commitments))
        found = {each.commitment: self._own(each) for each in own}
        for each in seen.some(self._session, set(commitments) - found.keys()):
            found[each.commitment] = Held(**asdict(each))
        return {name: found[name] for name in sorted(found)}

    def _own(self, own: OwnStatement) -> Held:
        vkey = self._node.key_of(self._head.note).encode()
        return Held(
            commitment=own.commitment,
            origin=self._node.origin,
            vkey=vkey,
            index=own.index,
            product=own.product,
            sharing=own.sharing,
            envelope=own.envelope,
        )

    def _log(self, origin: str, vkey: str) -> bundle.LogLine:
        found = copies.get(self._session, origin, vkey)
        if found is None:
            raise UnusableError(f"the log of {origin} is no longer held here")
        entries = tuple(copies.entries(self._session, found))
        return bundle.log_line(origin, vkey, Note.parse(found.note), entries)

    def _own_log(self) -> bundle.LogLine:
        head = self._head
        entries = logs.entries(self._session, 0, head.size)
        vkey = self._node.key_of(head.note).encode()
        return bundle.log_line(self._node.origin, vkey, Note.parse(head.note), entries)

    @property
    def _head(self) -> logs.Head:
        head = logs.published_head(self._session)
        if head is None:
            raise UnusableError(f"log {self._node.origin}: nothing of it is published")
        return head
