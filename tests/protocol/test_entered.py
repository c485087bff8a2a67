"""Statements read and kept by the hundred say what each line says by itself."""

import hashlib
from itertools import product

import pytest

from bcca_protocol import entered
from bcca_protocol.entered import Entered, StatementRecord
from bcca_protocol.entry import StatementEntry, parse_entry
from bcca_protocol.history import BLOCK, History, Reading
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.limits import MAX_TREE_SIZE

KEY = SeedSigner(name="mine.example", algorithm=Algorithm.ED25519, seed=b"1" * 32).key
GENESIS = b"bcca/v1 genesis ti6Gf6LzOv5i1daxZC4WIdVDMHhGsqV7iX5xCRm3Zwk="


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def entry(name: str, key: int = 2) -> StatementEntry:
    return StatementEntry(commitment=digest(name), key=key, signature_hash=digest(f"sig {name}"))


def line(name: str, key: int = 2) -> bytes:
    return entry(name, key).encode().encode()


def filled(*entries: StatementEntry, first: int = 10) -> Entered:
    kept = Entered()
    read = entered.read_statements([each.encode().encode() for each in entries])
    assert read is not None
    kept.enter(range(first, first + len(entries)), read)
    return kept


@pytest.mark.parametrize("keys", [(2,), (2, 3, 2), (0, 10, 9), (MAX_TREE_SIZE,), ()])
def test_every_commitment_has_the_record_of_its_entry(keys: tuple[int, ...]) -> None:
    entries = [entry(f"{number}", key) for number, key in enumerate(keys)]

    kept = filled(*entries)

    assert dict(kept) == {
        each.commitment: StatementRecord(index, each.key, each.signature_hash)
        for index, each in enumerate(entries, 10)
    }
    assert [record.entry(name) for name, record in kept.items()] == entries
    assert digest("nothing") not in kept
    assert b"short" not in kept


def test_the_first_entry_of_a_commitment_counts_and_later_ones_are_named() -> None:
    kept = filled(entry("a", 2), entry("b", 2), entry("a", 3), entry("a", 4))
    again = entered.read_statements([line("b", 5), line("c", 5)])
    assert again is not None
    kept.enter([20, 30], again)

    assert [(kept[digest(name)].index, kept[digest(name)].key) for name in "abc"] == [
        (10, 2), (11, 2), (30, 5),
    ]  # fmt: skip
    assert kept.void == [12, 13, 20]


def test_the_span_of_a_key_is_its_first_and_its_last_entry() -> None:
    kept = filled(entry("a", 2), entry("b", 7), entry("c", 2), entry("d", 7), entry("e", 3))

    assert kept.spans() == {2: (10, 12), 3: (14, 14), 7: (11, 13)}
    assert filled().spans() == {}


def test_one_line_not_in_its_form_among_many_is_not_read_over() -> None:
    good = [line(f"{number}") for number in range(5)]
    bad = [
        good[0][:-1] + b"A",
        good[0][:-2] + b"B=",
        good[0].replace(b" 2 ", b" 02 "),
        good[0].replace(b" 2 ", b"  2 "),
        good[0].replace(b" 2 ", b" %d " % (MAX_TREE_SIZE + 1)),
        good[0].replace(b" 2 ", b" \xd9\xa2 "),
        good[0][:18] + good[0][18:82].upper() + good[0][82:],
        good[0][:90],
        good[0][:120],
        good[0] + b" ",
        entered.PREFIX,
    ]
    for at, each in product(range(6), bad):
        assert entered.read_statements([*good[:at], each, *good[at:]]) is None, each


def test_parts_that_make_up_for_each_other_are_not_taken_for_two_lines() -> None:
    one, two = line("1"), line("2")
    shifted = [one[:-1], b"=" + two]
    moved = [one[:81] + one[82:], two[:82] + two[81:82] + two[82:]]

    for each in (shifted, moved, [one + two, b""], [one[:100], one[100:] + two]):
        assert entered.read_statements(each) is None, each


@pytest.mark.parametrize("size", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("broken", [1, 2, 255, 256, 257, 700])
def test_whatever_is_mixed_with_statements_breaks_the_log_where_it_stands(
    size: int, broken: int
) -> None:
    handle = b"bcca/v1 status %b revoked -" % GENESIS.split(b" ")[-1]
    lines = [GENESIS, *(handle if at % 7 == 3 else line(f"{at}") for at in range(1, size))]
    if broken < size:
        lines[broken] = lines[broken][:-1]

    log = History.read("mine.example", KEY, lines)

    end = min(broken, size)
    names = [at for at in range(1, end) if at % 7 != 3]
    assert (log.size, log.broken) == (size, broken if broken < size else None)
    assert {at: name for name, at in ((k, r.index) for k, r in log.statements.items())} == {
        at: digest(f"{at}") for at in names
    }
    assert len(log.statuses) == (1 if end > 3 else 0)


@pytest.mark.parametrize("step", [1, 2, 100, 256, 1000])
def test_a_log_read_in_pieces_of_any_size_says_the_same(step: int) -> None:
    lines = [GENESIS, *(line(f"{number % 300}") for number in range(600))]
    whole = History.read("mine.example", KEY, lines)
    reading = Reading(origin="mine.example")
    for start in range(0, len(lines), step):
        reading.take(lines[start : start + step])

    pieces = reading.history()
    assert (pieces.size, pieces.broken) == (whole.size, whole.broken)
    assert pieces.statements == whole.statements
    assert pieces.statements.void == whole.statements.void == list(range(301, 601))


def test_what_is_read_together_is_what_is_read_alone() -> None:
    lines = [line(f"{number}", number * number) for number in range(300)]
    read = entered.read_statements(lines)

    assert read is not None
    for place, each in enumerate(lines):
        alone = parse_entry(each.decode())
        assert isinstance(alone, StatementEntry)
        one = entered.columns_of(alone)
        assert (one.commitments[0], one.keys[0]) == (read.commitments[place], read.keys[place])
        assert one.signatures == read.signatures[44 * place : 44 * place + 44]
