"""Bundles that were tampered with, and what `bcca-verify` says of whole ones, by exit status."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcca_node.ledger.trust import FILE as POLICY
from bcca_node.packmaker.adding import add_up
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.run import state
from bcca_protocol import bundle, issue, wire
from bcca_protocol.__main__ import HOLDS, INCOMPLETE, REFUSED, UNUSABLE
from bcca_protocol.__main__ import main as bcca_verify
from bcca_protocol.bundle import Body, Contents, RuleSet
from bcca_protocol.keys import Role

HEAD, LIAR, HONEST, FOIL, REFINERY = "pack", "cathode", "cell", "foil", "refinery"
OTHER_BITS = (0x01, 0x80)  # another letter, and a byte that is no ASCII
STRIDE = 199  # prime: no field of a fixed width is missed


@dataclass(frozen=True, kw_only=True)
class Files:
    """A bundle's lines, its policy, and a folder to tamper in."""

    lines: tuple[bytes, ...]
    policy: Path
    folder: Path

    def verified(self, lines: Sequence[bytes], *options: str) -> int:
        """Return the exit status of bcca-verify on other lines."""
        path = self.folder / "tampered.bcca.jsonl"
        path.write_bytes(b"".join(lines))
        return bcca_verify([str(path), "--policy", str(self.policy), *options])


def files_of(market: Any, outcome: Any, folder: Path) -> Files:
    policy = market.member(HEAD).node.settings.data / POLICY
    return Files(lines=tuple(outcome.bundle), policy=policy, folder=folder)


def everything(market: Any) -> str:
    """Publish a pack made of something of everybody's, three tiers deep; return it."""
    metal = market.sold("2", by=REFINERY)
    paint = market.sold("7", inputs=[market.bought(REFINERY, metal, "0.3")])
    foil = market.sold("4", by=FOIL, inputs=[market.bought(REFINERY, metal, "1.7")])
    return str(market.pack(market.bought(LIAR, paint, "3"), market.bought(FOIL, foil, "0.7")))


@pytest.fixture(scope="module")
def whole(_market: Any) -> Any:
    """A run whose bundle holds, for every test to tamper with."""
    return _market.run(everything(_market))


@pytest.fixture
def files(market: Any, whole: Any, tmp_path: Path) -> Files:
    return files_of(market, whole, tmp_path)


@pytest.fixture
def quiet(capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[str, str]]:
    """Return what was printed since it was asked last."""

    def read() -> tuple[str, str]:
        said = capsys.readouterr()
        return said.out, said.err

    return read


def test_a_whole_bundle_holds(files: Files, quiet: Callable[[], tuple[str, str]]) -> None:
    assert files.verified(files.lines) == HOLDS
    assert "ALL HOLDS" in quiet()[0]


