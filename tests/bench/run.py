"""A pack maker's whole run beside raw signature checks of the same statements, in the same run.

Run: `uv run python tests/bench/run.py [--statements 2000] [--suppliers 20] [--workers 2] [--json]`

Statements are those of `verify.py`: ten own lines of three components, two inputs. Each buys two
others, so that all are upstream of one pack. Suppliers are real nodes in processes of their own,
asked over loopback HTTP; each was asked before for its head and a page, so that it is up. The clock
runs from the first question to the total.

- seconds: logs and statements fetched, verified in bulk, stored, chosen, added up;
- sign_seconds: the single signature checks that come before a result is signed, not in `seconds`;
- raw_seconds: `Ed25519PublicKey.verify` of as many statements on one core, half before, half after;
- ratio: seconds over raw_seconds;
- peak_mb: the most memory that this process, with the market it made, and its workers held;
- growth_kb: by how much of it they grew during the run, for each statement;
- kept_seconds: the same run once more, of what is kept on the disk, nothing in memory;
- again_seconds: the same run in that process after one supplier corrected one statement; this and
  the one before with single checks;
- again_cone: of how many statements the result changed with it;
- again_computed: how many were added up anew, the rest being known from the run before;
- parts: where the seconds went.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import httpx
from companies import STAGES, WITNESSES, Company, activity, bought, partial
from msgspec import structs
from processes import HOST, START_SECONDS, Memory, running
from verify import OWN_LINES, Chunk

from bcca_node.app import create_server
from bcca_node.demo.loopback import Loopback
from bcca_node.ledger import node as nodes
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.status import replacing
from bcca_node.ledger.trust import FILE as POLICY
from bcca_node.network import descriptor
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import held
from bcca_node.packmaker.adding import Sum, add_up
from bcca_node.packmaker.collect import Collected, collecting
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.last import Last
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.sweeps import sweep_rarely
from bcca_node.settings import Settings
from bcca_node.sharing import press
from bcca_node.storage import logs, pages, statements
from bcca_protocol import checkpoint, own
from bcca_protocol.entry import Status
from bcca_protocol.note import Note
from bcca_protocol.period import Span
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.tiles import ENTRIES, Tile

PASSPHRASE = "it protects a bench"  # noqa: S105
SCRYPT_N = 2**4
SERVERS = 2  # processes that serve the suppliers between them
RAW = 4_000  # raw checks that are timed on either side of the run
BATCH = 1_000  # statements that are published at a time
_AGAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); import run; run.main()"
PERIOD = Span("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How much is measured, and by how many workers."""

    statements: int
    suppliers: int
    workers: int | None


class Market:
    """Suppliers and a pack maker, founded in a folder; product n buys 2n + 1 and 2n + 2."""

    def __init__(self, asked: Asked, folder: Path) -> None:
        """Found them, and publish all their statements."""
        self._asked = asked
        # They listen from the start, so that nobody else takes a port before they are served.
        self.listeners = [
            socket.create_server((HOST, 0), backlog=1024) for _ in range(asked.suppliers)
        ]
        self.nodes = [
            _found(folder / f"s{n}", f"supplier{n}.example/bcca", each.getsockname()[1])
            for n, each in enumerate(self.listeners)
        ]
        self.pack = _found(folder / "pack", "pack.example/bcca", 0)
        self._companies = [Company(origin=node.origin) for node in (*self.nodes, self.pack)]
        for node, company in zip((*self.nodes, self.pack), self._companies, strict=True):
            company.supplier = structs.replace(company.supplier, key=node.log_key.encode())
        policy = self._policy()
        for node in (*self.nodes, self.pack):
            (node.settings.data / POLICY).write_text(policy, encoding="utf-8")
        for number, node in enumerate(self.nodes):
            products = range(number, asked.statements, asked.suppliers)
            for start in range(0, len(products), BATCH):
                publish(node, [self.part(each) for each in products[start : start + BATCH]])
            _witness(node)
        root = self._part(asked.statements, len(self.nodes), [0])
        publish(self.pack, [root])
        _witness(self.pack)

    def close(self) -> None:
        """Close every database."""
        for node in (*self.nodes, self.pack):
            node.close()
        for listener in self.listeners:
            listener.close()

    def part(self, product: int, output: str = "1") -> PartialFootprint:
        """Return what its supplier says of a product."""
        needed = [n for n in (2 * product + 1, 2 * product + 2) if n < self._asked.statements]
        return self._part(product, product % len(self.nodes), needed, output)

    def _part(
        self, product: int, maker: int, needed: Sequence[int], output: str = "1"
    ) -> PartialFootprint:
        lines = [activity(product, n, STAGES[n % 2]) for n in range(OWN_LINES)]
        bom = [
            bought(product, OWN_LINES + n, of, self._companies[of % len(self.nodes)])
            for n, of in enumerate(needed)
        ]
        made = partial(self._companies[maker], product, lines, bom, output)
        return own.with_footprint(made)

    def correct(self, product: int) -> None:
        """Let a supplier correct one statement."""
        node = self.nodes[product % len(self.nodes)]
        urn = self.part(product).product.id
        with node.database.read() as session:
            [old] = statements.current(session, [urn], logs.size(session))
        publish(node, [replacing(self.part(product, "2"), old.commitment, Status.CORRECTED)])
        _witness(node)

    def _policy(self) -> str:
        known = [f"log {n.log_key.encode()} {n.settings.url}/log" for n in (*self.nodes, self.pack)]
        known += [f"witness w{n} {each.key.encode()}" for n, each in enumerate(WITNESSES)]
        return "\n".join([*known, "group five 4 w0 w1 w2 w3 w4", "quorum five", ""])


