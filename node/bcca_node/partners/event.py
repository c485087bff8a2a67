"""What nodes tell each other (SPEC 13.8): one event a message, taken once however often it comes.

An event is signed as part of the request that brings it, and carries who it is by nowhere else.
"""

from secrets import token_hex
from typing import Annotated, Literal, TypeAlias

import msgspec

from bcca_node.network.limits import MAX_URL_CHARS
from bcca_node.settings import MAX_NAME_CHARS
from bcca_protocol import wire
from bcca_protocol.inventory import Interval
from bcca_protocol.wire import HexDigest, Origin, Record, Text, Time, Urn

MAX_EVENT_BYTES = 256 * 1024  # 500 pairs of part numbers of 200 characters
MAX_PAIRS = 500  # part numbers in one event
MAX_WORDS_CHARS = 4_000  # of a comment: a page

EventId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]  # 128 random bits
Words = Annotated[str, msgspec.Meta(max_length=MAX_WORDS_CHARS)]
PartnerRole = Literal["customer", "supplier", "auditor", "witness"]
RequestKind = Literal[
    "created",
    "accepted",
    "declined",
    "question",
    "comment",
    "reminder",
    "fulfilled",
    "withdrawn",
]
Reason = Literal[
    "notOurProduct", "noData", "confidential", "tooLittleTime", "askSomeoneElse", "other"
]


class Wanted(Record, frozen=True):
    """What is asked for: the customer's part number, the supplier's product, or both."""

    period: Interval
    purpose: Text
    part: Text | None = None
    product: Urn | None = None
    due: Time | None = None


class Pair(Record, frozen=True):
    """A part number or product of who tells (`mine`), and of who is told (`yours`)."""

    mine: Text
    yours: Text


Pairs: TypeAlias = Annotated[tuple[Pair, ...], msgspec.Meta(max_length=MAX_PAIRS)]


class Accepted(Record, tag_field="type", tag="partner.accepted", frozen=True):
    """An invitation is accepted: who accepts it, and with which keys."""

    id: EventId
    at: Time
    invitation: EventId
    origin: Origin
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_URL_CHARS)]
    log_key: Text
    request_key: Text
    seal_key: Text
    ids: tuple[Urn, ...] = ()
    parts: Pairs = ()


class RequestEvent(Record, tag_field="type", tag="request", frozen=True):
    """Something happened to a request; only `created` says what is wanted."""

    id: EventId
    at: Time
    request: EventId
    kind: RequestKind
    wanted: Wanted | None = None
    reason: Reason | None = None
    comment: Words | None = None
    product: Urn | None = None
    commitment: HexDigest | None = None


class PartsEvent(Record, tag_field="type", tag="parts", frozen=True):
    """Part numbers are proposed as the same part, confirmed, or refused."""

    id: EventId
    at: Time
    kind: Literal["proposed", "confirmed", "refused"]
    pairs: Pairs


class StatementEvent(Record, tag_field="type", tag="statement", frozen=True):
    """A statement that the told has fetched is no longer what it was."""

    id: EventId
    at: Time
    kind: Literal["corrected", "superseded", "revoked"]
    issuer: Origin
    commitment: HexDigest
    product: Urn
    successor: HexDigest | None = None


class AuditorEvent(Record, tag_field="type", tag="auditor", frozen=True):
    """The teller appoints an auditor for what it may see here, or dismisses it."""

    id: EventId
    at: Time
    kind: Literal["appointed", "dismissed"]
    auditor: Origin
    request_key: Text
    product: Urn | None = None
    until: Time | None = None


Event: TypeAlias = Accepted | RequestEvent | PartsEvent | StatementEvent | AuditorEvent

_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def new_id() -> str:
    """Return a name that nobody guesses and nothing else has."""
    return token_hex(16)


def encode(event: Event) -> bytes:
    """Return the event as it travels."""
    return wire.encode(event)


def decode(body: bytes) -> Event:
    """Return the event in `body`; raises MalformedError, LimitError."""
    return wire.decode(body, _DECODER, what="event", limit=MAX_EVENT_BYTES)
