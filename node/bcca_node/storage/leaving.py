"""Dealings that are over: nothing of them is left for whoever is a partner of that name next."""

from dataclasses import dataclass

from sqlmodel import Session, col, delete

from bcca_node.storage import foreign, grants, outbox, pactevents
from bcca_node.storage.dealings import (
    NewsRow,
    PartnerRow,
    PartRow,
    PulledRow,
    ReceivedRow,
    RequestEventRow,
    RequestRow,
    SealedRow,
    ToldRow,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How much of a partner was dropped."""

    grants: int = 0
    appointments: int = 0
    requests: int = 0
    parts: int = 0
    events: int = 0
    footprints: int = 0

    def words(self) -> str:
        """Return what was dropped in words, empty for nothing."""
        counted = (
            (self.grants, "grants"),
            (self.appointments, "appointments"),
            (self.requests, "requests"),
            (self.parts, "pairs of part numbers"),
            (self.events, "events for it"),
            (self.footprints, "PACT footprints of it"),
        )
        return ", ".join(f"{what} {count}" for count, what in counted if count)


def forget(session: Session, origin: str) -> Forgotten:
    """Drop a partner and all that is kept under its name; return how much that was."""
    granted, appointed = grants.forget(session, origin)
    requests = session.exec(delete(RequestRow).where(col(RequestRow.partner) == origin)).rowcount
    parts = session.exec(delete(PartRow).where(col(PartRow.partner) == origin)).rowcount
    session.exec(delete(RequestEventRow).where(col(RequestEventRow.partner) == origin))
    session.exec(delete(ReceivedRow).where(col(ReceivedRow.partner) == origin))
    session.exec(delete(PulledRow).where(col(PulledRow.partner) == origin))
    session.exec(delete(NewsRow).where(col(NewsRow.partner) == origin))
    session.exec(delete(ToldRow).where(col(ToldRow.partner) == origin))
    session.exec(delete(SealedRow).where(col(SealedRow.partner) == origin))
    session.exec(delete(PartnerRow).where(col(PartnerRow.origin) == origin))
    return Forgotten(
        grants=granted,
        appointments=appointed,
        requests=requests,
        parts=parts,
        events=outbox.drop(session, origin) + pactevents.forget(session, origin),
        footprints=foreign.drop(session, origin),
    )
