"""A statement issued: its nonce, its envelope (SPEC 4.3). The author's side of `verify`."""

import hashlib
import hmac
from typing import TypeVar

import msgspec

from bcca_protocol import envelope, statement, wire
from bcca_protocol.entry import NONCE_BYTES
from bcca_protocol.envelope import Envelope
from bcca_protocol.keys import Signer
from bcca_protocol.statement import FootprintRollUp, Opinion, PartialFootprint
from bcca_protocol.verify import PAYLOAD_TYPE

P = TypeVar("P", bound=PartialFootprint | FootprintRollUp | Opinion)

UNSET_NONCE = wire.b64(bytes(NONCE_BYTES))  # what stands in a predicate that is not issued yet


def issue(predicate: P, signer: Signer, secret: bytes) -> Envelope:
    """Return `predicate` with its nonce, signed by `signer`: the same inputs give the same bytes.

    The nonce keeps the public commitment of a guessable number from leaking it; `secret` is the
    node's own and never leaves it.
    """
    payload = wire.encode(statement.of(with_nonce(predicate, secret)))
    return envelope.sign(PAYLOAD_TYPE, payload, signer)


def with_nonce(predicate: P, secret: bytes) -> P:
    """Return `predicate` with nonce = HMAC-SHA-256(secret, payload with an empty nonce)[:16]."""
    bare = wire.encode(statement.of(msgspec.structs.replace(predicate, nonce="")))
    mac = hmac.digest(secret, bare, hashlib.sha256)
    return msgspec.structs.replace(predicate, nonce=wire.b64(mac[:NONCE_BYTES]))
