"""Whether time tells a hidden statement from one that does not exist: the ratio of medians.

Run: `uv run python tests/bench/hiding.py [--rounds 400] [--json]`

A node with statements of both kinds is asked over HTTP by a partner that may see none of them, for
a hidden one and for one that is not there, in turns. Keys: `routes`, a list of `route`,
`hidden_ms`, `absent_ms`, `ratio`; one is the same time. Nothing is asserted: a busy machine is no
leak. What stays is the look-up itself, some microseconds in a millisecond of HTTP.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

import httpx
import msgspec
from companies import STAGES, Company, activity, partial

from bcca_node.demo.network import Ground, Network, Seat
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import signatures, targets
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.network.signatures import Call
from bcca_node.storage import partners, seen, witnessed
from bcca_node.storage.partners import Partner, PartnerRole
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol import own
from bcca_protocol.keys import Algorithm, SeedSigner

STATEMENTS = 200  # hidden ones, of each kind
HELD = "mine.example"
PARTNER = SeedSigner(
    name="partner.example", algorithm=Algorithm.ED25519, seed=sha256(b"partner").digest()
)


def measure(rounds: int, folder: Path) -> list[dict[str, str | float]]:
    """Return how long hidden and absent statements take, route by route."""
    ground = Ground(folder=folder, aside=folder, passphrase="a bench", scrypt_n=2**4)  # noqa: S106
    with Network(ground, [Seat(id="shop", name="Shop")], head="shop") as network:
        node = network.members["shop"].node
        stated, held = _own(node), _held(node)
        mirror = f"/mirror/{witnessed.origin_hash(HELD)}/statements"
        asked = [
            ("statement", "/statements/{}", stated),
            ("proof", "/statements/{}/proof", stated),
            ("evidence", "/statements/{}/evidence", stated),
            ("copy", mirror + "/{}", held),
        ]
        nonces = count()
        with httpx.Client() as client:
            return [
                _compared(_Asker(node, client, nonces), name, path, hidden, rounds)
                for name, path, hidden in asked
            ]


class _Asker:
    """A partner without a grant."""

    def __init__(self, node: Node, client: httpx.Client, nonces: Iterator[int]) -> None:
        self._node, self._client, self._nonces = node, client, nonces

    def seconds(self, path: str) -> float:
        """Return how long an answer takes that tells nothing."""
        url = targets.sent(self._node.settings.url + path)
        headers = signatures.sign(
            Call(method="GET", target=url),
            signer=PARTNER,
            audience=self._node.origin,
            created=self._node.clock(),
            nonce=f"n{next(self._nonces)}",
        )
        began = time.perf_counter()
        answer = self._client.get(url, headers=headers)
        took = time.perf_counter() - began
        if answer.status_code != httpx.codes.NOT_FOUND:
            raise SystemExit(f"{path}: answered {answer.status_code}, where 404 belongs")
        return took


def _compared(
    asker: _Asker, name: str, path: str, hidden: list[str], rounds: int
) -> dict[str, str | float]:
    there: list[float] = []
    away: list[float] = []
    for number in range(rounds):
        each = hidden[number % len(hidden)]
        other = sha256(each.encode()).hexdigest()
        turn = [(there, each), (away, other)]
        for times, commitment in turn if number % 2 else reversed(turn):
            times.append(asker.seconds(path.format(commitment)))
    found, absent = statistics.median(there), statistics.median(away)
    return {
        "route": name,
        "hidden_ms": round(found * 1e3, 3),
        "absent_ms": round(absent * 1e3, 3),
        "ratio": round(found / absent, 3),
    }


def _own(node: Node) -> list[str]:
    """Publish statements that only a grant would show; make the partner known."""
    company = Company(origin=node.origin)
    wanted = [
        msgspec.structs.replace(
            own.with_footprint(partial(company, number, [activity(number, 0, STAGES[0])], [])),
            sharing="direct",
        )
        for number in range(STATEMENTS)
    ]
    names = [each.commitment for each in publish(node, wanted)]

    async def submit() -> None:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            await witness(node, fetcher)

    asyncio.run(submit())
    vkey = PARTNER.key.encode()
    known = Partner(
        origin=PARTNER.name,
        name="Partner",
        url="https://partner.example",
        log_key=vkey,
        request_key=vkey,
        seal_key=vkey,
        roles=frozenset({PartnerRole.CUSTOMER}),
        since=1,
    )
    with node.database.write() as session:
        partners.put(session, known)
    return names


def _held(node: Node) -> list[str]:
    """Keep statements of somebody else that nobody may be shown."""
    names = [sha256(f"held {number}".encode()).hexdigest() for number in range(STATEMENTS)]
    held = [
        FetchedStatement(
            commitment=name,
            vkey="mine.example+key",
            origin=HELD,
            index=index,
            product="urn:bcca:bench:held",
            sharing="direct",
            envelope=bytes(17_000),
        )
        for index, name in enumerate(names)
    ]
    with node.database.write() as session:
        seen.put_statements(session, held)
    return names


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        routes = measure(told.rounds, Path(folder))
    if told.json:
        sys.stdout.write(json.dumps({"routes": routes}) + "\n")
        return 0
    for each in routes:
        sys.stdout.write(
            f"{each['route']}: hidden {each['hidden_ms']} ms, absent {each['absent_ms']} ms, "
            f"ratio {each['ratio']}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
