"""Every product of a case, reached from the reference or not, fetched and added up like it."""

import decimal
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from bcca_node.demo.network import Member, Network
from bcca_node.demo.roster import company_of
from bcca_node.ledger.copied import LOG, Address
from bcca_node.ledger.copying import Reader
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import held, source
from bcca_node.packmaker.adding import Sum
from bcca_node.packmaker.circle import Circle
from bcca_node.packmaker.held import Held
from bcca_node.supplier.cases import Case, urn
from bcca_protocol import footprint
from bcca_protocol.aggregate import aggregate
from bcca_protocol.choices import Offer
from bcca_protocol.errors import BccaError
from bcca_protocol.graph import chooser, connect
from bcca_protocol.quantity import arithmetic


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Kg CO2e per one unit by process, excluding uptake; how many statements were verified."""

    products: Mapping[str, Decimal]
    verified: int
    troubles: Mapping[tuple[str, str], str]


async def survey(
    network: Network, head: Member, case: Case, added: Sum, fetcher: Fetcher
) -> Survey:
    """Return the cumulative footprint of every process's product that could be verified."""
    reached = added.collected.reached.values()
    signed = {(each.part.issuer, each.part.product): each.signed for each in reached}
    troubles: dict[tuple[str, str], str] = {}
    for process_id in case.processes:
        maker = network.members[company_of(case, process_id).id]
        wanted = (maker.node.origin, urn(case.name, process_id))
        if wanted in signed:
            continue
        try:
            found = await _read(head, maker, wanted[1], added, fetcher)
            signed |= {(each.part.issuer, each.part.product): each.signed for each in found}
        except BccaError as error:
            troubles[wanted] = str(error)
    return Survey(products=_per_unit(case, signed, added), verified=len(signed), troubles=troubles)


async def _read(
    head: Member, maker: Member, product: str, added: Sum, fetcher: Fetcher
) -> list[Held]:
    """Return what the maker of a product that nobody reached says of it, verified."""
    node = head.node
    if maker is head:
        with node.database.read() as session:
            return held.own_parts(session, product, added.collected.own)
    address = Address(
        origin=maker.node.origin, key=maker.node.log_key, url=maker.url + LOG, introduced_by=None
    )
    trusted = node.trust.required()
    reader = Reader(node=node, fetcher=fetcher, trusted=trusted, at=node.clock())
    circle = Circle.of(node)
    read = await source.read_log(reader, circle, address)
    items = await source.read_statements(reader, circle, read, product)
    found = (held.hold(item.envelope, read.log) for item in items)
    return [each for each in found if each is not None]


def _per_unit(
    case: Case, signed: Mapping[tuple[str, str], Offer], added: Sum
) -> dict[str, Decimal]:
    parts = list(signed.values())
    graph = connect(parts, chooser(parts, added.root.part.period))
    totals = aggregate(graph)
    ids = {urn(case.name, process_id): process_id for process_id in case.processes}
    with decimal.localcontext(arithmetic()):
        by_id = {
            ids[part.product]: footprint.total(totals.footprint(index)) / part.declared
            for index, part in enumerate(graph.parts)
        }
    return {process_id: by_id[process_id] for process_id in case.processes if process_id in by_id}
