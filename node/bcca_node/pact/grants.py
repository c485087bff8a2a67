"""How this node comes by the token of a partner's host (OAuth 2.0 client credentials, SPEC 16.5).

Secret and token are in no message, also where the host repeats them in an error.
"""

from base64 import b64encode
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import urlencode

import httpx
import msgspec

from bcca_node.ledger.node import Node
from bcca_node.network.client import Answer, Fetcher
from bcca_node.pact import secrets
from bcca_node.storage.pactclients import PactPartner
from bcca_protocol.errors import MalformedError, RefusedError, UnavailableError
from bcca_protocol.wire import showable

DISCOVERY = "/.well-known/openid-configuration"
TOKEN = "/auth/token"  # noqa: S105 - a path, where discovery names no other
MAX_BYTES = 64 * 1024  # of a configuration or a token with its permissions: a few kB
MAX_TOKEN_CHARS = 16_384  # of a header: more, few servers take
MAX_SAID_CHARS = 300  # of a refusal: one sentence
EARLY_SECONDS = 30  # before its end: an answer may take a while, and clocks differ
USUAL_SECONDS = 300  # of a token whose end nobody says
MAX_SECONDS = 86_400  # a secret that was revoked is not used for longer than a day

_FORM = "application/x-www-form-urlencoded"
_GRANT = {"grant_type": "client_credentials"}
_REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED})


class _Configuration(msgspec.Struct):
    token_endpoint: str


class _Grant(msgspec.Struct):
    access_token: str
    token_type: str = "bearer"  # noqa: S105 - a kind
    expires_in: int | None = None


_CONFIGURATION = msgspec.json.Decoder(_Configuration)
_GRANTED = msgspec.json.Decoder(_Grant, strict=False)  # some write "3600"


class Grants:
    """The tokens of one host for this node, one at a time."""

    def __init__(self, node: Node, partner: PactPartner, fetcher: Fetcher) -> None:
        """Ask with what `partner` issued to `node`; nothing is asked yet."""
        self._node = node
        self._partner = partner
        self._fetcher = fetcher
        self._token = ""
        self._until = 0
        self._hidden: tuple[str, ...] = ()

    async def token(self) -> str:
        """Return a token that is good now.

        Raises UnusableError where the partner has issued nothing to this node, UnavailableError
        where its host gives none, RefusedError for a token endpoint that gets no secret.
        """
        if not self._token or self._node.clock() >= self._until:
            granted = await self._granted()
            seconds = USUAL_SECONDS if granted.expires_in is None else granted.expires_in
            self._token = granted.access_token
            lasts = min(seconds, MAX_SECONDS) - EARLY_SECONDS
            self._until = self._node.clock() + max(lasts, 1)
        return self._token

    def forget(self) -> None:
        """Ask for another token before the next call."""
        self._token = ""

    def silenced(self, answer: Answer) -> Answer:
        """Return a refusal without any secret of ours in it; anything else as it is."""
        if answer.status == HTTPStatus.OK:
            return answer
        body = answer.body
        for each in (*self._hidden, self._token):
            if each:
                body = body.replace(each.encode(), b"(secret)")
        return replace(answer, body=body)

    async def _granted(self) -> _Grant:
        secret = secrets.open(self._node, self._partner)
        pair = b64encode(f"{self._partner.client_id}:{secret}".encode()).decode()
        self._hidden = (secret, pair)
        url = await self._endpoint()
        answer = await self._post(url, {"authorization": f"Basic {pair}"}, _GRANT)
        if answer.status in _REFUSALS:  # some read the body alone (RFC 6749, 2.3.1)
            named = {"client_id": self._partner.client_id, "client_secret": secret}
            second = await self._post(url, {}, _GRANT | named)
            answer = second if second.status == HTTPStatus.OK else answer
        if answer.status != HTTPStatus.OK:
            said = self.silenced(answer).body[:MAX_SAID_CHARS].decode(errors="replace")
            raise UnavailableError(
                f"{self._partner.origin}: no token from {showable(url)}, which answered "
                f"{answer.status}: {showable(said)}"
            )
        return self._read(url, answer)

    async def _post(self, url: str, headers: dict[str, str], form: dict[str, str]) -> Answer:
        told = {"content-type": _FORM, "accept": "application/json", **headers}
        body = urlencode(form).encode()
        return await self._fetcher.send(url, headers=told, body=body, limit=MAX_BYTES)

    def _read(self, url: str, answer: Answer) -> _Grant:
        """Return what was granted; raises MalformedError for what no header can hold."""
        what = f"{self._partner.origin}: {showable(url)}"
        try:
            granted = _GRANTED.decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(
                f"{what} answered 200, and no token: {showable(str(error))}"
            ) from error
        token = granted.access_token
        is_plain = token.isascii() and token.isprintable() and " " not in token
        if not is_plain or not 0 < len(token) <= MAX_TOKEN_CHARS:
            raise MalformedError(f"{what}: a token of {len(token)} characters that no header holds")
        if granted.token_type.lower() != "bearer":
            kind = showable(granted.token_type[:40])
            raise MalformedError(f"{what}: a token of type {kind}, where Bearer belongs")
        return granted

    async def _endpoint(self) -> str:
        """Return where tokens are issued: as the host's OpenID configuration says, or as usual.

        Raises RefusedError for an endpoint elsewhere that is not https.
        """
        base = self._partner.auth_url.rstrip("/")
        named = await self._named(base)
        if named is None:
            return base + TOKEN
        here, there = httpx.URL(base), httpx.URL(named)
        if there.scheme != "https" and (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise RefusedError(
                f"{self._partner.origin}: {showable(base)} names {showable(named[:200])} as its "
                "token endpoint, and a secret is sent elsewhere by https alone"
            )
        return named

    async def _named(self, base: str) -> str | None:
        """Return the token endpoint that a configuration names, None where there is none."""
        headers = {"accept": "application/json"}
        try:
            answer = await self._fetcher.send(base + DISCOVERY, headers=headers, limit=MAX_BYTES)
            if answer.status != HTTPStatus.OK:
                return None
            return str(httpx.URL(_CONFIGURATION.decode(answer.body).token_endpoint))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, httpx.InvalidURL):
            return None
        except UnavailableError:
            return None
