"""How this node describes itself, for its own kind and for others."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from bcca_node.ledger.node import Node
from bcca_node.network.descriptor import Descriptor, KeyLine
from bcca_protocol.keys import Algorithm, Role, VerifierKey
from bcca_protocol.statement import FOOTPRINT, OPINION, PARTIAL_FOOTPRINT

FORMATS = (
    "c2sp.org/tlog-tiles",
    "c2sp.org/tlog-witness",
    "c2sp.org/tlog-proof@v1",
    PARTIAL_FOOTPRINT,
    FOOTPRINT,
    OPINION,
)


def descriptor(node: Node, peers: Mapping[str, str]) -> Descriptor:
    """Return what `/.well-known/bcca.json` says, `peers` being where suppliers are."""
    url = node.settings.url
    return Descriptor(
        origin=node.origin,
        name=node.settings.name,
        keys=tuple(
            KeyLine(role=each.role, vkey=each.key.encode(), index=str(each.index))
            for role in Role
            for each in node.keystore.good(role)
        ),
        log=f"{url}/log",
        statements=f"{url}/statements",
        formats=FORMATS,
        witness=None if node.keyring is None else f"{url}/witness",
        pages=f"{url}/statements?page=",
        peers=dict(peers),
    )


def did_path(origin: str) -> str:
    """Return where did:web looks for the document of `origin`."""
    _, _, path = origin.partition("/")
    return f"/{path}/did.json" if path else "/.well-known/did.json"


def did_document(node: Node) -> dict[str, object]:
    """Return the keys as did:web; it carries no history, so it is never the authority."""
    host, *path = node.origin.split("/")
    did = ":".join(["did:web", *(quote(part, safe="") for part in (host, *path))])
    keys = [each.key for role in Role for each in node.keystore.good(role)]
    methods = [_method(did, key) for key in keys]
    seals = [key.algorithm is Algorithm.X25519 for key in keys]
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/jwk/v1"],
        "id": did,
        "verificationMethod": methods,
        "assertionMethod": [m["id"] for m, seal in zip(methods, seals, strict=True) if not seal],
        "keyAgreement": [m["id"] for m, seal in zip(methods, seals, strict=True) if seal],
    }


def encode_did(node: Node) -> bytes:
    """Return the did:web document as the one JSON text that is served of it."""
    return msgspec.json.encode(did_document(node), order="sorted")


def _method(did: str, key: VerifierKey) -> dict[str, object]:
    curve = "X25519" if key.algorithm is Algorithm.X25519 else "Ed25519"
    x = urlsafe_b64encode(key.public).decode().rstrip("=")
    return {
        "id": f"{did}#{key.id.hex()}",
        "type": "JsonWebKey",
        "controller": did,
        "publicKeyJwk": {"kty": "OKP", "crv": curve, "x": x},
    }
