"""Nodes that are `bcca serve --tls-cert --tls-key` as processes, and the foreigners around them.

Commands and servers are forked from a process that has imported everything, so that a start takes
no longer than what it does. Their witnesses are nodes on loopback.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from tests.conftest import footprint_of, policy_text
from tests.ran import Ran
from tests.system.pact_keys import Authority, Pair
from tests.system.pact_tester import Foreigner, Listener

from bcca_node.app import create_server
from bcca_node.demo.loopback import Loopback, listen, url_of
from bcca_node.ledger import desk
from bcca_node.ledger.node import Node, found
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.desk import is_open
from bcca_node.network.guard import hosts_of
from bcca_node.settings import Settings
from bcca_node.storage import requests
from bcca_node.storage.requests import OPEN
from bcca_protocol.statement import (
    Classification,
    PartialFootprint,
    Producer,
    Product,
    Sharing,
    Site,
)

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
SCRYPT_N = 2**4  # tests are not worth a guess
WITNESSES, QUORUM = 4, 3
PATIENCE = 60.0  # on a machine that is busy
LEI = "urn:lei:5493001KJTIIGC8Y1R12"
UNSPSC = Classification(scheme="unspsc", code="26111700")

FORKING = """
import json, os, signal, sys
from bcca_node.cli import main

def forked(asked):
    child = os.fork()
    if child == 0:
        for number, name in ((1, "out"), (2, "err")):
            file = os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(file, number)
        os.environ.update(asked.get("env", {}))
        status = main(asked["args"])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return child

for line in sys.stdin:
    asked = json.loads(line)
    if "args" in asked:
        pid = forked(asked)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if asked["wait"] else pid
        print(status, flush=True)
    else:
        os.kill(asked["pid"], asked["signal"])
        print(os.waitstatus_to_exitcode(os.waitpid(asked["pid"], 0)[1]), flush=True)
