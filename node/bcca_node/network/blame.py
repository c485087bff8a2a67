"""What became of a connection that did not come about."""

import aiohttp


def unanswered(cause: BaseException | None) -> str:
    """Say in words why nobody answered: the transport calls all of it a time-out."""
    if isinstance(cause, aiohttp.ClientSSLError):
        return "its certificate is not believed"
    if isinstance(cause, aiohttp.ClientConnectorError):
        return "nobody listens there"
    return "no answer in time"