def test_a_whole_bundle_holds_without_node_or_network(files: Files) -> None:
    """In a process of its own that may import no node and open no socket."""
    path = files.folder / "pack.bcca.jsonl"
    path.write_bytes(b"".join(files.lines))
    program = (
        "import sys\n"
        "def no_network(event, _):\n"
        "    if event.startswith('socket.'):\n"
        "        raise PermissionError(event)\n"
        "sys.addaudithook(no_network)\n"
        "from bcca_protocol.__main__ import main\n"
        "status = main(sys.argv[1:])\n"
        "assert not any(name.partition('.')[0] == 'bcca_node' for name in sys.modules)\n"
        "sys.exit(status)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(path), "--policy", str(files.policy), "--json"],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (HOLDS, b"")
    assert json.loads(done.stdout)["verdict"] == "holds"


def flipped(data: bytes, at: int, bits: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


@pytest.mark.parametrize("bits", OTHER_BITS)
def test_any_changed_byte_of_the_seal_is_refused(files: Files, bits: int) -> None:
    *body, seal = files.lines

    held = [
        at for at in range(len(seal)) if files.verified([*body, flipped(seal, at, bits)]) != REFUSED
    ]

    assert held == []


def test_any_changed_byte_before_the_seal_is_refused(files: Files) -> None:
    whole = b"".join(files.lines)
    end = len(whole) - len(files.lines[-1])
    edges = [
        at for line in files.lines for at in (whole.index(line), whole.index(line) + len(line) - 1)
    ]

    held = [
        at
        for at in (*range(0, end, STRIDE), *edges)
        if files.verified([flipped(whole, at, 0x01)]) != REFUSED
    ]

    assert held == []


def test_a_line_that_is_dropped_doubled_or_swapped_is_refused(files: Files) -> None:
    lines, last = list(files.lines), len(files.lines) - 1
    others = {
        f"{what} {number}": lines[:number] + changed + lines[number + many :]
        for number in range(len(lines))
        for what, many, changed in (
            ("dropped", 1, []),
            ("doubled", 1, [lines[number]] * 2),
            ("swapped", 2, lines[number : number + 2][::-1]),
        )
        if what != "swapped" or number < last
    }

    assert [what for what, other in others.items() if files.verified(other) != REFUSED] == []


def test_a_bundle_cut_anywhere_is_refused(files: Files) -> None:
    whole = b"".join(files.lines)
    cuts = [*range(0, len(whole), 10 * STRIDE), len(whole) - 1]

    assert [at for at in cuts if files.verified([whole[:at]]) != REFUSED] == []


@pytest.mark.parametrize("more", [b"\n", b" ", b"{}\n", b"\x00", b"x" * 100_000])
def test_anything_behind_the_seal_is_refused(files: Files, more: bytes) -> None:
    assert files.verified([*files.lines, more]) == REFUSED


def test_the_seal_of_another_bundle_is_refused(market: Any, files: Files) -> None:
    other = market.run(everything(market)).bundle

    assert files.verified([*files.lines[:-1], other[-1]]) == REFUSED


# A maker who lies, and seals what it tampered with.


def sealed(market: Any, found: Contents) -> list[bytes]:
    """Return what the maker says, under a true seal of its own."""
    node = market.member(HEAD).node
    signer, index = node.keys.signer(Role.STATEMENT), node.keystore.record(Role.STATEMENT).index
    return list(bundle.write(found.header, body_of(found), signer, index))


def body_of(found: Contents) -> tuple[Body, ...]:
    return (*found.rules, *found.logs, *found.statements, *found.withheld)


def with_items(found: Contents, kind: str, items: Any) -> Contents:
    """Return other contents: its logs or its statements are `items`."""
    changed: Any = {kind: tuple(items)}
    return replace(found, **changed)


def test_a_maker_can_seal_again_what_it_made(market: Any, files: Files) -> None:
    found = bundle.read(files.lines).contents

    assert files.verified(sealed(market, found)) == HOLDS


@pytest.mark.parametrize("kind", ["logs", "statements"])
def test_evidence_that_its_maker_left_out_is_refused_under_a_true_seal(
    market: Any, files: Files, kind: str
) -> None:
    found = bundle.read(files.lines).contents
    items = getattr(found, kind)
    fewer = [with_items(found, kind, items[:n] + items[n + 1 :]) for n in range(len(items))]

    assert [files.verified(sealed(market, each)) for each in fewer] == [REFUSED] * len(items)


@pytest.mark.parametrize("kind", ["logs", "statements"])
def test_evidence_that_stands_twice_is_refused_under_a_true_seal(
    market: Any, files: Files, kind: str
) -> None:
    found = bundle.read(files.lines).contents
    twice = with_items(found, kind, getattr(found, kind) * 2)

    assert files.verified(sealed(market, twice)) == REFUSED


def test_other_rules_are_refused_under_a_true_seal(market: Any, files: Files) -> None:
    found = bundle.read(files.lines).contents
    other = RuleSet(name="neutral", lines=("everything is cut off",))

    assert files.verified(sealed(market, replace(found, rules=(other,)))) == REFUSED


def test_a_seal_by_another_key_of_the_maker_is_refused(market: Any, files: Files) -> None:
    node = market.member(HEAD).node
    found = bundle.read(files.lines).contents
    signer = node.keys.signer(Role.REQUEST)

    for role in (Role.REQUEST, Role.STATEMENT):
        index = node.keystore.record(role).index
        assert (
            files.verified(list(bundle.write(found.header, body_of(found), signer, index)))
            == REFUSED
        )


def test_a_number_that_its_maker_changed_is_refused_by_recomputing(
    market: Any, tmp_path: Path, quiet: Callable[[], tuple[str, str]]
) -> None:
    """The maker enters a roll-up of its own with a smaller total, and bundles it."""
    pack = everything(market)
    outcome = market.run(pack)
    stated = outcome.stated
    smaller = msgspec.structs.replace(
        stated.footprint,
        production=msgspec.structs.replace(stated.footprint.production, fossil="1"),
    )
    false = msgspec.structs.replace(
        stated, footprint=smaller, corrects=outcome.run.published.commitment
    )
    market.publish(HEAD, false)
    files = files_of(market, outcome, tmp_path)

    status = files.verified(market.bundle(pack))

    said = quiet()[1]
    assert status == REFUSED
    assert "footprint.production.fossil is stated as 1, recomputed as" in said


# What it says of bundles with gaps, of age, and of unusable input.


def test_a_bundle_with_a_gap_is_incomplete_and_says_first_what_is_missing(
    market: Any, lies: Any, tmp_path: Path, quiet: Callable[[], tuple[str, str]]
) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "3"))
    market.shows()
    files = files_of(market, market.run(pack), tmp_path)

    status = files.verified(files.lines)

    out, _ = quiet()
    assert status == INCOMPLETE
    assert out.index(f"missing: 3 kg of {product} of {market.origin(LIAR)}") < out.index("Checked:")
    assert "INCOMPLETE" in out


