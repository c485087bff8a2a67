"""Auditors that somebody appoints to see what it may see itself (SPEC 13.9, 13.10)."""

from dataclasses import replace

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.partners import outbox
from bcca_node.partners.event import AuditorEvent, new_id
from bcca_node.storage import grants, partners
from bcca_node.storage.grants import Appointment
from bcca_node.storage.partners import Partner, PartnerRole
from bcca_protocol import period
from bcca_protocol.errors import UnusableError


def appoint(node: Node, auditor: Partner, *, product: str = "", until: int | None = None) -> int:
    """Let an auditor see what this node may see, of one product or (empty) of all.

    Every supplier among the partners is told; return how many. Raises UnusableError for somebody
    who is no auditor of this node.
    """
    if PartnerRole.AUDITOR not in auditor.roles or auditor.refused:
        raise UnusableError(
            f"{auditor.origin} is no auditor of this node: invite it as one, "
            "`bcca partners invite --role auditor`"
        )
    now = node.clock()
    appointment = Appointment(
        recipient=node.origin,
        auditor=auditor.origin,
        product=product,
        request_key=auditor.request_key,
        given=now,
        until=until,
    )
    with node.database.write() as session:
        grants.appoint(session, appointment)
        return _tell(session, appointment, now, is_dismissed=False)


def dismiss(node: Node, auditor: str, *, product: str | None = None) -> int:
    """End the appointments of an auditor, of one product or all; return how many there were."""
    with node.database.write() as session:
        return dismiss_in(node, session, auditor, product=product)


def dismiss_in(node: Node, session: Session, auditor: str, *, product: str | None = None) -> int:
    """End the appointments of an auditor within a transaction; return how many there were."""
    now, ended = node.clock(), 0
    for each in grants.appointments(session, node.origin):
        if each.auditor == auditor and product in (None, each.product):
            grants.dismiss(session, node.origin, auditor, each.product)
            _tell(session, each, now, is_dismissed=True)
            ended += 1
    return ended


def follow(node: Node, session: Session, auditor: Partner) -> None:
    """Let the appointments of an auditor hold for the request key that it has now."""
    for each in grants.appointments(session, node.origin):
        if each.auditor == auditor.origin and each.request_key != auditor.request_key:
            now = replace(each, request_key=auditor.request_key)
            grants.appoint(session, now)
            _tell(session, now, node.clock(), is_dismissed=False)


def _tell(session: Session, about: Appointment, now: int, *, is_dismissed: bool) -> int:
    """Have every supplier told that is a partner and not the auditor itself."""
    told = 0
    for each in partners.every(session):
        if PartnerRole.SUPPLIER in each.roles and each.origin != about.auditor:
            event = AuditorEvent(
                id=new_id(),
                at=period.text_at(now),
                kind="dismissed" if is_dismissed else "appointed",
                auditor=about.auditor,
                request_key=about.request_key,
                product=about.product or None,
                until=None if about.until is None else period.text_at(about.until),
            )
            outbox.put(session, each.origin, event, now)
            told += 1
    return told
