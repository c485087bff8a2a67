"""A node in one file: taken at one instant, put back whole, and nothing hostile gets out of it."""

import io
import os
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from bcca_node.ledger import archive, checkup
from bcca_node.ledger.archive import Manifest
from bcca_node.ledger.backup import BackedUp, backup
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.restore import restore
from bcca_node.settings import Settings
from bcca_node.storage import heads, logs, statements, transfer
from bcca_node.storage.database import Database
from bcca_node.storage.statements import Draft
from bcca_node.storage.tables import SCHEMA_VERSION
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import LimitError, MalformedError, UnusableError
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.wire import encode

NAMES = ["settings.toml", "keys.json", "policy.txt", "node.db"]
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - what `new_node` gives its keys


@pytest.fixture
def full(node: Node, part: Callable[..., PartialFootprint]) -> Node:
    """A node with statements, a draft, a head of a stranger and a policy."""
    fill(node, part)
    return node


def fill(node: Node, part: Callable[..., PartialFootprint]) -> None:
    publish(node, [part(node.origin, f"P{index}") for index in range(3)])
    with node.database.write() as session:
        statements.put_drafts(session, [Draft(id="d", product="p", kind="k", predicate=b"{}")])
        seen = Checkpoint(origin="mine.example", size=2**60, root=bytes(32))
        heads.keep(session, seen, "mine.example+key", "note")
    (node.settings.data / "policy.txt").write_text("quorum none\n", encoding="utf-8")


@pytest.fixture
def file(full: Node, tmp_path: Path) -> Path:
    path = tmp_path / "backup.tar"
    backup(full, path)
    return path


def put_back(file: Path, data: Path, database: str | None = None) -> BackedUp:
    return restore(file, data, environment={}, database=database)


def opened(data: Path, passphrase: str | None = None) -> Node:
    return Node.open(Settings.load(data, {}), passphrase)


def rows_of(database: Database) -> dict[str, list[str]]:
    """Return every row of every table but the marks of a restore."""
    said: dict[str, list[str]] = {}
    with database.read() as session:
        for table, batch in transfer.rows(session):
            if table.name not in {"restored", "forgotten"}:
                said.setdefault(table.name, []).extend(map(repr, batch))
    return {name: sorted(rows) for name, rows in said.items()}


def test_a_restored_node_has_all_that_it_had(full: Node, file: Path, tmp_path: Path) -> None:
    told = put_back(file, tmp_path / "again")

    with closing(opened(tmp_path / "again", PASSPHRASE)) as again:
        assert rows_of(again.database) == rows_of(full.database)
        assert again.keys.secret == full.keys.secret
        assert list(checkup.problems(again)) == []
        with again.database.read() as session:
            assert (told.origin, told.size) == (full.origin, logs.size(session))
    for name in ("settings.toml", "keys.json", "policy.txt"):
        then = (full.settings.data / name).read_bytes()
        assert (tmp_path / "again" / name).read_bytes() == then
    assert not (tmp_path / "again" / ".restoring").exists()


def test_a_restored_node_knows_that_it_is_one(full: Node, file: Path, tmp_path: Path) -> None:
    put_back(file, tmp_path / "again")

    with closing(opened(tmp_path / "again")) as again, again.database.read() as session:
        assert logs.restored(session)
    with full.database.read() as session:
        assert not logs.restored(session)


def test_a_backup_that_was_unpacked_by_hand_knows_that_it_is_one(
    file: Path, tmp_path: Path
) -> None:
    with tarfile.open(file) as unpacked:
        unpacked.extractall(tmp_path / "by-hand", filter="data")

    with closing(opened(tmp_path / "by-hand")) as again, again.database.read() as session:
        assert logs.restored(session)


def test_only_its_owner_can_read_a_backup_and_what_comes_out_of_it(
    file: Path, tmp_path: Path
) -> None:
    put_back(file, tmp_path / "again")

    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in (file, tmp_path / "again")}
    assert modes == {file: 0o600, tmp_path / "again": 0o700}
    assert stat.S_IMODE((tmp_path / "again" / "keys.json").stat().st_mode) == 0o600


