"""How fast a node publishes, witnesses, audits and mirrors, beside what its disk can do at all.

Run: `uv run python tests/bench/ledger.py [--entries 100000] [--statements 3000] [--json]`

Everything goes through what a node runs, on databases in one folder, and every write is durable:

- fsync_ms: 4 KiB appended to a file in that folder and its fsync, in turns with the publishes;
- single_p50_ms, single_p99_ms: `publish` of one statement of 12 lines: checked, signed, entered;
- single_p50_fsyncs, single_p99_fsyncs: the same as a multiple of one fsync;
- batch_per_s: statements a second through `publish`, 100 at a time;
- cosign_per_s: add-checkpoint requests a second that a witness verifies, stores and answers;
- audit_per_s: entries a second from a folder of tiles to the verdict, in CPU time of one core,
  the median of five audits;
- mirror_s: seconds in which a node that has nothing fetches, believes and keeps all `entries` of a
  log that another process serves over HTTP on loopback.
"""

import argparse
import asyncio
import functools
import gc
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from companies import STAGES, WITNESSES, Company, activity, bought, partial
from processes import HOST, bcca_serve, free_port, running, wait_for

from bcca_node.auditor import logs as auditor
from bcca_node.auditor import places
from bcca_node.auditor.report import Report
from bcca_node.ledger import mirror, witness
from bcca_node.ledger import node as nodes
from bcca_node.ledger.export import export
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.sign import Predicate
from bcca_node.ledger.turn import turn
from bcca_node.network.client import Fetcher
from bcca_node.settings import Settings
from bcca_node.storage import logs
from bcca_protocol import checkpoint, merkle, own
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import StatementEntry
from bcca_protocol.merkle import Tree
from bcca_protocol.note import Note
from bcca_protocol.witness import AddCheckpoint

