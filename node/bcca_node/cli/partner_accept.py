"""`bcca partners accept`: becoming a partner of who invites, or nobody."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli import mail
from bcca_node.cli.given import DataOption, JsonOption, hosts
from bcca_node.cli.partner_names import proven
from bcca_node.cli.screen import put_json, say, tell
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.partners import book, invitation
from bcca_node.partners.book import Met
from bcca_node.partners.invitation import MAX_INVITATION_BYTES, Link
from bcca_node.storage import partners
from bcca_node.storage.partners import Partner
from bcca_protocol.errors import (
    LimitError,
    MalformedError,
    RefusedError,
    SignatureError,
    UnavailableError,
    UnusableError,
)
from bcca_protocol.wire import showable

ACCEPT = "Example: bcca partners accept cathode.invitation --data node"

DONE, WAITING = 0, 3


def accept(
    source: Annotated[
        str, typer.Argument(metavar="FILE|LINK|-", help="The invitation, or - to read it.")
    ],
    data: DataOption,
    new_keys: Annotated[
        bool,
        typer.Option("--new-keys", help="Believe other keys than a partner had: you have asked."),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Accept an invitation: keep the partner, and what it asks for, and tell it so.

    Its keys are compared with its log, as far as your policy believes its witnesses; a log that
    contradicts them is refused, one that cannot be read yet is read later. Without a serving node
    it needs the passphrase, to tell the partner. Exit status 3: that is still to be done.
    """
    with mail.writing(data) as node:
        before, begun = _everybody(node), mail.last(node)
        met = asyncio.run(_accept(node, source, new_keys=new_keys))
        trouble = [] if met.is_known else mail.send(node, {met.partner.origin}, begun)
        if why := mail.refusal(node, met.partner.origin, begun):
            _undo(node, met.partner, before.get(met.partner.origin))
            raise RefusedError(
                f"{met.partner.origin} refuses that its invitation is accepted, so nothing of it "
                f"is kept: {why}"
            )
    if as_json:
        put_json(
            {
                "origin": met.partner.origin,
                "name": met.partner.name,
                "roles": sorted(met.partner.roles),
                "isKnown": met.is_known,
                "isProven": met.partner.proven_at is not None,
                "wanted": met.wanted,
                "why": met.why,
            }
        )
    else:
        _say_met(met)
    tell(*trouble)
    return WAITING if trouble else DONE


async def _accept(node: Node, source: str, *, new_keys: bool) -> Met:
    policy = node.trust.policy()
    link = Link.parse(source) if invitation.is_link(source) else None
    async with Fetcher(frozenset() if policy is None else hosts(policy)) as fetcher:
        text = _read(source) if link is None else await _fetched(fetcher, link)
        fingerprint = None if link is None else link.fingerprint
        _require_whole(text, source if link is None else link.page)
        return await book.accept(node, fetcher, text, fingerprint=fingerprint, new_keys=new_keys)


def _require_whole(text: str, where: str) -> None:
    """Return if `text` is an invitation that nobody has changed; raises UnusableError if none.

    Raises SignatureError for one that was changed, RefusedError for one that cannot be.
    """
    name = "standard input" if where == "-" else showable(where[:200])
    if f'"format":"{invitation.FORMAT}"' not in text:
        raise UnusableError(
            f"{name} is no invitation: that is the file, or the link, that somebody has made with "
            "`bcca partners invite`"
        )
    try:
        invitation.verify(text)
    except SignatureError as error:
        raise SignatureError(
            f"{name}: this invitation was changed after it was signed ({error}): ask for a new one"
        ) from error
    except (MalformedError, LimitError) as error:
        raise MalformedError(
            f"{name}: this invitation is cut or was changed after it was signed: ask for a new one"
        ) from error


async def _fetched(fetcher: Fetcher, link: Link) -> str:
    found = await fetcher.find(link.page, limit=MAX_INVITATION_BYTES)
    if found is None:
        raise UnavailableError(
            f"{showable(link.page)}: nothing is there: the invitation was used, has expired or was "
            "withdrawn, or the link was cut; ask for a new one"
        )
    return _decoded(found, link.page)


def _read(source: str) -> str:
    try:
        if source == "-":
            return _decoded(sys.stdin.buffer.read(MAX_INVITATION_BYTES + 1), "standard input")
        with Path(source).open("rb") as file:
            return _decoded(file.read(MAX_INVITATION_BYTES + 1), source)
    except OSError as error:
        raise UnusableError(f"{source}: cannot be read: {error.strerror}") from error


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UnusableError(f"{showable(where)}: this is no invitation: {error}") from error


def _everybody(node: Node) -> dict[str, Partner]:
    with node.database.read() as session:
        return {each.origin: each for each in partners.every(session)}


def _undo(node: Node, met: Partner, before: Partner | None) -> None:
    """Let a partner be what it was `before` its invitation, or nobody."""
    with node.database.write() as session:
        if before is None:
            book.end(node, session, met.origin)
        else:
            partners.put(session, before)


def _say_met(met: Met) -> None:
    roles, name = " and ".join(sorted(met.partner.roles)), met.partner.name
    if met.is_known:
        say(f"{met.partner.origin} ({name}) is a partner by this invitation already: {roles}")
        return
    say(f"{met.partner.origin} ({name}) is a partner now: {roles}")
    say(f"its keys: {'not proven yet: ' + met.why if met.why else proven(met.partner)}")
    if met.wanted:
        asked = "1 part is" if met.wanted == 1 else f"{met.wanted} parts are"
        say(f"{asked} asked for: {', '.join(met.parts)}; publishing answers that (`bcca inbox`)")
