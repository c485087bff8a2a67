"""The extension in which a footprint carries the signed statement it is derived from (SPEC 16.1).

Whoever has the library of this project verifies it like any other statement (SPEC 6); other
systems pass it over.
"""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from bcca_node.pact.model import EXTENSION_VERSION, Extension, Shape
from bcca_protocol import wire
from bcca_protocol.inventory import Vkey
from bcca_protocol.wire import HexDigest, Origin

VERSION = "1.0.0"  # of this extension: another form of its data has another
PAGE = f"/pact/extension/{VERSION}"  # under a node's base URL; of the schema, with the next behind
SCHEMA = f"{PAGE}/schema.json"
_PATH = "/pact/extension/1."  # a reader of 1.0.0 reads all that add to it


class Signed(Shape, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What the extension carries: the statement, and where its log is.

    `envelope` is the DSSE envelope as JSON, `proof` a c2sp.org/tlog-proof@v1 of its entry, under
    the head that was published when the footprint was first shown. Nothing of it is believed
    before it is verified: `key` is where a reader without a policy begins.
    """

    commitment: HexDigest
    origin: Origin
    key: Vkey
    log: str
    index: Annotated[str, msgspec.Meta(pattern=r"\A(0|[1-9][0-9]{0,18})\Z")]
    statement: str
    envelope: msgspec.Raw
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node is: the base URL it tells others, its origin, and the key of its log."""

    base: str
    origin: str
    key: str


_DECODER = msgspec.json.Decoder(Signed)


def write(place: Place, commitment: str, index: int, envelope: bytes, proof: str) -> Extension:
    """Return the extension of a footprint derived from a statement."""
    signed = Signed(
        commitment=commitment,
        origin=place.origin,
        key=place.key,
        log=f"{place.base}/log",
        index=str(index),
        statement=f"{place.base}/statements/{commitment}",
        envelope=msgspec.Raw(envelope),
        proof=proof,
    )
    # PACT wants https here, and a node has it where it is reached from outside.
    public = "https" + place.base.removeprefix("https").removeprefix("http")
    return Extension(
        spec_version=EXTENSION_VERSION,
        data_schema=public + SCHEMA,
        documentation=public + PAGE,
        data=msgspec.Raw(msgspec.json.encode(signed)),
    )


def is_ours(extension: Extension) -> bool:
    """Say whether an extension is this one, whichever node wrote it."""
    path = urlsplit(extension.data_schema).path
    return _PATH in path and path.endswith("/schema.json")


def read(extension: Extension) -> Signed:
    """Return what an extension of this kind carries; raises MalformedError."""
    return wire.read(bytes(extension.data), _DECODER, what="extension")
