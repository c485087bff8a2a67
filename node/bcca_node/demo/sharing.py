"""A case whose statements are not all public: who shows what to whom, and who hands on what."""

from collections.abc import Collection, Mapping

from bcca_node.demo.network import Member, Network
from bcca_node.demo.roster import company_of
from bcca_node.ledger.node import Node
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.packmaker.gather import Gathered, gather
from bcca_node.storage import grants, partners
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.partners import Partner, PartnerRole
from bcca_node.supplier.case_rows import Row
from bcca_node.supplier.cases import Case, Reference, urn
from bcca_protocol.keys import Role
from bcca_protocol.statement import Sharing

BOTH_WAYS = frozenset({PartnerRole.CUSTOMER, PartnerRole.SUPPLIER})
MAX_TURNS = 20  # of gathering; the deepest chain of companies in a published inventory has 15


def mixed(case: Case, reference: Reference) -> dict[str, Sharing]:
    """Return how each process's statement is shared.

    Those of the reference's maker are public, those of whom it buys from `direct`, and of the
    others every second one is `downstream`.
    """
    maker = {each: company_of(case, each) for each in case.processes}
    head = maker[reference.process_id]
    first = {maker[row.input_id] for row in _bought(case) if maker[row.process_id] == head}
    others = sorted(each for each in case.processes if maker[each] not in first | {head})
    shared: dict[str, Sharing] = dict.fromkeys(case.processes, "public")
    direct = [each for each in case.processes if maker[each] in first - {head}]
    return shared | dict.fromkeys(direct, "direct") | dict.fromkeys(others[::2], "downstream")


def acquaint(network: Network, case: Case) -> None:
    """Make each company a partner of whom it buys from, who grants it what it buys.

    With a product go the steps at its maker's that it is made in: these are statements of their
    own.
    """
    at = {each: network.members[company_of(case, each).id] for each in case.processes}
    inputs: dict[str, set[str]] = {}
    for row in _bought(case):
        inputs.setdefault(row.process_id, set()).add(row.input_id)
    sold: dict[tuple[str, str], set[str]] = {}
    for row in _bought(case):
        buyer, maker = at[row.process_id], at[row.input_id]
        if buyer is not maker:
            steps = _upstream(row.input_id, {k: v for k, v in inputs.items() if at[k] is maker})
            own = {urn(case.name, each) for each in steps if at[each] is maker}
            sold.setdefault((maker.seat.id, buyer.seat.id), set()).update(own)
    for (maker_id, buyer_id), products in sorted(sold.items()):
        grant(network.members[maker_id], network.members[buyer_id], sorted(products))


def grant(maker: Member, buyer: Member, products: list[str]) -> None:
    """Make two members partners, and let the buyer see what the maker says of products."""
    with buyer.node.database.write() as session:
        partners.put(session, partner_of(maker.node, [PartnerRole.SUPPLIER]))
    with maker.node.database.write() as session:
        partners.put(session, partner_of(buyer.node, [PartnerRole.CUSTOMER]))
        for product in products:
            grants.put(
                session,
                Grant(
                    partner=buyer.node.origin,
                    scope=Scope.PRODUCT,
                    about=product,
                    given=maker.node.clock(),
                ),
            )


def partner_of(node: Node, roles: Collection[PartnerRole] = BOTH_WAYS) -> Partner:
    """Return a node as its partners know it, to which it buys and sells unless told."""

    def key(role: Role) -> str:
        return node.keystore.record(role).key.encode()

    return Partner(
        origin=node.origin,
        name=node.settings.name,
        url=node.settings.url,
        log_key=node.log_key.encode(),
        request_key=key(Role.REQUEST),
        seal_key=key(Role.SEAL),
        roles=frozenset(roles),
        since=node.clock(),
    )


async def gather_all(network: Network) -> Mapping[str, Gathered]:
    """Let every company collect what feeds its own, until that is no more for any of them."""
    gathered: dict[str, Gathered] = {}
    for _ in range(MAX_TURNS):
        before = dict(gathered)
        for member in reversed(network.companies):  # a case names its companies downstream first
            gathered[member.seat.id] = await _gather(member, before.get(member.seat.id))
        if {k: each.statements for k, each in gathered.items()} == {
            k: each.statements for k, each in before.items()
        }:
            break
    return gathered


async def _gather(member: Member, last: Gathered | None) -> Gathered:
    hosts = guard.hosts_of(member.node.trust.required())
    async with Fetcher(hosts, signer=member.node.keys.signer(Role.REQUEST)) as fetcher:
        return await gather(member.node, fetcher, last)


def _bought(case: Case) -> list[Row]:
    return [row for row in case.rows if row.flow_type == "process"]


def _upstream(process_id: str, inputs: Mapping[str, set[str]]) -> set[str]:
    """Return a process and all that it takes in, directly or not."""
    met: set[str] = set()
    left = {process_id}
    while left:
        met |= left
        left = {each for one in left for each in inputs.get(one, ())} - met
    return met
