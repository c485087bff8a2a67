"""How long a roll-up takes, and what a product of it weighs in memory.

Run: `uv run python tests/bench/rollup.py [--products N] [--near N] [--json]`
or:  `uv run --group bench python tests/bench/rollup.py --against bw2calc [--products N]
     [--rounds N] [--json]`

Products x 6 inputs, 3 components x 4 stages, exact, on one core. Each product buys from six of the
fifty before it, as a bill of materials does: deep, and full of diamonds. The parts are real facts,
made before the clock starts by verifying signed statements against witnessed logs in bulk.

- seconds: choosing a statement for every input, ordering, and adding up every product;
- bytes_per_product: what the facts, the graph and the totals hold together.

Against another calculator, the same products as one linear system in floats: 30,000 of them, each
buying from any six of the 2,000 before it, as companies do that do not stand in one line. How wide
that is decides: a general solver fills its factors in, and adding up in order does not. With
`--near 50`, one narrow band, there is nothing to fill in, and floats are the faster ones.

- ours_s: as `seconds`, but by the clock, for the last product and all that it needs, exact;
- theirs_s: from arrays in memory to that product's footprint, by stage and component;
- ours_cpu_s, theirs_cpu_s: the same in seconds of all cores, as a busy machine changes less;
- relative_difference: the largest of any stage and component.

The two take turns, so that whatever else the machine does weighs on both; each number is the
median of the rounds. `times_faster` is theirs by ours, by the clock. Python sweeps as rarely as in
`bcca`, for both: at its usual pace it looks at all that the other calculator has imported.
"""

import argparse
import gc
import importlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import msgspec
from companies import STAGES, Company, activity, bought, partial, policy_of

from bcca_node.packmaker.sweeps import sweep_rarely
from bcca_protocol import policy, verify
from bcca_protocol.aggregate import aggregate
from bcca_protocol.graph import chooser, connect
from bcca_protocol.inventory import Input
from bcca_protocol.partial import Part
from bcca_protocol.period import Span
from bcca_protocol.verify import Verified

SIZES = (10_000, 100_000)
CHUNK = 1_000  # products of one company
INPUTS, NEAR = 6, 50
"""Each product buys INPUTS of the NEAR products before it."""
AGAINST = {"bw2calc": "brightway"}  # a calculator, and the module beside this one that asks it
COMPARED, COMPARED_NEAR = 30_000, 2_000  # products that two calculators are compared at
ROUNDS = 3  # turns of each calculator: their median leaves out one that the machine held up
PERIOD = Span("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")


def facts(products: int, near: int = NEAR) -> Iterator[Verified[Part]]:
    """Yield the verified part of each product; each buys of the `near` before it."""
    random = Random(622)  # noqa: S311  # a network to measure, the same in each run
    companies: list[Company] = []
    for start in range(0, products, CHUNK):
        company = Company(origin=f"supplier{start // CHUNK}.example/bcca")
        companies.append(company)
        for product in range(start, min(start + CHUNK, products)):
            lines = [activity(product, n, stage) for n, stage in enumerate(STAGES)]
            before = range(max(0, product - near), product)
            chosen = random.sample(before, min(INPUTS, len(before)))
            bom = [
                _tenth(bought(product, len(lines) + n, of, companies[of // CHUNK]))
                for n, of in enumerate(sorted(chosen))
            ]
            company.publish(partial(company, product, lines, bom))
        yield from _verified(company)


def measure(products: int, near: int = NEAR) -> dict[str, int | float]:
    """Return seconds and bytes of one roll-up of so many products."""
    gc.collect()
    before = _resident()
    parts = list(facts(products, near))
    gc.collect()
    start = time.process_time()
    totals = aggregate(connect(parts, chooser(parts, PERIOD)))
    seconds = time.process_time() - start
    gc.collect()
    held = _resident() - before
    if len(totals.vectors) != products or totals.incomplete:
        raise SystemExit(f"{len(totals.vectors)} of {products} products added up")
    return {
        "products": products,
        "seconds": round(seconds, 3),
        "bytes_per_product": held // products,
    }


def compare(
    products: int, near: int, against: str, rounds: int = ROUNDS
) -> dict[str, int | float | str]:
    """Return seconds of both calculators for the last product, and how far they differ."""
    other = importlib.import_module(AGAINST[against])
    parts = list(facts(products, near))
    root = max(parts, key=lambda each: each.fact.product)
    took: list[tuple[float, float, float, float]] = []
    apart = 0.0
    for _ in range(rounds):
        gc.collect()
        gc.freeze()  # as a run does: what was read before is not looked at again
        start, cpu = time.perf_counter(), time.process_time()
        graph = connect(parts, chooser(parts, PERIOD))
        at = graph.index[root.fact.commitment]
        totals = aggregate(graph, [at])
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        answer = other.solve(graph, at)
        took.append((seconds, answer.seconds, cpu_seconds, answer.cpu_seconds))
        apart = max(apart, other.relative_difference(totals, at, answer))
    ours, theirs, ours_cpu, theirs_cpu = map(statistics.median, zip(*took, strict=True))
    return {
        "against": other.NAME,
        "products": products,
        "near": near,
        "rounds": rounds,
        "ours_s": round(ours, 3),
        "theirs_s": round(theirs, 3),
        "ours_cpu_s": round(ours_cpu, 3),
        "theirs_cpu_s": round(theirs_cpu, 3),
        "times_faster": round(theirs / ours, 1),
        "relative_difference": apart,
    }


def main() -> None:
    """Print the results, as JSON or for people."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=int, metavar="N", help="measure this size alone")
    parser.add_argument("--near", type=int, metavar="N", help="buy of so many products before")
    parser.add_argument("--against", choices=sorted(AGAINST), help="beside another calculator")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="turns of each")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    asked = parser.parse_args()
    sweep_rarely()  # as `bcca` does; it is for both calculators
    results: list[Mapping[str, int | float | str]] = []
    if asked.against is not None:
        products = asked.products or COMPARED
        near = asked.near or COMPARED_NEAR
        results.append(compare(products, near, asked.against, asked.rounds))
    else:
        sizes = SIZES if asked.products is None else (asked.products,)
        results += [measure(size, asked.near or NEAR) for size in sizes]
    if asked.json:
        found = results[0] if asked.against is not None else {"results": results}
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for each in results:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in each.items()) + "\n")


def _tenth(line: Input) -> Input:
    """Return an input of a tenth: what a chain of ten thousand products needs stays a number."""
    return msgspec.structs.replace(line, amount=line.amount.replace("0.", "0.0", 1))


def _verified(company: Company) -> list[Verified[Part]]:
    """Return the facts of a company, and let go of the bytes they were read from."""
    head = policy.verify_checkpoint(company.checkpoint(), company.log_key.key, policy_of([company]))
    log = verify.verify_log(head, company.lines)
    found = [verify.verify_in_bulk(envelope, log) for envelope in company.envelopes]
    company.envelopes.clear()
    company.lines.clear()
    return [each for each in found if verify.is_part(each)]


def _resident() -> int:
    """Return the bytes of memory this process holds (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