def test_end_notes_are_kept_in_the_order_of_their_names(file: Path, tmp_path: Path) -> None:
    folder = fresh(tmp_path / "look")
    with file.open("rb") as whole:
        archive.unpack(whole, folder)
    (folder / "ended").mkdir()
    for name in ("b.txt", "a.txt"):
        (folder / "ended" / name).write_text(name, encoding="utf-8")
    names = [*NAMES[:3], "ended/a.txt", "ended/b.txt", NAMES[3]]
    packed(folder, names, tmp_path / "notes.tar")

    with (tmp_path / "notes.tar").open("rb") as whole:
        archive.unpack(whole, fresh(tmp_path / "again"))
    assert (tmp_path / "again" / "ended" / "b.txt").read_text() == "b.txt"


def test_a_backup_taken_while_others_publish_is_one_moment(
    new_node: Callable[..., Node],
    new_url: Callable[[], str],
    part: Callable[..., PartialFootprint],
    tmp_path: Path,
) -> None:
    node = new_node(database=new_url())
    stop = threading.Event()
    numbers = iter(range(10_000))

    def go_on() -> None:
        while not stop.is_set():
            publish(node, [part(node.origin, f"P{next(numbers)}") for _ in range(3)])

    writers = [threading.Thread(target=go_on) for _ in range(2)]
    for each in writers:
        each.start()
    try:
        made = [backup(node, tmp_path / f"{number}.tar") for number in range(3)]
    finally:
        stop.set()
        for each in writers:
            each.join()

    sizes = []
    for number, told in enumerate(made):
        database = f"sqlite:///{tmp_path}/restored{number}.db"
        assert put_back(tmp_path / f"{number}.tar", tmp_path / str(number), database) == told
        with closing(opened(tmp_path / str(number))) as again:
            assert list(checkup.problems(again)) == []
            with again.database.read() as session:
                sizes.append(logs.size(session))
                assert len(statements.page(session, 0, 10_000)) == min(256, sizes[-1] - 6)
    assert sizes == [each.size for each in made]
    assert sizes == sorted(sizes)


def test_a_node_moves_from_one_kind_of_database_to_another(
    full: Node, file: Path, new_url: Callable[[], str], tmp_path: Path
) -> None:
    url = new_url()
    put_back(file, tmp_path / "moved", url)

    with closing(opened(tmp_path / "moved")) as moved:
        assert moved.settings.database == url
        assert rows_of(moved.database) == rows_of(full.database)
        backup(moved, tmp_path / "of-the-moved.tar")
    put_back(tmp_path / "of-the-moved.tar", tmp_path / "back", f"sqlite:///{tmp_path}/back.db")
    with closing(opened(tmp_path / "back")) as back:
        assert rows_of(back.database) == rows_of(full.database)


def test_a_database_with_a_log_is_not_written_into(
    file: Path, new_node: Callable[..., Node], new_url: Callable[[], str], tmp_path: Path
) -> None:
    other = new_node("other.example", database=new_url())
    before = rows_of(other.database)

    with pytest.raises(UnusableError, match="holds a log already: name another with --database"):
        put_back(file, tmp_path / "again", other.settings.database)

    assert rows_of(other.database) == before
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("name", ["settings.toml", "keys.json", "node.db", "anything", "a/b"])
def test_a_folder_with_anything_in_it_is_not_written_into(
    file: Path, tmp_path: Path, name: str
) -> None:
    data = tmp_path / "taken"
    (data / name).parent.mkdir(parents=True)
    (data / name).write_text("mine", encoding="utf-8")

    with pytest.raises(UnusableError, match="is there already: name an empty folder"):
        put_back(file, data)

    assert [each.read_text() for each in data.rglob("*") if each.is_file()] == ["mine"]


def test_an_empty_folder_and_what_a_killed_restore_left_are_taken(
    file: Path, tmp_path: Path
) -> None:
    data = tmp_path / "again"
    (data / ".restoring" / "ended").mkdir(parents=True)
    (data / ".restoring" / "node.db").write_bytes(b"half of it")
    put_back(file, data)

    with closing(opened(data)) as again:
        assert list(checkup.problems(again)) == []


