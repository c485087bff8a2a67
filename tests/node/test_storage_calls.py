"""What is remembered of calls: no nonce twice, whatever happens to the clock, process or file."""

import itertools
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcca_node.storage.calls import KEEP_SECONDS, Calls, Fetch, Fetched, Room
from bcca_node.storage.callstore import AT_ONCE, MAY_BE_UNDER_WAY, BusyError
from bcca_protocol.errors import UnavailableError

KEY, OTHER = "pack.example+00000000+AAAA", "cell.example+00000000+AAAA"
NOW = 1_790_000_000
DAY = 86_400

OPENING = """
import sys
from bcca_node.storage.calls import Calls
calls = Calls(sys.argv[1])
key, now = sys.argv[3], int(sys.argv[4])
for number in range(int(sys.argv[2])):
    print(int(calls.once(key, f"n{number}", now, now)), flush=True)
sys.stdin.read()
"""

Opened = Callable[..., Calls]


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def opened(url: str) -> Iterator[Opened]:
    """Open the store of a node that was set up just now; again, as another process would."""
    made: list[Calls] = []

    def make(room: Room | None = None) -> Calls:
        if not made:
            Calls(url).begin()
        made.append(Calls(url, room))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def calls(opened: Opened) -> Calls:
    return opened()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The store of a node in SQLite that was set up just now; nobody has it open."""
    Calls(f"sqlite:///{tmp_path / 'node.db'}").begin()
    yield tmp_path / "node.db-calls"


def open_at(file: Path) -> Calls:
    return Calls(f"sqlite:///{file.with_name('node.db')}")


def fetch(commitment: str = "aa", *, at: int = NOW, origin: str = "pack.example") -> Fetch:
    told = {"product": "urn:x:p", "how": "statement", "caller": KEY}
    return Fetch(origin=origin, commitment=commitment, at=at, **told)


def test_a_nonce_is_taken_once(calls: Calls) -> None:
    assert calls.once(KEY, "n", NOW, NOW)
    assert not calls.once(KEY, "n", NOW, NOW)
    assert not calls.once(KEY, "n", NOW + 1, NOW)


def test_two_keys_may_use_the_same_nonce(calls: Calls) -> None:
    assert calls.once(KEY, "n", NOW, NOW)
    assert calls.once(OTHER, "n", NOW, NOW)


def test_a_key_that_becomes_known_cannot_be_replayed(calls: Calls) -> None:
    assert calls.once(KEY, "n", NOW, NOW, is_known=False)
    assert not calls.once(KEY, "n", NOW, NOW, is_known=True)


def test_all_that_share_a_store_know_its_nonces(opened: Opened) -> None:
    one, other = opened(), opened()

    assert one.once(KEY, "n", NOW, NOW)
    assert not other.once(KEY, "n", NOW, NOW)
    assert other.once(KEY, "m", NOW, NOW)
    assert not one.once(KEY, "m", NOW, NOW)


def test_a_store_that_is_opened_again_knows_its_nonces(opened: Opened) -> None:
    calls = opened()
    assert calls.once(KEY, "n", NOW, NOW)
    calls.close()

    assert not calls.once(KEY, "n", NOW, NOW)
    assert not opened().once(KEY, "n", NOW, NOW)


def test_of_many_threads_and_processes_one_takes_a_nonce(opened: Opened) -> None:
    stores = [opened(), opened()]
    asked = [(store, f"n{number}") for number in range(40) for store in stores * 2]

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda each: each[0].once(KEY, each[1], NOW, NOW), asked))

    assert sum(taken) == 40


def test_a_process_that_is_killed_has_forgotten_nothing(file: Path) -> None:
    told = [f"sqlite:///{file.with_name('node.db')}", "20", KEY, str(NOW)]
    command = [sys.executable, "-c", OPENING, *told]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        taken = [process.stdout.readline().strip() for _ in range(20)]
        process.send_signal(signal.SIGKILL)

    with closing(open_at(file)) as calls:
        assert taken == ["1"] * 20
        assert [calls.once(KEY, f"n{number}", NOW, NOW) for number in range(21)] == [
            *[False] * 20,
            True,
        ]


def test_what_is_old_is_forgotten_and_not_taken_again(calls: Calls) -> None:
    assert calls.once(KEY, "n", NOW, NOW)
    later = NOW + KEEP_SECONDS + 1
    assert calls.once(KEY, "m", later, later)

    with pytest.raises(UnavailableError, match=f"created at {NOW}, and calls until {NOW}"):
        calls.once(KEY, "n", NOW, later)


def test_a_clock_that_is_set_back_lets_no_call_in_again(calls: Calls) -> None:
    assert calls.once(KEY, "n", NOW, NOW)
    assert calls.once(KEY, "m", NOW + 3_600, NOW + 3_600)

    with pytest.raises(UnavailableError, match="sign it again, later"):
        calls.once(KEY, "n", NOW, NOW)


def test_a_clock_that_is_set_back_keeps_out_only_what_may_have_been_forgotten(
    calls: Calls,
) -> None:
    assert calls.once(KEY, "n", NOW, NOW)
    ahead = NOW + 3_600
    assert calls.once(KEY, "ahead", ahead, ahead)

    assert calls.once(KEY, "m", NOW + 1, NOW + 1)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_store_that_was_filled_takes_no_more_until_there_is_room(
    opened: Opened, *, is_known: bool
) -> None:
    calls = opened(Room(nonces=3, stranger_nonces=3))
    for number in range(3):
        assert calls.once(KEY, f"n{number}", NOW, NOW, is_known=is_known)

    with pytest.raises(UnavailableError, match=r"3 of .* no more are remembered"):
        calls.once(KEY, "m", NOW, NOW, is_known=is_known)
    later = NOW + KEEP_SECONDS + 1
    assert calls.once(KEY, "m", later, later, is_known=is_known)


def test_strangers_who_fill_their_share_stop_no_partner(opened: Opened) -> None:
    calls = opened(Room(nonces=3, stranger_nonces=1))
    assert calls.once(OTHER, "n", NOW, NOW, is_known=False)

    with pytest.raises(UnavailableError, match="strangers"):
        calls.once(OTHER, "m", NOW, NOW, is_known=False)
    assert calls.once(KEY, "m", NOW, NOW)


def test_what_another_process_has_entered_counts(opened: Opened) -> None:
    one, room = opened(), Room(nonces=2)
    for number in range(2):
        assert one.once(KEY, f"n{number}", NOW, NOW)

    with pytest.raises(UnavailableError, match="no more are remembered"):
        opened(room).once(KEY, "m", NOW, NOW)


def test_a_new_store_of_an_old_node_takes_what_is_signed_a_minute_later(url: str) -> None:
    with closing(Calls(url)) as calls:
        calls.prepare(NOW)

        with pytest.raises(UnavailableError, match="sign it again, later"):
            calls.once(KEY, "n", NOW + MAY_BE_UNDER_WAY, NOW + MAY_BE_UNDER_WAY)
        assert calls.once(KEY, "n", NOW + MAY_BE_UNDER_WAY + 1, NOW + MAY_BE_UNDER_WAY)


def test_a_store_that_was_copied_may_lack_nonces_and_says_so(file: Path, tmp_path: Path) -> None:
    with closing(open_at(file)) as calls:
        assert calls.once(KEY, "before", NOW, NOW)
    (tmp_path / "copy").mkdir()
    shutil.copy(file, tmp_path / "copy" / file.name)
    with closing(open_at(file)) as calls:
        assert calls.once(KEY, "n", NOW, NOW)

    with (
        closing(open_at(tmp_path / "copy" / file.name)) as copy,
        pytest.raises(UnavailableError, match=f"until {NOW + MAY_BE_UNDER_WAY}"),
    ):
        copy.once(KEY, "n", NOW, NOW)


def test_a_store_that_was_open_when_the_power_went_may_lack_nonces_and_says_so(file: Path) -> None:
    with closing(open_at(file)) as calls:
        assert calls.once(KEY, "n", NOW, NOW)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM call_nonce")  # the tail of the log was not on the disk
        database.execute("UPDATE call_store SET place = 'another boot'")

    with closing(open_at(file)) as calls:
        with pytest.raises(UnavailableError, match=f"until {NOW + MAY_BE_UNDER_WAY}"):
            calls.once(KEY, "n", NOW, NOW)
        later = NOW + MAY_BE_UNDER_WAY + 1
        assert calls.once(KEY, "m", later, later)


def test_postgresql_that_crashed_lacks_nonces_and_says_so(postgresql: Callable[[], str]) -> None:
    url = postgresql()
    Calls(url).begin()
    with closing(Calls(url)) as calls, psycopg.connect(url, autocommit=True) as connection:
        assert calls.once(KEY, "n", NOW, NOW)
        kinds = connection.execute(
            "SELECT relpersistence::text FROM pg_class "
            "WHERE relname IN ('call_nonce', 'call_store')"
        ).fetchall()
        connection.execute("TRUNCATE call_nonce, call_store")  # as a crash does with both

        with pytest.raises(UnavailableError, match=f"until {NOW + MAY_BE_UNDER_WAY}"):
            calls.once(KEY, "n", NOW, NOW)
        later = NOW + MAY_BE_UNDER_WAY + 1
        assert calls.once(KEY, "m", later, later)
        assert kinds == [("u",), ("u",)]


def test_postgresql_that_was_away_is_asked_anew(postgresql: Callable[[], str]) -> None:
    url = postgresql()
    Calls(url).begin()
    with closing(Calls(url)) as calls:
        assert calls.once(KEY, "n", NOW, NOW)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )

        with pytest.raises(UnavailableError):
            calls.once(KEY, "m", NOW, NOW)
        assert calls.once(KEY, "m", NOW, NOW)
        assert not calls.once(KEY, "n", NOW, NOW)


def test_who_keeps_others_waiting_does_not_wait_for_a_writer_that_is_stuck(file: Path) -> None:
    with closing(open_at(file)) as calls, closing(sqlite3.connect(file)) as stuck:
        assert calls.once(KEY, "n", NOW, NOW)
        stuck.execute("BEGIN IMMEDIATE")

        began = time.monotonic()
        for number in range(20):
            with pytest.raises(BusyError):
                calls.once(KEY, f"m{number}", NOW, NOW, patience=AT_ONCE)
            with pytest.raises(BusyError):
                calls.note([fetch()], now=NOW, patience=AT_ONCE)
        assert time.monotonic() - began < 1.0

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(calls.once, KEY, "m", NOW, NOW)
            stuck.rollback()
            assert waiting.result()
        assert not calls.once(KEY, "m", NOW, NOW, patience=AT_ONCE)
        assert not calls.once(KEY, "n", NOW, NOW)
        assert calls.fetched(now=NOW) == []


def test_a_file_that_is_garbage_takes_nothing_and_names_itself(file: Path) -> None:
    file.write_bytes(b"garbage" * 1_000)
    with closing(open_at(file)) as calls:
        with pytest.raises(UnavailableError, match=r"node\.db-calls: damaged: remove that file"):
            calls.once(KEY, "n", NOW, NOW)
        file.unlink()

        with pytest.raises(UnavailableError, match="sign it again, later"):
            calls.once(KEY, "n", NOW, NOW)


def test_a_folder_that_is_gone_takes_nothing(tmp_path: Path) -> None:
    calls = Calls(f"sqlite:///{tmp_path}/nowhere/node.db")

    with pytest.raises(UnavailableError, match="unable to open"):
        calls.once(KEY, "n", NOW, NOW)


def test_only_its_owner_reads_the_file(file: Path) -> None:
    with closing(open_at(file)) as calls:
        calls.note([fetch()], now=NOW)
        modes = {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}

    assert modes == {0o600}


def test_what_is_in_memory_is_shared_by_threads() -> None:
    calls = Calls("sqlite://")
    calls.prepare(NOW - 3_600)

    with closing(calls), ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(lambda _: calls.once(KEY, "n", NOW, NOW), range(10)))

    assert sum(taken) == 1


# A call, a jump of the clock, a restart, a lost file: in any order.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 5), st.integers(-60, 60)),
        st.tuples(st.just("clock"), st.integers(-500, 500), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
        st.tuples(st.just("power cut"), st.just(0), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=15, deadline=None)
@given(STEPS)
def test_nothing_is_taken_twice_whatever_the_clock_does(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/node.db"
        Calls(url).begin()
        calls, now, latest = Calls(url), NOW, NOW
        sent: list[tuple[str, int]] = []
        taken: set[tuple[str, int]] = set()
        for what, number, off in steps:
            if what == "call":
                sent.append((f"n{number}", now + off))
                taken |= _take(calls, sent, now, taken)
                latest = max(latest, now)
            elif what == "clock":
                now += number
            else:
                calls.close()
                calls = Calls(url)
            if what == "power cut":
                Path(f"{folder}/node.db-calls").unlink(missing_ok=True)
                now = max(now, latest)  # a clock that stood still is behind itself at no start
                calls.prepare(now)
        calls.close()


def _take(
    calls: Calls, asked: list[tuple[str, int]], now: int, taken: set[tuple[str, int]]
) -> set[tuple[str, int]]:
    """Send each call that the clock allows, and return those that are taken: none that was."""
    found: set[tuple[str, int]] = set()
    for nonce, created in asked:
        if abs(created - now) > MAY_BE_UNDER_WAY:
            continue
        try:
            is_new = calls.once(KEY, f"{nonce} {created}", created, now)
        except UnavailableError:
            continue
        if is_new:
            assert (nonce, created) not in taken | found
            found.add((nonce, created))
    return found


# Who fetched what.


def test_what_was_fetched_is_counted_by_the_day_the_newest_first(calls: Calls) -> None:
    calls.note([fetch("aa"), fetch("bb")], now=NOW)
    calls.note([fetch("aa", at=NOW + 5)], now=NOW)
    calls.note([fetch("aa", at=NOW + DAY)], now=NOW)
    calls.note([], now=NOW)

    told = {"origin": "pack.example", "caller": KEY, "product": "urn:x:p", "how": "statement"}
    assert calls.fetched(now=NOW) == [
        Fetched(**told, commitment="aa", first=NOW + DAY, last=NOW + DAY, times=1),
        Fetched(**told, commitment="aa", first=NOW, last=NOW + 5, times=2),
        Fetched(**told, commitment="bb", first=NOW, last=NOW, times=1),
    ]


def test_what_was_fetched_is_found_by_who_what_and_when(calls: Calls) -> None:
    calls.note([fetch("aa"), fetch("bb", origin="cell.example", at=NOW + 1)], now=NOW)

    def found(**asked: str | int) -> list[str]:
        return [each.commitment for each in calls.fetched(now=NOW, **asked)]  # type: ignore[arg-type]  # a dict of both

    assert found(origin="cell.example") == ["bb"]
    assert found(commitment="aa") == ["aa"]
    assert found(product="urn:x:p") == ["bb", "aa"]
    assert found(product="urn:x:q") == []
    assert found(since=NOW + 1) == ["bb"]
    assert found(limit=1) == ["bb"]


def test_who_was_ever_shown_a_statement_is_not_forgotten(opened: Opened) -> None:
    calls = opened(Room(fetches=1))
    calls.note([fetch("aa"), fetch("aa", origin="")], now=NOW)
    calls.note([fetch("aa", origin="cell.example", at=NOW + DAY)], now=NOW)

    assert [each.origin for each in calls.fetched(now=NOW)] == ["cell.example"]
    assert calls.holders("aa", now=NOW) == ["cell.example", "pack.example"]
    assert calls.holders("bb", now=NOW) == []


def test_strangers_who_fetch_without_end_push_out_no_partner(opened: Opened) -> None:
    calls = opened(Room(fetches=4))
    calls.note([fetch("aa"), fetch("bb", at=NOW + DAY)], now=NOW)

    for number in range(20):
        calls.note([fetch(f"{number}", origin="", at=NOW + DAY)], now=NOW)

    kept = {each.commitment for each in calls.fetched(now=NOW) if each.origin}
    assert kept == {"aa", "bb"}
    assert len(calls.fetched(now=NOW)) <= 8


def test_a_partner_who_fetches_without_end_pushes_out_no_more_than_it_may_see(
    opened: Opened,
) -> None:
    calls = opened(Room(fetches=4))
    calls.note([fetch("aa", origin="cell.example")], now=NOW)

    for number, commitment in itertools.product(range(20), ("aa", "bb")):
        calls.note([fetch(commitment, at=NOW + number)], now=NOW)

    assert len(calls.fetched(now=NOW, origin="cell.example")) == 1


def test_a_long_stream_is_kept_whole(calls: Calls) -> None:
    calls.note([fetch(f"{number}") for number in range(1_001)], now=NOW)

    assert len(calls.fetched(now=NOW, limit=2_000)) == 1_001
    assert calls.holders("1000", now=NOW) == ["pack.example"]


def test_attack_auditors_appointed_without_end_push_out_nobody_elses_rows(opened: Opened) -> None:
    calls = opened(Room(fetches=6))
    calls.note([fetch("aa", origin="spied.example"), fetch("bb", origin="cell.example")], now=NOW)

    for number in range(60):
        calls.note([fetch(f"{number}", origin=f"a{number}.example for pack.example")], now=NOW)

    left = {each.origin for each in calls.fetched(now=NOW)}
    assert {"spied.example", "cell.example"} <= left
    assert len(left) <= 12
    assert calls.holders("1", now=NOW) == []
