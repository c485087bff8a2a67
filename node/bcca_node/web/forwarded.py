"""What a proxy says of a call that it passes on, believed of those that the settings name."""

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_PROTO = b"x-forwarded-proto"


class Forwarded:
    """An app behind proxies: whom they pass on, and whether he came by https."""

    def __init__(self, app: ASGIApp, proxies: str) -> None:
        """Believe `proxies`, addresses parted by commas."""
        self._believing = ProxyHeadersMiddleware(app, trusted_hosts=proxies)  # type: ignore[arg-type]  # the same by other names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer; schemes are the same in capitals (RFC 3986, 3.1)."""
        if scope["type"] == "http":
            told = [(n, v.lower() if n == _PROTO else v) for n, v in scope["headers"]]
            scope = {**scope, "headers": told}
        await self._believing(scope, receive, send)  # type: ignore[arg-type]
