"""What `bcca doctor` asks of others: whether they are there, are who they should be, and when."""

import asyncio
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from statistics import median
from urllib.parse import urlsplit

from bcca_node.cli.checks import ALARM, POLICY, Finding
from bcca_node.cli.given import hosts
from bcca_node.ledger import guard
from bcca_node.ledger.guard import Heard
from bcca_node.ledger.node import Node
from bcca_node.network import descriptor
from bcca_node.network.blame import UnbelievedError
from bcca_node.network.client import Fetcher
from bcca_node.network.limits import MAX_DESCRIPTOR_BYTES, Patience
from bcca_node.network.tls import CERT_OPTION, KEY_OPTION
from bcca_protocol.errors import BccaError, PolicyError, RefusedError, UnavailableError
from bcca_protocol.keys import VerifierKey
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES, MAX_CLOCK_SKEW_SECONDS
from bcca_protocol.policy import LogLine, Policy, WitnessLine
from bcca_protocol.witness import PLAIN

LOG = "/log"  # what a log's URL ends in, behind its node's
PATIENCE = Patience(connect=3.0, read=5.0, total=10.0)  # somebody waits for the answer
NO_WITNESS = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)

HTTPS_PORT = 443

_MEND_TRUST = (
    "others do not believe it either, unless they know who signed it: have a public authority sign "
    "one, or set SSL_CERT_FILE here and there to the certificate of the authority that did"
)
_MEND_PLAIN = (
    f"there, and plain http answers: start `bcca serve` with {CERT_OPTION} and {KEY_OPTION}, or a "
    "proxy that speaks TLS before it"
)

_AHEAD_OR_BEHIND = {True: "behind", False: "ahead of"}


def look(node: Node, trusted: Policy) -> list[Finding]:
    """Return how the witnesses and logs of the policy answer, and how this clock compares."""
    return asyncio.run(_look(node, trusted))


async def _look(node: Node, trusted: Policy) -> list[Finding]:
    try:
        named = {*hosts(trusted), urlsplit(node.settings.url).hostname or ""}
    except PolicyError as error:
        return [Finding(POLICY, True, str(error))]
    async with Fetcher(named, patience=PATIENCE) as fetcher:
        looking = _Looking(node, fetcher)
        witnesses = [w for w in trusted.witnesses.values() if w.key.name != node.origin]
        peers = {origin: each for origin, each in trusted.logs.items() if origin != node.origin}
        heard, silent = await guard.ask(node, fetcher, trusted)
        found = await asyncio.gather(
            looking.self(),
            *(looking.witness(line, silent.get(line.name)) for line in witnesses),
            *(looking.peer(origin, line) for origin, line in peers.items()),
        )
    return [*_contradictions(node, heard), *found, *_clock(looking.offsets)]


