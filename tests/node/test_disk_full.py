"""A disk that is full: one sentence, nothing half-written, and on it goes once there is room."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import psycopg
import pytest
from sqlalchemy.exc import DatabaseError, InternalError, OperationalError

from bcca_node.ledger import checkup
from bcca_node.ledger.node import Node
from bcca_node.storage import engines, logs, statements
from bcca_protocol.errors import BccaError, UnavailableError, UnusableError
from bcca_protocol.statement import PartialFootprint

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - what `new_node` gives its keys
# Publishes one by one until the disk is full, makes room, and publishes what was refused.
WRITER = """
import json, resource, sys
from pathlib import Path
import msgspec
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.settings import Settings
from bcca_node.storage import logs
from bcca_protocol.errors import UnavailableError
from bcca_protocol.statement import PartialFootprint

node = Node.open(Settings.load(Path(sys.argv[1])), sys.argv[2])
node.clearance.grant(0)
parts = msgspec.json.decode(sys.stdin.read(), type=list[PartialFootprint])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
answered, refused = [], []
for each in parts:
    try:
        answered += [done.index for done in publish(node, [each])]
    except UnavailableError as error:
        refused.append(str(error))
        break
with node.database.read() as session:
    between = logs.size(session)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
later = [done.index for done in publish(node, parts[len(answered):])]
node.close()
print(json.dumps({"answered": answered, "refused": refused, "between": between, "later": later}))
"""
# Runs a command with room for files of so many bytes, once for each number of them.
COMMAND = """
import resource, sys
from bcca_node.cli import main
for room in sys.argv[1].split(","):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), resource.RLIM_INFINITY))
    print(main(sys.argv[2:]), flush=True)
"""


def test_a_full_disk_refuses_whole_publications_and_the_log_goes_on_once_there_is_room(
    node: Node, part: Callable[..., PartialFootprint]
) -> None:
    parts = msgspec.json.encode([part(node.origin, f"P{index}") for index in range(40)])
    told = [str(node.settings.data), PASSPHRASE, str(300 * 1024)]
    done = subprocess.run(
        [sys.executable, "-c", WRITER, *told], input=parts, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)

    assert len(said["answered"]) < 40
    assert len(said["refused"]) == 1
    assert "nothing of this was written: " in said["refused"][0]
    assert "\n" not in said["refused"][0]
    assert said["between"] == 6 + len(said["answered"])
    assert said["answered"] + said["later"] == list(range(6, 46))
    assert list(checkup.problems(node)) == []
    with node.database.read() as session:
        assert logs.size(session) == 46
        assert len(statements.page(session, 0, 46)) == 40


def test_a_backup_for_which_there_is_no_room_leaves_nothing(node: Node, tmp_path: Path) -> None:
    target = tmp_path / "backups"
    target.mkdir()
    told = ["4096,60000,170000", "backup", str(target / "b.tar")]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *told, "--data", str(node.settings.data)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(done.stdout.split()) <= {"1", "2"}
    assert [line[:6] for line in done.stderr.splitlines()] == ["bcca: "] * 3
    assert "mistake in bcca" not in done.stderr
    assert list(target.iterdir()) == []


def blamed(error: BaseException, kind: type[DatabaseError]) -> BccaError | None:
    return engines.blame(kind("INSERT", {}, error), "database x")


def test_a_full_sqlite_file_says_what_to_do() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as e:
            connection.execute("INSERT INTO t VALUES (zeroblob(99999))")

    error = blamed(e.value, OperationalError)

    assert isinstance(error, UnavailableError)
    assert str(error) == (
        "database x: database or disk is full; nothing of this was written: make room, "
        "and do it again"
    )


@pytest.mark.parametrize(
    ("error", "kind", "expected", "advice"),
    [
        (psycopg.errors.DiskFull("no space"), OperationalError, UnavailableError, "make room"),
        (psycopg.errors.LockNotAvailable("x"), OperationalError, UnavailableError, "try again"),
        (
            psycopg.errors.ReadOnlySqlTransaction("x"),
            InternalError,
            UnavailableError,
            "write there",
        ),
        (psycopg.errors.DataCorrupted("x"), InternalError, UnusableError, "from a backup"),
        (psycopg.errors.AdminShutdown("x\ny"), OperationalError, UnavailableError, "x y"),
    ],
)
def test_what_a_server_reports_is_one_sentence_with_what_to_do(
    error: psycopg.Error, kind: type[DatabaseError], expected: type[BccaError], advice: str
) -> None:
    said = blamed(error, kind)

    assert type(said) is expected
    assert advice in str(said)
    assert "\n" not in str(said)


def test_a_mistake_of_the_program_is_not_blamed_on_the_database() -> None:
    assert blamed(psycopg.errors.UndefinedColumn("x"), DatabaseError) is None
