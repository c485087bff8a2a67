"""A whole log audited by somebody who trusts nobody: every lie about it is found and named."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bcca_node.auditor import logs, places
from bcca_node.auditor.logs import Audit
from bcca_node.auditor.report import Report
from bcca_node.network.client import Fetcher
from bcca_protocol import merkle, tiles
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.entry import (
    Genesis,
    KeyAdd,
    KeyCompromised,
    KeyRetire,
    Predecessor,
    StatementEntry,
    Status,
    StatusEntry,
    compromised_message,
)
from bcca_protocol.errors import (
    LimitError,
    MalformedError,
    ProofError,
    SignatureError,
    UnusableError,
)
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.tiles import ENTRIES, Tile, tiles_for

ORIGIN = "mine.example"
AT = 1_780_000_000


def signer(seed: int, name: str = ORIGIN) -> SeedSigner:
    return SeedSigner(name=name, algorithm=Algorithm.ED25519, seed=bytes([seed]) * 32)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def statement(name: str, key: int = 2) -> str:
    return StatementEntry(
        commitment=digest(name), key=key, signature_hash=digest(f"signed {name}")
    ).encode()


def status(name: str, what: Status = Status.REVOKED, successor: str | None = None) -> str:
    after = None if successor is None else digest(successor)
    return StatusEntry(handle=digest(name), status=what, successor=after).encode()


LOG, AUTHOR, THIEF = signer(1), signer(2), signer(3)
START = (
    Genesis(recovery_hash=digest("recovery")).encode(),
    KeyAdd(role=Role.LOG, key=LOG.key).encode(),
    KeyAdd(role=Role.STATEMENT, key=AUTHOR.key).encode(),
)


def many(count: int) -> list[str]:
    """Return a log of so many entries."""
    return [*START, *(statement(f"{number}") for number in range(count - len(START)))]


def write(folder: Path, lines: Sequence[str], by: SeedSigner = LOG, **lie: Any) -> Path:
    """Write a log as static files; return the folder."""
    entries = [line.encode() for line in lines]
    tree = merkle.Tree(map(merkle.leaf_hash, entries))
    for tile in tiles_for(len(entries)):
        first = tile.index * 256
        path = folder / tile.encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        is_bundle = tile.level == ENTRIES
        path.write_bytes(
            tiles.encode_entries(entries[first : first + tile.width])
            if is_bundle
            else tiles.encode_tile(tile, tree.subtree)
        )
    told = {"origin": by.key.name, "size": len(entries), "root": tree.root(), **lie}
    note = sign_checkpoint(Checkpoint(**told), [by])
    (folder / "checkpoint").write_text(note.encode(), encoding="utf-8")
    return folder


def audited(folder: Path, **asked: Any) -> Report:
    """Audit a folder; without a policy nobody is asked, and the client is not even opened."""
    place = places.in_folder(folder)
    return asyncio.run(logs.audit(Audit(place=place, fetcher=Fetcher(), at=AT, **asked)))


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("size", [3, 4, 255, 256, 257, 511, 512, 513, 1000, 65_536, 65_793])
def test_a_log_that_is_what_it_says_holds(tmp_path: Path, size: int) -> None:
    report = audited(write(tmp_path, many(size)), key=LOG.key)

    assert report.problems == []
    assert [step.what for step in report.steps] == [
        "head", "tiles", "entries", "keys", "statements", "genesis", "split views",
    ]  # fmt: skip
    assert report.size == size
    assert f"{len(list(tiles_for(size)))} compared" in report.steps[1].found
    assert f"{size - 3} entered" in report.steps[4].found


def test_a_log_in_the_folder_of_a_static_supplier_is_found(tmp_path: Path) -> None:
    write(tmp_path / "log", many(7))

    assert audited(tmp_path, key=LOG.key).problems == []


def test_without_a_key_the_log_names_its_own_and_that_is_said(tmp_path: Path) -> None:
    report = audited(write(tmp_path, many(7)))

    assert report.problems == []
    assert report.key == LOG.key
    assert any(f"whose log it is: {LOG.key.encode()}" in each for each in report.unjudged)


def test_a_tile_that_is_longer_than_it_has_to_be_may_have_grown(tmp_path: Path) -> None:
    write(tmp_path, many(600))
    older = tmp_path / "checkpoint"
    note = older.read_text(encoding="utf-8")
    write(tmp_path, many(1000))
    for partial in (tmp_path / "tile").rglob("*.p"):
        for each in partial.iterdir():
            if each.name == "88":
                each.unlink()
    older.write_text(note, encoding="utf-8")

    assert audited(tmp_path, key=LOG.key).problems == []


# Attacks


def test_a_head_signed_by_a_thief_is_refused(tmp_path: Path) -> None:
    write(tmp_path, many(7), THIEF)

    with pytest.raises(SignatureError):
        audited(tmp_path, key=LOG.key)
    with pytest.raises(SignatureError):
        audited(tmp_path)


def test_a_log_under_another_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path, many(7))

    with pytest.raises(SignatureError, match=r"a log of mine\.example, not of other"):
        audited(tmp_path, key=signer(1, "other.example").key)


@pytest.mark.parametrize("size", [7, 300, 66_000])
def test_an_entry_changed_anywhere_is_found(tmp_path: Path, size: int) -> None:
    write(tmp_path, many(size))
    bundles = [tile for tile in tiles_for(size) if tile.level == ENTRIES]
    for tile in bundles[:: max(len(bundles) // 3, 1)]:
        path = tmp_path / tile.encode()
        before = path.read_bytes()
        damage(path, len(before) - 1)

        with pytest.raises(ProofError, match=f"its {size} entries hash to"):
            audited(tmp_path, key=LOG.key)
        path.write_bytes(before)


@pytest.mark.parametrize("size", [7, 300, 66_000])
def test_a_hash_changed_in_any_tile_is_found_and_named(tmp_path: Path, size: int) -> None:
    write(tmp_path, many(size))
    hashes = [tile for tile in tiles_for(size) if tile.level != ENTRIES]
    for tile in (*hashes[:2], *hashes[-3:]):
        path = tmp_path / tile.encode()
        damage(path, 32 * (tile.width - 1))

        (problem,) = audited(tmp_path, key=LOG.key).problems
        assert problem.startswith(f"{tile.encode()}: ")
        assert f"from hash {tile.width - 1} on" in problem
        damage(path, 32 * (tile.width - 1))


@pytest.mark.parametrize("kept", [slice(-1), slice(32, None), slice(0)])
def test_a_cut_tile_is_found(tmp_path: Path, kept: slice) -> None:
    path = write(tmp_path, many(300)) / "tile" / "0" / "000"
    path.write_bytes(path.read_bytes()[kept])

    (problem,) = audited(tmp_path, key=LOG.key).problems
    assert problem.startswith("tile/0/000: ")


@pytest.mark.parametrize("more", [1, 9_000])
def test_attack_an_oversize_tile_of_hashes_does_not_end_the_audit(
    tmp_path: Path, more: int
) -> None:
    path = write(tmp_path, [*many(300), "not an entry"]) / "tile" / "0" / "000"
    path.write_bytes(path.read_bytes() + b"x" * more)

    tile, broken = audited(tmp_path, key=LOG.key).problems
    assert tile.startswith("tile/0/000: ")
    assert tile.endswith("over 8192 bytes")
    assert broken.startswith("entry 300 is unknown or malformed")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("503 Service Unavailable\r\ncontent-length: 0", "answered 503"),
        ("200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0", "packed as gzip"),
        ("302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0", "10.0.0.1"),
    ],
)
def test_attack_a_host_that_answers_hashes_otherwise_does_not_end_the_audit(
    tmp_path: Path, raw_server: Callable[..., str], answer: str, said: str
) -> None:
    write(tmp_path, [*many(300), "not an entry"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode().lstrip("/")
        body = (tmp_path / path).read_bytes()
        head, body = (
            (answer, b"")
            if path == "tile/0/000"
            else (f"200 OK\r\ncontent-length: {len(body)}", body)
        )
        writer.write(f"HTTP/1.1 {head}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()

    async def run() -> Report:
        async with Fetcher({"127.0.0.1"}) as fetcher:
            place = places.Site(fetcher, raw_server(serve))
            return await logs.audit(Audit(place=place, fetcher=fetcher, at=AT, key=LOG.key))

    tile, broken = asyncio.run(run()).problems
    assert tile.startswith("tile/0/000: ")
    assert said in tile
    assert broken.startswith("entry 300 is unknown or malformed")


def test_a_missing_tile_is_named_and_a_missing_bundle_ends_the_audit(tmp_path: Path) -> None:
    write(tmp_path, many(300))
    (tmp_path / "tile" / "0" / "000").unlink()

    (problem,) = audited(tmp_path, key=LOG.key).problems
    assert "tile/0/000 is not there" in problem
    (tmp_path / "tile" / "entries" / "000").unlink()
    with pytest.raises(ProofError, match="tile/entries/000 is not there"):
        audited(tmp_path, key=LOG.key)


@pytest.mark.parametrize(("kept", "more"), [(-1, b""), (None, b"\0"), (0, b"")])
def test_a_bundle_that_is_none_is_refused(tmp_path: Path, kept: int | None, more: bytes) -> None:
    path = write(tmp_path, many(300)) / "tile" / "entries" / "000"
    path.write_bytes(path.read_bytes()[:kept] + more)

    with pytest.raises(MalformedError, match="tile/entries/000: bundle of 256 entries"):
        audited(tmp_path, key=LOG.key)


@pytest.mark.parametrize("name", ["tile/0/000.p/9", "tile/entries/000.p/9"])
def test_an_attack_a_pipe_in_a_folder_is_refused_and_not_waited_for(
    tmp_path: Path, name: str
) -> None:
    path = write(tmp_path, many(9)) / name
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(UnusableError, match="not a file"):
        audited(tmp_path, key=LOG.key)


@pytest.mark.parametrize("size", [10**18, 2**63 - 1])
def test_a_log_that_claims_10_to_the_18_entries_is_refused_at_once(
    tmp_path: Path, size: int
) -> None:
    write(tmp_path, many(7), size=size)

    with pytest.raises(LimitError):
        audited(tmp_path, key=LOG.key)


def test_another_root_is_found(tmp_path: Path) -> None:
    write(tmp_path, many(7), root=digest("x"))

    with pytest.raises(ProofError):
        audited(tmp_path, key=LOG.key)


# What the entries say


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ((*START, "hello", statement("a")), "entry 3 is unknown or malformed"),
        ((*START, statement("a", key=1)), "a log key, where a statement key belongs"),
        ((*START, statement("a", key=9)), "entry 9 adds no key"),
        ((*START, statement("a"), KeyRetire(add=2).encode(), statement("b")), "retired at entry 4"),
        ((*START, KeyRetire(add=1).encode()), "its end by mine.example"),
        ((*START, status("a", Status.CORRECTED, "b")), "1 statuses name a successor not entered"),
        (START[1:], "entry 0 is not a genesis"),
        ((), "entry 0 is not a genesis"),
    ],
)
def test_what_counts_for_nothing_is_told(
    tmp_path: Path, lines: Sequence[str], problem: str
) -> None:
    report = audited(write(tmp_path, lines), key=LOG.key)

    assert any(problem in each for each in report.problems), report.problems


def test_statements_whose_key_its_owner_declared_stolen_are_void_and_nothing_is_wrong(
    tmp_path: Path,
) -> None:
    recovery = signer(9)
    signed = recovery.sign(compromised_message(ORIGIN, 2, 3))
    notice = KeyCompromised(
        add=2, last_good=3, recovery_key=recovery.key.public, signature=signed
    ).encode()
    genesis = Genesis(recovery_hash=hashlib.sha256(recovery.key.public).digest()).encode()
    write(tmp_path, [genesis, *START[1:], statement("good"), statement("thief's"), notice])

    report = audited(tmp_path, key=LOG.key)

    assert report.problems == []
    (step,) = [each.found for each in report.steps if each.what == "statements"]
    assert step == "2 entered, 1 void since their key was declared stolen; statuses: none"


def test_of_many_statements_under_an_invalid_key_each_is_counted(tmp_path: Path) -> None:
    lines = [*START, statement("a"), KeyRetire(add=2).encode()]
    lines += [statement(f"{number}") for number in range(30)]

    report = audited(write(tmp_path, lines), key=LOG.key)

    assert len(report.problems) == 21
    assert report.problems[-1] == "and 10 more statements under invalid keys"


def test_a_revoked_statement_logged_anew_is_told(tmp_path: Path) -> None:
    lines = (*START, statement("a"), status("a"), statement("a"))

    report = audited(write(tmp_path, lines), key=LOG.key)

    assert report.problems == []
    assert any(
        "1 statements were entered again, the first at entry 5" in s for s in report.unjudged
    )
    assert report.steps[4].found == "1 entered; statuses: 1 revoked"


def test_a_predecessor_is_named(tmp_path: Path) -> None:
    before = Predecessor(origin="old.example", size=9, root=digest("r"))
    genesis = Genesis(recovery_hash=digest("recovery"), predecessor=before).encode()

    report = audited(write(tmp_path, (genesis, *START[1:])), key=LOG.key)

    assert "continues old.example behind its first 9 entries" in report.steps[5].found
    assert any("old.example: audit that log too" in each for each in report.unjudged)


def test_every_entry_of_a_small_log_is_looked_at(tmp_path: Path) -> None:
    lines = many(40)
    for at in range(len(lines)):
        folder = write(tmp_path / f"{at}", lines)
        path = folder / Tile(level=ENTRIES, index=0, width=40).encode()
        start = sum(len(line) + 2 for line in lines[:at]) + 2
        damage(path, start + len(lines[at]) // 2)

        with pytest.raises(ProofError):
            audited(folder, key=LOG.key)
