"""A real pack whose suppliers keep their recipes, tier by tier: the total is the known one.

Whoever keeps its recipe shows no partial footprint: it runs the roll-up that the pack maker runs,
over the real network, and publishes what that comes to.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from sqlalchemy import text

from bcca_node.demo import roster, sharing, show
from bcca_node.demo.network import Ground, Member, Network
from bcca_node.ledger import mirror
from bcca_node.ledger.publish import publish
from bcca_node.ledger.sign import predicate_of
from bcca_node.ledger.witnessing import witness
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.packmaker.bundling import write_bundle
from bcca_node.packmaker.gather import gather
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.run import Run, roll_up
from bcca_node.packmaker.secrecy import Keeping
from bcca_node.storage import grants, statements
from bcca_node.storage.grants import Grant, Scope
from bcca_node.supplier import cases
from bcca_node.supplier.cases import Case, urn
from bcca_protocol import footprint, period
from bcca_protocol.audit import Report, audit
from bcca_protocol.cumulative import Leaf
from bcca_protocol.keys import Role
from bcca_protocol.statement import PartialFootprint, Sharing

CASE, ROOT, HEAD = "nmc622_pack", "P001", "pack-maker"
TIER_1, CELL = "cell-maker", "P004"
ELECTROLYTE, SOLD = "electrolyte", "P009"  # tier 4, sold to the cell maker; it witnesses for nobody
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
TABLES = ("segment", "statements_read", "proven", "fetched")
STAGES: Mapping[str, str] = {
    "rawMaterial": "raw_material_acquisition",
    "production": "main_production",
    "distribution": "distribution",
    "use": "use",
    "endOfLife": "end_of_life",
}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Tiers:
    """The network of a case where all was public, and its known answers."""

    network: Network
    case: Case
    known: Mapping[str, Any]

    def member(self, name: str) -> Member:
        return self.network.members[name]

    def ask(self, who: str, work: Callable[[Fetcher], Coroutine[Any, Any, T]]) -> T:
        """Return what comes of asking others, signed as `who`."""
        node = self.member(who).node

        async def ask() -> T:
            hosts, signer = guard.hosts_of(node.trust.required()), node.keys.signer(Role.REQUEST)
            async with Fetcher(hosts, signer=signer) as fetcher:
                return await work(fetcher)

        return asyncio.run(ask())

    def run(self, who: str = HEAD, process: str = ROOT, **told: Any) -> Run:
        """Return what a company's run for one of its products comes to."""
        node = self.member(who).node
        order = Order(product=urn(CASE, process), amount=None, at=node.clock(), **told)
        return self.ask(who, lambda fetcher: roll_up(node, fetcher, order))

    def hides(self, who: str, process: str, *, shared: Sharing = "public") -> str:
        """Let a company show its roll-up of a product and no partial footprint any more.

        Return the roll-up's commitment.
        """
        node, fixed = self.member(who).node, []
        for each in self.case.processes:
            if roster.company_of(self.case, each).id == who:
                with node.database.read() as session:
                    [own] = statements.current(session, [urn(CASE, each)], 10_000)
                said = predicate_of(own.envelope)
                assert isinstance(said, PartialFootprint)
                told = {"sharing": "direct", "corrects": own.commitment}
                fixed.append(msgspec.structs.replace(said, **told))
        publish(node, fixed)
        assert self.ask(who, lambda fetcher: witness(node, fetcher)).published
        done = self.run(who, process, keeping=Keeping.SECRET, sharing=shared)
        assert done.published is not None
        return done.published.commitment

    def audited(self) -> Report:
        """Return what an auditor recomputes from the bundle that the pack maker keeps."""
        node = self.member(HEAD).node
        made = period.text_at(node.clock())
        lines = list(write_bundle(node, urn(CASE, ROOT), made=made, recipient=node.origin))
        return audit(lines, node.trust.required())

    def require_known(self, done: Run) -> None:
        """Fail unless a run comes to the known total, by stages too, and an auditor to the same."""
        rolled = footprint.decode(done.statement.footprint)
        require_close(footprint.total(rolled), self.known["total"])
        for here, kg in footprint.by_stage(rolled).items():
            require_close(kg, self.known["by_stage"].get(STAGES[here], "0"))
        report = self.audited()
        assert (done.statement.incomplete, report.incomplete) == (False, False)
        assert report.total == footprint.total(rolled)

    def leaves(self, done: Run) -> set[str]:
        """Return the products that cumulative footprints feed."""
        reached = done.sum.collected.reached.values()
        return {each.part.product for each in reached if isinstance(each.signed, Leaf)}


