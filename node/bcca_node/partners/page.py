"""A page of events, as a partner fetches it that runs no server (SPEC 13.8).

It is signed by the request key of who keeps the events: whoever else answers at its URL tells
nothing in its name. A page names whom it is for and from where on, so that none stands for another.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from bcca_protocol import wire
from bcca_protocol.errors import ConflictError
from bcca_protocol.keys import Signer, VerifierKey
from bcca_protocol.wire import Origin, Record, b64, unb64

MAX_PULLED = 100  # events in one page: a page of usual ones has 50 kB
MAX_FULL = 1024 * 1024  # bytes of events in one page: at least the largest one
MAX_PAGE_BYTES = 4 * MAX_FULL + 64 * 1024  # text in text in text: each quote becomes four bytes
MAX_PLACE = 2**53 - 1  # what every JSON reader holds exactly

_TAG = b"bcca/v1 events\n"  # the key signs requests and invitations too, never with this in front
_SIGNATURE_BYTES = 64

Place = Annotated[int, msgspec.Meta(ge=0, le=MAX_PLACE)]


class Kept(Record, frozen=True):
    """One event, as it would have been posted, and its place among those for its reader."""

    place: Place
    event: str


class Page(Record, frozen=True):
    """Events from `origin` for `to` that come behind the place `since`; the next page is `next`."""

    origin: Origin
    to: Origin
    since: Place
    next: Place
    events: Annotated[tuple[Kept, ...], msgspec.Meta(max_length=MAX_PULLED)]


class SignedPage(Record, frozen=True):
    """A page as text, and the signature over it in base64."""

    page: str
    signature: str


_PAGE = msgspec.json.Decoder(Page)
_SIGNED = msgspec.json.Decoder(SignedPage)


def sign(page: Page, signer: Signer) -> bytes:
    """Return a page as it travels."""
    text = wire.encode(page)
    return wire.encode(SignedPage(page=text.decode(), signature=b64(signer.sign(_TAG + text))))


def verify(body: bytes, key: VerifierKey, *, origin: str, to: str, since: int) -> Page:
    """Return the page in `body`: that of `origin` for `to` from `since` on, signed by `key`.

    Raises MalformedError, LimitError, SignatureError, ConflictError for another page.
    """
    signed = wire.read(body, _SIGNED, what="page of events")
    text = signed.page.encode(errors="surrogatepass")
    key.verify(unb64(signed.signature, "signature of a page", _SIGNATURE_BYTES), _TAG + text)
    page = wire.decode(text, _PAGE, what="page of events", limit=MAX_PAGE_BYTES)
    wanted = Page(origin=origin, to=to, since=since, next=page.next, events=page.events)
    if page != wanted:
        raise ConflictError(
            f"page of events: of {page.origin} for {page.to} from {page.since} on, where that of "
            f"{origin} for {to} from {since} on was asked for"
        )
    _require_order(page)
    return page


def of(origin: str, to: str, since: int, kept: Sequence[tuple[int, bytes]]) -> Page:
    """Return the page with the first of `kept`, places and events, that fit in it."""
    taken: list[Kept] = []
    room = MAX_FULL
    for place, event in kept[:MAX_PULLED]:
        room -= len(event)
        if room < 0:
            break
        taken.append(Kept(place=place, event=event.decode()))
    last = taken[-1].place if taken else since
    return Page(origin=origin, to=to, since=since, next=last, events=tuple(taken))


def _require_order(page: Page) -> None:
    places = [page.since, *(each.place for each in page.events)]
    if places != sorted(set(places)) or page.next != places[-1]:
        raise ConflictError(
            f"page of events of {page.origin}: its places do not rise to {page.next}"
        )
