"""The four events of PACT as CloudEvents 1.0 in structured mode (SPEC 16.4).

Here it is said what an event is, not what it does. Footprints and criteria in it stay the bytes
that came: they are judged where they are used.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import msgspec

from bcca_node.network.limits import MAX_URL_CHARS
from bcca_node.pact.model import UUID
from bcca_node.pact.reading import MAX_FOOTPRINT_BYTES
from bcca_protocol import period, wire
from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.wire import showable

MAX_EVENT_BYTES = 16 * 1024 * 1024  # 3,000 footprints of 5 kB in one answer
MAX_ID_CHARS = 200  # of the name of an event: five times a UUID, and no page of text
MAX_FOOTPRINTS = 10_000  # named in one event: whoever has more, sends another
MAX_CODE_CHARS = 200  # of an error: one word
MAX_MESSAGE_CHARS = 4_000  # of an error or a comment: a page

_PREFIX = "org.wbcsd.pact.ProductFootprint."
_PORTS = {"http": 80, "https": 443}

CREATED, FULFILLED, REJECTED, PUBLISHED = (
    f"{_PREFIX}RequestCreatedEvent.3",
    f"{_PREFIX}RequestFulfilledEvent.3",
    f"{_PREFIX}RequestRejectedEvent.3",
    f"{_PREFIX}PublishedEvent.3",
)

# Whatever characters: it is opaque. Only what a log or a terminal would obey is left out.
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
Uuid = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z"
    ),
]
DateTime = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
        r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
    ),
]


class Wire(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The base of what goes over the wire; others may add to it."""


class CloudEvent(Wire, frozen=True, kw_only=True):
    """What CloudEvents say of every event; PACT requires all of it."""

    type: Annotated[str, msgspec.Meta(max_length=MAX_ID_CHARS)]
    specversion: Literal["1.0"]
    id: Name
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_URL_CHARS)]
    time: DateTime
    data: msgspec.Raw


class Error(Wire, frozen=True):
    """Why a request is rejected."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CODE_CHARS)]
    message: Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_CHARS)]


class Fulfilled(Wire, frozen=True):
    """The answer to a request: its footprints, each as JSON."""

    request_event_id: Name
    pfs: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(min_length=1, max_length=MAX_FOOTPRINTS)]


class _Identity(msgspec.Struct):
    id: str


class Rejected(Wire, frozen=True):
    """The answer to a request that is not served."""

    request_event_id: Name
    error: Error


class Published(Wire, frozen=True):
    """That footprints are new or changed; whoever is told fetches them."""

    pf_ids: Annotated[tuple[Uuid, ...], msgspec.Meta(min_length=1, max_length=MAX_FOOTPRINTS)]


class Created(Wire, frozen=True):
    """A request: `data` is the object of its criteria, `comment` what its asker says besides."""

    data: bytes
    comment: str = ""


Told: TypeAlias = Created | Fulfilled | Rejected | Published


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event; `source` is as it was written, `id` opaque, and unique for its teller alone.

    `digest` is the SHA-256 of what it says: the same for an event that is built anew, with another
    `time` or order of members, and another one for other data, type or source.
    """

    id: str
    source: str
    time: str
    told: Told
    digest: bytes


class _Comment(Wire, frozen=True):
    comment: Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_CHARS)] | None = None


_TYPES: Mapping[type[Wire], str] = MappingProxyType(
    {Created: CREATED, Fulfilled: FULFILLED, Rejected: REJECTED, Published: PUBLISHED}
)
_CLOUD_EVENT = msgspec.json.Decoder(CloudEvent)
_COMMENT = msgspec.json.Decoder(_Comment)
_FULFILLED = msgspec.json.Decoder(Fulfilled)
_IDENTITY = msgspec.json.Decoder(_Identity)
_UUID = re.compile(UUID)
_REJECTED = msgspec.json.Decoder(Rejected)
_PUBLISHED = msgspec.json.Decoder(Published)
_ENCODER = msgspec.json.Encoder()
# Any JSON, a number as it was written, and the same with the members of its objects in order.
_VALUE = msgspec.json.Decoder(float_hook=lambda number: msgspec.Raw(number.encode()))
_ORDERED = msgspec.json.Encoder(order="deterministic")


def new_id() -> str:
    """Return a name for an event that nothing else has."""
    return str(uuid4())


def encode(event_id: str, source: str, at: int, told: Told) -> bytes:
    """Return an event as it travels, told at POSIX second `at`; the same bytes every time."""
    body = told.data if isinstance(told, Created) else _ENCODER.encode(told)
    envelope = CloudEvent(
        type=_TYPES[type(told)],
        specversion="1.0",
        id=event_id,
        source=source,
        time=period.text_at(at),
        data=msgspec.Raw(body),
    )
    return _ENCODER.encode(envelope)


