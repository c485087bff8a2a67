"""How fast a node answers, beside a bare FastAPI route with the same bytes in the same run.

Run: `uv run python tests/bench/serve.py [--statements N] [--requests N] [--rounds N] [--json]`

One process is `bcca serve` on a real database with everything on: signatures, nonces, grants,
limits, the access log, the journal. The other is a bare app: an `async def` that returns a
Response. This process asks both in turns, over connections that it keeps; requests are signed
before the clock starts. Rounds are short and many, so that a machine that is slow for a second is
slow for both.

- routes: requests a second and the time that one in a hundred is above, the median of all rounds;
  `ratio` is the median of each round's; in the stream's row one thing is a statement, and the
  time is that of a whole stream; the last is a page of PACT footprints, of one that buys nothing in
  ten statements;
- stream_per_s: statements a second of `?since=0`, the public ones to somebody who does not sign, in
  CPU time of the serving process;
- signed_stream_per_s: the same of all statements to a partner, each noted in the access log;
- idle_mb: what `bcca serve` holds in memory once it listens.
"""

import argparse
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import uvicorn
from companies import STAGES, WITNESSES, Company, activity, bought, partial, signer
from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse
from msgspec import structs
from processes import HOST, bcca_serve, free_ports, running, wait_for

from bcca_node.ledger import node as nodes
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.network import signatures
from bcca_node.network.signatures import Call
from bcca_node.pact import clients, tokens
from bcca_node.settings import Settings
from bcca_node.storage import grants, logs, partners
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.pactclients import PactPartner
from bcca_node.storage.partners import Partner
from bcca_protocol import checkpoint, own
from bcca_protocol.note import Note

PASSPHRASE = "it protects a bench"  # noqa: S105
SCRYPT_N = 2**4
ORIGIN, CUSTOMER = "cathode.example/bcca", "pack.example/bcca"
CALLER = signer(CUSTOMER, "request")
CONNECTIONS = 4  # so that the server never waits for this process
BATCH = 100
OWN_LINES, INPUTS = 10, 2
TILE, STREAM, PAGE = "/log/tile/0/000", "/statements?since=0", "/3/footprints?limit=100"
PRIVATE_ONE_IN = 10  # statements: the rest are public
LEAF_ONE_IN, LEAF = 10, 1  # statements: such as the second buy nothing, so PACT has them
PAGES_ONE_IN = 4  # requests: a page is a hundred statements
STREAM_SECONDS = 0.3  # of a core in a round: thirty ticks of the clock that counts them
TICKS, PAGE_BYTES = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How much is measured."""

    statements: int
    requests: int
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A process that answers."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Return the seconds it has used of a core."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        return sum(map(int, fields.split()[11:13])) / TICKS

    def megabytes(self) -> float:
        """Return what it holds in memory."""
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="utf-8").split()[1]
        return int(pages) * PAGE_BYTES / 1e6


def measure(asked: Asked, folder: Path) -> dict[str, object]:
    """Return every figure of the report."""
    with closing(_node(folder / "node")) as node:
        private = _filled(node, asked.statements)
        bearer = _bearer(node)
        data = node.settings.data
    files = folder / "files.json"
    bare_port, port = free_ports(2)
    # Both start at a time.
    with _bare(files, bare_port) as waited_for, _bcca(data, port) as ours:
        time.sleep(1.0)  # what it does by itself is done
        idle = ours.megabytes()
        found = _textual({path: _get(ours, path) for path in (TILE, private[0])})
        found[STREAM] = _get(ours, STREAM, is_signed=False).decode("latin-1")
        found[PAGE] = _get(ours, PAGE, is_signed=False, bearer=bearer).decode("latin-1")
        (folder / "part").write_text(json.dumps(found), encoding="utf-8")
        (folder / "part").rename(files)
        both = (ours, waited_for())
        routes = [
            _compared("GET /statements/{commitment}", both, asked, private),
            _compared("GET /log/tile/{path}", both, asked, [TILE]),
        ]
        stream, per_s = _streamed(both, asked, asked.statements - len(private))
        _, signed_per_s = _streamed(both, asked, asked.statements, is_signed=True)
        pages = _paged(both, asked, bearer)
    return {
        "routes": [*routes, stream, pages],
        "stream_per_s": round(per_s),
        "signed_stream_per_s": round(signed_per_s),
        "idle_mb": round(idle, 1),
    }


def _compared(
    name: str, both: Sequence[Served], asked: Asked, paths: Sequence[str]
) -> dict[str, object]:
    """Return one route's row; a bare route answers every statement with the first one's bytes."""
    ours, bare = both
    rates: list[float] = []
    bares: list[float] = []
    waits: list[float] = []
    for _ in range(asked.rounds):
        wanted = [paths[n % len(paths)] for n in range(asked.requests)]
        is_signed = name.startswith("GET /statements")
        ready = [_request(ours, path, is_signed=is_signed) for path in wanted]
        rate, took = _load(ours, ready)
        rates.append(rate)
        waits += took
        bares.append(_load(bare, [_request(bare, paths[0])] * asked.requests)[0])
    return _row(name, rates, bares, waits)


def _paged(both: Sequence[Served], asked: Asked, bearer: dict[str, str]) -> dict[str, object]:
    """Return the row of a page of footprints."""
    ours, bare = both
    rates: list[float] = []
    bares: list[float] = []
    waits: list[float] = []
    count = asked.requests // PAGES_ONE_IN
    for _ in range(asked.rounds):
        rate, took = _load(ours, [_request(ours, PAGE, bearer=bearer)] * count)
        rates.append(rate)
        waits += took
        bares.append(_load(bare, [_request(bare, PAGE)] * count)[0])
    return _row(f"GET {PAGE}", rates, bares, waits)


def _streamed(
    both: Sequence[Served], asked: Asked, expected: int, *, is_signed: bool = False
) -> tuple[dict[str, object], float]:
    """Return the stream's row, and statements a second of a core."""
    rates: list[float] = []
    bares: list[float] = []
    waits: list[float] = []
    per_core: list[float] = []
    ours, bare = both
    for _ in range(asked.rounds):
        took, used = _read_whole(ours, expected, is_signed=is_signed)
        rates.append(len(took) * expected / sum(took))
        per_core.append(len(took) * expected / used)
        waits += took
        if not is_signed:
            took, _ = _read_whole(bare, expected, is_signed=False)
            bares.append(len(took) * expected / sum(took))
    row = _row("GET /statements?since=", rates, bares or rates, waits)
    return row, statistics.median(per_core)


