"""A whole chain on PostgreSQL: every company, witness and pack maker keeps its tables there."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from bcca_node.ledger.node import Node
from bcca_node.settings import Settings


@pytest.fixture
def all_of_them(
    served: Callable[..., Node], policy_of: Callable[..., str], postgresql: Callable[[], str]
) -> list[Node]:
    """A supplier, a pack maker, and four witnesses, three of them a quorum."""
    names = ("cathode.example/bcca", "pack.example/bcca", "w0", "w1", "w2", "w3")
    nodes = [served(name, database=postgresql()) for name in names]
    for each in nodes:
        policy = policy_of(nodes[:2], nodes[2:], 3)
        (each.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    return nodes


def test_a_chain_works_on_postgresql_as_it_does_on_sqlite(
    desk: Any, all_of_them: list[Node]
) -> None:
    supplier, pack, *_ = all_of_them
    desk.published(supplier, desk.part(supplier.origin, "C1", kg=4))
    buys = (desk.bought("C1", supplier),)
    imported = desk.bcca("import", desk.written(desk.part(pack.origin, "P1", buys=buys)), data=pack)
    published = desk.bcca("publish", data=pack)
    first = desk.bcca("aggregate", "P1", "--json", data=pack)
    again = desk.bcca("aggregate", "P1", "--json", data=pack)
    explained = desk.bcca("explain", "P1", data=pack)
    bundled = desk.bcca("bundle", "P1", "-o", desk.folder / "b.bcca.jsonl", data=pack)
    exported = desk.bcca("log", "export", desk.folder / "log", data=pack)
    listed = desk.bcca("log", "status", "--json", data=pack)
    corrected = desk.bcca("doctor", "--json", data=pack)

    ran = (imported, published, first, again, explained, bundled, exported, listed)
    assert [each.status for each in ran] == [0] * len(ran), [each.err for each in ran]
    assert (first.json["total"], again.json["total"]) == ("18", "18")
    assert not (pack.settings.data / "node.db").exists()
    wrong = {each["about"] for each in corrected.json["findings"] if each["wrong"]}
    assert "database" not in wrong


def test_a_node_on_postgresql_is_backed_up_and_put_back_as_sqlite(
    desk: Any, all_of_them: list[Node]
) -> None:
    supplier = all_of_them[0]
    desk.published(supplier, desk.part(supplier.origin, "C1", kg=4))
    url = f"sqlite:///{desk.folder / 'again.db'}"
    backed = desk.bcca("backup", desk.folder / "b.tar", data=supplier)
    put_back = desk.bcca(
        "restore", desk.folder / "b.tar", "--database", url, data=desk.folder / "again"
    )
    listed = desk.bcca("log", "export", desk.folder / "log", data=desk.folder / "again")

    assert (backed.status, put_back.status, listed.status) == (0, 0, 0)
    assert "the log of cathode.example/bcca with 7 entries" in listed.out
    with closing(Node.open(Settings.load(desk.folder / "again"))) as again:
        assert again.database.name == url
