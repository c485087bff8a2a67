"""`bcca aggregate --every`: a process that stays, and says what changes."""

import asyncio
import json
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bcca_node.ledger.sign import predicate_of
from bcca_node.ledger.status import replacing, revoke
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.run import Run, roll_up
from bcca_node.packmaker.secrecy import Keeping
from bcca_node.storage import logs, statements
from bcca_protocol.entry import Status

CATHODE = "urn:bcca:case:t:C1"
PATIENCE = 30.0  # seconds for what takes one or two, on a machine that is busy
SOON = 5.0  # seconds for a process to end, on such a machine
A_TURN_AND_MORE = 1.5  # seconds, where a turn is taken every one


class Standing:
    """The command as a process; each line that it prints is there as soon as it is printed."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self._threads: list[threading.Thread] = []
        self._out, self._err = self._lines(process.stdout), self._lines(process.stderr)

    def line(self) -> Any:
        """Return the next document that it prints."""
        return json.loads(self._out.get(timeout=PATIENCE))

    def text(self) -> str:
        """Return what it prints for people of the next run that it tells."""
        told = [self._out.get(timeout=PATIENCE)]
        while not told[-1].startswith("kept as run "):
            told.append(self._out.get(timeout=PATIENCE))
        return "".join(told)

    def error(self) -> str:
        return self._err.get(timeout=PATIENCE)

    def says_nothing(self) -> bool:
        time.sleep(A_TURN_AND_MORE)
        return self._out.empty() and self._err.empty()

    def end(self, number: int) -> tuple[int, float]:
        """Interrupt it; return its exit status, and how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        return status, time.monotonic() - began

    def rest(self) -> list[str]:
        """Return what it printed beyond what was looked at; it has ended."""
        for thread in self._threads:
            thread.join(PATIENCE)
        return [*self._out.queue, *self._err.queue]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.rest()

    def _lines(self, stream: Any) -> "queue.Queue[str]":
        found: queue.Queue[str] = queue.Queue()

        def read() -> None:
            with stream:
                for text in stream:
                    found.put(text)

        self._threads.append(threading.Thread(target=read, daemon=True))
        self._threads[-1].start()
        return found


@pytest.fixture
def stays(desk: Any, two_tiers: Any) -> Iterator[Callable[..., Standing]]:
    """Start the command of the pack maker, a turn every second."""
    started: list[Standing] = []

    def start(*more: str) -> Standing:
        told = ("aggregate", "P1", "--every", "1s", *more)
        started.append(Standing(desk.process(*told, "--data", two_tiers.pack.settings.data)))
        return started[-1]

    yield start
    for each in started:
        each.close()


def corrected(desk: Any, chain: Any, kg: int) -> None:
    """Let the supplier say that its cathode is made of something else, 3 kg CO2e each kg."""
    part = desk.part(chain.supplier.origin, "C1", kg=kg)
    desk.published(chain.supplier, replacing(part, commitment_of(chain), Status.CORRECTED))


def commitment_of(chain: Any) -> str:
    """Return the name of what the supplier says of its cathode."""
    with chain.supplier.database.read() as session:
        [found] = statements.current(session, [CATHODE], logs.size(session))
    return str(found.commitment)


def believe(chain: Any, policy: str) -> None:
    """Let the pack maker believe something else, which may read it at any time."""
    path = chain.pack.settings.data / "policy.txt"
    path.with_suffix(".new").write_text(policy, encoding="utf-8")
    path.with_suffix(".new").replace(path)


def size_of(chain: Any) -> int:
    with chain.pack.database.read() as session:
        return int(logs.size(session))


def runs_of(desk: Any, chain: Any) -> list[dict[str, str]]:
    """Return the runs that are kept."""
    told = desk.bcca("runs", "--json", data=chain.pack).json["runs"]
    return list(told)


def test_a_correction_is_told_and_corrects_the_roll_up_and_quiet_runs_leave_nothing(
    desk: Any, two_tiers: Any, stays: Callable[..., Standing]
) -> None:
    standing = stays("--name", "tender")
    first = standing.text()
    is_quiet = standing.says_nothing()
    corrected(desk, two_tiers, 5)
    second = standing.text()
    status, seconds = standing.end(signal.SIGINT)
    one, two = (found["commitment"] for found in runs_of(desk, two_tiers))
    with two_tiers.pack.database.read() as session:
        [entered] = statements.find(session, [two])

    assert first.startswith("P1 (urn:bcca:case:t:P1), 1 kg:\n")
    assert "total         18 kg CO2e" in first
    assert first.endswith(f"published {one}\nkept as run tender\n")
    assert is_quiet
    assert second.startswith("\nAnother result at 20")
    assert "total         21 kg CO2e" in second
    assert ": corrected" in second
    assert second.endswith(f"published {two}\nkept as run 2\n")
    assert predicate_of(entered.envelope).corrects == one
    assert (status, standing.rest()) == (0, [])
    assert seconds < SOON