def _read_whole(served: Served, expected: int, *, is_signed: bool) -> tuple[list[float], float]:
    """Read streams for a while; return what each took, and the time of a core that all took."""
    room = bytearray(262_144)
    took: list[float] = []
    began_at = served.cpu()
    while len(took) < 3 or served.cpu() - began_at < STREAM_SECONDS:
        request = _request(served, STREAM, is_signed=is_signed)
        began = time.perf_counter()
        count = _lines(served, request, room)
        took.append(time.perf_counter() - began)
        _require(count == expected + 1, f"the stream has {count} lines, not {expected} and one")
    return took, served.cpu() - began_at


def _row(
    name: str, rates: Sequence[float], bares: Sequence[float], waits: Sequence[float]
) -> dict[str, object]:
    ratio = statistics.median(ours / bare for ours, bare in zip(rates, bares, strict=True))
    p99 = statistics.quantiles(waits, n=100, method="inclusive")[98]
    return {
        "route": name,
        "per_s": round(statistics.median(rates)),
        "bare_per_s": round(statistics.median(bares)),
        "ratio": round(ratio, 2),
        "p99_ms": round(p99 * 1e3, 2),
    }


# Asking


def _load(served: Served, requests: Sequence[bytes]) -> tuple[float, list[float]]:
    """Return requests a second, and the seconds that each took."""
    streams = [socket.create_connection((HOST, served.port)) for _ in range(CONNECTIONS)]
    for each in streams:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waits = []
    sent = [0.0] * CONNECTIONS
    began = time.perf_counter()
    for number, request in enumerate(requests):
        turn = number % CONNECTIONS
        if number >= CONNECTIONS:
            _answer(streams[turn])
            waits.append(time.perf_counter() - sent[turn])
        sent[turn] = time.perf_counter()
        streams[turn].sendall(request)
    for number in range(len(requests), len(requests) + CONNECTIONS):
        _answer(streams[number % CONNECTIONS])
    took = time.perf_counter() - began
    for each in streams:
        each.close()
    return len(requests) / took, waits


