"""A small real network: nodes in temporary folders, servers on loopback sockets, no mocks."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn

from bcca_node.app import create_app, create_server
from bcca_node.ledger.node import Node, init
from bcca_node.settings import Settings
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Activity, Amount, Factor, Input, Interval, Supplier
from bcca_protocol.issue import UNSET_NONCE
from bcca_protocol.keys import Role
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product

T = TypeVar("T")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
SCRYPT_N = 2**4  # tests are not worth a guess
SECONDS = 20.0


class Loop:
    """An event loop in a thread of its own, with the servers it serves."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._apps: dict[uvicorn.Server, Future[None]] = {}
        self._raw: list[asyncio.Server] = []
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    def serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        """Serve an app on a bound socket; return once it answers."""
        work = server.serve(sockets=[listener])
        self._apps[server] = asyncio.run_coroutine_threadsafe(work, self._loop)
        self.run(started(server))

    def serve_raw(self, handler: Handler) -> str:
        """Answer every connection with `handler`; return the base URL."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            finally:
                writer.close()

        server = self.run(asyncio.start_server(answer, "127.0.0.1", 0))
        self._raw.append(server)
        port = server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def close(self) -> None:
        """Stop every server, all at once, and the thread."""
        for server in self._apps:
            server.should_exit = True
        for served in self._apps.values():
            served.result(SECONDS)
        self.run(stopped(self._raw))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()


async def started(server: uvicorn.Server) -> None:
    while not server.started:
        await asyncio.sleep(0.005)


async def stopped(servers: list[asyncio.Server]) -> None:
    """Close servers, and end whatever still answers."""
    for server in servers:
        server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Serve apps, and what only pretends to be one."""
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def raw_server(loop: Loop) -> Callable[[Handler], str]:
    """Answer every connection with a function on its streams; return the base URL."""
    return loop.serve_raw


@pytest.fixture
def new_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Set up nodes; `locked` ones have no passphrase, others settings by name."""
    nodes: list[Node] = []

    def make(origin: str = "cathode.example/bcca", *, locked: bool = False, **told: Any) -> Node:
        data = tmp_path / origin.replace("/", "-")
        clock = {"clock": told.pop("clock")} if "clock" in told else {}
        settings = Settings(data=data, origin=origin, name=origin.title(), **told)
        init(settings, PASSPHRASE, scrypt_n=SCRYPT_N)
        nodes.append(Node.open(settings, None if locked else PASSPHRASE, **clock))
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def node(new_node: Callable[..., Node]) -> Node:
    """A node with open keys, on which nothing is published."""
    return new_node()


@pytest.fixture
def served(loop: Loop, new_node: Callable[..., Node]) -> Callable[..., Node]:
    """Set up nodes that are served over HTTP at their URL."""

    def make(origin: str, **told: Any) -> Node:
        listener = socket.create_server(("127.0.0.1", 0))
        node = new_node(origin, url=f"http://127.0.0.1:{listener.getsockname()[1]}", **told)
        loop.serve(create_server(node), listener)
        return node

    return make


@pytest.fixture
def policy_of() -> Callable[..., str]:
    """Write a policy: these logs, these witnesses, so many of them a quorum."""

    def write(logs: list[Node], witnesses: list[Node], quorum: int) -> str:
        names = [f"w{index}" for index, _ in enumerate(witnesses)]
        keys = [each.keystore.record(Role.WITNESS).key.encode() for each in witnesses]
        lines = [f"log {each.log_key.encode()} {each.settings.url}/log" for each in logs]
        lines += [
            f"witness {name} {key} {each.settings.url}/witness"
            for name, key, each in zip(names, keys, witnesses, strict=True)
        ]
        return "\n".join([*lines, f"group g {quorum} {' '.join(names)}", "quorum g", ""])

    return write


@pytest.fixture
def network(served: Callable[..., Node], policy_of: Callable[..., str]) -> list[Node]:
    """A publisher and its four witnesses, three of them a quorum, all believing each other."""
    nodes = [served(f"n{index}.example") for index in range(5)]
    for each in nodes:
        policy = policy_of(nodes, nodes[1:], 3)
        (each.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    return nodes


@pytest.fixture
def ask() -> Callable[..., httpx.Response]:
    """Ask the app of a node, without a socket."""

    def send(node: Node, path: str, *, body: bytes | None = None) -> httpx.Response:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(create_app(node))
            async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
                return await client.request("GET" if body is None else "POST", path, content=body)

        return asyncio.run(request())

    return send


@pytest.fixture
def part() -> Callable[..., PartialFootprint]:
    """Write partial footprints: so many kg of something at 3 kg CO2e, and what was bought."""

    def write(
        issuer: str, product: str = "P1", *, kg: int = 2, buys: tuple[Input, ...] = (), **other: Any
    ) -> PartialFootprint:
        year = other.pop("year", 2025)
        told = {
            "nonce": UNSET_NONCE,
            "product": Product(id=f"urn:bcca:case:t:{product}", name=product),
            "producer": Producer(name="Cathode GmbH"),
            "period": Interval(f"{year}-01-01T00:00:00Z", f"{year + 1}-01-01T00:00:00Z"),
            "sharing": "public",
            "declared_unit": Amount("1", "kg"),
            "output": Amount("1", "kg"),
            "method": Method(
                standards=("ISO 14067",), gwp="AR6", recycling="cutOff", electricity="market"
            ),
            "activities": (activity(kg),),
            "inputs": buys,
            "footprint": Stages(production=Components(fossil=str(3 * kg))),
        }
        return PartialFootprint(issuer=issuer, **{**told, **other})

    return write


@pytest.fixture
def bought() -> Callable[..., Input]:
    """Write an input line: 1 kg of a product of some node."""

    def write(product: str, supplier: Node) -> Input:
        return Input(
            id=product,
            product=f"urn:bcca:case:t:{product}",
            supplier=Supplier(origin=supplier.origin, key=supplier.log_key.encode()),
            amount="1",
            unit="kg",
            stages="keep",
        )

    return write


def activity(kg: int) -> Activity:
    factor = Factor(
        kind="secondary",
        source="a database",
        dataset="nickel sulfate",
        geography="GLO",
        unit="kg",
        gas="co2e",
        values=Components(fossil="3"),
    )
    return Activity(
        id="a1",
        name="nickel sulfate",
        stage="production",
        kind="material",
        amount=str(kg),
        unit="kg",
        amount_kind="calculated",
        factor=factor,
    )
