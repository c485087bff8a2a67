import base64
import hashlib
import time
from collections.abc import Sequence
from itertools import permutations, repeat

import pytest

from bcca_protocol.entered import StatementRecord
from bcca_protocol.entry import (
    Entry,
    Genesis,
    KeyAdd,
    KeyCompromised,
    KeyRetire,
    Predecessor,
    StatementEntry,
    Status,
    StatusEntry,
    compromised_message,
    parse_entry,
)
from bcca_protocol.errors import AuthorshipError, LimitError, RefusedError
from bcca_protocol.history import History
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.limits import MAX_ENTRY_BYTES, MAX_LOG_KEYS

ORIGIN = "cathode.example/bcca"


def signer(seed: str, name: str = ORIGIN) -> SeedSigner:
    digest = hashlib.sha256(seed.encode()).digest()
    return SeedSigner(name=name, algorithm=Algorithm.ED25519, seed=digest)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def statement(name: str, key: int = 2) -> StatementEntry:
    return StatementEntry(
        commitment=digest(name), key=key, signature_hash=digest(f"signature of {name}")
    )


def status(name: str, what: Status, successor: str | None = None) -> StatusEntry:
    return StatusEntry(
        handle=digest(name), status=what, successor=None if successor is None else digest(successor)
    )


def compromised(
    add: int, last_good: int, by: SeedSigner | None = None, origin: str = ORIGIN
) -> KeyCompromised:
    by = RECOVERY if by is None else by
    return KeyCompromised(
        add=add,
        last_good=last_good,
        recovery_key=by.key.public,
        signature=by.sign(compromised_message(origin, add, last_good)),
    )


def read(*entries: Entry | bytes) -> History:
    lines = [entry if isinstance(entry, bytes) else entry.encode().encode() for entry in entries]
    return History.read(ORIGIN, LOG.key, lines)


def valid_at(log: History, add: int, indices: Sequence[int]) -> list[int]:
    """Return those of `indices` at which the statement key added at `add` is valid."""

    def is_valid(at: int) -> bool:
        try:
            log.key_at(add, at, Role.STATEMENT)
        except AuthorshipError:
            return False
        return True

    return [at for at in indices if is_valid(at)]


LOG, FIRST, SECOND, THIEF = map(signer, ("log", "first", "second", "thief"))
RECOVERY = signer("recovery", "offline.example")
GENESIS = Genesis(recovery_hash=hashlib.sha256(RECOVERY.key.public).digest())
ADD_LOG = KeyAdd(role=Role.LOG, key=LOG.key)
ADD_FIRST = KeyAdd(role=Role.STATEMENT, key=FIRST.key)
ADD_SECOND = KeyAdd(role=Role.STATEMENT, key=SECOND.key)
ADD_THIEF = KeyAdd(role=Role.STATEMENT, key=THIEF.key)
START = (GENESIS, ADD_LOG, ADD_FIRST)


def test_an_empty_log_says_nothing() -> None:
    log = read()

    assert (log.size, log.genesis, log.keys, log.broken) == (0, None, (), None)


def test_a_log_says_who_signed_what_where() -> None:
    log = read(*START, statement("a"), status("a", Status.REVOKED), statement("b"))

    assert (log.size, log.broken, log.genesis) == (6, None, GENESIS)
    assert [(record.role, record.added) for record in log.keys] == [
        (Role.LOG, 1),
        (Role.STATEMENT, 2),
    ]
    assert log.statements == {
        digest("a"): StatementRecord(3, 2, digest("signature of a")),
        digest("b"): StatementRecord(5, 2, digest("signature of b")),
    }
    assert log.key_at(2, 3, Role.STATEMENT) == FIRST.key
    assert log.status_of(digest("a")) is Status.REVOKED
    assert log.status_of(digest("b")) is None


# Keys by index


def test_a_key_used_before_its_entry_is_refused() -> None:
    log = read(*START, statement("a", key=4), ADD_SECOND, statement("b", key=4))

    with pytest.raises(AuthorshipError, match=r"entry 3 by key 4: the key was added later"):
        log.key_at(4, 3, Role.STATEMENT)
    assert valid_at(log, 4, range(7)) == [5, 6]


