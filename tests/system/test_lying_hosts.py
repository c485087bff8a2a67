"""Hosts that answer too much, too late, not at all, or from elsewhere: bounded, named, survived."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bcca_node.cli import INCOMPLETE
from bcca_node.cli import main as bcca
from bcca_node.network.lines import MAX_ITEMS, Item
from bcca_node.packmaker.told import Ask, Count, Told
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES
from bcca_protocol.wire import b64

HEAD, LIAR, HONEST, FOIL = "pack", "cathode", "cell", "foil"
STATEMENTS, CHECKPOINT, DESCRIPTOR = "/statements", "/log/checkpoint", "/.well-known/bcca.json"
PATHS = (STATEMENTS, CHECKPOINT, DESCRIPTOR)

every_path = pytest.mark.parametrize("path", PATHS)


def require_refused(reason: str, *parts: str) -> None:
    """Fail unless a reason holds all of `parts`."""
    assert [part for part in parts if part not in reason] == []


@every_path
def test_10_megabytes_of_json_are_refused(market: Any, lies: Any, path: str) -> None:
    product = market.sold("7")
    market.lies(path, lies.answers(json.dumps(["x" * 1000] * 10_000).encode()))

    require_refused(market.gap(product), f"{market.member(LIAR).url}{path}")


@every_path
def test_json_nested_10_000_deep_is_refused(market: Any, lies: Any, path: str) -> None:
    product = market.sold("7")
    deep = b"[" * 10_000 + b"]" * 10_000
    market.lies(path, lies.answers(b'{"origin":' + deep + b"}\n" + deep + b"\n"))

    require_refused(market.gap(product), f"{market.member(LIAR).url}{path}")


@every_path
@pytest.mark.parametrize("body", [b"", b"\xff\xfe\n", b'{"count":"0"}'])
def test_nonsense_is_refused(market: Any, lies: Any, path: str, body: bytes) -> None:
    product = market.sold("7")
    market.lies(path, lies.answers(body))

    require_refused(market.trouble(product), f"{market.member(LIAR).url}{path}")


def test_an_endless_checkpoint_is_refused_at_its_limit(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(CHECKPOINT, lies.never_ends(b"x" * 10_000))

    reason = market.gap(product)

    require_refused(
        reason, f"{market.member(LIAR).url}{CHECKPOINT}", f"over {MAX_CHECKPOINT_BYTES}"
    )


def test_an_endless_stream_of_statements_ends_with_our_patience(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(STATEMENTS, lies.never_ends(b'{"a":\n' * 1000, seconds=0.002))
    market.loses_patience()

    require_refused(market.trouble(product), f"{market.member(LIAR).url}{STATEMENTS}", "in time")


@every_path
def test_a_supplier_that_hangs_is_left_after_our_patience(
    market: Any, lies: Any, path: str
) -> None:
    product = market.sold("7")
    market.lies(path, lies.hangs())
    market.loses_patience()

    require_refused(
        market.trouble(product), f"{market.member(LIAR).url}{path}", "no answer in time"
    )


@pytest.mark.parametrize("path", [STATEMENTS, CHECKPOINT])
def test_a_supplier_that_trickles_is_left_after_our_patience(
    market: Any, lies: Any, path: str
) -> None:
    product = market.sold("7")
    market.lies(path, lies.never_ends(b" ", seconds=0.05))
    market.loses_patience()

    require_refused(
        market.trouble(product), f"{market.member(LIAR).url}{path}", "no answer in time"
    )


def test_a_supplier_that_hangs_is_a_gap(market: Any, lies: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "3"))
    market.lies(STATEMENTS, lies.hangs())
    market.loses_patience()

    outcome = market.run(pack)

    reason = market.gap_of(outcome, product, market.origin(LIAR), {pack})
    require_refused(reason, f"{market.member(LIAR).url}{STATEMENTS}", "no answer in time")


def test_a_supplier_that_hangs_costs_the_others_no_time(market: Any, lies: Any) -> None:
    product, foil = market.sold("7"), market.sold("4", by=FOIL)
    pack = market.pack(market.bought(LIAR, product, "1"), market.bought(FOIL, foil, "1"))
    market.lies(CHECKPOINT, lies.hangs())
    market.loses_patience()

    outcome = market.run(pack)

    assert outcome.total == 27 + 4
    assert outcome.seconds < 10


def test_a_supplier_that_is_slow_a_hundred_times_has_one_limit_for_all(
    market: Any, lies: Any
) -> None:
    products = [market.new_urn(LIAR) for _ in range(100)]
    pack = market.pack(*(market.bought(LIAR, each, "1") for each in products))
    market.lies(STATEMENTS, lies.hangs())
    market.loses_patience()
    began = time.monotonic()

    found = market.collect(pack, supplier_seconds=1.0)

    assert time.monotonic() - began < 15  # a hundred times our patience would be 70
    assert found.troubles.keys() == {(market.origin(LIAR), each) for each in products}
    require_refused(found.troubles[market.origin(LIAR), products[-1]], "not done within 1 s")


def test_a_supplier_that_ran_out_of_time_is_not_asked_again(market: Any, lies: Any) -> None:
    product, late = market.new_urn(LIAR), market.new_urn(LIAR)
    module = market.sold("4", by=HONEST, inputs=[market.bought(LIAR, late, "1")])
    pack = market.pack(market.bought(LIAR, product, "1"), market.bought(HONEST, module, "1"))
    market.lies(STATEMENTS, lies.hangs())

    found = market.collect(pack, supplier_seconds=2.0)

    assert {product for _, product in found.troubles} == {product, late}
    assert market.mouths[LIAR].asked.count(STATEMENTS) == 1


@pytest.mark.parametrize("line", [b"", b"{}"])
def test_an_answer_of_more_statements_than_any_product_has_is_refused(
    market: Any, lies: Any, line: bytes
) -> None:
    product = market.sold("7")
    market.lies(STATEMENTS, lies.answers((line + b"\n") * (MAX_ITEMS + 2)))

    require_refused(market.trouble(product), STATEMENTS, f"over {MAX_ITEMS} in one answer")


def signed_anyhow(item: Item, count: int) -> list[Item]:
    """Return a statement under so many signatures that nobody has made."""
    told = msgspec.json.decode(item.envelope)
    [signature] = told["signatures"]
    false = ({**signature, "sig": b64(number.to_bytes(64, "big"))} for number in range(count))
    envelopes = (msgspec.json.encode({**told, "signatures": [each]}) for each in false)
    return [replace(item, envelope=each) for each in envelopes]


def test_a_supplier_that_says_one_statement_again_and_again_costs_the_others_no_time(
    market: Any, lies: Any
) -> None:
    product, foil = market.sold("7"), market.sold("4", by=FOIL)
    market.shows(*(market.items(product) * MAX_ITEMS))

    async def late(honest: Any, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1.0)
        await honest(scope, receive, send)

    market.lies(STATEMENTS, late, by=FOIL)
    pack = market.pack(market.bought(LIAR, product, "1"), market.bought(FOIL, foil, "1"))
    began = time.monotonic()

    found = market.collect(pack, supplier_seconds=2.5)

    assert (market.origin(FOIL), foil) not in found.troubles
    assert foil in {each.part.product for each in found.reached.values()}
    assert time.monotonic() - began < 10


def test_a_supplier_that_gives_us_much_to_verify_is_left_when_its_time_is_over(
    market: Any,
) -> None:
    product = market.sold("7")
    many = signed_anyhow(market.items(product)[0], MAX_ITEMS)
    told, read = Told(Count()), market.read_log(LIAR)

    async def take(_: object) -> None:
        async with asyncio.timeout(0.1):
            await told.take(many, read, Ask(product=product))

    with pytest.raises(TimeoutError):
        market.ask(take)

    assert told.found == []


def test_a_supplier_that_is_down_is_a_gap_and_the_command_says_so_by_its_status(
    own_market: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    product = own_market.sold("7")
    pack = own_market.pack(own_market.bought(LIAR, product, "3"))
    member = own_market.member(LIAR)
    data = own_market.member(HEAD).node.settings.data
    monkeypatch.setenv("BCCA_PASSPHRASE", "correct horse battery staple")
    own_market.network.stop(LIAR)

    status = bcca(["aggregate", pack, "--data", str(data)])
    said = capsys.readouterr()
    outcome = own_market.run(pack)

    reason = own_market.gap_of(outcome, product, member.node.origin, {pack})
    require_refused(reason, member.url)
    assert status == INCOMPLETE
    require_refused(said.out + said.err, product, member.node.origin, member.url)


def cut(body: bytes) -> bytes:
    """Return a stream of statements without the count at its end."""
    return body[: body.rindex(b'{"count"')]


@pytest.mark.parametrize(
    "change",
    [
        cut,
        lambda body: body[:-1],
        lambda body: body.replace(b'{"count":"1"}', b'{"count":"2"}'),
        lambda body: cut(body) + b'{"count":"0"}\n',
        lambda body: cut(body) * 2 + b'{"count":"1"}\n',
    ],
    ids=["no count", "half a line", "too high a count", "too low a count", "a line twice"],
)
def test_a_cut_stream_of_statements_is_not_taken_for_absence(
    market: Any, lies: Any, change: Callable[[bytes], bytes]
) -> None:
    product = market.sold("7")
    no_page = lies.answers(b"")  # then it is asked for its products one by one
    market.lies(STATEMENTS, lies.in_turn(no_page, lies.changes(change)))

    require_refused(market.trouble(product), f"{market.member(LIAR).url}{STATEMENTS}", "count")


def test_a_cut_stream_of_statements_is_a_gap(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(STATEMENTS, lies.changes(cut))

    reason = market.gap(product)

    require_refused(reason, f"{market.member(LIAR).url}{STATEMENTS}", "cut off after", "no count")


def test_an_answer_whose_connection_breaks_is_not_taken_for_absence(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(STATEMENTS, lies.breaks_off(b'{"count":"0"}\n', 1000))

    require_refused(market.gap(product), f"{market.member(LIAR).url}{STATEMENTS}")


def test_an_answer_that_is_packed_is_refused(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(STATEMENTS, lies.answers(b"\x1f\x8b", headers={"content-encoding": "gzip"}))

    require_refused(market.gap(product), f"{market.member(LIAR).url}{STATEMENTS}", "gzip")


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "y" * 100_000},
        {"content-length": "9" * 30},
        {"content-length": "300000000"},
        {"content-encoding": "\x9b2J"},
    ],
    ids=["100 kB long", "a length of 30 digits", "a length over any", "escapes"],
)
def test_headers_that_nobody_needs_are_refused(
    market: Any, lies: Any, headers: dict[str, str]
) -> None:
    product = market.sold("7")
    market.lies(STATEMENTS, lies.answers(b"", headers=headers))
    market.loses_patience()

    reason = market.trouble(product)

    require_refused(reason, f"{market.member(LIAR).url}{STATEMENTS}")
    assert "\x9b" not in reason


@pytest.mark.parametrize("status", [404, 500, 204])
def test_another_status_is_a_gap(market: Any, lies: Any, status: int) -> None:
    product = market.sold("7")
    market.lies(STATEMENTS, lies.answers(b"", status))

    reason = market.trouble(product)

    require_refused(reason, f"{market.member(LIAR).url}{STATEMENTS}", str(status))


PRIVATE = {
    "another loopback address": ("http://127.0.0.2:{port}/x", "127.0.0.2 is a private address"),
    "a cloud's metadata": ("http://169.254.169.254/latest", "169.254.169.254 is a private address"),
    "a name of loopback": ("http://localhost:{port}/x", "localhost: "),
    "nowhere": ("http://0.0.0.0:{port}/x", "0.0.0.0 is a private address"),
    "loopback in IPv6": ("http://[::1]:{port}/x", "::1 is a private address"),
    "loopback mapped into IPv6": ("http://[::ffff:127.0.0.2]/x", "is a private address"),
    "a private network": ("http://10.0.0.1/x", "10.0.0.1 is a private address"),
    "loopback as one number": ("http://2130706434/x", ""),
    "a file": ("file:///etc/passwd", "not a URL of http or https"),
    "no URL": ("http://[", ""),
}


@pytest.mark.parametrize(("location", "said"), PRIVATE.values(), ids=PRIVATE)
def test_a_redirect_to_a_private_address_is_refused(
    market: Any, lies: Any, location: str, said: str
) -> None:
    product = market.sold("7")
    port = market.member(HONEST).listener.getsockname()[1]
    market.lies(STATEMENTS, lies.redirects(location.format(port=port)))

    require_refused(market.trouble(product), said)

    assert "/x" not in market.mouths[HONEST].asked


def test_a_redirect_to_a_private_address_is_a_gap(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(CHECKPOINT, lies.redirects("http://127.0.0.2:1/x"))

    require_refused(market.gap(product), "127.0.0.2 is a private address")


def test_redirects_in_a_circle_are_refused(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(STATEMENTS, lies.redirects(STATEMENTS))

    require_refused(market.gap(product), "after 3 redirects, one more")


def test_terminal_escapes_in_a_redirect_are_shown_as_text(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(STATEMENTS, lies.redirects("ftp://\x9b2J.example"))

    assert "\x9b" not in market.gap(product)


def described(market: Any, lies: Any, **changed: str) -> None:
    """Let the liar's descriptor say something else."""

    def change(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), **changed}).encode()

    market.lies(DESCRIPTOR, lies.changes(change))


