"""Who calls by PACT: a bearer token over https, before anything is looked at (SPEC 16.3)."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from bcca_node.ledger.node import Node
from bcca_node.network.guard import is_loopback
from bcca_node.pact import tokens
from bcca_node.pact.tokens import MAX_CREDENTIAL_CHARS, NoTokenError
from bcca_node.storage.pactclients import PactPartner
from bcca_node.web.limits import Limits, counted, is_everybody
from bcca_node.web.pacterrors import BAD_REQUEST, TOKEN_EXPIRED
from bcca_node.web.parts import CALLER, NodeDep

FREE_FAILURES = 100  # tokens and secrets of an address that do not hold: a test suite run ten times
IN_QUERY = frozenset({"access_token", "client_id", "client_secret", "token"})

_PRIVATE = {"cache-control": "private, no-store", "vary": "authorization"}
_BEARER = 'Bearer realm="pact"'
_INVALID = _BEARER + ', error="invalid_token"'
_FAILING = " pact"  # behind an address: what fails here makes nobody wait elsewhere


class PactRefusalError(Exception):
    """A call by PACT that is not answered: its status, code and sentence."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer so."""
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


class PlainHttpError(Exception):
    """A call over plain http, where secrets and footprints go over https alone."""

    def __init__(self) -> None:
        """Say what to do; the caller's secret is to be taken for known."""
        super().__init__(
            "PACT is spoken over https alone, and this came over http: ask by https, and have your "
            "secret replaced if you sent it"
        )


def require_https(request: Request, node: NodeDep) -> None:
    """Return if nobody in between reads a call; raises PlainHttpError.

    That is TLS of this node's own, a proxy that the settings name and that says https, or a node
    of which nobody outside of this machine knows.
    """
    if not is_private(node, request):
        raise PlainHttpError


def is_private(node: Node, request: Request) -> bool:
    """Say whether a call came over https, or from this machine to a node that is only there."""
    if request.scope["scheme"] == "https":
        return True
    client = request.scope["client"]
    is_here = is_loopback(urlsplit(node.settings.url).hostname or "")
    return is_here and bool(client) and is_loopback(client[0])


async def pact_caller(request: Request, node: NodeDep) -> PactPartner:
    """Return the partner whose token a call carries.

    Raises PlainHttpError, PactRefusalError, and TooManyError for an address that goes on failing.
    """
    require_https(request, node)
    admit(request)
    token = _token(request)
    try:
        if node.database.is_file:
            partner = tokens.holder(node, token)
        else:
            partner = await run_in_threadpool(tokens.holder, node, token)
    except NoTokenError as error:
        if error.is_expired:
            raise _refused(TOKEN_EXPIRED, "this token has expired: ask for a new one") from error
        failed(request)
        raise _refused(
            BAD_REQUEST, "this token is none of this node's, or was ended: ask for a new one"
        ) from error
    request.scope[CALLER] = partner.origin
    limits: Limits = request.app.state.limits
    limits.spend(partner.origin)
    return partner


PactCaller = Annotated[PactPartner, Depends(pact_caller)]


def address_of(request: Request) -> str:
    """Return under which address a caller is counted."""
    client = request.scope["client"]
    return counted(client[0]) if client else ""


def failed(request: Request) -> None:
    """Note that an address came with what does not hold: it waits longer each time."""
    address = address_of(request)
    if not is_everybody(address):
        limits: Limits = request.app.state.limits
        limits.failed(address + _FAILING, FREE_FAILURES)


def admit(request: Request) -> None:
    """Return if an address may try; raises TooManyError while it has to wait."""
    limits: Limits = request.app.state.limits
    limits.admit(address_of(request) + _FAILING)


def add_refusals(app: FastAPI) -> None:
    """Answer what is refused here."""
    app.add_exception_handler(PactRefusalError, _refusal)
    app.add_exception_handler(PlainHttpError, _plain)


def _token(request: Request) -> str:
    """Return the token of the header (RFC 6750, 2.1); raises PactRefusalError."""
    if IN_QUERY & request.query_params.keys():
        raise PactRefusalError(
            400,
            BAD_REQUEST,
            "a token or secret in a URL is written down by whoever passes it on: send it in the "
            "Authorization header, and have this one replaced",
            _PRIVATE,
        )
    sent = request.headers.getlist("authorization")
    scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_CREDENTIAL_CHARS:
        raise PactRefusalError(
            401,
            BAD_REQUEST,
            "there is no bearer token: get one at the token endpoint, and send it in one "
            "Authorization header",
            {**_PRIVATE, "www-authenticate": _BEARER},
        )
    return token


def _refused(code: str, sentence: str) -> PactRefusalError:
    headers = {**_PRIVATE, "www-authenticate": _INVALID}
    return PactRefusalError(401, code, sentence, headers)


def _refusal(_: Request, error: Exception) -> Response:
    if not isinstance(error, PactRefusalError):
        raise TypeError("only what is refused is answered so") from error
    told = {"code": error.code, "message": str(error)}
    return JSONResponse(told, status_code=error.status, headers=error.headers)


def _plain(_: Request, error: Exception) -> Response:
    told = {"code": BAD_REQUEST, "message": str(error)}
    return JSONResponse(told, status_code=400, headers=_PRIVATE)
