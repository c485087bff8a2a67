"""An invitation: who invites, with which keys, to what; signed by the request key (SPEC 13.10).

{"created":…,"expires":…,"for":…,"format":"bcca/v1 invitation","id":…,…}
<empty line>
— <origin> <base64 of key id and signature>
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from bcca_node.network.guard import host_of
from bcca_node.network.limits import MAX_URL_CHARS
from bcca_node.partners.event import EventId, PartnerRole, Wanted
from bcca_node.settings import MAX_NAME_CHARS
from bcca_protocol import note, period, wire
from bcca_protocol.errors import MalformedError, RefusedError, UnusableError
from bcca_protocol.keys import Algorithm, Signer, VerifierKey
from bcca_protocol.note import Note
from bcca_protocol.wire import Origin, Record, Text, Time, Urn, showable

FORMAT: Final = "bcca/v1 invitation"
PATH = "/invitations/"
MAX_SECONDS = 366 * 86_400  # who has not come for a year is asked anew
MAX_WANTED = 200  # parts asked for at once: a large assembly, in a note of 64 KiB
MAX_INVITATION_BYTES = 64 * 1024  # what a signed note may have
FINGERPRINT_DIGITS = 32  # 128 bits of SHA-256: no second key is found that has them

_LINK = re.compile(
    rf"(?P<url>[^#?]+){PATH}(?P<id>[0-9a-f]{{32}})#(?P<key>[0-9a-f]{{{FINGERPRINT_DIGITS}}})"
)


class Asked(Record, frozen=True):
    """A part that is asked for in an invitation, under the id that the request will have."""

    request: EventId
    wanted: Wanted


class Invitation(Record, frozen=True):
    """What an invitation says; `inviter` and `invited` are what each is to the other."""

    format: Literal["bcca/v1 invitation"]
    id: EventId
    origin: Origin
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_URL_CHARS)]
    log_key: Text
    request_key: Text
    seal_key: Text
    inviter: PartnerRole
    invited: PartnerRole
    created: Time
    expires: Time
    ids: tuple[Urn, ...] = ()
    wanted: Annotated[tuple[Asked, ...], msgspec.Meta(max_length=MAX_WANTED)] = ()
    recipient: Origin | None = msgspec.field(default=None, name="for")

    @property
    def keys(self) -> "PartnerKeys":
        """The keys of who invites; raises MalformedError for those of somebody else."""
        return PartnerKeys.of(self.origin, self.log_key, self.request_key, self.seal_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerKeys:
    """The three keys that partners know of each other."""

    log: VerifierKey
    request: VerifierKey
    seal: VerifierKey

    @classmethod
    def of(cls, origin: str, log: str, request: str, seal: str) -> "PartnerKeys":
        """Return the keys in three texts.

        Raises MalformedError for a key of another name than `origin`, or of the wrong type.
        """
        return cls(
            log=_key(origin, "log", log, Algorithm.ED25519),
            request=_key(origin, "request", request, Algorithm.ED25519),
            seal=_key(origin, "seal", seal, Algorithm.X25519),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where an invitation is read, and the fingerprint of the key that must have signed it."""

    url: str
    id: str
    fingerprint: str

    def __str__(self) -> str:
        """Return the link as it is sent; what stands behind the # goes to no server."""
        return f"{self.url}{PATH}{self.id}#{self.fingerprint}"

    @property
    def page(self) -> str:
        """The URL that is asked."""
        return f"{self.url}{PATH}{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Link":
        """Return the link in `text`; raises UnusableError."""
        found = _LINK.fullmatch(text)
        if found is None:
            raise UnusableError(
                f"{showable(text[:200])!r} is not a link of an invitation, such as "
                f"https://host{PATH}<id>#<fingerprint>: copy all of it"
            )
        return cls(url=found["url"], id=found["id"], fingerprint=found["key"])


def is_link(text: str) -> bool:
    """Say whether `text` is meant as a link rather than as the name of a file."""
    return text.startswith(("http://", "https://"))


def fingerprint(key: VerifierKey) -> str:
    """Return by which digits people compare a key."""
    return hashlib.sha256(key.encode().encode()).hexdigest()[:FINGERPRINT_DIGITS]


def link(invitation: Invitation) -> Link:
    """Return where an invitation is read while its node is served."""
    key = VerifierKey.parse(invitation.request_key)
    return Link(url=invitation.url, id=invitation.id, fingerprint=fingerprint(key))


def sign(invitation: Invitation, signer: Signer) -> str:
    """Return the invitation as it is handed over; raises UnusableError if it is too long."""
    content = wire.encode(invitation).decode()
    try:
        written = note.sign(f"{content}\n", [signer]).encode()
        verify(written)
    except RefusedError as error:
        raise UnusableError(f"this invitation could not be read: {error}") from error
    return written


def verify(text: str, *, expected: str | None = None) -> Invitation:
    """Return what an invitation says, once its own request key is found to have signed it.

    `expected` is the fingerprint of a link. Raises MalformedError, LimitError, SignatureError.
    """
    if len(text.encode()) > MAX_INVITATION_BYTES:
        raise MalformedError(f"invitation: over {MAX_INVITATION_BYTES} bytes, so it is none")
    signed = Note.parse(text)
    content = signed.text.removesuffix("\n").encode()
    found = wire.decode(content, _DECODER, what="invitation", limit=MAX_INVITATION_BYTES)
    key = found.keys.request
    if expected is not None and fingerprint(key) != expected:
        raise MalformedError(
            f"invitation: the link names a key with fingerprint {expected}, this one is by "
            f"{fingerprint(key)}: ask {found.origin} for a new link, over another way"
        )
    if len(signed.signatures) != 1:
        raise MalformedError("invitation: more than one signature, where its own alone belongs")
    note.verify_note(signed, [key])
    require_base(found.url)
    if seconds(found.created) >= seconds(found.expires):
        raise MalformedError(
            f"invitation: expires {found.expires}, not after {found.created}, when it was made"
        )
    for asked in found.wanted:
        period.span(asked.wanted.period, "period asked for")
    if len({asked.request for asked in found.wanted}) < len(found.wanted):
        raise MalformedError("invitation: two of the parts asked for have one id")
    return found


def require_base(url: str) -> None:
    """Return if resources of a node can be under `url`; raises MalformedError.

    Whether it may be asked, the guard says whenever it is.
    """
    host_of(url)
    if "?" in url or "#" in url or url.endswith("/") or showable(url) != url:
        raise MalformedError(
            f"{showable(url[:200])!r} is not where a node is: http:// or https://, a host, no "
            "slash at the end"
        )


def seconds(time: str) -> int:
    """Return a time as POSIX seconds; raises MalformedError for one that is none."""
    try:
        return int(period.moment(time).timestamp())
    except RefusedError as error:
        raise MalformedError(f"invitation: {error}") from error


def _key(origin: str, role: str, text: str, algorithm: Algorithm) -> VerifierKey:
    key = VerifierKey.parse(text)
    if key.name != origin:
        raise MalformedError(f"{role} key {key.label} is not named {origin}, whose it should be")
    if key.algorithm is not algorithm:
        raise MalformedError(
            f"{role} key {key.label} is of type {key.algorithm.name}, not {algorithm.name}"
        )
    return key


_DECODER = msgspec.json.Decoder(Invitation)
