"""How a node describes itself: `/.well-known/bcca.json`.

A hint: who is right about a log is settled by its key, which the asker knows from elsewhere.
"""

import hashlib

import msgspec

from bcca_node.network.limits import MAX_DESCRIPTOR_BYTES
from bcca_protocol import wire
from bcca_protocol.errors import LimitError
from bcca_protocol.keys import Role
from bcca_protocol.wire import Origin

PATH = "/.well-known/bcca.json"


class KeyLine(msgspec.Struct, frozen=True):
    """A key of the node, and the entry of its log that added it."""

    role: Role
    vkey: str
    index: str


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who a node is, where its resources are, and where it says its suppliers are.

    `products` are current statements by product as files, where nothing but files is served.
    `pages`, and behind it a number, is where hundreds of public statements are, packed.
    """

    origin: Origin
    name: str
    keys: tuple[KeyLine, ...]
    log: str
    statements: str
    formats: tuple[str, ...]
    witness: str | None = None
    products: str | None = None
    pages: str | None = None
    peers: dict[Origin, str] = {}


_DECODER = msgspec.json.Decoder(Descriptor)


def product_file(product: str) -> str:
    """Return the name, under `products`, of the file with the current statements of a product."""
    return f"{hashlib.sha256(product.encode()).hexdigest()}.jsonl"


def decode(body: bytes) -> Descriptor:
    """Return a descriptor; unknown members are ignored, so that it may grow.

    Raises MalformedError, LimitError.
    """
    if len(body) > MAX_DESCRIPTOR_BYTES:
        raise LimitError(f"descriptor: {len(body)} bytes, over {MAX_DESCRIPTOR_BYTES}")
    found = wire.read(body, _DECODER, what="descriptor")
    wire.refuse_controls(body, "descriptor")
    return found
