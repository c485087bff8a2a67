"""The predicates and the in-toto statement around them (SPEC 4; in-toto Statement v1).

Fields for later work stand here already: a new field means a new predicate version.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from bcca_protocol import wire
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import Stages
from bcca_protocol.inventory import (
    Activities,
    Allocation,
    Amount,
    CarbonContent,
    Exclusion,
    Inputs,
    Interval,
    Material,
)
from bcca_protocol.limits import MAX_STATEMENT_BYTES
from bcca_protocol.results import Battery, Edge, ReadLog, Rules, Uncertainty, Weights
from bcca_protocol.wire import HexDigest, Number, Origin, Record, Text, Time, Urn

IN_TOTO: Final = "https://in-toto.io/Statement/v1"
PARTIAL_FOOTPRINT = "urn:bcca:partial-footprint:v1"
FOOTPRINT = "urn:bcca:footprint:v1"
OPINION = "urn:bcca:opinion:v1"

Country = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{2}\Z")]
Subdivision = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{2}-[A-Z0-9]{1,3}\Z")]
Nonce = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{21}[AQgw]==\Z")]  # 16 bytes
Sharing = Literal["public", "downstream", "direct"]
Accounting = Literal["market", "location"]


class Classification(Record, frozen=True):
    """What a product is in somebody's catalogue, such as a CN or UNSPSC code."""

    scheme: Text
    code: Text


class Product(Record, frozen=True):
    """A product by its URN; the URN is never derived from the name."""

    id: Urn
    name: Text
    classifications: tuple[Classification, ...] | None = None


class Site(Record, frozen=True):
    """One plant of the issuer."""

    id: Text
    name: Text | None = None
    country: Country | None = None
    subdivision: Subdivision | None = None


class Producer(Record, frozen=True):
    """The organisation that makes the product."""

    name: Text
    ids: tuple[Urn, ...] | None = None


class Method(Record, frozen=True):
    """How the footprint was made."""

    standards: tuple[Text, ...]
    gwp: Literal["AR5", "AR6"]
    recycling: Literal["cutOff", "cff", "substitution"]
    electricity: Accounting
    rules: tuple[Text, ...] | None = None
    mass_balance: bool = False
    prospective: bool = False
    boundary: Text | None = None


class Predicate(Record, frozen=True):
    """The fields common to every predicate."""

    issuer: Origin
    nonce: Nonce
    product: Product
    producer: Producer
    period: Interval
    sharing: Sharing
    site: Site | None = None
    batch: Text | None = None
    validity: Interval | None = None
    corrects: HexDigest | None = None
    follows: HexDigest | None = None


class PartialFootprint(Predicate, kw_only=True, frozen=True):
    """What one site itself adds to a product, and what it buys for it."""

    declared_unit: Amount
    output: Amount
    method: Method
    activities: Activities
    inputs: Inputs
    footprint: Stages
    mass_kg: Number | None = None
    exclusions: tuple[Exclusion, ...] | None = None
    allocation: Allocation | None = None
    materials: tuple[Material, ...] | None = None
    carbon_content: CarbonContent | None = None
    location_footprint: Stages | None = None


class FootprintRollUp(Predicate, kw_only=True, frozen=True):
    """A product's footprint with everything upstream."""

    declared_unit: Amount
    method: Method
    footprint: Stages
    exempted_percent: Number
    weights: Weights
    rules: Rules
    reference_date: Time
    logs: tuple[ReadLog, ...]
    incomplete: bool = False
    mass_kg: Number | None = None
    materials: tuple[Material, ...] | None = None
    carbon_content: CarbonContent | None = None
    location_footprint: Stages | None = None
    battery: Battery | None = None
    uncertainty: Uncertainty | None = None
    manifest: tuple[Edge, ...] | None = None
    manifest_digest: HexDigest | None = None


class Finding(Record, frozen=True):
    """One remark of an auditor."""

    id: Text
    text: Text
    status: Text


