"""Envelopes by the hundred, packed: how they travel and how they are kept (SPEC 13.13).

Gzip over a line for each envelope, and a last line that counts them:

    <keyid> <base64 of the signature> <payload>
    = <base64 of an envelope that is written otherwise>
    # 2

An envelope holds its payload in base64, and a stream holds that in base64 again. The payload itself
packs to a quarter of that, and unpacks in a third of the time.
"""

import gzip
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from isal import isal_zlib

from bcca_protocol.envelope import Envelope, EnvelopeSignature
from bcca_protocol.errors import LimitError, MalformedError, RefusedError
from bcca_protocol.limits import MAX_STATEMENT_BYTES
from bcca_protocol.verify import PAYLOAD_TYPE
from bcca_protocol.wire import b64, decimal_int, unb64

WIDTH = 256  # entries of the log that one page covers: a bundle of the log's own entries
MAX_PACKED = 16 * 1024 * 1024  # bytes of a page: 256 statements of 64 kB that hardly pack
MAX_UNPACKED = 64 * 1024 * 1024  # of what is in it: 256 statements of 256 kB


class Line(NamedTuple):
    """A statement of a page, as far as it is listed."""

    commitment: str
    entry: int
    product: str
    sharing: str


_SURELY_FITS = (
    MAX_STATEMENT_BYTES // 2
)  # bytes of a payload whose envelope is no longer than may be
_LEVEL = 6  # packed once and kept: level 9 takes twice the time for a hundredth less
_GZIP = 16 + isal_zlib.MAX_WBITS
_COUNT, _OTHER = b"# ", b"= "


def pack(envelopes: Iterable[bytes]) -> bytes:
    """Return the page of some envelopes: the same envelopes, the same bytes."""
    lines = [_line(each) for each in envelopes]
    lines.append(b"%b%d\n" % (_COUNT, len(lines)))
    return gzip.compress(b"".join(lines), _LEVEL, mtime=0)


def fits(envelopes: Sequence[bytes]) -> bool:
    """Say whether some envelopes may stand in one page."""
    return sum(map(len, envelopes)) <= min(MAX_UNPACKED // 2, MAX_PACKED)


def unpack(content: bytes) -> list[bytes]:
    """Return the envelopes of a page, as they were packed; raises as `opened` does."""
    return [each if isinstance(each, bytes) else each.encode() for each in opened(content)]


def opened(content: bytes) -> list[Envelope | bytes]:
    """Return the envelopes of a page, nothing of them verified; in bytes what is written otherwise.

    Raises MalformedError, also for a page that was cut, and LimitError.
    """
    *lines, last, rest = [b"", *_unzipped(content).split(b"\n")]
    if rest or not last.startswith(_COUNT):
        raise MalformedError("page of statements: cut off, no count at the end")
    found = [_envelope(line) for line in lines[1:]]
    count = decimal_int(last[len(_COUNT) :].decode("latin-1"), "count of a page")
    if count != len(found):
        raise MalformedError(f"page of statements: {len(found)} came, the count says {count}")
    return found


def _line(envelope: bytes) -> bytes:
    try:
        found = Envelope.parse(envelope)
        [signature] = found.signatures
    except (RefusedError, ValueError):
        return _other(envelope)
    if found.encode() != envelope or found.payload_type != PAYLOAD_TYPE:
        return _other(envelope)
    keyid = (signature.keyid or " ").encode()
    if b"\n" in found.payload or b" " in keyid or b"\n" in keyid or keyid in {b"=", b"#"}:
        return _other(envelope)
    return b"%b %b %b\n" % (keyid, b64(signature.signature).encode(), found.payload)


def _other(envelope: bytes) -> bytes:
    return b"%b%b\n" % (_OTHER, b64(envelope).encode())


def _envelope(line: bytes) -> Envelope | bytes:
    keyid, _, rest = line.partition(b" ")
    if keyid == b"=":
        return unb64(rest.decode("latin-1"), "page of statements")
    written, space, payload = rest.partition(b" ")
    if not space:
        raise MalformedError("page of statements: a line without a payload")
    try:
        name = keyid.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("page of statements: a key that is not in UTF-8") from error
    signature = EnvelopeSignature(
        keyid=name, signature=unb64(written.decode("latin-1"), "page of statements")
    )
    found = Envelope(payload_type=PAYLOAD_TYPE, payload=payload, signatures=(signature,))
    return found if len(payload) < _SURELY_FITS else found.encode()  # whose reader looks closer


def _unzipped(content: bytes) -> bytes:
    if len(content) > MAX_PACKED:
        raise LimitError(f"page of statements: {len(content)} bytes, over {MAX_PACKED}")
    unpacking = isal_zlib.decompressobj(_GZIP)
    try:
        found = unpacking.decompress(content, MAX_UNPACKED + 1)
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # a class all the same
        raise MalformedError(f"page of statements: not gzip: {error}") from error
    if len(found) > MAX_UNPACKED:
        raise LimitError(f"page of statements: over {MAX_UNPACKED} bytes once it is unpacked")
    if not unpacking.eof or unpacking.unused_data:
        raise MalformedError("page of statements: cut off, or more behind its end")
    return found
