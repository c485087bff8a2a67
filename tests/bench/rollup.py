"""How long a roll-up takes, and what a product of it weighs in memory.

Run: `uv run python tests/bench/rollup.py [--products N] [--json]`

Products x 6 inputs, 3 components x 4 stages, exact, on one core. Each product buys from six of the
fifty before it, as a bill of materials does: deep, and full of diamonds. The parts are real facts,
made before the clock starts by verifying signed statements against witnessed logs in bulk.

- seconds: choosing a statement for every input, ordering, and adding up every product;
- bytes_per_product: what the facts, the graph and the totals hold together.
"""

import argparse
import gc
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from companies import STAGES, Company, activity, bought, partial, policy_of

from bcca_protocol import policy, verify
from bcca_protocol.aggregate import aggregate
from bcca_protocol.graph import chooser, connect
from bcca_protocol.partial import Part
from bcca_protocol.period import Span
from bcca_protocol.verify import Verified

SIZES = (10_000, 100_000)
CHUNK = 1_000  # products of one company
INPUTS, NEAR = 6, 50
"""Each product buys INPUTS of the NEAR products before it."""
PERIOD = Span("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")


def facts(products: int) -> Iterator[Verified[Part]]:
    """Yield the verified part of each product."""
    random = Random(622)  # noqa: S311  # a network to measure, the same in each run
    companies: list[Company] = []
    for start in range(0, products, CHUNK):
        company = Company(origin=f"supplier{start // CHUNK}.example/bcca")
        companies.append(company)
        for product in range(start, min(start + CHUNK, products)):
            lines = [activity(product, n, stage) for n, stage in enumerate(STAGES)]
            before = range(max(0, product - NEAR), product)
            chosen = random.sample(before, min(INPUTS, len(before)))
            bom = [
                bought(product, len(lines) + n, of, companies[of // CHUNK])
                for n, of in enumerate(sorted(chosen))
            ]
            company.publish(partial(company, product, lines, bom))
        yield from _verified(company)


def measure(products: int) -> dict[str, int | float]:
    """Return seconds and bytes of one roll-up of so many products."""
    gc.collect()
    before = _resident()
    parts = list(facts(products))
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


def main() -> None:
    """Print the results, as JSON or for people."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=int, metavar="N", help="measure this size alone")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    asked = parser.parse_args()
    sizes = SIZES if asked.products is None else (asked.products,)
    results = [measure(size) for size in sizes]
    if asked.json:
        sys.stdout.write(json.dumps({"results": results}) + "\n")
        return
    for each in results:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in each.items()) + "\n")


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