class _Looking:
    """Asks one after another; `offsets` is how many seconds ahead each witness's clock was."""

    def __init__(self, node: Node, fetcher: Fetcher) -> None:
        self._node = node
        self._fetcher = fetcher
        self.offsets: list[int] = []

    async def self(self) -> Finding:
        """Return whether others find this node at its URL; one that is not serving is no fault."""
        url = self._node.settings.url
        try:
            await self._described(url, self._node.origin, self._node.log_key)
        except _OtherNodeError as error:
            return Finding("url", True, f"{url}: {error}")
        except UnbelievedError as error:
            return Finding("url", True, f"{error}: {_MEND_TRUST}")
        except RefusedError as error:
            return Finding("url", True, f"{error}; {_elsewhere(url)}")
        except BccaError as error:
            if await self._answers_plainly(url):
                return Finding("url", True, f"{url}: https is expected {_MEND_PLAIN}")
            return Finding("url", False, f"nobody answers there, start `bcca serve`: {error}")
        return Finding("url", False, f"{url} is this node")

    async def witness(self, line: WitnessLine, silence: str | None) -> Finding:
        """Return whether a witness takes requests; an empty one has no effect.

        `silence` is why it does not count as having said what it has seen of this log, if so.
        """
        about = f"witness {line.name}"
        if line.url is None:
            return Finding(about, True, "the policy has no URL for it, so it cannot be asked")
        url = f"{line.url.rstrip('/')}/add-checkpoint"
        try:
            answer = await self._fetcher.post(
                url, b"", content_type=PLAIN, limit=MAX_CHECKPOINT_BYTES
            )
        except BccaError as error:
            return Finding(about, True, str(error))
        if answer.status in NO_WITNESS:
            return Finding(about, True, f"{url}: answers {answer.status}, no witness is there")
        self._compare(answer.date)
        if silence is not None:
            return Finding(about, True, f"{line.url} takes requests, but {silence}")
        return Finding(about, False, f"{line.url} answers")

    async def peer(self, origin: str, line: LogLine) -> Finding:
        """Return whether the node of a log is there, and is the one the policy names."""
        about = f"log {origin}"
        if line.url is None:
            return Finding(about, False, "the policy has no URL for it, so it was not asked")
        if not line.url.endswith(LOG):
            return Finding(about, True, f"{line.url}: the URL of a log ends in {LOG}")
        try:
            await self._described(line.url.removesuffix(LOG), origin, line.key)
        except (BccaError, _OtherNodeError) as error:
            return Finding(about, True, str(error))
        return Finding(about, False, f"{line.url} answers")

    async def _answers_plainly(self, url: str) -> bool:
        """Say whether a node answers by plain http where https belongs, on the same port."""
        parts = urlsplit(url)
        if parts.scheme != "https":
            return False
        place = parts.netloc if parts.port else f"{parts.netloc}:{HTTPS_PORT}"
        plain = parts._replace(scheme="http", netloc=place).geturl() + descriptor.PATH
        try:
            descriptor.decode(await self._fetcher.get(plain, limit=MAX_DESCRIPTOR_BYTES))
        except BccaError:
            return False
        return True

    async def _described(self, url: str, origin: str, key: VerifierKey) -> None:
        """Return if the node at `url` says it is `origin` with that log key."""
        at = url + descriptor.PATH
        answer = await self._fetcher.send(at, headers={}, limit=MAX_DESCRIPTOR_BYTES)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise UnavailableError(f"{at}: answered {answer.status}, it is busy")
        if answer.status != HTTPStatus.OK:
            raise RefusedError(f"{at}: answered {answer.status}, where 200 belongs")
        about = descriptor.decode(answer.body)
        if about.origin != origin:
            raise _OtherNodeError(f"describes itself as {about.origin}, where {origin} belongs")
        if key.encode() not in {each.vkey for each in about.keys}:
            raise _OtherNodeError(f"{origin} does not name the log key {key.encode()}")

    def _compare(self, date: str) -> None:
        try:
            told = int(parsedate_to_datetime(date).timestamp())
        except ValueError:
            return
        self.offsets.append(told - self._node.clock())


def _elsewhere(url: str) -> str:
    """Return what to do where somebody answers at a node's URL who is not the node."""
    path = urlsplit(url).path
    lost = f"the proxy does not take {path} away before it passes a call on, or " if path else ""
    return (
        f"so whoever answers there is not this node: {lost}another service has that address: mend "
        "what stands there, or url in settings.toml"
    )


def _contradictions(node: Node, heard: Sequence[Heard]) -> Iterator[Finding]:
    """Yield how what witnesses have seen of this log contradicts what is here (SPEC 5.11)."""
    with node.database.read() as session:
        for what, _ in guard.contradictions(node, session, heard):
            yield Finding(ALARM, True, what)


class _OtherNodeError(Exception):
    """Somebody answers, and is not who was expected."""


def _clock(offsets: Sequence[int]) -> Iterator[Finding]:
    """Yield how this clock compares with those of the witnesses that said a time."""
    if not offsets:
        yield Finding("clock", False, "not compared: no witness said what time it is")
        return
    off = int(median(offsets))
    about = f"of {len(offsets)} witnesses"
    if abs(off) <= MAX_CLOCK_SKEW_SECONDS:
        yield Finding("clock", False, f"within {MAX_CLOCK_SKEW_SECONDS} s of that {about}")
        return
    yield Finding(
        "clock", True, f"{abs(off)} s {_AHEAD_OR_BEHIND[off > 0]} that {about}: set it right"
    )
