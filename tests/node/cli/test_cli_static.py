"""`bcca publish --static`: the same command that publishes shows it in a folder."""

from pathlib import Path
from typing import Any

import pytest

from bcca_node.ledger.node import Node


def said(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_what_is_published_is_shown_in_a_folder(desk: Any, chain: Any, tmp_path: Path) -> None:
    supplier, folder = chain.supplier, tmp_path / "public"
    desk.bcca("import", desk.written(desk.part(supplier.origin, "C1")), data=supplier)
    ran = desk.bcca("publish", "--static", folder, data=supplier)
    again = desk.bcca("publish", "--static", folder, "--json", data=supplier)

    commitment = ran.out.split()[1]
    assert (ran.status, again.status) == (0, 0)
    assert ran.out.splitlines()[1] == (
        f"{folder}: 7 entries of the log, 1 public statements, 1 products, 0 sealed files; "
        "8 files written"
    )
    assert (folder / "statements" / commitment).is_file()
    told = again.json["static"]
    assert told.pop("written") <= 1  # the checkpoint, if a second has passed
    assert told == {"size": 7, "statements": 1, "products": 1, "sealed": 0, "leftOut": []}


def test_published_again_only_the_times_of_the_witnesses_are_new(
    desk: Any, chain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supplier, folder = chain.supplier, tmp_path / "public"
    desk.published(supplier, desk.part(supplier.origin, "C1"))
    desk.bcca("publish", "--static", folder, data=supplier)
    before = said(folder)
    monkeypatch.delenv("BCCA_PASSPHRASE")  # nothing is signed
    desk.bcca("publish", "--static", folder, data=supplier)

    after = said(folder)
    assert {path for path in after if after[path] != before.get(path)} <= {"log/checkpoint"}
    assert after.keys() == before.keys()


def test_a_folder_of_something_else_is_refused_before_anything_is_signed(
    desk: Any, chain: Any, tmp_path: Path
) -> None:
    supplier = chain.supplier
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/beach.jpg").write_bytes(b"sand")
    desk.bcca("import", desk.written(desk.part(supplier.origin, "C1")), data=supplier)
    before = desk.snapshot(supplier)
    for folder in (tmp_path / "photos", tmp_path / "photos/beach.jpg", supplier.settings.data):
        ran = desk.bcca("publish", "--static", folder, data=supplier)

        assert ran.status == 2
        assert "name another" in ran.refusal
    assert desk.snapshot(supplier) == before
    assert said(tmp_path / "photos") == {"beach.jpg": b"sand"}


def test_where_nothing_is_published_no_folder_is_made(
    desk: Any, node: Node, tmp_path: Path
) -> None:
    ran = desk.bcca("publish", "--static", tmp_path / "public", "--json", data=node)

    assert (ran.status, ran.json["state"], ran.json["static"]) == (3, "pending", None)
    assert not (tmp_path / "public").exists()