def test_a_gap_is_told_once_and_does_not_correct_what_is_complete_and_its_end_is_told_once(
    desk: Any, two_tiers: Any, stays: Callable[..., Standing]
) -> None:
    standing = stays("--json")
    whole = standing.line()
    size = size_of(two_tiers)
    revoke(two_tiers.supplier, commitment_of(two_tiers))
    desk.published(two_tiers.supplier)
    gap = standing.line()
    is_quiet = standing.says_nothing()
    kept = size_of(two_tiers)
    desk.published(two_tiers.supplier, desk.part(two_tiers.supplier.origin, "C1", kg=5))
    back = standing.line()
    status, _ = standing.end(signal.SIGTERM)

    assert (gap["total"], gap["incomplete"], gap["state"]) == ("6", True, "not entered")
    assert f"roll-up {whole['commitment']} is complete and this is not" in gap["notEntered"]
    assert [each["product"] for each in gap["missing"]] == [CATHODE]
    assert (is_quiet, kept) == (True, size)
    assert (back["state"], back["total"]) == ("published", "21")
    assert (status, standing.rest()) == (0, [])
    assert [found["total"] for found in runs_of(desk, two_tiers)] == ["18", "6", "21"]


def test_a_supplier_that_is_down_and_a_run_that_fails_are_told_once_each_and_so_is_their_end(
    two_tiers: Any, stays: Callable[..., Standing]
) -> None:
    own = f"{two_tiers.supplier.settings.url}/log"
    down = two_tiers.policy.replace(own, "http://127.0.0.1:9")
    believe(two_tiers, down)
    standing = stays("--json")
    gap = standing.line()
    believe(two_tiers, two_tiers.policy)
    first = standing.line()
    believe(two_tiers, down)
    copied = standing.line()
    believe(two_tiers, "nonsense")
    failed = standing.error()
    is_quiet = standing.says_nothing()
    believe(two_tiers, two_tiers.policy)
    back = standing.line()
    status, _ = standing.end(signal.SIGINT)

    assert (gap["total"], gap["incomplete"], gap["state"]) == ("6", True, "published")
    assert (first["total"], first["incomplete"], first["state"]) == ("18", False, "published")
    assert [each["supplier"] for each in copied["fromCopies"]] == ["cathode.example/bcca"]
    assert failed.startswith("bcca: ")
    assert "policy.txt" in failed
    assert is_quiet
    assert {first["commitment"], copied["commitment"]} == {back["commitment"]}
    assert back["fromCopies"] == []
    assert (status, standing.rest()) == (0, [])


def test_interrupted_in_a_run_it_enters_nothing_and_ends_as_what_was_told_last(
    desk: Any, two_tiers: Any, stays: Callable[..., Standing]
) -> None:
    own = f"{two_tiers.supplier.settings.url}/log"
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        hangs.settimeout(PATIENCE)
        hung = f"http://127.0.0.1:{hangs.getsockname()[1]}"
        before = size_of(two_tiers)
        believe(two_tiers, two_tiers.policy.replace(own, hung))
        standing = stays("--json")
        asked, _ = hangs.accept()
        nothing, _ = standing.end(signal.SIGINT)
        asked.close()
        after = size_of(two_tiers)
        believe(two_tiers, two_tiers.policy.replace(own, "http://127.0.0.1:9"))
        again = stays("--json")
        told = again.line()
        believe(two_tiers, two_tiers.policy.replace(own, hung))
        asked, _ = hangs.accept()
        status, _ = again.end(signal.SIGTERM)
        asked.close()

    assert (nothing, standing.rest(), after) == (130, [], before)
    assert (told["total"], told["state"], status, again.rest()) == ("6", "published", 3, [])
    assert [found["total"] for found in runs_of(desk, two_tiers)] == ["6"]


@pytest.mark.parametrize("keeping", Keeping)
def test_other_words_for_the_same_gap_correct_nothing_unless_somebody_looks(
    desk: Any, two_tiers: Any, keeping: Keeping
) -> None:
    buys = (desk.bought("C1", two_tiers.supplier),)
    made = desk.part(two_tiers.pack.origin, "P2", buys=buys, sharing="direct")
    desk.published(two_tiers.pack, made)
    node, url = two_tiers.pack, f"{two_tiers.supplier.settings.url}/log"

    async def rolled(order: Order) -> Run:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            return await roll_up(node, fetcher, order)

    def run(port: int, *, keeps: bool = True) -> Run:
        believe(two_tiers, two_tiers.policy.replace(url, f"http://127.0.0.1:{port}"))
        told = {"amount": None, "at": node.clock(), "keeping": keeping, "keeps_whole": keeps}
        return asyncio.run(rolled(Order(product=made.product.id, **told)))

    first, other, looked_at = run(9), run(11), run(11, keeps=False)
    reasons = [
        [e.resolved.gap.reason for e in each.statement.manifest or () if e.resolved.gap]
        for each in (first, other)
    ]

    assert "127.0.0.1:9" in reasons[0][0]
    assert "127.0.0.1:11" in reasons[1][0]
    assert first.published is not None
    assert other.published == first.published
    assert looked_at.statement.corrects == first.published.commitment


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (("0s",), "no faster than every 1s"),
        (("1.5h",), "write an age as"),
        (("often",), "write an age as"),
        (("10m", "--offline"), "leave one of the two out"),
    ],
)
def test_an_interval_that_is_none_is_one_sentence(
    desk: Any, node: Any, told: tuple[str, ...], said: str
) -> None:
    ran = desk.bcca("aggregate", "P1", "--every", *told, data=node)

    assert ran.status == 2
    assert said in ran.refusal
    assert "--every" in ran.refusal
