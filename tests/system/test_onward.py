"""A network where hardly anybody shows a stranger anything, added up all the same.

The pack of the demo: what the pack maker buys is `direct`, every second other statement
`downstream`. Each company shows its customers what they buy, and hands on what it may.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import pytest

from bcca_node.demo import roster, sharing, show
from bcca_node.demo.network import Ground, Member, Network
from bcca_node.ledger import mirror
from bcca_node.ledger.publish import publish
from bcca_node.ledger.sign import predicate_of
from bcca_node.ledger.witnessing import witness
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import explain
from bcca_node.packmaker.gather import gather
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.run import Run, roll_up
from bcca_node.storage import seen, statements
from bcca_node.supplier import cases
from bcca_node.supplier.cases import Case, Reference, urn
from bcca_protocol.keys import Role
from bcca_protocol.statement import PartialFootprint, Sharing

TOTAL = Decimal("108.5888902753488911858321862366716")  # of the demo, where all is public
HEAD, TIER_1 = "pack-maker", "cell-maker"
BUYER, DEEP, SALT = "electrolyte", "chemicals", "P011"  # tiers 3 and 4; of the latter
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
LIMIT = 1_000_000

T = TypeVar("T")


@dataclass(kw_only=True)
class Onward:
    """The network, how each statement is shared, and what the first run came to."""

    network: Network
    case: Case
    reference: Reference
    shared: Mapping[str, Sharing]
    _first: list[Run] = field(default_factory=list)

    def member(self, name: str) -> Member:
        return self.network.members[name]

    def urn(self, process_id: str) -> str:
        return urn(self.case.name, process_id)

    def ask(self, who: str, work: Callable[[Fetcher], Coroutine[Any, Any, T]]) -> T:
        """Return what comes of asking others, signed as `who`."""
        node = self.member(who).node
        hosts = guard.hosts_of(node.trust.required())

        async def ask() -> T:
            async with Fetcher(hosts, signer=node.keys.signer(Role.REQUEST)) as fetcher:
                return await work(fetcher)

        return asyncio.run(ask())

    def run(self) -> Run:
        """Return what the pack maker's run comes to."""
        node = self.member(HEAD).node
        order = Order(
            product=self.urn(self.reference.process_id),
            amount=self.reference.amount,
            at=node.clock(),
        )
        return self.ask(HEAD, lambda fetcher: roll_up(node, fetcher, order))

    @property
    def first(self) -> Run:
        """Return what the run comes to before a test has changed anything."""
        if not self._first:
            self._first.append(self.run())
        return self._first[0]

    def shows(self, name: str, url: str, *, to: str) -> tuple[int, bytes]:
        """Return what a member answers to another that signs."""
        audience = self.member(name).node.origin

        async def get(fetcher: Fetcher) -> tuple[int, bytes]:
            found = await fetcher.find(url, limit=LIMIT, audience=audience)
            return (404, b"") if found is None else (200, found)

        return self.ask(to, get)


@pytest.fixture(scope="module")
def onward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Onward]:
    """Everybody has published, granted what is bought, and gathered what feeds its own."""
    folder = tmp_path_factory.mktemp("onward")
    case = cases.read_case(cases.shipped_case())
    reference = case.reference(None, None)
    ground = Ground(
        folder=folder / "nodes", aside=folder / "aside", passphrase=PASSPHRASE, scrypt_n=2**4
    )
    with Network(ground, roster.seats_of(case), head=HEAD) as network:
        shared = sharing.mixed(case, reference)
        onward = Onward(network=network, case=case, reference=reference, shared=shared)
        sharing.acquaint(network, case)
        drafts = show.drafts(network, case, shared)
        onward.ask(HEAD, lambda fetcher: show.publish_all(network, drafts, fetcher))
        asyncio.run(sharing.gather_all(network))
        assert onward.first is not None
        yield onward


def test_a_network_that_shows_strangers_little_gives_the_same_total(onward: Onward) -> None:
    run = onward.first

    assert {"direct", "downstream", "public"} == set(onward.shared.values())
    assert explain.total(run.sum) == TOTAL
    assert not run.statement.incomplete
    assert run.sum.collected.troubles == {}


def test_what_came_through_others_is_told_with_their_names(onward: Onward) -> None:
    collected = onward.first.sum.collected
    tier_1 = onward.member(TIER_1).node.origin

    deep = onward.member(DEEP).node.origin
    assert tier_1 not in collected.handed_on  # it shows its customer itself what that buys
    assert collected.handed_on[deep] == {tier_1}
    assert collected.copied == {}


def test_what_is_remembered_of_others_keeps_what_their_authors_let_be_done_with_it(
    onward: Onward,
) -> None:
    _ = onward.first
    node = onward.member(HEAD).node
    key = onward.member(DEEP).node.log_key.encode()

    with node.database.read() as session:
        [kept] = seen.statements_of(session, key, onward.urn(SALT))

    assert kept.sharing == onward.shared[SALT] == "downstream"


def test_a_stranger_sees_nothing_of_what_is_handed_on(onward: Onward) -> None:
    """The separator maker buys of nobody: at tier 1 and at tier 4 it is a stranger."""
    product, absent = (quote(onward.urn(each), safe="") for each in (SALT, "P999"))
    deep, tier_1 = onward.member(DEEP), onward.member(TIER_1)
    copy = mirror.url_of(tier_1.url, deep.node.origin)

    for who, base in ((DEEP, deep.url), (TIER_1, copy)):
        hidden = onward.shows(who, f"{base}/statements?product={product}", to="separator")
        nothing = onward.shows(who, f"{base}/statements?product={absent}", to="separator")
        assert hidden == nothing == (200, b'{"count":"0"}\n')
    commitment = _current(deep, onward.urn(SALT))[0]
    assert onward.shows(TIER_1, f"{copy}/statements/{commitment}", to="separator")[0] == 404
    assert onward.shows(TIER_1, f"{copy}/statements/{commitment}", to=HEAD)[0] == 200


def test_a_deeper_direct_statement_is_a_named_gap_and_nothing_else_changes(
    onward: Onward,
) -> None:
    first, deep, product = onward.first, onward.member(DEEP), onward.urn(SALT)
    commitment, said = _current(deep, product)
    publish(deep.node, [msgspec.structs.replace(said, sharing="direct", corrects=commitment)])
    assert onward.ask(DEEP, lambda fetcher: witness(deep.node, fetcher)).published
    buyer = onward.member(BUYER)
    gathered = onward.ask(BUYER, lambda fetcher: gather(buyer.node, fetcher))

    run = onward.run()

    assert gathered.missing == {}  # its own customer holds it, and does not hand it on
    [gap] = [e.resolved.gap for e in run.statement.manifest or () if e.resolved.gap is not None]
    assert product in gap.reason
    assert deep.node.origin in gap.reason
    assert run.statement.incomplete
    assert _products(first) - _products(run) == {product}
    [own] = [each for each in explain.by_product(first.sum) if each.part.product == product]
    assert abs(TOTAL - explain.total(run.sum) - own.kg) < Decimal("1e-26")  # of 34 digits


def _products(run: Run) -> set[str]:
    return {each.part.product for each in run.sum.collected.reached.values()}


def _current(member: Member, product: str) -> tuple[str, PartialFootprint]:
    """Return the commitment and the content of what a member says of a product."""
    with member.node.database.read() as session:
        [own] = statements.current(session, [product], 10_000)
    said = predicate_of(own.envelope)
    assert isinstance(said, PartialFootprint)
    return own.commitment, said