def at_once(*work: Callable[[], object]) -> tuple[list[object], list[str]]:
    """Do all of this at the same time; return what was done, and how the rest was refused."""
    done: list[object] = []
    why: list[str] = []

    def one(each: Callable[[], object]) -> None:
        try:
            done.append(each())
        except UnusableError as error:
            why.append(str(error))

    threads = [threading.Thread(target=one, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done, why


@pytest.mark.parametrize("exists", [True, False], ids=["a folder", "no folder"])
def test_of_restores_into_one_folder_at_the_same_time_one_is_done_and_stays(
    file: Path, tmp_path: Path, *, exists: bool
) -> None:
    data = tmp_path / "again"
    if exists:
        data.mkdir()

    done, why = at_once(*[lambda: put_back(file, data)] * 4)

    assert len(done) == 1
    assert ["is there already: name an empty folder" in each for each in why] == [True] * 3
    with closing(opened(data, PASSPHRASE)) as again:
        assert list(checkup.problems(again)) == []
    assert not (data / ".restoring").exists()


def test_of_restores_into_one_database_at_the_same_time_one_is_done_and_stays(
    file: Path, new_url: Callable[[], str], tmp_path: Path
) -> None:
    url = new_url()
    folders = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]

    done, why = at_once(*[lambda data=data: put_back(file, data, url) for data in folders])

    assert len(done) == 1
    assert ["holds a log already" in each for each in why] == [True] * 2
    (there,) = (each for each in folders if each.exists())
    with closing(opened(there)) as again:
        assert list(checkup.problems(again)) == []


def test_a_restore_that_is_refused_takes_away_only_what_it_brought(
    file: Path, tmp_path: Path
) -> None:
    cut, data, pipe = file.read_bytes()[:-1], tmp_path / "again", tmp_path / "pipe.tar"
    data.mkdir()
    os.mkfifo(pipe)

    def meanwhile() -> None:
        with pipe.open("wb") as told:  # waits for the restore, which has its place by then
            assert (data / ".restoring").exists()
            (data / "mine.txt").write_text("mine", encoding="utf-8")
            told.write(cut)

    thread = threading.Thread(target=meanwhile)
    thread.start()
    with pytest.raises(UnusableError, match=r"its end is missing.*nothing was restored"):
        put_back(pipe, data)
    thread.join()

    assert [each.name for each in data.iterdir()] == ["mine.txt"]


def test_another_account_cannot_read_what_was_restored_into_a_folder_that_was_open_to_it(
    file: Path, tmp_path: Path
) -> None:
    data = tmp_path / "again"
    data.mkdir()
    data.chmod(0o755)
    put_back(file, data, f"sqlite:///{data}/node.db")

    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (data, *data.iterdir())}
    assert modes == {"again": 0o700, **dict.fromkeys(NAMES, 0o600)}


def test_a_file_that_is_there_is_not_overwritten(full: Node, tmp_path: Path) -> None:
    (tmp_path / "old.tar").write_text("last week", encoding="utf-8")

    with pytest.raises(UnusableError, match=r"old\.tar is there already: name another"):
        backup(full, tmp_path / "old.tar")

    assert (tmp_path / "old.tar").read_text() == "last week"


def test_a_log_that_does_not_hold_together_is_not_backed_up(full: Node, tmp_path: Path) -> None:
    with closing(sqlite3.connect(full.settings.data / "node.db")) as database:
        database.execute("UPDATE tile SET hashes = zeroblob(length(hashes)) WHERE level = 0")
        database.commit()

    with pytest.raises(UnusableError, match="does not hold together: tile/0/000"):
        backup(full, tmp_path / "broken.tar")

    left = [each.name for each in tmp_path.iterdir()]
    assert left == [full.settings.data.name]


# ---- what an attacker does to a backup ------------------------------------------------------


