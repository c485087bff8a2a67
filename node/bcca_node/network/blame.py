"""What became of a connection that did not come about."""

import aiohttp

from bcca_protocol.errors import UnavailableError


class UnbelievedError(UnavailableError):
    """Somebody answers by TLS, with a certificate that is not believed."""


def unanswered(url: str, cause: BaseException | None) -> UnavailableError:
    """Return in words why nobody answered at `url`: the transport calls all of it a time-out."""
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return UnbelievedError(f"{url}: its certificate is not believed")
    if isinstance(cause, aiohttp.ClientSSLError):
        return UnavailableError(f"{url}: no TLS is spoken there that this node knows")
    if isinstance(cause, aiohttp.ClientConnectorError):
        return UnavailableError(f"{url}: nobody listens there")
    return UnavailableError(f"{url}: no answer in time")
