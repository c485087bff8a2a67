"""Opinions of the verifiers that the policy lists: read from their logs, kept, weighed (SPEC 8.4).

A verifier is read like a supplier. One that is down, or lies, stops nobody: its opinions are not
counted, and that is told.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace

from sqlmodel import Session

from bcca_node.ledger.copied import Address
from bcca_node.ledger.copying import Reader, naming
from bcca_node.ledger.node import Node
from bcca_node.network import lines
from bcca_node.network.client import Fetcher
from bcca_node.network.limits import MAX_LOG_BYTES
from bcca_node.packmaker import source
from bcca_node.packmaker.circle import Circle
from bcca_node.packmaker.collect import Collected
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.recipient import Held
from bcca_node.packmaker.source import ReadLog
from bcca_node.packmaker.told import shown
from bcca_node.storage import copies, seen
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol import assurance, policy, verify
from bcca_protocol.assurance import Weighed
from bcca_protocol.errors import BccaError, LimitError, UnavailableError
from bcca_protocol.graph import Source
from bcca_protocol.period import text_at
from bcca_protocol.policy import Policy, VerifiedCheckpoint
from bcca_protocol.rollup import Opinion
from bcca_protocol.substituted import NOBODY
from bcca_protocol.verify import Verified, VerifiedLog

OPINIONS = "opinions"  # stands for a product where troubles with a verifier are told
MAX_STATEMENTS = 10_000  # of one verifier: a certifier's work of years, read in a few seconds
MAX_FILES = 1_000  # products of which a static verifier is asked for its file


@dataclass(slots=True)
class _Heard:
    """What was read of verifiers: their logs, their opinions with envelopes, what went wrong."""

    logs: dict[str, ReadLog] = field(default_factory=dict)
    found: list[tuple[Verified[Opinion], bytes]] = field(default_factory=list)
    troubles: dict[tuple[str, str], str] = field(default_factory=dict)


async def hear(node: Node, fetcher: Fetcher, collected: Collected, plan: Plan) -> Collected:
    """Return `collected` with what listed verifiers say of it; what they say is kept."""
    trusted = node.trust.required()
    wanted = sorted(trusted.verifiers - {node.origin})
    if not wanted:
        return collected
    reader = Reader(node=node, fetcher=fetcher, trusted=trusted, at=plan.at, max_age=plan.max_age)
    ear = _Ear(reader, collected, plan)
    await asyncio.gather(*(ear.listen(origin) for origin in wanted))
    heard = ear.heard
    with node.database.write() as session:
        seen.put_statements(session, [_kept(each, data, heard) for each, data in heard.found])
    found = sorted((each for each, _ in heard.found), key=lambda each: each.fact.commitment)
    return replace(
        collected,
        opinions=tuple(e for e in found if not collected.reached.keys().isdisjoint(_about(e))),
        verifiers=heard.logs,
        troubles={**collected.troubles, **heard.troubles},
    )


def speakers(opinions: Iterable[Verified[Opinion]], about: Mapping[str, Source]) -> set[str]:
    """Return whose opinions are about any of some statements: their trees were read for these."""
    return {each.fact.issuer for each in opinions if not about.keys().isdisjoint(_about(each))}


def weighed(
    collected: Collected,
    about: Mapping[str, Source],
    heads: Sequence[VerifiedCheckpoint],
    verifiers: Iterable[str],
) -> tuple[Weighed, ...]:
    """Return what the opinions that were heard say of statements, as of the trees of `heads`."""
    read = {**collected.logs, **collected.verifiers}
    logs = {origin: each.log for origin, each in read.items()}
    logs[collected.own.origin] = collected.own
    reader = assurance.Reader(
        verifiers=frozenset(verifiers),
        logs=logs,
        sizes={each.checkpoint.origin: each.checkpoint.size for each in heads},
        at=text_at(min(each.time for each in heads)),
    )
    signed = {name: each for name, each in about.items() if each.fact.issuer != NOBODY}
    return tuple(assurance.weigh(collected.opinions, signed, reader))


def kept_about(session: Session, trusted: Policy, names: Iterable[str], at: int) -> list[Held]:
    """Return the kept opinions of listed verifiers on any of some statements, those current."""
    wanted = set(names)
    logs = {o: _held_log(session, trusted, o, at) for o in sorted(trusted.verifiers)}
    return [
        Held(**asdict(each))
        for origin, log in logs.items()
        if log is not None
        for each in seen.all_of(session, trusted.logs[origin].key.encode())
        if _is_current_about(each.envelope, log, wanted)
    ]


class _Ear:
    """Listens to one verifier after the other, many at a time."""

    def __init__(self, reader: Reader, collected: Collected, plan: Plan) -> None:
        self.heard = _Heard()
        self._reader = reader
        self._collected = collected
        self._plan = plan
        self._circle = Circle.of(reader.node)
        self._turn = asyncio.Semaphore(plan.concurrency)

    async def listen(self, origin: str) -> None:
        """Take what a verifier says; what goes wrong is told."""
        why: object = ""
        try:
            async with self._turn, asyncio.timeout(self._plan.supplier_seconds):
                read = await self._log(origin)
                self._take(read, await self._envelopes(read))
        except TimeoutError:
            why = f"{origin}: not done within {self._plan.supplier_seconds:g} s"
        except BccaError as error:
            why = error
        if why:
            self.heard.troubles[origin, OPINIONS] = shown(why)

    async def _log(self, origin: str) -> ReadLog:
        if origin in self._collected.logs:
            return self._collected.logs[origin]
        line = self._reader.trusted.logs[origin]
        address = Address(origin=origin, key=line.key, url=line.url or "", introduced_by=None)
        if self._plan.is_offline:
            return await source.read_held(self._reader, address)
        if not line.url:
            raise UnavailableError(f"verifier {origin}: its log line has no URL; add one")
        return await source.read_log(self._reader, self._circle, address)

    async def _envelopes(self, read: ReadLog) -> list[bytes]:
        """Return all that a verifier shows; of one with nothing but files, what is about us."""
        if self._plan.is_offline:
            with self._reader.node.database.read() as session:
                return [e.envelope for e in seen.all_of(session, read.address.key.encode())]
        if read.about.products is None:
            return await self._stream(read)
        products = sorted({each.part.product for each in self._collected.reached.values()})
        if len(products) > MAX_FILES:
            raise LimitError(
                f"verifier {read.address.origin}: its files are one for each product, and "
                f"{len(products)} are more than {MAX_FILES}: have it run a node"
            )
        about = self._reader, self._circle, read
        return [
            item.envelope
            for product in products
            for item in await source.read_statements(*about, product)
        ]

    async def _stream(self, read: ReadLog) -> list[bytes]:
        url = f"{read.about.statements}?since=0"
        audience = self._circle.audience(read.address.origin)
        found: list[bytes] = []
        stream = lines.fetch_lines(
            self._reader.fetcher, url, limit=MAX_LOG_BYTES, audience=audience
        )
        with naming(url):
            async with aclosing(stream) as items:
                async for item in items:
                    found.append(item.envelope)
                    if len(found) > MAX_STATEMENTS:
                        raise LimitError(f"over {MAX_STATEMENTS} statements of one verifier")
        return found

    def _take(self, read: ReadLog, envelopes: Iterable[bytes]) -> None:
        origin = read.address.origin
        self.heard.logs[origin] = read
        for envelope in dict.fromkeys(envelopes):
            try:
                found = verify.verify_signed(envelope, read.log)
            except BccaError as error:
                self.heard.troubles[origin, OPINIONS] = shown(error)
                continue
            if assurance.is_opinion(found):
                self.heard.found.append((found, envelope))


def _about(found: Verified[Opinion]) -> tuple[str, ...]:
    return found.fact.statement.about


def _kept(found: Verified[Opinion], envelope: bytes, heard: _Heard) -> FetchedStatement:
    fact = found.fact
    return FetchedStatement(
        commitment=fact.commitment,
        vkey=heard.logs[fact.issuer].address.key.encode(),
        origin=fact.issuer,
        index=found.index,
        product=fact.product,
        sharing=fact.statement.sharing,
        envelope=envelope,
    )


def _held_log(session: Session, trusted: Policy, origin: str, at: int) -> VerifiedLog | None:
    """Return a verifier's log as it is held, None where it is not, or is not believed any more."""
    key = trusted.logs[origin].key
    copy = copies.get(session, origin, key.encode())
    if copy is None:
        return None
    try:
        head = policy.verify_checkpoint(copy.note, key, trusted, at=at)
        entries = copies.entries(session, copy)
        return verify.verify_log(head, entries, end=trusted.ends.get(origin))
    except BccaError:
        return None


def _is_current_about(envelope: bytes, log: VerifiedLog, names: set[str]) -> bool:
    try:
        found = verify.verify_signed(envelope, log)
    except BccaError:
        return False
    if not assurance.is_opinion(found) or not found.is_current:
        return False
    return not names.isdisjoint(_about(found))
