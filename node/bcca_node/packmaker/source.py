"""One supplier read over HTTP: its log up to a quorum's head, then its statements (SPEC 6).

Every byte is hostile until the head, the entries and each signature are verified. Partners are
asked with a signature, everybody else without: they show a stranger only what is public.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import quote

from bcca_node.ledger.copied import LOG, Address
from bcca_node.ledger.copying import Reader, naming
from bcca_node.network import descriptor, lines
from bcca_node.network.descriptor import Descriptor, product_file
from bcca_node.network.limits import MAX_ANSWER_BYTES, MAX_DESCRIPTOR_BYTES
from bcca_node.network.lines import Item
from bcca_node.packmaker.circle import Circle
from bcca_node.sharing import peers, sealing
from bcca_protocol import period
from bcca_protocol.errors import ConflictError, UnavailableError
from bcca_protocol.verify import VerifiedLog


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLog:
    """A supplier's log, verified, and a node's word on where things are.

    `via` is the URL of the copy that was read while the supplier's own node did not answer; then
    `about` is by the node that holds it.
    """

    address: Address
    log: VerifiedLog
    about: Descriptor
    via: str | None = None


async def read_log(
    reader: Reader, circle: Circle, address: Address, before: ReadLog | None = None
) -> ReadLog:
    """Return the log at `address`, having fetched only what is new since it was read last.

    Where it has not grown since it was read `before`, its node's word of then is taken.
    Raises UnavailableError, also for a log that nobody has seen lately enough, ConflictError for
    one that went back or shows another tree than before, and what `Reader.read` raises.
    """
    log = await reader.read(address)
    require_one_log(log, address)
    require_fresh(log, reader)
    if before is not None and log.history is before.log.history:
        return ReadLog(address=address, log=log, about=before.about)
    about = await _describe(reader, address)
    audience = circle.audience(address.origin)
    if audience is not None and about.products is None:  # it says more to whom it knows
        about = await _describe(reader, address, audience)
    return ReadLog(address=address, log=log, about=about)


async def read_held(reader: Reader, address: Address) -> ReadLog:
    """Return the log at `address` as this node holds it, however old; its own node is not asked.

    Raises UnavailableError where it is not held, and what `Reader.read_held` raises.
    """
    log = await reader.read_held(address)
    require_one_log(log, address)
    about = await asyncio.to_thread(peers.known, reader.node)
    return ReadLog(address=address, log=log, about=about)


async def read_statements(
    reader: Reader, circle: Circle, source: ReadLog, product: str
) -> list[Item]:
    """Return what a supplier says of one product, nothing of it verified yet."""
    fetcher = reader.fetcher
    if source.about.products is None:
        url = f"{source.about.statements}?product={quote(product, safe='')}"
        audience = circle.audience(source.address.origin)
        body = await fetcher.get(url, limit=MAX_ANSWER_BYTES, audience=audience)
    else:
        url = f"{source.about.products}/{product_file(product)}"
        found = await fetcher.find(url, limit=MAX_ANSWER_BYTES)
        if found is None:  # nothing but files: of what was never spoken of there is none
            return []
        body = found
    with naming(url):
        return await lines.decode_answer(body)


async def read_sealed(reader: Reader, circle: Circle, source: ReadLog, product: str) -> list[Item]:
    """Return what a static supplier has sealed for this node about a product (SPEC 13.12).

    Nothing of it is verified yet. Raises UnavailableError, and RefusedError for a file at the name
    that is for us, and which does not open as that.
    """
    keyring = reader.node.keyring
    if source.about.products is None or keyring is None:
        return []
    base = source.address.url.removesuffix(LOG)
    for pair in circle.pairs(source.log):
        url = f"{base}/{sealing.FOLDER}/{pair.name(product)}"
        body = await reader.fetcher.find(url, limit=sealing.MAX_SEALED_BYTES)
        if body is not None:
            with naming(url):
                return await asyncio.to_thread(
                    sealing.open_sealed, body, pair, product, keyring.seals
                )
    return []


async def read_statement(
    reader: Reader, circle: Circle, source: ReadLog, commitment: str
) -> list[Item]:
    """Return one statement by its commitment, not verified yet; none where none is shown."""
    is_static = source.about.products is not None
    body = await reader.fetcher.find(
        f"{source.about.statements}/{commitment}",
        limit=MAX_ANSWER_BYTES,
        audience=None if is_static else circle.audience(source.address.origin),
    )
    return [] if body is None else [Item(commitment=commitment, index=0, envelope=body)]


def require_one_log(log: VerifiedLog, address: Address) -> None:
    """Raise ConflictError unless every key by which the log is named is its own."""
    for key in address.also_named:
        if key not in log.log_keys:
            raise ConflictError(
                f"log {log.origin}: its customers name it with {address.key.encode()} and {key}, "
                "which are not both its own"
            )


def require_fresh(log: VerifiedLog, reader: Reader) -> None:
    """Raise UnavailableError for a log that a quorum last saw longer ago than the reader allows.

    Of a log that has ended nothing can have come since.
    """
    allowed, seen = reader.max_age, log.head.time
    if allowed is not None and seen < reader.at - allowed and not log.has_ended:
        raise UnavailableError(
            f"log {log.origin}: current as of {period.text_at(seen)} only, "
            f"{reader.at - seen} s before {period.text_at(reader.at)}, where {allowed} s are "
            "allowed; its witnesses have seen nothing newer of this tree"
        )


async def _describe(reader: Reader, address: Address, audience: str | None = None) -> Descriptor:
    if not address.url.endswith(LOG):
        raise UnavailableError(f"{address.url}: the URL of a log ends in {LOG}")
    url = address.url.removesuffix(LOG) + descriptor.PATH
    body = await reader.fetcher.get(url, limit=MAX_DESCRIPTOR_BYTES, audience=audience)
    with naming(url):
        found = descriptor.decode(body)
    if found.origin != address.origin:
        raise ConflictError(f"{url}: describes {found.origin}, where {address.origin} was asked")
    return found
