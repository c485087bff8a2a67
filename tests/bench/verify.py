"""How much a statement of 12 lines costs to verify, in units of one raw Ed25519 check.

Run: `uv run python tests/bench/verify.py [--statements 20000] [--json]`

Ten own lines of three components and two inputs, as in the inventory of a real pack. Each chunk of
statements is one company's log, and each chunk is verified three ways, in turns, since machines
are noisy:

- raw: `Ed25519PublicKey.verify` of `cryptography`, on the very messages that were signed;
- bulk: from the bytes of the checkpoint, the log's entries and the envelopes to the facts, all of
  it: quorum signatures, entries hashed to the root, key history, envelope, reversal, own sums;
- single: the same, and for each statement its tlog-proof parsed and its own signature checked.

The ratios are medians over chunks, in CPU time of the one core that runs it.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from companies import STAGES, Company, activity, bought, partial, policy_of
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bcca_protocol import policy, verify
from bcca_protocol.envelope import Envelope, pae
from bcca_protocol.policy import Policy
from bcca_protocol.proof import TlogProof

CHUNK = 1_000  # statements of one log
OWN_LINES, INPUTS = 10, 2
TWO_STAGES, TWO_STAGED = STAGES[:2], 25  # as in the pack, where 2 of 54 have lines of two stages
WAYS = ("raw", "bulk", "single")


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """What a verifier gets of one company, and what its statement key signed."""

    company: Company
    head: str
    proofs: list[str]
    signed: list[tuple[bytes, bytes]]
    believed: Policy

    @classmethod
    def of(cls, number: int, size: int) -> "Chunk":
        """Return the chunk of a company with `size` statements."""
        company = Company(origin=f"supplier{number}.example/bcca")
        customer_of = Company(origin=f"supplier{number + 1}.example/bcca")
        for product in range(number * CHUNK, number * CHUNK + size):
            stages = TWO_STAGES if product % TWO_STAGED == 0 else TWO_STAGES[:1]
            lines = [
                activity(product, line, stages[line % len(stages)]) for line in range(OWN_LINES)
            ]
            bom = [
                bought(product, OWN_LINES + n, product + CHUNK + n, customer_of)
                for n in range(INPUTS)
            ]
            company.publish(partial(company, product, lines, bom))
        head = company.checkpoint()
        return cls(
            company=company,
            head=head,
            proofs=company.proofs(head),
            signed=[_signed(each) for each in company.envelopes],
            believed=policy_of([company]),
        )

    def raw(self) -> None:
        """Check every signature and nothing else."""
        key = Ed25519PublicKey.from_public_bytes(self.company.statement_key.key.public)
        for signature, message in self.signed:
            key.verify(signature, message)

    def bulk(self) -> None:
        """Verify everything in bulk."""
        log = self._log()
        for _ in verify.verify_all_in_bulk(self.company.envelopes, log):
            pass

    def single(self) -> None:
        """Verify everything alone."""
        log = self._log()
        proofs = map(TlogProof.parse, self.proofs)
        proven = zip(self.company.envelopes, proofs, strict=True)
        for _ in verify.verify_all_alone(proven, log.head, log):
            pass

    def _log(self) -> verify.VerifiedLog:
        head = policy.verify_checkpoint(self.head, self.company.log_key.key, self.believed)
        return verify.verify_log(head, self.company.lines)


def measure(statements: int) -> dict[str, list[float]]:
    """Return the seconds per statement of each way, a value for each chunk."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for number, start in enumerate(range(0, statements, CHUNK)):
        chunk = Chunk.of(number, min(CHUNK, statements - start))
        turn = number % len(WAYS)
        for way in WAYS[turn:] + WAYS[:turn]:
            took = _timed({"raw": chunk.raw, "bulk": chunk.bulk, "single": chunk.single}[way])
            seconds[way].append(took / len(chunk.signed))
    return seconds


def report(statements: int, seconds: dict[str, list[float]]) -> dict[str, int | float]:
    """Return rates and ratios, both medians over chunks."""
    rates = {f"{way}_per_s": round(1 / statistics.median(seconds[way])) for way in WAYS}
    ratios = {
        f"{way}_ratio": round(
            statistics.median(
                mine / raw for mine, raw in zip(seconds[way], seconds["raw"], strict=True)
            ),
            3,
        )
        for way in WAYS[1:]
    }
    return {"statements": statements, **rates, **ratios}


def main() -> None:
    """Print the report, as JSON or for people."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--statements", type=int, default=20_000, metavar="N")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    asked = parser.parse_args()
    found = report(asked.statements, measure(asked.statements))
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    sys.stdout.writelines(f"{name:>12} {value}\n" for name, value in found.items())


def _signed(envelope: bytes) -> tuple[bytes, bytes]:
    found = Envelope.parse(envelope)
    return found.signatures[0].signature, pae(found.payload_type, found.payload)


def _timed(work: Callable[[], None]) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
