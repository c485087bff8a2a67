"""Whom this node deals with, the invitations it wrote, and part numbers theirs beside ours."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlmodel import Session, col, func, select, update

from bcca_node.storage.dealings import InvitationRow, PartnerRow, PartRow


class PartnerRole(StrEnum):
    """What a partner is to this node; a role alone lets it see nothing."""

    CUSTOMER = "customer"
    SUPPLIER = "supplier"
    AUDITOR = "auditor"
    WITNESS = "witness"


class PartState(StrEnum):
    """Who stands behind a pair of part numbers; only a confirmed one counts."""

    NOTED = "noted"  # written down here, and told nobody
    PROPOSED = "proposed"  # told the partner, who has not answered
    ASKED = "asked"  # told by the partner, and not answered here
    CONFIRMED = "confirmed"  # both have said so
    REFUSED = "refused"  # one of both has said no


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """Another organisation that was invited or that invited; its keys are verifier keys as text.

    `ids` are its other names, each with how it was checked: empty where it only says so.
    `proven_at` is when its log was last seen to hold the keys; `refused` is why they are not
    believed, and empty if they are. `invitation` is the one with which it came.
    """

    origin: str
    name: str
    url: str
    log_key: str
    request_key: str
    seal_key: str
    roles: frozenset[PartnerRole]
    ids: tuple[tuple[str, str], ...] = ()
    since: int
    proven_at: int | None = None
    refused: str = ""
    invitation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """An invitation of this node, good once: `used_by` is whose request key accepted it.

    `told` is what its operator has to know of that, if anything.
    """

    id: str
    note: str
    created: int
    expires: int
    used_by: str | None = None
    withdrawn: bool = False
    told: str = ""

    def is_open(self, at: int) -> bool:
        """Say whether somebody may still accept it at POSIX second `at`."""
        return self.used_by is None and not self.withdrawn and at < self.expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A partner's part number or product, and what the same is called here."""

    partner: str
    theirs: str
    ours: str
    state: PartState
    changed: int


def get(session: Session, origin: str) -> Partner | None:
    """Return a partner, whether its keys are believed or not."""
    row = session.get(PartnerRow, origin)
    return None if row is None else _partner(row)


def every(session: Session) -> list[Partner]:
    """Return all partners by origin."""
    return [_partner(row) for row in session.exec(select(PartnerRow).order_by(PartnerRow.origin))]


def count(session: Session) -> int:
    """Return how many partners there are."""
    return session.exec(select(func.count()).select_from(PartnerRow)).one()


def is_refused(session: Session, vkey: str) -> bool:
    """Say whether `vkey` is the request key of a partner whose keys are not believed."""
    chosen = select(PartnerRow.origin).where(
        col(PartnerRow.request_key) == vkey, col(PartnerRow.refused) != ""
    )
    return session.exec(chosen).first() is not None


def by_request_key(session: Session, vkey: str) -> Partner | None:
    """Return the partner that signs requests with `vkey`, unless its keys are refused."""
    chosen = select(PartnerRow).where(
        col(PartnerRow.request_key) == vkey, col(PartnerRow.refused) == ""
    )
    row = session.exec(chosen).first()
    return None if row is None else _partner(row)


def put(session: Session, partner: Partner) -> None:
    """Keep a partner, in the place of what was known of it."""
    told = asdict(partner)
    told["roles"] = " ".join(sorted(partner.roles))
    told["ids"] = json.dumps(partner.ids)
    session.merge(PartnerRow(**told))
    session.flush()


def invitation(session: Session, name: str) -> Invited | None:
    """Return an invitation of this node by its id, open or not."""
    row = session.get(InvitationRow, name)
    return None if row is None else _invited(row)


def invitations(session: Session) -> list[Invited]:
    """Return the invitations of this node, the newest first."""
    ordered = select(InvitationRow).order_by(col(InvitationRow.created).desc(), InvitationRow.id)
    return [_invited(row) for row in session.exec(ordered)]


def withdraw_open(session: Session) -> None:
    """Let nobody accept any invitation that was written until now."""
    unused = col(InvitationRow.used_by).is_(None)
    session.exec(update(InvitationRow).where(unused).values(withdrawn=True))


def put_invitation(session: Session, invited: Invited) -> None:
    """Keep an invitation, in the place of what was known of it."""
    session.merge(InvitationRow(**asdict(invited)))
    session.flush()


def parts(session: Session, partner: str, state: PartState | None = None) -> list[Part]:
    """Return the pairs of a partner, all or those of one state, by its number."""
    chosen = select(PartRow).where(col(PartRow.partner) == partner)
    if state is not None:
        chosen = chosen.where(col(PartRow.state) == state)
    ordered = chosen.order_by(col(PartRow.theirs), col(PartRow.ours))
    return [_part(row) for row in session.exec(ordered)]


def part(session: Session, partner: str, theirs: str, ours: str) -> Part | None:
    """Return one pair, whatever its state."""
    row = session.get(PartRow, (partner, theirs, ours))
    return None if row is None else _part(row)


def confirmed(session: Session, partner: str, theirs: str) -> list[str]:
    """Return what both sides say is the same here as `theirs` there."""
    chosen = select(PartRow.ours).where(
        col(PartRow.partner) == partner,
        col(PartRow.theirs) == theirs,
        col(PartRow.state) == PartState.CONFIRMED,
    )
    return list(session.exec(chosen.order_by(col(PartRow.ours))))


def _partner(row: PartnerRow) -> Partner:
    told = row.model_dump()
    told["roles"] = frozenset(map(PartnerRole, row.roles.split()))
    told["ids"] = tuple((name, how) for name, how in json.loads(row.ids))
    return Partner(**told)


def _invited(row: InvitationRow) -> Invited:
    return Invited(**row.model_dump())


def _part(row: PartRow) -> Part:
    return Part(**{**row.model_dump(), "state": PartState(row.state)})