PASSPHRASE = "it protects a bench"  # noqa: S105
SCRYPT_N = 2**4
AUDITS = 5
ORIGIN = "cathode.example/bcca"
BATCH = 100
OWN_LINES, INPUTS = 10, 2
PAGE = bytes(4_096)
LOGS = 10  # whose heads one witness cosigns in turns
CHUNK = 10_000  # entries of the big log that are entered together


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How much is measured."""

    statements: int
    singles: int
    heads: int
    entries: int


def measure(asked: Asked, folder: Path) -> dict[str, int | float]:
    """Return every figure of the report."""
    with closing(_node(folder / "publisher", ORIGIN)) as node:
        batch_per_s = _batches(node, asked.statements)
        singles, fsyncs = _singles(node, asked.statements, asked.singles, folder / "page")
    with closing(_node(folder / "witness", "witness.example/bcca")) as node:
        cosign_per_s = _cosigned(node, asked.heads)
    with closing(_node(folder / "big", ORIGIN)) as big:
        _fill(big, asked.entries)
        audit_per_s = _audited(big, folder / "export")
    with closing(_node(folder / "mirror", "mirror.example/bcca")) as node:
        mirror_s = _mirrored(node, big)
    fsync, p50, p99 = statistics.median(fsyncs), *_percentiles(singles)
    return {
        "statements": asked.statements,
        "entries": asked.entries,
        "fsync_ms": round(fsync * 1e3, 3),
        "single_p50_ms": round(p50 * 1e3, 2),
        "single_p99_ms": round(p99 * 1e3, 2),
        "single_p50_fsyncs": round(p50 / fsync, 1),
        "single_p99_fsyncs": round(p99 / fsync, 1),
        "batch_per_s": round(batch_per_s),
        "cosign_per_s": round(cosign_per_s),
        "audit_per_s": round(audit_per_s),
        "mirror_s": round(mirror_s, 2),
    }


# Publishing


def _batches(node: Node, count: int) -> float:
    """Return statements a second; those before the clock starts warm everything up."""
    publish(node, list(_predicates(0, BATCH)))
    batches = [list(_predicates(start, BATCH)) for start in range(BATCH, BATCH + count, BATCH)]
    took = _timed(lambda: [publish(node, batch) for batch in batches])
    return len(batches) * BATCH / took


def _singles(node: Node, before: int, count: int, page: Path) -> tuple[list[float], list[float]]:
    """Return the seconds of each publish of one statement, and of each raw fsync in between."""
    singles, fsyncs = [], []
    with page.open("ab", buffering=0) as file:

        def sync() -> None:
            file.write(PAGE)
            os.fsync(file.fileno())

        for predicate in list(_predicates(before + BATCH, count)):
            fsyncs.append(_elapsed(sync))
            singles.append(_elapsed(functools.partial(publish, node, [predicate])))
    return singles, fsyncs


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median, and the time that one in a hundred is above."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return cuts[49], cuts[98]


def _predicates(first: int, count: int) -> Iterator[Predicate]:
    """Yield partial footprints of products that nobody else has."""
    company, supplier = Company(origin=ORIGIN), Company(origin="mine.example/bcca")
    for product in range(first, first + count):
        lines = [activity(product, line, STAGES[line % 2]) for line in range(OWN_LINES)]
        bom = [bought(product, OWN_LINES + n, n, supplier) for n in range(INPUTS)]
        yield own.with_footprint(partial(company, product, lines, bom))


# Witnessing


def _cosigned(node: Node, count: int) -> float:
    """Return requests a second; the logs grow in turns, by one entry each time."""
    companies = [Company(origin=f"supplier{n}.example/bcca") for n in range(LOGS)]
    _believe(node, [f"log {each.log_key.key.encode()}" for each in companies])
    requests = list(_requests(companies, count))
    answers: list[int] = []
    took = _timed(
        lambda: answers.extend(witness.add_checkpoint(node, each).status for each in requests)
    )
    _require(set(answers) == {200}, f"a witness answered {set(answers)}")
    return len(requests) / took


def _requests(companies: Sequence[Company], count: int) -> Iterator[bytes]:
    """Yield add-checkpoint requests of trees that grow."""
    trees = {each.origin: Tree(map(merkle.leaf_hash, each.lines)) for each in companies}
    known = dict.fromkeys(trees, 0)
    for number in range(count):
        company = companies[number % len(companies)]
        tree, old = trees[company.origin], known[company.origin]
        head = Checkpoint(origin=company.origin, size=tree.size, root=tree.root())
        note = checkpoint.sign_checkpoint(head, [company.log_key]).encode()
        proof = merkle.prove_consistency(old, tree.size, tree.subtree)
        yield AddCheckpoint(old=old, proof=proof, note=note).encode()
        known[company.origin] = tree.size
        tree.append(merkle.leaf_hash(b"%d" % number))


# A large log: audited, mirrored


def _fill(node: Node, count: int) -> None:
    """Enter so many commitments that the log has `count` entries, and publish their head."""
    for start in range(0, count, CHUNK):
        with turn(node) as held:
            last = min(start + CHUNK, count)
            held.enter([_entry(index) for index in range(held.next, last)])
    with node.database.write() as session:
        head = logs.last_head(session)
        _require(head is not None and head.size == count, "the log has another size")
        if head is not None:
            note = Note.parse(head.note)
            cosigned = [checkpoint.cosign(note.text, each, at=node.clock()) for each in WITNESSES]
            whole = note.with_signatures(cosigned).encode()
            logs.put_head(session, replace(head, note=whole, published=True))


def _entry(index: int) -> str:
    """Return the entry of a made-up statement by the key that entry 2 adds."""
    names = (hashlib.sha256(b"%b %d" % (what, index)).digest() for what in (b"name", b"signature"))
    return StatementEntry(commitment=next(names), key=2, signature_hash=next(names)).encode()


def _audited(big: Node, folder: Path) -> float:
    """Return entries a second from a folder of tiles to the verdict, the median of AUDITS."""
    size = export(big, folder)
    _believe(big, [f"log {big.log_key.encode()}"])
    seconds = []
    for _ in range(AUDITS):
        gc.collect()
        report, took = asyncio.run(_audit(big, folder))
        _require(report.size == size and not report.problems, f"the audit found {report.problems}")
        seconds.append(took)
    return size / statistics.median(seconds)


async def _audit(big: Node, folder: Path) -> tuple[Report, float]:
    """Return the verdict, and how much CPU time it took."""
    async with Fetcher() as fetcher:
        place, policy = places.in_folder(folder), big.trust.policy()
        asked = auditor.Audit(place=place, fetcher=fetcher, at=big.clock(), policy=policy)
        began = time.process_time()
        report = await auditor.audit(asked)
        return report, time.process_time() - began


def _mirrored(node: Node, big: Node) -> float:
    """Return the seconds in which `node` fetches all of the log that another process serves."""
    with _serving(big) as url:
        _believe(node, [f"log {big.log_key.encode()} {url}/log"])
        began = time.perf_counter()
        (followed,) = asyncio.run(_follow(node))
        took = time.perf_counter() - began
    with big.database.read() as session:
        _require(followed.size == logs.size(session), f"mirrored: {followed}")
    return took


async def _follow(node: Node) -> list[mirror.Followed]:
    async with Fetcher({HOST}) as fetcher:
        return await mirror.follow_all(node, fetcher)


@contextmanager
def _serving(node: Node) -> Iterator[str]:
    """Serve a node's folder in another process, as `bcca serve` does, and yield its URL."""
    port = free_port()
    command = bcca_serve(node.settings.data, "--without-keys")
    with running(command, subprocess.DEVNULL, {"BCCA_PORT": str(port)}):
        wait_for(port)
        yield f"http://{HOST}:{port}"


# Nodes, clocks


def _node(data: Path, origin: str) -> Node:
    settings = Settings(data=data, origin=origin, name=origin)
    return nodes.found(settings, PASSPHRASE, scrypt_n=SCRYPT_N)


def _believe(node: Node, lines: Sequence[str]) -> None:
    """Write a policy of these logs and five witnesses, of whom four agree."""
    named = [f"witness w{n} {each.key.encode()}" for n, each in enumerate(WITNESSES)]
    text = "\n".join([*lines, *named, "group five 4 w0 w1 w2 w3 w4", "quorum five", ""])
    (node.settings.data / "policy.txt").write_text(text, encoding="utf-8")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(otherwise)


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    return _elapsed(work)


def _elapsed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Print the report, as JSON or for people."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--statements", type=int, default=3_000, metavar="N", help="in batches")
    parser.add_argument("--singles", type=int, default=300, metavar="N", help="one at a time")
    parser.add_argument("--heads", type=int, default=1_000, metavar="N", help="to be cosigned")
    parser.add_argument("--entries", type=int, default=100_000, metavar="N", help="of a large log")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    given = parser.parse_args()
    asked = Asked(
        statements=given.statements,
        singles=given.singles,
        heads=given.heads,
        entries=given.entries,
    )
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked, Path(folder))
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    sys.stdout.writelines(f"{name:>18} {value}\n" for name, value in found.items())


if __name__ == "__main__":
    main()
