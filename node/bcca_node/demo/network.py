"""Companies as nodes: their keys, databases, logs and policies, served on loopback."""

import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from bcca_node.app import create_server
from bcca_node.demo.loopback import HOST, Loopback, listen, url_of
from bcca_node.ledger import node as nodes
from bcca_node.ledger.keystore import SCRYPT_N
from bcca_node.ledger.node import Node
from bcca_node.ledger.trust import FILE as POLICY
from bcca_node.settings import Settings
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Supplier
from bcca_protocol.keys import Role

WITNESSES = 5
QUORUM = 4  # of five: two may lie (SPEC 6.1.2)

GROUP = "the-five-witnesses"

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOT_IN_HOST = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Who takes part: the name of its folder, its own name, whose customer it is."""

    id: str
    name: str
    suppliers: frozenset[str] = frozenset()

    @property
    def origin(self) -> str:
        """Return the origin of the node: names under example (RFC 2606) belong to nobody."""
        host = _NOT_IN_HOST.sub("-", self.id.lower()).strip("-") or "node"
        return f"{host}.example/bcca"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node of the network, and where it answers."""

    seat: Seat
    node: Node
    listener: socket.socket
    server: uvicorn.Server

    @property
    def url(self) -> str:
        """Return the node's base URL."""
        return self.node.settings.url

    @property
    def supplier(self) -> Supplier:
        """Return how a customer's statement names this node."""
        return Supplier(origin=self.node.origin, key=self.node.log_key.encode())

    @property
    def log_line(self) -> str:
        """Return the line by which a policy knows this node's log."""
        return f"log {self.node.log_key.encode()} {self.url}/log"

    def witness_line(self) -> str:
        """Return the line by which a policy knows this node as a witness."""
        key = self.node.keystore.record(Role.WITNESS).key
        return f"witness {self.seat.id} {key.encode()} {self.url}/witness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a network is founded: its nodes' data in `folder`, those of mere witnesses `aside`."""

    folder: Path
    aside: Path
    passphrase: str
    scrypt_n: int = SCRYPT_N


class Network:
    """A node for each seat, founded when the context begins and up until it ends.

    Five of them witness, but not `head`, the seat that collects. Where seats are too few, there
    are witness-only nodes beside them.
    """

    def __init__(self, ground: Ground, seats: Sequence[Seat], *, head: str) -> None:
        """Plan the network; raises UnusableError for seats that cannot have a folder each."""
        _require_names(seats)
        taken = {seat.id for seat in seats}
        others = [seat for seat in seats if seat.id != head][:WITNESSES]
        spare = (Seat(id=f"witness-{n}", name=f"Witness {n}") for n in range(1, 2 * WITNESSES))
        free = [seat for seat in spare if seat.id not in taken]
        self._extra = free[: WITNESSES - len(others)]
        self._witnesses = [seat.id for seat in (*others, *self._extra)]
        self._seats = (*seats, *self._extra)
        self._ground = ground
        self._loopback = Loopback()
        self._stack = ExitStack()
        self.members: dict[str, Member] = {}

    @property
    def companies(self) -> list[Member]:
        """Return the members that are companies, in the order of the seats."""
        return [m for m in self.members.values() if m.seat not in self._extra]

    def __enter__(self) -> Self:
        """Found every node, write the policies, serve."""
        with self._stack:
            with ThreadPoolExecutor() as pool:
                founded = list(pool.map(self._found, self._seats))
            self.members = {member.seat.id: member for member in founded}
            # Entered last, left first: servers stop before their databases close.
            self._stack.enter_context(self._loopback)
            for member in founded:
                (member.node.settings.data / POLICY).write_text(self.policy(member), "utf-8")
                self._loopback.serve(member.server, member.listener)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving, close every database."""
        self._stack.close()

    def stop(self, seat: str) -> None:
        """Take one node down."""
        self._loopback.stop(self.members[seat].server)

    def policy(self, member: Member, *, quorum: int = QUORUM) -> str:
        """Return whom a member believes: itself, its direct suppliers, the five witnesses.

        A witness knows every log that it is to cosign.
        """
        everybody = member.seat.id in self._witnesses
        known = [m for m in self.members.values() if everybody or _knows(member, m)]
        witnesses = [self.members[seat] for seat in self._witnesses]
        names = " ".join(m.seat.id for m in witnesses)
        lines = [*(m.log_line for m in known), *(m.witness_line() for m in witnesses)]
        return "\n".join([*lines, f"group {GROUP} {quorum} {names}", f"quorum {GROUP}", ""])

    def _found(self, seat: Seat) -> Member:
        listener = self._stack.enter_context(listen())
        ground = self._ground
        folder = ground.aside if seat in self._extra else ground.folder
        settings = Settings(
            data=folder / seat.id,
            origin=seat.origin,
            name=seat.name,
            url=url_of(listener),
            host=HOST,
            port=listener.getsockname()[1],
        )
        # The recovery words are dropped: keys of a demo are never worth recovering.
        node = nodes.found(settings, ground.passphrase, scrypt_n=ground.scrypt_n)
        self._stack.callback(node.close)
        return Member(seat=seat, node=node, listener=listener, server=create_server(node))


def _knows(member: Member, other: Member) -> bool:
    return other.seat.id == member.seat.id or other.seat.id in member.seat.suppliers


def _require_names(seats: Sequence[Seat]) -> None:
    """Raise UnusableError for ids that are no folder names, or that share an origin."""
    origins: dict[str, str] = {}
    for seat in seats:
        if not _FOLDER.fullmatch(seat.id):
            raise UnusableError(
                f"company {seat.id!r}: its id names a folder, so write up to 64 letters, digits, "
                "dots, hyphens and underscores"
            )
        other = origins.setdefault(seat.origin, seat.id)
        if other != seat.id:
            raise UnusableError(f"companies {other} and {seat.id}: both are {seat.origin}")
