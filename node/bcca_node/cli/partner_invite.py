"""`bcca partners invite|withdraw`: how two organisations that never met come to know."""

import io
import re
import sys
from pathlib import Path
from typing import Annotated

import segno
import typer

from bcca_node.cli.given import DataOption, JsonOption, age, open_node
from bcca_node.cli.partner_names import end_of
from bcca_node.cli.screen import put_json, say, tell
from bcca_node.cli.wanted import PURPOSE, DueOption, PurposeOption, read_period
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.node import Node
from bcca_node.partners import acquaint, book, identifiers, invitation
from bcca_node.partners.event import PartnerRole, Wanted, new_id
from bcca_node.partners.invitation import Asked, Invitation
from bcca_node.storage import partners
from bcca_node.storage.partners import Invited
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Role
from bcca_protocol.wire import ORIGIN, URN, showable

INVITE = "Example: bcca partners invite --part NMC-622 --period 2025 -o cathode.invitation"
WITHDRAW = "Example: bcca partners withdraw 3f9a6c… --data node"

LEAST_DIGITS = 4  # of an id that is cut short

EXPIRES = "14d"  # time for an answer to a letter, and for a holiday

RoleOption = Annotated[
    str, typer.Option(help="What the invited is to you: supplier, customer, auditor, witness.")
]
ForOption = Annotated[
    str | None,
    typer.Option("--for", metavar="ORIGIN", help="Who alone may accept; else who comes first."),
]
PartsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--part", help="Your part number, its URN, or both as 4711=URN; repeat it for more."
    ),
]
PeriodOption = Annotated[
    str | None,
    typer.Option("--period", metavar="YEAR", help="Of which you want the parts' footprints."),
]
ExpiresOption = Annotated[str, typer.Option(metavar="AGE", help="How long it may be used.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there as well.")
]
QrOption = Annotated[
    bool, typer.Option("--qr", help="Draw the link as a QR code; at a terminal it is.")
]

_ORIGIN = re.compile(ORIGIN)
_URN = re.compile(URN)
_DIGITS = re.compile(rf"[0-9a-f]{{{LEAST_DIGITS},32}}")


def invite(
    data: DataOption,
    role: RoleOption = "supplier",
    recipient: ForOption = None,
    parts: PartsOption = None,
    when: PeriodOption = None,
    due: DueOption = None,
    purpose: PurposeOption = PURPOSE,
    expires: ExpiresOption = EXPIRES,
    output: OutputOption = None,
    qr: QrOption = False,
    as_json: JsonOption = False,
) -> None:
    """Invite somebody to be a partner, and say what you want of them.

    It is good once. Send the link, or the file, on a way that you trust: behind the # the link has
    the fingerprint of your key, so that nobody can put another invitation in its place. The link
    works while `bcca serve` runs. Needs the passphrase.
    """
    wanted = _wanted(parts or [], when, due, purpose)
    if wanted and role != "supplier":
        raise UnusableError(f"--part asks a supplier, and --role says {role}: leave one out")
    with open_node(data, keys=True) as node:
        made = _made(node, role, recipient, wanted, age(expires, "--expires"))
        note = _signed(node, made, output)
    if as_json:
        _put(made, note)
    else:
        _show(made, is_drawn=qr or sys.stdout.isatty())


def withdraw(
    name: Annotated[str, typer.Argument(metavar="ID", help="The invitation; its first digits do.")],
    data: DataOption,
) -> None:
    """Take an invitation back that nobody has accepted; its link then shows nothing."""
    if not _DIGITS.fullmatch(name):
        raise UnusableError(f"{showable(name[:80])!r}: write {LEAST_DIGITS} digits of its id")
    with open_node(data) as node, node.database.write() as session:
        there = [each for each in partners.invitations(session) if each.id.startswith(name)]
        if len(there) != 1:
            raise UnusableError(
                f"{len(there)} invitations begin with {name}: see `bcca partners list`"
            )
        if there[0].used_by is not None:
            raise UnusableError(f"invitation {name} is used: `bcca partners end` ends partners")
        book.withdraw(session, there[0])
    say(f"withdrawn: {there[0].id}")


