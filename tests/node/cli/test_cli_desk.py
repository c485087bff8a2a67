"""`bcca publish` while the node serves: that process signs, and nobody asks for a passphrase."""

from typing import Any

import pytest

from bcca_node.app import desk as served_desk
from bcca_node.ledger.node import Node
from bcca_node.network.desk import is_open
from bcca_node.storage import statements


def test_drafts_are_published_without_a_passphrase_while_the_node_serves(
    desk: Any, chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = chain.supplier.origin
    parts = desk.part(origin, "C1"), desk.part(origin, "C2")
    desk.bcca("import", desk.written(*parts), data=chain.supplier)
    monkeypatch.delenv("BCCA_PASSPHRASE")
    closed = desk.bcca("publish", data=chain.supplier)
    with served_desk(chain.supplier):
        until_open(chain.supplier)
        ran = desk.bcca("publish", "--json", data=chain.supplier)

    assert closed.status == 2
    assert "passphrase is missing" in closed.refusal
    assert ran.status == 0
    assert ran.json["state"] == "published"
    assert [each["index"] for each in ran.json["statements"]] == [6, 7]
    assert drafts_of(chain.supplier) == []


def test_what_the_serving_process_refuses_is_one_sentence_and_the_drafts_stay(
    desk: Any, chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = chain.supplier.origin
    desk.published(chain.supplier, desk.part(origin))
    desk.bcca("import", desk.written(desk.part(origin, kg=9)), data=chain.supplier)
    monkeypatch.delenv("BCCA_PASSPHRASE")
    with served_desk(chain.supplier):
        until_open(chain.supplier)
        ran = desk.bcca("publish", data=chain.supplier)

    assert ran.status == 2
    assert "overlaps" in ran.refusal
    assert len(drafts_of(chain.supplier)) == 1


def test_asking_for_what_is_pending_needs_no_passphrase(
    desk: Any, chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.published(chain.supplier, desk.part(chain.supplier.origin))
    monkeypatch.delenv("BCCA_PASSPHRASE")
    ran = desk.bcca("publish", data=chain.supplier)

    assert (ran.status, ran.out) == (0, "")
    assert "published" in ran.err


def until_open(node: Node) -> None:
    while not is_open(node.settings.data):
        pass


def drafts_of(node: Node) -> list[statements.Draft]:
    with node.database.read() as session:
        return statements.drafts(session)
