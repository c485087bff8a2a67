"""Two serving nodes are killed at random instants while one asks and the other answers.

No request is lost, none is answered twice, and both sides end in the same state. BCCA_KILLS says
how many times, BCCA_SEED which instants. The nodes are `bcca serve`, forked from a process that has
imported everything, so that a start takes no longer than what it does.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import footprint_of, policy_text

from bcca_node.app import create_server
from bcca_node.demo.loopback import Loopback, listen, url_of
from bcca_node.demo.sharing import partner_of
from bcca_node.ledger import desk
from bcca_node.ledger.node import Node, found, init
from bcca_node.network.desk import is_open
from bcca_node.partners import requests
from bcca_node.partners.clerk import Pace
from bcca_node.partners.event import Wanted
from bcca_node.partners.outbox import FIRST_PAUSE
from bcca_node.partners.requests import Remark
from bcca_node.settings import Settings
from bcca_node.storage import outbox, partners
from bcca_node.storage import requests as stored
from bcca_node.storage.outbox import State as Sent
from bcca_node.storage.partners import PartnerRole
from bcca_node.storage.requests import OPEN, Request, State
from bcca_protocol.errors import UnavailableError, UnusableError
from bcca_protocol.inventory import Interval

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("BCCA_KILLS", "8"))
SEED = os.environ.get("BCCA_SEED", "one seed for all of it")
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
SCRYPT_N = 2**4  # tests are not worth a guess
CUSTOMER, SUPPLIER = "customer.example", "supplier.example"
WITNESSES = 4
PATIENCE = 90.0  # on a machine that is busy
# After so many failures a node lets the other rest twice as long each time; but it is fetched from
# within `Pace.pull`, and looks for what it can answer within `Pace.sweep`, however often it was
# killed before. So whoever stands still for longer than all that stands still for ever.
STILL = PATIENCE + min(FIRST_PAUSE << min(KILLS, 16), Pace().pull) + Pace().sweep
YEAR = Interval("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")

FORKING = """
import os, signal, sys
from bcca_node.cli import main

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks what became of them
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os._exit(main(["serve", "--data", line.strip()]))
    print(child, flush=True)