def refused(file: Path, tmp_path: Path, match: str) -> None:
    """Try to restore `file`; it is refused, and nothing of it is left."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnusableError, match=match) as e:
        put_back(file, tmp_path / "again")
    assert "\n" not in str(e.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_backup_cut_off_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    cut = tmp_path / "cut.tar"
    for length in (0, 1, 511, 512, 513, 1024, *range(2000, len(whole), 9973), len(whole) - 1):
        cut.write_bytes(whole[:length])
        refused(cut, tmp_path, "; nothing was restored")


def test_a_backup_altered_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    altered = tmp_path / "altered.tar"
    made = range(whole.index(b'"made"'), whole.index(b'"members"'))  # a date, which proves nothing
    places = {*range(0, 4096, 61), *range(4096, len(whole), 3989), len(whole) - 1}
    for at in places - set(made):
        altered.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        refused(altered, tmp_path, "; nothing was restored")


@pytest.mark.parametrize("behind", [b"\0", b"x", bytes(512), bytes(10240)])
def test_a_backup_with_something_behind_its_end_is_refused(
    file: Path, tmp_path: Path, behind: bytes
) -> None:
    file.write_bytes(file.read_bytes() + behind)

    refused(file, tmp_path, "its end is missing, or something stands behind it")


@pytest.mark.parametrize(
    "content", [b"", b"no tar at all" * 100, bytes(20480), b"\x1f\x8b" + bytes(1024)]
)
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "no.tar").write_bytes(content)

    refused(tmp_path / "no.tar", tmp_path, "this is no backup")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.tar", tmp_path, r"cannot be read: .*; nothing was restored")


def packed(folder: Path, names: list[str], path: Path, **other: str) -> Path:
    """Write an archive of these files, its manifest fitting, as somebody with our program would."""
    members = []
    for name in names:
        with (folder / name).open("rb") as content:
            members.append(archive.member(name, content))
    usual = {"origin": "cathode.example/bcca", "root": "", "size": "9"}
    told = {**usual, "schema": str(SCHEMA_VERSION), **other}
    manifest = Manifest(
        format="bcca/v1 backup", made="2026-01-01T00:00:00Z", members=tuple(members), **told
    )
    path.write_bytes(b"".join(archive.pieces(manifest, folder)))
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../outside.txt",
        "/etc/outside",
        "ended/../../outside.txt",
        "ended/.hidden.txt",
        "ended/a/b.txt",
        "ended/a.md",
        "ended/" + "a" * 90 + ".txt",
        "ended/\u202egpj.txt",
        "node.db-wal",
        "keys.json",
    ],
)
def test_a_name_that_is_no_file_of_a_node_is_refused_before_anything_is_written(
    file: Path, tmp_path: Path, name: str
) -> None:
    with file.open("rb") as whole:
        manifest = archive.unpack(whole, fresh(tmp_path / "look"))
    extra = structs.replace(manifest.members[0], name=name)
    hostile = structs.replace(manifest, members=(*manifest.members[:3], extra, manifest.members[3]))
    written = tarred({"manifest.json": encode(hostile), name: b"x"}, tmp_path / "hostile.tar")

    refused(written, tmp_path, r"manifest\.json: .*; nothing was restored")


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


def tarred(files: dict[str, bytes], path: Path, kind: bytes = tarfile.REGTYPE) -> Path:
    """Write a tar archive as any tar does."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as made:
        for name, content in files.items():
            told = tarfile.TarInfo(name)
            told.size, told.mode = len(content), 0o600
            if name != "manifest.json":
                told.type, told.linkname = kind, "/etc/passwd"
            made.addfile(told, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_a_link_or_device_in_the_place_of_a_file_is_refused(
    file: Path, tmp_path: Path, kind: bytes
) -> None:
    folder = fresh(tmp_path / "look")
    with file.open("rb") as whole:
        manifest = archive.unpack(whole, folder)
    files = {each.name: (folder / each.name).read_bytes() for each in manifest.members}
    hostile = tarred({"manifest.json": encode(manifest), **files}, tmp_path / "hostile.tar", kind)

    refused(hostile, tmp_path, "settings.toml: what stands before it is not its header")


def test_a_file_of_a_size_beyond_every_disk_is_refused(file: Path, tmp_path: Path) -> None:
    with file.open("rb") as whole:
        manifest = archive.unpack(whole, fresh(tmp_path / "look"))
    for number, (index, size, match) in enumerate(
        [(0, 10**18, "at most 1048576"), (3, 10**18, "at most 1099511627776"), (3, 10**11, "cut")]
    ):
        members = list(manifest.members)
        members[index] = structs.replace(members[index], size=str(size))
        hostile = structs.replace(manifest, members=tuple(members))
        path = tmp_path / f"hostile{number}.tar"
        content = encode(hostile)
        path.write_bytes(
            header("manifest.json", len(content))
            + content
            + bytes(-len(content) % 512)
            + rest(file, manifest, index, size)
        )
        refused(path, tmp_path, match)


def header(name: str, size: int) -> bytes:
    told = tarfile.TarInfo(name)
    told.size, told.mode = size, 0o600
    return told.tobuf(tarfile.GNU_FORMAT)


def rest(file: Path, manifest: Manifest, index: int, size: int) -> bytes:
    """Return what stands behind the manifest, with another size at one member."""
    with tarfile.open(file) as read:
        start = read.getmembers()[1].offset
        at = read.getmembers()[index + 1].offset
    whole = file.read_bytes()
    name = manifest.members[index].name
    return whole[start:at] + header(name, size) + whole[at + 512 :]


def test_an_endless_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "endless.tar").write_bytes(header("manifest.json", 10**12) + b" " * 4096)

    refused(tmp_path / "endless.tar", tmp_path, "where at most 1048576 are read")