def decode(body: bytes) -> Event:
    """Return the event in `body`; raises MalformedError, LimitError."""
    if len(body) > MAX_EVENT_BYTES:
        raise LimitError(f"event: {len(body)} bytes, where at most {MAX_EVENT_BYTES} are read")
    envelope = wire.read(body, _CLOUD_EVENT, what="event")
    for name, text in (("id", envelope.id), ("source", envelope.source)):
        if showable(text) != text:
            raise MalformedError(f"event: its {name} has characters that are not shown: leave out")
    told = _told(envelope.type, bytes(envelope.data))
    said = (envelope.type.encode(), envelope.source.encode(), *_values(told))
    return Event(
        id=envelope.id,
        source=envelope.source,
        time=envelope.time,
        told=told,
        digest=sha256(b"".join(sha256(each).digest() for each in said)).digest(),
    )


def require_source(source: str, base: str) -> None:
    """Return if an event's `source` is `base`, or under it; raises MalformedError.

    Nothing is ever sent to where `source` says (SPEC 16.4): it is only held against what is
    registered. `//host/3/events`, as in the specification's examples, has the scheme of `base`.
    """
    said, known = _parts(source, base), _parts(base, base)
    if said is not None and known is not None and _place(said) == _place(known):
        begins, path = known.path.rstrip("/"), said.path
        if path == begins or path.startswith(begins + "/"):
            return
    raise MalformedError(
        f"event: its source is {showable(source[:200])!r}, and the base URL that is registered for "
        f"this client is {showable(base[:200])!r}: tell it from there, or register another"
    )


def _require_identity(told: Fulfilled, what: str) -> None:
    """Raise MalformedError for an answer in which nothing has a name to be kept by.

    To be asked before anything is written: 10,000 footprints are judged in seconds.
    """
    for each in told.pfs:
        try:
            name = _IDENTITY.decode(each).id
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if _UUID.match(name.lower()):
            return
    raise MalformedError(
        f"{what}: {len(told.pfs)} items in pfs, and none is a footprint with a UUID as its id: "
        "answer again, the request is open"
    )


def _told(kind: str, data: bytes) -> Told:
    what = f"data of {showable(kind)}"
    if kind == CREATED:
        said = wire.read(data, _COMMENT, what=what)
        return Created(data=data, comment=said.comment or "")
    if kind == FULFILLED:
        answer = wire.read(data, _FULFILLED, what=what)
        _require_identity(answer, what)
        return answer
    if kind == REJECTED:
        return wire.read(data, _REJECTED, what=what)
    if kind == PUBLISHED:
        return wire.read(data, _PUBLISHED, what=what)
    raise MalformedError(
        f"event: its type is {showable(kind)!r}, and there are {CREATED}, {FULFILLED}, {REJECTED} "
        f"and {PUBLISHED}"
    )


def _values(told: Told) -> Iterator[bytes]:
    """Yield what is read of an event, each piece as it would be whoever wrote it."""
    match told:
        case Created(data=data):
            yield _canonical(data)
        case Fulfilled(request_event_id=name, pfs=pfs):
            yield name.encode()
            yield from (_canonical(bytes(each)) for each in pfs)
        case _:
            yield _ENCODER.encode(told)


def _canonical(data: bytes) -> bytes:
    """Return JSON with its members in order and numbers as written; as it came if unreadable."""
    if len(data) > MAX_FOOTPRINT_BYTES:  # no footprint: nothing of it is kept
        return data
    try:
        return _ORDERED.encode(_VALUE.decode(data))
    except (ValueError, RecursionError):  # half a character, or too deep: its reader says so
        return data


def _parts(text: str, base: str) -> SplitResult | None:
    """Return a URL taken apart, None for what is none, or leads elsewhere than it says."""
    full = f"{urlsplit(base).scheme}:{text}" if text.startswith("//") else text
    try:
        parts = urlsplit(full)
        is_plain = parts.hostname is not None and parts.port != 0
    except ValueError:
        return None
    steps = parts.path.lower().replace("%2e", ".").split("/")
    if not is_plain or "@" in parts.netloc or "\\" in full or ".." in steps or "." in steps:
        return None
    return parts


def _place(parts: SplitResult) -> tuple[str, str, int | None]:
    """Return who listens there, however it is written."""
    host = (parts.hostname or "").rstrip(".")
    return parts.scheme, host, parts.port or _PORTS.get(parts.scheme)