def test_age_is_judged_against_max_age_alone(
    files: Files, quiet: Callable[[], tuple[str, str]]
) -> None:
    later = ("--at", "2031-01-01T00:00:00Z")

    assert files.verified(files.lines, *later) == HOLDS
    assert "not judged without --max-age" in quiet()[0]
    assert files.verified(files.lines, *later, "--max-age", "30d") == REFUSED
    assert "--max-age allows 2592000 s" in quiet()[1]
    assert files.verified(files.lines, "--max-age", "30d") == HOLDS
    assert "not judged" not in quiet()[0]


def test_before_anybody_cosigned_nothing_holds(files: Files) -> None:
    assert files.verified(files.lines, "--at", "2020-01-01T00:00:00Z") == REFUSED


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--at", "yesterday"), "--at yesterday"),
        (("--at", "2026-02-30T00:00:00Z"), "2026-02-30"),
        (("--max-age", "1 day"), "--max-age 1 day"),
        (("--max-age", "\u0663d"), "--max-age"),  # an Arabic digit
    ],
)
def test_options_that_cannot_be_read_are_unusable(
    files: Files, quiet: Callable[[], tuple[str, str]], options: tuple[str, ...], said: str
) -> None:
    assert files.verified(files.lines, *options) == UNUSABLE
    assert said in quiet()[1]


def test_a_file_that_is_not_there_is_unusable(
    files: Files, quiet: Callable[[], tuple[str, str]]
) -> None:
    nowhere = str(files.folder / "nowhere")

    assert bcca_verify([nowhere, "--policy", str(files.policy)]) == UNUSABLE
    assert nowhere in quiet()[1]
    assert bcca_verify([str(files.folder), "--policy", str(files.policy)]) == UNUSABLE
    assert bcca_verify([str(files.policy), "--policy", nowhere]) == UNUSABLE
    assert nowhere in quiet()[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "none was a quorum"),
        (b"quorum none\n", "quorum none"),
        (b"log x\n", "line 1"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_policy_that_cannot_be_read_is_unusable(
    files: Files, quiet: Callable[[], tuple[str, str]], text: bytes, said: str
) -> None:
    policy = files.folder / "policy.txt"
    policy.write_bytes(text)
    path = files.folder / "pack.bcca.jsonl"
    path.write_bytes(b"".join(files.lines))

    assert bcca_verify([str(path), "--policy", str(policy)]) == UNUSABLE
    assert said in quiet()[1]


def test_a_policy_that_does_not_know_the_maker_refuses(
    market: Any, files: Files, tmp_path: Path
) -> None:
    """A policy inside the file is never used, and nobody in it introduces the maker."""
    policy = tmp_path / "policy.txt"
    known = files.policy.read_text("utf-8").splitlines(keepends=True)
    policy.write_text("".join(line for line in known if f"log {HEAD}." not in line), "utf-8")
    path = tmp_path / "pack.bcca.jsonl"
    path.write_bytes(b"".join(files.lines))

    assert bcca_verify([str(path), "--policy", str(policy)]) == REFUSED


# The same data, the same pinned checkpoints: the same bytes.


def signed_bytes(market: Any, pack: str, concurrency: int) -> bytes:
    """Return the roll-up that a collection of its own comes to, signed and not published."""
    node = market.member(HEAD).node
    found = market.collect(pack, concurrency=concurrency)
    [root] = [each for each in found.reached.values() if each.part.product == pack]
    order = Order(product=pack, amount=None, at=node.clock())
    stated = state(node, add_up(node, found, root, order), at=node.clock())
    made = issue.issue(stated, node.keys.signer(Role.STATEMENT), node.keys.secret)
    return made.encode()


def test_the_signed_bytes_are_the_same_whatever_the_concurrency(market: Any) -> None:
    pack = everything(market)

    alone, together, again = (signed_bytes(market, pack, many) for many in (1, 16, 16))

    assert alone == together == again


def test_what_was_signed_is_what_a_run_publishes(market: Any) -> None:
    pack = everything(market)
    expected = signed_bytes(market, pack, 16)

    outcome = market.run(pack, concurrency=1)

    envelopes = [
        wire.unb64(each["envelope"], "envelope")
        for each in map(json.loads, outcome.bundle)
        if each["type"] == "statement"
    ]
    assert expected in envelopes


def test_a_second_run_leaves_the_first_roll_up_standing(market: Any) -> None:
    pack = everything(market)
    url = market.member(HEAD).url

    first = market.run(pack)
    checkpoint = market.fetch(f"{url}/log/checkpoint")
    second = market.run(pack)

    assert first.run.witnessed is not None
    assert second.run.witnessed is None
    assert second.run.published == first.run.published
    assert market.fetch(f"{url}/log/checkpoint") == checkpoint


def test_a_changed_supplier_makes_the_second_run_correct_the_first(market: Any, lies: Any) -> None:
    product = market.sold("7")
    pack = market.pack(market.bought(LIAR, product, "1"))
    market.shows()
    first = market.run(pack)
    market.mouths[LIAR].lies.clear()

    second = market.run(pack)

    assert (first.total, second.total) == (27, 34)
    assert second.stated.corrects == first.run.published.commitment
    assert not second.report.incomplete
