"""Two nodes that speak PACT with each other over HTTP on this machine, with a clock that is set."""

import asyncio
import dataclasses
import json
import socket
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.conftest import footprint_of

from bcca_node.app import create_server
from bcca_node.ledger import status
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.pact import clients, cloudevents, fetching, post
from bcca_node.pact.clients import Credentials, Theirs
from bcca_node.pact.notify import Notices
from bcca_node.pact.replies import Replies
from bcca_node.partners.outbox import Delivered
from bcca_node.storage import logs, pactclients, pactevents, pactfetch, pactsending
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.pactevents import Asked, Wanted
from bcca_node.storage.pactsending import Sending, Sent
from bcca_protocol import period

START = 1_800_000_000
URN = "urn:bcca:case:t:"


@dataclass
class Clock:
    """A clock that a test sets."""

    now: int = START

    def __call__(self) -> int:
        return self.now


@dataclass
class Side:
    """A node, and what it does by itself when it is served."""

    node: Node
    clock: Clock
    notices: Notices = field(init=False)
    replies: Replies = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what only a process knows."""
        self.notices, self.replies = Notices(self.node), Replies(self.node)

    @property
    def url(self) -> str:
        return self.node.settings.url

    def sells(self, product: str, **more: Any) -> str:
        """Publish a statement, with a head that witnesses have seen; return its commitment."""
        predicate = footprint_of(self.node.origin, product, **{"sharing": "direct", **more})
        [made] = publish(self.node, [predicate])
        self.witnessed()
        return made.commitment

    def revokes(self, commitment: str) -> None:
        status.revoke(self.node, commitment)
        self.witnessed()

    def witnessed(self) -> None:
        with self.node.database.write() as session:
            head = logs.last_head(session)
            assert head is not None
            logs.put_head(session, dataclasses.replace(head, published=True))

    def turn(self) -> Delivered:
        """Do once what the clerk does: answer, tell, send, fetch."""
        self.replies.answer()
        self.notices.tell()
        done = asyncio.run(post.deliver_due(self.node))
        asyncio.run(fetching.fetch_due(self.node))
        return done

    def partner(self, name: str) -> PactPartner:
        with self.node.database.read() as session:
            found = clients.get(session, name)
        assert found is not None
        return found

    def kept(self, *states: Sent) -> list[Sending]:
        with self.node.database.read() as session:
            return pactsending.sendings(session, *states)

    def told(self, kind: str) -> list[Any]:
        """Return the data of the events of a kind that were put on their way, in their order."""
        found = self.kept(*Sent)
        return [json.loads(each.body)["data"] for each in found if each.what == kind]

    def heard_from(self, partner: str) -> None:
        """Do what is done when a partner has told something."""
        with self.node.database.write() as session:
            pactsending.wake(session, partner, self.clock.now)

    def open(self) -> list[Asked]:
        with self.node.database.read() as session:
            return pactevents.open_requests(session)

    def asked(self) -> list[Wanted]:
        with self.node.database.read() as session:
            return pactevents.all_wanted(session)

    def to_fetch(self) -> int:
        with self.node.database.read() as session:
            return len(pactfetch.due(session, 2**40, 1_000))


@dataclass
class Foreigner:
    """A client of a node, by its credentials, that writes its events itself."""

    side: Side
    credentials: Credentials
    base: str

    def token(self) -> str:
        known = self.credentials
        answer = httpx.post(
            f"{self.side.url}/auth/token",
            data={"grant_type": "client_credentials"},
            auth=(known.client_id, known.secret),
        )
        return str(answer.json()["access_token"])

    def event(self, kind: str, data: object, **more: object) -> dict[str, object]:
        told = {
            "type": kind,
            "specversion": "1.0",
            "id": cloudevents.new_id(),
            "source": self.base,
            "time": period.text_at(self.side.clock.now),
            "data": data,
        }
        return {**told, **more}

    def post(self, event: object) -> httpx.Response:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return httpx.post(
            f"{self.side.url}/3/events",
            content=body,
            headers={
                "authorization": f"Bearer {self.token()}",
                "content-type": "application/cloudevents+json; charset=UTF-8",
            },
        )

    def asks(self, *products: str, **more: object) -> str:
        """Ask for products, and return the id of the event."""
        data = {"productId": [URN + each for each in products]}
        event = self.event(cloudevents.CREATED, data, **more)
        answer = self.post(event)
        assert (answer.status_code, answer.content) == (200, b""), answer.text
        return str(event["id"])


def knows(
    side: Side, name: str, base: str, theirs: Theirs | None = None, *, auth: str = ""
) -> Credentials:
    """Make somebody at `base` a PACT partner of a node; return what it comes in with."""
    at = side.node.clock()
    partner = PactPartner(name=name, url=base, auth_url=auth or base, since=at)
    with side.node.database.write() as session:
        kept = clients.add(side.node, session, partner, theirs)
        return clients.issue(session, kept, days=30, at=at)


def acquainted(buyer: Side, seller: Side) -> Foreigner:
    """Make two nodes PACT partners, `pact:seller` and `pact:buyer`; return what the buyer is."""
    at_seller = knows(seller, "buyer", buyer.url)
    given = Theirs(client_id=at_seller.client_id, secret=at_seller.secret)
    at_buyer = knows(buyer, "seller", seller.url, given)
    given = Theirs(client_id=at_buyer.client_id, secret=at_buyer.secret)
    kept = clients.sealed(seller.node, seller.partner("buyer"), given)
    with seller.node.database.write() as session:
        pactclients.put(session, kept)
    return Foreigner(seller, at_seller, buyer.url)


def nowhere() -> str:
    """Return a base URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def serve_at(loop: Any, node: Node, base: str) -> None:
    """Serve a node that was not there."""
    listener = socket.create_server(("127.0.0.1", int(base.rpartition(":")[2])))
    loop.serve(create_server(node), listener)
