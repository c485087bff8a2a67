"""Partners, as commands name them: by origin, for names are what they give themselves."""

import unicodedata
from typing import Annotated

import typer

from bcca_node.cli.screen import listed
from bcca_node.ledger.node import Node
from bcca_node.storage import pactclients, partners
from bcca_node.storage.pactclients import Named, PactPartner
from bcca_node.storage.partners import Partner
from bcca_protocol import period
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.wire import showable

PartnerArgument = Annotated[
    str, typer.Argument(metavar="PARTNER", help="Its origin, such as cell.example/bcca.")
]


def called(node: Node, origin: str) -> Partner:
    """Return the partner of that origin; raises UnusableError.

    What partners call themselves chooses nobody: two may have one name, or one may have the name of
    another, or its origin for a name. Who has a name is told, so that the origin can be written.
    """
    with node.database.read() as session:
        found = partners.get(session, origin)
        everybody = [] if found is not None else partners.every(session)
    if found is not None:
        return found
    if pactclients.is_pact(origin):
        raise UnusableError(
            f"{showable(origin[:200])} speaks PACT: it has no keys, log or mailbox of this kind"
        )
    named = [each for each in everybody if _folded(origin) in (_folded(each.name), each.origin)]
    if named:
        who = listed([f"{each.origin} ({showable(each.name)})" for each in named])
        raise UnusableError(
            f"{showable(origin[:200])!r} is no partner's origin, but looks like what {who} "
            "is called, and names choose nobody: write the origin of whom you mean"
        )
    there = listed([each.origin for each in everybody]) or "nobody"
    raise UnusableError(f"{showable(origin[:200])!r} is no partner: there is {there}")


def known(node: Node, origin: str) -> Named:
    """Return the partner of that origin, or of that name if it begins with `pact:`."""
    return pact_called(node, origin) if pactclients.is_pact(origin) else called(node, origin)


def pact_called(node: Node, name: str) -> PactPartner:
    """Return the PACT partner of that name, `pact:` before it or not; raises UnusableError."""
    with node.database.read() as session:
        found = pactclients.get(session, name)
        everybody = [] if found is not None else pactclients.every(session)
    if found is not None:
        return found
    there = listed([each.origin for each in everybody]) or "nobody"
    raise UnusableError(f"{showable(name[:200])!r} is no PACT partner: there is {there}")


def _folded(name: str) -> str:
    """Return a name without what an eye passes over: case, width, and characters of no width."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(each for each in plain if unicodedata.category(each) != "Cf").strip()


def end_of(day: str, option: str) -> str:
    """Return the last second of a day, as 2026-12-31; raises UnusableError, naming `option`."""
    time = f"{day}T23:59:59Z"
    try:
        if period.text(period.moment(time)) == time:
            return time
    except (RefusedError, ValueError):
        pass
    raise UnusableError(f"{option} {showable(day)!r}: write a day as 2026-12-31")


def seconds(time: str) -> int:
    """Return a time as POSIX seconds."""
    return int(period.moment(time).timestamp())


def since(at: int) -> str:
    """Return the day of a POSIX second."""
    return period.text_at(at)[:10]


def proven(partner: Partner) -> str:
    """Return in words how well the keys of a partner are known."""
    if partner.refused:
        return f"REFUSED: {partner.refused}"
    if partner.proven_at is None:
        return "not proven yet: nobody has read its log"
    return f"proven by its log, {since(partner.proven_at)}"