def _wanted(parts: list[str], when: str | None, due: str | None, purpose: str) -> tuple[Asked, ...]:
    if not parts:
        if when is not None or due is not None:
            raise UnusableError("--period and --due are about parts: add --part")
        return ()
    if when is None:
        raise UnusableError("--part asks for a footprint of some time: add --period")
    wanted = []
    for each in parts:
        part, product = _part(each)
        wanted.append(
            Asked(
                request=new_id(),
                wanted=Wanted(
                    period=read_period(when),
                    purpose=purpose,
                    part=part,
                    product=product,
                    due=None if due is None else end_of(due, "--due"),
                ),
            )
        )
    return tuple(wanted)


def _part(text: str) -> tuple[str | None, str | None]:
    """Return the part number and the product in a part as it is given."""
    if _URN.match(text):
        return None, text
    number, _, product = text.partition("=")
    if product and not _URN.match(product):
        raise UnusableError(
            f"--part {showable(text[:200])!r}: behind the = stands a URN, as in 4711=urn:example:p"
        )
    return number, product or None


def _made(
    node: Node, role: str, recipient: str | None, wanted: tuple[Asked, ...], seconds: int
) -> Invitation:
    """Return the invitation of this node; raises UnusableError for what nobody could accept."""
    invited, inviter = _roles(role)
    if recipient is not None and (not _ORIGIN.match(recipient) or recipient == node.origin):
        raise UnusableError(f"--for {showable(recipient[:80])!r}: write another node's origin")
    if not 0 < seconds <= invitation.MAX_SECONDS:
        raise UnusableError(f"--expires: at most {invitation.MAX_SECONDS // 86_400}d, and not 0")
    keys, now = acquaint.own_keys(node), node.clock()
    return Invitation(
        format=invitation.FORMAT,
        id=new_id(),
        origin=node.origin,
        name=node.settings.name,
        url=node.settings.url,
        log_key=keys.log.encode(),
        request_key=keys.request.encode(),
        seal_key=keys.seal.encode(),
        inviter=inviter,
        invited=invited,
        created=period.text_at(now),
        expires=period.text_at(now + seconds),
        ids=identifiers.all_checked(node.settings.ids),
        wanted=wanted,
        recipient=recipient,
    )


def _roles(role: str) -> tuple[PartnerRole, PartnerRole]:
    """Return what the invited is to the inviter, and the inviter to the invited."""
    match role:
        case "customer":
            return "customer", "supplier"
        case "supplier" | "auditor" | "witness":
            return role, "customer"  # for whom an auditor or a witness works
    raise UnusableError(
        f"--role {showable(role[:40])!r}: write supplier, customer, auditor or witness"
    )


def _signed(node: Node, made: Invitation, output: Path | None) -> str:
    """Return the invitation as a note that is kept here, and written where it was asked for."""
    note = invitation.sign(made, node.keys.signer(Role.REQUEST))
    if output is not None:
        write_whole(output, note.encode(), mode=0o600)
    created, until = invitation.seconds(made.created), invitation.seconds(made.expires)
    kept = Invited(id=made.id, note=note, created=created, expires=until)
    with node.database.write() as session:
        partners.put_invitation(session, kept)
    return note


def _put(made: Invitation, note: str) -> None:
    link = invitation.link(made)
    told = {"id": made.id, "link": str(link), "fingerprint": link.fingerprint}
    put_json({**told, "expires": made.expires, "wanted": len(made.wanted), "note": note})


def _show(made: Invitation, *, is_drawn: bool) -> None:
    link = invitation.link(made)
    say(str(link))
    if is_drawn:
        say(*_drawn(str(link)))
    who = made.recipient or "whoever comes first"
    tell(f"An invitation for {who}, good once and until {made.expires}; fingerprint of your key:")
    tell(f"    {link.fingerprint}")
    tell("Take it back with " + f"`bcca partners withdraw {made.id[:8]}`.")


def _drawn(link: str) -> list[str]:
    drawn = io.StringIO()
    segno.make(link, micro=False).terminal(drawn, compact=True)
    return drawn.getvalue().splitlines()