def test_a_key_used_after_its_retirement_is_refused() -> None:
    log = read(*START, statement("a"), KeyRetire(add=2), statement("b"))

    with pytest.raises(AuthorshipError, match=r"entry 5 by key 2: retired at entry 4"):
        log.key_at(2, 5, Role.STATEMENT)
    assert valid_at(log, 2, range(8)) == [3]


def test_a_second_retirement_does_not_lengthen_a_keys_life() -> None:
    log = read(*START, KeyRetire(add=2), statement("a"), KeyRetire(add=2))

    assert valid_at(log, 2, range(8)) == []
    assert log.broken is None


def test_a_key_used_in_another_role_is_refused() -> None:
    log = read(*START, statement("a", key=1))

    with pytest.raises(AuthorshipError, match="a log key, where a statement key belongs"):
        log.key_at(1, 3, Role.STATEMENT)


@pytest.mark.parametrize("add", [0, 3, 4, 100])
def test_a_key_that_was_never_added_is_refused(add: int) -> None:
    log = read(*START, statement("a", key=add))

    with pytest.raises(AuthorshipError, match=f"entry {add} adds no key"):
        log.key_at(add, 3, Role.STATEMENT)


# Stolen keys


def test_a_stolen_key_is_void_above_its_last_good_index() -> None:
    log = read(*START, statement("mine"), statement("his"), compromised(2, 3), statement("late"))

    with pytest.raises(AuthorshipError, match=r"entry 4 by key 2: compromised after entry 3"):
        log.key_at(2, 4, Role.STATEMENT)
    assert valid_at(log, 2, range(8)) == [3]


def test_keys_that_a_thief_added_are_void_and_those_added_later_count() -> None:
    log = read(
        *START,  # 0 to 2
        statement("mine"),
        ADD_THIEF,
        statement("his", key=4),
        compromised(2, 3),
        ADD_SECOND,
        statement("mine again", key=7),
    )

    with pytest.raises(AuthorshipError, match="void"):
        log.key_at(4, 5, Role.STATEMENT)
    assert valid_at(log, 4, range(12)) == []
    assert valid_at(log, 7, range(10)) == [8, 9]


@pytest.mark.parametrize("order", list(permutations([3, 4, 5])))
def test_the_smallest_last_good_index_wins(order: tuple[int, ...]) -> None:
    notices = (compromised(2, last_good) for last_good in order)
    log = read(*START, *map(statement, "abc"), *notices)

    assert valid_at(log, 2, range(12)) == [3]


def test_a_key_that_was_never_its_owners_is_void_at_all_indices() -> None:
    log = read(*START, ADD_THIEF, statement("his", key=3), compromised(3, 2))

    assert valid_at(log, 3, range(8)) == []
    assert valid_at(log, 2, range(6)) == [3, 4, 5]


def test_a_thief_who_repeats_the_owners_notice_voids_no_later_key() -> None:
    notice = compromised(2, 3)
    log = read(*START, statement("a"), notice, ADD_SECOND, statement("b", key=5), notice)

    assert log.broken is None
    assert valid_at(log, 5, range(10)) == [6, 7, 8, 9]


@pytest.mark.parametrize(
    "notice",
    [
        compromised(2, 3, by=THIEF),
        compromised(2, 3, by=FIRST),
        compromised(2, 3, origin="anode.example/bcca"),
        compromised(0, 3),  # no key there
        compromised(3, 3),
        compromised(9, 3),
        compromised(2, 4),  # where the notice itself stands
        compromised(2, 9),
        KeyCompromised(
            add=2,
            last_good=3,
            recovery_key=RECOVERY.key.public,
            signature=compromised(2, 2).signature,
        ),
        KeyCompromised(add=2, last_good=3, recovery_key=bytes(32), signature=bytes(64)),
    ],
)
def test_a_notice_that_the_recovery_key_did_not_sign_ends_the_log(notice: KeyCompromised) -> None:
    log = read(*START, statement("a"), notice, statement("b"))

    assert log.broken == 4
    assert valid_at(log, 2, range(6)) == [3]