def _answer(stream: socket.socket) -> None:
    """Read one answer of a known length to its end."""
    taken = stream.recv(65_536)
    while b"\r\n\r\n" not in taken:
        taken += stream.recv(65_536)
    head, _, body = taken.partition(b"\r\n\r\n")
    _require(head.startswith(b"HTTP/1.1 200"), f"answered {head[:60]!r} {body[:200]!r}")
    missing = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) - len(body)
    while missing > 0:
        missing -= len(stream.recv(65_536))


def _lines(served: Served, request: bytes, room: bytearray) -> int:
    """Return how many lines an answer in chunks has; they are counted, and not kept."""
    count, end = 0, b""
    with socket.create_connection((HOST, served.port)) as stream:
        stream.sendall(request)
        while end != b"\r\n0\r\n\r\n":
            size = stream.recv_into(room)
            _require(size > 0, "an answer ended early")
            count += room.count(b"\n", 0, size) - room.count(b"\r", 0, size)  # not of its frames
            end = (end + room[max(0, size - 7) : size])[-7:]
    return count


def _get(
    ours: Served, path: str, *, is_signed: bool = True, bearer: Mapping[str, str] | None = None
) -> bytes:
    """Return the body of an answer."""
    with closing(HTTPConnection(HOST, ours.port)) as connection:
        headers = _headers(ours, path) if is_signed else dict(bearer or {})
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        _require(answer.status == HTTPStatus.OK, f"{path}: answered {answer.status}")
        return answer.read()