def measure(asked: Asked, folder: Path) -> dict[str, object]:
    """Return the report."""
    with closing(Market(asked, folder)) as market, _served(market) as servers:
        before = _raw()
        with Memory(but=servers) as memory:
            took, first, collected = _run(market, asked)
        raw = (before + _raw()) / 2 * asked.statements
        found = len(collected.reached) - 1
        is_whole, before_change = not first.totals.incomplete, _weights(first)
        del first, collected
        last = Last()
        kept_took = _run(market, asked, last)[0]
        market.correct(asked.statements // 2)
        again_took, again, _ = _run(market, asked, last)
    seconds = sum(took.values()) - took["sign"]
    if found != asked.statements or not is_whole:
        raise SystemExit(f"{found} of {asked.statements} statements were reached and added up")
    return {
        "statements": asked.statements,
        "suppliers": asked.suppliers,
        "seconds": round(seconds, 3),
        "raw_seconds": round(raw, 3),
        "ratio": round(seconds / raw, 3),
        "sign_seconds": round(took["sign"], 3),
        "peak_mb": memory.peak_mb,
        "growth_kb": round((memory.peak_mb - memory.first_mb) * 1024 / asked.statements, 2),
        "kept_seconds": round(sum(kept_took.values()), 3),
        "again_seconds": round(sum(again_took.values()), 3),
        "again_cone": sum(
            before_change.get(name) != weight for name, weight in _weights(again).items()
        ),
        "again_computed": last.known.computed,
        "parts": {name: round(each, 3) for name, each in took.items()},
        "again_parts": {name: round(each, 3) for name, each in again_took.items()},
    }


def _run(
    market: Market, asked: Asked, last: Last | None = None
) -> tuple[dict[str, float], Sum, Collected]:
    """Return the seconds of each part of a run, and what came of it."""
    return asyncio.run(_again(market, asked, last))


async def _again(
    market: Market, asked: Asked, last: Last | None
) -> tuple[dict[str, float], Sum, Collected]:
    node = market.pack
    product = market.part(0).product.id.replace("000000", f"{asked.statements:06d}")
    began = time.perf_counter()
    root = _root(node, product)
    plan = Plan(period=PERIOD, at=node.clock(), workers=asked.workers, max_age=10**9)
    order = Order(product=product, amount=None, at=node.clock(), last=last)
    async with (
        Fetcher([HOST]) as fetcher,
        collecting(node, fetcher, [root], plan, last) as collected,
    ):
        read = time.perf_counter()
        added = add_up(node, collected, root, order)
        end = time.perf_counter()
    took = {
        "collect": read - began - collected.proving,
        "add_up": end - read,
        "remember": time.perf_counter() - end,  # what was left of it by then
    }
    return {**took, "sign": collected.proving}, added, collected


def _root(node: Node, product: str) -> Held:
    with node.database.read() as session:
        log = held.own_log(node, session, node.trust.required(), at=node.clock())
        [root] = held.own_parts(session, product, log)
    return root


def _weights(added: Sum) -> dict[tuple[str, str], tuple[Decimal, ...]]:
    """Return what one unit of each product weighs."""
    parts = added.totals.graph.parts
    return {(parts[i].issuer, parts[i].product): v for i, v in added.totals.vectors.items()}


def _raw() -> float:
    """Return the seconds of one raw check."""
    chunk = Chunk.of(0, 1_000)
    began = time.perf_counter()
    for _ in range(RAW // 1_000):
        chunk.raw()
    return (time.perf_counter() - began) / RAW


def _found(folder: Path, origin: str, port: int) -> Node:
    settings = Settings(
        data=folder, origin=origin, name=origin, url=f"http://{HOST}:{port}", host=HOST, port=port
    )
    return nodes.found(settings, PASSPHRASE, scrypt_n=SCRYPT_N)


def _witness(node: Node) -> None:
    """Sign the newest head, have five witnesses cosign it, and pack what is public under it."""
    with node.database.write() as session:
        head, size = logs.last_head(session), logs.size(session)
        if head is None:
            raise SystemExit(f"{node.origin}: nothing was published")
        note = Note.parse(head.note)
        cosigned = [checkpoint.cosign(note.text, each, at=node.clock()) for each in WITNESSES]
        whole = note.with_signatures(cosigned).encode()
        logs.put_head(session, replace(head, note=whole, published=True))
    for number in range(-(-size // pages.WIDTH)):
        press.page(node, number)


@contextmanager
def _served(market: Market) -> Iterator[list[int]]:
    """Serve the suppliers in processes of their own, and yield their ids."""
    servers = []
    with ExitStack() as stack:
        for turn in range(SERVERS):
            folders = [str(node.settings.data) for node in market.nodes[turn::SERVERS]]
            numbers = [each.fileno() for each in market.listeners[turn::SERVERS]]
            mine = (f"{number}:{each}" for number, each in zip(numbers, folders, strict=True))
            command = [sys.executable, __file__, "--serve", *mine]
            servers.append(stack.enter_context(running(command, subprocess.DEVNULL, {}, numbers)))
        with httpx.Client(timeout=START_SECONDS) as client:
            for node in market.nodes:  # they have served before, as nodes have
                _ask_once(client, node.settings.url)
        yield servers


def _ask_once(client: httpx.Client, url: str) -> None:
    """Ask a node once for each kind of thing that a run asks for: it opens its database then."""
    told = client.get(url + descriptor.PATH).raise_for_status()
    about = descriptor.decode(told.content)
    bundle = Tile(level=ENTRIES, index=0).encode()
    for asked in (f"{url}/log/checkpoint", f"{url}/log/{bundle}", f"{about.pages}0"):
        client.get(asked)  # what there is none of is answered too


def _serve(given: Sequence[str]) -> None:
    """Serve nodes until this process is ended, each on a socket that is open already."""
    with Loopback() as loopback:
        for number, folder in (each.split(":", 1) for each in reversed(given)):
            node = Node.open(Settings.load(Path(folder)))
            loopback.serve(create_server(node), socket.socket(fileno=int(number)))
        while True:
            time.sleep(60)


def main() -> None:
    """Print the report, as JSON or for people."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--statements", type=int, default=2_000, metavar="N")
    parser.add_argument("--suppliers", type=int, default=20, metavar="N")
    parser.add_argument("--workers", type=int, help="processes that verify (default: one per core)")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--serve", nargs="+", metavar="SOCKET:FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.serve:
        _serve(told.serve)
        return
    if not told.inside:  # a worker runs the file again that began its parent: there is none now
        here = str(Path(__file__).parent)
        again = [sys.executable, "-c", _AGAIN, here, *sys.argv[1:], "--inside"]
        raise SystemExit(subprocess.run(again, check=False).returncode)
    asked = Asked(statements=told.statements, suppliers=told.suppliers, workers=told.workers)
    sweep_rarely()  # as `bcca` does
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked, Path(folder))
    if told.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    sys.stdout.writelines(f"{name:>14} {value}\n" for name, value in found.items())


if __name__ == "__main__":
    main()