class Independence(Record, frozen=True):
    """Why the auditor has no stake."""

    statement: Text
    affiliations: tuple[Text, ...]


class Opinion(Predicate, kw_only=True, frozen=True):
    """What a third party concludes about exact statements."""

    about: tuple[HexDigest, ...]
    criteria: tuple[Text, ...]
    scope: Text
    covers: Literal["own", "cradleToGate"]
    level: Literal["limited", "reasonable"]
    conclusion: Literal["unmodified", "modified", "adverse", "disclaimer"]
    materiality_percent: Number
    findings: tuple[Finding, ...]
    expires: Time
    independence: Independence
    accreditation: Text | None = None
    sampling: Text | None = None


class Digest(Record, frozen=True):
    """A digest by algorithm."""

    sha256: HexDigest


class Subject(Record, frozen=True):
    """What a statement speaks of: the product's URN and its SHA-256."""

    digest: Digest
    name: Urn


class PartialStatement(Record, tag_field="predicateType", tag=PARTIAL_FOOTPRINT, frozen=True):
    """An in-toto statement with a partial footprint."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: tuple[Subject]
    predicate: PartialFootprint


class RollUpStatement(Record, tag_field="predicateType", tag=FOOTPRINT, frozen=True):
    """An in-toto statement with a roll-up."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: tuple[Subject]
    predicate: FootprintRollUp


class OpinionStatement(Record, tag_field="predicateType", tag=OPINION, frozen=True):
    """An in-toto statement with an auditor's opinion."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: tuple[Subject]
    predicate: Opinion


Statement = PartialStatement | RollUpStatement | OpinionStatement

_ANY: msgspec.json.Decoder[Statement] = msgspec.json.Decoder(Statement)
_BY_TYPE: Mapping[bytes, msgspec.json.Decoder[Statement]] = {
    PARTIAL_FOOTPRINT.encode(): msgspec.json.Decoder(PartialStatement),
    FOOTPRINT.encode(): msgspec.json.Decoder(RollUpStatement),
    OPINION.encode(): msgspec.json.Decoder(OpinionStatement),
}
_TYPE = b'"predicateType":"'  # in a text these quotes would be escaped


def of(predicate: PartialFootprint | FootprintRollUp | Opinion) -> Statement:
    """Return the in-toto statement around `predicate`: its subject is its product."""
    product = predicate.product.id
    digest = Digest(sha256=hashlib.sha256(product.encode()).hexdigest())
    subject = (Subject(digest=digest, name=product),)
    match predicate:
        case PartialFootprint():
            return PartialStatement(type=IN_TOTO, subject=subject, predicate=predicate)
        case FootprintRollUp():
            return RollUpStatement(type=IN_TOTO, subject=subject, predicate=predicate)
        case Opinion():
            return OpinionStatement(type=IN_TOTO, subject=subject, predicate=predicate)


def decode(payload: bytes) -> Statement:
    """Return the statement in `payload`; raises MalformedError, LimitError (SPEC 2)."""
    # The type stands behind the predicate: who looks for it first need not read that twice.
    named = payload[payload.rfind(_TYPE) + len(_TYPE) :].partition(b'"')[0]
    decoder = _BY_TYPE.get(named, _ANY)
    return wire.decode(payload, decoder, what="statement", limit=MAX_STATEMENT_BYTES)


def check_place(found: Statement, origin: str) -> None:
    """Raise StatementError unless a statement is about its product, and of the log's `origin`."""
    subject, product = found.subject[0], found.predicate.product.id
    if subject.name != product:
        raise StatementError(f"subject {subject.name}, product {product}")
    digest = hashlib.sha256(product.encode()).hexdigest()
    if subject.digest.sha256 != digest:
        raise StatementError(f"subject digest {subject.digest.sha256}, the product's is {digest}")
    if found.predicate.issuer != origin:
        raise StatementError(f"issued by {found.predicate.issuer}, entered in the log of {origin}")