def test_a_recovery_key_of_low_order_signs_nothing() -> None:
    weak = b"\x01" + bytes(31)
    genesis = Genesis(recovery_hash=hashlib.sha256(weak).digest())
    notice = KeyCompromised(add=2, last_good=2, recovery_key=weak, signature=weak + bytes(32))

    assert read(genesis, ADD_LOG, ADD_FIRST, statement("a"), notice).broken == 4


# One key, one role, one entry


@pytest.mark.parametrize(
    "again",
    [
        ADD_FIRST,
        KeyAdd(role=Role.REQUEST, key=FIRST.key),
        KeyAdd(role=Role.STATEMENT, key=LOG.key),
        KeyAdd(role=Role.STATEMENT, key=signer("first", "another.example").key),
        KeyAdd(role=Role.STATEMENT, key=RECOVERY.key),
    ],
)
def test_a_key_that_has_its_role_already_gets_no_other(again: KeyAdd) -> None:
    assert read(*START, again).broken == 3
    assert read(*START, KeyRetire(add=2), again).broken == 4


def test_a_flood_of_keys_ends_the_log() -> None:
    flood = (KeyAdd(role=Role.STATEMENT, key=signer(f"{n}").key) for n in range(MAX_LOG_KEYS))

    log = read(*START, *flood)

    assert log.broken == log.size - 2  # two keys stood there before
    assert len(log.keys) == MAX_LOG_KEYS


def test_a_flood_of_notices_ends_the_log() -> None:
    assert read(*START, *[compromised(2, 2)] * MAX_LOG_KEYS).broken is None
    assert read(*START, *[compromised(2, 2)] * (MAX_LOG_KEYS + 1)).broken == 3 + MAX_LOG_KEYS


# The log key


def test_a_log_read_under_a_key_that_it_does_not_know_is_refused() -> None:
    lines = [entry.encode().encode() for entry in START]

    with pytest.raises(AuthorshipError, match=r"signed by .*, but its log keys are "):
        History.read(ORIGIN, THIEF.key, lines)
    assert History.read(ORIGIN, THIEF.key, lines[:1]).size == 1  # it names no log key yet


def test_a_log_key_is_good_up_to_its_retire_index() -> None:
    new = signer("new log")
    entries = (*START, KeyAdd(role=Role.LOG, key=new.key), statement("a"), KeyRetire(add=1))
    lines = [entry.encode().encode() for entry in entries]

    assert History.read(ORIGIN, LOG.key, lines[:5]).size == 5
    with pytest.raises(AuthorshipError, match=r"its end by .*: retired at entry 5"):
        History.read(ORIGIN, LOG.key, lines)
    assert History.read(ORIGIN, new.key, lines).size == 6


# Statements and their status


def test_a_revoked_statement_logged_anew_stays_where_it_was() -> None:
    log = read(*START, statement("a"), status("a", Status.REVOKED), ADD_SECOND, statement("a", 5))

    assert log.statements[digest("a")] == StatementRecord(3, 2, digest("signature of a"))
    assert log.status_of(digest("a")) is Status.REVOKED


@pytest.mark.parametrize("order", list(permutations(Status)))
def test_the_strongest_status_stays_in_whatever_order(order: tuple[Status, ...]) -> None:
    log = read(*START, *(status("a", each, str(each)) for each in order))

    found = log.statuses[digest("a")]
    assert found.entry == status("a", Status.REVOKED, "revoked")
    assert found.index == 3 + order.index(Status.REVOKED)


@pytest.mark.parametrize("what", Status)
def test_the_first_of_two_equal_statuses_counts(what: Status) -> None:
    log = read(*START, status("a", what, "x"), status("a", what, "y"))

    assert log.statuses[digest("a")].index == 3


# Malformed entries

