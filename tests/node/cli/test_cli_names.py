"""Whom a command means: the partner of that origin, whatever others call themselves."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bcca_node.cli.partner_names import called
from bcca_node.demo.sharing import partner_of
from bcca_node.ledger.node import Node
from bcca_node.storage import partners
from bcca_protocol.errors import UnusableError


@pytest.fixture
def known(new_node: Callable[..., Node]) -> Callable[..., Node]:
    """Return a node whose partners call themselves what they like."""
    node, template = new_node("supplier.example"), partner_of(new_node("x.example"))

    def make(**names: str) -> Node:
        with node.database.write() as session:
            for label, name in names.items():
                partners.put(session, replace(template, origin=f"{label}.example", name=name))
        return node

    return make


def test_an_origin_means_its_partner_though_another_has_it_for_a_name(
    known: Callable[..., Node],
) -> None:
    node = known(oem="Cars", evil="oem.example")

    assert called(node, "oem.example").origin == "oem.example"


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ("oem.example", "oem.example"),
        ("OEM.example", "oem.example"),
        ("oem.example", "oem\u200b.example"),
        ("Cars", "Cars"),
        ("cars", "\uff23\uff41\uff52\uff53"),
    ],
)
def test_attack_a_partner_calls_itself_by_the_origin_or_the_name_of_another(
    known: Callable[..., Node], named: str, name: str
) -> None:
    node = known(evil=name, cars="Cars")

    with pytest.raises(UnusableError, match="names choose nobody: write the origin") as refused:
        called(node, named)
    assert "evil.example (" in str(refused.value)
    assert "\u200b" not in str(refused.value)


def test_who_is_nobody_is_told_who_there_is(known: Callable[..., Node]) -> None:
    node = known(oem="Cars")

    with pytest.raises(
        UnusableError, match=r"'nobody\.example' is no partner: there is oem\.example"
    ):
        called(node, "nobody.example")
