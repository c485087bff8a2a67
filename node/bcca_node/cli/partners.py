"""`bcca partners`: whom this node deals with."""

import asyncio
from typing import Annotated

import typer

from bcca_node.cli import (
    deliveries,
    mail,
    partner_accept,
    partner_access,
    partner_invite,
    partner_pact,
    partner_parts,
)
from bcca_node.cli.given import DataOption, JsonOption, hosts, open_node
from bcca_node.cli.partner_names import PartnerArgument, called, pact_called, proven, since
from bcca_node.cli.screen import put_json, say, show_table, tell
from bcca_node.cli.shorthand import ListByDefault
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.partners import book, identifiers, invitation
from bcca_node.partners.identifiers import Identifier
from bcca_node.partners.invitation import fingerprint
from bcca_node.storage import grants, pactclients, partners
from bcca_node.storage.grants import Grant
from bcca_node.storage.partners import Invited, Partner
from bcca_protocol import period
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import VerifierKey

DONE, UNPROVEN = 0, 3
MAX_HOW_CHARS = 500  # a sentence or two on how an identifier was checked


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Whom this node deals with, and what they see.", cls=ListByDefault)
    group.command("invite", epilog=partner_invite.INVITE)(partner_invite.invite)
    group.command("accept", epilog=partner_accept.ACCEPT)(partner_accept.accept)
    group.command("withdraw", epilog=partner_invite.WITHDRAW)(partner_invite.withdraw)
    group.command("list", epilog="Example: bcca partners list --data node")(list_partners)
    group.command("show", epilog="Example: bcca partners show cathode.example/bcca")(show)
    group.command("prove", epilog="Example: bcca partners prove cathode.example/bcca")(prove)
    group.command(
        "assure",
        epilog="Example: bcca partners assure cathode.example/bcca urn:lei:506700GE1G29325QX363 "
        "--how 'GLEIF register, 2026-11-20, same address'",
    )(assure)
    group.command("end", epilog="Example: bcca partners end cathode.example/bcca")(end)
    partner_access.add(group)
    partner_pact.add(group)
    partner_parts.add(group)
    deliveries.add(group)
    app.add_typer(group, name="partners")


def list_partners(data: DataOption, as_json: JsonOption = False) -> None:
    """List partners, and invitations that are open or need a look; `list` need not be written."""
    with open_node(data) as node, node.database.read() as session:
        found = partners.every(session)
        now = node.clock()
        asked = [e for e in partners.invitations(session) if e.is_open(now) or e.told]
        pact, issued = pactclients.every(session), pactclients.every_client(session)
    if as_json:
        put_json(
            {
                "partners": [_as_json(each) for each in found],
                "pact": [partner_pact.as_told(each) for each in pact],
                "invitations": [_invitation_json(each) for each in asked],
            }
        )
        return
    rows = [(e.origin, " ".join(sorted(e.roles)), e.name, proven(e)) for e in found]
    rows += [partner_pact.row(each, issued.get(each.name, []), now) for each in pact]
    if rows:
        show_table(("partner", "is our", "name", "keys"), rows)
    else:
        say("There are no partners yet: `bcca partners invite`, or accept an invitation.")
    if asked:
        say("")
        show_table(("invitation", "for", "expires", ""), map(_invitation_row, asked))


