"""Kept runs: numbered or named, once each, frozen for good, and in every backup."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, func, select

from bcca_node.storage import runs, transfer
from bcca_node.storage.database import Database
from bcca_node.storage.runs import NewRun, RunContentRow, StoredRun
from bcca_protocol.errors import UnusableError


@pytest.fixture
def session() -> Iterator[Session]:
    with closing(Database("sqlite://")) as database, database.write() as writing:
        yield writing


def kept(
    session: Session, name: str | None = None, content: bytes = b"1", **more: Any
) -> StoredRun:
    told: dict[str, Any] = {
        "product": "urn:P",
        "at": 1,
        "total": "18",
        "incomplete": False,
        "commitment": None,
    }
    return runs.put(session, NewRun(name=name, content=content, **(told | more)))


def contents(session: Session) -> int:
    return int(session.exec(select(func.count(col(RunContentRow.digest)))).one())


def test_a_run_without_a_name_has_its_number(session: Session) -> None:
    names = [kept(session, name).name for name in (None, "draft", None)]

    assert names == ["1", "draft", "3"]
    assert [each.number for each in runs.every(session)] == [1, 2, 3]


def test_what_is_alike_is_kept_once(session: Session) -> None:
    first, second = kept(session), kept(session)

    assert contents(session) == 1
    assert runs.content(session, first) == runs.content(session, second) == b"1"


def test_a_name_goes_to_the_newest_and_what_nobody_needs_goes_too(session: Session) -> None:
    kept(session, "draft", b"old")
    kept(session, "draft", b"new")

    assert [(each.name, each.number) for each in runs.every(session)] == [("draft", 2)]
    assert contents(session) == 1


def freeze_again(session: Session) -> None:
    runs.freeze(session, "draft", "2027")


REFUSED: dict[str, Callable[[Session], object]] = {
    "overwritten": lambda session: kept(session, "draft", b"other"),
    "renamed": lambda session: runs.rename(session, "draft", "new"),
    "renamed over": lambda session: runs.rename(session, "other", "draft"),
    "removed": lambda session: runs.remove(session, "draft"),
    "frozen for another year": freeze_again,
    "frozen beside": lambda session: runs.freeze(session, "other", "2026"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_frozen_run_cannot_be(what: str, session: Session) -> None:
    kept(session, "draft", b"frozen")
    kept(session, "other", b"free")
    runs.freeze(session, "draft", "2026")
    before = [*runs.every(session)]

    with pytest.raises(UnusableError, match="frozen for 2026"):
        REFUSED[what](session)

    assert runs.every(session) == before
    assert runs.content(session, before[0]) == b"frozen"


def test_freezing_twice_for_the_same_year_is_once(session: Session) -> None:
    kept(session, "draft")

    assert runs.freeze(session, "draft", "2026") == runs.freeze(session, "draft", "2026")


def test_another_product_has_a_model_year_of_its_own(session: Session) -> None:
    kept(session, "a")
    kept(session, "b", product="urn:Q")
    years = [runs.freeze(session, name, "2026").year for name in ("a", "b")]

    assert years == ["2026", "2026"]


def test_a_run_that_is_forgotten_leaves_what_others_are_made_of(session: Session) -> None:
    kept(session, "a")
    kept(session, "b")
    runs.remove(session, "a")
    left = contents(session)
    runs.remove(session, "b")

    assert (left, contents(session)) == (1, 0)


def test_a_backup_has_every_run_and_its_freeze(tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    with closing(Database("sqlite://")) as database:
        with database.write() as session:
            kept(session, "draft", b"what it was made of")
            frozen = runs.freeze(session, "draft", "2026")
        with database.read() as session:
            transfer.write_copy(session, path)
    transfer.require_copy(path)

    with closing(Database(f"sqlite:///{path}")) as copy, copy.read() as session:
        assert runs.every(session) == [frozen]
        assert runs.content(session, frozen) == b"what it was made of"
