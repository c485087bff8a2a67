"""Signed payloads (SPEC 4.3; DSSE v1.0.2, github.com/secure-systems-lab/dsse)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import msgspec

from bcca_protocol import wire
from bcca_protocol.errors import LimitError, MalformedError, SignatureError, UnusableError
from bcca_protocol.keys import Signer, VerifierKey
from bcca_protocol.limits import MAX_ENVELOPE_SIGNATURES, MAX_STATEMENT_BYTES

_TO_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeSignature:
    """One signature; `keyid` is a hint that nobody signed."""

    keyid: str | None
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A payload, its type, and whatever claims to be a signature of both."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...]

    def encode(self) -> bytes:
        """Return the form in which this project writes the envelope: canonical JSON."""
        signatures = tuple(
            _WireSignature(sig=wire.b64(each.signature), keyid=each.keyid)
            for each in self.signatures
        )
        return wire.encode(
            _WireEnvelope(
                payload=self.payload,
                payload_type=self.payload_type,
                signatures=signatures,
            )
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the envelope in `data`, in any JSON form; unknown members are ignored.

        Raises LimitError over MAX_STATEMENT_BYTES or MAX_ENVELOPE_SIGNATURES, else MalformedError.
        """
        if len(data) > MAX_STATEMENT_BYTES:
            raise LimitError(f"envelope: {len(data)} bytes, over {MAX_STATEMENT_BYTES}")
        found = _read_ours(data)
        if found is None:
            found = _read_any(data)
        if len(found.signatures) > MAX_ENVELOPE_SIGNATURES:
            raise LimitError(
                f"envelope: {len(found.signatures)} signatures, over {MAX_ENVELOPE_SIGNATURES}"
            )
        signatures = tuple(
            EnvelopeSignature(keyid=each.keyid, signature=_unb64(each.sig, "envelope: signature"))
            for each in found.signatures
        )
        return cls(
            payload_type=found.payload_type,
            payload=found.payload,
            signatures=signatures,
        )

    def only_signature(self, payload_type: str) -> EnvelopeSignature:
        """Return the one signature, which names its key, of an envelope of that type.

        Raises MalformedError for another type, for none or several, and for one without keyid.
        """
        if self.payload_type != payload_type:
            found = wire.showable(self.payload_type[:80])
            raise MalformedError(f"payload type {found}, where {payload_type} belongs")
        if len(self.signatures) != 1:
            raise MalformedError(f"{len(self.signatures)} signatures, where exactly one belongs")
        if self.signatures[0].keyid is None:
            raise MalformedError("the signature has no keyid")
        return self.signatures[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPayload:
    """The very bytes that `keys` signed: hand these on, never the envelope."""

    payload_type: str
    payload: bytes
    keys: tuple[VerifierKey, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed; lengths count bytes, not characters (DSSE, protocol.md)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, signer: Signer) -> Envelope:
    """Return the envelope of `payload` with the one signature of `signer`, named by its key."""
    signature = EnvelopeSignature(
        keyid=signer.key.label, signature=signer.sign(pae(payload_type, payload))
    )
    return Envelope(payload_type=payload_type, payload=payload, signatures=(signature,))


def verify_envelope(
    envelope: Envelope, keys: Iterable[VerifierKey], threshold: int = 1
) -> SignedPayload:
    """Return what at least `threshold` of `keys` signed, or raise SignatureError.

    A public key counts once, under however many names and however many times it signed.
    """
    if threshold < 1:
        raise UnusableError(f"envelope: a threshold of {threshold}, where 1 is the least")
    unique = {key.public: key for key in keys}.values()
    message = pae(envelope.payload_type, envelope.payload)
    signers = tuple(key for key in unique if _signed_by(key, message, envelope.signatures))
    if len(signers) < threshold:
        names = ", ".join(key.label for key in unique) or "no key"
        raise SignatureError(
            f"envelope: signed by {len(signers)} of {names}, where {threshold} must have signed"
        )
    return SignedPayload(payload_type=envelope.payload_type, payload=envelope.payload, keys=signers)


class _WireSignature(msgspec.Struct, frozen=True, omit_defaults=True):
    sig: str
    keyid: str | None = None


class _WireEnvelope(msgspec.Struct, frozen=True, rename="camel"):
    payload: bytes  # in base64
    payload_type: str
    signatures: tuple[_WireSignature, ...]


class _AnyEnvelope(msgspec.Struct, frozen=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: tuple[_WireSignature, ...]


_OURS = msgspec.json.Decoder(_WireEnvelope)
_ANY = msgspec.json.Decoder(_AnyEnvelope)
_BEGIN = b'{"payload":"'


def _read_ours(data: bytes) -> _WireEnvelope | None:
    """Return an envelope whose payload is written as `encode` does, None for any other.

    msgspec reads base64 three times as fast as binascii, but lets bits pass behind the last byte.
    """
    try:
        found = _OURS.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    size = len(found.payload)
    last = wire.b64(found.payload[size - size % 3 :]).encode()
    end = len(_BEGIN) + 4 * ((size + 2) // 3)
    rest = data[end:]
    is_ours = (
        data.startswith(_BEGIN)
        and data.startswith(last, end - len(last))
        and rest.startswith(b'",')
    )
    return found if is_ours and b'"payload"' not in rest and b"\\" not in rest else None


def _read_any(data: bytes) -> _WireEnvelope:
    """Return an envelope in whatever JSON and base64; raises MalformedError."""
    found = wire.read(data, _ANY, what="envelope")
    return _WireEnvelope(
        payload=_unb64(found.payload, "envelope: payload"),
        payload_type=found.payload_type,
        signatures=found.signatures,
    )


def _unb64(text: str, what: str) -> bytes:
    """Return the bytes in standard or in URL-safe base64, but not in a mixture."""
    if "-" not in text and "_" not in text:
        return wire.unb64(text, what)
    if "+" in text or "/" in text:
        raise MalformedError(f"{what}: mixes two alphabets of base64")
    return wire.unb64(text.translate(_TO_STANDARD), what)


def _signed_by(key: VerifierKey, message: bytes, signatures: Iterable[EnvelopeSignature]) -> bool:
    for each in signatures:
        try:
            key.verify(each.signature, message)
        except SignatureError:
            continue
        return True
    return False
