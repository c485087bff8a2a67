"""What feeds what, and who is named as a supplier: the ways upstream that a node has walked."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
from sqlalchemy import BindParameter, Text, bindparam, text
from sqlmodel import Session

from bcca_node.storage import many
from bcca_node.storage.dealings import WalkedRow
from bcca_node.storage.listed import Kept, Own

MAX_ASKED = 1_000  # statements in one query: databases take some 30,000 values
PASSED_ON = ("public", "downstream")  # what its author lets others hand on
ANY_SHARING = (*PASSED_ON, "direct")


def _some(name: str) -> BindParameter[str]:
    """Return the place of some texts: PostgreSQL compares with none only if it is told the type."""
    return bindparam(name, expanding=True, type_=Text())


# UNION drops what was met, so that a loop of suppliers ends. What is entered and not yet published
# nobody is shown, so it shows nothing else either.
_CONSUMERS = text("""
    WITH RECURSIVE up (fed, name) AS (
        SELECT fed, consumer FROM feed WHERE fed IN :fed
        UNION
        SELECT up.fed, feed.consumer FROM up
        JOIN fetched ON fetched.commitment = up.name AND fetched.sharing IN :through
        JOIN feed ON feed.fed = up.name
    )
    SELECT up.fed, statement.commitment, statement."index", statement.product, statement.sharing
    FROM up JOIN statement ON statement.commitment = up.name
    WHERE statement."index" < (SELECT max(size) FROM checkpoint WHERE published)
""").bindparams(_some("fed"), _some("through"))
_OWN_NAMING = text("""
    SELECT statement.commitment, statement."index", statement.product, statement.sharing
    FROM named JOIN statement ON statement.commitment = named.commitment
    WHERE named.origin = :origin AND statement."index" < :size
    AND (statement.ended IS NULL OR statement.ended >= :size)
""")
_NAMED_BY = text("""
    SELECT named.origin, statement.commitment, statement."index", statement.product,
    statement.sharing
    FROM statement JOIN named ON named.commitment = statement.commitment
    WHERE (statement.product IN :products OR statement.commitment IN :commitments)
    AND statement."index" < :size AND (statement.ended IS NULL OR statement.ended >= :size)
""").bindparams(_some("products"), _some("commitments"))
_KEPT_NAMING = text("""
    SELECT fetched.commitment, fetched.vkey, fetched.origin, fetched."index", fetched.product,
    fetched.sharing
    FROM named JOIN fetched ON fetched.commitment = named.commitment
    WHERE named.origin = :origin
""")
# From the few that everybody may see, not from the many that name a supplier.
_PUBLICLY_NAMED = text("""
    SELECT named.origin FROM statement JOIN named ON named.commitment = statement.commitment
    WHERE statement.sharing = 'public' AND statement."index" < :size
    AND (statement.ended IS NULL OR statement.ended >= :size)
    UNION
    SELECT named.origin FROM fetched JOIN named ON named.commitment = fetched.commitment
    WHERE fetched.sharing = 'public'
""")
_WALKED = text("SELECT issuer, digest FROM walked")


class _Supplier(msgspec.Struct):
    origin: str


class _Line(msgspec.Struct):
    supplier: _Supplier


class _Predicate(msgspec.Struct):
    inputs: tuple[_Line, ...] = ()


class _Payload(msgspec.Struct):
    predicate: _Predicate


class _Envelope(msgspec.Struct):
    payload: bytes  # msgspec reads base64


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_PAYLOAD = msgspec.json.Decoder(_Payload)


class Ways(NamedTuple):
    """Ways upstream: what is fed to whom, and which suppliers are named by whom, by commitment."""

    fed: list[tuple[str, str]]
    named: list[tuple[str, str]]

    def digest(self) -> bytes:
        """Return a digest of them, in this order."""
        names = chain(chain.from_iterable(self.fed), ("",), chain.from_iterable(self.named))
        return hashlib.sha256("\n".join(names).encode()).digest()


def put_walked(session: Session, found: Mapping[str, Ways]) -> None:
    """Keep the ways upstream of statements by issuer; nothing where they are as they were."""
    walked = {issuer: bytes(digest) for issuer, digest in session.connection().execute(_WALKED)}
    digests = {issuer: ways.digest() for issuer, ways in found.items()}
    fresh = [issuer for issuer, digest in digests.items() if walked.get(issuer) != digest]
    _put_fed(session, chain.from_iterable(found[issuer].fed for issuer in fresh))
    _put_named(session, chain.from_iterable(found[issuer].named for issuer in fresh))
    for issuer in fresh:
        session.merge(WalkedRow(issuer=issuer, digest=digests[issuer]))


def put(session: Session, edges: Iterable[tuple[str, str]]) -> None:
    """Keep that the first statement of each pair was found to be fed by the second."""
    _put_fed(session, ((fed, consumer) for consumer, fed in edges))


def put_named(session: Session, named: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Keep which origins each statement, by its commitment, names as its suppliers."""
    _put_named(session, ((origin, name) for name, origins in named for origin in origins))


def _put_fed(session: Session, rows: Iterable[tuple[str, str]]) -> None:
    many.insert(session, "feed", ("fed", "consumer"), rows)


def _put_named(session: Session, rows: Iterable[tuple[str, str]]) -> None:
    many.insert(session, "named", ("origin", "commitment"), rows)


def own_consumers(
    session: Session, fed: Sequence[str], through: Sequence[str]
) -> dict[str, list[Own]]:
    """Return by each of `fed` the published statements of this node that it feeds.

    Straight, or through those of others with a sharing of `through`. One query for up to
    MAX_ASKED of them.
    """
    found: dict[str, list[Own]] = {name: [] for name in fed}
    for start in range(0, max(len(fed), 1), MAX_ASKED):  # asked for none too: it takes as long
        asked = {"fed": list(fed[start : start + MAX_ASKED]), "through": list(through)}
        for name, *own in session.connection().execute(_CONSUMERS, asked):
            found[name].append(Own(*own))
    return found


def publicly_named(session: Session, size: int) -> set[str]:
    """Return the suppliers that statements name which everybody may see under `size` entries."""
    return set(session.connection().execute(_PUBLICLY_NAMED, {"size": size}).scalars())


def own_naming(session: Session, origin: str, size: int) -> Iterator[Own]:
    """Yield this node's statements, current under `size` entries, that name a supplier."""
    found = session.connection().execute(_OWN_NAMING, {"origin": origin, "size": size})
    return (Own(*row) for row in found)


def named_by(
    session: Session, products: Iterable[str], commitments: Iterable[str], size: int
) -> Iterator[tuple[str, Own]]:
    """Yield the suppliers that current statements name, which are of `products` or these."""
    about, names = list(products), list(commitments)
    for start in range(0, max(len(about), len(names)), MAX_ASKED):
        few = slice(start, start + MAX_ASKED)
        asked = {"products": about[few], "commitments": names[few], "size": size}
        for origin, *own in session.connection().execute(_NAMED_BY, asked):
            yield origin, Own(*own)


def kept_naming(session: Session, origin: str) -> Iterator[Kept]:
    """Yield the statements of others held here that name a supplier."""
    found = session.connection().execute(_KEPT_NAMING, {"origin": origin})
    return (Kept(*row) for row in found)


def suppliers_in(envelope: bytes) -> set[str]:
    """Return the origins that a statement names as suppliers; none where it is not read so."""
    try:
        payload = _ENVELOPE.decode(envelope).payload
        lines = _PAYLOAD.decode(payload).predicate.inputs
    except msgspec.MsgspecError:
        return set()
    return {line.supplier.origin for line in lines}