def show(partner: PartnerArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Show a partner: its keys, other names and how they were checked, and what it may see."""
    with open_node(data) as node:
        if pactclients.is_pact(partner):
            partner_pact.show(node, pact_called(node, partner), as_json=as_json)
            return
        found = called(node, partner)
        with node.database.read() as session:
            seen = grants.of(session, found.origin)
            appointed = grants.appointments(session, found.origin)
    auditing = [f"{each.auditor}: {each.product or 'all products'}" for each in appointed]
    if as_json:
        may = [_grant_json(each) for each in seen]
        put_json({**_as_json(found), "maySee": may, "auditors": auditing})
        return
    say(f"{found.origin}: {found.name}, our {' and '.join(sorted(found.roles))}")
    say(f"since {since(found.since)}, at {found.url}", f"its keys: {proven(found)}")
    for vkey in (found.log_key, found.request_key, found.seal_key):
        say(f"    {vkey}")
    say(f"fingerprint of its request key: {_fingerprint(found)}")
    for name, how in found.ids:
        say(f"{name}  {Identifier(urn=name, how=how).words()}")
    say(*(f"may see {_grant(each)}" for each in seen))
    say(*(f"its auditor {each}" for each in auditing))


def prove(partner: PartnerArgument, data: DataOption) -> int:
    """Read a partner's log now, and compare its keys; `bcca serve` does so by itself."""
    with open_node(data) as node:
        found = asyncio.run(_prove(node, called(node, partner)))
    say(f"{found.origin}: {proven(found)}")
    return UNPROVEN if found.proven_at is None else DONE


def assure(
    partner: PartnerArgument,
    name: Annotated[str, typer.Argument(metavar="ID", help="Of the identifiers it gave.")],
    data: DataOption,
    how: Annotated[
        str, typer.Option(metavar="TEXT", help="How you checked it; empty takes it back.")
    ],
) -> None:
    """State how you checked that an identifier is the partner's; until then it only says so."""
    if len(how) > MAX_HOW_CHARS:
        raise UnusableError(f"--how: {len(how)} characters, where at most {MAX_HOW_CHARS} are kept")
    with open_node(data) as node:
        found = called(node, partner)
        book.assure(node, found, identifiers.checked(name), how)
    say(f"{found.origin}: {name}  {Identifier(urn=name, how=how).words()}")


def end(partner: PartnerArgument, data: DataOption) -> None:
    """Deal with a partner no more: it sees what everybody sees, and is an auditor no more.

    What it has fetched it has, and nobody tells it. Its requests and what was said of them,
    waiting events and part numbers are dropped, so that whoever is a partner of that name next
    begins with nothing: `bcca inbox list --json` before keeps a record of requests.
    """
    if pactclients.is_pact(partner):
        with open_node(data) as node:
            partner_pact.end(node, partner)
        return
    with mail.writing(data) as node:
        found, begun = called(node, partner), mail.last(node)
        with node.database.write() as session:
            told = [e.origin for e in partners.every(session) if e.origin != found.origin]
            is_auditor = any(
                each.auditor == found.origin for each in grants.appointments(session, node.origin)
            )
            ended = book.end(node, session, found.origin)
        trouble = mail.send(node, told if is_auditor else [], begun)
    dropped = "" if ended is None else ended.words()
    say(f"{found.origin} is no partner any more" + (f"; dropped: {dropped}" if dropped else ""))
    tell(*trouble)


async def _prove(node: Node, found: Partner) -> Partner:
    policy = node.trust.policy()
    async with Fetcher(frozenset() if policy is None else hosts(policy)) as fetcher:
        return await book.prove(node, fetcher, found)


def _fingerprint(found: Partner) -> str:
    return fingerprint(VerifierKey.parse(found.request_key))


def _as_json(found: Partner) -> dict[str, object]:
    return {
        "origin": found.origin,
        "name": found.name,
        "url": found.url,
        "roles": sorted(found.roles),
        "keys": {"log": found.log_key, "request": found.request_key, "seal": found.seal_key},
        "fingerprint": _fingerprint(found),
        "ids": [
            {"id": name, "assurance": Identifier(urn=name, how=how).assurance, "how": how}
            for name, how in found.ids
        ],
        "since": period.text_at(found.since),
        "proven": None if found.proven_at is None else period.text_at(found.proven_at),
        "refused": found.refused,
    }


def _invitation_row(invited: Invited) -> tuple[str, str, str, str]:
    said = invitation.verify(invited.note)
    who = said.recipient or "whoever comes first"
    return invited.id[:8], who, said.expires, invited.told


def _invitation_json(invited: Invited) -> dict[str, object]:
    said = invitation.verify(invited.note)
    return {
        "id": invited.id,
        "for": said.recipient,
        "role": said.invited,
        "expires": said.expires,
        "wanted": len(said.wanted),
        "link": str(invitation.link(said)),
        "usedBy": invited.used_by,
        "told": invited.told,
    }


def _grant(grant: Grant) -> str:
    until = "" if grant.until is None else f" until {period.text_at(grant.until)}"
    return (
        f"{grant.scope} {grant.about}".rstrip() + until + (f" ({grant.why})" if grant.why else "")
    )


def _grant_json(grant: Grant) -> dict[str, object]:
    return {
        "scope": grant.scope,
        "about": grant.about,
        "until": None if grant.until is None else period.text_at(grant.until),
        "why": grant.why,
    }
