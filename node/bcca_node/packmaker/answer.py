"""The statement that answers a request, fetched from who answered, verified, and kept (SPEC 6)."""

from dataclasses import dataclass

from bcca_node.ledger.copied import LOG, Address
from bcca_node.ledger.copying import Reader
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.network.lines import Item
from bcca_node.packmaker import source
from bcca_node.packmaker.circle import Circle
from bcca_node.packmaker.source import ReadLog
from bcca_node.storage import partners, seen
from bcca_node.storage.requests import Request
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol import verify
from bcca_protocol.errors import StatementError, UnavailableError, UnusableError
from bcca_protocol.facts import Fact
from bcca_protocol.keys import VerifierKey
from bcca_protocol.partial import Part
from bcca_protocol.policy import VerifiedCheckpoint
from bcca_protocol.rollup import RollUp
from bcca_protocol.verify import Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request was answered with, and the head under which its log was read."""

    signed: Signed[Fact]
    fact: Part | RollUp
    head: VerifiedCheckpoint


async def read_answer(node: Node, fetcher: Fetcher, request: Request) -> Answer:
    """Return the statement that answers a request of this node, which keeps it from then on.

    Raises UnusableError where there is none, UnavailableError where the partner does not show it,
    and what `source.read_log` and `verify.verify_signed` raise.
    """
    if not request.commitment:
        raise UnusableError(f"request {request.id}: it is {request.state}, so there is no answer")
    reader = Reader(node=node, fetcher=fetcher, trusted=node.trust.required(), at=node.clock())
    circle = Circle.of(node)
    read = await source.read_log(reader, circle, _address(node, request.partner))
    for item in await _items(reader, circle, read, request):
        if item.commitment == request.commitment:
            answer = _verified(item, read)
            _keep(node, read, answer, item.envelope)
            return answer
    raise UnavailableError(
        f"{request.partner}: shows no statement {request.commitment} to this node; ask it whether "
        "it took back what it granted"
    )


def _address(node: Node, origin: str) -> Address:
    """Return where a partner's log is: the policy's word comes before the partner's own."""
    with node.database.read() as session:
        partner = partners.get(session, origin)
    if partner is None:
        raise UnusableError(f"{origin}: no partner of this node any more")
    line = node.trust.required().logs.get(origin)
    own = partner.url.rstrip("/") + LOG
    if line is None:
        key = VerifierKey.parse(partner.log_key)
        return Address(origin=origin, key=key, url=own, introduced_by=node.origin)
    url = own if line.url is None else line.url.rstrip("/")
    return Address(origin=origin, key=line.key, url=url, introduced_by=None)


async def _items(reader: Reader, circle: Circle, read: ReadLog, request: Request) -> list[Item]:
    """Return what may be the answer: shown by its commitment, or sealed about the product."""
    found = await source.read_statement(reader, circle, read, request.commitment)
    if found or not request.product:
        return found
    return await source.read_sealed(reader, circle, read, request.product)


def _verified(item: Item, read: ReadLog) -> Answer:
    signed = verify.verify_signed(item.envelope, read.log)
    fact = signed.fact
    if fact.commitment != item.commitment:
        raise StatementError(f"statement {fact.commitment}: shown as {item.commitment}")
    if not isinstance(fact, Part | RollUp):
        raise StatementError(f"statement {fact.commitment}: an opinion, where a footprint belongs")
    return Answer(signed=signed, fact=fact, head=read.log.head)


def _keep(node: Node, read: ReadLog, answer: Answer, envelope: bytes) -> None:
    fact = answer.fact
    sharing = fact.sharing if isinstance(fact, Part) else fact.statement.sharing
    kept = FetchedStatement(
        commitment=fact.commitment,
        vkey=read.address.key.encode(),
        origin=fact.issuer,
        index=answer.signed.index,
        product=fact.product,
        sharing=sharing,
        envelope=envelope,
    )
    with node.database.write() as session:
        seen.put_statements(session, [kept])
