"""`bcca backup` and `bcca restore`, as somebody types them."""

from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bcca_node.ledger.node import Node
from bcca_node.settings import Settings


@pytest.fixture
def file(desk: Any, node: Node) -> Path:
    path: Path = desk.folder / "backup.tar"
    assert desk.bcca("backup", path, data=node).status == 0
    return path


def test_a_node_is_backed_up_and_put_back_without_its_passphrase(
    desk: Any, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BCCA_PASSPHRASE")
    path = desk.folder / "b.tar"

    backed = desk.bcca("backup", path, "--json", data=node)
    restored = desk.bcca("restore", path, "--json", data=desk.folder / "again")

    digest = sha256(path.read_bytes()).hexdigest()
    assert (backed.status, restored.status) == (0, 0)
    assert backed.json == {
        "file": str(path),
        "origin": node.origin,
        "size": 6,
        "made": backed.json["made"],
        "sha256": digest,
    }
    assert restored.json == {
        "data": str(desk.folder / "again"),
        "origin": node.origin,
        "size": 6,
        "made": backed.json["made"],
        "sha256": digest,
    }
    assert desk.snapshot(desk.folder / "again").keys() == desk.snapshot(node).keys()


def test_what_was_done_is_said_in_words(desk: Any, node: Node) -> None:
    backed = desk.bcca("backup", desk.folder / "b.tar", data=node)
    restored = desk.bcca("restore", desk.folder / "b.tar", data=desk.folder / "again")

    assert f"{node.origin} with a log of 6 entries, as of 20" in backed.out
    assert "Its SHA-256 is " in backed.out
    assert f"{node.origin} is restored in {desk.folder / 'again'}" in restored.out
    assert "its witnesses are asked whether they have seen a longer log" in restored.out


def test_a_restored_node_is_well(desk: Any, file: Path) -> None:
    desk.bcca("restore", file, data=desk.folder / "again")

    found = desk.bcca("doctor", "--json", data=desk.folder / "again").json["findings"]
    wrong = {each["about"] for each in found if each["wrong"]}
    assert "database" not in wrong
    assert "keys" not in wrong


def test_a_node_is_restored_into_a_server_that_the_environment_names(
    desk: Any,
    file: Path,
    postgresql: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BCCA_DATABASE", postgresql())
    ran = desk.bcca("restore", file, data=desk.folder / "again")

    assert ran.status == 0
    assert not (desk.folder / "again" / "node.db").exists()
    with closing(Node.open(Settings.load(desk.folder / "again"))) as again:
        assert again.database.name.startswith("postgresql://")
    assert desk.bcca("restore", file, data=desk.folder / "more").refusal.endswith(
        "holds a log already: name another with --database\n"
    )


def test_the_password_of_a_server_is_shown_to_nobody(desk: Any, node: Node, file: Path) -> None:
    url = "postgresql://me:hush@127.0.0.1:1/x"
    ran = desk.bcca("restore", file, "--database", url, data=desk.folder / "again")

    assert ran.status == 1
    assert "hush" not in ran.refusal
    assert "postgresql://me:***@127.0.0.1:1/x" in ran.refusal
    assert not (desk.folder / "again").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("backup", "{file}"), "is there already: name another, backups are not overwritten"),
        (("backup", "{folder}/no/where.tar"), "no is no folder: make it, or name another"),
    ],
)
def test_where_no_backup_can_be_written_one_sentence_says_why(
    desk: Any, node: Node, file: Path, arguments: tuple[str, ...], said: str
) -> None:
    told = [each.format(file=file, folder=desk.folder) for each in arguments]
    ran = desk.bcca(*told, data=node)

    assert ran.status == 2
    assert said in ran.refusal


def test_a_node_is_not_restored_over_another(desk: Any, node: Node, file: Path) -> None:
    before = desk.snapshot(node)
    ran = desk.bcca("restore", file, data=node)

    assert ran.status == 2
    assert "name an empty folder, a backup replaces nothing" in ran.refusal
    assert desk.snapshot(node) == before


def test_what_is_no_backup_is_refused_in_one_sentence(desk: Any) -> None:
    for content in (b"", b"text", bytes(10240)):
        (desk.folder / "no.tar").write_bytes(content)
        ran = desk.bcca("restore", desk.folder / "no.tar", data=desk.folder / "again")

        assert ran.status == 2
        assert "this is no backup" in ran.refusal
        assert not (desk.folder / "again").exists()
    ran = desk.bcca("restore", desk.folder, data=desk.folder / "again")
    assert "cannot be read" in ran.refusal