def _request(
    served: Served, path: str, *, is_signed: bool = False, bearer: Mapping[str, str] | None = None
) -> bytes:
    """Return a request as it is sent, with a signature and nonce of its own."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {HOST}:{served.port}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in (bearer or {}).items()]
    if is_signed:
        lines += [f"{name}: {value}" for name, value in _headers(served, path).items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _headers(served: Served, path: str) -> dict[str, str]:
    return signatures.sign(
        Call(method="GET", target=f"http://{HOST}:{served.port}{path}"),
        signer=CALLER,
        audience=ORIGIN,
        created=int(time.time()),
        nonce=secrets.token_urlsafe(16),
    )


# Serving


@contextmanager
def _bcca(data: Path, port: int) -> Iterator[Served]:
    """Serve a node as its operator does."""
    told = {
        "BCCA_PORT": str(port),
        "BCCA_URL": f"http://{HOST}:{port}",
        "BCCA_PASSPHRASE": PASSPHRASE,
        "BCCA_RATE": "1000000",  # counted, and never reached
    }
    with (
        (data.parent / "journal").open("wb") as journal,
        running(bcca_serve(data), journal.fileno(), told) as pid,
    ):
        wait_for(port)
        yield Served(port=port, pid=pid)


@contextmanager
def _bare(files: Path, port: int) -> Iterator[Callable[[], Served]]:
    """Serve the same bytes with a bare app, once they are in `files`; yield how to wait for it."""
    command = [sys.executable, str(Path(__file__)), "--bare", str(files), str(port)]
    with running(command, subprocess.DEVNULL, {}) as pid:

        def served() -> Served:
            wait_for(port)
            return Served(port=port, pid=pid)

        yield served


def bare(files: Path, port: int) -> None:
    """Serve files from memory, each from a bare route, until somebody ends this process."""
    while not files.exists():
        time.sleep(0.05)
    found: dict[str, str] = json.loads(files.read_text(encoding="utf-8"))
    contents = {path: content.encode("latin-1") for path, content in found.items()}
    tile, stream, page = (contents.pop(path) for path in (TILE, STREAM, PAGE))
    (envelope,) = contents.values()
    pieces = [stream[start : start + 65_536] for start in range(0, len(stream), 65_536)]
    app = FastAPI()

    @app.get("/statements")
    async def statements() -> Response:
        return StreamingResponse(iter(pieces), media_type="application/jsonl")

    @app.get("/statements/{commitment}")
    async def statement(commitment: str) -> Response:
        return Response(envelope, media_type="application/json")

    @app.get("/3/footprints")
    async def footprints() -> Response:
        return Response(page, media_type="application/json")

    @app.get("/log/tile/{path:path}")
    async def log_tile(path: str) -> Response:
        return Response(tile, media_type="application/octet-stream")

    listener = socket.create_server((HOST, port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(app, http="h11", log_level="warning", server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


def _textual(files: dict[str, bytes]) -> dict[str, str]:
    """Return what JSON can hold; a stream without the frames of its chunks."""
    return {path: content.decode("latin-1") for path, content in files.items()}


# The node


def _node(data: Path) -> Node:
    settings = Settings(data=data, origin=ORIGIN, name="Cathode")
    return nodes.found(settings, PASSPHRASE, scrypt_n=SCRYPT_N)


def _filled(node: Node, count: int) -> list[str]:
    """Publish statements; return the paths of those that are for one partner alone."""
    company, supplier = Company(origin=ORIGIN), Company(origin="mine.example/bcca")
    predicates = []
    for product in range(count):
        lines = [activity(product, line, STAGES[line % 2]) for line in range(OWN_LINES)]
        is_leaf = product % LEAF_ONE_IN == LEAF
        bom = [bought(product, OWN_LINES + n, n, supplier) for n in range(0 if is_leaf else INPUTS)]
        sharing = "public" if product % PRIVATE_ONE_IN else "direct"
        made = structs.replace(partial(company, product, lines, bom), sharing=sharing)
        predicates.append(own.with_footprint(made))
    for start in range(0, count, BATCH):
        publish(node, predicates[start : start + BATCH])
    with node.database.write() as session:
        partners.put(session, _customer())
        grants.put(session, Grant(partner=CUSTOMER, scope=Scope.ALL, about="", given=0))
        head = logs.last_head(session)
        _require(head is not None, "nothing was published")
        if head is not None:
            note = Note.parse(head.note)
            cosigned = [checkpoint.cosign(note.text, each, at=node.clock()) for each in WITNESSES]
            whole = note.with_signatures(cosigned).encode()
            logs.put_head(session, replace(head, note=whole, published=True))
        entries = logs.entries(session, 0, logs.size(session))
    words = (entry.decode().split() for entry in entries)
    paths = [f"/statements/{each[2]}" for each in words if each[1] == "statement"]
    return paths[::PRIVATE_ONE_IN]


def _bearer(node: Node) -> dict[str, str]:
    """Return the header with which a PACT partner asks."""
    url = "https://buyer.example"
    new = PactPartner(name="buyer", url=url, auth_url=url, since=0)
    with node.database.write() as session:
        partner = clients.add(node, session, new, None)
        made = clients.issue(session, partner, days=30, at=node.clock())
    issued = tokens.issue(node, made.client_id)
    _require(issued is not None, "no token was issued")
    return {"Authorization": f"Bearer {issued.token if issued else ''}"}


def _customer() -> Partner:
    return Partner(
        origin=CUSTOMER,
        name="Pack",
        url="https://pack.example",
        log_key=signer(CUSTOMER, "log").key.encode(),
        request_key=CALLER.key.encode(),
        seal_key=signer(CUSTOMER, "seal").key.encode(),
        roles=frozenset({partners.PartnerRole.CUSTOMER}),
        since=0,
        proven_at=0,
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(otherwise)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--statements", type=int, default=2_000, metavar="N", help="published")
    parser.add_argument("--requests", type=int, default=100, metavar="N", help="in a round")
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="of each route")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--bare", nargs=2, metavar=("FILE", "PORT"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Print the report, as JSON or for people."""
    given = _given()
    if given.bare:
        bare(Path(given.bare[0]), int(given.bare[1]))
        return
    asked = Asked(statements=given.statements, requests=given.requests, rounds=given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked, Path(folder))
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    sys.stdout.writelines(f"{name:>14} {value}\n" for name, value in found.items())


if __name__ == "__main__":
    main()
