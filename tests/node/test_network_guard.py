"""Requests go out to public addresses, and to the hosts that the policy names."""

import asyncio
import socket
from ipaddress import ip_address

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from bcca_node.network.guard import Guard, GuardedResolver, hosts_of, is_public
from bcca_protocol.errors import MalformedError, RefusedError
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.policy import Policy

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - an address to be refused
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:db8::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"]


class Addresses(AbstractResolver):
    """What a name resolves to, as its owner likes it."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in self._addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_a_url_of_a_private_address_is_refused(address: str) -> None:
    host = f"[{address}]" if ":" in address else address

    with pytest.raises(RefusedError, match="is a private address, and no host of the policy"):
        Guard().check_url(f"http://{host}:8000/log/checkpoint")


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0",
        "127.0.0.1.",
        "127.1.",
        "10.1",
        "0xa9fea9fe",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "\u246027.1",
    ],
)
def test_a_private_address_in_another_spelling_is_refused(host: str) -> None:
    with pytest.raises(RefusedError, match=r"is a private address|is not a URL"):
        Guard().check_url(f"http://{host}:8000/log/checkpoint")


@pytest.mark.parametrize("host", ["256.1.1.1", "1.2.3.4.5", "mine.1", "0x7g.0x", "99999999999"])
def test_a_host_that_ends_in_a_number_and_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(MalformedError):
        Guard().check_url(f"http://{host}/log/checkpoint")


@pytest.mark.parametrize("host", ["1.1.1.1", "4mine.example", "mine.example.", "0x1.example", "m1"])
def test_other_hosts_are_asked(host: str) -> None:
    assert Guard().check_url(f"http://{host}/log").host == host


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://mine.example",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "//mine.example",
        "mine.example/log",
        "http://",
        "https://user:secret@mine.example",
        "http://mine.example:99999999",
        "http://mine.example/" + "x" * 2000,
        "http://mine.example/\x1b[31m",
    ],
)
def test_what_is_no_url_of_a_node_is_refused(url: str) -> None:
    with pytest.raises(MalformedError) as refused:
        Guard().check_url(url)

    assert "\x1b" not in str(refused.value)


def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    resolver = GuardedResolver(Guard(), Addresses("93.184.216.34", "169.254.169.254"))

    with pytest.raises(RefusedError, match=r"mine\.example: 169\.254\.169\.254 is a private"):
        asyncio.run(resolver.resolve("mine.example"))


def test_a_name_of_the_policy_may_resolve_to_a_private_address() -> None:
    resolver = GuardedResolver(Guard({"mine.example"}), Addresses("10.0.0.1"))

    [found] = asyncio.run(resolver.resolve("MINE.example"))

    assert found["host"] == "10.0.0.1"


def test_a_name_with_public_addresses_resolves() -> None:
    resolver = GuardedResolver(Guard(), Addresses(*PUBLIC))

    found = asyncio.run(resolver.resolve("mine.example"))

    assert [each["host"] for each in found] == PUBLIC


def test_localhost_is_refused_by_its_real_address() -> None:
    async def resolve() -> None:
        resolver = GuardedResolver(Guard(), aiohttp.ThreadedResolver())
        await resolver.resolve("localhost", 80, socket.AF_UNSPEC)

    with pytest.raises(RefusedError, match=r"localhost: .* is a private address"):
        asyncio.run(resolve())


def test_the_hosts_of_a_policy_are_those_of_its_urls() -> None:
    def key(name: str, algorithm: Algorithm, seed: int) -> str:
        return SeedSigner(name=name, algorithm=algorithm, seed=bytes([seed]) * 32).key.encode()

    witnesses = [key(f"w{i}.example", Algorithm.ED25519_COSIGNATURE, i) for i in range(3)]
    policy = Policy.parse(
        f"log {key('a.example', Algorithm.ED25519, 9)} http://127.0.0.1:8000/log\n"
        f"witness w0 {witnesses[0]} https://w0.example/witness\n"
        f"witness w1 {witnesses[1]} http://[::1]:9000/witness\n"
        f"witness w2 {witnesses[2]}\n"
        "group g 3 w0 w1 w2\nquorum g\n"
    )

    assert hosts_of(policy) == {"127.0.0.1", "w0.example", "::1"}