def hostile_database(file: Path, tmp_path: Path, script: str, **other: str) -> Path:
    """Return the backup with another database in it, its manifest fitting."""
    folder = fresh(tmp_path / "look")
    with file.open("rb") as whole:
        manifest = archive.unpack(whole, folder)
    with closing(sqlite3.connect(folder / "node.db")) as database:
        database.executescript(script)
    told = {"origin": manifest.origin, "root": manifest.root, "size": manifest.size, **other}
    return packed(folder, NAMES, tmp_path / "hostile.tar", **told)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry; END",
        "DROP TABLE entry; CREATE VIEW entry AS WITH RECURSIVE c(x) AS "
        "(SELECT 1 UNION ALL SELECT x FROM c) SELECT x AS 'index', x AS line FROM c",
        "CREATE TABLE more (x)",
        "DROP TABLE schema_version",
        "DROP INDEX ix_statement_product",
        "ALTER TABLE entry ADD COLUMN more",
    ],
)
def test_a_database_of_another_form_is_refused_before_it_is_asked_anything(
    file: Path, tmp_path: Path, script: str
) -> None:
    refused(
        hostile_database(file, tmp_path, script),
        tmp_path,
        "node.db: its tables are not those of this version",
    )


@pytest.mark.parametrize(
    ("script", "match"),
    [
        ("UPDATE entry SET line = x'00'", "9 rows of entry hold what no column of it holds"),
        ("UPDATE tile SET hashes = 'text'", "1 rows of tile hold what"),
        ("UPDATE statement SET ended = 'never'", "3 rows of statement hold what"),
        ("UPDATE entry SET line = line || 'x' WHERE \"index\" = 7", "does not hold together"),
        ('DELETE FROM entry WHERE "index" = 8', "does not hold together"),
        ("DELETE FROM entry", "does not hold together"),
        ("UPDATE checkpoint SET note = 'another'", "does not hold together"),
        ("UPDATE statement SET envelope = x'7b7d'", "does not hold together"),
    ],
)
def test_a_database_with_other_values_is_refused(
    file: Path, tmp_path: Path, script: str, match: str
) -> None:
    refused(hostile_database(file, tmp_path, script), tmp_path, match)


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"size": "8"}, "the manifest says cathode.example/bcca 8"),
        ({"root": ""}, "the manifest says cathode.example/bcca 9"),
        ({"origin": "other.example"}, "the manifest says other.example"),
        ({"schema": "6"}, "its tables have version 6, this program's 5"),
        ({"schema": "2.5"}, r"schema of manifest\.json: '2\.5' is not a whole number"),
        ({"schema": "-2"}, "'-2' is not a whole number"),
        ({"size": "9.5"}, "the manifest says cathode.example/bcca 9.5"),
    ],
)
def test_a_manifest_that_says_something_else_than_the_log_is_refused(
    file: Path, tmp_path: Path, other: dict[str, str], match: str
) -> None:
    refused(hostile_database(file, tmp_path, "SELECT 1", **other), tmp_path, match)


def test_the_database_of_one_node_with_the_keys_of_another_is_refused(
    file: Path, new_node: Callable[..., Node], tmp_path: Path
) -> None:
    other = new_node("other.example")
    folder = fresh(tmp_path / "look")
    with file.open("rb") as whole:
        archive.unpack(whole, folder)
    keys = (other.settings.data / "keys.json").read_bytes()
    (folder / "keys.json").write_bytes(keys)
    hostile = packed(folder, NAMES, tmp_path / "hostile.tar")

    refused(hostile, tmp_path, "the settings say cathode.example/bcca, the keys are other.example")


def test_files_of_no_node_are_not_packed(file: Path, tmp_path: Path) -> None:
    folder = fresh(tmp_path / "look")
    with file.open("rb") as whole:
        archive.unpack(whole, folder)
    (folder / "policy.txt").write_bytes(bytes(archive.MAX_TEXT_BYTES + 1))

    with pytest.raises(LimitError, match=r"policy\.txt: 1048577 bytes"):
        packed(folder, NAMES, tmp_path / "large.tar")
    with pytest.raises(MalformedError, match="is no file of a node"):
        packed(folder, NAMES[1:], tmp_path / "without-settings.tar")