def test_a_descriptor_of_another_origin_is_refused(market: Any, lies: Any) -> None:
    product, other = market.sold("7"), market.origin(HONEST)
    described(market, lies, origin=other)

    reason = market.gap(product)

    require_refused(
        reason, f"{market.member(LIAR).url}{DESCRIPTOR}", f"describes {other}", market.origin(LIAR)
    )


def test_a_descriptor_with_escapes_in_its_name_is_refused(market: Any, lies: Any) -> None:
    product = market.sold("7")
    described(market, lies, name="\x1b[2Jcathode")

    require_refused(
        market.gap(product), f"{market.member(LIAR).url}{DESCRIPTOR}", "control characters"
    )


def test_statements_at_somebody_elses_host_who_has_none_are_a_gap(market: Any, lies: Any) -> None:
    product = market.sold("7")
    url = f"{market.member(HONEST).url}/statements"
    described(market, lies, statements=url, pages=f"{url}?page=")

    require_refused(market.gap(product), product, market.origin(LIAR), "no statement for")


def test_statements_at_somebody_elses_host_prove_themselves(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.shows(*market.items(product), by=FOIL)
    described(market, lies, statements=f"{market.member(FOIL).url}/statements")

    outcome = market.run(market.pack(market.bought(LIAR, product, "1")))

    assert (outcome.gaps, outcome.total) == ([], 27 + 7)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.2:1/statements", "127.0.0.2 is a private address"),
        ("http://localhost:1/statements", "localhost"),
        ("javascript:alert(1)", "not a URL of http or https"),
        ("http://user:pass@127.0.0.1/statements", "without a user"),
    ],
)
def test_a_descriptor_that_sends_us_where_nobody_may_is_refused(
    market: Any, lies: Any, url: str, said: str
) -> None:
    product = market.sold("7")
    described(market, lies, statements=url, pages=f"{url}?page=")

    require_refused(market.trouble(product), said)