"""


@dataclass
class Side:
    """One of both nodes: its folder, and the process that serves it now."""

    settings: Settings
    pid: int | None = None

    @property
    def data(self) -> Path:
        return self.settings.data

    def node(self) -> Any:
        """Open it as commands do while it serves: without keys."""
        return closing(Node.open(self.settings))

    def is_alive(self) -> bool:
        """Say whether its process has not ended; whoever has is not waited for by anybody."""
        if self.pid is None:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


@dataclass
class Trade:
    """A customer that asks, a supplier that answers, and who kills them."""

    customer: Side
    supplier: Side
    forks: "subprocess.Popen[str]"
    chance: random.Random
    asked: dict[str, str] = field(default_factory=dict)
    published: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    is_done: threading.Event = field(default_factory=threading.Event)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.customer, self.supplier

    def start(self, side: Side) -> None:
        assert self.forks.stdin is not None
        assert self.forks.stdout is not None
        self.forks.stdin.write(f"{side.data}\n")
        self.forks.stdin.flush()
        side.pid = int(self.forks.stdout.readline())

    def kill(self, side: Side) -> None:
        """Kill a node, and return once it is gone: its port is free, and its desk."""
        assert side.is_alive(), self.said()
        assert side.pid is not None
        os.kill(side.pid, signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while side.is_alive():
            assert time.monotonic() < until
            time.sleep(0.002)
        side.pid = None

    def ask_all_the_time(self) -> None:
        """Ask for one product after another; withdraw a request now and then."""
        chance = random.Random(f"{SEED} customer")  # noqa: S311 - instants, no secrets
        with self.customer.node() as node:
            while not self.is_over.is_set():
                product = f"urn:bcca:case:t:P{len(self.asked) // 2}"  # two requests a product
                made = requests.ask(
                    node, SUPPLIER, Wanted(period=YEAR, purpose="a pack", product=product)
                )
                self.asked[made.id] = product
                if chance.random() < 0.1:
                    self.say(node, chance.choice(list(self.asked)), SUPPLIER, "withdrawn")
                self.is_over.wait(chance.uniform(0.05, 0.4))

    def answer_all_the_time(self) -> None:
        """Publish what is asked for, accept some, ask back about some, decline some."""
        chance = random.Random(f"{SEED} supplier")  # noqa: S311 - instants, no secrets
        with self.supplier.node() as node:
            while not self.is_done.is_set():
                found = self.waiting(node)
                if found:
                    self.answer(node, chance.choice(found), chance.random())
                time.sleep(chance.uniform(0.02, 0.3))

    def waiting(self, node: Node) -> list[Request]:
        """Return what the supplier has to do something about."""
        with node.database.read() as session:
            found = stored.chosen(session, incoming=True, states=OPEN)
        return [
            each
            for each in found
            if each.product not in self.published or each.state is not State.ACCEPTED
        ]

    def answer(self, node: Node, request: Request, luck: float) -> None:
        if luck < 0.15 or request.product in self.published:
            self.say(node, request.id, CUSTOMER, "accepted")  # it may have come too late
        elif luck < 0.3 and request.state is State.NEW:
            self.say(node, request.id, CUSTOMER, "question", comment="which one?")
        elif luck < 0.35:
            self.say(node, request.id, CUSTOMER, "declined", reason="noData")
        elif is_open(self.supplier.data):
            name = request.product.rpartition(":")[2]
            made = footprint_of(SUPPLIER, name, sharing="direct")
            try:
                desk.publish(self.supplier.data, [made])
            except UnavailableError:
                return  # killed meanwhile: asked again
            self.published.add(request.product)
            self.say(node, request.id, CUSTOMER, "accepted")  # others of it in their turn

    def say(self, node: Node, name: str, partner: str, kind: str, **more: Any) -> None:
        with node.database.read() as session:
            known = stored.get(session, partner, name)
        if known is not None:
            with suppress(UnusableError):  # its state has changed meanwhile
                requests.act(node, known, Remark(kind=kind, **more))  # type: ignore[arg-type]  # a test's own words

    def guarded(self, work: Any) -> threading.Thread:
        """Return a thread that says what went wrong in it."""

        def run() -> None:
            try:
                work()
            except Exception as error:
                self.wrong.append(repr(error))

        return threading.Thread(target=run)

    def kill_and_restart(self) -> None:
        side = self.chance.choice(self.sides)
        time.sleep(self.chance.choice([0.1, 0.5, 1.5]) * self.chance.random())
        self.kill(side)
        time.sleep(self.chance.choice([0.0, 0.0, 0.5]))
        self.start(side)
        if self.chance.random() < 0.5:  # let it come up, and do something
            until = time.monotonic() + PATIENCE
            while not is_open(side.data):
                assert side.is_alive(), self.said()
                assert time.monotonic() < until, self.said()
                time.sleep(0.01)

    def settle(self) -> None:
        """Return once both sides say the same of every request, and nothing is on its way."""
        before: object = None
        until = 0.0
        while not self.is_settled():
            now = (self.states(), [self.on_the_way(side) for side in self.sides])
            if now != before:  # it goes on, however slow the machine is
                before, until = now, time.monotonic() + STILL
            assert time.monotonic() < until, self.trouble()
            assert all(side.is_alive() for side in self.sides), self.said()
            assert self.wrong == []
            time.sleep(0.1)

    def is_settled(self) -> bool:
        at_customer, at_supplier = self.states()
        is_done = at_customer == at_supplier and not OPEN & set(at_customer.values())
        return is_done and all(not self.on_the_way(side) for side in self.sides)

    def trouble(self) -> str:
        """Return in what both sides differ, what is on its way, and what the nodes said last."""
        at_customer, at_supplier = self.states()
        names = sorted(at_customer.keys() | at_supplier.keys())
        pairs = [(name, at_customer.get(name), at_supplier.get(name)) for name in names]
        open_ = [each for each in pairs if each[1] != each[2] or each[1] in OPEN]
        waits = []
        for side in self.sides:
            with side.node() as node, node.database.read() as session:
                found = outbox.in_state(session, Sent.WAITING)
                waits += [(e.number, e.attempts, e.next_at - node.clock(), e.told) for e in found]
        return f"{open_}\n{waits}\n{self.said()}"

    def said(self) -> str:
        """Return what the nodes said last, but for the requests that they answered."""
        lines = self.everything_said().splitlines()
        return "\n".join([each for each in lines if '"what":"request"' not in each][-30:])

    def everything_said(self) -> str:
        return (self.customer.data.parent / "said").read_text(encoding="utf-8")

    def on_the_way(self, side: Side) -> int:
        with side.node() as node, node.database.read() as session:
            return len(outbox.in_state(session, Sent.WAITING))

    def states(self) -> tuple[dict[str, State], dict[str, State]]:
        told = []
        for side, other in (self.sides, (self.supplier, self.customer)):
            with side.node() as node, node.database.read() as session:
                found = stored.chosen(session, partner=other.settings.origin)
            told.append({each.id: each.state for each in found})
        return told[0], told[1]

    def answers(self, side: Side, other: Side) -> Counter[str]:
        """Return how often each request was fulfilled, as one side has it."""
        with side.node() as node, node.database.read() as session:
            return Counter(
                each.request
                for name in self.asked
                for each in stored.events(session, other.settings.origin, name)
                if each.kind == "fulfilled"
            )

    def dead(self, side: Side) -> int:
        with side.node() as node, node.database.read() as session:
            return len(outbox.in_state(session, Sent.DEAD))


def test_no_request_is_lost_or_answered_twice_whoever_is_killed(trade: Trade) -> None:
    asking, answering = map(trade.guarded, (trade.ask_all_the_time, trade.answer_all_the_time))
    for each in trade.sides:
        trade.start(each)
    asking.start()
    answering.start()
    try:
        for _ in range(KILLS):
            trade.kill_and_restart()
        trade.is_over.set()
        asking.join(PATIENCE)
        trade.settle()
    finally:
        trade.is_over.set()
        trade.is_done.set()
    answering.join(PATIENCE)

    at_customer, at_supplier = trade.states()
    answered = {name: 1 for name, state in at_customer.items() if state is State.FULFILLED}
    assert trade.wrong == []
    assert set(at_customer) == set(at_supplier) == set(trade.asked)
    assert at_customer == at_supplier
    assert trade.answers(trade.customer, trade.supplier) == answered
    assert trade.answers(trade.supplier, trade.customer) == answered
    assert [trade.dead(side) for side in trade.sides] == [0, 0]
    assert "a mistake in bcca" not in trade.everything_said()
    assert len(answered) > KILLS


@pytest.fixture
def trade(tmp_path: Path) -> Iterator[Trade]:
    """Two nodes that know each other, not served yet, and the witnesses of both."""
    with ExitStack() as stack:
        witnesses = [stack.enter_context(closing(each)) for each in _witnesses(tmp_path, stack)]
        sides = [Side(settings=_settings(tmp_path, origin)) for origin in (CUSTOMER, SUPPLIER)]
        nodes = []
        for each in sides:
            init(each.settings, PASSPHRASE, scrypt_n=SCRYPT_N)
            nodes.append(stack.enter_context(each.node()))
        policy = policy_text(nodes, witnesses, 3)
        for node in (*nodes, *witnesses):
            (node.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
        _introduce(nodes[0], nodes[1], PartnerRole.SUPPLIER)
        _introduce(nodes[1], nodes[0], PartnerRole.CUSTOMER)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BCCA_")}
        said = stack.enter_context((tmp_path / "said").open("ab"))
        forks = _forks({**kept, "BCCA_PASSPHRASE": PASSPHRASE}, said)
        stack.callback(_end, forks)
        made = Trade(
            customer=sides[0],
            supplier=sides[1],
            forks=forks,
            chance=random.Random(SEED),  # noqa: S311 - instants, no secrets
        )
        yield made
        for each in sides:
            if each.is_alive():
                made.kill(each)


def _settings(folder: Path, origin: str) -> Settings:
    with listen() as listener:
        url = url_of(listener)
    port = int(url.rpartition(":")[2])
    return Settings(data=folder / origin, origin=origin, name=origin, url=url, port=port)


def _witnesses(folder: Path, stack: ExitStack) -> Iterator[Node]:
    loopback = stack.enter_context(Loopback())
    for number in range(WITNESSES):
        listener, name = listen(), f"w{number}.example"
        settings = Settings(data=folder / name, origin=name, name=name, url=url_of(listener))
        node = found(settings, PASSPHRASE, scrypt_n=SCRYPT_N)
        loopback.serve(create_server(node), listener)
        yield node


def _introduce(node: Node, of: Node, role: PartnerRole) -> None:
    with node.database.write() as session:
        partners.put(session, partner_of(of, [role]))


def _forks(environment: Mapping[str, str], said: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", FORKING],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
    )


def _end(forks: "subprocess.Popen[str]") -> None:
    forks.kill()
    forks.communicate()
