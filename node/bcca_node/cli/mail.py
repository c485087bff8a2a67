"""What commands have to tell partners: left to the serving node, else sent at once."""

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlmodel import Session

from bcca_node.cli.given import open_node
from bcca_node.cli.screen import listed
from bcca_node.ledger.node import Node
from bcca_node.network.desk import is_open
from bcca_node.partners import event as events
from bcca_node.partners import inlet, outbox, requests
from bcca_node.partners.event import RequestEvent
from bcca_node.storage import outbox as deliveries
from bcca_node.storage import partners
from bcca_node.storage import requests as stored
from bcca_node.storage.outbox import Delivery, State
from bcca_node.storage.requests import State as Standing
from bcca_protocol.errors import RefusedError, UnavailableError, UnusableError
from bcca_protocol.wire import showable

LOOK_SECONDS = 0.1
WAIT_SECONDS = 4.0  # for a serving node; what it has not delivered by then it delivers later


@contextmanager
def writing(data: Path) -> Iterator[Node]:
    """Yield the node of a data folder, with its keys open unless a serving node has them.

    So nothing is written that this command could then not send; raises UnusableError before.
    """
    with open_node(data, keys=not is_open(data)) as node:
        yield node


def last(node: Node) -> int:
    """Return the number of the last delivery: those of a command that begins now are later."""
    with node.database.read() as session:
        return deliveries.newest(session)


def send(node: Node, to: Collection[str], after: int) -> list[str]:
    """Have delivered what was written for partners `after` that number, and what waits before it.

    Return in sentences which of it is not delivered; of what is older, others have spoken.
    """
    with node.database.read() as session:
        own = {each.number for each in _undelivered(session, to) if each.number > after}
    return _sent(node, own)


def refusal(node: Node, to: str, after: int) -> str:
    """Return why a partner refuses for good what was written for it `after` that number."""
    with node.database.read() as session:
        dead = [e for e in outbox.dead(session) if e.partner == to and e.number > after]
    return dead[0].told if dead else ""


def fetch(data: Path) -> list[str]:
    """Fetch what partners keep for this node, which they may not reach; return what went wrong.

    What that lets this node answer is answered, and what is due or expired is found.
    """
    with open_node(data, keys=True) as node:
        wrong = asyncio.run(_fetch(node))
        requests.fulfil(node)
        requests.expire(node)
        with node.database.read() as session:
            left = {each.partner for each in outbox.waiting(session)}
            own = {each.number for each in _undelivered(session, left) if each.state != State.DEAD}
        return [*wrong, *_sent(node, own)]


async def _fetch(node: Node) -> list[str]:
    with node.database.read() as session:
        known = [each for each in partners.every(session) if not each.refused]
    wrong = []
    async with outbox.caller(node) as fetcher:
        for each in known:
            try:
                await inlet.pull(node, fetcher, each)
            except (RefusedError, UnavailableError) as error:
                wrong.append(f"nothing fetched from {each.origin}: {error}")
    return wrong


def answered(node: Node, published: Collection[str]) -> list[str]:
    """Answer the requests that what is published answers, and say in sentences which those are.

    `published` are commitments: those that a serving node has answered meanwhile are said too.
    """
    done = {(each.partner, each.id): each for each in requests.fulfil(node)}
    with node.database.read() as session:
        for each in stored.chosen(session, incoming=True, states={Standing.FULFILLED}):
            if each.commitment in published:
                done[each.partner, each.id] = each
        to = sorted({each.partner for each in done.values()})
        own = {each.number for each in _undelivered(session, to) if _is_about(each, done)}
    if not done:
        return []
    one = "answers 1 request" if len(done) == 1 else f"answers {len(done)} requests"
    return [f"{one} of {listed(to)}", *_sent_with_keys(node, own)]


def _is_about(delivery: Delivery, done: Collection[tuple[str, str]]) -> bool:
    """Say whether a delivery tells that one of these requests is fulfilled."""
    try:
        event = events.decode(delivery.body)
    except RefusedError:
        return False
    return (
        isinstance(event, RequestEvent)
        and event.kind == "fulfilled"
        and (delivery.partner, event.request) in done
    )


def _sent_with_keys(node: Node, own: Collection[int]) -> list[str]:
    """Have delivered what waits, where that takes the passphrase and it is given."""
    data = node.settings.data
    if node.keyring is not None or is_open(data):
        return _sent(node, own)
    try:
        with open_node(data, keys=True) as opened:
            return _sent(opened, own)
    except UnusableError as error:
        return [f"they are not told yet: {error}"]


def _sent(node: Node, own: Collection[int]) -> list[str]:
    """Have these deliveries made, and return in sentences which are not."""
    if not own:
        return []
    if node.keyring is None:
        return list(_told_of_serving(node, own).values())
    troubles = asyncio.run(_deliver(node, {each.partner for each in _left(node, own)}))
    told = {}
    for each in _left(node, own):
        why = showable(each.told or troubles.get(each.partner, "") or "older events go first")
        told[each.partner] = (
            _given_up(each)
            if each.state is State.DEAD
            else (
                f"not delivered to {each.partner} yet: {why}; `bcca serve` tries again, and so "
                "does the next command that tells it something"
            )
        )
    return list(told.values())


async def _deliver(node: Node, to: Collection[str]) -> dict[str, str]:
    """Send what waits for partners, and return what went wrong with whom."""
    troubles: dict[str, str] = {}
    async with outbox.caller(node) as fetcher:
        for each in sorted(to):
            troubles.update((await outbox.deliver_due(node, fetcher, only=each)).troubles)
    return troubles


def _told_of_serving(node: Node, own: Collection[int]) -> dict[str, str]:
    """Wait a little for the serving node, and say for whom something of `own` still waits."""
    until = time.monotonic() + WAIT_SECONDS
    while any(each.state is State.WAITING for each in _left(node, own)):
        if time.monotonic() >= until:
            break
        time.sleep(LOOK_SECONDS)
    told = {}
    for each in _left(node, own):
        why = f" ({showable(each.told)})" if each.told else ""
        told[each.partner] = (
            _given_up(each)
            if each.state is State.DEAD
            else (f"not delivered to {each.partner} yet{why}: the serving node goes on trying")
        )
    return told


def _given_up(each: Delivery) -> str:
    """Return the sentence on what a partner has refused for good."""
    return (
        f"given up for {each.partner}: {showable(each.told)}; nobody tries again, unless you do: "
        f"`bcca partners deliveries --again {each.number}`"
    )


def _left(node: Node, own: Collection[int]) -> list[Delivery]:
    """Return which of these deliveries wait or were given up."""
    with node.database.read() as session:
        return [each for each in _undelivered(session) if each.number in own]


def _undelivered(session: Session, to: Collection[str] | None = None) -> list[Delivery]:
    """Return what waits or was given up, for everybody or for these partners."""
    found = [*outbox.waiting(session), *outbox.dead(session)]
    return [each for each in found if to is None or each.partner in to]
