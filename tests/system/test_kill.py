"""A serving node is killed at random instants while eight clients publish: no answer is lost.

BCCA_KILLS says how many times altogether, BCCA_SEED which instants. `bcca serve` runs as a command
at the first start, the last, and now and then; else it is forked from a process that has imported
everything, so that a start takes no longer than what it does.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import uvicorn
from sqlmodel import col, select
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.conftest import footprint_of, policy_text

from bcca_node.app import create_app
from bcca_node.demo.loopback import Loopback, listen, url_of
from bcca_node.ledger import desk
from bcca_node.ledger.batch import Published
from bcca_node.ledger.node import Node, found, init
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.desk import is_open
from bcca_node.network.guard import hosts_of
from bcca_node.settings import Settings
from bcca_node.storage import logs, statements, witnessed
from bcca_node.storage.tables import CheckpointRow, HeadRow
from bcca_protocol import verify
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import StatementEntry, parse_entry
from bcca_protocol.envelope import Envelope
from bcca_protocol.errors import UnavailableError
from bcca_protocol.history import History
from bcca_protocol.merkle import Tree, leaf_hash
from bcca_protocol.note import Note

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("BCCA_KILLS", "12"))
SEED = os.environ.get("BCCA_SEED", "one seed for all of it")
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
SCRYPT_N = 2**4  # tests are not worth a guess
ORIGIN = "killed.example/bcca"
CLIENTS = 8
COMMANDS = 0.05  # of all starts: a new interpreter takes seconds
PATIENCE = 60.0  # for a start by itself on a machine that is busy
KEYS = 6  # entries of a new log

FORKING = """
import os, sys
from bcca_node.cli import main

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(main(["serve", "--data", sys.argv[1]]))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_what_was_answered_survives_kills_at_random_instants(tmp_path: Path) -> None:
    with Company(tmp_path) as company:
        for _ in range(KILLS - KILLS // 3):
            company.run_and_kill()
        company.end()

    company.look()


def test_what_was_answered_survives_kills_while_witnesses_come_and_go(tmp_path: Path) -> None:
    with Company(tmp_path) as company:
        for _ in range(KILLS // 3):
            down = company.chance.sample(company.witnesses, company.chance.choice([1, 2, 5]))
            for each in down:
                each.is_up = False
            company.run_and_kill(waiting=company.chance.uniform(0.0, 0.5), meanwhile=down)
        company.end()

    company.look()


class Witness:
    """A witness behind a door: while it is closed, whoever asks is sent away."""

    def __init__(self, data: Path, name: str) -> None:
        self.listener = listen()
        settings = Settings(data=data / name, origin=name, name=name, url=url_of(self.listener))
        self.node = found(settings, PASSPHRASE, scrypt_n=SCRYPT_N)
        self.is_up = True
        self._app: ASGIApp = create_app(self.node)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app if self.is_up or scope["type"] != "http" else _CLOSED
        await answer(scope, receive, send)

    def server(self) -> uvicorn.Server:
        return uvicorn.Server(uvicorn.Config(self, log_level="critical"))


_CLOSED = PlainTextResponse("closed", status_code=503)


class Forks:
    """A process of which `bcca serve` is forked, one at a time; each is like one of Popen."""

    def __init__(self, data: Path, environment: Mapping[str, str], said: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING, str(data)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )

    def start(self) -> Self:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._pid = int(self._line())
        self._status: int | None = None
        return self

    def poll(self) -> int | None:
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return self.wait()
        return None

    def send_signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def kill(self) -> None:
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)

    def wait(self, _: float = 0.0) -> int:
        if self._status is None:
            self._status = int(self._line())
        return self._status

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@dataclass
class Told:
    """What clients were answered, and what anybody was shown of the log."""

    statements: dict[str, Published] = field(default_factory=dict)
    heads: dict[int, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    last_refusal: str = ""

    def answer(self, done: list[Published]) -> None:
        for each in done:
            before = self.statements.setdefault(each.commitment, each)
            if before.index != each.index:
                self.wrong.append(f"{each.commitment}: at {before.index}, then at {each.index}")

    def show(self, note: str) -> None:
        head = Checkpoint.parse(Note.parse(note).text)
        before = self.heads.setdefault(head.size, head.root.hex())
        if before != head.root.hex():
            self.wrong.append(f"two trees of size {head.size}: {before} and {head.root.hex()}")


class Company:
    """A node as a process, five witnesses, and eight clients that publish all the time."""

    def __init__(self, folder: Path) -> None:
        self.chance = random.Random(SEED)  # noqa: S311 - instants, no secrets
        self.told = Told()
        self._data = folder / "n"
        self._stack = ExitStack()
        self.witnesses = [Witness(folder, f"w{each}.example") for each in range(5)]
        listener = listen()
        self._url = url_of(listener)
        listener.close()
        settings = Settings(
            data=self._data,
            origin=ORIGIN,
            name="Killed",
            url=self._url,
            port=int(self._url.rpartition(":")[2]),
        )
        init(settings, PASSPHRASE, scrypt_n=SCRYPT_N)
        self._settings = settings
        told = {name: value for name, value in os.environ.items() if not name.startswith("BCCA_")}
        self._environment = {**told, "BCCA_PASSPHRASE": PASSPHRASE}
        self._said = self._stack.enter_context((folder / "said").open("ab"))
        self._forks = Forks(self._data, self._environment, self._said)
        self._stack.callback(self._forks.close)
        self._is_first = True
        self._is_over = threading.Event()
        self._clients = [
            threading.Thread(target=self._publish, args=(each,)) for each in range(CLIENTS)
        ]
        self._others = [
            threading.Thread(target=each) for each in (self._pass_by, self._have_cosigned)
        ]

    def __enter__(self) -> Self:
        loopback = self._stack.enter_context(Loopback())
        witnesses = [each.node for each in self.witnesses]
        with closing(Node.open(self._settings)) as node:
            policy = policy_text([node], witnesses, 4)
        for each in self.witnesses:
            loopback.serve(each.server(), each.listener)
        for data in (self._data, *(each.settings.data for each in witnesses)):
            (data / "policy.txt").write_text(policy, encoding="utf-8")
        for thread in (*self._clients, *self._others):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in (*self._clients, *self._others):
            thread.join(PATIENCE)
        self._stack.close()

    def run_and_kill(self, *, waiting: float = 0.0, meanwhile: list[Witness] | None = None) -> None:
        """Start the node, which has to come back by itself, and kill it while it is publishing."""
        is_first, self._is_first = self._is_first, False
        with self._process(as_command=is_first) as process:
            if self.chance.random() < 0.2:  # while it starts
                time.sleep(self.chance.uniform(0.0, 0.8))
                process.send_signal(signal.SIGKILL)
                return
            time.sleep(waiting)
            for each in self.witnesses:  # also those that went down before the last kill
                each.is_up = True
            self._wait_for_progress(process)
            self._require_kept()
            for each in self.chance.sample(meanwhile or [], len(meanwhile or []) // 2):
                each.is_up = False
            time.sleep(self.chance.choice([0.1, 0.4, 1.0]) * self.chance.random())
            process.send_signal(signal.SIGKILL)

    def end(self) -> None:
        """Start the node once more, let everybody finish, and stop it as an operator does."""
        for each in self.witnesses:
            each.is_up = True
        with self._process(as_command=True) as process:
            self._wait_for_progress(process)
            self._is_over.set()
            for thread in self._clients:
                thread.join(PATIENCE)
            self._wait_for_publication()
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0

    def look(self) -> None:
        """Require everything that was promised to be there."""
        self._require_kept()
        for each in self.witnesses:
            each.node.close()
        with closing(Node.open(self._settings)) as node, node.database.read() as session:
            entries = logs.entries(session, 0, logs.size(session))
            kept = statements.page(session, 0, 2**62)
            while len(kept) % statements.PAGE == 0 and kept:
                kept += statements.page(session, kept[-1].index + 1, 2**62)
        history = History.read(ORIGIN, node.log_key, entries)
        assert history.broken is None
        assert len(history.statements) == len(kept) == len(entries) - KEYS
        assert {each.commitment: each.index for each in kept} == {
            name.hex(): each.index for name, each in history.statements.items()
        }
        for own in kept[:: max(1, len(kept) // 20)]:
            entry = parse_entry(entries[own.index].decode())
            assert isinstance(entry, StatementEntry)
            assert verify.entry_of(Envelope.parse(own.envelope), entry.key) == entry
        assert len(self.told.statements) > CLIENTS
        assert len(self.told.heads) > 1

    def _require_kept(self) -> None:
        """Look into the database: all that was answered is there, under all heads ever seen."""
        for each in self.witnesses:
            with each.node.database.read() as session:
                note = witnessed.note(session, witnessed.origin_hash(ORIGIN))
                met = session.exec(select(HeadRow).where(HeadRow.origin == ORIGIN)).all()
                shown = [row.note for row in met]
            for head in shown:
                self.told.show(head)
            if note is not None:
                self.told.show(note)
        answered, heads = dict(self.told.statements), dict(self.told.heads)
        with closing(Node.open(self._settings)) as node, node.database.read() as session:
            entries = logs.entries(session, 0, logs.size(session))
            rows = session.exec(select(CheckpointRow).order_by(col(CheckpointRow.size))).all()
            found = statements.find(session, list(answered))
            heads |= {row.size: row.root.hex() for row in rows if row.size not in heads}
            assert rows[-1].size == len(entries)
            assert {row.size: row.root.hex() for row in rows}.items() <= heads.items()
        assert self.told.wrong == []
        assert {each.commitment: each.index for each in found} == {
            name: each.index for name, each in answered.items()
        }
        for name, answer in answered.items():
            assert f" statement {name} ".encode() in entries[answer.index]
        _require_heads(entries, heads)

    @contextmanager
    def _process(self, *, as_command: bool = False) -> Iterator["Forks | subprocess.Popen[bytes]"]:
        command = [str(Path(sys.executable).with_name("bcca")), "serve", "--data", str(self._data)]
        process: Forks | subprocess.Popen[bytes]
        if as_command or self.chance.random() < COMMANDS:
            process = subprocess.Popen(
                command, env=self._environment, stdout=self._said, stderr=self._said
            )
        else:
            process = self._forks.start()
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _all_said(self) -> str:
        said = (self._data.parent / "said").read_text()
        return f"{said}\n{self.told.last_refusal}\n{self.told.wrong}"

    def _wait_for_progress(self, process: Forks | subprocess.Popen[bytes]) -> None:
        before, until = len(self.told.statements), time.monotonic() + PATIENCE
        while len(self.told.statements) == before:
            assert process.poll() is None, self._all_said()
            assert time.monotonic() < until, self._all_said()
            time.sleep(0.01)

    def _wait_for_publication(self) -> None:
        """Return once the serving node has everything cosigned, nobody asking it to."""
        until = time.monotonic() + PATIENCE
        last = max(each.index for each in self.told.statements.values())
        while max(self.told.heads, default=0) <= last:
            assert time.monotonic() < until, self._all_said()
            time.sleep(0.05)

    def _publish(self, client: int) -> None:
        """Publish until it is over; what was not answered is asked again."""
        chance, number = random.Random(f"{SEED} {client}"), 0  # noqa: S311
        while not self._is_over.is_set():
            made = [
                footprint_of(ORIGIN, f"C{client}-{number + each}")
                for each in range(chance.randint(1, 4))
            ]
            number += len(made)
            while not self._is_over.is_set():
                if not is_open(self._data):
                    time.sleep(0.02)
                    continue
                try:
                    self.told.answer(desk.publish(self._data, made))
                    break
                except UnavailableError as error:
                    self.told.last_refusal = str(error)
                    time.sleep(0.02)
                except Exception as error:
                    self.told.wrong.append(f"client {client}: {error!r}")
                    return

    def _pass_by(self) -> None:
        """Read the checkpoint as strangers do, and keep it."""
        with httpx.Client(trust_env=False, timeout=2.0) as client:
            while not self._is_over.is_set() or any(each.is_alive() for each in self._clients):
                self._read(client)
                time.sleep(0.05)
            while self._read(client):  # until it is stopped
                time.sleep(0.05)

    def _have_cosigned(self) -> None:
        """Ask witnesses in another process of the node, as `bcca publish` does after the desk."""
        while not self._is_over.is_set():
            time.sleep(0.05)
            try:
                with closing(Node.open(self._settings)) as node:
                    asyncio.run(_witness(node))
            except UnavailableError:
                continue
            except Exception as error:
                self.told.wrong.append(f"witnesses: {error!r}")
                return

    def _read(self, client: httpx.Client) -> bool:
        try:
            answer = client.get(f"{self._url}/log/checkpoint")
        except httpx.HTTPError:
            return False
        if answer.status_code == 200:
            self.told.show(answer.text)
        return True


async def _witness(node: Node) -> None:
    async with Fetcher(hosts_of(node.trust.required())) as fetcher:
        await witness(node, fetcher)


def _require_heads(entries: list[bytes], heads: Mapping[int, str]) -> None:
    """Require every head to be one of the tree of `entries`."""
    assert max(heads, default=0) <= len(entries)
    tree, at = Tree(), 0
    for size in sorted(heads):
        for entry in entries[at:size]:
            tree.append(leaf_hash(entry))
        at = size
        assert tree.root().hex() == heads[size]
