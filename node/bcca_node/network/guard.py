"""Where a request may go: never, on a stranger's word, to a private address.

A URL is checked before it is asked for, and a name's addresses when it is connected to, so that a
name that changes its addresses in between gains nothing.
"""

import re
import socket
import unicodedata
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

from bcca_node.network.limits import MAX_URL_CHARS
from bcca_node.settings import MAX_PORT
from bcca_protocol.errors import MalformedError, RefusedError
from bcca_protocol.policy import Policy
from bcca_protocol.wire import showable

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
# No name of the DNS ends so (RFC 3696, 2): resolvers and browsers take it for an IPv4 address.
_ENDS_IN_NUMBER = re.compile(r"(?:\A|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\Z")


class Guard:
    """Lets requests out to public addresses, and to the hosts that a policy names wherever."""

    def __init__(self, named: Collection[str] = ()) -> None:
        """Trust the hosts called `named` to be on a private network."""
        self._named = frozenset(host.lower() for host in named)

    def check_url(self, text: str) -> httpx.URL:
        """Return the URL in `text`; raises MalformedError, RefusedError for a private address."""
        url = _parse(text)
        literal = _literal(url.host)
        if literal is not None:  # else a name: its addresses are checked when it is connected to
            self.check_addresses(url.host, [str(literal)])
        return url

    def check_addresses(self, host: str, addresses: Collection[str]) -> None:
        """Return if a connection for `host` may go to each of `addresses`; raises RefusedError."""
        if host.lower() in self._named:
            return
        for address in addresses:
            if not is_public(ip_address(address)):
                raise RefusedError(
                    f"{showable(host)}: {address} is a private address, and no host of the policy"
                )


class GuardedResolver(AbstractResolver):
    """Resolves names as `inner` does, and hands out no address that the guard refuses."""

    def __init__(self, guard: Guard, inner: AbstractResolver) -> None:
        """Check what `inner` finds."""
        self._guard = guard
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`; raises RefusedError if one of them is private."""
        found = await self._inner.resolve(host, port, family)
        self._guard.check_addresses(host, [each["host"] for each in found])
        return found

    async def close(self) -> None:
        """Close the resolver inside."""
        await self._inner.close()


def hosts_of(policy: Policy) -> frozenset[str]:
    """Return the hosts that a policy names."""
    urls = {line.url for line in policy.logs.values()}
    urls |= {line.url for line in policy.witnesses.values()}
    return frozenset(_parse(url).host for url in urls if url is not None)


def host_of(url: str) -> str:
    """Return the host of a URL; raises MalformedError."""
    return _parse(url).host


def is_loopback(host: str) -> bool:
    """Say whether a host is this very machine: `localhost`, or an address of 127.0.0.0/8 or ::1."""
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, however it is written; None for a name.

    `127.1`, `2130706433`, `0x7f000001`, `0177.0.0.1`, `127.0.0.1.` and wide digits are the address
    that a C library takes them for. Raises MalformedError for what is neither address nor name.
    """
    plain = unicodedata.normalize("NFKC", host).replace("\u3002", ".").removesuffix(".")
    try:
        return ip_address(plain)
    except ValueError:
        if not _ENDS_IN_NUMBER.search(plain):
            return None
    try:
        return IPv4Address(socket.inet_aton(plain))
    except (OSError, ValueError) as error:
        raise MalformedError(
            f"{showable(host[:80])}: ends in a number, and is no IPv4 address: write four numbers "
            "of 0 to 255, or a name"
        ) from error


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address is everybody's: not private, local, reserved or a group's."""
    inner = address if isinstance(address, IPv4Address) else _inner(address)
    if inner is not None and inner != address:
        return is_public(inner)
    local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or local)


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address to which an IPv6 address leads, if it does."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _parse(text: str) -> httpx.URL:
    if len(text) > MAX_URL_CHARS:
        raise MalformedError(f"URL of {len(text)} characters, over {MAX_URL_CHARS}")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise MalformedError(f"{showable(text)!r} is not a URL: {error}") from error
    plain = url.scheme in ("http", "https") and url.host and not url.userinfo
    if not plain or (url.port or 0) > MAX_PORT:
        raise MalformedError(f"{showable(text)!r} is not a URL of http or https without a user")
    return url