def require_close(found: str | Decimal, expected: str | Decimal) -> None:
    """Fail unless two numbers agree within max(1e-12 relative, 1e-15 absolute)."""
    here, there = Decimal(found), Decimal(expected)
    assert abs(here - there) <= max(abs(there) * Decimal("1e-12"), Decimal("1e-15"))


@pytest.fixture(scope="module")
def tiers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    """Everybody has published, and shows everybody all."""
    source, folder = shared / "data" / "cases" / CASE, tmp_path_factory.mktemp("tiers")
    case = cases.read_case(source)
    ground = Ground(
        folder=folder / "nodes", aside=folder / "aside", passphrase=PASSPHRASE, scrypt_n=2**4
    )
    known = json.loads((source / "expected.json").read_text("utf-8"))
    with Network(ground, roster.seats_of(case), head=HEAD) as network:
        tiers = Tiers(network=network, case=case, known=known)
        drafts = show.drafts(network, case, {})
        tiers.ask(HEAD, lambda fetcher: show.publish_all(network, drafts, fetcher))
        yield tiers


@pytest.mark.parametrize(
    ("who", "process", "above"),
    [
        ("lithium-atacama", "P016", "P052"),  # tiers 7 to 15, all of its own
        ("cathode-material", "P010", "P016"),  # tier 5, made of another cumulative footprint
    ],
)
def test_through_a_cumulative_footprint_of_a_tier_the_total_is_the_known_one(
    tiers: Tiers, who: str, process: str, above: str
) -> None:
    tiers.hides(who, process)

    done = tiers.run()

    assert urn(CASE, process) in tiers.leaves(done)
    reached = {each.part.product for each in done.sum.collected.reached.values()}
    assert urn(CASE, above) not in reached
    tiers.require_known(done)


def test_handed_on_and_from_a_mirror_a_cumulative_footprint_gives_the_known_total(
    tiers: Tiers,
) -> None:
    name = tiers.hides(ELECTROLYTE, SOLD, shared="downstream")
    maker, cell, head = (tiers.member(each) for each in (ELECTROLYTE, TIER_1, HEAD))
    sharing.grant(cell, head, [])
    sharing.grant(maker, cell, [])
    hidden = tiers.run()
    [gap] = [e.resolved.gap for e in hidden.statement.manifest or () if e.resolved.gap is not None]
    assert urn(CASE, SOLD) in gap.reason
    given = Grant(
        partner=cell.node.origin, scope=Scope.STATEMENT, about=name, given=maker.node.clock()
    )
    with maker.node.database.write() as session:
        grants.put(session, given)
    tiers.ask(TIER_1, lambda fetcher: gather(cell.node, fetcher))

    onward = tiers.run()

    assert onward.sum.collected.handed_on[maker.node.origin] == {cell.node.origin}
    assert onward.sum.collected.reached[name].part.product == urn(CASE, SOLD)
    tiers.require_known(onward)

    tiers.network.stop(ELECTROLYTE)
    forget(head)
    mirrored = tiers.run()

    url = mirror.url_of(cell.url, maker.node.origin)
    assert mirrored.sum.collected.copied[maker.node.origin].urls == (url,)
    assert name in mirrored.sum.collected.reached
    tiers.require_known(mirrored)


def test_a_tier_1_that_keeps_its_recipe_gives_the_known_total_of_what_others_keep_too(
    tiers: Tiers,
) -> None:
    tiers.hides(TIER_1, CELL)

    done = tiers.run()

    assert tiers.leaves(done) == {urn(CASE, CELL)}
    tiers.require_known(done)
    [claimed] = [each for each in tiers.audited().unverified if each.startswith("claimed: ")]
    assert tiers.member(TIER_1).node.origin in claimed


def forget(member: Member) -> None:
    """Take from a node all statements of others that it keeps."""
    with member.node.database.write() as session:
        for table in TABLES:
            session.execute(text(f"DELETE FROM {table}"))  # noqa: S608  # ours
