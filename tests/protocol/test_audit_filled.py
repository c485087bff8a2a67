"""Bundles that withhold something of roll-ups with substitutes, leaves, a cut-off (SPEC 11.6)."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, footprint
from bcca_protocol.bundle import StatementLine, Withheld
from bcca_protocol.errors import StatementError
from bcca_protocol.results import Substitute
from bcca_protocol.rules import cut_off_at, neutral
from bcca_protocol.statement import FootprintRollUp


@pytest.fixture
def pack(chain: Any, per: Any) -> Any:
    """A pack of cell of foil; salt, that foil and cell buy, has a value in its place."""
    for name in ("salt", "foil"):
        chain.maker(name)
    chain.sells("foil", "1", chain.buys("salt", "1"))
    chain.sells("cell", "4", chain.buys("foil", "2"), chain.buys("salt", "3"))
    chain.sells("pack", "1", chain.buys("cell", "5"))
    chain.stand_ins = lambda _, bought: (
        Substitute(per("0.5"), "silent") if bought.product == "urn:test:salt" else None
    )
    return chain


def audited(chain: Any, rolled: FootprintRollUp, *hide: str) -> Any:
    """Audit a bundle of a roll-up that withholds what these makers entered first."""
    header, body = chain.evidence(rolled)
    lines = []
    for name in hide:
        company = chain.maker(name)
        envelope = company.envelopes[0]
        (fact,) = (e.fact for e in (*chain.facts(), *chain.leaves()) if e.fact.name == name)
        index = str(company.index_of(envelope))
        lines.append(Withheld(fact.commitment, company.origin, "not for you", index))
    gone = {(line.origin, line.index) for line in lines}
    left = [
        item
        for item in body
        if not (isinstance(item, StatementLine) and (item.origin, item.index) in gone)
    ]
    return audit.audit(chain.sealed(header, [*left, *lines]), chain.policy)


def weighed(rolled: FootprintRollUp, **fields: str) -> FootprintRollUp:
    weights = msgspec.structs.replace(rolled.weights, **fields)
    return msgspec.structs.replace(rolled, weights=weights)


def test_what_stands_in_upstream_of_something_withheld_is_the_makers_claim(pack: Any) -> None:
    rolled = pack.rolled_up("pack")
    report = audited(pack, rolled, "foil")

    # the pack's 1, the cell's 4 and its salt; 10 kg of foil with their salt are claimed
    assert footprint.total(report.recomputed) == Decimal("28.5")
    assert footprint.total(report.claimed) == 15
    assert sum(each.startswith("not signed") for each in report.unverified) == 2


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"default": "7"}, r"weights\.default is stated as 7, what is here has 7\.5"),
        ({"signed": "37"}, r"weights\.signed is stated as 37 of 43\.5: 6\.5 unsigned"),
        ({"signed": "20"}, r"weights\.signed is stated as 20, what is here has 21"),
        ({"default": "13"}, r"weights\.default is stated as 13, where 12\.5 kg are not signed"),
    ],
)
def test_weights_of_what_stands_in_that_cannot_be_are_refused_behind_something_withheld(
    pack: Any, fields: dict[str, str], named: str
) -> None:
    with pytest.raises(StatementError, match=named):
        audited(pack, weighed(pack.rolled_up("pack"), **fields), "foil")


def test_a_cumulative_footprint_may_be_withheld(pack: Any) -> None:
    pack.publish(pack.rolled_up("foil"))
    foil = pack.maker("foil")
    foil.envelopes[:] = foil.envelopes[-1:]
    report = audited(pack, pack.rolled_up("pack"), "foil")

    assert footprint.total(report.recomputed) == Decimal("28.5")
    assert report.incomplete


def test_behind_something_withheld_nobody_can_tell_what_was_cut_off(pack: Any) -> None:
    pack.rules = cut_off_at(neutral(), "5")
    rolled = pack.rolled_up("pack")
    report = audited(pack, rolled, "foil")

    assert report.recomputed == {}
    assert footprint.total(report.claimed) == report.total == Decimal("42.5")


def test_the_edges_of_what_is_here_are_checked_though_lines_were_cut_off(pack: Any) -> None:
    pack.rules = cut_off_at(neutral(), "5")
    rolled = pack.rolled_up("pack")
    edges = tuple(
        msgspec.structs.replace(edge, amount="1") if edge.line == "cell" else edge
        for edge in rolled.manifest or ()
    )

    with pytest.raises(StatementError, match="the amount is stated as 1, what is here needs 5"):
        audited(pack, msgspec.structs.replace(rolled, manifest=edges), "foil")
