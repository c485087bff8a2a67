"""How much one caller may ask, and who failed to sign too often waits: SPEC 13.1.

Whoever signs is counted by key, everybody else by address. All of it is in memory, of a fixed
size, and forgotten with the process: it protects this process, and nothing depends on it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil
from threading import Lock
from typing import TypeVar

from bcca_node.settings import BURST_SECONDS

T = TypeVar("T")

MAX_HEAD_BYTES = 16 * 1024  # a URL of 2,000 characters, a signature, and what proxies add, doubled
MAX_HEADERS = 100  # each is compared by name again and again; a browser sends 20, a proxy adds 10
MAX_CONNECTIONS = 1_000  # open at once: a descriptor and 100 kB each, under the usual 1,024
MAX_CONNECTIONS_OF_ONE = 250  # so that four addresses are needed to use up all
HEAD_SECONDS = 10.0  # from a connection's first byte, or its opening, to the end of a head
BODY_SECONDS = 60.0  # for a whole body: the largest, 69,632 bytes, at 1.2 kB a second
TAKING_SECONDS = 30.0  # in which a reader takes the next 48 kB of an answer
ANSWER_SECONDS = 660.0  # in which a reader takes all of it: what a fetching node allows, and 10 %
MAX_COUNTED = 10_000  # callers remembered, of each kind: 2 MB; who is forgotten starts afresh
FREE_FAILURES = 10  # bad signatures in a row: a clock being set, a key being changed
MAX_WAIT_SECONDS = 300.0  # for whoever goes on failing: a repaired partner is back in five minutes
FORGIVEN_SECONDS = 900.0  # after the last failure all are forgotten

_UNREAD = " unread"  # behind an address
_NETWORK_BITS = 64  # of an IPv6 address: one household has as many addresses behind them


class TooManyError(Exception):
    """A caller asked more than its share; `seconds` is when to come back."""

    def __init__(self, seconds: float) -> None:
        """Say when."""
        self.seconds = max(1, ceil(seconds))
        super().__init__(f"too many requests: ask again in {self.seconds} s")


class TooSlowError(Exception):
    """A body did not come in its time."""


@dataclass(slots=True)
class _Bucket:
    """What a caller may still ask, as of a time."""

    left: float
    at: float


@dataclass(slots=True)
class _Failures:
    """How often an address failed in a row, when last, and until when it waits."""

    count: int
    at: float
    until: float


class Limits:
    """Counts callers; `rate` is how many requests a second each has, 0 that nobody is counted."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Count by `clock`."""
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._lock = Lock()

    def spend(self, caller: str) -> None:
        """Take one request from what `caller`, a key or an address, has; raises TooManyError."""
        if not self._rate:
            return
        with self._lock:
            bucket = self._filled(caller)
            if bucket.left < 1:
                raise TooManyError((1 - bucket.left) / self._rate)
            bucket.left -= 1

    def admit(self, address: str) -> None:
        """Return if `address` may try a signature; raises TooManyError while it has to wait."""
        found = self._failures.get(address)
        if found is not None and (wait := found.until - self._clock()) > 0:
            raise TooManyError(wait)
        if address + _UNREAD in self._buckets:
            with self._lock:
                bucket = self._filled(address + _UNREAD)
            if bucket.left < 1:
                raise TooManyError((1 - bucket.left) / self._rate)

    def unread(self, address: str) -> None:
        """Note that a signature from `address` came where nobody reads one, and counts nobody.

        Those have a share of their own: true signatures from there are counted by their keys.
        """
        if self._rate:
            with self._lock:
                bucket = self._filled(address + _UNREAD)
                bucket.left = max(0.0, bucket.left - 1)

    def _filled(self, caller: str) -> _Bucket:
        """Return what a caller may still ask now; the lock is held."""
        now, most = self._clock(), float(self._rate * BURST_SECONDS)
        bucket = self._buckets.get(caller)
        if bucket is None:
            return _kept(self._buckets, caller, _Bucket(most, now))
        self._buckets.move_to_end(caller)
        bucket.left = min(most, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        return bucket

    def failed(self, address: str, free: int = FREE_FAILURES) -> None:
        """Note that a signature from `address` was refused: it waits, twice as long each time.

        The first `free` cost nothing. Only that address waits: nobody makes a partner wait from
        elsewhere, whatever key he names.
        """
        if is_everybody(address):
            return
        now = self._clock()
        with self._lock:
            found = self._failures.get(address)
            if found is None or now > found.at + FORGIVEN_SECONDS:
                found = _kept(self._failures, address, _Failures(0, now, now))
            self._failures.move_to_end(address)
            found.count, found.at = found.count + 1, now
            if found.count > free:
                exponent = min(found.count - free - 1, 16)
                found.until = now + min(2.0**exponent, MAX_WAIT_SECONDS)


def counted(host: str) -> str:
    """Return the address under which a host is counted: a whole network where it is IPv6."""
    if ":" not in host:
        return host
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    shift = address.max_prefixlen - _NETWORK_BITS
    return f"{IPv6Address(int(address) >> shift << shift)}/{_NETWORK_BITS}"


def is_everybody(address: str) -> bool:
    """Say whether an address stands for more than one: this machine's, or a socket without one.

    A proxy that the settings do not name has it for all the world, and shall not lock it out.
    """
    return not address or address.startswith("127.") or address == "::/64"


def _kept(where: OrderedDict[str, T], name: str, new: T) -> T:
    """Put `new` under `name`, and forget who was longest away where there are too many."""
    if len(where) >= MAX_COUNTED:
        where.popitem(last=False)
    where[name] = new
    return new
