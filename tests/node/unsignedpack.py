"""A pack maker whose supplier signed nothing, but sent a PACT footprint that may fill the gap."""

import dataclasses
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from tests.node.foreignwords import CELL, YEAR

from bcca_node.ledger.node import Node
from bcca_node.packmaker.unsignedrung import rung
from bcca_node.pact import intake
from bcca_protocol import own, partial
from bcca_protocol.choices import Choice, Chooser, Missing
from bcca_protocol.inventory import Factor, Input, Supplier
from bcca_protocol.partial import Bought, Part
from bcca_protocol.results import Substitute
from bcca_protocol.rules import RuleSet, neutral
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.substituted import Substituted, is_unsigned_footprint

KEY = "+01234567+" + "A" * 44
AT = 1_770_000_000


@dataclasses.dataclass(frozen=True)
class Maker:
    """A pack maker's node, and a pack that is made of 2 of a cell."""

    node: Node
    part: Callable[..., PartialFootprint]

    def came(self, footprint: bytes, partner: str = "pact:cells", *, accepted: str = "") -> None:
        with self.node.database.write() as session:
            kept = intake.take(self.node, session, partner, footprint, AT).footprint
            if accepted:
                intake.accept(session, kept, accepted, AT)

    def pack(self, *lines: dict[str, Any]) -> Part:
        inputs = tuple(
            Input(
                id=f"I{at}",
                product=line.get("product", CELL),
                supplier=supplier(line.get("origin", "cells.example")),
                amount=line.get("amount", "2"),
                unit=line.get("unit", "kg"),
                stages="keep",
            )
            for at, line in enumerate(lines or ({},))
        )
        stated = own.with_footprint(self.part("pack.example", "P1", buys=inputs))
        return partial.reduce(stated, "ab" * 32)

    def fed(
        self,
        *lines: dict[str, Any],
        choose: Chooser | None = None,
        rules: RuleSet | None = None,
        gwp: str = "AR6",
    ) -> Choice:
        """Return what feeds the first of some lines."""
        pack = replace(self.pack(*lines), gwp=gwp)
        found = rung(self.node, [pack], YEAR).over(choose or gap, rules or neutral())
        return found(pack, pack.bought[0])

    def why_not(self, *lines: dict[str, Any], **more: Any) -> str:
        found = self.fed(*lines, **more)
        assert isinstance(found, Missing)
        assert found.reason.startswith("no statement")
        return found.reason.removeprefix("no statement; ")

    def factor(self, *lines: dict[str, Any], **more: Any) -> Factor:
        return self.stated(*lines, **more).factor

    def stated(self, *lines: dict[str, Any], **more: Any) -> Substitute:
        found = self.fed(*lines, **more)
        assert isinstance(found, Substituted), found
        assert is_unsigned_footprint(found.stated)
        return found.stated


def supplier(origin: str) -> Supplier:
    return Supplier(origin=origin, key=origin + KEY)


def gap(_: Part, __: Bought) -> Missing:
    return Missing("no statement")