"""


@dataclass
class Forks:
    """The process that commands are forked from; they trust the authority of these tests."""

    folder: Path
    authority: Authority
    _numbers: Iterator[int] = field(default_factory=count)
    _process: "subprocess.Popen[str]" = field(init=False)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BCCA_")}
        told = {"BCCA_PASSPHRASE": PASSPHRASE, "SSL_CERT_FILE": str(self.authority.certificate)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING],
            env={**kept, **told},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, env: dict[str, str] | None = None) -> Ran:
        """Run a command to its end."""
        out, err = (self.folder / f"{next(self._numbers)}.{name}" for name in ("out", "err"))
        asked = {"args": [*map(str, arguments)], "wait": True, "out": str(out), "err": str(err)}
        status = self._ask({**asked, "env": env or {}})
        return Ran(status, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    def start(self, said: Path, *arguments: object) -> int:
        """Start a command that goes on; return the id of its process."""
        told = {"wait": False, "out": str(said), "err": str(said)}
        return self._ask({"args": [*map(str, arguments)], **told})

    def end(self, pid: int, how: signal.Signals) -> int:
        """Signal a process, and return how it ended."""
        return self._ask({"pid": pid, "signal": int(how)})

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, asked: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@dataclass
class Side:
    """One node: its folder, its certificate, and the process that serves it now."""

    ground: "Ground"
    settings: Settings
    pair: Pair
    log_line: str
    pid: int | None = None
    callers: list[Foreigner] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.settings.data

    @property
    def base(self) -> str:
        return self.settings.url

    @property
    def origin(self) -> str:
        return self.settings.origin

    @property
    def said(self) -> str:
        path = self.data.with_suffix(".said")
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @cached_property
    def node(self) -> Node:
        """The node as commands open it while it serves: without keys, until the ground ends."""
        node = Node.open(self.settings)
        self.ground.below.callback(node.close)
        return node

    def start(self, *, is_plain: bool = False) -> None:
        """Serve it over TLS, or plainly behind a proxy; return once its desk is open."""
        tls = () if is_plain else ("--tls-cert", self.pair.certificate, "--tls-key", self.pair.key)
        said = self.data.with_suffix(".said")
        self.pid = self.ground.forks.start(said, "serve", *tls, "--data", self.data)
        self.ground.wait(lambda: is_open(self.data), lambda: self.said)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, and return how it ended; nobody who rests on a connection holds it up."""
        assert self.pid is not None
        for each in self.callers:
            each.hang_up()
        ended = self.ground.forks.end(self.pid, how)
        self.pid = None
        return ended

    def kill(self) -> None:
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL, self.said

    def bcca(self, *arguments: object, status: int | None = 0) -> Ran:
        """Run a command on its folder, which has to end with `status`; None: however it ends."""
        ran = self.ground.forks.run(*arguments, "--data", self.data)
        assert status in (None, ran.status), (arguments, ran)
        return ran

    def made(self, name: str, /, *, kg: int = 2, **more: Any) -> PartialFootprint:
        """Write a footprint with all that PACT filters by."""
        told: dict[str, Any] = {
            "product": Product(id=urn(name), name=name, classifications=(UNSPSC,)),
            "producer": Producer(name=self.settings.name, ids=(LEI,)),
            "site": Site(id="site-1", country="FI"),
            "mass_kg": "1",
        }
        made = footprint_of(self.origin, name, kg=kg)
        return msgspec.structs.replace(made, **{**told, **more})

    def publish(self, *parts: PartialFootprint) -> list[str]:
        """Publish while it serves; return the commitments, once witnesses have cosigned them."""
        made = desk.publish(self.data, parts)
        self.have_cosigned()
        return [each.commitment for each in made]

    def have_cosigned(self) -> None:
        """Ask witnesses from another process of the node, as `bcca publish` does."""

        async def ask(node: Node) -> bool:
            async with Fetcher(hosts_of(node.trust.required())) as fetcher:
                return (await witness(node, fetcher)).published

        self.ground.wait(lambda: asyncio.run(ask(self.node)), lambda: self.said)

    def asked(self, product: str) -> list[str]:
        """Return the requests of PACT partners for a product that wait here, by their ids."""
        with self.node.database.read() as session:
            found = requests.chosen(session, incoming=True, states=OPEN)
        return [each.id for each in found if each.product == urn(product)]

    def waiting(self, product: str) -> str:
        """Return the one request for a product, once it is there."""
        self.ground.wait(lambda: bool(self.asked(product)), lambda: self.said)
        [name] = self.asked(product)
        return name

    def sell(self, name: str, /, *, kg: int = 2, sharing: Sharing = "public", **more: Any) -> str:
        """Publish a footprint of a product; return its commitment."""
        [made] = self.publish(self.made(name, kg=kg, sharing=sharing, **more))
        return made

    def draft(self, part: PartialFootprint) -> Path:
        """Write a footprint as `bcca status correct` reads it."""
        [draft] = json.loads(desk.encode([part]))
        path = self.ground.new_file("draft")
        path.write_text(json.dumps([draft]), encoding="utf-8")
        return path

    def correct(self, commitment: str, part: PartialFootprint) -> None:
        self.bcca("status", "correct", commitment, self.draft(part))

    def revoke(self, commitment: str) -> None:
        self.bcca("status", "revoke", commitment)


