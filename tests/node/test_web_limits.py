"""How much one caller may ask, and what the journal tells of it: no secret, whatever was asked."""

import asyncio
import io
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bcca_node.app import create_app
from bcca_node.ledger.node import Node
from bcca_node.settings import BURST_SECONDS, Settings
from bcca_node.web.gate import Gate
from bcca_node.web.journal import Journal
from bcca_node.web.limits import (
    FREE_FAILURES,
    MAX_COUNTED,
    MAX_WAIT_SECONDS,
    Limits,
    TooManyError,
    counted,
)
from bcca_protocol.errors import UnusableError

SECRET = "5ec2e7" * 5 + "ab"
FORGED = {
    "signature-input": f'bcca=("@method");created=1;nonce="{SECRET}"',
    "signature": "bcca=:c2VjcmV0:",
    "bcca-audience": SECRET,
}


class Clock:
    """Tells the time that a test says."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def asked(  # noqa: PLR0913 - each is a way to ask
    node: Node,
    paths: list[str],
    *,
    address: str = "203.0.113.5",
    headers: dict[str, str] | None = None,
    stream: io.BytesIO | None = None,
    limits: Limits | None = None,
    body: bytes | None = None,
) -> list[httpx.Response]:
    """Ask a node's app behind its gate, as if from elsewhere."""

    async def ask() -> list[httpx.Response]:
        gate = Gate(
            create_app(node),
            limits or Limits(node.settings.rate),
            None if stream is None else Journal(stream),
        )
        transport = httpx.ASGITransport(gate, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return [
                await client.request(
                    "GET" if body is None else "POST", path, headers=headers, content=body
                )
                for path in paths
            ]

    return asyncio.run(ask())


def test_whoever_asks_too_much_is_told_when_to_come_back(new_node: Callable[..., Node]) -> None:
    node = new_node(rate=1)
    answers = asked(node, ["/healthz"] * (BURST_SECONDS + 2))

    assert {each.status_code for each in answers[:BURST_SECONDS]} == {200}
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"] == "1"
    assert answers[-1].json() == {"error": "too many requests: ask again in 1 s"}


def test_one_caller_that_asks_too_much_keeps_no_other_from_asking() -> None:
    limits = Limits(1, Clock())
    for _ in range(BURST_SECONDS):
        limits.spend("a")

    with pytest.raises(TooManyError):
        limits.spend("a")
    limits.spend("b")


def test_a_share_comes_back_with_time_and_no_further() -> None:
    clock = Clock()
    limits = Limits(2, clock)
    for _ in range(2 * BURST_SECONDS):
        limits.spend("a")
    clock.now += 1

    limits.spend("a")
    limits.spend("a")
    with pytest.raises(TooManyError):
        limits.spend("a")


def test_a_flood_of_addresses_takes_no_more_memory() -> None:
    limits = Limits(1, Clock())
    for number in range(MAX_COUNTED + 100):
        limits.spend(str(number))
        limits.failed(str(number))

    assert len(limits._buckets) == MAX_COUNTED  # noqa: SLF001
    assert len(limits._failures) == MAX_COUNTED  # noqa: SLF001


def test_addresses_of_one_household_are_one_caller() -> None:
    assert counted("2001:db8::1") == counted("2001:db8::ffff:1")
    assert counted("2001:db8::1") != counted("2001:db8:0:1::1")
    assert counted("::ffff:203.0.113.5") == counted("203.0.113.5")


def test_guessing_signatures_gets_slower_and_slower() -> None:
    clock = Clock()
    limits, waits = Limits(1, clock), []
    for _ in range(FREE_FAILURES + 12):
        limits.failed("203.0.113.5")
        try:
            limits.admit("203.0.113.5")
        except TooManyError as error:
            waits.append(error.seconds)

    assert waits == sorted(waits)
    assert (waits[0], waits[-1], len(waits)) == (1, MAX_WAIT_SECONDS, 12)


def test_guessing_signatures_is_answered_429_and_locks_nobody_else_out(node: Node) -> None:
    limits = Limits(node.settings.rate)
    paths = ["/statements?since=0"] * (FREE_FAILURES + 3)
    statuses = [each.status_code for each in asked(node, paths, headers=FORGED, limits=limits)]
    elsewhere = asked(node, paths[:1], headers=FORGED, limits=limits, address="203.0.113.6")
    unsigned = asked(node, paths[:1], limits=limits)

    assert set(statuses[:FREE_FAILURES]) == {401}
    assert statuses[-1] == 429
    assert elsewhere[0].status_code == 401
    assert unsigned[0].status_code == 200


def test_attack_a_signature_that_nobody_reads_gets_around_no_limit(
    new_node: Callable[..., Node],
) -> None:
    node, limits = new_node(rate=1), Limits(1)
    answers = asked(node, ["/healthz"] * (BURST_SECONDS + 2), headers=FORGED, limits=limits)
    unsigned = asked(node, ["/healthz"], limits=limits)

    assert {each.status_code for each in answers[:BURST_SECONDS]} == {200}
    assert answers[-1].status_code == 429
    assert unsigned[0].status_code == 200


def test_a_stranger_behind_an_unnamed_proxy_locks_nobody_out(node: Node) -> None:
    paths = ["/statements?since=0"] * (FREE_FAILURES + 3)
    answers = asked(node, paths, headers=FORGED, address="127.0.0.1")

    assert {each.status_code for each in answers} == {401}


def test_the_journal_tells_every_request_and_no_secret(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.BytesIO()
    paths = [f"/invitations/{SECRET}", f"/statements?product={SECRET}", f"/{SECRET}", "/healthz"]
    with caplog.at_level(logging.INFO):
        asked(node, paths, stream=stream)
        asked(node, paths[1:2], stream=stream, headers=FORGED)
        asked(node, ["/statements/batch"], stream=stream, body=SECRET.encode())
    lines: list[dict[str, Any]] = [json.loads(line) for line in stream.getvalue().splitlines()]

    assert [(each["route"], each["status"]) for each in lines] == [
        ("/invitations/{name}", 404),
        ("/statements", 200),
        ("none", 404),
        ("/healthz", 200),
        ("/statements", 401),
        ("/statements/batch", 400),
    ]
    assert len({each["id"] for each in lines}) == len(lines)
    assert all(each["time"].endswith("Z") and each["ms"] > 0 for each in lines)
    assert SECRET not in stream.getvalue().decode()
    assert "c2VjcmV0" not in stream.getvalue().decode()


def test_a_fault_is_told_with_its_place_and_without_what_was_asked() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError(SECRET)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Gate(broken, Limits(1), Journal(stream)))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.get("/")

    stream = io.BytesIO()
    answer = asyncio.run(ask())
    line = json.loads(stream.getvalue())

    assert (answer.status_code, list(answer.json())) == (500, ["error"])
    assert (line["level"], line["error"]) == ("error", "ValueError")
    assert answer.headers["x-request-id"] == line["id"]
    assert line["where"][-1].endswith(" broken")
    assert SECRET not in stream.getvalue().decode()


def test_what_a_logger_is_told_is_a_line_of_the_journal() -> None:
    stream = io.BytesIO()
    logger = logging.getLogger("test of the journal")
    logger.addHandler(Journal(stream))
    logger.propagate = False
    try:
        raise KeyError(SECRET)
    except KeyError:
        logger.exception("first line\nsecond %s", "line")
    line = json.loads(stream.getvalue())

    assert (line["what"], line["level"], line["error"]) == (
        "first line second line",
        "error",
        "KeyError",
    )
    assert SECRET not in stream.getvalue().decode()


@pytest.mark.parametrize("told", [{"rate": -1}, {"proxies": "proxy.example"}])
def test_settings_that_limit_nothing_are_refused(tmp_path: Any, told: dict[str, Any]) -> None:
    with pytest.raises(UnusableError):
        Settings(data=tmp_path, origin="a.example", name="A", **told)


def test_an_address_in_a_header_counts_only_from_a_named_proxy(
    served: Callable[..., Node],
) -> None:
    plain = served("plain.example", rate=1)
    behind = served("behind.example", rate=1, proxies="127.0.0.1")
    statuses: dict[str, set[int]] = {}
    for node in (plain, behind):
        with httpx.Client(base_url=node.settings.url) as client:
            statuses[node.origin] = {
                client.get("/healthz", headers={"x-forwarded-for": f"203.0.113.{n}"}).status_code
                for n in range(BURST_SECONDS + 20)
            }

    assert statuses == {"plain.example": {200, 429}, "behind.example": {200}}
