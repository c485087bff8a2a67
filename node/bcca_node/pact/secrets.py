"""What a PACT partner issued to this node, sealed to the node's own seal key (SPEC 16.3).

The database and its backup show no such secret. It is bound to where it may be sent: a row whose
URL somebody has changed gives a secret that opens no more.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from bcca_node.ledger.node import Node
from bcca_node.storage.pactclients import PactPartner
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.keys import Role
from bcca_protocol.wire import b64, unb64

MAX_SECRET_BYTES = 4_096  # of one that another issued: some issue signed texts of 1 or 2 kB

_LABEL = "bcca/v1 pact secret"


def seal(node: Node, partner: PactPartner, secret: str) -> str:
    """Return `secret` sealed for this node, to be used at this partner's URLs and nowhere else.

    No passphrase is needed for that. Raises UnusableError for one that is no secret.
    """
    content = secret.encode()
    if not 0 < len(content) <= MAX_SECRET_BYTES or not secret.isascii() or not secret.isprintable():
        raise UnusableError(
            f"the client secret of {partner.origin} has {len(content)} bytes, some of which are "
            f"not allowed or too many: write one line of 1 to {MAX_SECRET_BYTES} printable ASCII "
            "characters, which are A-Z, a-z, 0-9, the space and the signs of an English keyboard"
        )
    to = X25519PublicKey.from_public_bytes(node.keystore.record(Role.SEAL).key.public)
    return b64(_suite().encrypt(content, to, info=_info(node, partner)))


def open(node: Node, partner: PactPartner) -> str:  # noqa: A001 - read as `secrets.open`
    """Return the secret that `partner` issued to this node.

    Raises UnusableError where it issued none, where nobody gave the passphrase, and for one that
    was sealed for other URLs or another node.
    """
    keys = node.keys.seals
    if not partner.is_asked:
        raise UnusableError(
            f"{partner.origin} has issued no client id and secret to this node: write them with "
            f"`bcca partners update {partner.origin} --client-id ID --client-secret-file FILE`"
        )
    try:
        sealed = unb64(partner.sealed, f"secret of {partner.origin}")
    except RefusedError as error:
        raise UnusableError(str(error)) from error
    for key in keys:
        opened = _opened(sealed, key, _info(node, partner))
        if opened is not None:
            return opened.decode()
    raise UnusableError(
        f"the secret of {partner.origin} was not sealed for {partner.url} and {partner.auth_url}, "
        f"or to another node: write it anew with `bcca partners update {partner.origin} "
        "--client-id ID --client-secret-file FILE`"
    )


def _opened(sealed: bytes, key: X25519PrivateKey, info: bytes) -> bytes | None:
    try:
        return _suite().decrypt(sealed, key, info=info)
    except InvalidTag:
        return None


def _info(node: Node, partner: PactPartner) -> bytes:
    """Return what a sealed secret is bound to; none of it holds a line feed."""
    bound = (_LABEL, node.origin, partner.name, partner.url, partner.auth_url, partner.client_id)
    return "\n".join(bound).encode()


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