@dataclass(kw_only=True)
class Ground:
    """Everything that PACT tests share: an authority, witnesses, and who is forked."""

    folder: Path
    tables: Path
    authority: Authority
    forks: Forks
    loopback: Loopback
    below: ExitStack
    running: ExitStack
    witnesses: list[Node] = field(default_factory=list)
    sides: list[Side] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def new_file(self, name: str) -> Path:
        return self.folder / f"{name}-{next(self._numbers)}"

    @staticmethod
    def wait(found: Callable[[], bool], said: Callable[[], object] = str) -> None:
        """Return once something is so; where it never is, say what was said."""
        until = time.monotonic() + PATIENCE
        while not found():
            assert time.monotonic() < until, said()
            time.sleep(0.1)

    def side(self, name: str, **told: Any) -> Side:
        """Found a node; everybody believes the same."""
        origin = f"{name}.example/bcca"
        (data := self.folder / name).mkdir(mode=0o700)
        shutil.copy(self.tables, data / "node.db")
        with listen() as listener:
            port = listener.getsockname()[1]
        url = f"https://127.0.0.1:{port}"
        settings = Settings(data=data, origin=origin, name=name, url=url, port=port, **told)
        with closing(found(settings, PASSPHRASE, scrypt_n=SCRYPT_N)) as node:
            line = f"log {node.log_key.encode()} {url}/log"
        side = Side(self, settings, self.authority.issue(name), line)
        self.sides.append(side)
        self._write_policies()
        self.running.callback(lambda: side.kill() if side.pid is not None else None)
        return side

    def listener(self) -> Listener:
        """Serve a foreign company that nobody knows yet."""
        made = Listener()
        made.serve(self.loopback, self.authority.issue(f"foreigner-{next(self._numbers)}"))
        return made

    def acquaint(self, side: Side, name: str, listener: Listener | None = None) -> Foreigner:
        """Make a foreign company a PACT partner of a node, both with credentials of the other."""
        heard = self.listener() if listener is None else listener
        ran = side.bcca(
            *("partners", "add", "--pact", name, "--url", heard.url, "--json"),
            *("--client-id", heard.client_id),
            *("--client-secret-file", self.secret(heard.client_secret)),
        )
        return self.tester(side, name, heard, ran.json)

    def tester(self, side: Side, name: str, listener: Listener, told: Any) -> Foreigner:
        """Return a foreigner that comes in with what `bcca partners add` printed."""
        made = Foreigner(
            name=name,
            base=side.base,
            listener=listener,
            client_id=told["clientId"],
            client_secret=told["clientSecret"],
            trusting=self.authority.trusting(),
        )
        self.running.callback(made.hang_up)
        side.callers.append(made)
        return made

    def secret(self, text: str) -> Path:
        """Write a secret to a file of its owner."""
        path = self.new_file("secret")
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    def witness(self) -> None:
        listener, name = listen(), f"w{len(self.witnesses)}.example"
        (data := self.folder / name).mkdir(mode=0o700)
        shutil.copy(self.tables, data / "node.db")
        settings = Settings(data=data, origin=name, name=name, url=url_of(listener))
        node = found(settings, PASSPHRASE, scrypt_n=SCRYPT_N)
        self.below.callback(node.close)
        self.loopback.serve(create_server(node), listener)
        self.witnesses.append(node)

    def _write_policies(self) -> None:
        lines = "\n".join(each.log_line for each in self.sides)
        policy = f"{lines}\n{policy_text([], self.witnesses, QUORUM)}"
        for each in (*(e.data for e in self.sides), *(e.settings.data for e in self.witnesses)):
            (each / "policy.txt").write_text(policy, encoding="utf-8")


@contextmanager
def founded(folder: Path, tables: Path) -> Iterator[Ground]:
    """Yield a ground with witnesses, and no company yet."""
    folder.mkdir(exist_ok=True)
    authority = Authority(folder)
    with ExitStack() as stack:
        forks = stack.enter_context(closing(Forks(folder, authority)))
        below = stack.enter_context(ExitStack())
        loopback = stack.enter_context(Loopback())
        ground = Ground(
            folder=folder,
            tables=tables,
            authority=authority,
            forks=forks,
            loopback=loopback,
            below=below,
            running=stack.enter_context(ExitStack()),
        )
        for _ in range(WITNESSES):
            ground.witness()
        yield ground


def urn(name: str) -> str:
    return f"urn:bcca:case:t:{name}"
