"""What partners told is new or changed is fetched from them, until it is here (SPEC 16.4)."""

import asyncio
from collections.abc import Sequence
from itertools import groupby

from sqlmodel import Session

from bcca_node.ledger.node import Node
from bcca_node.pact import client, clients, intake
from bcca_node.pact.client import Host
from bcca_node.partners.outbox import GIVE_UP_AFTER, LEAST_ATTEMPTS, MAX_TOLD_CHARS, pause
from bcca_node.storage import pactfetch
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.pactfetch import Fetch
from bcca_node.storage.pactsending import Sent
from bcca_protocol.errors import RefusedError, UnavailableError, UnusableError

MAX_AT_ONCE = 500  # footprints in one turn: what comes meanwhile has the next one
MAX_PARTNERS_AT_ONCE = 8  # who does not answer holds up an eighth
MAX_FAILURES = 3  # in a row: one footprint that cannot be had holds up no other

_GONE = "it has no such footprint for this node"


async def fetch_due(node: Node) -> int:
    """Fetch what is due, and return how much came; what goes wrong is tried again later."""
    at = node.clock()
    with node.database.read() as session:
        due = pactfetch.due(session, at, MAX_AT_ONCE)
    by_partner = groupby(sorted(due, key=_whose), key=_whose)
    turn = asyncio.Semaphore(MAX_PARTNERS_AT_ONCE)
    rounds = [_round(node, turn, name, list(found)) for name, found in by_partner]
    return sum(await asyncio.gather(*rounds))


def is_due(node: Node) -> bool:
    """Say whether something is to be fetched now."""
    with node.database.read() as session:
        return bool(pactfetch.due(session, node.clock(), 1))


async def _round(node: Node, turn: asyncio.Semaphore, name: str, found: Sequence[Fetch]) -> int:
    """Fetch from one partner, one after another, until one fails; return how many came."""
    async with turn:
        with node.database.read() as session:
            partner = clients.get(session, name)
        if partner is None:
            return 0  # what was kept of it is dropped with it
        async with client.caller(partner) as fetcher:
            return await _each(node, Host(node, partner, fetcher), found)


async def _each(node: Node, host: Host, found: Sequence[Fetch]) -> int:
    """Fetch one after another, until the host has failed too often in a row."""
    count = failures = 0
    for place, each in enumerate(found):
        try:
            content = await host.footprint(each.footprint)
        except (UnavailableError, RefusedError, UnusableError) as error:
            failures += 1
            is_over = failures == MAX_FAILURES
            _failed(node, found[place:] if is_over else [each], str(error))
            if is_over:
                return count
            continue
        failures = 0
        count += _came(node, host.partner, each, content)
    return count


def _came(node: Node, partner: PactPartner, fetch: Fetch, content: bytes | None) -> bool:
    """Keep what came, and that it did, in one transaction; say whether anything did."""
    at = node.clock()
    with node.database.write() as session:
        if clients.get(session, partner.origin) is None:
            return False
        told = _GONE if content is None else _taken(node, session, partner, content)
        state = Sent.DEAD if told else Sent.DELIVERED
        pactfetch.settle(session, fetch, state, at=at, told=told[:MAX_TOLD_CHARS])
    return not told


def _taken(node: Node, session: Session, partner: PactPartner, content: bytes) -> str:
    """Keep a footprint as it came; return why it cannot be kept, if it cannot."""
    try:
        intake.take(node, session, partner.origin, content, node.clock())
    except RefusedError as error:
        return str(error)
    return ""


def _failed(node: Node, left: Sequence[Fetch], why: str) -> None:
    """Let a partner rest, and give up what has been tried for too long."""
    at, told = node.clock(), why[:MAX_TOLD_CHARS]
    tried = max(each.attempts for each in left) + 1
    until = at + pause(tried)
    with node.database.write() as session:
        for each in left:
            is_late = tried >= LEAST_ATTEMPTS and each.told_at <= at - GIVE_UP_AFTER
            state = Sent.DEAD if is_late else Sent.WAITING
            pactfetch.settle(session, each, state, at=until, told=told)


def _whose(fetch: Fetch) -> str:
    return fetch.partner
