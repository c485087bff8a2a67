"""A supplier that has no log, named where an input names a log key (SPEC 4.2).

Nobody can sign with this key: it is a hash, of which nobody knows a seed. Whoever reads a statement
makes it again from the origin, and knows that there is no log to look for.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import count

from bcca_protocol.keys import Algorithm, VerifierKey

MAX_KEPT = 10_000  # origins whose key is remembered: the suppliers of a large network

_DOMAIN = "bcca/v1 no log"
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P  # of the curve (RFC 8032, 5.1)


@lru_cache(MAX_KEPT)
def key_of(origin: str) -> str:
    """Return the verifier key of a supplier without a log.

    Its 32 bytes are the first of the hashes of its origin that encodes a point of the curve, since
    others refuse a key that is none. Raises MalformedError or LimitError for what names no key.
    """
    public = next(each for each in _hashes(origin) if _is_point(each))
    return VerifierKey(name=origin, algorithm=Algorithm.ED25519, public=public).encode()


def is_unlogged(origin: str, key: str) -> bool:
    """Say whether an input that names this origin and key says that there is no log."""
    return key == key_of(origin)


def _hashes(origin: str) -> Iterator[bytes]:
    """Yield SHA-256 of the domain, the origin and 0, 1, 2, …, parted by line feeds."""
    for number in count():
        yield hashlib.sha256(f"{_DOMAIN}\n{origin}\n{number}".encode()).digest()


def _is_point(encoded: bytes) -> bool:
    """Say whether 32 bytes encode a point (RFC 8032, 5.1.3)."""
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    x_squared = (y * y - 1) * (_D * y * y + 1)  # but for the square of what it is divided by
    return y < _P and pow(x_squared, (_P - 1) // 2, _P) == 1