B64 = base64.b64encode(digest("a")).decode()
HEX = digest("a").hex()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"bcca/v2 key retire 2",
        b"bcca/v1 key retire 2\n",
        b"bcca/v1 key retire 0",
        b"bcca/v1 key retire 3",
        b"bcca/v1 key retire \xff",
        b"bcca/v1 key retire \xed\xa0\x80",
        b"bcca/v1 key retire " + b"1" * MAX_ENTRY_BYTES,
        GENESIS.encode().encode(),
        Genesis(
            recovery_hash=digest("x"),
            predecessor=Predecessor(origin=ORIGIN, size=1, root=digest("y")),
        )
        .encode()
        .encode(),
        f"bcca/v1 statement {HEX.upper()} 2 {B64}".encode(),
        f"bcca/v1 statement {HEX} 02 {B64}".encode(),
    ],
)
def test_nothing_counts_after_an_unknown_or_malformed_entry(line: bytes) -> None:
    log = read(*START, statement("a"), line, statement("b"), status("a", Status.REVOKED))

    assert (log.broken, log.size) == (4, 7)
    assert log.statements.keys() == {digest("a")}
    assert log.statuses == {}
    assert valid_at(log, 2, range(8)) == [3]
    with pytest.raises(AuthorshipError, match="nothing counts from the malformed entry 4"):
        log.key_at(2, 5, Role.STATEMENT)


@pytest.mark.parametrize("first", [ADD_LOG, statement("a", 0), b"", b"bcca/v1 genesis"])
def test_a_log_that_does_not_begin_with_genesis_says_nothing(first: Entry | bytes) -> None:
    log = read(first, GENESIS, ADD_FIRST)

    assert (log.broken, log.size, log.keys, log.genesis) == (0, 3, (), None)


def test_more_entries_than_the_limit_are_refused() -> None:
    endless = repeat(b"not a genesis")

    with pytest.raises(LimitError):
        History.read(ORIGIN, LOG.key, endless)


# The short cut for statements reads what the general parser reads, and nothing else


def is_read(line: bytes) -> bool:
    return read(*START, line).broken is None


def is_parsed(line: bytes) -> bool:
    try:
        parse_entry(line.decode())
    except (RefusedError, UnicodeDecodeError):
        return False
    return True


PLAIN = f"bcca/v1 statement {HEX} 2 {B64}".encode()


def test_a_statement_with_any_one_byte_changed_is_read_as_the_grammar_says() -> None:
    for at in range(len(PLAIN)):
        for byte in b"\x00\t\n 0-9AafFg+_=/\x80\xff":
            line = PLAIN[:at] + bytes([byte]) + PLAIN[at + 1 :]

            assert is_read(line) is is_parsed(line), line


@pytest.mark.parametrize("size", range(28, 37))
@pytest.mark.parametrize("key", ["0", "2", "3", "9", "-1", "+2", "2_0", " 2", "", str(2**63)])
def test_a_statement_of_another_length_is_read_as_the_grammar_says(key: str, size: int) -> None:
    other = bytes(size)
    encoded = base64.b64encode(other).decode()

    for text in (f"{HEX} {key} {encoded}", f"{other.hex()} {key} {B64}"):
        line = b"bcca/v1 statement " + text.encode()

        assert is_read(line) is is_parsed(line), line


def test_a_statement_cut_or_continued_anywhere_is_read_as_the_grammar_says() -> None:
    for at in range(18, len(PLAIN) + 1):
        for end in (b"", b" ", b"\n", b"=", b"A=", b"AA==", b" 2 ", PLAIN[18:], PLAIN[82:]):
            line = PLAIN[:at] + end

            assert is_read(line) is is_parsed(line), line


def test_a_log_of_100_000_statements_is_read_in_a_second() -> None:
    """Typical is a sixth of that, which leaves room for a busy machine."""
    lines = [entry.encode().encode() for entry in START]
    lines += [statement(f"{number}").encode().encode() for number in range(100_000)]

    start = time.process_time()
    log = History.read(ORIGIN, LOG.key, lines)
    seconds = time.process_time() - start

    assert len(log.statements) == 100_000
    assert seconds < 1
